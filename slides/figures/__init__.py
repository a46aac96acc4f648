"""The pictures, sliders and numbers of the decks: slides/figures/chNN.py holds those of deck NN.

A function without arguments and without a leading underscore is a name that every deck can use. What it returns says
what it is:  a matplotlib Figure   ![what is to be seen](fig:chNN.NAME)
             Frames                ```frames chNN.NAME
             a str                 @{chNN.NAME}        in any text, formula or note
The numbers in them come from ddpm_lib, and so do the drawing functions where the notebook uses the same picture.
A Figure is shown at 100 pixels per inch, so 17.3 points are the 24 pixels that the back row can read; `resized` shows
a figure that was drawn for a notebook larger. The build refuses smaller letters, pale ones, and clipped ones.
"""
import dataclasses
import json
import pathlib
import re
from collections.abc import Sequence

NOTEBOOKS = pathlib.Path(__file__).resolve().parents[2] / "notebooks"

PIXELS_PER_INCH = 100
STYLE = {"font.size": 18, "axes.titlesize": 20, "axes.labelsize": 19, "legend.fontsize": 18, "figure.titlesize": 20,
         "xtick.labelsize": 17.5, "ytick.labelsize": 17.5, "lines.linewidth": 3, "axes.linewidth": 1.5,
         "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "text.color": "#1b1f24",
         "axes.labelcolor": "#1b1f24", "axes.edgecolor": "#444c55", "xtick.color": "#1b1f24", "ytick.color": "#1b1f24",
         "path.simplify_threshold": 0.5, "svg.fonttype": "path", "svg.hashsalt": "ddpm"}      # letters as outlines; the same ids in every build


def cells(number: str) -> list[dict]:
    """The cells of a chapter's saved notebook, number "00" to "08"."""
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def printed(number: str, pattern: str) -> list[re.Match]:
    """Every place where what a chapter's saved notebook printed matches a pattern (^ and $ match at lines).

    Measured numbers that take too long to measure again come from here. Raises ValueError if nothing matches.
    """
    text = "\n".join("".join(output.get("text", "")) for cell in cells(number) for output in cell.get("outputs", []))
    found = list(re.finditer(pattern, text, re.M))
    if not found:
        raise ValueError(f"the notebook of chapter {number} prints nothing like {pattern!r} (any more).")
    return found


def resized(figure, width: int):
    """The same figure, shown `width` pixels wide on the slide (1136 fill it)."""
    figure.pixels_per_inch = width / figure.get_figwidth()
    return figure


@dataclasses.dataclass
class Frames:
    """One or two sliders over frames computed beforehand; on paper, a strip of stills.

    frames: Figures of one size, or arrays (H, W) or (H, W, 3), uint8 or float in [0, 1], or tuples (array, Figure) that stand
    side by side; with two sliders a dict {label of the second slider: list of frames}. labels: one per frame of a list. slider, choice: the names of the two
    sliders. alt: a sentence that says what is to be seen. height: pixels on the slide, for arrays; as many times an
    array's own height as possible keeps the squares equal. start: position at which the slide opens, (first, second).
    stills: the frames of the strip, as (first, second) positions or, with one slider, as positions; across: how many of
    them side by side; paper: pixels of height that the strip may take. zoom: pixels of a Figure's file per pixel of the slide. limit: bytes of all frames together, as files.
    """
    frames: Sequence | dict
    labels: Sequence[str]
    slider: str
    alt: str
    choice: str = ""
    height: int = 400
    start: tuple[int, int] = (0, 0)
    stills: Sequence | None = None
    across: int = 0
    paper: int = 470
    zoom: float = 1.2
    limit: int = 260_000
