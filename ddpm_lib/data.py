"""Data: real digits, larger sets that are downloaded, 2-D toys, and any folder of pictures, as tensors in [-1, 1] (every chapter)."""
import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import downloads

ROOT = Path(__file__).resolve().parents[1] / "data"
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


class Dataset(NamedTuple):
    """x_0: (N, C, H, W) float32 in [-1, 1]; labels: (N,) int64 or None; names: what each label means, or None."""

    x_0: Tensor
    labels: Tensor | None
    names: tuple[str, ...] | None


def load(name: str, size: int = 32) -> Dataset:
    """Load a data set by name, or a folder of pictures by its path, scaled to size x size.

    Names: digits comes with the course; mnist, fashion_mnist and cifar10 are downloaded once (or read from DDPM_DATA, see
    `downloads`); with _test behind the name it is their test part.
    Raises ValueError with the nearest known name if there is no such data set and no such folder.
    """
    if name in LOADERS:
        return LOADERS[name]()
    plain = name.removesuffix("_test")
    if plain in downloads.SOURCES:
        pixels, labels = downloads.read(plain, test=plain != name)
        x_0 = from_unit(torch.from_numpy(pixels.copy()).float().div_(255))
        return Dataset(x_0, torch.from_numpy(labels.copy()).long(), downloads.SOURCES[plain].names)
    if os.path.isdir(name):
        return folder(name, size)
    known = [*LOADERS, *downloads.SOURCES]
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {near[0]!r}?" if near else f"known names: {', '.join(known)}; or give the path of a folder of pictures."
    raise ValueError(f"there is no data set {name!r}: {guess}")


def digits() -> Dataset:
    """1,797 handwritten digits of 8x8 pixels (UCI Optical Recognition of Handwritten Digits): (1797, 1, 8, 8)."""
    path = ROOT / "digits.npz"
    if not path.exists():
        raise ValueError(f"{path.name} is missing from {path.parent}: get the course's data folder, or make it with "
                         "`python data/make_digits.py`")
    with np.load(path, allow_pickle=False) as file:
        pixels, labels = torch.from_numpy(file["pixels"]), torch.from_numpy(file["labels"]).long()
    return Dataset(pixels[:, None].float() / 8 - 1, labels, tuple("0123456789"))   # ink is counted from 0 to 16


def folder(path: str | Path, size: int = 32) -> Dataset:
    """All pictures of a folder and its subfolders, in the order of their names: (N, 3, size, size), no labels.

    Each is cut to its middle square and scaled. Raises ValueError naming the file that cannot be read, or if there is none.
    """
    files = sorted(p for p in Path(path).rglob("*") if p.suffix.lower() in PICTURES)
    if not files:
        raise ValueError(f"no pictures in {path}: it looks for files ending in {', '.join(sorted(PICTURES))}")
    return Dataset(torch.cat([read_picture(p, size) for p in files]), None, None)


def read_picture(path: str | Path, size: int) -> Tensor:
    """One picture file as (1, 3, size, size) in [-1, 1]: turned upright, cut to its middle square, scaled."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image).convert("RGB")
            image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read the picture {path}: remove it from the folder or save it anew ({error})") from error
    return from_unit(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255)


def to_unit(x: Tensor) -> Tensor:
    """From [-1, 1] to [0, 1], for showing; values outside are clipped."""
    return (x.clamp(-1, 1) + 1) / 2


def from_unit(x: Tensor) -> Tensor:
    """From [0, 1] to [-1, 1], the range the noise schedules expect: as far below zero as above."""
    return x * 2 - 1


def check_pictures(x_0: Tensor) -> Tensor:
    """Return x_0 if it is a batch of pictures ready for training; raise ValueError saying what is wrong if not."""
    if x_0.dim() != 4 or len(x_0) == 0:
        raise ValueError(f"pictures must have shape (N, C, H, W) with N > 0, got {tuple(x_0.shape)}")
    if not x_0.is_floating_point():
        raise ValueError(f"pictures must be floating point in [-1, 1], got {str(x_0.dtype).removeprefix('torch.')}: "
                         "for bytes use x.float() / 127.5 - 1")
    low, high = float(x_0.min()), float(x_0.max())
    if not (-1.001 <= low and high <= 1.001):                            # NaN fails this too
        raise ValueError(f"pictures must lie in [-1, 1], got values from {low:.3g} to {high:.3g}")
    if low >= 0:
        raise ValueError(f"pictures must fill [-1, 1], but nothing is below 0 (lowest value {low:.3g}): "
                         "from [0, 1] use data.from_unit")
    return x_0


def batches(x_0: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Random batches without end, (size, *D) each, drawn with replacement: the generator is the only memory."""
    if len(x_0) == 0:
        raise ValueError("there is nothing to draw batches from: the data set is empty")
    while True:
        yield x_0[torch.randint(len(x_0), (size,), generator=generator)]


def moons(n: int, generator: torch.Generator) -> Tensor:
    """Two interlocked half circles, (n, 2), mean 0 and unit variance."""
    side = torch.randint(2, (n,), generator=generator).float() * 2 - 1
    angle = torch.rand(n, generator=generator) * torch.pi
    x = torch.stack([angle.cos() * side + 0.5 * side, angle.sin() * side - 0.25 * side], dim=1)
    return (x + 0.05 * torch.randn(n, 2, generator=generator)) / torch.tensor([0.868, 0.498])


def spiral(n: int, generator: torch.Generator) -> Tensor:
    """A spiral with one and a half turns, (n, 2), mean about 0 and variance about 1 (1.0 and 0.8)."""
    u = torch.rand(n, generator=generator).sqrt()
    angle = 3 * torch.pi * u
    x = torch.stack([angle.cos(), angle.sin()], dim=1) * u[:, None] * 2
    return x - torch.tensor([-0.09, 0.41]) + 0.04 * torch.randn(n, 2, generator=generator)


def checkerboard(n: int, generator: torch.Generator) -> Tensor:
    """The dark squares of a 4 x 4 board, (n, 2), in [-1.75, 1.75]^2, about unit variance."""
    column = torch.randint(4, (n,), generator=generator)
    row = 2 * torch.randint(2, (n,), generator=generator) + column % 2
    corner = torch.stack([column, row], dim=1).float()
    return (corner + torch.rand(n, 2, generator=generator) - 2) * 0.875


LOADERS = {"digits": digits}
