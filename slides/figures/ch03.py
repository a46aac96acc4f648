"""Pictures and numbers of deck 03."""

import functools
import math
import re

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from ddpm_lib import data, metrics, plots
from ddpm_lib.course import ch03
from ddpm_lib.course.exercise import REGISTRY
from ddpm_lib.ddpm import q_posterior, q_sample, sample_ddpm
from ddpm_lib.oracles import FiniteDataset
from ddpm_lib.schedules import linear_schedule

from . import Frames, printed, resized

SCHEDULE = linear_schedule(200, 5e-4, 0.1)
HILLS, CLOUDS = ch03.hills(SCHEDULE), ch03.three_clouds(SCHEDULE)
INK, CREAM = "#1b1f24", "#fff6e0"  # CREAM: the ground of a question's slide


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _a_s(t):
    """Signal and noise scale at step t."""
    return float(SCHEDULE.alpha_bar[t]) ** 0.5, float(1 - SCHEDULE.alpha_bar[t]) ** 0.5


def _guess(x, t):
    """E[x_0 | x_t] of the two hills at numbers x."""
    return HILLS(x[:, None], torch.full((len(x),), t))[:, 0]


def _density(x, t):
    """q(x_t) of the two hills at numbers x."""
    return HILLS.log_prob(x[:, None], torch.full((len(x),), t)).exp()


def _given(x_0, x_t, t):
    """q(x_0 | x_t) of the two hills on an even grid of x_0."""
    a, s = _a_s(t)
    log_p = HILLS.log_prob(x_0[:, None], torch.zeros(len(x_0), dtype=torch.int64)) - (x_t - a * x_0) ** 2 / (2 * s**2)
    return log_p.softmax(0) / (x_0[1] - x_0[0])


def _dots(axes, x, y, width=5):
    """Points as one path of very short strokes with round ends: a fifth of the bytes of a scatter plot."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    axes.plot(
        np.stack([x, x + 2e-3, x * np.nan], 1).ravel(),
        np.stack([y, y, y], 1).ravel(),
        color=plots.DATA,
        lw=width,
        solid_capstyle="round",
        snap=False,
        zorder=1,
    )


# -- the best guess ------------------------------------------------------------------------------------------------


def many_to_one():
    """Pairs (x_t, x_0) of the hills at t = 50, and the clean points that belong to one x_t."""
    t, seen, x_0 = 50, -0.2, HILLS.sample(250, _generator(0))
    x_t = q_sample(x_0, torch.full((250,), t), torch.randn(x_0.shape, generator=_generator(1)), SCHEDULE)
    figure = Figure(figsize=(11.2, 4.3), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.2, 1))
    _dots(left, x_t[:, 0], x_0[:, 0])
    left.axvline(seen, color=plots.EXACT, ls="--")
    left.text(seen + 0.06, -0.25, "you see this $x_t$", va="center")
    left.set(xlim=(-2.6, 2.6), ylim=(-1.9, 2.0), yticks=(-1, 0, 1, 2), xlabel="$x_t$ at $t = 50$", ylabel="$x_0$")
    grid = torch.linspace(-1.9, 2, 131, dtype=torch.float64)
    right.fill_betweenx(grid, _given(grid, seen, t), color=plots.DATA, alpha=0.35, linewidth=0)
    right.plot(_given(grid, seen, t), grid, color=plots.EXACT)
    right.set(xlim=(0, None), xticks=(0, 1), xlabel=f"$q(x_0|x_t)$ at $x_t = {seen}$")
    return figure


def left_share():
    """Per cent of the clean points at x_t = -0.2, t = 50 that lie on the left hill."""
    x_t = torch.tensor([[-0.2]], dtype=torch.float64)
    return f"{100 * float(HILLS.responsibilities(x_t, torch.tensor([50]))[0, 0]):.0f}"


def shrink():
    """Standard Gaussian data under as much noise: the cloud, and three lines that are offered as guesses."""
    x_0, eps = torch.randn(2, 100_000, generator=_generator(0))
    x_t, x = 0.5**0.5 * (x_0 + eps), np.array([-2.6, 2.6])
    figure = Figure(figsize=(6.2, 5.0), layout="constrained")
    axes = figure.add_subplot()
    _dots(axes, x_t[:400], x_0[:400], 4.5)
    for slope, color, style, at in (
        (2**0.5, plots.ERROR, "--", (1.6, 2.85)),
        (1, plots.NOISE, "-.", (2.7, 2.65)),
        (0.5**0.5, plots.EXACT, "-", (2.7, 1.85)),
    ):
        axes.plot(x, slope * x, color=color, ls=style)
        axes.text(*at, f"{slope:.2f} $x_t$", ha="left" if at[0] > 2 else "right", va="center")
    edges = np.arange(-2.25, 2.5, 0.5)
    means = [float(x_0[(x_t > low) & (x_t < low + 0.5)].mean()) for low in edges[:-1]]
    axes.plot(edges[:-1] + 0.25, means, "o", color=plots.EXACT, ms=11, mfc="white", mew=2.5, zorder=4)
    axes.set(xlim=(-2.6, 3.9), ylim=(-3.1, 3.1), xlabel="$x_t$", ylabel="$x_0$", xticks=(-2, 0, 2))
    return figure


def _one_gaussian():
    m, v, x_t, a, s = 0.5, 2.0, 1.7, 0.6, 0.8
    x_0 = torch.linspace(-12, 12, 240_001, dtype=torch.float64)
    p = (-((x_0 - m) ** 2) / (2 * v) - (x_t - a * x_0) ** 2 / (2 * s**2)).softmax(0)
    return m + a * v / (a**2 * v + s**2) * (x_t - a * m), float((p * x_0).sum())


def by_formula():
    return f"{_one_gaussian()[0]:.6f}"


def by_grid():
    return f"{_one_gaussian()[1]:.6f}"


def who():
    """The noised hills at t = 50, and the responsibilities over x_t."""
    t, x = 50, torch.linspace(-2.6, 2.6, 66, dtype=torch.float64)
    a, s = _a_s(t)
    r = HILLS.responsibilities(x[:, None], torch.full((66,), t))
    figure = Figure(figsize=(6.2, 5.1), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    for k, (name, color, style) in enumerate((("left hill", plots.DATA, "-"), ("right hill", plots.MODEL, "--"))):
        v = a**2 * HILLS.variances[k, 0] + s**2
        bell = HILLS.weights[k] * (-((x - a * HILLS.means[k, 0]) ** 2) / (2 * v)).exp() / (2 * math.pi * v).sqrt()
        top.plot(x, bell, style, color=color, label=name)
        bottom.plot(x, r[:, k], style, color=color)
    top.text(-1.25, 0.26, "left hill", ha="right")
    top.text(1.35, 0.30, "right hill", ha="left")
    top.set(ylim=(0, 0.42), yticks=(0, 0.4), ylabel=r"$w_k\,\mathcal{N}_k(x_t)$")
    bottom.set(
        ylim=(-0.05, 1.05),
        yticks=(0, 1),
        xticks=(-2, 0, 2),
        xlim=(-2.6, 2.6),
        xlabel="$x_t$ at $t = 50$",
        ylabel="$r_k$",
    )
    return figure


def best_guess():
    """E[x_0 | x_t] over x_t for three t."""
    x = torch.linspace(-2.5, 2.5, 101, dtype=torch.float64)
    figure = plots.curves(
        x,
        {f"$t = {t}$": _guess(x, t) for t in (5, 50, 150)},
        xlabel="$x_t$",
        ylabel=r"$\mathbb{E}\,[x_0|x_t]$",
        colors=("#6b7075", plots.EXACT, plots.DATA),
        size=(11.2, 3.9),
    )
    axes = figure.axes[0]
    for line in axes.lines:
        line.set_linewidth(3)
    axes.legend()
    axes.set(xticks=(-2, -1, 0, 1, 2), yticks=(-2, 0, 2))
    axes.plot([-0.2], _guess(torch.tensor([-0.2], dtype=torch.float64), 50), "o", color=plots.ERROR, ms=13, zorder=5)
    axes.annotate(
        "a guess in the gap:\nhardly any data here",
        (-0.2, float(_guess(torch.tensor([-0.2]), 50)[0])),
        (0.35, -1.15),
        arrowprops={"arrowstyle": "-", "color": INK, "lw": 1.5, "shrinkB": 8},
        va="center",
    )
    return figure


def _arrows_at(t, x_0, eps, at):
    figure = Figure(figsize=(4.7, 4.3))
    axes = figure.add_axes((0.175, 0.165, 0.81, 0.82))
    ts = torch.full((len(x_0),), t)
    axes.scatter(*q_sample(x_0, ts, eps, SCHEDULE).T, s=16, color="#66aad0", linewidths=0)
    step = _a_s(t)[0] * CLOUDS(at, torch.full((len(at),), t)) - at
    axes.quiver(*at.T, *step.T, color=plots.EXACT, angles="xy", scale_units="xy", scale=4, width=0.007, headwidth=4)
    axes.set(xlim=(-2.8, 2.8), ylim=(-2.8, 2.8), xlabel="$x_1$", ylabel="$x_2$", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    return figure


def arrows():
    """Noised points of the three clouds and arrows a quarter of the way to a E[x_0 | x_t]; a slider over t."""
    side = torch.linspace(-2.4, 2.4, 7, dtype=torch.float64)
    at, x_0 = torch.cartesian_prod(side, side), CLOUDS.sample(100, _generator(4))
    eps = torch.randn(x_0.shape, generator=_generator(5))
    ts = (200, 150, 100, 70, 50, 35, 27, 20, 10, 1)
    return Frames(
        [_arrows_at(t, x_0, eps, at) for t in ts],
        [f"t = {t}" for t in ts],
        slider="step",
        alt="Arrows on a grid over noised points: one common target at large t, three clouds at small t.",
        stills=(0, 4, 5, 7),
        across=2,
        zoom=1.0,
        limit=62_000,
    )


# -- one step back, and all of them --------------------------------------------------------------------------------


def _reverse_shape(schedule, x_t):
    """The true q(x_{t-1} | x_t) on a grid in the middle of the way, and the bell of equal mean and variance."""
    t = int((schedule.alpha_bar < 0.5).nonzero()[0])
    x = torch.linspace(-6, 6, 60_001, dtype=torch.float64)
    log_q = ch03.hills(schedule).log_prob(x[:, None], torch.full((len(x),), t - 1))
    p = (log_q - (x_t - schedule.alpha[t].sqrt() * x) ** 2 / (2 * schedule.beta[t])).softmax(0)
    mean = (p * x).sum()
    variance = (p * (x - mean) ** 2).sum()
    guess = ch03.hills(schedule)(torch.tensor([[x_t]], dtype=torch.float64), torch.tensor([t]))
    by_guess, _ = q_posterior(guess, torch.tensor([[x_t]], dtype=torch.float64), torch.tensor([t]), schedule)
    assert abs(mean - by_guess) < 1e-6  # Eq. 3.12, whatever T is
    return x, p, (-((x - mean) ** 2) / (2 * variance)).softmax(0), float(mean), float(variance) ** 0.5


def shapes():
    """True reverse steps and bells for 1000, 200, 20 and 5 steps."""
    figure = Figure(figsize=(11.2, 3.1), layout="constrained")
    for k, (axes, T) in enumerate(zip(figure.subplots(1, 4), (1000, 200, 20, 5), strict=True)):
        x, p, bell, mean, sd = _reverse_shape(linear_schedule(T, 0.1 / T, min(20 / T, 0.95)), -0.2)
        near = slice(*(int((mean + side * 3.6 * sd + 6) * 5000) for side in (-1, 1)), max(1, int(0.12 * sd * 5000)))
        axes.plot(x[near], p[near], color=plots.EXACT, lw=5, label="true step")
        axes.plot(x[near], bell[near], "--", color=plots.MODEL, lw=3.5, label="bell")
        distance = 0.5 * float((p - bell).abs().sum())
        number = f"{distance:.{-math.floor(math.log10(distance)) + (distance > 0.1)}f}"
        axes.set(title=f"$T = {T}$\n{number}", xticks=[], yticks=[], xlabel="$x_{t-1}$", ylim=(0, None))
        if k == 3:
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@functools.lru_cache
def _walk(n=4000):
    """4,000 particles of the two hills walking back, (T+1, n): the notebook's."""
    path = {SCHEDULE.T: torch.randn((n, 1), generator=_generator(3))}
    for t, x, _ in sample_ddpm(HILLS, (n, 1), SCHEDULE, _generator(3)):
        path[t] = x
    return torch.stack([path[t][:, 0] for t in range(SCHEDULE.T + 1)])


def _heat_at(t, grid, density, shown=8):
    walk, T = _walk(), SCHEDULE.T
    figure = Figure(figsize=(10, 4.2))
    left, right = figure.add_axes((0.08, 0.185, 0.555, 0.705)), figure.add_axes((0.715, 0.185, 0.275, 0.705))
    shades = colormaps["Blues"](np.linspace(0, 0.62, 6))
    left.contourf(
        range(T + 1),
        grid,
        density / density.amax(0),
        levels=np.linspace(0, 1.0001, 7),
        colors=shades,
        antialiased=False,
    )
    left.set(
        xlim=(T, -2),
        ylim=(-3, 3),
        xlabel="step $t$, running backwards",
        ylabel="$x_t$",
        xticks=(200, 100, 0),
        yticks=(-2, 0, 2),
    )
    for i in range(shown):
        color, size, end, stride = (plots.ERROR, 14, T + 1, 1) if i == 1 else (plots.EXACT, 7, min(T, t + 20) + 1, 2)
        left.plot(
            range(t, end, stride),
            walk[t:end:stride, i],
            color=color,
            lw=size / 4,
            antialiased=False,
            zorder=5 if i == 1 else 3,
        )
        left.plot(t, walk[t, i], "o", color=color, ms=size, mew=0, zorder=6, clip_on=False, antialiased=False)
    edges = np.linspace(-3, 3, 41)
    right.stairs(
        np.histogram(walk[t].numpy(), edges, density=True)[0], edges, fill=True, color="#66c5ab", antialiased=False
    )
    right.plot(grid, density[:, t], color=plots.EXACT)
    right.plot(walk[t, 1], 0.1, "^", color=plots.ERROR, ms=23, mew=0, zorder=6, clip_on=False, antialiased=False)
    right.set(xlim=(-3, 3), ylim=(0, 1.75), xlabel="$x_t$", yticks=(0, 1), xticks=(-2, 0, 2))
    left.set_title(f"{shown} of {walk.shape[1]:,} particles")
    right.set_title("all, and $q(x_t)$")
    return figure


def heat():
    """The central figure: q(x_t) over t and x, and particles that walk from noise back to the two hills."""
    grid = torch.linspace(-3, 3, 241, dtype=torch.float64)
    density = torch.stack([_density(grid, t) for t in range(SCHEDULE.T + 1)], dim=1)
    ts = (200, 100, 75, 60, 50, 40, 30, 20, 10, 0)
    return Frames(
        [_heat_at(t, grid, density) for t in ts],
        [f"t = {t}" for t in ts],
        slider="step",
        alt="Heat map of the density of x_t over t: one broad hill at large t splits in two as t falls to 0. Particles "
        "start anywhere and end in one of the two; their histogram follows the exact density.",
        stills=(1, 4, 6, 9),
        across=2,
        zoom=1.0,
        limit=94_000,
    )


@functools.lru_cache
def _bets():
    """Share of the particles that end on the hill with the larger responsibility at t, for t = 0 .. T."""
    walk = _walk().double()
    right = walk[0] > -0.5
    return [
        float(
            ((HILLS.responsibilities(walk[t][:, None], torch.full((walk.shape[1],), t))[:, 1] > 0.5) == right)
            .double()
            .mean()
        )
        for t in range(SCHEDULE.T + 1)
    ]


def bets():
    """The share of right bets over t, beside that of always betting on the right hill."""
    shares, always = _bets(), float((_walk()[0] > -0.5).double().mean())
    figure = Figure(figsize=(11.2, 3.7), layout="constrained")
    axes = figure.add_subplot()
    axes.plot((200, 0), (always, always), "--", color="#6b7075", lw=2.5)
    axes.plot(range(SCHEDULE.T, -1, -1), shares[::-1], color=plots.EXACT)
    for t in (100, 70, 50, 30, 10):
        axes.plot(t, shares[t], "o", color=plots.MODEL, ms=12)
        axes.text(t + 3, shares[t] + 0.015, f"{100 * shares[t]:.0f}", ha="right", va="bottom")
    axes.text(2, always - 0.015, "always betting on the right hill", ha="right", va="top")
    axes.set(
        xlim=(202, -3),
        ylim=(0.5, 1.09),
        xticks=(200, 150, 100, 70, 50, 30, 10),
        yticks=(0.5, 0.75, 1),
        yticklabels=("50", "75", "100"),
        xlabel="step $t$, running backwards",
        ylabel="% right",
    )
    return figure


# -- is it the same distribution? ----------------------------------------------------------------------------------


@functools.lru_cache
def _sampled(shift, n=20_000):
    """Samples of the three clouds; shift = 1: the denoiser believes that it is at t - 1."""
    for _, x, _ in sample_ddpm(lambda x_t, t: CLOUDS(x_t, t - shift), (n, 2), SCHEDULE, _generator(1)):
        pass
    return x


@functools.lru_cache
def _distances():
    """Energy distances to 50,000 true points: of ten true sets, of the samples, of those that are off by one."""
    truth = CLOUDS.sample(50_000, _generator(0))
    floor = [metrics.energy_distance(CLOUDS.sample(20_000, _generator(k)), truth) for k in range(1, 11)]
    return floor, metrics.energy_distance(_sampled(0), truth), metrics.energy_distance(_sampled(1), truth)


def blind():
    """300 samples each of two samplers, not named: the second one is off by one."""
    figure = Figure(figsize=(8.4, 4.6), facecolor=CREAM)
    figure.subplots_adjust(0.09, 0.17, 0.99, 0.92, wspace=0.06)
    for axes, x, title in zip(figure.subplots(1, 2, sharey=True), (_sampled(0), _sampled(1)), "AB", strict=True):
        _dots(axes, *x[:300].T, 3)
        axes.set(
            xlim=(-2.8, 2.8),
            ylim=(-2.8, 2.8),
            aspect="equal",
            title=title,
            facecolor=CREAM,
            xticks=(-2, 0, 2),
            yticks=(-2, 0, 2),
            xlabel="$x_1$",
        )
    figure.axes[0].set_ylabel("$x_2$")
    return figure


def noticed():
    """The energy distances on one axis."""
    floor, right, wrong = _distances()
    figure = Figure(figsize=(11.2, 3.0), layout="constrained")
    axes = figure.add_subplot()
    for row, (values, color, mark) in enumerate(
        (([wrong], plots.ERROR, "X"), ([right], plots.MODEL, "D"), (floor, plots.DATA, "o"))
    ):
        axes.plot(
            np.array(values) * 1e4,
            [row] * len(values),
            mark,
            color=color,
            ms=15,
            alpha=0.75 if row == 2 else 1,
            clip_on=False,
        )
    axes.set(
        yticks=(0, 1, 2),
        yticklabels=("B: off by one", "A: right sampler", "ten true sets"),
        ylim=(-0.6, 2.6),
        xlim=(0, 8),
        xlabel=r"energy distance to 50,000 true points, in $10^{-4}$",
    )
    axes.grid(axis="x", color="#ccd3da", lw=1)
    return figure


def times_wrong():
    floor, _, wrong = _distances()
    return f"{wrong / (sum(floor) / 10):.1f}"


def times_right():
    floor, right, _ = _distances()
    return f"{right / (sum(floor) / 10):.1f}"


def _printed(start):
    """The rest of the first line of the notebook's outputs that begins with `start`."""
    return printed("03", rf"^\s*{re.escape(start)}(.*)$")[0][1].strip()


def noticed_1000():
    return _printed("1,000 samples: noticed").removesuffix(" wrong sets")


def noticed_5000():
    return _printed("5,000 samples: noticed").removesuffix(" wrong sets")


def planted():
    return _printed("planted").removesuffix(" times the floor")


def trap():
    """What the check says to those who change beta[t] instead."""
    return next(words for _, words in REGISTRY["off_by_one"].mistakes if words.startswith("beta[t] was right"))


# -- samples only --------------------------------------------------------------------------------------------------


def table():
    """The notebook's lookup table at t = 50 beside the exact guess."""
    t, edges, g = 50, torch.linspace(-4, 4, 401), _generator(7)
    x_0 = HILLS.sample(50_000, g)
    x_t = q_sample(x_0, torch.full((50_000,), t), torch.randn(x_0.shape, generator=g), SCHEDULE)
    bins = torch.bucketize(x_t[:, 0], edges)
    means = torch.bincount(bins, x_0[:, 0], minlength=402) / torch.bincount(bins, minlength=402).clamp(min=1)
    x = torch.linspace(-1.8, 1.8, 361)
    figure = plots.curves(
        x,
        {"table": means[torch.bucketize(x, edges)], "exact": _guess(x.double(), t)},
        xlabel="$x_t$ at $t = 50$",
        ylabel=r"$\mathbb{E}\,[x_0|x_t]$",
        colors=(plots.MODEL, plots.EXACT),
        size=(6.2, 4.7),
    )
    axes = figure.axes[0]
    axes.lines[0].set_linewidth(5)
    axes.lines[1].set_linewidth(2.5)
    axes.legend()
    axes.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    return figure


def digits_of_bins():
    return str(len(str(400**64)))


@functools.lru_cache
def _digits():
    digits = data.load("digits").x_0
    order = torch.randperm(len(digits), generator=_generator(0))
    return digits[order[:1500]], digits[order[1500:]]


def copies():
    """Eight samples of the perfect denoiser of 1,500 digits above the nearest training digit of each."""
    train, _ = _digits()
    for _, x, _ in sample_ddpm(FiniteDataset(train, SCHEDULE), (8, 1, 8, 8), SCHEDULE, _generator(2)):
        pass
    near = metrics.nearest_neighbours(x, train)
    assert near.distance.max() < 0.1
    return resized(
        plots.image_grid(torch.cat([x, train[near.index]]), columns=8, width=6.5, labels=["sample", "nearest"]), 1136
    )


def smallest_gap():
    return f"{metrics.smallest_gap(_digits()[0]):.1f}"


def seen_and_new():
    """Error of the perfect denoiser on training digits and on others, over t."""
    train, held_out = _digits()
    memory, ts, g = (
        FiniteDataset(train, SCHEDULE),
        (1, 5, 10, 20, 30, 40, 50, 60, 80, 100, 120, 150, 200),
        _generator(3),
    )
    error = {"seen": [], "new": []}
    for t in ts:
        for name, x_0 in (("seen", train[:297]), ("new", held_out)):
            k = torch.full((297,), t)
            x_t = q_sample(x_0, k, torch.randn(x_0.shape, generator=g), SCHEDULE)
            error[name].append(float((memory(x_t, k) - x_0).square().mean()))
    figure = Figure(figsize=(6.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(ts, error["new"], "o--", color=plots.ERROR, ms=8)
    axes.plot(ts, error["seen"], "o-", color=plots.DATA, ms=8)
    axes.text(4, 0.145, "new digits")
    axes.text(58, 0.045, "training digits")
    axes.set(
        xlim=(0, 204),
        ylim=(-0.008, 0.32),
        xticks=(0, 100, 200),
        yticks=(0, 0.1, 0.2, 0.3),
        xlabel="step $t$",
        ylabel="mean squared error",
    )
    return figure
