"""Figures and exercises of chapter 02, Forward noising."""
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import get_sample_data
from matplotlib.figure import Figure
from torch import Tensor

from .. import data, plots
from ..ddpm import at, q_sample
from ..schedules import Schedule, cosine_schedule, from_alpha_bar, linear_schedule, log_snr, sigmoid_schedule
from .exercise import exercise
from .explore import fig_frames, frame_slider

THREE = {"linear": linear_schedule(), "cosine": cosine_schedule(), "sigmoid": sigmoid_schedule()}


def photograph(size: int = 64) -> Tensor:
    """The public-domain portrait of Grace Hopper that matplotlib ships, (1, 3, size, size) in [-1, 1]."""
    from PIL import Image

    with get_sample_data("grace_hopper.jpg") as file:
        image = Image.open(file).convert("RGB").crop((96, 20, 416, 340)).resize((size, size), Image.Resampling.LANCZOS)
    return data.from_unit(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255)


def noised(x_0: Tensor, t: int, schedule: Schedule, seed: int = 0) -> Tensor:
    """x_t for a whole set at one step; the same noise for every t, so that a slider changes its amount and nothing else."""
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed))
    return x_0 if t == 0 else q_sample(x_0, torch.full((len(x_0),), t), eps, schedule)


def noise_figure(x_0: Tensor):
    """The chapter's figure for a set of pictures (N, C, H, W) or of points (N, 2): returns (figure, update(name, t)).

    Everything is drawn once; an update only moves it, so that a live slider can follow the hand.
    """
    figure = Figure(figsize=(7.4, 2.75))
    left, middle = figure.add_axes((0.01, 0.03, 0.31, 0.84)), figure.add_axes((0.40, 0.2, 0.23, 0.67))
    right = figure.add_axes((0.73, 0.2, 0.24, 0.67))
    set_picture, set_values, set_dot = _draw_set(left, x_0), _draw_values(middle), _draw_log_snr(right)

    def update(name: str, t: int) -> None:
        x_t = noised(x_0, t, THREE[name])
        left.set_title(f"xₜ, {name}, t = {t}")                 # $x_t$ would be parsed anew each time: 3 ms
        set_picture(x_t)
        set_values(x_t)
        set_dot(name, t)

    return figure, update


MOMENTS = (0, 50, 100, 175, 260, 375, 500, 650, 800, 900, 1000)             # 260 and 500: where SNR is 1


def noise_slider(x_0: Tensor, alt: str, limit: int = 165_000, slider: str = "step t"):
    """The noise slider: step t x schedule, for pictures or points; with the values' histogram and the SNR.

    slider: the name of its handle for screen readers, another one for each slider of a page.
    """
    figure, update = noise_figure(x_0)
    frames = {name: fig_frames(figure, lambda t, name=name: update(name, t), MOMENTS, dpi=85) for name in THREE}
    return frame_slider(frames, [f"t = {t}" for t in MOMENTS], alt=alt, choice="schedule", slider=slider, limit=limit, still=3)


def one_frame(x_0: Tensor):
    """The same figure as a function (t, schedule's name) -> picture, for a live slider: axes are drawn once, what moves each time."""
    figure, update = noise_figure(x_0)
    figure.set_dpi(85)
    canvas = FigureCanvasAgg(figure)
    _, values, _ = figure.axes                                 # its title stays
    moving = [(axes, artist) for axes in figure.axes
              for artist in (*axes.images, *axes.patches, *axes.lines, *axes.collections, axes.title) if artist is not values.title]
    for _, artist in moving:
        artist.set_animated(True)                              # draw() leaves it out
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)

    def draw(t: int, name: str):
        update(name, t)
        canvas.restore_region(still)
        for axes, artist in moving:
            axes.draw_artist(artist)
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    return draw


def _draw_set(axes, x_0):
    if x_0.dim() == 4:
        columns = max(1, round(len(x_0) ** 0.5))
        picture = axes.imshow(plots.mosaic(x_0, columns), interpolation="nearest")
        axes.set_axis_off()
        return lambda x_t: picture.set_data(plots.mosaic(x_t, columns))
    cloud = axes.scatter(x_0[:, 0], x_0[:, 1], s=2, color=plots.DATA, linewidths=0)
    axes.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    return lambda x_t: cloud.set_offsets(x_t.numpy())


def _draw_values(axes):
    edges, grid = np.linspace(-4, 4, 49), np.linspace(-4, 4, 161)
    bars = axes.stairs(np.zeros(48), edges, fill=True, color=plots.DATA, alpha=0.75)
    axes.plot(grid, np.exp(-grid ** 2 / 2) / np.sqrt(2 * np.pi), color=plots.EXACT, lw=1.6)
    axes.set(xlim=(-4, 4), ylim=(0, 1.2), xlabel="value", yticks=(0, 0.4, 0.8, 1.2), title="values (bars), N(0, 1) (line)")
    return lambda x_t: bars.set_data(np.histogram(x_t.numpy(), edges, density=True)[0])


def _draw_log_snr(axes):
    looks = ((plots.DATA, "-"), (plots.MODEL, "--"), (plots.ERROR, ":"))
    lines = {name: axes.plot(range(1, 1001), log_snr(schedule)[1:], style, color=color, label=name)[0]
             for (name, schedule), (color, style) in zip(THREE.items(), looks, strict=True)}
    axes.axhline(0, color=plots.GREY, lw=0.8)
    axes.set(xlim=(0, 1000), ylim=(-20, 15), xlabel="step t", ylabel="ln SNR", xticks=(0, 500, 1000))
    axes.legend(fontsize=9, loc="lower left", frameon=False, handlelength=1.6)
    dot = axes.scatter([0], [15], color=plots.EXACT, zorder=5, clip_on=False)

    def update(name, t):
        for other, line in lines.items():
            line.set(alpha=1.0, linewidth=2.6 if other == name else 1.1)
        alpha_bar = float(THREE[name].alpha_bar[t])
        ratio = alpha_bar / (1 - alpha_bar) if t else float("inf")
        dot.set_offsets([[t, float(np.clip(np.log(ratio), -20, 15))]])
        axes.set_title("SNR = ∞" if t == 0 else f"SNR = {ratio:.2g}")

    return update


# -- exercises -----------------------------------------------------------------------------------------------------------

def _column(table, t, x):
    return table[t].to(x).view(-1, *[1] * (x.dim() - 1))


def _one_step_cases():
    g = torch.Generator().manual_seed(2)
    schedule = linear_schedule(100, 1e-3, 0.3)
    return [(torch.randn(4, 3, 5, 5, generator=g), torch.tensor([1, 30, 100, 30]), torch.randn(4, 3, 5, 5, generator=g), schedule),
            (torch.randn(3, 2, generator=g), torch.tensor([7, 50, 99]), torch.randn(3, 2, generator=g), schedule)]


def _q_step(x_prev, t, eps, schedule):
    beta = at(schedule.beta, t, x_prev, eps)                              # (B, 1, 1, 1) for pictures
    return (1 - beta).sqrt() * x_prev + beta.sqrt() * eps


def _q_step_no_root(x_prev, t, eps, schedule):
    beta = _column(schedule.beta, t, x_prev)
    return (1 - beta).sqrt() * x_prev + beta * eps


def _q_step_no_root_at_all(x_prev, t, eps, schedule):
    beta = _column(schedule.beta, t, x_prev)
    return (1 - beta) * x_prev + beta * eps


def _q_step_keeps_all(x_prev, t, eps, schedule):
    return x_prev + _column(schedule.beta, t, x_prev).sqrt() * eps


def _q_step_jump(x_prev, t, eps, schedule):
    return q_sample(x_prev, t, eps, schedule)


def _q_step_first_t(x_prev, t, eps, schedule):
    return _q_step(x_prev, t[:1].expand(len(t)), eps, schedule)


def _q_step_pictures_only(x_prev, t, eps, schedule):
    beta = schedule.beta[t].to(x_prev).view(-1, 1, 1, 1)
    return (1 - beta).sqrt() * x_prev + beta.sqrt() * eps


def _q_step_flat(x_prev, t, eps, schedule):
    return (1 - schedule.beta[t]).sqrt() * x_prev + schedule.beta[t].sqrt() * eps


def _q_step_own_noise(x_prev, t, eps, schedule):
    return _q_step(x_prev, t, torch.randn_like(x_prev), schedule)


def _q_step_half_root(x_prev, t, eps, schedule):
    beta = _column(schedule.beta, t, x_prev)
    return (1 - beta) * x_prev + beta.sqrt() * eps


def _q_step_early(x_prev, t, eps, schedule):
    beta = _column(schedule.beta, t - 1, x_prev)
    return (1 - beta).sqrt() * x_prev + beta.sqrt() * eps


exercise(
    "q_step", _q_step, cases=_one_step_cases,
    hints=["Two coefficients, one for x_prev and one for eps; their squares add up to 1.",
           "schedule.beta[t] has shape (B,). Bring it to (B, 1, 1, 1) first; at(schedule.beta, t, x_prev) does that.",
           "x_t = sqrt(1 - beta_t) * x_prev + sqrt(beta_t) * eps."],
    mistakes=[
        (_q_step_no_root, "the noise is multiplied by beta_t, its variance; a factor must be the standard deviation, sqrt(beta_t)"),
        (_q_step_no_root_at_all, "both square roots are missing: a factor c multiplies the variance by c squared"),
        (_q_step_keeps_all, "x_prev keeps its full size, so the variance grows at every step; shrink it by sqrt(1 - beta_t)"),
        (_q_step_jump, "this uses alpha_bar_t, which is the jump from x_0; one step uses beta_t"),
        (_q_step_first_t, "every element got the step of the first one; each element of the batch has its own t"),
        (_q_step_pictures_only, "this is right for pictures, but a batch may also hold points, (B, 2): let at(schedule.beta, t, x_prev) choose the shape"),
        (_q_step_flat, "the coefficient has shape (B,) and cannot multiply the batch; bring it to (B, 1, ..., 1) with at(schedule.beta, t, x_prev)"),
        (_q_step_own_noise, "this draws noise of its own; use the eps that you were given"),
        (_q_step_half_root, "the factor of x_prev needs a square root too: sqrt(1 - beta_t)"),
        (_q_step_early, "this looks up beta at t - 1; the tables are indexed with the paper's t, so use beta[t]")])


def _q_sample(x_0, t, eps, schedule):
    alpha_bar = at(schedule.alpha_bar, t, x_0, eps)
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


def _q_sample_variance(x_0, t, eps, schedule):
    alpha_bar = _column(schedule.alpha_bar, t, x_0)
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar) * eps


def _q_sample_no_roots(x_0, t, eps, schedule):
    alpha_bar = _column(schedule.alpha_bar, t, x_0)
    return alpha_bar * x_0 + (1 - alpha_bar) * eps


def _q_sample_swapped(x_0, t, eps, schedule):
    alpha_bar = _column(schedule.alpha_bar, t, x_0)
    return (1 - alpha_bar).sqrt() * x_0 + alpha_bar.sqrt() * eps


def _q_sample_alpha(x_0, t, eps, schedule):
    alpha = _column(schedule.alpha, t, x_0)
    return alpha.sqrt() * x_0 + (1 - alpha).sqrt() * eps


def _q_sample_early(x_0, t, eps, schedule):
    alpha_bar = _column(schedule.alpha_bar, t - 1, x_0)
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


def _q_sample_first_t(x_0, t, eps, schedule):
    return _q_sample(x_0, t[:1].expand(len(t)), eps, schedule)


def _q_sample_pictures_only(x_0, t, eps, schedule):
    alpha_bar = schedule.alpha_bar[t].to(x_0).view(-1, 1, 1, 1)
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


def _q_sample_flat(x_0, t, eps, schedule):
    return schedule.alpha_bar[t].sqrt() * x_0 + (1 - schedule.alpha_bar[t]).sqrt() * eps


def _q_sample_own_noise(x_0, t, eps, schedule):
    return _q_sample(x_0, t, torch.randn_like(x_0), schedule)


def _q_sample_half_root(x_0, t, eps, schedule):
    alpha_bar = _column(schedule.alpha_bar, t, x_0)
    return alpha_bar * x_0 + (1 - alpha_bar).sqrt() * eps


def _q_sample_keeps_all(x_0, t, eps, schedule):
    return x_0 + (1 - _column(schedule.alpha_bar, t, x_0)).sqrt() * eps


def _q_sample_difference(x_0, t, eps, schedule):
    alpha_bar = _column(schedule.alpha_bar, t, x_0)
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar.sqrt()) * eps


exercise(
    "q_sample", _q_sample, cases=_one_step_cases,
    hints=["Read the boxed formula: one coefficient for x_0, one for eps, both from alpha_bar_t.",
           "at(schedule.alpha_bar, t, x_0) gives alpha_bar_t for every element, in a shape that multiplies.",
           "x_t = sqrt(alpha_bar_t) * x_0 + sqrt(1 - alpha_bar_t) * eps."],
    mistakes=[
        (_q_sample_variance, "the noise is multiplied by 1 - alpha_bar_t, its variance, where the standard deviation belongs: take the square root"),
        (_q_sample_no_roots, "both square roots are missing: alpha_bar_t and 1 - alpha_bar_t are variances, the factors are their roots"),
        (_q_sample_swapped, "the two coefficients are swapped: signal gets sqrt(alpha_bar_t), noise gets sqrt(1 - alpha_bar_t)"),
        (_q_sample_alpha, "this uses alpha_t, one step's factor; t steps together have the product alpha_bar_t"),
        (_q_sample_early, "off by one: this uses alpha_bar_{t-1}; the tables are indexed with the paper's t, so use alpha_bar[t]"),
        (_q_sample_first_t, "every element got the step of the first one; each element of the batch has its own t"),
        (_q_sample_pictures_only, "this is right for pictures, but a batch may also hold points, (B, 2): let at(schedule.alpha_bar, t, x_0) choose the shape"),
        (_q_sample_flat, "the coefficient has shape (B,) and cannot multiply the batch; bring it to (B, 1, ..., 1) with at(schedule.alpha_bar, t, x_0)"),
        (_q_sample_own_noise, "this draws noise of its own; use the eps that you were given"),
        (_q_sample_half_root, "the factor of x_0 needs a square root too: sqrt(alpha_bar_t)"),
        (_q_sample_keeps_all, "x_0 keeps its full size; its share shrinks with t, by the factor sqrt(alpha_bar_t)"),
        (_q_sample_difference, "1 - sqrt(alpha_bar_t) is not sqrt(1 - alpha_bar_t): subtract first, then take the root")])


def _crossing(schedule):
    below = schedule.alpha_bar / (1 - schedule.alpha_bar) < 1
    return int(below.nonzero()[0])


def _crossing_zero_based(schedule):
    return _crossing(schedule) - 1


def _crossing_alpha(schedule):
    below = schedule.alpha / (1 - schedule.alpha) < 1
    return int(below.nonzero()[0]) if below.any() else schedule.T


def _crossing_half_of_signal(schedule):
    return int((schedule.alpha_bar.sqrt() < 0.5).nonzero()[0])


def _crossing_log(schedule):
    return int((log_snr(schedule) < 1).nonzero()[0])


def _crossing_count(schedule):
    return int((schedule.alpha_bar / (1 - schedule.alpha_bar) < 1).sum())


exercise(
    "crossing", _crossing, cases=lambda: [(s,) for s in (THREE["linear"], THREE["cosine"], sigmoid_schedule(999), cosine_schedule(50), linear_schedule(300, 1e-3, 0.9))],
    hints=["SNR_t = alpha_bar_t / (1 - alpha_bar_t). You want the first t at which it is below 1.",
           "A comparison gives a table of True and False; .nonzero() gives the positions of the True ones.",
           "The tables start at t = 0, so a position in them is t itself."],
    mistakes=[
        (_crossing_zero_based, "one step too early: the tables start at t = 0, so the position in the table is t itself (or you found the last t with SNR >= 1)"),
        (_crossing_alpha, "this uses alpha_t, one step's factor, instead of alpha_bar_t, what is left after t steps"),
        (_crossing_half_of_signal, "this asks when sqrt(alpha_bar_t) falls below 1/2; SNR compares variances, so it is alpha_bar_t that must fall below 1/2"),
        (_crossing_log, "this asks when the logarithm of the SNR falls below 1; SNR = 1 is ln SNR = 0"),
        (_crossing_count, "this counts how many steps have SNR < 1; the question is which is the first")])


def _half_life(T, half_life):
    u = torch.arange(T + 1, dtype=torch.float64)
    return from_alpha_bar(0.5 ** (u / half_life))


def _half_life_amplitude(T, half_life):
    return from_alpha_bar(0.25 ** (torch.arange(T + 1, dtype=torch.float64) / half_life))


def _constant(T, beta):
    return Schedule(torch.cat([torch.zeros(1), torch.full((T,), beta)]).double())


def _half_life_even(T, half_life):
    return _constant(T, 0.5 / half_life)


def _half_life_natural(T, half_life):
    return from_alpha_bar(torch.exp(-torch.arange(T + 1, dtype=torch.float64) / half_life))


def _half_life_complement(T, half_life):
    return _constant(T, 0.5 ** (1 / half_life))


def _half_life_curve(T, half_life):
    return 0.5 ** (torch.arange(T + 1, dtype=torch.float64) / half_life)


def _half_life_short(T, half_life):
    return from_alpha_bar(0.5 ** (torch.arange(T, dtype=torch.float64) / half_life))


def _half_life_probe(answer):
    made = [answer(T, h) for T, h in ((100, 10), (1000, 60), (20, 2.5))]
    return [{"beta": s.beta} if isinstance(s, Schedule) else s for s in made]


exercise(
    "half_life", _half_life, probe=_half_life_probe,
    hints=["Half of the signal's variance after half_life steps, a quarter after twice as many: alpha_bar_t = 2^(-t / half_life).",
           "from_alpha_bar turns a falling curve of T+1 numbers, float64, into a Schedule.",
           "u = torch.arange(T + 1, dtype=torch.float64) is the list of steps; return from_alpha_bar(0.5 ** (u / half_life))."],
    mistakes=[
        (_half_life_amplitude, "here sqrt(alpha_bar) halves; the half-life asked for is that of alpha_bar, the signal's variance"),
        (_half_life_curve, "this is the curve itself; from_alpha_bar(curve) makes a Schedule of it"),
        (_half_life_short, "your schedule has T - 1 steps: the curve needs T + 1 values, for t = 0 to T"),
        (_half_life_even, "beta = 0.5 / half_life takes half of what there was at the start, but each step takes its share of what is left: it must be 2^(-1/half_life) that survives"),
        (_half_life_natural, "this is the time to fall to 1/e = 0.37; a half-life is the time to fall to 1/2"),
        (_half_life_complement, "2^(-1/half_life) is the share that survives a step, alpha; beta is one minus it")])
