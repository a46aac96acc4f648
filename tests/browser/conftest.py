"""A JupyterLab for all tests that look at notebooks in a browser; driver.py says what can be done with it."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


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
