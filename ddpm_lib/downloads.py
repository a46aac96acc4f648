"""MNIST, Fashion-MNIST and CIFAR-10: fetched once, checked, and read as bytes (every chapter; `data.load` makes them tensors).

Files land whole in data/downloads/NAME. With the environment variable DDPM_DATA=DIR they are taken from DIR/NAME instead,
checked for structure, and nothing is fetched.
"""
import gzip
import math
import os
import sys
import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "data" / "downloads"
IDX = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
TAR = "cifar-10-binary.tar.gz"


class Source(NamedTuple):
    """Where the files of a data set are, md5 by file name, and what its labels mean. Every mirror has the same bytes."""

    mirrors: tuple[str, ...]
    files: dict[str, str]
    names: tuple[str, ...]


SOURCES = {
    "mnist": Source(
        ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
        dict(zip(IDX, ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
                       "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"), strict=True)),
        tuple("0123456789")),
    "fashion_mnist": Source(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
         "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"),
        dict(zip(IDX, ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
                       "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"), strict=True)),
        ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")),
    "cifar10": Source(
        ("https://www.cs.toronto.edu/~kriz", "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10"),
        {TAR: "c32a1d4ab5d03f1284b67883e8d87530"},
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")),
}


def read(name: str, test: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, C, H, W) uint8 and labels (N,) of the training part of a data set of SOURCES, or of its test part.

    Raises ValueError in one sentence that says what to do, if the files cannot be had or are not what they should be.
    """
    if name == "cifar10":
        return _read_cifar(find(name, TAR), test)
    images, labels = IDX[2:] if test else IDX[:2]
    pixels, labels = _read_idx(find(name, images), 3), _read_idx(find(name, labels), 1)
    if pixels.shape[1:] != (28, 28) or len(pixels) != len(labels) or labels.max(initial=0) > 9:
        raise ValueError(f"{name} is damaged: pictures {pixels.shape} and labels {labels.shape}: get its files anew")
    return pixels[:, None], labels


def find(name: str, file: str) -> Path:
    """The path of one file of a data set: in DDPM_DATA if that is set, else among the downloads, fetched if it is not there."""
    own = os.environ.get("DDPM_DATA")
    if not own:
        return _fetch(name, file)
    for path in (Path(own, name, file), Path(own, name, file.removesuffix(".gz"))):
        if path.is_file():
            return path
    raise ValueError(f"DDPM_DATA is {own!r}, but there is no {name}/{file} in it: put it there, or unset DDPM_DATA to download it")


def _fetch(name, file):
    """Download from the first mirror that gives the right bytes: pooch writes to a temporary file, checks it, then renames it."""
    import pooch
    import requests

    source, troubles = SOURCES[name], []
    for mirror in source.mirrors:
        try:
            return Path(pooch.retrieve(f"{mirror}/{file}", f"md5:{source.files[file]}", file, FOLDER / name,
                                       downloader=pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=30)))
        except requests.RequestException as error:                         # an OSError too, so it comes first
            troubles.append(f"{mirror}: {_reason(error)}")
        except OSError as error:
            raise ValueError(f"cannot write {FOLDER / name} ({error.strerror or 'no permission'}): make it writable, or put "
                             f"the files of {name} into DIR/{name} and set DDPM_DATA=DIR") from error
        except ValueError:                                                 # pooch: the checksum differs
            troubles.append(f"{mirror}: what came is not the file (its checksum is wrong; perhaps a page of a proxy)")
    raise ValueError(f"cannot download {file} of {name} ({'; '.join(troubles)}): try again later, or put the files of {name} "
                     f"into DIR/{name} and set DDPM_DATA=DIR")


def _reason(error):
    if error.response is not None:
        return f"the server answers {error.response.status_code}"
    name = type(error).__name__
    return {"ConnectionError": "no connection", "ConnectTimeout": "no connection", "ReadTimeout": "it stopped answering",
            "ChunkedEncodingError": "it broke off in the middle"}.get(name, name)


def _read_idx(path, dimensions):
    """An array in IDX format (LeCun): two zero bytes, 8 for bytes, the number of dimensions, each size, the numbers."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: delete it and get it anew ({error})") from error
    start = 4 + 4 * dimensions
    sizes = [int.from_bytes(raw[i:i + 4], "big") for i in range(4, start, 4)]
    if raw[:4] != bytes((0, 0, 8, dimensions)) or len(raw) != start + math.prod(sizes):
        raise ValueError(f"{path} is not a whole IDX file of bytes with {dimensions} dimension(s): delete it and get it anew")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(sizes)


def _read_cifar(path, test):
    """Rows of one label and 3 x 32 x 32 numbers, in the files of the archive; nothing is unpacked to the disk."""
    wanted = ["test_batch.bin"] if test else [f"data_batch_{i}.bin" for i in range(1, 6)]
    try:
        with tarfile.open(path) as archive:
            raw = b"".join(archive.extractfile(f"cifar-10-batches-bin/{part}").read() for part in wanted)
        rows = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged: delete it and get it anew ({error})") from error
    if len(rows) == 0 or rows[:, 0].max() > 9:
        raise ValueError(f"{path} is damaged: its labels are not 0..9: delete it and get it anew")
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
