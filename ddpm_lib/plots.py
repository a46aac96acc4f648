"""Pictures: every function returns a matplotlib Figure and shows nothing. One palette, one meaning per colour (chapter 00)."""
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from .data import to_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DATA, NOISE, MODEL, EXACT, ERROR = "#0072B2", "#E69F00", "#009E73", "#000000", "#D55E00"   # Okabe & Ito
GREY = "#8C8C8C"


def mosaic(x: Tensor, columns: int, gap: int | None = None) -> np.ndarray:
    """Pictures side by side with white gaps, as one array. x: (N, C, H, W) in [-1, 1] -> (H', W', 3) in [0, 1]."""
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"pictures must have shape (N, 1 or 3, H, W), got {tuple(x.shape)}")
    n, _, h, w = x.shape
    gap = max(1, h // 8) if gap is None else gap
    rows = -(-n // columns)
    out = np.ones((rows * (h + gap) - gap, columns * (w + gap) - gap, 3))
    for i, picture in enumerate(to_unit(x.detach()).permute(0, 2, 3, 1).numpy()):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        out[top:top + h, left:left + w] = picture
    return out


def image_grid(x: Tensor, columns: int = 8, *, width: float = 6.0, titles: Sequence[str] = (), labels: Sequence[str] = ()) -> "Figure":
    """Pictures in rows, enlarged without smoothing and with gaps between them.

    x: (N, C, H, W) in [-1, 1]; titles: one per column, above; labels: one per row, at the left; width in inches.
    """
    from matplotlib.figure import Figure  # a third of a second: only when something is drawn

    columns = min(columns, len(x))
    canvas = mosaic(x, columns)
    side, top = _room(labels, 0.09, len), _room(titles, 0.19, lambda title: title.count("\n") + 1)   # inches for text
    picture = width - side - 0.05
    height = picture * canvas.shape[0] / canvas.shape[1]
    figure = Figure(figsize=(width, height + top + 0.05))
    total = height + top + 0.05
    axes = figure.add_axes((side / width, 0.05 / total, picture / width, height / total))
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    gap = max(1, x.shape[2] // 8)
    for i, title in enumerate(titles):
        axes.text(i * (x.shape[3] + gap) + x.shape[3] / 2 - 0.5, -1 - gap / 2, title, ha="center", va="bottom", fontsize=10)
    for i, label in enumerate(labels):
        axes.text(-1 - gap, i * (x.shape[2] + gap) + x.shape[2] / 2 - 0.5, label, ha="right", va="center", fontsize=10)
    return figure


def curves(x, ys: dict, *, xlabel: str, ylabel: str, colors: Sequence[str] = (), log: str = "",
           size: tuple[float, float] = (6.5, 3.2)) -> "Figure":
    """Lines over one axis. ys: {name: values}; a name is the legend's text. log: "", "x", "y" or "xy"."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    palette = list(colors) or [DATA, NOISE, MODEL, ERROR, EXACT, GREY]
    for (name, y), color, style in zip(ys.items(), palette * len(ys), ["-", "--", "-.", ":"] * len(ys)):
        axes.plot(x, y, style, color=color, label=name, lw=1.8)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    if len(ys) > 1:
        axes.legend()
    return figure


def points(sets: Sequence[Tensor], titles: Sequence[str], *, color: str = DATA, limit: float = 3.0, width: float = 6.5) -> "Figure":
    """2-D sets side by side on equal axes. sets: a few (N, 2) tensors."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, width / len(sets) + 0.5), layout="constrained")
    for i, (x, title) in enumerate(zip(sets, titles, strict=True)):
        axes = figure.add_subplot(1, len(sets), i + 1)
        axes.scatter(x[:, 0], x[:, 1], s=3, color=color, linewidths=0)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", title=title, xlabel="$x_1$")
        if i == 0:
            axes.set_ylabel("$x_2$")
        else:
            axes.set_yticklabels([])
    return figure


def _room(texts, unit, measure):
    """Inches that texts need beside the picture, at `unit` per letter or line."""
    return 0.05 + (0.1 + unit * max(map(measure, texts)) if any(texts) else 0)
