"""Pictures and numbers of deck 01."""
import functools
import pathlib
import re

import matplotlib
import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw, ImageFont
from torch.distributions import Normal

from ddpm_lib import data, metrics, plots, weights
from ddpm_lib.autoencoders import AE, VAE
from ddpm_lib.course import ch01
from ddpm_lib.course.exercise import REGISTRY
from ddpm_lib.course.explore import PLANE_COLOURS
from ddpm_lib.ddpm import q_step, sample_ddpm
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.schedules import SCHEDULES, linear_schedule
from ddpm_lib.unet import UNet

from . import Frames, cells, printed, resized

INK, ENCODER, DECODER = "#1b1f24", plots.NOISE, plots.MODEL
WIDE = 6.5                                   # inches of a grid whose letters of 10 points fit a slide of 1136 pixels


# --- the notebook's networks and what it printed -----------------------------------------------------------------

@functools.cache
def _digits():
    return data.load("digits")


def _learned(build, loss):
    """The notebook's `learn`, 1,500 steps from its seed: the same network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)                                  # layers take their first weights from torch's own generator
        net = build()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, fused=True)
    for _, batch in zip(range(1500), data.batches(_digits().x_0, 128, generator)):
        optimizer.zero_grad()
        loss(net, batch, generator).backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


@functools.cache
def _ae():
    return _learned(AE, lambda net, batch, generator: net.loss(batch))


@functools.cache
def _vae():
    return _learned(VAE, lambda net, batch, generator: net.bound(batch, torch.randn(len(batch), 2, generator=generator)).mean())


def _printed(pattern):
    """What the notebook printed in the group of a regular expression."""
    return printed("01", pattern)[0][1]


def _said(pattern):
    """What the notebook says in its text, in the group of a regular expression. Raises ValueError if it says that no longer."""
    found = re.search(pattern, "\n".join("".join(cell["source"]) for cell in cells("01") if cell["cell_type"] == "markdown"))
    if not found:
        raise ValueError(f"the notebook of chapter 01 no longer says {pattern!r}")
    return found[1]


def halves():
    return _said(r"halves of the real digits are (\d+ to \d+) apart")


def _distance(name):
    far = int(_printed(rf"^{re.escape(name)} .*Frechet distance +(\d+)"))
    return f"{far:,}"


def mean_error():
    return _printed(r"mean digit: ([\d.]+)")


def linear_error():
    return _printed(r"linear code of two numbers: ([\d.]+)")


def copy_error():
    return _printed(r"autoencoder's error: ([\d.]+)")


def ae_copies():
    return _distance("copies of real digits")


def ae_drawn():
    return _distance("autoencoder, N(0, I)")


def ae_fitted():
    return _distance("autoencoder, Gaussian fitted")


def vae_copies():
    return _distance("VAE, copies of real digits")


def vae_drawn():
    return _distance("VAE, codes from N(0, I)")


def vae16_drawn():
    return _distance("VAE, 16 numbers, codes from N(0, I)")


def silent():
    return _printed(r"less than 0.05 nats: (\d+)")


def diffusion_drawn():
    return _printed(r"^diffusion \(its card\) +[\d,]+ +\d+ +(\d+)")


def diffusion_latents():
    return _printed(r"^diffusion \(its card\) +([\d,]+)")


def diffusion_calls():
    return _printed(r"^diffusion \(its card\) +[\d,]+ +(\d+)")


def closed_kl():
    return _printed(r"closed form ([\d.]+) nats; a million draws agree")


def wide_cost():
    return _printed(r"10 % too large: ([\d.]+) nats")


def _row(k):
    return _printed(rf"^ +{k} +(-[\d.]+ +[\d.]+ +-[\d.]+ +-[\d.]+)$").split()


def two_elbo():
    return _row(2)[0]


def two_gap():
    return _row(2)[1]


def two_sum():
    return _row(2)[2]


def two_exact():
    return _row(2)[3]


def _mistake(exercise, start):
    """What the check of an exercise says to the mistake whose text begins with `start`."""
    return next(text for _, text in REGISTRY[exercise].mistakes if text.startswith(start))


def variance_trap():
    return _mistake("reparameterise", "exp(log_var) is the variance")


def detach_trap():
    return _mistake("reparameterise", "the numbers are right, but no gradient arrives at mean and log_var").split(":")[0]


# --- pictures ----------------------------------------------------------------------------------------------------

def _grid(rows, columns=12):
    """Rows of pictures with their labels, across the slide. rows: {label: (N, 1, 8, 8)}."""
    return resized(plots.image_grid(torch.cat(list(rows.values())), columns=columns, width=WIDE, labels=list(rows)), 1136)


def copies():
    x_0 = _digits().x_0[:8]
    return _grid({"digit": x_0, "copy": _ae().decode(_ae().encode(x_0))}, columns=8)


def walks():
    codes = _ae().encode(_digits().x_0[:10])                                  # of a 0, a 1, ..., a 9
    return _grid({f"{a} to {b}": _ae().decode(ch01.walk(codes[a], codes[b])) for a, b in ((6, 3), (0, 1), (3, 4))}, columns=11)


def guesses():
    """The notebook's three guesses of where the codes lie, with their distances."""
    z = _ae().encode(_digits().x_0)
    generator = torch.Generator().manual_seed(1)
    normal, even = torch.randn(len(z), 2, generator=generator), torch.rand(len(z), 2, generator=generator)
    low, high, root = z.min(0).values, z.max(0).values, torch.linalg.cholesky(z.T.cov())
    codes = {"N(0, I)": normal, "box of codes": low + (high - low) * even, "fitted": z.mean(0) + normal @ root.T}
    names = ("autoencoder, N(0, I)", "autoencoder, box of all codes", "autoencoder, Gaussian fitted")
    return _grid({f"{name}: {_distance(long)}": _ae().decode(some[:9]) for (name, some), long in zip(codes.items(), names)}, columns=9)


def vae_rows():
    x_0, generator = _digits().x_0[:13], torch.Generator().manual_seed(1)
    z = torch.randn(13, 2, generator=generator)
    return _grid({"digit": x_0, "VAE: copy": _vae().decode(_vae().encode(x_0)[0]), "VAE: drawn": _vae().decode(z),
                  "AE: drawn": _ae().decode(z)}, columns=13)


def diffusion_rows():
    """Digits drawn by the VAE and by the bundled diffusion model."""
    net, card = weights.load("digits", UNet)
    schedule, generator = SCHEDULES[card["schedule"]["name"]](card["schedule"]["T"]), torch.Generator().manual_seed(7)
    for _, drawn, _ in sample_ddpm(clipped(denoiser(net, schedule)), (10, 1, 8, 8), schedule, generator, schedule.beta_tilde):
        pass
    return _grid({"VAE": _vae().decode(torch.randn(10, 2, generator=generator)), "diffusion": drawn}, columns=10)


def _name_places(z, labels, low, high):
    """Where to write the name of each digit: near the densest of its codes, pushed apart where names would touch."""
    homes = []
    for k in range(10):
        own = z[labels == k]
        homes.append(own[torch.cdist(own, own).sort(1).values[:, len(own) // 3].argmin()])
    corner, reach = torch.tensor(low), torch.tensor(high) - torch.tensor(low)
    homes = (torch.stack(homes) - corner) / reach
    names = homes.clone()
    for _ in range(300):
        apart = names[:, None] - names
        gap = apart.norm(dim=2, keepdim=True).clamp(min=1e-6)
        names = names + (0.3 * (0.085 - gap).clamp(min=0) * apart / gap).sum(1) + 0.03 * (homes - names)
    return (names * reach + corner).tolist()


def swirled():
    """The codes, and the codes turned by an angle that grows with the distance from 0: as good for the loss."""
    z, labels = _ae().encode(_digits().x_0), _digits().labels
    angle = 0.25 * z.norm(dim=1)
    c, s = angle.cos(), angle.sin()
    turned = torch.stack([c * z[:, 0] - s * z[:, 1], s * z[:, 0] + c * z[:, 1]], dim=1)
    halo = patheffects.withStroke(linewidth=4, foreground="white")
    figure = Figure(figsize=(11.2, 3.8), layout="constrained")
    for k, (title, codes) in enumerate({"the code $z$": z, "swirled: $h(z)$": turned}.items()):
        axes = figure.add_subplot(1, 2, k + 1)
        low, high = codes[:250].min(0).values - 1, codes[:250].max(0).values + 1
        axes.scatter(codes[:250, 0], codes[:250, 1], s=18, c=[PLANE_COLOURS[k] for k in labels[:250]], linewidths=0)
        for name, place in enumerate(_name_places(codes[:250], labels[:250], low.tolist(), high.tolist())):
            axes.text(*place, str(name), ha="center", va="center", weight="bold", color="black", path_effects=[halo])
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), title=title, xlabel="$z_1$" if k == 0 else "$h_1$", ylabel="$z_2$" if k == 0 else "$h_2$")
    return figure


def _chain(figure, axes, names, top, bottom, pictures=None):
    """Boxes in a row, an arrow to the right above each gap and one to the left below it. None in names: dots."""
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(-1.05, 1.05))
    axes.set_axis_off()
    for k, name in enumerate(names):
        if name is None:
            axes.text(k, 0, r"$\cdots$", fontsize=34, ha="center", va="center")
        elif pictures is None:
            axes.text(k, 0, name, fontsize=26, ha="center", va="center", bbox={"boxstyle": "circle,pad=0.35", "fc": "white", "ec": INK, "lw": 2.5})
        else:
            axes.imshow(pictures[k], cmap="gray", vmin=0, vmax=1, extent=(k - 0.2, k + 0.2, -0.37, 0.37), aspect="auto", interpolation="nearest")
            axes.add_patch(Rectangle((k - 0.2, -0.37), 0.4, 0.74, fill=False, ec=INK, lw=2))           # white pixels would melt into the slide
            axes.text(k, 0.42, name, fontsize=26, ha="center", va="bottom")
    for k, (above, below) in enumerate(zip(top, bottom)):
        for a, b, y, color, style in ((k + 0.23, k + 0.77, 0.2, ENCODER, "-"), (k + 0.77, k + 0.23, -0.2, DECODER, "--")):
            axes.annotate("", (b, y), (a, y), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 4, "ls": style, "mutation_scale": 26, "shrinkA": 4, "shrinkB": 4})
        axes.text(k + 0.5, 0.36, above, fontsize=21, ha="center", va="bottom")
        axes.text(k + 0.5, -0.36, below, fontsize=21 if pictures is None else 18, ha="center", va="top")
    axes.set(xlim=(-0.4, len(names) - 0.6), ylim=(-1, 0.9))


def stack():
    """The hierarchical VAE: encoders to the right, decoders to the left."""
    figure = Figure(figsize=(11.3, 1.9))
    _chain(figure, figure.add_axes((0, 0, 1, 1)), ["$x_0$", "$z_1$", "$z_2$", None, "$z_T$"],
           ["$q(z_1|x_0)$", "$q(z_2|z_1)$", "", "$q(z_T|z_{T-1})$"], ["$p(x_0|z_1)$", "$p(z_1|z_2)$", "", "$p(z_{T-1}|z_T)$"])
    return figure


def nailed():
    """The diffusion model: the same chain, its latents noisy pictures (here of a walk of eight steps)."""
    schedule, generator = linear_schedule(8, 0.05, 0.7), torch.Generator().manual_seed(2)
    walk = [_digits().x_0[:1]]
    for t in range(1, schedule.T + 1):
        walk.append(q_step(walk[-1], torch.tensor([t]), torch.randn(walk[0].shape, generator=generator), schedule))
    pictures = [data.to_unit(x)[0, 0].numpy() for x in (*walk[:4], walk[-1])]
    figure = Figure(figsize=(11.3, 2.15))
    _chain(figure, figure.add_axes((0, 0, 1, 1)), ["$x_0$", "$x_1$", "$x_2$", None, "$x_T$"],
           ["noise", "noise", "", "noise"], ["$p_\\theta(x_0|x_1)$", "$p_\\theta(x_1|x_2)$", "", "$p_\\theta(x_{T-1}|x_T)$"], pictures)
    return figure


def posteriors():
    """The true posteriors of three of the notebook's ten digits, and the encoder's Gaussians."""
    vae, side, pick = _vae(), torch.linspace(-5, 5, 281), torch.tensor([0, 9, 2])
    x_0, z = _digits().x_0[pick], torch.cartesian_prod(side, side)
    mean, log_var = vae.encode(x_0)
    squares = torch.cdist(x_0.flatten(1).double(), vae.decode(z).flatten(1).double()).square()
    log_joint = Normal(0.0, 1.0).log_prob(z).sum(1) - squares / (2 * vae.config["noise"] ** 2)
    shapes = log_joint.softmax(1)                                             # the constant of Eq. 1.6 falls out
    titles = [f"a {int(k)}: gap {float(_row(int(k))[1]):.1f} nats" for k in pick]
    with matplotlib.rc_context({"axes.titlesize": 13, "axes.labelsize": 13, "xtick.labelsize": 12, "ytick.labelsize": 12, "axes.linewidth": 1}):
        figure = ch01.posterior_figure(side, dict(zip(titles, shapes)), mean, log_var)
        figure.set_figheight(2.45)                                            # no empty room above the panels
        return resized(figure, 1080)


def levels():
    """Nats that each level of the notebook's stack carries."""
    carried = [float(value) for value in _printed(r"nats carried by levels 1, 2, 3: ([\d. ]+)").split()]
    figure = Figure(figsize=(6.4, 4.3), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.bar(["$z_1$\n16 numbers", "$z_2$\n8 numbers", "$z_3$\n4 numbers"], carried, color=plots.MODEL, width=0.6)
    axes.bar_label(bars, [f"{value:.3f}" if value < 0.1 else f"{value:.1f}" for value in carried], fontsize=22, padding=4)
    axes.set(ylabel="nats carried", ylim=(0, 1.15 * carried[0]))
    return figure


# --- the slider --------------------------------------------------------------------------------------------------
# 81 frames with axes and dots are small files only if they have few pixels and few colours: drawn at half the size,
# without smoothing, and shown with every pixel twice as large.

HALF, PLANE, LEFT, TOP, TILE = 284, 146, 34, 18, 88                    # sizes in pixels of the array


@functools.cache
def _font(bold=False):
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf", name)), 13)


def _number(value, digits=0):
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _pencil(image):
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"                                                    # letters without grey edges
    return draw


def _map(title, z, labels, low, high, ticks):
    """The left part of one half: a plane with codes, and where a code of the plane lies in the picture."""
    image = Image.new("RGB", (HALF, 185), "white")
    draw, dots = _pencil(image), 200

    def spot(code):
        a, b = ((float(code[k]) - low[k]) / (high[k] - low[k]) * (PLANE - 1) for k in (0, 1))
        return LEFT + round(a), TOP + PLANE - 1 - round(b)

    for code, label in zip(z[:dots], labels[:dots].tolist()):
        x, y = spot(code)
        if LEFT <= x < LEFT + PLANE and TOP <= y < TOP + PLANE:
            draw.rectangle((x - 1, y - 1, x, y), fill=PLANE_COLOURS[label])
    for k, place in enumerate(_name_places(z[:250], labels[:250], low, high)):
        draw.text(spot(place), str(k), fill="black", font=_font(bold=True), anchor="mm", stroke_width=1, stroke_fill="white")
    draw.line((LEFT - 2, TOP, LEFT - 2, TOP + PLANE + 1, LEFT + PLANE, TOP + PLANE + 1), fill=INK)
    for tick in ticks:
        x, y = spot((tick, tick))
        if LEFT <= x < LEFT + PLANE:
            draw.line((x, TOP + PLANE + 1, x, TOP + PLANE + 3), fill=INK)
            draw.text((x, TOP + PLANE + 4), _number(tick), fill=INK, font=_font(), anchor="ma")
        if TOP <= y < TOP + PLANE:
            draw.line((LEFT - 4, y, LEFT - 2, y), fill=INK)
            draw.text((LEFT - 6, y), _number(tick), fill=INK, font=_font(), anchor="rm")
    draw.text((LEFT + PLANE / 2, 1), title, fill=INK, font=_font(bold=True), anchor="ma")
    draw.text((LEFT + PLANE + 3, TOP + PLANE + 1), "z\u2081", fill=INK, font=_font(), anchor="lm")
    draw.text((LEFT - 4, 1), "z\u2082", fill=INK, font=_font(), anchor="ra")
    return image, spot


def _half(paper, spot, code, digits, tile, said):
    """One half of a frame: the plane with the point, and the picture decoded there."""
    image = paper.copy()
    draw, (x, y), middle = _pencil(image), spot(code), LEFT + PLANE + 12 + TILE // 2
    draw.line((x, TOP, x, TOP + PLANE - 1), fill=plots.ERROR)
    draw.line((LEFT, y, LEFT + PLANE - 1, y), fill=plots.ERROR)
    draw.ellipse((x - 6, y - 6, x + 6, y + 6), outline="black", width=2)
    draw.text((middle, TOP), f"({_number(code[0], digits)}, {_number(code[1], digits)})", fill=INK, font=_font(), anchor="ma")
    tile = (np.asarray(tile).astype(float) / 255 * 15).round().astype(np.uint8) * 17           # sixteen greys are enough
    image.paste(Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.NEAREST), (middle - TILE // 2, TOP + 19))
    for k, line in enumerate(said.replace(", ", ",\n").split("\n")):
        draw.text((middle, TOP + TILE + 24 + 15 * k), line, fill=INK, font=_font(), anchor="ma")
    return np.asarray(image)


def planes():
    """The notebook's planes of codes: what the autoencoder and the VAE make of 9 x 9 points."""
    reading, _ = weights.load("digits_classifier", metrics.Classifier)
    side, picks = 45, range(2, 45, 5)
    shown = ch01.digit_planes(_ae(), _vae(), _digits(), reading, alt="the planes of codes that the notebook shows").planes
    codes, halves = (_ae().encode(_digits().x_0), _vae().encode(_digits().x_0)[0]), []
    for plane, z, title, ticks, digits in zip(shown, codes, ("autoencoder", "VAE"), ((-20, -10, 0, 10), (-2, 0, 2)), (0, 1)):
        low, high = plane["low"], [value + (side - 1) * plane["step"] for value in plane["low"]]
        paper, spot = _map(title, z, _digits().labels, low, high, ticks)
        halves.append({(i, j): _half(paper, spot, (low[0] + i * plane["step"], low[1] + j * plane["step"]), digits,
                                     plane["tiles"][(side - 1 - j) * side + i], plane["said"][(side - 1 - j) * side + i])
                       for i in picks for j in picks})
    rows = {f"{k} of 9": [np.concatenate([half[i, j] for half in halves], 1) for i in picks] for k, j in enumerate(picks, 1)}
    return Frames(rows, [f"{k} of 9" for k in range(1, 10)], slider="z_1, left to right", choice="z_2, bottom to top", start=(4, 4), height=370,
                  alt="The plane of codes of the autoencoder and that of the VAE, the point chosen in each, and the digit decoded there.",
                  stills=[(4, 4), (0, 4), (4, 0), (8, 8)], across=2, limit=228_000)
