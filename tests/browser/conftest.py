"""A JupyterLab for all tests that look at notebooks in a browser; driver.py says what can be done with it."""
import importlib
import pathlib
import re
import sys

import nbformat
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
CHAPTERS = sorted((pathlib.Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MINUTES = 15                                                   # chapter 07 trains for three on a quiet machine
LONG = {"05", "07"}                                            # run once, with the solutions in it: nbval runs them as shipped


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    """A private JupyterLab (driver.Lab) with the Python that runs pytest."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is missing: python -m pip install -r requirements.txt")
    import driver
    with driver.start_lab(tmp_path_factory.mktemp("lab")) as started:
        yield started


@pytest.fixture
def opened(browser, lab):
    """opened(name): a notebook of lab.root in the browser (driver.Notebook), closed after the test."""
    import driver
    notebooks = []

    def open_one(name, **options):
        notebooks.append(driver.open_notebook(browser, lab, name, **options))
        return notebooks[-1]

    yield open_one
    for notebook in notebooks:
        notebook.close()


@pytest.fixture(scope="session", params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request, browser, lab):
    """A chapter (driver.Notebook) as a stranger's clone shows it: opened with its saved outputs, not trusted, and run from top to bottom.

    Every test of a chapter works on this one run; pytest takes all of them before it opens the next chapter.
    saved: its file; before: how many sliders were at work before it was run; solved: whether the solutions were in it.
    """
    import driver

    from ddpm_lib.course import solution_source
    importlib.import_module(f"ddpm_lib.course.ch{request.param.name[:2]}")
    with driver.open_notebook(browser, lab, lab.copy(request.param)) as notebook:
        notebook.saved = nbformat.read(request.param, as_version=4)
        notebook.page.locator(".jp-OutputArea-output em", has_text="belongs here").first.wait_for(state="attached")
        notebook.before = notebook.page.locator(".jp-OutputArea canvas, .jp-OutputArea input[type=range]").count()
        notebook.solved = notebook.name[:2] in LONG
        for number, cell in enumerate(notebook.saved.cells if notebook.solved else []):
            for tag in cell.metadata.get("tags", []):
                if tag.startswith("exercise-"):
                    notebook.set_source(number, solution_source(tag.removeprefix("exercise-")))
        notebook.run_all(60 * MINUTES)
        notebook.checks = [text for text in map(notebook.text, range(len(notebook.saved.cells))) if re.match("[☐✔✘] ", text)]
        yield notebook
