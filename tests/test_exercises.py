"""Every exercise of every chapter: the solution passes, each known mistake is recognised, the notebook has its cell.

With the solutions written in the notebooks run in tests/browser/test_learner.py; nbval runs them as they are.
"""
import importlib
import pathlib
import re
import sys

import nbformat
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import notebooks as tool  # noqa: E402, I001
from ddpm_lib.course import REGISTRY, solution_source  # noqa: E402

CHAPTERS = {}                                                  # "02": names of its exercises
for _path in sorted((ROOT / "ddpm_lib" / "course").glob("ch[0-9][0-9].py")):
    _module = importlib.import_module(f"ddpm_lib.course.{_path.stem}").__name__
    CHAPTERS[_path.stem[2:]] = [name for name, ex in REGISTRY.items() if ex.solution.__module__ == _module]
NAMES = list(REGISTRY)
MISTAKES = [(name, k) for name in NAMES for k in range(len(REGISTRY[name].mistakes))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def exercise_cells(path):
    """[(position, name)] of the exercise cells of a notebook."""
    return [(i, tag.removeprefix("exercise-")) for i, cell in enumerate(nbformat.read(path, 4).cells)
            for tag in cell.metadata.get("tags", []) if tag.startswith("exercise-")]


def text_of(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_first_chapters_have_exercises():
    assert {"00", "02", "07"} <= {number for number, names in CHAPTERS.items() if len(names) >= 3}


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_passes(name):
    ex = REGISTRY[name]
    assert ex.verdict(ex.solution) == ("right", "correct.")
    assert ex.accept is None or ex.accept(ex.right.value) is None


@pytest.mark.parametrize("name, k", MISTAKES, ids=lambda v: str(v))
def test_a_known_mistake_gets_its_own_sentence(name, k):
    function, sentence = REGISTRY[name].mistakes[k]
    assert REGISTRY[name].verdict(function) == ("wrong", sentence)


@pytest.mark.parametrize("name", NAMES)
def test_sentences_hints_and_names(name):
    ex = REGISTRY[name]
    sentences = [sentence for _, sentence in ex.mistakes]
    assert len(sentences) >= 2 and len(set(sentences)) == len(sentences)
    assert 1 <= len(ex.hints) <= 5 and len(set(ex.hints)) == len(ex.hints)
    for text in (*sentences, *ex.hints):
        assert len(text) > 10 and "\n" not in text and not tool.FORBIDDEN.search(text), text
    assert re.fullmatch(r"[A-Za-z]\w*", name) and f"my_{name}" in solution_source(name).splitlines()[0]


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_answer_is_unfinished(name):
    assert REGISTRY[name].verdict(lambda *args, **kwargs: ...)[0] == "unfinished"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_has_its_cell(path):
    assert sorted(name for _, name in exercise_cells(path)) == sorted(CHAPTERS.get(path.name[:2], []))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_as_shipped_says_unfinished(path):
    """The saved output says so; nbval finds out whether a fresh run says the same."""
    nb = nbformat.read(path, 4)
    for i, name in exercise_cells(path):
        assert text_of(nb.cells[i + 1]).startswith(f"☐ {name}: not done yet."), name
        assert not {"nbval-ignore-output", "nbval-skip"} & set(nb.cells[i + 1].metadata.get("tags", []))


def test_a_strict_notebook_runs_with_the_solutions_written_in():
    """A short chapter as an instructor grades it. All chapters run with their solutions in tests/browser/test_learner.py."""
    path = NOTEBOOKS[0]
    nb = nbformat.read(path, 4)
    for i, name in exercise_cells(path):
        nb.cells[i].source = solution_source(name)
    done = tool.execute(nb, path.parent, env={"COURSE_STRICT": "1"})
    for i, name in exercise_cells(path):
        assert f"✔ {name}: correct." in text_of(done.cells[i + 1])


def test_a_stub_or_a_mistake_stops_a_strict_notebook(tmp_path):
    """Negative control of the test above."""
    pytest.importorskip("nbclient")
    from nbclient.exceptions import CellExecutionError
    if not NAMES:
        pytest.skip("no exercise is registered yet")
    name, module = NAMES[0], next(number for number, names in CHAPTERS.items() if NAMES[0] in names)
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (
        f"import ddpm_lib.course.ch{module}\nfrom ddpm_lib.course import check",
        f"def my_{name}(*args):\n    ...", f'my_{name} = check("{name}", my_{name})')])
    assert text_of(tool.execute(nb, tmp_path).cells[2]).startswith(f"☐ {name}: not done yet.")
    with pytest.raises(CellExecutionError, match=f"{name}: unfinished"):
        tool.execute(nb, tmp_path, env={"COURSE_STRICT": "1"})
