"""Imports go one way, from plain facts to compositions; and the library stays small enough to be read in an evening."""
import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "ddpm_lib"
MATHEMATICS = ["schedules", "ddpm", "paths", "denoise", "oracles", "samplers", "recipes", "sde", "edit"]
# module: what of ours it may import. Nothing may import course/; a new module needs a line here, and in DESIGN.
ALLOWED = {
    "__init__": set(),
    "schedules": set(),
    "ddpm": {"schedules"},
    "paths": {"schedules"},
    "denoise": {"schedules", "paths"},
    "oracles": {"schedules", "paths", "denoise"},
    "samplers": {"schedules", "paths", "denoise"},
    "recipes": {"schedules", "paths", "denoise", "samplers"},
    "sde": {"schedules", "paths", "denoise", "samplers"},
    "edit": {"schedules", "paths", "denoise", "samplers"},
    "nets": set(),
    "unet": {"nets"},
    "dit": {"nets"},
    "text": {"nets"},
    "autoencoders": {"nets"},
    "downloads": set(),
    "data": {"downloads"},
    "weights": {"data"},
    "train": {"data", "weights"},
    "metrics": {"data"},
    "plots": {"data"},
}
ALLOWED["__main__"] = set(ALLOWED) - {"__init__"}
FORBIDDEN_PACKAGES = {"diffusers", "lightning", "pytorch_lightning", "einops"}


def imports(source, package="ddpm_lib"):
    """(modules of ours, other packages) that a module of ddpm_lib imports, anywhere in it."""
    ours, others = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == package):
            module = (node.module or "") if node.level else node.module.partition(".")[2]
            ours |= {module.split(".")[0]} if module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            others.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first, _, rest = alias.name.partition(".")
                (ours if first == package else others).add(rest.split(".")[0] if first == package else first)
    return ours - {"__version__", ""}, others


def faults(name, source):
    """What a module imports and should not."""
    ours, others = imports(source)
    return sorted(ours - ALLOWED.get(name, set())) + sorted(others & FORBIDDEN_PACKAGES)


MODULES = sorted(LIBRARY.glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_go_downwards(path):
    assert path.stem in ALLOWED, f"{path.name} is not in the table of this test"
    assert faults(path.stem, path.read_text(encoding="utf-8")) == []


def test_the_library_is_there():
    assert {"schedules", "ddpm", "nets", "unet", "train", "data", "plots"} <= {path.stem for path in MODULES}


def test_the_table_has_no_circle():
    order = []
    while len(order) < len(ALLOWED):
        free = [name for name in ALLOWED if name not in order and ALLOWED[name] <= set(order)]
        assert free, f"a circle among {sorted(set(ALLOWED) - set(order))}"
        order += free


def test_networks_know_no_mathematics():
    assert not any(ALLOWED[name] & set(MATHEMATICS) for name in ("nets", "unet", "dit", "text", "train", "plots"))


@pytest.mark.parametrize("name, source, found", [
    ("ddpm", "from .schedules import Schedule", []),
    ("ddpm", "import torch\nfrom math import pi", []),
    ("ddpm", "from .course import setup", ["course"]),
    ("ddpm", "def f():\n    from ddpm_lib.course.explore import show", ["course"]),
    ("ddpm", "import ddpm_lib.samplers", ["samplers"]),
    ("ddpm", "from . import plots, schedules", ["plots"]),
    ("schedules", "from ddpm_lib import ddpm", ["ddpm"]),
    ("unet", "from .schedules import Schedule", ["schedules"]),
    ("unet", "from einops import rearrange", ["einops"]),
    ("__main__", "from .course import setup\nfrom .train import train", ["course"]),
])
def test_a_planted_import_is_found(name, source, found):
    assert faults(name, source) == found


def test_the_library_can_be_read_in_an_evening():
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert sum(lines.values()) < 2_500, lines
