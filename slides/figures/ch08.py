"""Pictures and numbers of deck 08.

What was measured or drawn with the MNIST network is read from the notebook's saved outputs and from the weights' card.
"""
import base64
import functools
import io
import json
import math
import re
from itertools import pairwise

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from ddpm_lib import plots, weights
from ddpm_lib.course import ch08
from ddpm_lib.course.ch03 import three_clouds
from ddpm_lib.course.exercise import REGISTRY
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.paths import ddim_step, ddpm_path
from ddpm_lib.samplers import ddim, even_times
from ddpm_lib.schedules import linear_schedule
from ddpm_lib.unet import UNet

from . import Frames, cells, printed, resized

SCHEDULE = linear_schedule()
INK = "#1b1f24"
ETAS = {0.0: (plots.MODEL, "o-"), 0.5: (plots.DATA, "^--"), 1.0: (plots.NOISE, "s-.")}


# -- what the notebook's saved outputs say -------------------------------------------------------------------------

def _printed(pattern):
    """Groups of the first place where the notebook's printed outputs match."""
    return printed("08", pattern)[0].groups()


def _row(name, count):
    """The numbers after a name in a printed table."""
    return [float(v) for v in _printed(re.escape(name) + rf":?((?:\s+\d+\.\d+){{{count}}})")[0].split()]


def _card():
    """The weights' card of the MNIST network."""
    return weights.load("mnist", UNet)[1]


def _slider():
    """The settings of the notebook's slider over steps and eta, and its pictures: {eta: [array for each number of steps]}."""
    pages = ("".join(output.get("data", {}).get("text/html", "")) for cell in cells("08") for output in cell.get("outputs", []))
    page = next(page for page in pages if '"noise put back"' in page)
    settings, _ = json.JSONDecoder().raw_decode(page, page.index('{"labels": '))
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(settings["sheet"].partition(",")[2]))).convert("L"))
    w, h, n = settings["w"], settings["h"], len(settings["labels"])
    frames = [sheet[k // n * h:(k // n + 1) * h, k % n * w:(k % n + 1) * w] for k in range(n * len(settings["names"]))]
    return settings, {name: frames[r * n:(r + 1) * n] for r, name in enumerate(settings["names"])}


def _digits(frame):
    """A frame of the slider taken apart: (8, 1, 28, 28) in [-1, 1]."""
    cells = [frame[i * 31:i * 31 + 28, j * 31:j * 31 + 28] for i in range(2) for j in range(4)]
    return torch.from_numpy(np.stack(cells)[:, None].astype(np.float32)) / 127.5 - 1


def seconds_long():
    """Seconds for 1000 calls of the network, 16 pictures, as the notebook measured them."""
    return _printed(r"so 1000 calls take (\d+) s")[0]


def seconds_short():
    """Seconds for 20 calls."""
    return _printed(r"and 20 calls ([\d.]+) s")[0]


def neighbours():
    """What the notebook's check of Eq. 8.5 at neighbouring times printed."""
    return _printed(r"(variance \(to 1e-12\) and mean \(to 1e-9\) are those of DDPM at all \d+ steps)")[0]


def kept_half():
    """Correlation of the noises at t = 1000 and t = 50 at eta = 0.5."""
    return _printed(r"eta = 0\.5: mean and variance .* correlated by ([\d.]+)")[0]


def ancestral():
    """What the notebook's check against ancestral sampling printed."""
    return _printed(r"with beta_tilde, (ddpm on the full list is ancestral sampling, every point to [\d.]+)")[0]


def trap():
    """What the check says when the step goes to the neighbour t - 1."""
    return next(said for wrong, said in REGISTRY["table_step"].mistakes if wrong.__name__ == "_table_step_neighbour")


def same_at_ten():
    """Distance of 10 steps from 50 steps at eta = 0, as a share of the distance of different digits."""
    return f"{_row('eta = 0.0', 6)[3]:.0%}".replace("%", " percent")


def other_at_ten():
    """The same at eta = 1."""
    return f"{_row('eta = 1.0', 6)[3]:.0%}".replace("%", " percent")


def return_errors():
    """Return errors of the digits for 10, 20 and 50 steps."""
    found = [_printed(rf"{name} +return error (\d+)%")[0] for name in ("10 steps", "20", "50")]
    return f"{found[0]}, {found[1]} and {found[2]} percent"


def return_clipped():
    """Return error of the digits in 50 steps with clipped guesses."""
    return _printed(r"50, clipped return error (\d+)%")[0] + " percent"


def deviations():
    """Standard deviations of the codes found in 50 steps, without clipping and with it."""
    return " and ".join(_printed(rf"{name} +return error .* deviation ([\d.]+)")[0] for name in ("50", "50, clipped"))


def order():
    """By what doubling the steps divides the return error on the clouds."""
    return _printed(r"doubling the steps divides the error by ([\d.]+)")[0]


def _scores(sampler):
    """Frechet distances of 500 samples over the number of steps, from the card."""
    table = _card()["scores"][f"Frechet distance of 500 samples by steps, {sampler}"]
    return [int(n) for n in table], list(table.values())


def _real():
    """Frechet distance of 500 training pictures, from the card."""
    return _card()["scores"]["Frechet distance of 500 training pictures"]


def real_pictures():
    """The same as text."""
    return f"{_real():.1f}"


def real_spread():
    """Smallest and largest Frechet distance of 200 real 8 x 8 digits, as the notebook printed them."""
    return "from {} to {}".format(*_printed(r"200 real digits: (\d+) to (\d+)"))


# -- pictures ------------------------------------------------------------------------------------------------------

def cost():
    """Seconds for 16 pictures with 1000 and with 20 calls of the network."""
    values = [float(seconds_long()), float(seconds_short())]
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([1, 0], values, height=0.6, color=plots.MODEL)
    for y, value in zip((1, 0), values, strict=True):
        axes.text(value + 0.6, y, f"{value:g} s", va="center", fontsize=22)
    axes.set(xlim=(0, 76), yticks=(1, 0), xlabel="seconds for 16 digits of MNIST, on a processor")
    axes.set_yticklabels(["1000 calls", "20 calls"], fontsize=22)
    axes.tick_params(left=False)
    return figure


def pair():
    """Signal and noise of the linear schedule over time."""
    t = torch.arange(1001)
    path = ddpm_path(SCHEDULE)
    figure = Figure(figsize=(6.6, 4.9), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(t, path.signal(t), color=plots.DATA)
    axes.plot(t, path.noise(t), "--", color=plots.NOISE)
    axes.text(560, 0.33, "signal $a$", fontsize=20)
    axes.text(560, 0.86, "noise $s$", fontsize=20)
    axes.set(xlim=(0, 1000), ylim=(0, 1.04), xlabel="time $t$", yticks=(0, 0.5, 1), xticks=(0, 500, 1000))
    return figure


def triangle():
    """The noise at t' as the long side of a right triangle: old noise kept, and fresh noise."""
    figure = Figure(figsize=(5.4, 4.9), layout="constrained")
    axes = figure.add_subplot()
    angle = np.linspace(0, math.pi / 2, 100)
    x, y = math.cos(0.65), math.sin(0.65)
    axes.plot(np.cos(angle), np.sin(angle), ":", color=plots.GREY)
    axes.plot((0, x), (0, 0), color="#8a5a00", lw=6, solid_capstyle="butt")       # noise, as fresh noise is, but darker
    axes.plot((x, x), (0, y), color=plots.NOISE, lw=6, solid_capstyle="butt")
    axes.plot((0, x), (0, y), color=plots.EXACT, lw=3)
    axes.plot(x, y, "o", ms=12, color=plots.EXACT)
    axes.text(x / 2, -0.1, r"old: $\sqrt{s'^2-\sigma^2}$", ha="center", va="center", fontsize=21)
    axes.text(x - 0.03, y / 2 - 0.05, r"fresh: $\sigma$", ha="right", va="center", fontsize=21)
    axes.text(x / 2 - 0.06, y / 2 + 0.05, "$s'$", ha="right", fontsize=24)
    axes.text(0.02, 1.05, r"all fresh: $\sigma = s'$", fontsize=19)
    axes.text(1.06, 0.0, "all\nold:\n" + r"$\sigma = 0$", fontsize=19, va="center")
    axes.plot((1, 0), (0, 1), "o", ms=9, mfc="white", mew=2.5, color=plots.EXACT)
    axes.set(xlim=(-0.03, 1.35), ylim=(-0.2, 1.16), aspect="equal")
    axes.set_axis_off()
    return figure


def joint():
    """The noise at t = 1000 against the noise at t = 50 of walkers with x_0 = 0.7, for three etas: equal margins, other pairs."""
    path, n, times = ddpm_path(SCHEDULE), 100_000, [1000, 700, 400, 200, 50]
    first = torch.randn(n, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    a, s = (values[:, None] for values in (path.signal(torch.tensor([1000, 50])), path.noise(torch.tensor([1000, 50]))))
    figure = Figure(figsize=(11.2, 4.0), layout="compressed")
    for axes, eta in zip(figure.subplots(1, 3, sharey=True), ETAS, strict=True):
        start = a[0] * 0.7 + s[0] * first
        *_, (_, x, _) = ddim(lambda x, t: torch.full_like(x, 0.7), start, times, path, eta, torch.Generator().manual_seed(2))
        pairs = torch.cat([first, (x - a[1] * 0.7) / s[1]], dim=1)
        counts, _, _ = np.histogram2d(*pairs.T.numpy(), bins=41, range=[(-3.6, 3.6)] * 2)
        axes.imshow(counts.T ** 0.5, origin="lower", extent=(-3.6, 3.6, -3.6, 3.6), cmap="YlOrBr", interpolation="nearest")
        share = float(torch.corrcoef(pairs.T)[0, 1])
        axes.set(xlabel=r"$\varepsilon$ at $t = 1000$", xticks=(-3, 0, 3), yticks=(-3, 0, 3))
        axes.set_title(rf"$\eta$ = {eta:g}: correlation {abs(share):.2f}", fontsize=17.5)
    figure.axes[0].set_ylabel(r"$\varepsilon$ at $t = 50$")
    figure.get_layout_engine().set(wspace=0.12)
    return figure


def walks():
    """The notebook's walks to the two hills, for both ends of the dial."""
    with matplotlib.rc_context({"font.size": 11.6, "axes.titlesize": 13, "axes.labelsize": 12.5, "xtick.labelsize": 11.6, "ytick.labelsize": 11.6,
                                "axes.linewidth": 1, "xtick.major.size": 3, "ytick.major.size": 3}):
        figure = ch08.paths_figure((0.0, 1.0))
        figure.draw_without_rendering()                                    # makes the ticks while these sizes are in force
    return resized(figure, 1136)


def lists():
    """Eight times from T down to 0 on a line, as even_times gives them."""
    figure = Figure(figsize=(11.2, 1.55), layout="constrained")
    axes = figure.add_subplot()
    times = even_times(SCHEDULE, 7)
    axes.plot((1000, 0), (0, 0), color=plots.GREY, lw=2)
    axes.plot(times, [0] * len(times), "o", ms=13, color=plots.MODEL, clip_on=False)
    axes.plot((times[0], times[-1]), (0, 0), "o", ms=21, mfc="none", mew=2.5, color=plots.EXACT, clip_on=False)
    for t in times:
        axes.text(t, 0.55, str(t), ha="center", fontsize=20)
    for now, then in pairwise(times):
        axes.annotate("", (then + 16, -0.12), (now - 16, -0.12), arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=-0.25", "lw": 2, "color": INK})
    axes.set(xlim=(1035, -35), ylim=(-0.9, 1.2))
    axes.set_axis_off()
    return figure


def steps_and_eta():
    """The chapter's slider: steps and eta, eight digits from the same eight noises."""
    settings, rows = _slider()
    n = len(settings["labels"])
    return Frames(rows, settings["labels"], slider="number of steps", choice="noise put back", alt=settings["alt"] + ".", height=400,
                  stills=[(k, r) for r in (0, 2) for k in (0, 2, n - 1)], across=3)


def same_digit():
    """Distance of each drawing from the one in 50 steps, over the number of steps, for three etas."""
    steps = [int(n) for n in _printed(r"steps((?: +\d+){6})\n")[0].split()]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.add_subplot()
    places = {0.0: (11, 0.21), 0.5: (11, 0.62), 1.0: (11, 0.90)}
    for eta, (color, style) in ETAS.items():
        axes.plot(steps[:-1], _row(f"eta = {eta}", 6)[:-1], style, color=color, ms=10)
        axes.text(*places[eta], rf"$\eta$ = {eta:g}", fontsize=20)
    axes.axhline(1, color=plots.EXACT, lw=2, ls=":")
    axes.text(1.95, 1.03, "two different digits", fontsize=18)
    axes.set(xscale="log", ylim=(0, 1.15), xlabel="number of steps", ylabel="distance from 50 steps", yticks=(0, 0.5, 1))
    axes.set_xticks(steps[:-1], [str(n) for n in steps[:-1]])
    axes.minorticks_off()
    return figure


def lengths():
    """How long codes of 784 numbers are, and the middles between two of them on the line and on the circle."""
    z_0, z_1 = torch.randn(2, 8000, 784, generator=torch.Generator().manual_seed(0))
    bins = np.arange(17, 32, 0.25)
    figure = Figure(figsize=(11, 3.55), layout="constrained")
    axes = figure.add_subplot()
    looks = {"fill": True, "color": plots.NOISE}, {"fill": True, "color": plots.ERROR}, {"lw": 3, "ls": "--", "color": plots.EXACT}
    for codes, look in zip((z_0, (z_0 + z_1) / 2, (z_0 + z_1) / 2 ** 0.5), looks, strict=True):
        counts, edges = np.histogram(codes.norm(dim=1).numpy(), bins)
        there = np.flatnonzero(counts)
        axes.stairs(counts[there[0]:there[-1] + 1], edges[there[0]:there[-1] + 2], **look)
    top = axes.get_ylim()[1]
    axes.text(21.2, 0.72 * top, "middle of\nthe line", fontsize=20, va="center")
    axes.text(29.4, 0.72 * top, "codes (filled),\nmiddle of the\narc (dashed)", fontsize=20, va="center")
    axes.set(xlim=(18, 32.5), yticks=(), xlabel="length of a code of 784 numbers")
    axes.spines["left"].set_visible(False)
    return figure


def middles():
    """The three clouds: data, and what is drawn from the middles of pairs of codes on the line and on the arc."""
    clouds, n = three_clouds(SCHEDULE), 1500
    z_0, z_1 = torch.randn(2, n, 2, generator=torch.Generator().manual_seed(5))
    halfway = torch.cat([(z_0 + z_1) / 2, (z_0 + z_1) / 2 ** 0.5])
    line, arc = _last(ddim(clouds, halfway, even_times(SCHEDULE, 50), SCHEDULE)).chunk(2)
    truth = clouds.sample(n, torch.Generator().manual_seed(0))
    figure = Figure(figsize=(11.2, 4.2), layout="constrained")
    panels = {"data": (truth, plots.DATA), "middle of the line": (line, plots.MODEL), "middle of the arc": (arc, plots.MODEL)}
    for axes, (name, (x, color)) in zip(figure.subplots(1, 3, sharex=True, sharey=True), panels.items(), strict=True):
        axes.scatter(*x.T.numpy(), s=4, color=color, linewidths=0, rasterized=True)
        axes.set_title(name)
        axes.set(aspect="equal", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    return figure


def line_ratio():
    """Energy distance of the line's middles to the data, as a multiple of that of the arc's."""
    line, arc = _printed(r"'line': '([\d.e-]+)', 'circle': '([\d.e-]+)'")
    return f"about {float(line) / float(arc):.0f}"


@functools.cache
def _net():
    """The MNIST network, as a denoiser without clipping."""
    net, _ = weights.load("mnist", UNet)
    return denoiser(net.to(memory_format=torch.channels_last), SCHEDULE)


def _last(steps):
    """The sample: walk to the end."""
    *_, (_, x, _) = steps
    return x


def morph():
    """From one digit to another along the line and along the arc, drawn in 20 steps."""
    codes = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    w = torch.linspace(0, 1, 7).view(-1, 1, 1, 1)
    ways = {"line": (1 - w) * codes[4] + w * codes[2], "arc": (w * math.pi / 2).cos() * codes[4] + (w * math.pi / 2).sin() * codes[2]}
    drawn = _last(ddim(clipped(_net()), torch.cat(list(ways.values())), even_times(SCHEDULE, 20), SCHEDULE))
    return resized(plots.image_grid(drawn, 7, width=6.4, labels=list(ways)), 1110)


@torch.no_grad()
def _upwards(x, times):
    """The way up that Exercise 4 asks for."""
    path = ddpm_path(SCHEDULE)
    for t, t_next in pairwise(times[::-1]):
        now, then = (torch.full((len(x),), k) for k in (t, t_next))
        x = ddim_step(x, _net()(x, now), *path.at(now, x), *path.at(then, x))
    return x


def round_trip():
    """Five of the notebook's digits, and what comes back after a walk up and down in 10, 20 and 50 steps."""
    rows = [_digits(_slider()[1]["eta = 1"][-1])[[0, 1, 3, 6, 7]]]
    for n in (10, 20, 50):
        times = even_times(SCHEDULE, n)[:-1] + [1]
        rows.append(_last(ddim(_net(), _upwards(rows[0], times), times, SCHEDULE)))
    return resized(plots.image_grid(torch.cat(rows), 5, width=3.7, labels=["drawn", "10 steps", "20", "50"]), 642)


def quality():
    """Frechet distance of MNIST samples over calls of the network, from the weights' card."""
    figure = Figure(figsize=(11.2, 4.3), layout="constrained")
    axes = figure.add_subplot()
    looks = {"DDIM, eta = 0": (plots.MODEL, "o-"), "DDIM, eta = 1": (plots.NOISE, "s-."), "DPM-Solver++(2M)": (plots.EXACT, "d:")}
    for name, (color, style) in looks.items():
        axes.plot(*_scores(name), style, color=color, ms=10)
    steps = _scores("DDIM, eta = 0")[0]
    axes.axhline(_real(), color=plots.DATA, ls="--", lw=2.5)
    axes.text(5, _real() * 0.92, "500 real pictures", va="top", fontsize=19)
    for name, words, shift in (("DDIM, eta = 0", r"$\eta$ = 0", 1.15), ("DDIM, eta = 1", r"$\eta$ = 1", 1.0), ("DPM-Solver++(2M)", "DPM-Solver++", 0.9)):
        axes.text(53, _scores(name)[1][-1] * shift, words, va="center", fontsize=19)
    axes.set(xscale="log", yscale="log", xlim=(4.6, 86), ylim=(10, 200), xlabel="calls of the network for each digit", ylabel="Fréchet distance")
    axes.set_xticks(steps, [str(n) for n in steps])
    axes.set_yticks((10, 20, 50, 100, 200), ("10", "20", "50", "100", "200"))
    axes.minorticks_off()
    return figure


def mistakes():
    """How much worse each planted mistake makes 20 steps on the three clouds."""
    words = {"eta = 1, but z forgotten": r"$\eta$ = 1, $z$ forgotten", "position in the list for t": "network told the position",
             "alpha_bar_prev is that of t - 1": r"arrives at $t - 1$, not at $t'$", "noise on top of all the old": "noise on top of all the old",
             "noise scaled with sigma squared": r"$\sigma^2 z$ in place of $\sigma z$", "list ends at 50": "list ends at 50",
             "list begins at 950": "list begins at 950"}
    found = [_printed(re.escape(name) + r" +([\d.]+) times")[0] for name in words]
    figure = Figure(figsize=(11.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(words)), [float(value) - 1 for value in found], left=1, height=0.66, color=plots.ERROR)
    axes.axvline(1, color=plots.EXACT, lw=2.5)
    for y, value in enumerate(found):
        axes.text(float(value) * 1.07, y, value, va="center", fontsize=20)
    axes.set(xscale="log", xlim=(0.95, 260), xlabel="energy distance, in multiples of the right sampler's")
    axes.set_yticks(range(len(words)), list(words.values()))
    axes.set_xticks((1, 10, 100), ("1", "10", "100"))
    axes.tick_params(axis="y", left=False, labelsize=20)
    axes.spines["left"].set_visible(False)
    axes.minorticks_off()
    axes.invert_yaxis()
    return figure
