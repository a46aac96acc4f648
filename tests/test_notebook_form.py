"""Every notebook has the form of tools/notebooks.py; each rule is shown to find a planted fault."""
import pathlib
import sys

import nbformat
import pytest
from nbformat import v4

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import notebooks as tool  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_the_first_notebooks_exist():
    assert {"00", "02", "07"} <= {path.name[:2] for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_form(path):
    nb = nbformat.read(path, 4)
    nbformat.validate(nb)
    assert tool.faults(nb, path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_saved_in_canonical_form(path):
    text = path.read_bytes().decode("utf-8")
    assert text == tool.to_text(tool.canonical(nbformat.read(path, 4), path)), "run: tools/notebooks.py canon"


# --- negative controls: a good notebook, and what each rule says when something in it is spoilt

def good():
    """A small notebook without a fault."""
    words = "This sentence has eight words, more or less. " * 260
    picture = v4.new_output("display_data", data={"image/png": "aGVsbG8=", "text/plain": "[one line]"},
                            metadata={"image/png": {"alt": "One line that rises from left to right."}})
    cells = [
        v4.new_markdown_cell(f"# 02 Forward noising\n\n{tool.badge('02_noise.ipynb')}\n\nYou will have noise."
                             "\n\n12 minutes to read, 20 seconds to run."),
        v4.new_markdown_cell("**After this chapter you can** add noise, measure it and stop in time."),
        v4.new_code_cell(tool.FIRST_CELL, metadata={"tags": ["nbval-ignore-output"]}),
        v4.new_markdown_cell("## One step\n\n" + words + "\n\n```python\njust_a_name = 1\n```\n\nA formula $just$."),
        v4.new_code_cell("show(fig, alt)", outputs=[picture]),
        v4.new_markdown_cell("## Exercises\n\nThe step."),
        v4.new_code_cell("def my_q_step(x):\n    ...", metadata={"tags": ["exercise", "exercise-q_step"]}),
        v4.new_code_cell('my_q_step = check("q_step", my_q_step)', outputs=[v4.new_output("stream", text="☐ q_step")]),
        v4.new_markdown_cell("## What goes wrong\n\n| mistake | sign |\n|---|---|"),
        v4.new_markdown_cell("## Summary\n\nA formula."),
        v4.new_markdown_cell("## References\n\nHo et al. 2020."),
    ]
    nb = v4.new_notebook(cells=cells)
    for k, cell in enumerate(tool.code_cells(nb), 1):
        cell.execution_count = k
    return tool.canonical(nb, "02_noise.ipynb")


def output(**data):
    metadata = {"image/png": {"alt": "A picture with many words about it."}} if "png" in data else {}
    names = {"png": "image/png", "plain": "text/plain", "page": "text/html", "view": tool.VIEW}
    return v4.new_output("display_data", data={names[key]: value for key, value in data.items()}, metadata=metadata)


def plant(index, **changes):
    """A change of one cell of good()."""
    def change(nb):
        nb.cells[index].update(changes)
    return change


def add_output(index, new):
    def change(nb):
        nb.cells[index].outputs.append(new)
    return change


def add_text(index, text):
    def change(nb):
        nb.cells[index].source += text
    return change


def move(old, new):
    def change(nb):
        nb.cells.insert(new, nb.cells.pop(old))
    return change


def no_alt(nb):
    nb.cells[4].outputs[0].metadata = {}


def many_cells(nb):
    nb.cells[5:5] = [v4.new_code_cell(f"x = {k}") for k in range(60)]


VIEW = {"version_major": 2, "version_minor": 0, "model_id": "1"}
PLANTED = [
    (plant(4, execution_count=7), "not one run from top to bottom"),
    (plant(4, execution_count=None), "not one run from top to bottom"),
    (lambda nb: nb.metadata.update(widgets={}), "metadata.widgets"),
    (plant(4, id="same"), None),
    (lambda nb: [cell.update(id="same") for cell in nb.cells], "an id of its own"),
    (add_output(4, v4.new_output("error", ename="E", evalue="v", traceback=[])), "an error is saved: E: v"),
    (add_output(4, v4.new_output("stream", name="stderr", text="warning")), "stderr is saved: 'warning'"),
    (add_output(4, v4.new_output("stream", text="at /home/me/x.py")), "a local path is saved: '/home/m'"),
    (add_output(4, v4.new_output("stream", text="in /tmp/ipykernel_7/1.py")), "a local path is saved"),
    (add_output(4, output(plain="C:\\Users\\me")), "a local path is saved"),
    (add_output(4, output(plain="x", page='src="data:image/png;base64,/tmp/home/AAAA"')), None),
    (add_output(4, v4.new_output("stream", text="https://example.org/home/a")), None),
    (add_text(4, "\nopen('/root/data/x')"), "a local path in the source: '/root/d'"),
    (add_output(4, output(plain="x" * 300_001)), "an output of 300,"),
    (lambda nb: [add_output(4, output(plain="x" * 290_000))(nb) for _ in range(5)], "the file has 1,4"),
    (no_alt, "a picture without alternative text"),
    (add_output(7, output(plain="[live slider, t = 0 ... 9]")), "a widget without a static picture"),
    (add_output(4, output(plain="[live slider, t = 0 ... 9]")), None),
    (add_output(4, output(plain="x", view=VIEW)), "a widget view is saved"),
    (plant(0, source="# 03 Noise\n\n" + tool.badge("02_noise.ipynb") + "\n\nTo read, to run."), "first line must be"),
    (plant(0, source="# 02 Noise\n\nYou will have it. 1 min to read, to run."), "the Colab badge is missing"),
    (plant(0, source="# 02 N\n\n" + tool.badge("02_other.ipynb") + "\n\nA. 1 min to read, to run."), "the Colab badge"),
    (plant(0, source="# 02 N\n\n" + tool.badge("02_noise.ipynb")), "must promise in a sentence"),
    (plant(0, source="# 02 N\n\n" + tool.badge("02_noise.ipynb") + "\n\nYou can do it."), "takes to read"),
    (plant(1, source="You will learn."), "a part is missing: After this chapter you can"),
    (plant(2, source="from ddpm_lib.course import setup\nsetup()"), "must be FIRST_CELL"),
    (move(4, 2), "must be FIRST_CELL"),
    (move(1, 9), "the parts must come in this order"),
    (move(9, 8), "the parts must come in this order"),
    (plant(8, source="## The end"), "a part is missing: What goes wrong"),
    (plant(9, source="## The end"), "a part is missing: Summary"),
    (plant(10, source="## The end"), "a part is missing: References"),
    (plant(6, metadata={}), "a part is missing: exercise"),
    (plant(6, metadata={"tags": ["exercise"]}), "needs the tags exercise and exercise-<name>"),
    (plant(6, metadata={"tags": ["exercise-q_step"]}), "needs the tags exercise and exercise-<name>"),
    (plant(7, source='my_q_step = check("q_sample", my_q_step)'), "the cell after exercise q_step must be"),
    (move(8, 7), "the cell after exercise q_step must be"),
    (plant(4, metadata={"tags": ["nbval-ignore-outputs"]}), "unknown tags ['nbval-ignore-outputs']"),
    (plant(4, metadata={"tags": ["nbval-skip"]}), "unknown tags ['nbval-skip']"),
    (add_text(4, "\nx = 1" * 25), "26 lines of code, 25 is the most"),
    (many_cells, "64 code cells, 45 is the most"),
    (plant(3, source="## One step\n\nShort."), "words of prose, 2,000 to 3,500 are wanted"),
    (add_text(3, " and so on" * 700), "words of prose, 2,000 to 3,500 are wanted"),
    *[(add_text(3, f"\n\nThis is {word} true."), f"the word {word!r}")
      for word in ("simply", "just", "Clearly", "obviously", "trivial", "trivially", "easy to see")],
    (add_text(3, "\n\nJustify it and adjust it, `just` so."), None),
    (add_text(3, "\n\n#### Too deep"), "has level 4 after level 2"),
    (add_text(3, "\n\n# Another title"), "2 headings of the first level"),
    (add_text(3, "\n\n```\n# a comment\n```"), None),
]


def test_the_good_notebook_has_no_fault():
    assert tool.faults(good(), "02_noise.ipynb") == []


@pytest.mark.parametrize("k", range(len(PLANTED)))
def test_a_planted_fault_is_found(k):
    change, words = PLANTED[k]
    nb = good()
    change(nb)
    found = tool.faults(nb, "02_noise.ipynb")
    assert (found == []) if words is None else any(words in text for text in found), found


# --- the tool itself

def test_canonical_form_is_a_fixed_point_and_drops_what_passes():
    nb = good()
    text = tool.to_text(nb)
    nb.cells[4].metadata = {"execution": {"iopub.execute_input": "2020"}, "tags": ["nbval-check-output"]}
    nb.cells[4].execution_count = 99
    nb.cells[4].outputs += [v4.new_output("stream", name="stderr", text="w"), v4.new_output("stream", text="a\n"),
                            v4.new_output("stream", text="b\n"), output(plain="[live]", view=VIEW)]
    nb.cells[0].id, nb.cells[1].id = "same", "same"
    nb.metadata.widgets = {"state": {}}
    new = tool.canonical(nb, "02_noise.ipynb")
    assert tool.to_text(tool.canonical(new, "02_noise.ipynb")) == tool.to_text(new) != text
    assert [o.get("text") for o in new.cells[4].outputs] == [None, "a\nb\n", None]
    assert new.cells[4].outputs[2].data == {"text/plain": "[live]"}
    assert new.cells[4].metadata == {"tags": ["nbval-check-output"], "slideshow": {"slide_type": "fragment"}}
    assert "widgets" not in new.metadata
    assert [cell.execution_count for cell in tool.code_cells(new)] == [1, 2, 3, 4]
    assert text.endswith("}\n") and "☐" in text and "\r" not in text


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")), ids=lambda path: path.stem)
def test_a_chapter_can_be_presented(path):
    """Every cell says where it stands in a slide show, and as many slides begin as there are sections."""
    nb = nbformat.read(path, 4)
    types = [cell.metadata["slideshow"]["slide_type"] for cell in nb.cells]
    assert types == [tool.slide_type(cell) for cell in nb.cells] and types[0] == "slide"
    sections = [cell for cell in nb.cells if cell.cell_type == "markdown" and cell.source.startswith("## ")]
    assert types.count("slide") == len(sections) + 1 - types.count("skip") and types.count("skip") == 1


def test_a_text_is_cut_at_its_headings_and_nothing_is_lost():
    text = "Before.\n\n## One\n\nText.\n\n```\n## no heading\n```\n### Two\n\nText."
    cells = tool.sections(v4.new_markdown_cell(text))
    assert [cell.source.split("\n")[0] for cell in cells] == ["Before.", "## One", "### Two"]
    assert "\n".join(cell.source for cell in cells) == text
    assert tool.sections(v4.new_code_cell("## a comment\nx = 1\n## another"))[0].source.count("##") == 2


def test_canon_writes_this_repository_into_a_fork(tmp_path):
    nb = good()
    nb.cells[0].source = nb.cells[0].source.replace(tool.REPOSITORY, "someone/else")
    nb.cells[2].source = nb.cells[2].source.replace(tool.REPOSITORY, "someone/else")
    path = tmp_path / "02_noise.ipynb"
    assert any("badge" in text for text in tool.faults(nb, path))
    assert tool.save(nb, path) and not tool.save(nbformat.read(path, 4), path)
    assert tool.faults(nbformat.read(path, 4), path) == [] and list(tmp_path.iterdir()) == [path]


def test_a_failing_run_leaves_the_file_alone(tmp_path, capsys):
    path = tmp_path / "02_bad.ipynb"
    nb = v4.new_notebook(cells=[v4.new_code_cell("x = 1"), v4.new_code_cell("1 / 0")])
    path.write_text(tool.to_text(nb), encoding="utf-8")
    before = path.read_bytes()
    assert tool.main(["run", str(path)]) == 1 and path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().err and list(tmp_path.iterdir()) == [path]


def test_a_run_is_saved_canonically_and_twice_the_same(tmp_path):
    path = tmp_path / "02_good.ipynb"
    nb = v4.new_notebook(cells=[v4.new_code_cell("import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c')"),
                                v4.new_markdown_cell("text"), v4.new_code_cell("1 + 1")])
    path.write_text(tool.to_text(nb), encoding="utf-8")
    assert tool.main(["run", str(path)]) == 0
    once = path.read_bytes()
    new = nbformat.read(path, 4)
    assert [o.get("text") for o in new.cells[0].outputs] == ["a\nc\n"] and new.cells[2].execution_count == 2
    assert tool.main(["run", str(path)]) == 0 and path.read_bytes() == once
