"""The exercises as a learner meets them: empty, wrong in each known way, with hints, solved, and everything run once more.

The tests of a chapter share one running notebook and leave it running, with the solutions in it.
"""
import ast
import difflib
import importlib
import inspect
import pathlib
import re
import textwrap

import pytest
from nbformat import read

from ddpm_lib.course import REGISTRY, solution_source

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
UNFINISHED = "☐ {0}: not done yet. The notebook goes on with the reference solution."
WRONG = "✘ {0}: {1}\n   The notebook goes on with the reference solution. Change the cell above and run both again; hint('{0}') helps."
LONG = 600                                                     # seconds: chapter 07 trains for minutes
for _path in CHAPTERS:
    importlib.import_module(f"ddpm_lib.course.ch{_path.name[:2]}")         # fills REGISTRY


@pytest.fixture(scope="module")
def zero(browser, lab):
    """A chapter 00 of its own, for answers that go wrong in unusual ways."""
    import driver
    with driver.open_notebook(browser, lab, lab.copy(CHAPTERS[0], "other_00.ipynb")) as notebook:
        notebook.run_all(LONG)
        yield notebook


# --- what a learner does and sees --------------------------------------------------------------------------------

def shipped(notebook):
    """The cells of the chapter's file."""
    return read(next(path for path in CHAPTERS if path.name[:2] == notebook.name.removeprefix("other_")[:2]), 4).cells


def exercises(notebook):
    """{name: number of its cell} by the tags of the chapter; the check is the next cell."""
    return {tag.removeprefix("exercise-"): k for k, cell in enumerate(shipped(notebook))
            for tag in cell.metadata.get("tags", []) if tag.startswith("exercise-")}


def seen(notebook, cell):
    """The text that the outputs of a cell show on the page."""
    outputs = notebook.locator(cell).locator(".jp-OutputArea-output")
    return "\n".join(outputs.nth(k).inner_text().strip("\n") for k in range(outputs.count()) if outputs.nth(k).is_visible())


def answer(notebook, number, source):
    """Put an answer into an exercise's cell, run it and its check; returns what the check shows."""
    notebook.set_source(number, source)
    notebook.run_cell(number)
    assert seen(notebook, number) == "", source                # a definition shows nothing
    notebook.run_cell(number + 1)
    return seen(notebook, number + 1)


def type_and_run(notebook, number, text, paste=False):
    """Replace a cell's text with the keyboard, run it with Ctrl+Enter; returns what it shows."""
    notebook.js("cells[x].model.sharedModel.execution_count = null", number)
    editor = notebook.locator(number).locator(".cm-content")
    editor.click()
    notebook.page.keyboard.press("ControlOrMeta+a")
    notebook.page.keyboard.insert_text(text) if paste else notebook.page.keyboard.type(text)
    assert notebook.sources()[number] == text                  # what was typed is what stands there
    notebook.page.keyboard.press("Control+Enter")
    notebook.wait("cells[x].model.executionCount !== null", number)
    notebook.idle()
    return seen(notebook, number)


class NewCell:
    """A cell of the learner's own below cell `number`, for the length of a block."""

    def __init__(self, notebook, number):
        self.notebook, self.number = notebook, number

    def __enter__(self):
        self.notebook.js("panel.content.deselectAll(); panel.content.activeCellIndex = x; "
                         "await window.jupyterapp.commands.execute('notebook:insert-cell-below')", self.number)
        return self.number + 1

    def __exit__(self, *error):
        self.notebook.js("panel.content.deselectAll(); panel.content.activeCellIndex = x; "
                         "await window.jupyterapp.commands.execute('notebook:delete-cell')", self.number + 1)


def mistake_source(name, k):
    """A known mistake as the learner would type it, preceded by an import of what it uses from the chapter's module."""
    function = REGISTRY[name].mistakes[k][0]
    fallback = f"from ddpm_lib.course import REGISTRY\nmy_{name} = REGISTRY[{name!r}].mistakes[{k}][0]"
    if not inspect.isfunction(function) or function.__closure__ or function.__defaults__:
        return fallback
    module = importlib.import_module(function.__module__)
    line = function.__code__.co_firstlineno
    kind = ast.Lambda if function.__name__ == "<lambda>" else ast.FunctionDef
    text = pathlib.Path(module.__file__).read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kind) and node.lineno == line]
    if len(nodes) != 1:
        return fallback
    source = textwrap.dedent(ast.get_source_segment(text, nodes[0]))
    source = f"my_{name} = {source}" if kind is ast.Lambda else re.sub(rf"\b{function.__name__}\b", f"my_{name}", source)
    used = sorted({n.id for n in ast.walk(nodes[0]) if isinstance(n, ast.Name) and n.id in vars(module)} - {function.__name__})
    return (f"from {module.__name__} import {', '.join(used)}\n" if used else "") + source


def results(notebook):
    """{cell: what it shows} for a comparison of two runs: streams, texts and pictures; not the cells that may differ."""
    free = {k for k, cell in enumerate(shipped(notebook))                  # the list of what is done grows meanwhile
            if "nbval-ignore-output" in cell.metadata.get("tags", []) or "\nprogress()" in cell.source}
    found = {}
    for k, outputs in enumerate(notebook.js("return cells.map(json)")):
        parts = []
        for output in outputs:
            parts.append("".join(output.get("text", "")))
            for kind, value in output.get("data", {}).items():
                if kind == "application/vnd.jupyter.widget-view+json":
                    value = ""                                 # the number of the widget, another one at each run
                parts.append(f"{kind} {''.join(value)}")
        found[k] = re.sub(r"[☐✔] (\w+): .*\n", r"check of \1\n", "\n".join(parts))
    return {k: text for k, text in found.items() if k not in free}


# --- the journey of a learner, chapter by chapter ----------------------------------------------------------------

def test_the_tags_name_every_exercise_of_the_chapter(chapter):
    module = importlib.import_module(f"ddpm_lib.course.ch{chapter.name[:2]}").__name__
    assert sorted(exercises(chapter)) == sorted(name for name, ex in REGISTRY.items() if ex.solution.__module__ == module) != []


def test_left_empty(chapter):
    cells = shipped(chapter)
    for name, number in exercises(chapter).items():
        said = answer(chapter, number, cells[number].source)
        assert said.splitlines()[0] == UNFINISHED.format(name)
        assert "✘" not in said and "✔" not in said
    assert chapter.cell_errors() == []


def test_each_known_mistake_gets_its_sentence(chapter):
    for name, number in exercises(chapter).items():
        for k, (_, sentence) in enumerate(REGISTRY[name].mistakes):
            said = answer(chapter, number, mistake_source(name, k))
            assert "\n".join(said.split("\n")[:2]) == WRONG.format(name, sentence), f"mistake {k} of {name}"
    assert chapter.cell_errors() == []


def test_the_hints_unfold_and_the_solution_shows_and_counts(chapter):
    """hint() typed and run again and again; show_solution(); its text pasted into the exercise's cell; noted as done."""
    chapter.lab.progress.unlink(missing_ok=True)
    for number_of_exercise, (name, number) in enumerate(exercises(chapter).items()):
        hints = REGISTRY[name].hints
        end = f"That was the last hint. show_solution({name!r}) shows one way to write it."
        with NewCell(chapter, number + 1) as new:
            said = type_and_run(chapter, new, f'hint("{name}")', paste=number_of_exercise > 0)
            for k, hint in enumerate(hints, start=1):
                assert said == f"hint {k} of {len(hints)}: {hint}" + f"\n{end}" * (k == len(hints))
                chapter.run_cell(new)
                said = seen(chapter, new)
            assert said == end
            said = type_and_run(chapter, new, f'show_solution("{name}")', paste=number_of_exercise > 0)
            assert said == solution_source(name).rstrip("\n")
        assert type_and_run(chapter, number, said, paste=True) == ""
        chapter.run_cell(number + 1)
        assert seen(chapter, number + 1).split("\n")[0] == f"✔ {name}: correct."
    assert chapter.cell_errors() == []
    assert chapter.lab.progress.read_text(encoding="utf-8").split() == list(exercises(chapter))


def test_run_all_with_the_solutions_gives_the_same_once_more(chapter):
    """In the kernel that ran the notebook before: no cell error, all checks right, every text and picture as it was.

    The two chapters that train for long ran once, with the solutions in them.
    """
    if chapter.solved:
        assert [said.split("\n")[0] for said in chapter.checks] == [f"✔ {name}: correct." for name in exercises(chapter)]
        return
    for name, number in exercises(chapter).items():
        chapter.set_source(number, solution_source(name))
    before = results(chapter)
    chapter.run_all(LONG)
    assert chapter.cell_errors() == [] and chapter.errors == []
    for name, number in exercises(chapter).items():
        assert seen(chapter, number + 1).split("\n")[0] == f"✔ {name}: correct."
    after = results(chapter)
    differ = {k: "\n".join(difflib.unified_diff(before[k][:3000].splitlines(), after[k][:3000].splitlines(), "first run", "second run", lineterm="", n=0))[:1500]
              for k in before if before[k] != after[k]}
    assert differ == {}


def test_the_list_of_what_is_done(chapter):
    """progress() says exactly what was done: the cell of chapter 00, or one of the learner's own."""
    chapter.lab.progress.unlink(missing_ok=True)
    mine = exercises(chapter)
    for name, number in list(mine.items())[1:]:                # all but the first
        answer(chapter, number, solution_source(name))
    done = list(mine)[1:]
    if chapter.name.startswith("00"):
        number = chapter.index(lambda source: source.rstrip().endswith("progress()"))
        chapter.run_cell(number)
        said = seen(chapter, number)
    else:
        with NewCell(chapter, 2) as new:
            chapter.set_source(new, "from ddpm_lib.course import progress\nprogress()")
            chapter.run_cell(new)
            said = seen(chapter, new)
    assert said.splitlines()[0] == f"Exercises done: {len(done)} of {len(REGISTRY)}, noted in {chapter.lab.progress}"
    expected = []
    for path in CHAPTERS:
        module = importlib.import_module(f"ddpm_lib.course.ch{path.name[:2]}").__name__
        names = [name for name, ex in REGISTRY.items() if ex.solution.__module__ == module]
        right, left = (", ".join(name for name in names if (name in done) is way) for way in (True, False))
        expected.append(f"{path.stem.replace('_', ' ')}: " + "; ".join(["✔ done: " + right] * bool(right) + ["☐ open: " + left] * bool(left)))
    assert said.splitlines()[1:] == expected


# --- answers that nobody foresaw, in chapter 00 ------------------------------------------------------------------

ODD = {
    "numbers": ("return c.view(-1, 1, 1, 1) * x + 0.5", r"✘ scale: case 1 of 3: the numbers differ at \[1, 1, 0, 3\]: expected 0.001226, got 0.5012 \(off by 0.5; 240 of 240 numbers differ\)."),
    "a slip": ("return c.vieww(-1, 1, 1, 1) * x", r"✘ scale: your code stopped at line 2 \(`return c.vieww\(-1, 1, 1, 1\) \* x`\): AttributeError: 'Tensor' object has no attribute 'vieww'"),
    "no return": ("c.view(-1, 1, 1, 1) * x", r"✘ scale: your function returns None; is the last line a `return`\?"),
    "writes into x": ("x *= c.view(-1, 1, 1, 1); return x", r"✘ scale: your function changes its argument x; make a new tensor .*"),
    "a list": ("return [a * b for a, b in zip(x, c)]", r"✘ scale: case 1 of 3: expected a tensor of shape \(4, 3, 5, 4\), got a list of 4\."),
    "calls itself": ("return my_scale(x, c)", r"✘ scale: your code stopped at line 2 \(`return my_scale\(x, c\)`\): RecursionError: .*"),
    "prints": ("print('seen:', *x.shape); return c.view(-1, 1, 1, 1) * x", r"seen: 4 3 5 4\nseen: 3 3 2 3\nseen: 2 1 8 8\n✔ scale: correct\."),
    "leaves": ("raise SystemExit", r"✘ scale: your code stopped at line 2 \(`raise SystemExit`\): SystemExit: "),
    "another function": (None, r"✘ scale: a function is expected, got the int 3\."),
}


@pytest.mark.parametrize("body, said", ODD.values(), ids=ODD.keys())
def test_an_answer_that_no_known_mistake_explains(zero, body, said):
    source = f"def my_scale(x, c):\n    {body}" if body else "my_scale = 3"
    shown = answer(zero, exercises(zero)["scale"], source)
    rest = "" if "✔" in said else r"\n   The notebook goes on with the reference solution\. Change .* hint\('scale'\) helps\."
    assert re.fullmatch(said + rest, shown)
    assert zero.cell_errors() == []


def test_run_all_reaches_the_end_with_three_wrong_answers(zero):
    mine, cells = exercises(zero), shipped(zero)
    for name, source in {"scale": "my_scale = 3", "weighted_sum": "def my_weighted_sum(*given):\n    raise ValueError(given)",
                         "seeded": "def my_seeded(seed, n):\n    pass"}.items():
        zero.set_source(mine[name], source)
    zero.run_all(LONG)
    assert zero.cell_errors() == []
    assert [seen(zero, number + 1)[:14] for number in mine.values()] == ["✘ scale: a fun", "✘ weighted_sum", "☐ seeded: not "]
    last = max(k for k, cell in enumerate(cells) if cell.cell_type == "code")
    assert zero.counts()[last] == max(filter(None, zero.counts()))


def test_a_syntax_error_stops_run_all_at_its_cell(zero):
    """Nothing can be checked then; Python's message shows the place, and when it is repaired everything runs."""
    number = exercises(zero)["scale"]
    zero.set_source(number, "def my_scale(x, c):\n    return c.view(-1, 1, 1, 1 * x")
    zero.run_all(LONG)
    assert [k for k, _ in zero.cell_errors()] == [number]
    assert "return c.view(-1, 1, 1, 1 * x" in seen(zero, number) and "SyntaxError" in seen(zero, number)
    assert not any(zero.counts()[number + 1:])
    zero.set_source(number, solution_source("scale"))
    zero.run_all(LONG)
    assert zero.cell_errors() == [] and seen(zero, number + 1) == "✔ scale: correct."


def test_a_loop_without_end_is_interrupted(zero):
    """What is shown names the line of the answer, and no more; the cells below run, and a right answer is taken in the same kernel."""
    number = exercises(zero)["scale"]
    zero.set_source(number, "def my_scale(x, c):\n    while True: pass")
    zero.run_cell(number)
    zero.run_cell(number + 1, wait=False)
    zero.wait("cells[x].model.executionState === 'running'", number + 1)
    zero.page.wait_for_timeout(500)
    zero.interrupt()
    zero.idle()
    assert seen(zero, number + 1).splitlines()[0] == "✘ scale: you stopped the check at line 2 (`while True: pass`); is there a loop that never ends?"
    assert zero.cell_errors() == []
    assert answer(zero, number, solution_source("scale")) == "✔ scale: correct."


def test_a_check_whose_answer_is_gone(zero):
    """The name was deleted: the sentence below the traceback says which cell makes it; that cell helps."""
    number = exercises(zero)["scale"]
    answer(zero, number, solution_source("scale"))
    zero.set_source(number, "del my_scale")
    zero.run_cell(number)
    zero.run_cell(number + 1)
    shown = seen(zero, number + 1)
    assert "NameError: name 'my_scale' is not defined\nmy_scale is made above, under \"Exercise 1: " in shown
    assert "in the cell with the line\n    def my_scale(x, c):\n" in shown
    assert answer(zero, number, solution_source("scale")) == "✔ scale: correct."


def test_a_check_run_twice_asks_for_the_answer(zero):
    number = exercises(zero)["scale"]
    assert answer(zero, number, "def my_scale(x, c):\n    return c[0] * x").startswith("✘ scale: every picture")
    zero.run_cell(number + 1)
    assert seen(zero, number + 1).startswith("☐ scale: my_scale is the reference solution now.")
