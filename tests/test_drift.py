"""The code taught is the code shipped: a definition in a notebook with the name of one in ddpm_lib is the same code."""
import ast
import pathlib

import nbformat
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def bare(node):
    """The syntax tree of a definition as text, without docstrings, positions and type hints' quotes."""
    node = ast.parse(ast.unparse(node)).body[0]
    for part in ast.walk(node):
        body = getattr(part, "body", None)
        if isinstance(part, DEFINITIONS) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            if isinstance(body[0].value.value, str):
                del body[0]
    return ast.dump(node)


def shipped():
    """{public name: [its trees]} of everything that ddpm_lib defines at the top of a module, outside course/."""
    found = {}
    for path in sorted((ROOT / "ddpm_lib").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, DEFINITIONS) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(bare(node))
    return found


def definitions(node):
    """All functions and classes in a tree, but no methods: those belong to their class, which is compared as a whole."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, DEFINITIONS):
            yield child
        if not isinstance(child, ast.ClassDef):
            yield from definitions(child)


def drifted(source, library):
    """Names that a cell defines differently from the library."""
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    return [node.name for node in definitions(ast.parse("\n".join(lines))) if node.name in library and bare(node) not in library[node.name]]


def taught(path):
    """Names of the library that a notebook defines on screen."""
    cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return {node.name for source in cells for node in ast.parse(source).body if isinstance(node, DEFINITIONS)}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_shows_the_librarys_code(path):
    library = shipped()
    for i, cell in enumerate(nbformat.read(path, 4).cells):
        if cell.cell_type == "code":
            assert drifted(cell.source, library) == [], f"cell {i}: other code needs another name"


def test_forward_noising_is_built_on_screen():
    """What chapter 02 is about stands in its notebook, not only in the library."""
    path = next(iter((ROOT / "notebooks").glob("02_*.ipynb")), None)
    assert path is not None, "notebook 02 is not there yet"
    assert {"q_step", "q_sample"} <= taught(path)


def test_there_is_something_to_compare_with():
    library = shipped()
    assert {"Schedule", "linear_schedule", "q_sample", "UNet"} <= set(library) and len(library) > 20


LIBRARY = '''
def f(x):
    """Doc."""
    return x + 1  # one more


class A:
    """Doc."""

    def g(self):
        return 1
'''


@pytest.mark.parametrize("source, names", [
    ("def f(x):\n    return x + 1", []),
    ('def f(x):\n    """Another."""\n\n    # a comment\n    return (x + 1)', []),
    ("def f(x):\n    return x + 2", ["f"]),
    ("def f(x, y=0):\n    return x + 1", ["f"]),
    ("def my_f(x):\n    return x + 2", []),
    ("class A:\n    def g(self):\n        return 1", []),
    ("class A:\n    def g(self):\n        return 2", ["A"]),
    ("class B:\n    def f(self, x):\n        return 2", []),
    ("def g():\n    def f(x):\n        return 2", ["f"]),
    ("@decorated\ndef f(x):\n    return x + 1", ["f"]),
    ("%matplotlib inline\nf = lambda x: x", []),
])
def test_a_changed_copy_is_found(source, names):
    library = {node.name: [bare(node)] for node in ast.parse(LIBRARY).body}
    assert drifted(source, library) == names
