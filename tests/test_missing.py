"""After a NameError the notebook says which of its cells makes the name."""
import ast
import json
import pathlib

import nbformat
import pytest
from nbformat import v4

from ddpm_lib.course import missing
from ddpm_lib.course.missing import binds, missing_cell

ROOT = pathlib.Path(__file__).resolve().parents[1]
FIRST = "from ddpm_lib.course import setup\nsetup()"
CELLS = [("markdown", "# 02 A chapter"), ("code", FIRST), ("markdown", "## 1. Data"), ("code", "import torch as th\nx_0, n = th.ones(3), 3"),
         ("markdown", "Text.\n\n### Noise it"), ("code", "def noised(x):\n    inner = x\n    return inner"), ("code", "y = noised(x_0)"),
         ("markdown", "## 2. Later"), ("code", "for step in range(3):\n    late = step"), ("code", "x_0 = 2 * x_0")]


@pytest.fixture
def folder(tmp_path):
    """A chapter, and another one with the same first cell."""
    for name, cells in {"02_a": CELLS, "03_b": [CELLS[0], CELLS[1], ("code", "y = 1")]}.items():
        nb = v4.new_notebook(cells=[v4.new_code_cell(s) if kind == "code" else v4.new_markdown_cell(s) for kind, s in cells])
        nbformat.write(nb, tmp_path / f"{name}.ipynb")
    return tmp_path


@pytest.mark.parametrize("name, line", [
    ("x", "x, (y, *z) = f()"), ("z", "x, (y, *z) = f()"), ("f", "def f(a):"), ("C", "class C:"), ("np", "import numpy as np"), ("os", "import os.path"),
    ("at", "from m import at, other as o"), ("o", "from m import at, other as o"), ("k", "for k in range(3):"), ("h", "with open(p) as h:"), ("w", "if (w := 1):"), ("a", None), ("inner", None)])
def test_what_a_cell_binds(name, line):
    source = ("x, (y, *z) = f()\ndef f(a):\n    inner = 1\nclass C:\n    inner = 2\nimport numpy as np\nimport os.path\nfrom m import at, other as o\n"
              "for k in range(3):\n    pass\nwith open(p) as h:\n    pass\nif (w := 1):\n    pass")
    assert binds(source, name) == line
    assert binds("this is no Python", name) is None


def test_a_name_made_above(folder):
    assert missing_cell("x_0", ["", FIRST, "y = noised(x_0)"], folder) == (
        'x_0 is made above, under "1. Data", in the cell with the line\n    x_0, n = th.ones(3), 3\n'
        "That cell has not run in this kernel, or was changed. Choose Run > Run All Above Selected Cell (on Colab: Runtime > Run before), then run this cell again.")
    assert missing_cell("noised", ["", FIRST, "y = noised(x_0)"], folder).startswith('noised is made above, under "Noise it", in the cell with the line\n    def noised(x):\n')


def test_a_name_made_further_below(folder):
    sentence = missing_cell("late", [FIRST, "y = noised(x_0)"], folder)
    assert sentence.startswith('late is made further below, under "2. Later", in the cell with the line\n    for step in range(3):\nRun that cell first')


def test_the_nearest_cell_above_is_named(folder):
    """x_0 is made twice; a cell of the reader's own at the end is taken to stand below everything."""
    sentence = missing_cell("x_0", [FIRST, "import torch as th\nx_0, n = th.ones(3), 3", "print(x_0)"], folder)
    assert "x_0 = 2 * x_0" in sentence


@pytest.mark.parametrize("name, history", [("mine", [FIRST, "y = noised(x_0)"]), ("x_0", [FIRST, "print(x_0)"]), ("x_0", ["print(x_0)"]), ("y", [FIRST, "y = y + 1"])],
                         ids=["nobody makes it", "only the first cell ran", "not our notebook", "only this cell makes it"])
def test_it_is_silent_where_it_does_not_know(folder, name, history):
    assert missing_cell(name, history, folder) is None


def test_every_name_that_a_chapter_makes_is_found(tmp_path):
    """Each code cell of each chapter, run alone after the first cell: the missing names that cells above make are all found there."""
    chapters = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        nb = nbformat.read(path, 4)
        for cell in nb.cells:
            cell.pop("outputs", None)                          # small copies: they are read some thousand times
        (tmp_path / path.name).write_text(json.dumps(nb))
        chapters[path.name] = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    asked = 0
    for chapter, code in chapters.items():
        for k, source in enumerate(code):
            used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
            for name in sorted(used)[::4]:
                if any(binds(above, name) for above in code[1:k]) and code.count(source) == 1:
                    sentence = missing_cell(name, [code[0], source], tmp_path)
                    assert sentence and sentence.startswith(f"{name} is made above, under "), (chapter, name, source)
                    assert any(line.strip() == sentence.splitlines()[1].strip() for above in code[:k] for line in above.splitlines())
                    asked += 1
    assert asked > 200


def test_in_a_kernel_the_sentence_follows_the_traceback(tmp_path, monkeypatch):
    from nbclient import NotebookClient
    source = nbformat.read(ROOT / "notebooks" / "02_forward_noising.ipynb", 4)
    code = [cell.source for cell in source.cells if cell.cell_type == "code"]
    user = next(text for text in code[2:] if "x_0" in text and not binds(text, "x_0"))
    nb = v4.new_notebook(cells=[v4.new_code_cell(code[0]), v4.new_code_cell(user), v4.new_code_cell("a_name_of_mine")])
    NotebookClient(nb, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}).execute()
    error, said = nb.cells[1].outputs
    assert error.ename == "NameError" and said.text.startswith(f"{error.evalue.split(chr(39))[1]} is made above, under ")
    assert [out.output_type for out in nb.cells[2].outputs] == ["error"]


def test_a_notebook_that_cannot_be_read_hides_no_error(folder, capsys, monkeypatch):
    class Shell:
        user_ns = {"In": [FIRST, "y = noised(x_0)"]}

        def set_custom_exc(self, kinds, handler):
            self.handler = handler

        def showtraceback(self, error, tb_offset=None):
            print("traceback of", error[1])
    shell = Shell()
    missing.explain_missing_names(shell)
    monkeypatch.setattr(missing, "missing_cell", lambda *args: json.loads("broken"))
    shell.handler(shell, NameError, NameError("name 'x' is not defined", name="x"), None)
    assert capsys.readouterr().out == "traceback of name 'x' is not defined\n"
