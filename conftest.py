"""What pytest does to the notebooks: nbval, made strict.

1. A notebook stops at its first failed cell (nbval goes on, and shows a tail of NameErrors).
2. Misspelt markers and tags are refused (nbval ignores them, and compares the wrong things).
3. A cell that is to be compared but was saved unrun is refused (nbval would compare nothing).
4. Decimal numbers in compared text may differ by NBVAL_RTOL (1e-3); whole numbers and words are compared exactly.
5. The picture inside a frame slider is left out of the comparison (its bytes depend on fonts); its number of frames,
   labels and texts stay in it.
Touches two internals of nbval (IPyNbCell.sanitize and the options of a cell), so nbval is pinned.
"""
import os
import pathlib
import re
import tempfile

import pytest

try:
    from nbval.plugin import IPyNbCell, comment_markers, metadata_tags
except ImportError:                                            # without nbval there are no notebooks to compare
    IPyNbCell = None

RTOL = float(os.environ.get("NBVAL_RTOL", "1e-3"))
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+(?:[eE][-+]?\d+)?|[eE][-+]?\d+)(?![\w.]*\.\d)")
SHEET = re.compile(r"data:image/\w+;base64,[A-Za-z0-9+/=]+")
SLIDER = re.compile(r'\bfs-[0-9a-f]{12}\b|"id": "[0-9a-f]{12}"')


def pytest_configure(config):
    """The kernels of the notebooks use the library beside this file, whatever else is installed, and note no exercise as done."""
    root = str(pathlib.Path(__file__).parent)
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != root]
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *paths])
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    os.environ["DDPM_PROGRESS"] = os.path.join(tempfile.mkdtemp(), "my_progress.txt")     # not the reader's own


class Near(str):
    """A text that equals another one when only its decimal numbers differ, and these by little."""
    __hash__ = str.__hash__

    def __eq__(self, other):
        if not isinstance(other, str):
            return NotImplemented
        if NUMBER.sub("#", self) != NUMBER.sub("#", other):
            return False
        pairs = zip(map(float, NUMBER.findall(self)), map(float, NUMBER.findall(other)))
        return all(abs(a - b) <= RTOL * max(1e-3, abs(a), abs(b)) for a, b in pairs)

    def __ne__(self, other):
        same = self.__eq__(other)
        return same if same is NotImplemented else not same


if IPyNbCell is not None:
    _sanitize = IPyNbCell.sanitize

    def sanitize(self, text):
        text = _sanitize(self, text)
        return Near(SLIDER.sub("fs-ID", SHEET.sub("SHEET", text))) if isinstance(text, str) else text

    IPyNbCell.sanitize = sanitize


def cell_fault(item):
    """What is wrong with a notebook cell before it runs; None if nothing is."""
    for line in item.cell.source.splitlines():
        marker = re.match(r"\s*#+\s*((?:NBVAL|PYTEST_VALIDATE)\w*.*)", line)
        if marker and marker[1].strip() not in comment_markers:
            return f"nbval ignores this marker: {line.strip()!r}"
    for tag in item.cell.metadata.get("tags", []):
        if tag not in metadata_tags and not re.fullmatch(r"exercise(-\w+)?", tag):
            return f"nbval ignores this tag: {tag!r}"
    if item.options["check"] and item.cell.execution_count is None and item.cell.source.strip():
        return "the output of this cell is to be compared, but the cell was saved unrun"
    return None


def pytest_collection_modifyitems(items):
    for item in items:
        fault = cell_fault(item) if IPyNbCell is not None and isinstance(item, IPyNbCell) else None
        if fault:
            raise pytest.UsageError(f"{item.nodeid}: {fault}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if IPyNbCell is not None and isinstance(item, IPyNbCell) and report.when == "call" and report.failed:
        item.parent.first_failed = getattr(item.parent, "first_failed", None) or item.name


def pytest_runtest_setup(item):
    if IPyNbCell is not None and isinstance(item, IPyNbCell):
        first = getattr(item.parent, "first_failed", None)
        if first:
            pytest.skip(f"{first} of this notebook failed before")
