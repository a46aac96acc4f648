"""One Chromium for all tests that look at pages. Where it is missing they skip, and say what to install."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "slides"))


@pytest.fixture(scope="session")
def check():
    """slides/check.py: how a page is opened and measured."""
    pytest.importorskip("playwright.sync_api", reason="playwright is missing: python -m pip install -r requirements-dev.txt")
    import check
    return check


@pytest.fixture(scope="session")
def browser(check):
    try:
        with check.browser() as b:
            yield b
    except FileNotFoundError as sentence:
        if os.environ.get("CI"):                               # there a missing browser must be seen
            raise
        pytest.skip(str(sentence))


@pytest.fixture(scope="session")
def progress_of_tests(tmp_path_factory):
    return tmp_path_factory.mktemp("progress") / "my_progress.txt"


@pytest.fixture(autouse=True)
def no_progress_of_others(progress_of_tests, monkeypatch):
    """What tests do right is noted neither in the reader's file nor in that of the notebooks, which are compared afterwards."""
    monkeypatch.setenv("DDPM_PROGRESS", str(progress_of_tests))
