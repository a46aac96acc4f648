"""The first cell of the notebooks on a machine without the course, as on Colab: what it fetches, and what it says if it cannot.

It runs in a Python of its own that sees no installed package (`-I -S`), beside a small server that stands for GitHub.
"""
import http.server
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import sysconfig
import threading
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import notebooks as tool  # noqa: E402

BRANCH, HEAD = f"/archive/refs/heads/{tool.BRANCH}.zip", "/archive/HEAD.zip"
ADVICE = ": check the network and this address, delete the folder ddpm-course if there is one, and run this again."


def zipped(files):
    """The bytes of an archive as GitHub makes them: one folder, and everything in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("some-name-main/", "")
        for name, text in files.items():
            archive.writestr(f"some-name-main/{name}", text)
    return buffer.getvalue()


COURSE = zipped({"README.md": "a course", "ddpm_lib/__init__.py": "",
                 "ddpm_lib/course/__init__.py": "def setup():\n    print('from', __file__)\n"})


class GitHub:
    """A server on this machine. files: {path: bytes, or (bytes, announced length)}; asked: the paths that were asked for."""

    def __init__(self):
        self.files, self.asked = {}, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):  # noqa: N802, N805
                self.asked.append(handler.path)
                if handler.path not in self.files:
                    return handler.send_error(404)
                data = self.files[handler.path]
                data, length = data if isinstance(data, tuple) else (data, len(data))
                handler.send_response(200)
                handler.send_header("Content-Length", str(length))
                handler.end_headers()
                handler.wfile.write(data)

            def log_message(handler, *words):  # noqa: N805
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def github():
    github = GitHub()
    yield github
    github.server.shutdown()
    github.server.server_close()


def run(folder, address, code=tool.FIRST_CELL, colab=True):
    """Run the cell in `folder` of a machine that has nothing but Python, as in Colab, with `address` for GitHub's."""
    env = {name: value for name, value in os.environ.items() if name not in ("COLAB_RELEASE_TAG", "COURSE_SRC")}
    env |= {"COURSE_SRC": address, "no_proxy": "*", **({"COLAB_RELEASE_TAG": "release"} if colab else {})}
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=folder, env=env, capture_output=True, text=True)


def sentence(done):
    """The one sentence with which a run failed."""
    assert done.returncode == 1 and "During handling" not in done.stderr and "direct cause" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: ") and last.endswith("."), done.stderr
    return last.removeprefix("RuntimeError: ")


def fetched(done, folder):
    """Whether a run ended with the course in its place, and nothing else in the folder."""
    assert done.returncode == 0, done.stderr
    where = pathlib.Path(done.stdout.strip().splitlines()[-1].removeprefix("from ")).resolve()
    return where == (folder / "ddpm-course/ddpm_lib/course/__init__.py").resolve()


def test_it_fetches_the_course_once(github, tmp_path):
    github.files[BRANCH] = COURSE
    done = run(tmp_path, github.address, tool.FIRST_CELL + "\n" + tool.FIRST_CELL)           # run twice in one kernel
    assert fetched(done, tmp_path) and done.stdout.count("from ") == 2 and done.stderr == ""
    assert fetched(run(tmp_path, github.address), tmp_path)                                  # and in a restarted one
    assert github.asked == [BRANCH] and [path.name for path in tmp_path.iterdir()] == ["ddpm-course"]


def test_a_branch_that_is_gone_is_replaced_by_the_main_one(github, tmp_path):
    github.files[HEAD] = COURSE
    assert fetched(run(tmp_path, github.address), tmp_path) and github.asked == [BRANCH, HEAD]


def test_a_repository_that_is_not_there_is_named(github, tmp_path):
    assert sentence(run(tmp_path, github.address)) == (
        f"The course could not be fetched from {github.address} (HTTP Error 404: Not Found){ADVICE}")
    assert not list(tmp_path.iterdir())


def test_no_network(tmp_path):
    with socket.socket() as probe:                             # a port that nobody listens to
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    words = sentence(run(tmp_path, address))
    assert words.startswith(f"The course could not be fetched from {address} (<urlopen error") and words.endswith(ADVICE)


@pytest.mark.parametrize("answer, words", [
    ((COURSE[:200], len(COURSE)), "IncompleteRead"),
    (COURSE[:200], "not a zip file"),
    (b"<html>Please log in.</html>", "not a zip file"),
    (zipped({"README.md": "another repository"}), "no item named 'some-name-main/ddpm_lib/__init__.py'"),
], ids=["broken off", "cut", "page of a proxy", "another repository"])
def test_what_comes_is_not_the_course(github, tmp_path, answer, words):
    github.files[BRANCH] = answer
    said = sentence(run(tmp_path, github.address))
    assert words in said and said.endswith(ADVICE) and not list(tmp_path.iterdir())
    github.files[BRANCH] = COURSE                              # the next try is not harmed
    assert fetched(run(tmp_path, github.address), tmp_path)


def test_a_kernel_that_dies_in_the_middle_leaves_no_half_course(github, tmp_path):
    github.files[BRANCH] = COURSE
    dying = ("import os, zipfile\ndef one(self, folder):\n    self.extract(self.namelist()[2], folder); os._exit(9)\n"
             "zipfile.ZipFile.extractall = one\n")
    assert run(tmp_path, github.address, dying + tool.FIRST_CELL).returncode == 9
    assert [path.name for path in tmp_path.rglob("*.py")] == ["__init__.py"] and not (tmp_path / "ddpm-course").exists()
    assert fetched(run(tmp_path, github.address), tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="a Colab machine is Linux; Windows says the second half in other words")
def test_a_folder_that_is_in_the_way(github, tmp_path):
    github.files[BRANCH], folder = COURSE, tmp_path / "ddpm-course"
    folder.mkdir()
    (folder / "mine.txt").write_text("half a course, or something of the reader's")
    said = sentence(run(tmp_path, github.address))
    assert "not empty" in said and said.endswith(ADVICE) and list(tmp_path.iterdir()) == [folder]
    (folder / "mine.txt").unlink()                             # an empty one is not in the way
    assert fetched(run(tmp_path, github.address), tmp_path)


def test_elsewhere_nothing_is_fetched(github, tmp_path):
    github.files[BRANCH] = COURSE
    assert sentence(run(tmp_path, github.address, colab=False)) == (
        "ddpm_lib is not installed: type `pip install -e .` in the course folder, then restart.")
    assert github.asked == []


def test_the_real_course_starts_beside_the_torch_and_numpy_that_are_there(github, tmp_path):
    """Packages as they are here, but the course fetched: pip is not called, and both come from where they were."""
    github.files[BRANCH] = zipped({path.relative_to(ROOT).as_posix(): path.read_bytes()
                                   for path in (ROOT / "ddpm_lib").rglob("*.py")})
    before = f'''\
import sys
started = []
sys.addaudithook(lambda event, args: event == "subprocess.Popen" and started.append(str(args)))
sys.path += {sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})!r}
'''
    after = "\nimport json, numpy, torch, ddpm_lib\nprint(json.dumps([started, numpy.__file__, torch.__file__, ddpm_lib.__file__]))"
    done = run(tmp_path, github.address, before + tool.FIRST_CELL + after)
    assert done.returncode == 0, done.stderr
    ready, told = done.stdout.strip().splitlines()
    started, numpy, torch, course = json.loads(told)
    assert ready.endswith(", Colab: ready") and not any("pip" in words for words in started), started
    assert pathlib.Path(course).resolve().is_relative_to((tmp_path / "ddpm-course").resolve())
    here = {pathlib.Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    assert {pathlib.Path(numpy).parents[1], pathlib.Path(torch).parents[1]} <= here


def test_what_colab_lacks_is_added_alone(monkeypatch):
    """The one thing that pip may add on Colab comes without its dependencies, so torch and numpy stay."""
    import importlib
    setup = importlib.import_module("ddpm_lib.course.setup")
    called = []
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(setup.subprocess, "run", lambda command, **options: called.append(command) or
                        subprocess.CompletedProcess(command, 0))
    setup.add_missing()
    assert called == [[sys.executable, "-m", "pip", "install", "-q", "--no-deps", *setup.COLAB_EXTRAS]]
    assert not {"torch", "numpy"} & set(setup.COLAB_EXTRAS)


def test_the_cell_is_short_and_asks_for_no_package():
    assert len(tool.FIRST_CELL.splitlines()) <= tool.LINE_LIMIT and max(map(len, tool.FIRST_CELL.splitlines())) <= 120
    assert "pip install -e ." in tool.FIRST_CELL and tool.FIRST_CELL.count("pip") == 1
    assert f"https://github.com/{tool.REPOSITORY}" in tool.FIRST_CELL and f"heads/{tool.BRANCH}.zip" in tool.FIRST_CELL
