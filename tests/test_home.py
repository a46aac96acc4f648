"""Where the course lives: nothing points elsewhere, and one command moves all of it."""
import pathlib
import shutil
import subprocess
import sys

import nbformat
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import notebooks as tool  # noqa: E402

SKIP = shutil.ignore_patterns(".git", ".venv*", "node_modules", "runs", "downloads", "built", "_build", "html", "__pycache__",
                              ".ipynb_checkpoints", ".*_cache", "*.egg-info", "my_progress.txt", "view-*.ipynb")
COLAB = "https://colab.research.google.com/github"


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the repository in which nothing points elsewhere."""
    copy = shutil.copytree(ROOT, tmp_path_factory.mktemp("home") / "course", ignore=SKIP, symlinks=True)
    tool.set_home(tool.REPOSITORY, tool.BRANCH, copy)
    return copy


@pytest.fixture
def course(copied):
    """That copy; after a test it is as it was."""
    before = written(copied)
    yield copied
    for path, data in before.items():
        if path.read_bytes() != data:
            path.write_bytes(data)


def written(course):
    """{path: bytes} of everything that may name the repository."""
    return {path: path.read_bytes() for path in [*tool.sources(course), course / "pyproject.toml"]}


def command(course, *words):
    return subprocess.run([sys.executable, str(course / "tools/notebooks.py"), "home", *words], capture_output=True, text=True)


def test_nothing_points_elsewhere():
    assert tool.stale() == [], "run: python tools/notebooks.py home, which lists them"


def test_every_notebook_and_markdown_file_is_looked_at(course):
    seen = {path.relative_to(course).as_posix() for path in tool.sources(course)}
    assert {"README.md", "notebooks/README.md", "data/README.md", "slides/README.md", "slides/02-forward-noising.md"} <= seen
    assert len([name for name in seen if name.startswith("notebooks/") and name.endswith(".ipynb")]) >= 9


HOME = tool.REPOSITORY
PLANTED = {
    "badge of another owner": ("README.md", f"[x]({COLAB}/other/{tool.NAME}/blob/{tool.BRANCH}/notebooks/02_forward_noising.ipynb)", True),
    "badge of another branch": ("README.md", f"[x]({COLAB}/{HOME}/blob/old/notebooks/02_forward_noising.ipynb)", True),
    "badge of no notebook": ("README.md", f"[x]({COLAB}/{HOME}/blob/{tool.BRANCH}/notebooks/02_gone.ipynb)", True),
    "another owner": ("slides/02-forward-noising.md", f"Get it at https://github.com/other/{tool.NAME}.", True),
    "another branch": ("notebooks/README.md", f"[code](https://github.com/{HOME}/blob/old/ddpm_lib/ddpm.py)", True),
    "a good badge": ("README.md", f"[x]({COLAB}/{HOME}/blob/{tool.BRANCH}/notebooks/02_forward_noising.ipynb)", False),
    "a good link": ("README.md", f"`git clone https://github.com/{HOME}.git`, [code](https://github.com/{HOME}/tree/{tool.BRANCH})", False),
    "somebody else's": ("README.md", "https://github.com/hojonathanho/diffusion and papers/diffusion-from-scratch-2", False),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mention_is_found(course, name):
    file, text, wrong = PLANTED[name]
    with open(course / file, "a", encoding="utf-8") as out:
        out.write(f"\n{text}\n")
    found = tool.stale(course)
    assert len(found) == wrong and all(line.startswith(f"{file}: ") for line in found), found


@pytest.mark.parametrize("index, old, new", [
    (0, f"{HOME}/blob", "other/place/blob"), (0, f"/blob/{tool.BRANCH}/", "/blob/old/"),
    (None, f"https://github.com/{HOME}", "https://github.com/other/place"), (None, f"heads/{tool.BRANCH}.zip", "heads/old.zip"),
    (3, "", f"See github.com/other/{tool.NAME}. "),
], ids=["badge", "branch of the badge", "first cell", "branch of the first cell", "text"])
def test_a_stale_notebook_is_found(course, index, old, new):
    path = course / "notebooks/02_forward_noising.ipynb"
    nb = nbformat.read(path, 4)
    cell = tool.code_cells(nb)[0] if index is None else nb.cells[index]
    assert old in cell.source
    cell.source = cell.source.replace(old, new, 1)
    path.write_text(tool.to_text(nb), encoding="utf-8")
    assert len(tool.stale(course)) == 1


def test_one_command_moves_everything_and_nothing_else(course):
    with open(course / "README.md", "a", encoding="utf-8") as out:
        out.write(f"\n`git clone https://github.com/{HOME}.git` [code](https://github.com/{HOME}/blob/{tool.BRANCH}/a.py)\n")
    before = written(course)
    moved = command(course, "some-one/my.course", "try/sliders")
    assert moved.returncode == 0 and moved.stderr == "", moved.stderr
    assert moved.stdout.splitlines()[-1] == "The course lives at some-one/my.course, branch try/sliders."
    assert tool.repository(course) == ("some-one/my.course", "try/sliders") and tool.stale(course) == []
    for path, old in before.items():
        assert HOME.encode() not in path.read_bytes(), path
        if path.suffix == ".ipynb":
            only_its_home_changed(nbformat.reads(old.decode(), 4), nbformat.read(path, 4))
    assert "https://github.com/some-one/my.course/blob/try/sliders/a.py" in (course / "README.md").read_text(encoding="utf-8")
    changed = {path.relative_to(course).parts[0] for path, old in before.items() if path.read_bytes() != old}
    assert changed == {"README.md", "notebooks", "pyproject.toml"}
    assert command(course, *filter(None, (HOME, tool.BRANCH))).returncode == 0
    assert written(course) == before                           # and back again, byte for byte


def only_its_home_changed(old, new):
    """Two notebooks differ in the badge and the first code cell, and in nothing else (an id follows from its text)."""
    assert len(old.cells) == len(new.cells) and old.metadata == new.metadata
    differ = []
    for k, (a, b) in enumerate(zip(old.cells, new.cells)):
        same = {**b, "id": a.id, "source": a.source}
        assert same == a, f"cell {k}"
        if a.source != b.source:
            differ.append(k)
            assert b.source in (tool.first_cell(("some-one/my.course", "try/sliders")),
                                a.source.replace(f"{HOME}/blob/{tool.BRANCH}", "some-one/my.course/blob/try/sliders"))
        else:
            assert a.id == b.id
    assert len(differ) == 2


@pytest.mark.parametrize("words, part", [
    (["course"], "'course' is no repository: write OWNER/NAME"),
    (["https://github.com/a/b"], "is no repository"), (["a/b/c"], "is no repository"), (["a/b.git"], "is no repository"),
    (["-a/b"], "is no repository"), (["a/.."], "is no repository"), (["a b/c"], "is no repository"), (["a/b\n"], "is no repository"),
    (["a/b", "two words"], "'two words' is no name of a branch"), (["a/b", "../x"], "is no name of a branch"),
    (["a/b", ""], "is no name of a branch"), (["a/b", "x.lock"], "is no name of a branch"), (["a/b", 'x"'], "is no name of a branch"),
], ids=str)
def test_a_malformed_name_is_refused_in_one_sentence(course, words, part, capsys):
    before = written(course)
    with pytest.raises(ValueError) as refused:
        tool.set_home(*words, root=course)
    assert part in str(refused.value) and str(refused.value).endswith(".") and "\n" not in str(refused.value)
    assert tool.main(["home", *(words if words[0][0] != "-" else ["--", *words])]) == 1
    assert capsys.readouterr().err == f"{refused.value}\n" and written(course) == before


def test_an_interrupted_move_goes_on(course, monkeypatch):
    whole = written(course)

    def write(path, text):
        if path.name.startswith("05"):
            raise KeyboardInterrupt
        return keep(path, text)

    keep = tool.write
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tool, "write", write)
        tool.set_home("some-one/my-course", root=course)
    half = written(course)
    assert half.keys() == whole.keys() and half != whole and tool.repository(course) == tool.HOME
    assert tool.stale(course)
    tool.set_home("some-one/my-course", root=course)
    assert tool.stale(course) == [] and not any(HOME.encode() in data for data in written(course).values())
