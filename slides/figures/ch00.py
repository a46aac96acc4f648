"""Pictures, sliders and numbers of deck 00."""
import functools

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ddpm_lib import data, plots, weights
from ddpm_lib.course import ch00  # noqa: F401  (registers the exercises)
from ddpm_lib.course.exercise import REGISTRY
from ddpm_lib.ddpm import q_sample, sample_ddpm
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.schedules import SCHEDULES
from ddpm_lib.unet import UNet

from . import Frames, printed

SEED, EIGHT = 4, [0, 1, 2, 3, 6, 8, 11, 14]          # the notebook's seed; eight of its sixteen digits
U, V = 1.0, 3.0                                      # the variances of the notebook's Check 2
LETTERS = 18


def _normal(x, variance):
    """The density of Eq. 0.1 with mean 0."""
    return torch.exp(-x ** 2 / (2 * variance)) / (2 * torch.pi * variance) ** 0.5


@functools.cache
def _model():
    """The bundled network of the digits, its schedule and its card."""
    net, card = weights.load("digits", UNet)
    return net, SCHEDULES[card["schedule"]["name"]](card["schedule"]["T"]), card


@functools.cache
def _trajectory():
    """The notebook's run: (t, x_t, x_0_hat) after each of the 200 steps, sixteen pictures each."""
    net, schedule, _ = _model()
    generator = torch.Generator().manual_seed(SEED)
    return list(sample_ddpm(clipped(denoiser(net, schedule)), (16, 1, 8, 8), schedule, generator, schedule.beta_tilde))


def _rows(rows, size, side, columns=8):
    """Rows of pictures under each other, each with its name at the left. rows: {name: (N, 1, H, W)}."""
    figure = Figure(figsize=size)
    height = 1 / len(rows)
    for i, (name, x) in enumerate(rows.items()):
        bottom = 1 - (i + 1) * height + 0.03 * height
        axes = figure.add_axes((side / size[0], bottom, 1 - side / size[0], 0.94 * height))
        axes.imshow(plots.mosaic(x, columns), interpolation="nearest")
        axes.set_axis_off()
        figure.text(0, bottom + 0.47 * height, name, va="center", fontsize=LETTERS)
    return figure


# -- section 1: the end first --------------------------------------------------------------------------------------------

def count():
    """How many pictures there are."""
    return f"{len(data.load('digits').x_0):,}"


def parameters():
    """How many numbers the network has."""
    return f"{sum(p.numel() for p in _model()[0].parameters()):,}"


def steps():
    """How many steps the bundled model takes."""
    return str(_model()[1].T)


def copies():
    """How many samples in the card lie nearer to a training picture than any two of these to each other."""
    scores = _model()[2]["scores"]
    share = scores["share nearer to a training picture than any two of these are to each other"]
    return f"{round(share * scores['samples'])} of {scores['samples']:,}"


def nearest():
    """Median distance of a sample to its nearest training picture, by the card."""
    return f"{_model()[2]['scores']['median distance of a sample to its nearest training picture']:.1f}"


def nearest_real():
    """The same for a training picture and its nearest other."""
    return f"{_model()[2]['scores']['the same for a training picture and its nearest other']:.1f}"


def real():
    """The first 40 real digits."""
    return plots.image_grid(data.load("digits").x_0[:40], columns=10, width=10.6)


def one_guess():
    """Pure noise, the picture that one guess of its noise implies, and the result of all the steps."""
    net, schedule, _ = _model()
    x_T = torch.randn((16, 1, 8, 8), generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        guess = clipped(denoiser(net, schedule))(x_T, torch.full((16,), schedule.T))
    rows = {"noise, $x_T$": x_T, "one guess": guess, f"{schedule.T} rounds": _trajectory()[-1][1]}
    return _rows({name: x[EIGHT] for name, x in rows.items()}, (11.3, 3.75), side=1.65)


def two_directions():
    """One real digit under more and more noise, with the names of both directions."""
    schedule = _model()[1]
    ts = [0, 40, 80, 120, 160, 200]
    x_0 = data.load("digits").x_0[3:4].expand(len(ts), -1, -1, -1)
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(1))
    noisy = q_sample(x_0[1:], torch.tensor(ts[1:]), eps[1:], schedule)
    figure = Figure(figsize=(11.3, 4.1))
    axes = figure.add_axes((0.003, 0, 0.994, 1))
    axes.imshow(plots.mosaic(torch.cat([x_0[:1], noisy]), len(ts), gap=2), interpolation="nearest", extent=(0, 58, 0, 8))
    axes.set(xlim=(0, 58), ylim=(-6.1, 13.9))
    axes.set_axis_off()
    for i, t in enumerate(ts):
        name = {0: "$x_0$", 200: "$x_T$"}.get(t, f"$x_{{{t}}}$")
        axes.text(10 * i + 4, 8.5, name, ha="center", va="bottom", fontsize=22)
        axes.add_patch(Rectangle((10 * i, 0), 8, 8, fill=False, ec=plots.EXACT, lw=2, clip_on=False))      # white pixels would melt into the slide
    for y, start, end, color, words in ((11.9, 1, 57, plots.NOISE, "noise in: $q$, a fixed recipe, nothing to learn"),
                                        (-1.8, 57, 1, plots.MODEL, r"noise out: $p_\theta$, learned by guessing noise")):
        axes.annotate("", (end, y), (start, y), arrowprops={"arrowstyle": "-|>,head_width=.5,head_length=.9", "lw": 6, "color": color})
        axes.text(29, y + 0.5 if y > 0 else y - 0.9, words, ha="center", va="bottom" if y > 0 else "top", fontsize=20)
    return figure


def denoising():
    """The slider through the run: the picture after a step, and the guess that this step worked with."""
    run = _trajectory()
    pick = [round(k * (len(run) - 1) / 40) for k in range(41)]
    gap = np.ones((2, 71, 3))
    frames = [np.concatenate([plots.mosaic(run[k][1][EIGHT], 8), gap, plots.mosaic(run[k][2][EIGHT], 8)]) for k in pick]
    return Frames(frames, [f"t = {run[k][0]}" for k in pick], slider="step t", height=16 * 18, stills=[0, 5, 16, 40], across=2, paper=400,
                  alt="Eight pictures turn from noise into handwritten digits; below each, the network's guess of the result.")


def _early():
    """The guesses at step 180, sixteen pictures."""
    return next(x_0_hat for t, _, x_0_hat in _trajectory() if t == 179)


def grey():
    """The mean of all real digits, and the sixteen guesses made at t = 180."""
    mean = data.load("digits").x_0.mean(0, keepdim=True)
    figure = Figure(figsize=(11.3, 2.75))
    unit = 11.3 / 94                                 # inches per pixel of a digit: 17 + a gap of 6 + 71
    for left, width, x, title in ((0, 17, mean, f"mean of all {count()}"), (23, 71, _early(), r"sixteen guesses $\hat x_0$, made at $t = 180$")):
        axes = figure.add_axes((left / 94, 0.01, width / 94, 17 * unit / 2.75))
        axes.imshow(plots.mosaic(x, min(8, len(x))), interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        figure.text(left / 94, 0.88, title, fontsize=20, va="center")
    return figure


def spread_guesses():
    """Standard deviation of a pixel over the sixteen guesses at t = 180, averaged over pixels."""
    return f"{_early().std(0).mean():.2f}"


def spread_digits():
    """The same over the real digits."""
    return f"{data.load('digits').x_0.std(0).mean():.2f}"


# -- section 2: exercises ------------------------------------------------------------------------------------------------

def trap():
    """What the check of Exercise 1 says to `return x * c`."""
    return REGISTRY["scale"].verdict(lambda x, c: x * c)[1]


def trap_2():
    """What the check of Exercise 2 says to an answer without squares."""
    return REGISTRY["weighted_sum"].verdict(lambda a, b, var_x, var_y: a * var_x + b * var_y)[1]


def trap_3():
    """What the check of Exercise 3 says to torch.manual_seed."""
    def seeded(seed, n):
        torch.manual_seed(seed)
        return torch.randn(n)

    with torch.random.fork_rng(devices=[]):
        return REGISTRY["seeded"].verdict(seeded)[1]


# -- section 3: Gaussians ------------------------------------------------------------------------------------------------

def _thick(figure):
    """The same curves, thick enough for the back row."""
    for line in figure.axes[0].lines:
        line.set_linewidth(3.5)
    figure.axes[0].legend(handlelength=2.6)
    return figure


def bells():
    """Three Gaussians with mean 1, and how they are drawn."""
    x = torch.linspace(-5, 7, 400)
    lines = {rf"$\sigma = {s}$": _normal(x - 1, s ** 2) for s in (0.5, 1, 2)}
    return _thick(plots.curves(x, lines, xlabel="$x$", ylabel=r"density $\mathcal{N}(x;\, 1, \sigma^2)$", size=(6.2, 4.5),
                               colors=(plots.NOISE, plots.DATA, plots.EXACT)))


@functools.cache
def _two_factors():
    """200,000 draws each of 0.25 randn and 0.5 randn."""
    eps = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return {"0.25": 0.25 * eps, "0.5": 0.5 * eps}


def factors():
    """Histograms of 0.25 randn and 0.5 randn, with their widths and measured variances."""
    edges = torch.linspace(-2, 2, 81, dtype=torch.float64)
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set(ylim=(0, 1.75), xlim=(-2, 2), xticks=(-2, -1, 0, 1, 2), yticks=(0, 0.5, 1, 1.5), xlabel="value", ylabel="density")
    for (name, x), color, style, place in zip(_two_factors().items(), (plots.ERROR, plots.EXACT), ("-", "--"), ((0.42, 1.15), (0.8, 0.6))):
        sigma = float(name)
        height = float(_normal(torch.tensor(sigma), sigma ** 2))
        axes.plot((edges[1:] + edges[:-1]) / 2, torch.histogram(x, edges, density=True)[0], color=color, ls=style)
        axes.annotate("", (sigma, height), (0, height), arrowprops={"arrowstyle": "<|-|>", "color": color, "lw": 2.5, "shrinkA": 0, "shrinkB": 0})
        axes.text(*place, f"{name} * randn:\n$\\sigma = {name}$, variance {x.var():.3f}", va="center", fontsize=LETTERS)
    return figure


def measured_quarter():
    """The measured variance of 0.25 randn."""
    return f"{_two_factors()['0.25'].var():.4f}"


def splits():
    """For each y, the product of the two densities over all ways to split y, and its area: the density of the sum."""
    x, ys = torch.linspace(-6, 6, 601, dtype=torch.float64), torch.linspace(-4.8, 4.8, 13, dtype=torch.float64)
    products = [_normal(x, U) * _normal(y - x, V) for y in ys]
    areas = [torch.trapezoid(p, x) for p in products]
    frames = []
    for k, (y, product) in enumerate(zip(ys, products)):
        figure = Figure(figsize=(10.8, 3.9))
        left, right = figure.add_axes((0.105, 0.2, 0.37, 0.67)), figure.add_axes((0.615, 0.2, 0.37, 0.67))
        left.plot(x, product, color=plots.EXACT)
        left.fill_between(x, product, color=plots.DATA, alpha=0.45, lw=0)
        left.set(xlim=(-4, 4), ylim=(0, 0.105), xticks=(-3, 0, 3), yticks=(0, 0.05, 0.1), xlabel="$x$", ylabel="density of the pair")
        left.set_title(r"$\mathcal{N}(x; 0, 1)\;\mathcal{N}(y - x; 0, 3)$")
        right.plot(ys[:k + 1], areas[:k + 1], "o", color=plots.DATA, ms=9)
        right.vlines(y, 0, areas[k], color=plots.DATA, lw=2)
        right.set(xlim=(-6, 6), ylim=(0, 0.225), xticks=(-4, 0, 4), yticks=(0, 0.1, 0.2), xlabel="$y$", ylabel="area, $p(y)$")
        right.set_title("its area, for every $y$ so far")
        if k == len(ys) - 1:
            right.plot(x, _normal(x, U + V), color=plots.EXACT)
            right.text(1.9, 0.165, r"line: $\mathcal{N}(0, 4)$", fontsize=LETTERS)
        frames.append(figure)
    return Frames(frames, [f"y = {float(y) + 0.0:.1f}".replace("-", "\N{MINUS SIGN}") for y in ys], slider="sum y", start=(3, 0), stills=[3, 6, 9, 12], paper=430, zoom=1.1, across=2,
                  alt="Left, the product of the two densities for one sum y: a bell of one width that moves with y. Right, its area for every y.")


@functools.cache
def _sums():
    """200,000 sums of a Gaussian with variance 1 and one with variance 3."""
    generator = torch.Generator().manual_seed(0)
    return U ** 0.5 * torch.randn(200_000, generator=generator) + V ** 0.5 * torch.randn(200_000, generator=generator)


def sums():
    """The notebook's Check 2: the histogram of the sums on the bell with variance 4."""
    x, edges = _sums(), torch.linspace(-7, 7, 57)
    share = torch.histogram(x, edges)[0] / len(x)
    middle, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    bell = _normal(middle, U + V)
    assert (share / width - bell).abs().max() < 4 * (0.05 * 0.95 / len(x)) ** 0.5 / width
    assert abs(x.var() - 4) < 4 * 4 * (2 / len(x)) ** 0.5
    figure = Figure(figsize=(11, 4.1), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(share / width, edges, fill=True, color=plots.DATA, alpha=0.5, label=f"{len(x):,} sums")
    axes.plot(middle, bell, color=plots.EXACT, label=r"exact: $\mathcal{N}(0, 4)$")
    axes.set(xlabel="value", ylabel="density", xlim=(-7, 7))
    axes.legend()
    return figure


def variance_of_sums():
    """Their measured variance."""
    return f"{_sums().var():.3f}"


def check_1():
    """What the notebook printed for Eq. 0.4 at random points."""
    return printed("00", ".*both sides equal.*")[0][0].strip()


# -- the last section: seeds ---------------------------------------------------------------------------------------------

def seeded():
    """Three draws of two numbers: first and second from one generator, and one after seeding again."""
    generator = torch.Generator().manual_seed(0)
    draws = [("first", generator), ("second, same generator", generator), ("again", torch.Generator().manual_seed(0))]
    return "\n".join(f"| {name} | {' and '.join(f'{float(v):.2f}' for v in torch.randn(2, generator=g))} |".replace("-", "\N{MINUS SIGN}") for name, g in draws)
