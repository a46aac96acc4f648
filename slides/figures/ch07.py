"""Pictures, sliders and numbers of deck 07, Training on pictures.

A training takes minutes, which a build may not spend. So what was trained comes from the saved outputs of the notebook
of chapter 07, which its cells computed with ddpm_lib: printed numbers, and pictures whose enlarged pixels are cut back
to digits of 8 x 8. Everything else is computed here.
"""
import base64
import io
import json
import re

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from ddpm_lib import data, plots, weights
from ddpm_lib.course.ch07 import BROKEN
from ddpm_lib.course.exercise import REGISTRY
from ddpm_lib.ddpm import simple_loss
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.samplers import ddpm, even_times
from ddpm_lib.schedules import cosine_schedule
from ddpm_lib.train import EMA, loss_by_t, train, warmup_cosine
from ddpm_lib.unet import UNet

from . import Frames, cells

INK, QUESTION, SCHEDULE, STEPS = "#1b1f24", "#fff6e0", cosine_schedule(200), 1100       # colours of theme.css
LETTERS = ("healthy", *"ABCDEFGH")


# --- the notebook's saved outputs --------------------------------------------------------------------------------

def _outputs(code, kind):
    """The saved outputs of one kind (a MIME type, or "stream") of the cell that holds `code`."""
    for cell in cells("07"):
        if cell["cell_type"] == "code" and code in "".join(cell["source"]):
            found = [o["text"] if kind == "stream" else o["data"][kind] for o in cell["outputs"]
                     if (o["output_type"] == "stream" if kind == "stream" else kind in o.get("data", {}))]
            return ["".join(text) for text in found]
    raise ValueError(f"no code cell of the notebook of chapter 07 holds {code!r}.")


def _number(code, pattern, kind="stream"):
    """What the first group of `pattern` matches in the printed output of the cell that holds `code`."""
    found = re.search(pattern, "\n".join(_outputs(code, kind)))
    if not found:
        raise ValueError(f"the cell with {code!r} of the notebook of chapter 07 prints nothing like {pattern!r} (any more).")
    return found[1]


def _picture(encoded):
    """A picture in base64 as grey values, (H, W) uint8."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L"))


def _digits(image, box, rows, columns):
    """The digits of a mosaic that fills `box` = (left, top, width, height) of an image, (N, 1, 8, 8) in [-1, 1]."""
    left, top, width, height = box
    down, across = 9 * rows - 1, 9 * columns - 1
    y = (top + (np.arange(down) + 0.5) * height / down).astype(int)
    x = (left + (np.arange(across) + 0.5) * width / across).astype(int)
    grid = np.pad(image[np.ix_(y, x)], ((0, 1), (0, 1)), constant_values=255)
    grid = grid.reshape(rows, 9, columns, 9).transpose(0, 2, 1, 3)
    if not (grid[..., 8, :] == 255).all() or not (grid[..., 8] == 255).all():
        raise ValueError("the gaps between the digits are not where they should be in a picture of the notebook of chapter 07.")
    digits = np.ascontiguousarray(grid[..., :8, :8]).reshape(-1, 1, 8, 8)
    return torch.from_numpy(digits).float() / 127.5 - 1


def _grid(code, number, columns, width, labels, rows):
    """The digits of the picture that the notebook drew by plots.image_grid with these arguments, (N, 1, 8, 8)."""
    image = _picture(_outputs(code, "image/png")[number])
    blank = torch.zeros(rows * columns, 1, 8, 8)
    box = plots.image_grid(blank, columns=columns, width=width, labels=labels).axes[0].get_position()
    h, w = image.shape
    return _digits(image, (box.x0 * w, (1 - box.y1) * h, box.width * w, box.height * h), rows, columns)


# --- drawing -----------------------------------------------------------------------------------------------------

def _show(figure, x, columns, left, top, cell):
    """Draw a mosaic of digits with its corner at (left, top), a digit's pixel being `cell` pixels of the slide wide."""
    canvas = plots.mosaic(x, columns)
    canvas[plots.mosaic(torch.full_like(x, -1), columns)[..., 0] == 1] = figure.get_facecolor()[:3]     # the gaps
    w, h = figure.get_size_inches() * 100
    height, width = canvas.shape[0] * cell, canvas.shape[1] * cell
    axes = figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return axes


def _say(figure, x, y, text, **style):
    """Write a text at (x, y) pixels from the upper left corner."""
    w, h = figure.get_size_inches() * 100
    figure.text(x / w, 1 - y / h, text, **{"va": "center", "ha": "left", "color": INK, "fontsize": 18} | style)


def _rows(x, columns, names, notes, cell, left, size, paper="white", head=""):
    """Rows of digits, a name at the left of each and a note at its right; head: what stands above the notes."""
    figure = Figure(figsize=size, facecolor=paper)
    top, right = 34 if head else 4, left + (9 * columns - 1) * cell + 22
    _show(figure, x, columns, left, top, cell)
    _say(figure, right, 16, head)
    for k, (name, note) in enumerate(zip(names, notes, strict=True)):
        middle = top + (9 * k + 4) * cell
        _say(figure, left - 16, middle, name, ha="right")
        _say(figure, right, middle, note)
    return figure


# --- pictures as numbers, the training ---------------------------------------------------------------------------

def real_and_drawn():
    """Real digits above digits that the notebook's network drew."""
    real, drawn = _grid("drawn[:48]", 0, 12, 7, (), 2), _grid("drawn[:48]", 1, 12, 7, (), 4)
    figure = Figure(figsize=(11.2, 3.8))
    for top, digits, name in ((4, real, "real"), (199, drawn[:24], "drawn")):
        _show(figure, digits, 12, 120, top, 9.2)
        _say(figure, 104, top + 78, name, ha="right", fontsize=20)
    return figure


def grey_values():
    """How often each grey value occurs in the digits, beside the end of the chain."""
    x_0 = data.load("digits").x_0
    x_T = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    figure = Figure(figsize=(5.8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    bins = np.linspace(-3.5, 3.5, 57)
    axes.hist(x_T.flatten().numpy(), bins, density=True, histtype="step", lw=3, color=plots.NOISE)
    axes.hist(x_0.flatten().numpy(), bins, density=True, color=plots.DATA, alpha=0.8)
    axes.set(xlabel="value of a pixel", ylabel="density", yticks=[0, 1, 2, 3], xticks=[-3, -1, 0, 1, 3])
    axes.text(-0.6, 3.0, "digits $x_0$", color=INK)
    axes.text(1.35, 0.5, "noise $x_T$", color=INK)
    return figure


def learning_rate():
    """The learning rate of the notebook's training."""
    lr, steps = warmup_cosine(2e-3, STEPS), np.arange(1, STEPS + 1)
    figure = Figure(figsize=(5.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(steps, [1000 * lr(int(n)) for n in steps], color=INK)
    axes.set(xlabel="step $n$", ylabel="learning rate / 0.001", xticks=[100, 400, 700, STEPS],
             ylim=(0, None), yticks=[0, 1, 2])
    return figure


def loss_curve():
    """The loss of the notebook's training, read off its saved picture: a band of single steps, the running average."""
    image = Image.open(io.BytesIO(base64.b64decode(_outputs("with LiveLoss(STEPS)", "image/png")[0]))).convert("RGB")
    rgb = np.asarray(image).astype(float)
    h, w = rgb.shape[:2]
    ticks = np.flatnonzero(rgb[:, round(0.12 * w) - 4].mean(-1) < 160)     # the marks of 1 and 0.1, beside the axis
    ticks = ticks[np.r_[True, np.diff(ticks) > 2]]
    columns = np.arange(round(0.12 * w) + 1, round(0.97 * w), 2)
    step, part = (columns + 0.5 - 0.12 * w) / (0.85 * w) * STEPS, rgb[:round(0.8 * h) - 2, columns]
    thick, blue = np.abs(part - (0, 114, 178)).sum(-1) < 120, part[..., 2] - part[..., 0] > 40
    row = np.arange(len(part))[:, None]
    average = (row * thick).sum(0) / thick.sum(0)
    low, high = np.where(blue, row, -1).max(0), np.where(blue, row, h).min(0)

    def value(row):
        return 10.0 ** -((row - ticks[0]) / (ticks[-1] - ticks[0]))

    figure = Figure(figsize=(11.2, 4.1), layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(step, value(low), value(high), color="#9ccbe8", lw=0)
    axes.plot(step, value(average), color=plots.DATA)
    axes.set(xlabel="step", ylabel="loss", yscale="log", xlim=(0, STEPS), ylim=(0.1, 1.15))
    axes.set_yticks([0.1, 0.2, 0.5, 1], ["0.1", "0.2", "0.5", "1"])
    axes.yaxis.minorticks_off()
    return figure


def by_noise_level():
    """Loss at fixed t: of the course's network for digits, from its card, and of the same before training."""
    net, card = weights.load("digits", UNet)
    trained = {int(t): value for t, value in card["scores"]["loss by t"].items()}
    x_0 = data.load("digits").x_0[:64]
    untrained = loss_by_t(UNet(**net.config), lambda *a: simple_loss(*a, SCHEDULE), x_0, (1, 100, 200),
                          torch.Generator().manual_seed(1))
    figure = Figure(figsize=(6.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot((1, 100, 200), untrained, "--", color="#555555", marker="s")
    axes.plot(list(trained), list(trained.values()), color=plots.MODEL, marker="o")
    axes.text(100, 0.5, "untrained", color=INK, ha="center")
    axes.text(60, 0.04, "trained", color=INK, ha="center")
    axes.set(xlabel="step $t$", ylabel="loss", yscale="log", xticks=[1, 50, 100, 150, 200])
    axes.set_yticks([1, 0.1, 0.01, 0.001], ["1", "0.1", "0.01", "0.001"])
    axes.yaxis.minorticks_off()
    return figure


# --- averaging the weights ---------------------------------------------------------------------------------------

class _Point(nn.Module):
    """A network with nothing but a vector of weights."""

    def __init__(self, values):
        super().__init__()
        self.theta = nn.Parameter(torch.as_tensor(values))


def tremble():
    """Two weights under noisy gradients, and their moving average: as a path, and as a distance from the best place."""
    g, net = torch.Generator().manual_seed(3), _Point([1.6, 1.1])
    ema, best = EMA(net, decay=0.98), torch.tensor([0.0, 0.0])
    batches = (best + 0.9 * torch.randn(2, generator=g) for _ in range(400))
    path = [[net.theta.detach().clone()] * 2]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.12)
    for _ in train(net, lambda net, x: (net.theta - x).square().sum(), batches, optimizer, ema):
        path.append([net.theta.detach().clone(), ema.net.theta.clone()])
    raw, mean = torch.stack([torch.stack(p) for p in path]).unbind(1)
    figure = Figure(figsize=(11.2, 4.5), layout="constrained")
    plane, distance = figure.subplots(1, 2, width_ratios=(1, 1.25))
    plane.plot(*raw.T, color=plots.NOISE, lw=1.5)
    plane.plot(*mean.T, color=plots.MODEL, lw=4)
    plane.plot(*best, "P", color=plots.EXACT, ms=15, zorder=5)
    plane.annotate("the best place", best, (0.75, -0.42), ha="center", va="center",
                   arrowprops={"arrowstyle": "-", "lw": 1.5, "color": INK, "shrinkB": 9})
    plane.set(xlabel="one weight", ylabel="another weight", xticks=[0], yticks=[0])
    for values, style in ((raw, {"color": plots.NOISE, "lw": 1.5, "label": "raw weights"}),
                          (mean, {"color": plots.MODEL, "lw": 4, "label": "their moving average"})):
        distance.plot((values - best).norm(dim=1), **style)
    distance.set(xlabel="step $n$", ylabel="distance from the best", ylim=(0, None), yticks=[0, 1, 2])
    distance.legend(loc="upper right")
    return figure


def _shares(n, decay, updates):
    """The factors of theta_0 .. theta_n in the average after n steps: EMA, fed with unit vectors, returns them."""
    unit, point = torch.eye(n + 1), _Point(torch.zeros(n + 1))
    point.theta.data.copy_(unit[0])
    ema = EMA(point, decay)
    ema.updates = updates
    for k in range(1, n + 1):
        point.theta.data.copy_(unit[k])
        ema.update(point)
    return ema.net.theta


def whose_weights():
    """Which part of the average after 300 steps comes from when, without and with the warm-up."""
    figure = Figure(figsize=(11.2, 3.1), layout="constrained")
    axes = figure.add_subplot()
    spans = {"random start": (0, 1, "#f2a274", "//"), "1 to 100": (1, 101, "#e3f1ec", ""),
             "101 to 200": (101, 201, "#a5d8c6", ""), "201 to 300": (201, 301, "#5cbf9f", "")}
    for row, updates in ((1, 10 ** 6), (0, 0)):        # 10 ** 6: as if the warm-up were long over
        share, left = _shares(300, 0.995, updates), 0.0
        for name, (first, stop, colour, hatch) in spans.items():
            width = 100 * float(share[first:stop].sum())
            axes.barh(row, width, 0.62, left, color=colour, hatch=hatch, edgecolor=INK, lw=1)
            if width > 8:
                axes.text(left + width / 2, row, f"{width:.0f} %", ha="center", va="center",
                          bbox={"facecolor": colour, "edgecolor": "none", "pad": 3})
            if row:
                axes.text(left + width / 2, 1.38, name, ha="center", va="bottom", fontsize=17.5)
            left += width
    axes.set(xlim=(0, 100), ylim=(-0.4, 1.8), yticks=[1, 0], yticklabels=["$d = 0.995$", "with warm-up"], xticks=[])
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, pad=10)
    return figure


def start_left():
    """What 0.995^300 leaves of the random start, as a percentage."""
    return f"{100 * float(_shares(300, 0.995, 10 ** 6)[0]):.0f}"


def _snapshots():
    """The notebook's slider: its labels, its names, {(name, label): (digits of the raw weights, of the average)}."""
    html = _outputs("snapshot_slider(snapshots", "text/html")[0]
    facts = json.loads(re.search(r"\}\)\((\{.*\})\)</script>", html, re.S).group(1))
    sheet, w, h, n = _picture(facts["sheet"].partition(",")[2]), facts["w"], facts["h"], facts["columns"]
    side = min(0.47 * w, 0.86 * h)               # of a square in the middle of each half, as snapshot_slider draws it
    top = 0.12 * h + (0.86 * h - side) / 2
    drawn = {}
    for row, name in enumerate(facts["names"]):
        for k, label in enumerate(facts["labels"]):
            y, x = divmod(row * len(facts["labels"]) + k, n)
            frame = sheet[y * h:(y + 1) * h, x * w:(x + 1) * w]
            drawn[name, label] = [_digits(frame, (left * w + (0.47 * w - side) / 2, top, side, side), 3, 3)
                                  for left in (0.01, 0.52)]
    return facts["labels"], facts["names"], drawn


def _losses():
    """{step label: (loss of the raw weights, of the average)}, as the notebook printed them."""
    text = "\n".join(_outputs('table[step, name] = ', "stream"))
    found = re.findall(r"step +(\d+) +raw ([\d.]+) +averaged ([\d.]+)", text)
    return {f"step {n}": (raw, mean) for n, raw, mean in found}


def snapshots():
    """The central figure: training step x starting noise, raw weights beside averaged ones."""
    labels, names, drawn = _snapshots()
    losses = _losses()

    def frame(name, label):
        figure = Figure(figsize=(8.6, 3.9))
        titles = ("raw weights", "averaged weights")
        for digits, title, loss, left in zip(drawn[name, label], titles, losses[label], (40, 475), strict=True):
            _show(figure, digits, 3, left, 40, 40 / 3)      # whole pixels in the frames, which are 1.2 times as large
            _say(figure, left + 173, 18, f"{title}, loss {loss}", ha="center", fontsize=19)
        return figure

    return Frames({name: [frame(name, label) for label in labels] for name in names}, labels, slider="training step",
                  choice="starting noise", start=(0, 0), stills=[(0, 0), (1, 0), (3, 0), (5, 0)], across=2, paper=520,
                  alt="Nine digits drawn with raw weights beside nine with averaged weights, at steps 25 to 1,100.")


# --- drawing pictures --------------------------------------------------------------------------------------------

def walk():
    """Ancestral sampling by the course's network: x_t above the clipped guess of x_0, for six digits."""
    net, _ = weights.load("digits", UNet)
    g = torch.Generator().manual_seed(2)
    x_t, guess = torch.randn(6, 1, 8, 8, generator=g), clipped(denoiser(net, SCHEDULE))
    t, pairs = SCHEDULE.T, {}
    for arrived, x, x_0_hat in ddpm(guess, x_t, even_times(SCHEDULE, SCHEDULE.T), SCHEDULE, g, "beta_tilde"):
        pairs[t] = torch.cat([x_t, x_0_hat])
        t, x_t = arrived, x
    pairs[0] = torch.cat([x_t, x_0_hat])
    ts = [*range(200, 0, -10), 5, 2, 0]

    def frame(t):
        figure = Figure(figsize=(11.35, 3.5))
        _show(figure, pairs[t], 6, 75, 5, 20)
        _say(figure, 58, 5 + 4 * 20, "$x_t$", ha="right", fontsize=26)
        _say(figure, 58, 5 + 13 * 20, r"$\hat x_0$", ha="right", fontsize=26)
        return figure

    return Frames([frame(t) for t in ts], [f"t = {t}" for t in ts], slider="step t", stills=[0, 5, 12, 22], across=2, zoom=1,
                  alt="Six digits on their way from noise to picture: the noisy x_t above, the guess of x_0 below.")


def nearest():
    """Digits that the notebook's network drew, above the training digit nearest to each."""
    x = _grid("torch.cat([drawn[:12]", 0, 12, 7.4, ["drawn", "nearest"], 2)
    return _rows(x, 12, ("drawn", "nearest"), ("", ""), 9, 120, (11, 1.7))


VARIANTS = ("beta_tilde", "beta", "no clipping", "x_t clipped")
SHUFFLED = (1, 3, 0, 2)


def _variants():
    """Twelve digits for each of the four ways to draw, (4, 12, 1, 8, 8), and their Frechet distances."""
    code = "rows = torch.cat([x[:12]"
    scores = [_number(code, rf"(?m)^{re.escape(name)} +Frechet.*: (\d+)") for name in VARIANTS]
    return _grid(code, 0, 12, 7.4, VARIANTS, 4).view(4, 12, 1, 8, 8), scores


def four_ways():
    """The four ways to draw, under letters, in another order than in the notebook; each row's digits are shuffled too."""
    x, _ = _variants()
    g = torch.Generator().manual_seed(0)
    x = torch.cat([x[k][torch.randperm(12, generator=g)] for k in SHUFFLED])
    return _rows(x, 12, "ABCD", [""] * 4, 9.4, 60, (10.9, 3.4), QUESTION)


def four_ways_named():
    """The same rows with their names and Frechet distances, the digits sorted by starting noise."""
    x, scores = _variants()
    names = (r"$\tilde\beta_t$", r"$\beta_t$", "no clipping", "$x_t$ clipped")
    labels = [f"{names[k]}    {letter}" for letter, k in zip("ABCD", SHUFFLED, strict=True)]
    x, scores = torch.cat([x[k] for k in SHUFFLED]), [scores[k] for k in SHUFFLED]
    return _rows(x, 12, labels, scores, 7.4, 210, (11.3, 3), head="distance")


# --- eight broken trainings --------------------------------------------------------------------------------------

FAULTS = {"healthy": "nothing wrong", "noise drawn twice": "noise of another draw as the target",
          "learning rate x 100": "learning rate 100 times too high", "time left out": "the network is not told $t$",
          "alpha for alpha_bar": r"$\alpha_t$ in place of $\bar\alpha_t$"}      # the others keep their names


def _broken():
    """{letter: (fault, eight digits, last loss)} of the notebook's broken trainings; "healthy" among them."""
    x = _grid("for letter, last_loss in", 0, 8, 5.5, LETTERS, 9).view(9, 8, 1, 8, 8)
    losses = [_number("for letter, last_loss in", rf"(?m)^{letter} +last loss ([\d.]+)") for letter in LETTERS]
    return {letter: row for letter, row in zip(LETTERS, zip(BROKEN, x, losses, strict=True), strict=True)}


def nine_rows():
    """All nine rows with their letters and losses."""
    table = _broken()
    x, losses = torch.cat([x for _, x, _ in table.values()]), [loss for *_, loss in table.values()]
    return _rows(x, 8, table, losses, 5.6, 125, (6.2, 4.9), QUESTION, "loss")


def _explained(letters):
    """Some of the rows, with loss and fault beside them."""
    table = _broken()
    rows = [table[letter] for letter in letters]
    notes = [f"{loss}   {FAULTS.get(fault, fault)}" for fault, _, loss in rows]
    x, height = torch.cat([x for _, x, _ in rows]), (57.6 * len(rows) + 34) / 100
    return _rows(x, 8, letters, notes, 6.4, 120, (11.3, height), head="loss")


def faults_in_the_loss():
    """The rows whose fault the loss shows."""
    return _explained(["healthy", *"AEDHF"])


def faults_after_the_loss():
    """The rows whose loss is not higher than the healthy one."""
    return _explained(["healthy", *"BCG"])


# --- numbers -----------------------------------------------------------------------------------------------------

def seconds():
    """Seconds of the notebook's training."""
    return _number("with LiveLoss(STEPS)", r", (\d+) s", "text/plain")


def final_loss():
    """Its loss at the end."""
    return f"{float(_number('with LiveLoss(STEPS)', r'loss ([0-9.]+)', 'text/plain')):.2f}"


def parameters():
    """Numbers in its network."""
    return _number("parameters()):,} parameters", r"([\d,]+) parameters")


def confident():
    """Percentage of the drawn digits that a classifier recognises with confidence above 0.9."""
    share = _number("metrics.confident_share(classifier, drawn)", r"above 0.9: ([0-9.]+) of the drawn")
    return f"{100 * float(share):.0f}"


def distance_drawn():
    """Frechet distance of 200 drawn digits to the real ones."""
    return _number("metrics.confident_share(classifier, drawn)", r"(\d+) for 200 drawn")


def distance_real():
    """The same for 200 real ones."""
    return _number("metrics.confident_share(classifier, drawn)", r"(\d+) for 200 real")


def others():
    """To how many real digits these distances are."""
    return f"{len(data.load('digits').x_0) - 200:,}"


def copied():
    """Percentage of drawn digits below which the share of those nearer to a training picture than any two of these stays."""
    return _number("near = metrics.nearest_neighbours", r"less than (\d+) % are nearer .*: True")


def trap():
    """What the check of Exercise 4 says to live tensors."""
    return next(said for wrong, said in REGISTRY["resume"].mistakes if wrong.__name__ == "_resume_live")


def widest():
    """Largest value of the first guess of x_0 before clipping."""
    return _number("widest = predict_x_0", r"before clipping: (\d+)")


def last_signal():
    """sqrt(alpha_bar_T) of the notebook's schedule."""
    return f"{float(SCHEDULE.alpha_bar[-1].sqrt()):.1g}"


def resumed():
    """What the notebook printed when it compared the resumed training with the uninterrupted one."""
    return _number("uninterrupted = go_on", r"every number the same: (\w+)")


def broken_seconds():
    """Seconds of the nine small trainings."""
    return _number("broken_trainings(x_0, schedule", r", (\d+) s", "text/plain")
