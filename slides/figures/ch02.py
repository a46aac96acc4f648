"""Pictures and numbers of deck 02, Forward noising."""
import functools

import numpy as np
import torch
from matplotlib.figure import Figure

from ddpm_lib import data, plots
from ddpm_lib.course.ch02 import THREE, noised, photograph
from ddpm_lib.course.exercise import REGISTRY
from ddpm_lib.ddpm import q_sample, q_step
from ddpm_lib.schedules import cosine_schedule, linear_schedule, log_snr, snr

from . import Frames, resized

LOOKS = {"linear": (plots.DATA, "-"), "cosine": (plots.MODEL, "--"), "sigmoid": (plots.ERROR, ":")}


def _row(pictures, titles, columns=None, labels=(), width=6.4):
    """Pictures (N, C, H, W) in rows, as wide as the slide."""
    grid = plots.image_grid(pictures, columns=columns or len(pictures), width=width, titles=titles, labels=labels)
    return resized(grid, 1136)


def _power(x):
    """A number like 4.0e-05 as LaTeX."""
    mantissa, exponent = f"{x:.1e}".split("e")
    return rf"{mantissa}\times 10^{{{int(exponent)}}}"


def _walk(x, steps, seed, step):
    """[x at t = 0, then at each t of steps]: a chain whose every step is step(x, t, eps)."""
    generator, out = torch.Generator().manual_seed(seed), [x]
    for t in range(1, max(steps) + 1):
        x = step(x, t, torch.randn(x.shape, generator=generator))
        if t in steps:
            out.append(x)
    return torch.cat(out)


def _exploded(x, steps):
    """Noise added without making room: x at t = 0, then at each t of steps."""
    return _walk(x, steps, 0, lambda x, t, eps: x + 0.02 ** 0.5 * eps)


def exploding():
    """The portrait after 50, 200, 500 and 1000 steps that only add."""
    return _row(_exploded(photograph(48), (50, 200, 500, 1000)), ["t = 0", "50", "200", "500", "1000"])


def portrait_variance():
    return f"{photograph().var():.2f}"


def exploded_variance():
    return f"{_exploded(photograph(), (1000,))[1:].var():.0f}"


def exploded_times():
    return f"{float(_exploded(photograph(), (1000,))[1:].std() / photograph().std()):.0f}"


def clipped():
    """Per cent of the exploded portrait's values that a screen cannot show."""
    return f"{100 * float((_exploded(photograph(), (1000,))[1:].abs() > 1).float().mean()):.0f}"


def make_room():
    """One step with beta = 0.36: a bell of variance 1, the same bell shrunk, and the shrunk bell with noise."""
    figure, grid = Figure(figsize=(11.3, 2.1), layout="constrained"), np.linspace(-3.4, 3.4, 69)
    panels = (("before: variance 1", 1.0), ("shrunk: variance 0.64", 0.64), ("with noise: variance 1", 1.0))
    for axes, (title, variance) in zip(figure.subplots(1, 3, sharey=True), panels):
        bell = np.exp(-grid ** 2 / (2 * variance)) / (2 * np.pi * variance) ** 0.5
        axes.fill_between(grid, bell, color=plots.DATA, alpha=0.3, linewidth=0)
        axes.plot(grid, bell, color=plots.EXACT)
        axes.set(xlim=(-3.4, 3.4), ylim=(0, 0.53), yticks=[], xticks=(-2, 0, 2))
        axes.set_title(title, fontsize=18)
        axes.spines["left"].set_visible(False)
    return figure


def chain():
    """The forward chain of the linear schedule, walked step by step."""
    steps = (100, 300, 500, 1000)
    strip = _walk(photograph(48), steps, 2, lambda x, t, eps: q_step(x, torch.tensor([t]), eps, THREE["linear"]))
    return _row(strip, ["t = 0", *map(str, steps)])


def clean_and_noisy():
    """One portrait, clean and at three strengths of noise."""
    strip = torch.cat([noised(photograph(), t, THREE["linear"]) for t in (0, 100, 250, 500)])
    return _row(strip, ["clean", "a little", "more", "nearly all noise"])


def variances():
    """The variance of the chain's values, from three starting values."""
    figure = Figure(figsize=(11, 4.9), layout="constrained")
    axes, alpha_bar = figure.add_subplot(), THREE["linear"].alpha_bar
    portrait = round(float(photograph().var()), 2)
    for start, color, style in ((4.0, "#6b7075", "--"), (1.0, plots.EXACT, "-"), (portrait, plots.DATA, "-.")):
        axes.plot(range(1001), 1 + alpha_bar * (start - 1), style, color=color)
        name = f"starts at {start:g}" + ", the portrait" * (start < 1)
        axes.text(12, start + (0.12 if start >= 1 else -0.06), name, ha="left", va="bottom" if start >= 1 else "top")
    axes.set(xlabel="step $t$", ylabel="variance of $x_t$", ylim=(-0.4, 4.9), yticks=range(5), xlim=(-5, 1000))
    return figure


def left_at_500():
    return f"{100 * float(THREE['linear'].alpha_bar[500]):.0f}"


def share_at_500():
    return f"{float(THREE['linear'].alpha_bar[500]):.2f}"


def sum_to_500():
    return f"{float(THREE['linear'].beta[:501].sum()):.1f}"


def recursion_error():
    """The largest difference between the two recursions and the closed form, over all t."""
    schedule, factor, variance, worst = THREE["linear"], 1.0, 0.0, 0.0
    for t in range(1, schedule.T + 1):
        factor, variance = float(schedule.alpha[t]) ** 0.5 * factor, float(schedule.alpha[t]) * variance + float(schedule.beta[t])
        alpha_bar = float(schedule.alpha_bar[t])
        worst = max(worst, abs(factor - alpha_bar ** 0.5), abs(variance - (1 - alpha_bar)))
    return _power(worst)


_STEPS, _WALKERS = (1, 50, 100, 200, 300, 400, 600, 800, 1000), 20_000


@functools.cache
def _walked():
    """20,000 walkers from 0.7 that take every step: (moments, walkers)."""
    step = lambda x, t, eps: q_step(x, torch.full((len(x),), t), eps, THREE["linear"])
    return _walk(torch.full((_WALKERS, 1), 0.7), _STEPS, 3, step).view(-1, _WALKERS)


def walkers():
    """Mean and variance of the walkers (dots) on the closed form (lines)."""
    alpha_bar, x = THREE["linear"].alpha_bar, _walked()
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    axes, t = figure.add_subplot(), range(1001)
    axes.plot(t, 1 - alpha_bar, color=plots.EXACT)
    axes.plot(t, 0.7 * alpha_bar.sqrt(), "--", color=plots.EXACT)
    axes.plot((0, *_STEPS), x.var(1), "o", ms=11, color=plots.NOISE)
    axes.plot((0, *_STEPS), x.mean(1), "s", ms=11, color=plots.DATA)
    axes.text(1000, 0.88, r"variance: dots measured, line $1-\bar\alpha_t$", ha="right", va="top")
    axes.text(1000, 0.24, r"mean: squares measured, line $0.7\sqrt{\bar\alpha_t}$", ha="right", va="bottom")
    axes.set(xlabel="step $t$", xlim=(-10, 1010), ylim=(-0.05, 1.1), xticks=range(0, 1001, 200))
    return figure


def walkers_off():
    """The largest deviation of the walkers from the closed form, in standard errors, over nine moments."""
    alpha_bar, worst = THREE["linear"].alpha_bar, 0.0
    for row, t in zip(_walked()[1:], _STEPS):
        mean, var = float(alpha_bar[t]) ** 0.5 * 0.7, 1 - float(alpha_bar[t])
        worst = max(worst, abs(row.mean().item() - mean) / (var / _WALKERS) ** 0.5, abs(row.var().item() - var) / (var * (2 / _WALKERS) ** 0.5))
    return f"{worst:.1f}"


def signal_and_noise():
    """The two coefficients of the jump, and where they cross."""
    schedule, t = THREE["linear"], np.arange(1, 1001)
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    axes, crossing = figure.add_subplot(), int((snr(schedule)[1:] < 1).nonzero()[0]) + 1
    axes.plot(t, schedule.alpha_bar[1:].sqrt(), color=plots.DATA)
    axes.plot(t, (1 - schedule.alpha_bar[1:]).sqrt(), "--", color=plots.NOISE)
    axes.axvline(crossing, color=plots.GREY, lw=1.5)
    axes.text(520, 0.30, r"signal $\sqrt{\bar\alpha_t}$")
    axes.text(520, 0.86, r"noise $\sqrt{1-\bar\alpha_t}$")
    axes.text(crossing + 12, 0.03, f"SNR falls below 1 at $t$ = {crossing}")
    axes.set(xlabel="step $t$", ylabel="coefficient", xlim=(0, 1000), ylim=(0, 1.04))
    return figure


def three_schedules():
    """alpha_bar of the three schedules."""
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    axes = figure.add_subplot()
    for name, (color, style) in LOOKS.items():
        axes.plot(range(1001), THREE[name].alpha_bar, style, color=color, label=name)
    axes.set(xlabel="step $t$", ylabel=r"$\bar\alpha_t$, share of signal", xlim=(0, 1000), ylim=(0, 1.02))
    axes.legend(loc="upper right")
    return figure


def three_rows():
    """The portrait under the three schedules at seven moments, with the same noise."""
    moments, small = (0, 100, 250, 400, 550, 700, 850), photograph(48)
    pictures = torch.cat([noised(small, t, s) for s in THREE.values() for t in moments])
    return _row(pictures, ["t = 0", *map(str, moments[1:])], columns=7, labels=list(THREE))


def noise_slider():
    """The chapter's figure: the portrait at step t of a schedule, its values' histogram, and ln SNR."""
    small, moments = photograph(48), (0, 175, 260, 375, 500, 700, 1000)       # 260 and 500: where SNR is 1
    edges, grid = np.linspace(-4, 4, 33), np.linspace(-4, 4, 97)

    def frame(name, t):
        figure = Figure(figsize=(7.2, 3.7))
        middle, right = figure.add_axes((0.07, 0.22, 0.4, 0.66)), figure.add_axes((0.58, 0.22, 0.38, 0.66))
        x_t = noised(small, t, THREE[name])
        middle.stairs(np.histogram(x_t.numpy(), edges, density=True)[0], edges, fill=True, color="#4295c4", antialiased=False)
        middle.plot(grid, np.exp(-grid ** 2 / 2) / np.sqrt(2 * np.pi), color=plots.EXACT, lw=2.5, antialiased=False)
        middle.set(xlim=(-4, 4), ylim=(0, 1.2), xlabel="value", xticks=(-4, 0, 4), yticks=(0, 0.5, 1))
        middle.set_title("values; N(0, 1) black", fontsize=18)
        for other, (color, style) in LOOKS.items():
            on = other == name
            right.plot(range(1, 1001), log_snr(THREE[other])[1:], style if on else "-", color=color if on else "#b8c0c8",
                       lw=4 if on else 2, zorder=2 + on, antialiased=False)
        ratio = float(snr(THREE[name])[t]) if t else float("inf")
        right.plot([t], [np.clip(np.log(ratio), -20, 15)], "o", ms=13, color=plots.EXACT, clip_on=False, zorder=5)
        right.axhline(0, color=plots.GREY, lw=1)
        right.set(xlim=(0, 1000), ylim=(-20, 15), xlabel="step $t$", xticks=(0, 500, 1000), yticks=(-20, -10, 0, 10))
        right.set_title("ln SNR" + (f"; SNR = {ratio:.2g}" if t else "; SNR infinite"), fontsize=18)
        return plots.mosaic(x_t, 1), figure

    return Frames({name: [frame(name, t) for t in moments] for name in THREE}, [f"t = {t}" for t in moments], slider="step t",
                  choice="schedule", start=(1, 0), zoom=1.0, limit=190_000, height=380, stills=[(0, 0), (2, 0), (4, 0), (4, 1)], across=2,
                  alt="A portrait noised to step t under the chosen schedule, the histogram of its values beside the standard "
                      "Gaussian, and the curves of the logarithm of the signal-to-noise ratio with a dot at the step.")


_ENDS = {"linear, T = 1000": linear_schedule(), "linear, T = 100": linear_schedule(100),
         "cosine, T = 1000": cosine_schedule(), "cosine, T = 100": cosine_schedule(100)}


def ends():
    """x_T of four schedules."""
    pictures = torch.cat([noised(photograph(), s.T, s) for s in _ENDS.values()])
    return _row(pictures, [name.replace(", ", "\n") for name in _ENDS])


def signal_left_short():
    return f"{float(_ENDS['linear, T = 100'].alpha_bar[-1]) ** 0.5:.2f}"


def signal_left_long():
    return f"{float(_ENDS['linear, T = 1000'].alpha_bar[-1]) ** 0.5:.4f}"


def shift_of_white():
    """By how many standard deviations a white 64 x 64 colour picture shifts the mean of x_T."""
    return f"{float(_ENDS['linear, T = 1000'].alpha_bar[-1] * photograph().numel()) ** 0.5:.2f}"


def _mistakes():
    x_0, schedule, t = photograph(), THREE["linear"], torch.tensor([300])
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(5))
    even = torch.rand(x_0.shape, generator=torch.Generator().manual_seed(5))
    alpha_bar, alpha = schedule.alpha_bar[300].float(), schedule.alpha[300].float()
    return {"right": q_sample(x_0, t, eps, schedule),
            "variance for\ndeviation": alpha_bar.sqrt() * x_0 + (1 - alpha_bar) * eps,
            "alpha for\nalpha_bar": alpha.sqrt() * x_0 + (1 - alpha).sqrt() * eps,
            "data in\n[0, 1]": q_sample(data.to_unit(x_0), t, eps, schedule),
            "rand for\nrandn": q_sample(x_0, t, even, schedule)}


def mistakes():
    """Four mistakes at t = 300, beside the right picture, with the variance of each."""
    versions = _mistakes()
    return _row(torch.cat(list(versions.values())), [f"{name}\n" * ("\n" not in name) + name * ("\n" in name) for name in versions])


def mistakes_table():
    return "; ".join(f"{name.replace(chr(10), ' ')}: mean {x.mean():+.2f}, variance {x.var():.2f}" for name, x in _mistakes().items())


def variance_right():
    return f"{_mistakes()['right'].var():.2f}"


def variance_wrong():
    return f"{_mistakes()[chr(10).join(('variance for', 'deviation'))].var():.2f}"


def trap():
    """What the check says to those who multiply the noise by its variance."""
    return next(words for _, words in REGISTRY["q_sample"].mistakes if words.startswith("the noise is multiplied by"))
