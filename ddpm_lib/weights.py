"""Save and load networks: safetensors files that carry their architecture and a card with measured scores (every chapter)."""
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from .data import ROOT

KEY = "ddpm_lib"                                                           # one metadata key, so that equal content gives equal bytes


def save(path: str | Path, net: nn.Module, card: dict, dtype: torch.dtype = torch.float32) -> None:
    """Write the network's parameters with its class, its `config` and a card (what was trained, how, how good) to one file."""
    tensors = {name: value.to(dtype) if value.is_floating_point() else value for name, value in net.state_dict().items()}
    write(path, tensors, {"class": type(net).__name__, "config": net.config, "card": card})


def load(name: str | Path, build: type[nn.Module]) -> tuple[nn.Module, dict]:
    """A network from a file, or from the course's own weights by name ("digits"), in eval mode, and its card.

    build: the class, UNet for example; its config comes from the file. Raises ValueError in one sentence if the file is
    missing, broken, not ours, of another class, or does not fit the architecture that it states.
    """
    path = find(name)
    tensors, header = read(path)
    if header.get("class") != build.__name__:
        raise ValueError(f"{path} holds a {header.get('class', 'training run')}, not a {build.__name__}: load it as what it is")
    net = build(**header["config"])
    fit(net, tensors, path)
    return net.eval(), header["card"]


def find(name: str | Path) -> Path:
    """The path of a weights file, given as a path or as the name of one in data/weights."""
    path = Path(name)
    if not path.suffix and not path.exists():
        path = ROOT / "weights" / f"{name}.safetensors"
    if not path.is_file():
        have = ", ".join(sorted(p.stem for p in (ROOT / "weights").glob("*.safetensors"))) or "none"
        raise ValueError(f"there is no weights file {path}: give a path, or one of the bundled names ({have})")
    return path


def fit(net: nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Copy tensors into a network, all or nothing: names and shapes are compared before anything is changed."""
    compare(net, tensors, path)
    net.load_state_dict({name: value.float() if value.is_floating_point() else value for name, value in tensors.items()})


def compare(net: nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Raise ValueError, in one sentence, if tensors are not those of the network, by name and shape."""
    own = net.state_dict()
    for what, names in (("lacks", own.keys() - tensors.keys()), ("has the unknown", tensors.keys() - own.keys())):
        if names:
            raise ValueError(f"{path} is for another architecture: it {what} tensor {min(names)!r} ({len(names)} such)")
    for name, value in own.items():
        if tensors[name].shape != value.shape:
            raise ValueError(f"{path} is for another architecture: {name!r} has shape {tuple(tensors[name].shape)}, "
                             f"this network needs {tuple(value.shape)}")


def read_any(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of any safetensors file; ValueError in one sentence if it is broken."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole safetensors file; get it again or make it anew ({error})") from error


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """All tensors of a file and its header; ValueError in one sentence if it is broken or was not written here."""
    tensors, metadata = read_any(path)
    header = metadata.get(KEY)
    if header is None:
        raise ValueError(f"{path} was not written by ddpm_lib: it does not say which network it belongs to")
    return tensors, json.loads(header)


def write(path: str | Path, tensors: dict[str, Tensor], header: dict) -> None:
    """Write tensors and header to one file, whole or not at all: an earlier file survives any failure before the end."""
    path = Path(path)
    data = to_bytes({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, {KEY: json.dumps(header)})
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(f"could not save {path} ({error.strerror}); what was saved there before is untouched") from error
