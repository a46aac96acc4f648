"""Pictures and numbers of deck 06, The U-Net: what its parts cost and see, and the walk through the map."""
import copy
import functools
import re
from unittest.mock import patch

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from torch import nn

from ddpm_lib import data, plots, weights
from ddpm_lib.course import ch06
from ddpm_lib.course.exercise import REGISTRY
from ddpm_lib.ddpm import sample_ddpm, simple_loss
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.schedules import cosine_schedule
from ddpm_lib.unet import Downsample, ResBlock, SelfAttention, UNet

from . import Frames, printed, resized

INK, SOFT, SKIP, LIGHT = "#1b1f24", "#767676", "#8f2a00", "#a0a7ae"


# -- networks and their parts ---------------------------------------------------------------------------------------------

@functools.cache
def _paper():
    """The parts of the paper's CIFAR-10 network, with their numbers."""
    with torch.device("meta"):
        return ch06.parts(UNet(3, (128, 256, 256, 256), 2, attention_at=(1,), dropout=0.1), 32)


@functools.cache
def _ours():
    """The parts of the course's network for digits of 8 x 8."""
    with torch.device("meta"):
        return ch06.parts(UNet(1, (32, 64), 1, attention_at=(1,), groups=8), 8)


@functools.cache
def _trained():
    return weights.load("digits", UNet)[0]


def _printed(text):
    """The line of the notebook's saved outputs that holds `text`."""
    return printed("06", rf".*{re.escape(text)}.*")[0][0]


# -- numbers --------------------------------------------------------------------------------------------------------------

def _full(size):
    """Parameters of one layer that joins all numbers of a colour picture with all."""
    with torch.device("meta"):
        return sum(p.numel() for p in nn.Linear(3 * size * size, 3 * size * size).parameters())


def full_small():
    return f"{_full(32):,}"


def full_large():
    return f"{_full(256):,}"


def _conv():
    with torch.device("meta"):
        layer = nn.Conv2d(128, 256, 3, padding=1)
        return sum(p.numel() for p in layer.parameters()), sum(ch06.costs(layer, torch.zeros(1, 128, 16, 16)).values())


def conv_parameters():
    return f"{_conv()[0]:,}"


def conv_work():
    return f"{_conv()[1]:,}"


def _block(c_in, c_out):
    with torch.device("meta"):
        return f"{sum(p.numel() for p in ResBlock(c_in, c_out, 512).parameters()):,}"


def block_equal():
    return _block(128, 128)


def block_wider():
    return _block(128, 256)


def block_up():
    return _block(512, 256)


def paper_count():
    return f"{sum(p.parameters for p in _paper()):,}"


def our_count():
    return f"{sum(p.parameters for p in _ours()):,}"


def paper_work():
    return f"{sum(p.multiply_adds for p in _paper()) / 1e9:.1f}"


def _skip(k):
    """Shape of skip k (from 0) of our network, and how many channels the block that takes it gets."""
    taker = [p for p in _ours() if p.skip >= 0][::-1][k]
    shape, total = _ours()[taker.skip].gives, taker.takes[0]
    return rf"({shape[0]}, {shape[1]}, {shape[2]}), \quad {total - shape[0]} + {shape[0]} = {total}"


def skip_1():
    return _skip(0)


def skip_2():
    return _skip(1)


def skip_3():
    return _skip(2)


def skip_4():
    return _skip(3)


def loss_zeros():
    return _printed("usual first weights").split()[1]


def loss_usual():
    return ", ".join(_printed("usual first weights").split(":")[2].split())


def trap_shape():
    return _trap("_resblock_flat_time")


def trap_late():
    return _trap("_resblock_late_time")


def _trap(name):
    """What the check of the block says to one of the usual mistakes."""
    return next(text for function, text in REGISTRY["resblock"].mistakes if function.__name__ == name)


# -- what convolutions see ------------------------------------------------------------------------------------------------

def _seen(f, size):
    """True where the picture matters to the middle of f's output, by the gradient (as in the notebook)."""
    x = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    out = f.double()(x)
    out[0, :, out.shape[2] // 2, out.shape[3] // 2].sum().backward()
    return x.grad[0].abs().sum(0) > 0


def _stack(n, c_in=1, c=8):
    return nn.Sequential(*[nn.Conv2d(c if i else c_in, c, 3, padding=1) for i in range(n)])


def _large(figure, wide=1136):
    """fields_figure as wide as the slide, with titles for the back row."""
    for axes in figure.axes:
        axes.set_title(axes.get_title(), fontsize=12)
    return resized(figure, wide)


def fields():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        masks = {f"{n} convolution{'s' * (n > 1)}": _seen(_stack(n), 32) for n in (1, 4, 8, 16)}
    return _large(ch06.fields_figure(masks))


def fields_down():
    """Eight convolutions, with none, one and two halvings between them; in the corner, the cost."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        routes = {"8 convolutions": _stack(8), "4, down, 4": nn.Sequential(_stack(4), Downsample(8), _stack(4, 8)),
                  "2, down, 2, down, 4": nn.Sequential(_stack(2), Downsample(8), _stack(2, 8), Downsample(8), _stack(4, 8))}
        masks = {name: _seen(route, 64) for name, route in routes.items()}
    figure = ch06.fields_figure(masks)
    for axes, route, mask in zip(figure.axes, routes.values(), masks.values(), strict=True):
        cost = sum(ch06.costs(route, torch.zeros(1, 1, 64, 64, dtype=torch.float64)).values())
        axes.text(1, 4, f"{cost / 1e6:.1f} million", fontsize=12, va="center")
        axes.text(62, 4, f"{int(mask.any(0).sum())} wide", fontsize=12, ha="right", va="center")
    return _large(figure, 1050)


# -- curves ---------------------------------------------------------------------------------------------------------------

def silu():
    x = torch.linspace(-6, 6, 241)
    figure = plots.curves(x, {"SiLU": F.silu(x), "ReLU": F.relu(x)}, xlabel="$x$", ylabel="value", size=(4.8, 4.0), colors=(plots.MODEL, "#555555"))
    for line in figure.axes[0].lines:
        line.set_linewidth(3.5)
    figure.axes[0].legend(handlelength=1.8)
    return figure


def sharpness():
    """The largest of 16 attention weights, with and without the division by sqrt(d)."""
    generator, ds = torch.Generator().manual_seed(2), [4, 16, 64, 256, 1024]
    plain, scaled = [], []
    for d in ds:
        q, k = torch.randn(2, 1000, d, generator=generator)
        for values, scale in ((plain, 1), (scaled, d ** 0.5)):
            values.append(float((q @ k[:16].T / scale).softmax(-1).max(-1).values.mean()))
    figure = Figure(figsize=(5.2, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(ds, plain, "s--", color=plots.ERROR, ms=9)
    axes.plot(ds, scaled, "o-", color=plots.MODEL, ms=9)
    axes.text(1024, 0.8, "not divided", ha="right", va="top")
    axes.text(1024, 0.31, r"divided by $\sqrt{d}$", ha="right")
    axes.set_xscale("log", base=2)
    axes.minorticks_off()
    axes.set(xlabel="size $d$ of $q$ and $k$", ylabel="largest of 16 weights", ylim=(0, 1.05), xticks=ds, xticklabels=[str(d) for d in ds])
    return figure


def attention_cost():
    """Multiply-adds of attention and of a residual block with 256 channels, by the side of the picture."""
    sides, C = (4, 8, 16, 32, 64), 256
    with torch.device("meta"):
        look, block, time = SelfAttention(C), ResBlock(C, C, 512), torch.zeros(1, 512)
        pictures = [torch.zeros(1, C, side, side) for side in sides]
        costs = {"attention": [sum(ch06.costs(look, x).values()) for x in pictures],
                 "residual block": [sum(ch06.costs(block, x, time).values()) for x in pictures]}
    figure = Figure(figsize=(5.2, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(sides, costs["attention"], "o-", color=plots.MODEL, ms=9)
    axes.plot(sides, costs["residual block"], "s--", color=INK, ms=9)
    axes.axvline((7 * C) ** 0.5, color=SOFT, lw=2, ls=":")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set(xlabel="side of the picture", ylabel="multiply-adds", xticks=sides, xticklabels=[str(side) for side in sides])
    axes.minorticks_off()
    axes.text(4, 6e8, "residual block")
    axes.text(12.5, 2e7, "attention")
    axes.text((7 * C) ** 0.5 * 0.95, 4.5e6, "$N = 7C$", ha="right")
    return figure


def where():
    """Share of the parameters and of the work of the paper's network, by the size of the picture."""
    found, sides = _paper(), [32, 16, 8, 4]
    figure = Figure(figsize=(11.36, 3.9), layout="constrained")
    axes = figure.add_subplot()
    for key, shift, style in (("parameters", 0.2, {"color": plots.MODEL}), ("multiply_adds", -0.2, {"facecolor": "white", "edgecolor": INK, "lw": 2})):
        total = sum(getattr(p, key) for p in found)
        for k in range(4):
            share = 100 * sum(getattr(p, key) for p in found if p.row == k) / total
            axes.barh(3 - k + shift, share, height=0.38, **style)
            name = {"parameters": "of the parameters", "multiply_adds": "of the multiply-adds"}[key] if k == 0 else ""
            axes.text(share + 0.5, 3 - k + shift, f"{share:.0f} % {name}", va="center")
    axes.set(yticks=range(4), yticklabels=[f"{side} × {side}" for side in sides[::-1]], xlim=(0, 62), xticks=[])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


# -- drawings -------------------------------------------------------------------------------------------------------------

def _canvas(wide, high):
    """A figure whose axes count pixels of the slide, y downwards."""
    figure = Figure(figsize=(wide / 100, high / 100), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, wide), ylim=(high, 0))
    axes.set_axis_off()
    return figure, axes


def block_drawing():
    """The residual block: two halves, the time between them, the shortcut around both."""
    figure, axes = _canvas(1136, 275)
    y = 130

    def arrow(*points):
        for (x, y), (x2, y2) in zip(points[:-2], points[1:-1]):
            axes.plot([x, x2], [y, y2], color=INK, lw=2.5)
        axes.add_patch(FancyArrowPatch(*points[-2:], arrowstyle="-|>", mutation_scale=20, color=INK, lw=2.5, shrinkA=0, shrinkB=0))

    def box(x, y, text, wide=106, color="#d9efe7"):
        axes.add_patch(Rectangle((x - wide / 2, y - 26), wide, 52, facecolor=color, edgecolor=INK, lw=2, zorder=3))
        axes.text(x, y, text, ha="center", va="center", fontsize=18, zorder=4)

    def plus(x):
        axes.add_patch(Circle((x, y), 21, facecolor="white", edgecolor=INK, lw=2.5))
        axes.plot([x - 11, x + 11], [y, y], color=INK, lw=3)
        axes.plot([x, x], [y - 11, y + 11], color=INK, lw=3)

    axes.text(14, y, "$x$", ha="center", va="center", fontsize=24)
    arrow((30, y), (78, y))
    for x, text in ((131, "norm$_1$"), (261, "SiLU"), (391, "conv$_1$")):
        box(x, y, text)
    arrow((184, y), (208, y))
    arrow((314, y), (338, y))
    arrow((444, y), (494, y))
    plus(515)
    arrow((536, y), (584, y))
    for x, text in ((637, "norm$_2$"), (767, "SiLU"), (897, "conv$_2$")):
        box(x, y, text)
    arrow((690, y), (714, y))
    arrow((820, y), (844, y))
    arrow((950, y), (1008, y))
    plus(1029)
    arrow((1050, y), (1084, y))
    axes.text(1110, y, "out", ha="center", va="center", fontsize=19)
    axes.text(563, y - 26, "$h$", ha="center", va="center", fontsize=20)
    arrow((50, y), (50, 32), (1029, 32), (1029, y - 21))
    box(515, 32, "shortcut", 140, "white")
    axes.text(14, 240, r"$\tau$", ha="center", va="center", fontsize=24)
    arrow((30, 240), (208, 240))
    box(261, 240, "SiLU", color="#fdebc8")
    arrow((314, 240), (338, 240))
    box(391, 240, "$A, a$", color="#fdebc8")
    arrow((444, 240), (515, 240), (515, y + 21))
    axes.text(535, 240, "the time: one number per channel", va="center", fontsize=18)
    return figure


def _u(axes, found, fy, at=None, lift=1, named=False):
    """The U with its skips; with `at`, the way to that part in bold, the part black, the other end of its skip dashed.

    fy: pixels per unit of height; lift: how many times as high as usual the skips stand; named: draw them all strong. Returns the skips as lines in pixels, by the part that takes them.
    """
    spots, (wide, _) = ch06._place(found)
    main, skips = ch06._lines(found, spots)
    fx, left = (1136 - 26) / wide, 26
    order = [k for k, part in enumerate(found) if part.side != "time"]
    wide, high = ch06.BOX * fx, ch06.HIGH * fy
    skips = {k: [(left + x * fx, (base[1] + lift * (y - base[1])) * fy) for x, y in points] for k, points in skips.items() for base in points[:1]}
    for k, points in zip(order[1:], main, strict=True):
        passed = at is None or k <= at
        axes.plot([left + x * fx for x, _ in points], [y * fy for _, y in points], color=INK if passed else LIGHT, lw=3 if passed else 1.2)
    pairs = {k: {k, found[k].skip} for k in skips}
    ends = set().union(*[ends for ends in pairs.values() if at in ends]) - {at}
    for k, points in skips.items():
        on = at in pairs[k]
        axes.plot(*zip(*points), color=SKIP if on or named else LIGHT, lw=4 if on else 2.5 if named else 1.2,
                  ls=(0, (2.5, 1)) if on else "-", zorder=3 if on else 1)
    for k, (x, y) in spots.items():
        on, end = k == at, k in ends
        axes.add_patch(Rectangle((left + x * fx, y * fy), wide, high, facecolor=INK if on else "white", edgecolor=SKIP if end else INK,
                                 lw=4 if end else 1.3, ls=(0, (2, 0.8)) if end else "-", zorder=4))
        axes.text(left + (x + ch06.BOX / 2) * fx, (y + ch06.HIGH / 2) * fy, ch06.SIGN[found[k].kind], ha="center", va="center", fontsize=17.5, zorder=5,
                  weight="bold", color="white" if on else INK, bbox={"facecolor": INK if on else "white", "edgecolor": "none", "pad": 0})
    for x, y, text in ch06._labels(found, spots):
        axes.text(x if x < ch06.LEFT else left + x * fx, (y - 5) * fy, text.removeprefix("t, "), va="center", fontsize=17.5)
    return skips


def _step(found, size, at):
    """One frame of the walk: the U with one part marked, and its card below."""
    figure, axes = _canvas(1136, 422)
    _u(axes, found, 246 / ch06._place(found)[1][1], at)
    axes.add_patch(Rectangle((0, 248), 1136, 174, facecolor="white", edgecolor=LIGHT, lw=1.5))
    title, rows = ch06._card(found[at], found, size)
    axes.text(14, 269, title, va="center", fontsize=18.5)
    for k, (name, value) in enumerate(row for row in rows if row[0] != "sees"):
        axes.text(14, 304 + 33 * k, name, va="center", fontsize=17.5)
        value = re.sub(r" of [\d,]+\)", ")", value).replace(" channels from the part before and", " from before,")
        axes.text(196, 304 + 33 * k, value, va="center", fontsize=17.5)
    if found[at].sees:
        low, high = found[at].sees
        unit, n = 126 / size, high - low + 1
        axes.add_patch(Rectangle((988, 255), 126, 126, facecolor="white", edgecolor=INK, lw=1.5))
        axes.add_patch(Rectangle((988 + low * unit, 255 + low * unit), n * unit, n * unit, facecolor=plots.MODEL, lw=0))
        axes.text(1051, 402, "sees all" if n == size else f"sees {n} × {n}", ha="center", va="center", fontsize=17.5)
    for artist in (*axes.texts, *axes.lines, *axes.patches):
        artist.set_antialiased(False)                          # a third of the bytes
    return figure


def walk():
    """The paper's network, part by part."""
    found = _paper()
    return Frames([_step(found, 32, k) for k in range(len(found))], [f"{k} of {len(found)}" for k in range(1, len(found) + 1)],
                  slider="part", start=(1, 0), stills=[2, 6, 18, 33], across=2, zoom=1.1, limit=212_000,
                  alt="The U-Net as rows of boxes, one row for each size, way down left, way up right; one box is marked, and a card gives its numbers.")


def our_u():
    """Our network of two levels, its four skips named."""
    figure, axes = _canvas(1136, 270)
    axes.set_ylim(256, -14)                                    # room for the names of the upper skips
    skips = _u(axes, _ours(), 1.72, lift=1.9, named=True)
    for number, k in enumerate(sorted(skips, reverse=True), 1):
        (x, y), (x2, _) = skips[k][1:3]
        axes.text((x + x2) / 2 + (60 if number % 2 else -60), y, f"$s_{number}$", ha="center", va="center", fontsize=20, color=SKIP, zorder=6,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    return figure


# -- the trained network --------------------------------------------------------------------------------------------------

def drawn():
    """Eight digits from noise, drawn by the network that the chapter assembles."""
    schedule, generator = cosine_schedule(200), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, x, _ in sample_ddpm(clipped(denoiser(_trained(), schedule)), (8, 1, 8, 8), schedule, generator):
            pass
    return plots.image_grid(x, columns=8, width=10.0)


def _loss(net):
    """Loss on 256 digits with fixed t and noise, the notebook's."""
    x_0, generator = data.load("digits").x_0[:256], torch.Generator().manual_seed(4)
    some_t = torch.randint(1, 201, (256,), generator=generator)
    eps = torch.randn(x_0.shape, generator=generator)
    with torch.no_grad():
        return float(simple_loss(net, x_0, some_t, eps, cosine_schedule(200)))


def _without_skips():
    """The trained network with zeros for what the skips bring."""
    net, found = copy.deepcopy(_trained()), _ours()
    for part in found:
        if part.skip >= 0:
            own = part.takes[0] - found[part.skip].gives[0]
            net.get_submodule(part.modules[0]).register_forward_pre_hook(
                lambda _, given, own=own: (torch.cat([given[0][:, :own], 0 * given[0][:, own:]], dim=1), given[1]))
    return net


def _skips_exchanged():
    """The trained network with the two skips of full size given to each other's block."""
    net, stored = copy.deepcopy(_trained()), {}
    net.first.register_forward_hook(lambda _, given, out: stored.update(s1=out))
    net.down[0].blocks[0].register_forward_hook(lambda _, given, out: stored.update(s2=out))
    for block, name in zip(net.up[1].blocks, ("s1", "s2"), strict=True):
        block.register_forward_pre_hook(lambda _, given, name=name: (torch.cat([given[0][:, :-32], stored[name]], dim=1), given[1]))
    return net


class _AllSides(Downsample):
    """One pixel of padding on all four sides."""

    def forward(self, x):
        return F.conv2d(x, self.conv.weight, self.conv.bias, stride=2, padding=1)


def mistakes():
    """The trained weights with one line wrong: the loss of each mistake."""
    right, untold, padded = _trained(), copy.deepcopy(_trained()), copy.deepcopy(_trained())
    for module in untold.modules():
        if isinstance(module, ResBlock):
            nn.init.zeros_(module.time.weight)
            nn.init.zeros_(module.time.bias)
    padded.down[0].resize.__class__ = _AllSides
    losses = {"right": _loss(right), "no skips": _loss(_without_skips()), "no time in the blocks": _loss(untold),
              "skips 1 and 2 exchanged": _loss(_skips_exchanged()), "padding=1 in Downsample": _loss(padded)}
    with patch.object(F, "scaled_dot_product_attention", lambda q, k, v: (q @ k.mT).softmax(-1) @ v):
        losses["attention without scale"] = _loss(right)
    figure = ch06.bars_figure(losses, "loss on 256 digits (dashed: guessing 0)", line=1.0)
    figure.set_size_inches(11.36, 4.3)
    figure.axes[0].set(xticks=[0, 1])
    for text in figure.axes[0].texts:
        text.set_fontsize(17.5)
    return figure
