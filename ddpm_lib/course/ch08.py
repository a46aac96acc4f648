"""Figures and exercises of chapter 08, Fewer steps: DDIM."""
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .. import plots
from ..denoise import clipped
from ..paths import ddim_step, ddpm_path
from ..samplers import ddim, even_times
from ..schedules import linear_schedule
from .ch03 import hills, three_clouds
from .exercise import exercise
from .explore import frame_slider


def paths_figure(etas: Iterable[float] = (0.0, 0.5, 1.0), steps: int = 100, shown: int = 9) -> Figure:
    """Walks from the same noises to the two hills of chapter 03, by the exact denoiser: one panel for each eta, and the ends."""
    schedule = linear_schedule()
    exact, times = hills(schedule), even_times(schedule, steps)
    noise = torch.randn(2000, 1, generator=torch.Generator().manual_seed(3))
    order = noise[:shown, 0].argsort()
    figure = Figure(figsize=(7.4, 2.9), layout="constrained")
    columns = figure.subplots(1, 2 * len(etas), sharey=True, width_ratios=[3, 1] * len(etas))
    grid = torch.linspace(-3, 3, 301, dtype=torch.float64)
    density = exact.log_prob(grid[:, None], torch.zeros(301, dtype=torch.int64)).exp()
    for (left, right), eta in zip(columns.reshape(-1, 2), etas, strict=True):
        walk = [noise] + [x for _, x, _ in ddim(exact, noise, times, schedule, eta, torch.Generator().manual_seed(4))]
        tracks = torch.stack(walk)[:, :shown, 0][:, order]
        left.plot(times, tracks, lw=0.9, color=plots.MODEL)
        left.plot(times[:1] * shown, noise[:shown, 0], "o", ms=4, color=plots.NOISE, markeredgecolor=plots.EXACT, markeredgewidth=0.6, clip_on=False)
        left.plot(times[-1:] * shown, tracks[-1], "o", ms=4, color=plots.DATA, clip_on=False)
        left.set(xlim=(1000, 0), ylim=(-3.5, 3.5), xticks=(1000, 500, 0), xlabel="step t", title=rf"$\eta$ = {eta:g}")
        counts, edges = np.histogram(walk[-1].numpy(), np.linspace(-3, 3, 41), density=True)
        right.stairs(counts, edges, orientation="horizontal", fill=True, color=plots.MODEL, alpha=0.6)
        right.plot(density, grid, color=plots.EXACT, lw=1.2)
        right.set_axis_off()
    columns[0].set_ylabel("$x_t$")
    return figure


def steps_slider(drawn: dict[float, list[Tensor]], steps: list[int], alt: str):
    """The slider over the number of steps, with a choice of eta. drawn: {eta: [pictures for each number of steps]}."""
    frames = {f"eta = {eta:g}": [(255 * plots.mosaic(x, 4)).round().astype(np.uint8) for x in row] for eta, row in drawn.items()}
    return frame_slider(frames, [f"{n} steps" for n in steps], alt=alt, zoom=3, choice="noise put back", slider="number of steps", start=3)


def quality_figure(lines: dict[str, tuple[list[int], list[float], str, str]], band: tuple[float, float], *, ylabel: str, of: str) -> Figure:
    """Distance to the data over calls of the network, both axes logarithmic. lines: {name: (calls, distances, colour, style)};
    band: the smallest and the largest distance of true data, called `of`.
    """
    figure = Figure(figsize=(6.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for name, (calls, distances, color, style) in lines.items():
        axes.plot(calls, distances, style, color=color, lw=1.6, ms=5, label=name)
    axes.axhspan(*band, color=plots.GREY, alpha=0.35, lw=0, label=of)
    ticks = sorted({n for calls, *_ in lines.values() for n in calls if n in (2, 5, 10, 20, 50, 100)})
    axes.set(xscale="log", yscale="log", xlabel="calls of the denoiser for each sample", ylabel=ylabel)
    axes.set_xticks(ticks, [str(n) for n in ticks])
    low, high = axes.get_ylim()
    if high < 1000 * low:                                                   # too few powers of ten for a scale
        rungs = [k * 10.0 ** e for e in range(-6, 6) for k in (1, 2, 5) if low < k * 10.0 ** e < high]
        axes.set_yticks(rungs, [f"{r:g}" for r in rungs])
    axes.minorticks_off()
    axes.legend(fontsize=9)
    return figure


# -- exercises -----------------------------------------------------------------------------------------------------------

def _sigma(alpha_bar, t, t_next, eta):
    shrunk = (1 - alpha_bar[t_next]) / (1 - alpha_bar[t])          # (s_next / s)^2
    added = 1 - alpha_bar[t] / alpha_bar[t_next]                   # variance of the noise that came in between
    return eta * (shrunk * added).sqrt()


def _sigma_variance(alpha_bar, t, t_next, eta):
    return _sigma(alpha_bar, t, t_next, eta) ** 2


def _sigma_root_of_eta(alpha_bar, t, t_next, eta):
    return eta ** 0.5 * _sigma(alpha_bar, t, t_next, 1.0)


def _sigma_eta_squared(alpha_bar, t, t_next, eta):
    return eta ** 2 * _sigma(alpha_bar, t, t_next, 1.0)


def _sigma_neighbour(alpha_bar, t, t_next, eta):
    return _sigma(alpha_bar, t, t - 1, eta)


def _sigma_added_only(alpha_bar, t, t_next, eta):
    return eta * (1 - alpha_bar[t] / alpha_bar[t_next]).sqrt()


def _sigma_one_beta(alpha_bar, t, t_next, eta):
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    return eta * ((1 - alpha_bar[t_next]) / (1 - alpha_bar[t]) * beta).sqrt()


def _sigma_upside_down(alpha_bar, t, t_next, eta):
    return eta * ((1 - alpha_bar[t]) / (1 - alpha_bar[t_next]) * (1 - alpha_bar[t] / alpha_bar[t_next])).sqrt()


def _sigma_without_eta(alpha_bar, t, t_next, eta):
    return _sigma(alpha_bar, t, t_next, 1.0)


def _sigma_squares_as_pair(alpha_bar, t, t_next, eta):
    a, s, a_next, s_next = alpha_bar[t], 1 - alpha_bar[t], alpha_bar[t_next], 1 - alpha_bar[t_next]
    return eta * s_next / s * (s ** 2 - (a / a_next * s_next) ** 2).sqrt()


def _sigma_inverse_ratio(alpha_bar, t, t_next, eta):
    return eta * ((1 - alpha_bar[t_next]) / (1 - alpha_bar[t]) * (1 - alpha_bar[t_next] / alpha_bar[t])).sqrt()


def _sigma_times_swapped(alpha_bar, t, t_next, eta):
    return _sigma(alpha_bar, t_next, t, eta)


def _sigma_first_not_rooted(alpha_bar, t, t_next, eta):
    return eta * (1 - alpha_bar[t_next]) / (1 - alpha_bar[t]) * (1 - alpha_bar[t] / alpha_bar[t_next]).sqrt()


def _sigma_second_not_rooted(alpha_bar, t, t_next, eta):
    return eta * ((1 - alpha_bar[t_next]) / (1 - alpha_bar[t])).sqrt() * (1 - alpha_bar[t] / alpha_bar[t_next])


def _sigma_all_fresh(alpha_bar, t, t_next, eta):
    return eta * (1 - alpha_bar[t_next]).sqrt()


def _sigma_signal_not_squared(alpha_bar, t, t_next, eta):
    s2, s2_next = 1 - alpha_bar[t], 1 - alpha_bar[t_next]
    return eta * (s2_next / s2 * (s2 - (alpha_bar[t] / alpha_bar[t_next]).sqrt() * s2_next)).sqrt()


def _sigma_not_shrunk(alpha_bar, t, t_next, eta):
    s2, s2_next = 1 - alpha_bar[t], 1 - alpha_bar[t_next]
    return eta * (s2_next / s2 * (s2 - s2_next)).sqrt()


def _sigma_shifted(alpha_bar, t, t_next, eta):
    return _sigma(alpha_bar, t - 1, t_next - 1, eta)


def _sigma_eta_times_variance(alpha_bar, t, t_next, eta):
    return eta * _sigma(alpha_bar, t, t_next, 1.0) ** 2


def _sigma_cases():
    table = linear_schedule(100, 1e-3, 0.2).alpha_bar
    return [(table, *rest) for rest in ((50, 30, 1.0), (100, 99, 1.0), (60, 20, 0.5), (1, 0, 1.0), (40, 0, 0.7), (2, 1, 0.25), (80, 79, 0.0))]


exercise(
    "sigma", _sigma, cases=_sigma_cases, rtol=1e-5, atol=1e-9,
    hints=["Take Eq. 8.5 and put a^2 = alpha_bar, s^2 = 1 - alpha_bar in, each at its own time. Then the root.",
           "The variance that comes in between t_next and t is 1 - alpha_bar[t] / alpha_bar[t_next].",
           "sigma = eta * sqrt((1 - alpha_bar[t_next]) / (1 - alpha_bar[t]) * (1 - alpha_bar[t] / alpha_bar[t_next]))."],
    mistakes=[
        (_sigma_variance, "this is sigma squared, the variance; the factor of z is its square root"),
        (_sigma_root_of_eta, "sigma is proportional to eta; you have its root, as if eta and not eta^2 stood in the variance"),
        (_sigma_eta_squared, "eta^2 stands in the variance; in sigma itself it is eta"),
        (_sigma_neighbour, "this is sigma for the step from t to t - 1; the step goes to t_next"),
        (_sigma_one_beta, "beta_t is the noise of one step of the chain; between t_next and t there are several: 1 - alpha_bar[t] / alpha_bar[t_next]"),
        (_sigma_added_only, "this is the noise that came in between; a part of it is known once x_0 is: the factor (1 - alpha_bar[t_next]) / (1 - alpha_bar[t]) is missing"),
        (_sigma_upside_down, "the first fraction is upside down: the less noisy time stands above, so that sigma is 0 at the last step"),
        (_sigma_without_eta, "eta is missing: this is the noise of DDPM whatever eta is"),
        (_sigma_squares_as_pair, "you took alpha_bar for a and 1 - alpha_bar for s; these are a^2 and s^2"),
        (_sigma_inverse_ratio, "alpha_bar[t] / alpha_bar[t_next], not the inverse: alpha_bar falls with t, so yours is the root of a negative number"),
        (_sigma_times_swapped, "t and t_next are swapped: t is the noisier time, where the step begins"),
        (_sigma_first_not_rooted, "the first factor, (1 - alpha_bar[t_next]) / (1 - alpha_bar[t]), must stand under the root as well"),
        (_sigma_second_not_rooted, "the second factor, 1 - alpha_bar[t] / alpha_bar[t_next], must stand under the root as well"),
        (_sigma_all_fresh, "this is eta * s_next: at eta = 1 it forgets x_t entirely; Ho's posterior keeps a part of the old noise (Eq. 8.5)"),
        (_sigma_signal_not_squared, "a / a_next must be squared in the bracket: (a / a_next)^2 = alpha_bar[t] / alpha_bar[t_next], without a root"),
        (_sigma_not_shrunk, "the bracket is not s^2 - s_next^2: the noise at t_next shrinks with the signal on its way to t, so (a / a_next)^2 belongs before s_next^2"),
        (_sigma_shifted, "both indices are one too small: the table starts with alpha_bar[0] = 1 and is indexed with t itself"),
        (_sigma_eta_times_variance, "this is eta times the variance of DDPM; the root is missing")])


def _times(T, steps):
    return [round(T * (1 - k / steps)) for k in range(steps + 1)]


def _times_without_end(T, steps):
    return _times(T, steps)[:-1]


def _times_without_start(T, steps):
    return _times(T, steps)[1:]


def _times_to_one(T, steps):
    return [round(1 + (T - 1) * (1 - k / steps)) for k in range(steps + 1)]


def _times_below(T, steps):
    return [round((T - 1) * (1 - k / steps)) for k in range(steps + 1)]


def _times_one_too_few(T, steps):
    return [T] if steps == 1 else [round(T * (1 - k / (steps - 1))) for k in range(steps)]


def _times_stride(T, steps):
    return [*range(T, 0, -(T // steps)), 0]


def _times_stride_open(T, steps):
    return list(range(T, 0, -(T // steps)))


def _times_rising(T, steps):
    return _times(T, steps)[::-1]


def _times_floats(T, steps):
    return [T * (1 - k / steps) for k in range(steps + 1)]


def _times_tensor(T, steps):
    return torch.linspace(T, 0, steps + 1)


def _times_floored(T, steps):
    return [T - k * (T // steps) for k in range(steps)] + [0]


def _times_cut_off(T, steps):
    return [int(T * (1 - k / steps)) for k in range(steps + 1)]


def _times_to_one_then_zero(T, steps):
    return torch.linspace(T, 1, steps).round().int().tolist() + [0]


def _times_one_rounded_stride(T, steps):
    return [T - k * round(T / steps) for k in range(steps + 1)]


def _times_of_other_code(T, steps):
    return [t + 1 for t in range(0, T, T // steps)][::-1] + [0]


def _times_whole_floats(T, steps):
    return [float(t) for t in _times(T, steps)]


_TIMES_CASES = ((1000, 20), (1000, 7), (200, 200), (10, 3), (50, 1), (100, 30))


def _times_probe(answer):
    """What the answer returns, and beside it the types of its numbers: 50.0 is not 50 here."""
    lists = [answer(T, steps) for T, steps in _TIMES_CASES]
    return [(times, [type(t).__name__ for t in times] if isinstance(times, list | tuple | range) else "none") for times in lists]


def _times_accept(lists):
    for (T, steps), (times, _) in zip(_TIMES_CASES, lists, strict=True):
        where = f"for T = {T} and steps = {steps}"
        if not isinstance(times, list | tuple | range):
            return f"{where} your function returns a {type(times).__name__}; return a list of whole numbers (a tensor has .tolist())."
        times = list(times)
        if any(isinstance(t, bool) or not isinstance(t, int) for t in times):
            return f"{where} not all your times are whole numbers (int): {times[:3]} ..."
        if len(times) != steps + 1:
            return f"{where} there must be steps + 1 = {steps + 1} times, because both ends belong to the list; you have {len(times)}."
        if times[0] != T or times[-1] != 0:
            return f"{where} the list must start at T = {T} and end at 0; yours goes from {times[0]} to {times[-1]}."
        gaps = [before - after for before, after in pairwise(times)]
        if min(gaps) < 1:
            return f"{where} the times must fall at every step; yours has the neighbours {times[gaps.index(min(gaps))]} and {times[gaps.index(min(gaps)) + 1]}."
        if max(gaps) - min(gaps) > 1:
            return f"{where} the times are not spaced evenly: the gaps between neighbours run from {min(gaps)} to {max(gaps)}; they should differ by 1 at most."
    return None


exercise(
    "times", _times, probe=_times_probe, accept=_times_accept,
    hints=["steps + 1 numbers make steps gaps: k = 0, 1, ..., steps.",
           "Number k is T (1 - k / steps), made whole.",
           "return [round(T * (1 - k / steps)) for k in range(steps + 1)]."],
    mistakes=[
        (_times_without_end, "the end is missing: the last number must be 0, or some noise stays in every sample"),
        (_times_without_start, "the start is missing: the noise you begin with belongs to t = T, so the list begins with T"),
        (_times_to_one, "the list ends at 1; the data is at t = 0, so the last step must arrive there"),
        (_times_below, "the list starts at T - 1; here t runs from 1 to T, and sampling starts at T"),
        (_times_one_too_few, "these are `steps` numbers, which make only steps - 1 steps; both ends belong to the list, so it has steps + 1"),
        (_times_stride, "a fixed stride T // steps does not divide T in general, so you get too many steps, and a last one of another length; round each T (1 - k / steps) by itself"),
        (_times_stride_open, "range stops before its end, so 0 is missing; and a fixed stride T // steps gives a wrong number of steps when steps does not divide T"),
        (_times_floored, "the remainder of T / steps is put into the last step, which becomes too long; round each T (1 - k / steps) by itself"),
        (_times_rising, "the list rises; sampling goes from noise to data, from T down to 0"),
        (_times_floats, "these are not whole numbers, but the times of a schedule are positions in a table: round them"),
        (_times_tensor, "this is a tensor of floats; return a list of whole numbers, because the times are positions in a table"),
        (_times_cut_off, "int() cuts off, and 1000 * (1 - 11 / 20) is 449.99999999999994 in floats: use round(), or T * (steps - k) // steps"),
        (_times_to_one_then_zero, "the last gap is too short: your even list ends at 1, and a 0 is put after it; space all steps + 1 numbers evenly, from T to 0"),
        (_times_one_rounded_stride, "one rounded stride, T / steps, misses 0 when steps does not divide T: its error adds up; round each T (1 - k / steps) by itself"),
        (_times_of_other_code, "this list, common in other code, begins below T; here T belongs to it"),
        (_times_whole_floats, "the numbers are right, but they are floats; the times are positions in a table, so make them int: round(x) with one argument does")])


def _table_step(x_t, eps_hat, t, t_next, alpha_bar):
    a, s = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    a_next, s_next = alpha_bar[t_next].sqrt(), (1 - alpha_bar[t_next]).sqrt()
    x_0_hat = (x_t - s * eps_hat) / a
    return a_next * x_0_hat + s_next * eps_hat


def _table_step_neighbour(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step(x_t, eps_hat, t, t - 1, alpha_bar)


def _table_step_at_least_one(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step(x_t, eps_hat, t, max(t_next, 1), alpha_bar)


def _table_step_shifted(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step(x_t, eps_hat, t - 1, t_next - 1, alpha_bar)


def _table_step_no_roots(x_t, eps_hat, t, t_next, alpha_bar):
    x_0_hat = (x_t - (1 - alpha_bar[t]) * eps_hat) / alpha_bar[t]
    return alpha_bar[t_next] * x_0_hat + (1 - alpha_bar[t_next]) * eps_hat


def _table_step_no_direction(x_t, eps_hat, t, t_next, alpha_bar):
    x_0_hat = (x_t - (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha_bar[t].sqrt()
    return alpha_bar[t_next].sqrt() * x_0_hat


def _table_step_old_noise(x_t, eps_hat, t, t_next, alpha_bar):
    x_0_hat = (x_t - (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha_bar[t].sqrt()
    return alpha_bar[t_next].sqrt() * x_0_hat + (1 - alpha_bar[t]).sqrt() * eps_hat


def _table_step_variance(x_t, eps_hat, t, t_next, alpha_bar):
    x_0_hat = (x_t - (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha_bar[t].sqrt()
    return alpha_bar[t_next].sqrt() * x_0_hat + (1 - alpha_bar[t_next]) * eps_hat


def _table_step_guess(x_t, eps_hat, t, t_next, alpha_bar):
    return (x_t - (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha_bar[t].sqrt()


def _table_step_clipped(x_t, eps_hat, t, t_next, alpha_bar):
    x_0_hat = ((x_t - (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha_bar[t].sqrt()).clamp(-1, 1)
    return alpha_bar[t_next].sqrt() * x_0_hat + (1 - alpha_bar[t_next]).sqrt() * eps_hat


def _table_step_from(x_t, eps_hat, t, t_next, alpha_bar, *, a=None, s=None, a_next=None, s_next=None, sign=1.0):
    """The right step, but for the factors that are given."""
    a = alpha_bar[t].sqrt() if a is None else a
    s = (1 - alpha_bar[t]).sqrt() if s is None else s
    a_next = alpha_bar[t_next].sqrt() if a_next is None else a_next
    s_next = (1 - alpha_bar[t_next]).sqrt() if s_next is None else s_next
    return a_next * (x_t - sign * s * eps_hat) / a + s_next * eps_hat


def _table_step_undivided(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step_from(x_t, eps_hat, t, t_next, alpha_bar, a=1.0)


def _table_step_plus(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step_from(x_t, eps_hat, t, t_next, alpha_bar, sign=-1.0)


def _table_step_minus(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step_from(x_t, eps_hat, t, t_next, alpha_bar, s_next=-(1 - alpha_bar[t_next]).sqrt())


def _table_step_eps_as_x_0(x_t, eps_hat, t, t_next, alpha_bar):
    eps = (x_t - alpha_bar[t].sqrt() * eps_hat) / (1 - alpha_bar[t]).sqrt()
    return alpha_bar[t_next].sqrt() * eps_hat + (1 - alpha_bar[t_next]).sqrt() * eps


def _table_step_no_root_a(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step_from(x_t, eps_hat, t, t_next, alpha_bar, a=alpha_bar[t])


def _table_step_no_root_s(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step_from(x_t, eps_hat, t, t_next, alpha_bar, s=1 - alpha_bar[t])


def _table_step_no_root_a_next(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step_from(x_t, eps_hat, t, t_next, alpha_bar, a_next=alpha_bar[t_next])


def _table_step_root_inside(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step_from(x_t, eps_hat, t, t_next, alpha_bar, s=1 - alpha_bar[t].sqrt(), s_next=1 - alpha_bar[t_next].sqrt())


def _table_step_nowhere(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step(x_t, eps_hat, t_next, t_next, alpha_bar)


def _table_step_swapped(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step(x_t, eps_hat, t_next, t, alpha_bar)


def _table_step_before_next(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step(x_t, eps_hat, t, t_next - 1, alpha_bar)


def _table_step_ddpm_mean(x_t, eps_hat, t, t_next, alpha_bar):
    alpha = alpha_bar[t] / alpha_bar[t_next]
    return (x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()


def _table_step_fresh(x_t, eps_hat, t, t_next, alpha_bar):
    x_0_hat = (x_t - (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha_bar[t].sqrt()
    return alpha_bar[t_next].sqrt() * x_0_hat + (1 - alpha_bar[t_next]).sqrt() * torch.randn_like(x_t)


def _table_step_stays_at_end(x_t, eps_hat, t, t_next, alpha_bar):
    return _table_step(x_t, eps_hat, t, t_next, alpha_bar) if t_next > 0 else x_t


def _table_step_cases():
    g = torch.Generator().manual_seed(8)
    table = linear_schedule(100, 1e-3, 0.2).alpha_bar
    shapes = ((3, 2), (2, 1, 4, 4), (2, 2), (2, 3))
    return [(torch.randn(shape, generator=g), torch.randn(shape, generator=g), t, t_next, table)
            for shape, (t, t_next) in zip(shapes, ((100, 60), (50, 30), (20, 0), (1, 0)), strict=True)]


exercise(
    "table_step", _table_step, cases=_table_step_cases,
    hints=["Two moves: from x_t and eps_hat to the guess x_0_hat, then from both guesses to x at the next time.",
           "x_0_hat is the jump at time t, solved for x_0. Then make the jump at time t_next with x_0_hat and eps_hat.",
           "alpha_bar has T + 1 entries and alpha_bar[0] is 1, so t_next = 0 needs nothing special."],
    mistakes=[
        (_table_step_neighbour, "this goes from t to t - 1; the next time in the list is t_next, and its coefficients are alpha_bar[t_next]"),
        (_table_step_at_least_one, "the step to t_next = 0 stops at 1; alpha_bar[0] is 1, use it"),
        (_table_step_shifted, "both indices are one too small: the table starts with alpha_bar[0] = 1 and is indexed with t itself (and [-1] is its last entry, so at t_next = 0 you took alpha_bar_T)"),
        (_table_step_no_roots, "alpha_bar and 1 - alpha_bar are variances; the factors are their square roots"),
        (_table_step_no_direction, "the noise is gone at once: s_next times eps_hat is missing, the part that points back to x_t"),
        (_table_step_old_noise, "the noise must shrink as well: its factor belongs to t_next, not to t"),
        (_table_step_variance, "the factor of eps_hat at the next time is the square root of 1 - alpha_bar[t_next]"),
        (_table_step_guess, "this is the guess x_0_hat; one more jump, to t_next, with the same eps_hat"),
        (_table_step_clipped, "you clip the guess, but keep the eps_hat of the guess that you did not clip; nothing is to be clipped here"),
        (_table_step_undivided, "the guess x_0_hat must be divided by sqrt(alpha_bar[t]): the signal in x_t has shrunk by it"),
        (_table_step_plus, "the noise must be taken away from x_t, not added: x_0_hat = (x_t - s * eps_hat) / a"),
        (_table_step_minus, "the second part is added: x at t_next is a_next * x_0_hat + s_next * eps_hat, a jump like any other"),
        (_table_step_eps_as_x_0, "you use eps_hat as if it were x_0_hat; it is the network's guess of the noise in x_t"),
        (_table_step_no_root_a, "the divisor of the guess is the signal sqrt(alpha_bar[t]); its root is missing"),
        (_table_step_no_root_s, "the noise in x_t has the factor sqrt(1 - alpha_bar[t]); its root is missing"),
        (_table_step_no_root_a_next, "the factor of x_0_hat at the next time is sqrt(alpha_bar[t_next]); its root is missing"),
        (_table_step_root_inside, "the factor of the noise is sqrt(1 - alpha_bar), not 1 - sqrt(alpha_bar)"),
        (_table_step_nowhere, "this is x_t again: the guess is made at t, where x_t is; with alpha_bar[t_next] in it the two moves cancel"),
        (_table_step_swapped, "t and t_next are swapped: the guess is made at t, and the jump goes to t_next"),
        (_table_step_before_next, "the arrival is alpha_bar[t_next] itself, not the entry before it (and at t_next = 0 the index -1 is the last entry, alpha_bar_T)"),
        (_table_step_ddpm_mean, "this is the mean of DDPM's step, eta = 1; at eta = 0 all of the old noise is kept: s_next * eps_hat"),
        (_table_step_fresh, "this draws fresh noise; at eta = 0 the old noise is used again, eps_hat"),
        (_table_step_stays_at_end, "at t_next = 0 you return x_t as it is; the last step arrives at x_0_hat")])


def _inversion(denoiser, x, times, path):
    for t, t_next in pairwise(reversed(times)):                    # upwards
        now, then = torch.full((len(x),), t), torch.full((len(x),), t_next)
        a, s = path.at(now, x)
        a_next, s_next = path.at(then, x)
        x = ddim_step(x, denoiser(x, now), a, s, a_next, s_next)
    return x


def _along(denoiser, x, times, path, told=lambda t, t_next: t, swap=False, eta=0.0):
    for t, t_next in pairwise(times):
        ends = [path.at(torch.full((len(x),), k), x) for k in ((t_next, t) if swap else (t, t_next))]
        x = ddim_step(x, denoiser(x, torch.full((len(x),), told(t, t_next))), *ends[0], *ends[1], eta)
    return x


def _inversion_down(denoiser, x, times, path):
    return _along(denoiser, x, times, path)


def _inversion_told_next(denoiser, x, times, path):
    return _along(denoiser, x, times[::-1], path, told=lambda t, t_next: t_next)


def _inversion_told_top(denoiser, x, times, path):
    return _along(denoiser, x, times[::-1], path, told=lambda t, t_next: times[0])


def _inversion_swapped(denoiser, x, times, path):
    return _along(denoiser, x, times[::-1], path, swap=True)


def _inversion_short(denoiser, x, times, path):
    return _along(denoiser, x, times[::-1][:-1], path)


def _inversion_late(denoiser, x, times, path):
    return _along(denoiser, x, times[::-1][1:], path)


def _inversion_one_jump(denoiser, x, times, path):
    return _along(denoiser, x, [times[-1], times[0]], path)


def _inversion_noised(denoiser, x, times, path):
    a, s = path.at(torch.full((len(x),), times[0]), x)
    return a * x + s * torch.randn_like(x)


def _inversion_clipped(denoiser, x, times, path):
    return _along(clipped(denoiser), x, times[::-1], path)


def _inversion_answer_as_noise(denoiser, x, times, path):
    for t, t_next in pairwise(times[::-1]):
        (a, s), (a_next, s_next) = (path.at(torch.full((len(x),), k), x) for k in (t, t_next))
        eps_hat = denoiser(x, torch.full((len(x),), t))
        x = a_next * (x - s * eps_hat) / a + s_next * eps_hat
    return x


def _inversion_arguments_swapped(denoiser, x, times, path):
    for t, t_next in pairwise(times[::-1]):
        now, then = (torch.full((len(x),), k) for k in (t, t_next))
        x = ddim_step(denoiser(x, now), x, *path.at(now, x), *path.at(then, x))
    return x


def _inversion_no_noise(denoiser, x, times, path):
    for t, t_next in pairwise(times[::-1]):
        x = path.at(torch.full((len(x),), t_next), x)[0] * denoiser(x, torch.full((len(x),), t))
    return x


def _inversion_from_zero(denoiser, x, times, path):
    return _along(denoiser, x, [0, *times[::-1]], path)


def _inversion_picture_as_guess(denoiser, x, times, path):
    picture = x
    return _along(lambda x, t: picture, x, times[::-1], path)


def _inversion_not_updated(denoiser, x, times, path):
    return _along(denoiser, x, [times[1], times[0]], path)


def _inversion_return_inside(denoiser, x, times, path):
    return _along(denoiser, x, [times[-1], times[-2]], path)


def _inversion_one_up(denoiser, x, times, path):
    for t in times[:0:-1]:
        x = _along(denoiser, x, [t, t + 1], path)
    return x


def _inversion_every_time(denoiser, x, times, path):
    return _along(denoiser, x, range(times[-1], times[0] + 1), path)


def _inversion_pairs_not_turned(denoiser, x, times, path):
    for pair in reversed(list(pairwise(times))):
        x = _along(denoiser, x, pair, path)
    return x


def _inversion_told_position(denoiser, x, times, path):
    return _along(denoiser, x, times[::-1], path, told=lambda t, t_next: times[::-1].index(t))


def _inversion_told_count(denoiser, x, times, path):
    return _along(denoiser, x, times[::-1], path, told=lambda t, t_next: times[::-1].index(t) + 1)


def _inversion_told_bottom(denoiser, x, times, path):
    return _along(denoiser, x, times[::-1], path, told=lambda t, t_next: times[-1])


def _inversion_list_changed(denoiser, x, times, path):
    times.reverse()
    return _along(denoiser, x, times, path)


def _inversion_by_ddim(denoiser, x, times, path):
    for _, x, _ in ddim(denoiser, x, times[::-1], path):
        pass
    return x


def _inversion_cases():
    schedule = linear_schedule(100, 1e-3, 0.2)
    exact = three_clouds(schedule)
    x_0 = exact.sample(6, torch.Generator().manual_seed(8)).double()
    return [(exact, x_0, times, ddpm_path(schedule)) for times in ([100, 60, 30, 10, 1], [100, 50, 1], list(range(100, 0, -1)))]


exercise(
    "inversion", _inversion, cases=_inversion_cases,
    hints=["The same step as in drawing, ddim_step with eta = 0, but through the list in the other direction.",
           "pairwise(reversed(times)) gives (1, ...), ..., (..., T). The denoiser is asked at the time where you are.",
           "a, s = path.at(now, x); a_next, s_next = path.at(then, x); x = ddim_step(x, denoiser(x, now), a, s, a_next, s_next)."],
    mistakes=[
        (_inversion_down, "you walk from noise to data; walk through the list upwards: pairwise(reversed(times))"),
        (_inversion_told_next, "the denoiser is told the time where you are going; tell it the time at which x is now"),
        (_inversion_told_top, "the denoiser is told T at every step; tell it the time at which x is now"),
        (_inversion_swapped, "the two ends are swapped: a, s belong to the time where x is, a_next, s_next to where it goes"),
        (_inversion_short, "the last step, up to T, is missing"),
        (_inversion_late, "the first step is missing: begin at the smallest time of the list"),
        (_inversion_one_jump, "one jump from the bottom to the top, or one guess kept for all steps: ask the denoiser anew at each time of the list"),
        (_inversion_noised, "this adds noise of its own, as in training; the inversion draws none, it asks the denoiser which noise is there"),
        (_inversion_clipped, "you clip the guess; what is cut off cannot be found again on the way back"),
        (_inversion_answer_as_noise, "the denoiser's answer is x_0_hat; you use it as the noise"),
        (_inversion_arguments_swapped, "the first two arguments of ddim_step are swapped: ddim_step(x, x_0_hat, ...)"),
        (_inversion_no_noise, "this keeps only a_next * x_0_hat; the noise that the guess leaves, s_next * eps_hat, is the code: let ddim_step add it"),
        (_inversion_from_zero, "the result is NaN: at t = 0 there is no noise to read off, s = 0; start at times[-1], without a 0 in front"),
        (_inversion_picture_as_guess, "the picture is used as the guess at every step; ask the denoiser for x_0_hat"),
        (_inversion_not_updated, "each step starts from the picture again, so only the last one counts: x = ddim_step(x, ...)"),
        (_inversion_return_inside, "this is the first step alone; the return belongs after the loop"),
        (_inversion_one_up, "you step from t to t + 1; the next time is the one that follows in the list"),
        (_inversion_every_time, "you walk through every t between the ends; walk through the times of the list"),
        (_inversion_pairs_not_turned, "the pairs come in the right order, but each still leads downwards: turn the list first, then make pairs"),
        (_inversion_told_position, "the denoiser is told the position in the list; tell it the time at which x is now"),
        (_inversion_told_count, "the denoiser is told the number of the step; tell it the time at which x is now"),
        (_inversion_told_bottom, "the denoiser is told the smallest time at every step; tell it the time at which x is now"),
        (_inversion_list_changed, "times.reverse() changes the caller's list; use times[::-1]"),
        (_inversion_by_ddim, "ddim refuses rising times; call ddim_step yourself")])
