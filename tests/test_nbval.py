"""The comparison of notebooks notices what it should: negative controls for conftest.py, on small made notebooks."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat import v4

pytest.importorskip("nbval")
ROOT = pathlib.Path(__file__).resolve().parents[1]


def code(source, saved=None, tags=(), count=1, page=None):
    """A code cell with a saved text (or page) as its output."""
    outputs = [v4.new_output("stream", text=saved)] if saved is not None else []
    if page is not None:
        outputs.append(v4.new_output("display_data", data={"text/html": page, "text/plain": "x"}))
    return v4.new_code_cell(source, execution_count=count, outputs=outputs, metadata={"tags": list(tags)})


def html(frames, sheet, name="0123456789ab"):
    data = f'{{"labels": {frames}, "sheet": "data:image/png;base64,{sheet}"}}'
    return f'<div class="fs-{name}"></div><script>({data})</script>'


def showing(page):
    return f"from IPython.display import display\ndisplay({{'text/html': {page!r}, 'text/plain': 'x'}}, raw=True)"


# name: (cells, outcome of each cell)
NOTEBOOKS = {
    "same": ([code("print('a', 1)", "a 1\n")], "passed"),
    "changed_word": ([code("print('b')", "a\n")], "failed"),
    "changed_whole_number": ([code("print(10001)", "10000\n")], "failed"),
    "float_within": ([code("print('x =', 1.0002, 'at 3.5e-5')", "x = 1.0001 at 3.5002e-5\n")], "passed"),
    "float_outside": ([code("print('x =', 1.01)", "x = 1.0\n")], "failed"),
    "float_sign": ([code("print(0.5)", "-0.5\n")], "failed"),
    "missing_output": ([code("x = 1", "a\n")], "failed"),
    "new_output": ([code("print(1)", count=1)], "failed"),
    "warning": ([code("import sys; print('w', file=sys.stderr)")], "failed"),
    "ignored": ([code("print('b')", "a\n", ["nbval-ignore-output"])], "passed"),
    "stops": ([code("1 / 0"), code("print('a')", "a\n", count=2)], "failed skipped"),
    "stops_after_difference": ([code("print(2)", "1\n"), code("x = 1", count=2)], "failed skipped"),
    "slider_other_bytes": ([code(showing(html(["t = 0.5"], "AA==")), page=html(["t = 0.5"], "B/B+", "f" * 12))],
                           "passed"),
    "slider_other_labels": ([code(showing(html(["t = 0", "t = 1"], "AA")), page=html(["t = 0"], "AA"))], "failed"),
    "picture_not_compared": ([v4.new_code_cell(
        "from IPython.display import display\ndisplay({'image/png': b'1', 'text/plain': 'x'}, raw=True)",
        execution_count=1, outputs=[v4.new_output("display_data", data={"image/png": "QQ==", "text/plain": "x"})])],
        "passed"),
    "exercise_tags": ([code("x = 1", tags=["exercise", "exercise-q_step"])], "passed"),
}


def write(folder, name, cells):
    nb = v4.new_notebook(cells=cells)
    nb.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nb, folder / f"{name}.ipynb")


def run_pytest(folder, *options):
    """pytest with our conftest.py over the notebooks in a folder; returns (exit code, output)."""
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    env = {name: value for name, value in os.environ.items() if name not in ("PYTEST_ADDOPTS", "NBVAL_RTOL")}
    done = subprocess.run([sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider",
                           "-v", "--color=no", *options, "."], cwd=folder, env=env, capture_output=True, text=True,
                          timeout=300)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """{notebook: outcomes of its cells, in order}, from one run over all of them."""
    folder = tmp_path_factory.mktemp("nbval")
    for name, (cells, _) in NOTEBOOKS.items():
        write(folder, name, cells)
    code, text = run_pytest(folder)
    assert code == 1, text
    found = {}
    for name, outcome in re.findall(r"^(\w+)\W+ipynb::Cell \d+ (PASSED|FAILED|SKIPPED|ERROR)", text, re.M):
        found.setdefault(name, []).append(outcome.lower())
    return found


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outcome(outcomes, name):
    assert " ".join(outcomes[name]) == NOTEBOOKS[name][1]


@pytest.mark.parametrize("cell, words", [
    (code("# NBVAL_IGNORE_OUTPUTS\nprint(1)", "1\n"), "nbval ignores this marker: '# NBVAL_IGNORE_OUTPUTS'"),
    (code("print(1)", "1\n", ["nbval-ignore-outputs"]), "nbval ignores this tag: 'nbval-ignore-outputs'"),
    (code("print(1)", "1\n", ["ignore-output"]), "nbval ignores this tag: 'ignore-output'"),
    (code("print(1)", count=None), "the cell was saved unrun"),
], ids=["marker", "tag", "other tag", "stripped"])
def test_refused_before_anything_runs(tmp_path, cell, words):
    write(tmp_path, "bad", [cell])
    exit_code, text = run_pytest(tmp_path, "--collect-only")
    assert exit_code == pytest.ExitCode.USAGE_ERROR and words in text, text


def test_the_tolerance_can_be_set(tmp_path, monkeypatch):
    """Near() itself, with the numbers that a notebook prints."""
    import importlib.util
    spec = importlib.util.spec_from_file_location("course_conftest", ROOT / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setenv("NBVAL_RTOL", "0.1")
    from nbval.plugin import IPyNbCell
    monkeypatch.setattr(IPyNbCell, "sanitize", IPyNbCell.sanitize)         # the module replaces it
    spec.loader.exec_module(module)
    assert module.Near("loss 1.05") == "loss 1.0" and not module.Near("loss 1.2") == "loss 1.0"
    assert module.Near("t = 1000.") != "t = 1001." and module.Near("v 1.2.3") != "v 1.2.4"
    assert module.Near("tensor([0.1000, 1.])") == "tensor([0.1001, 1.])"
