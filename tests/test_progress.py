"""Which exercises are done: noted by check(), listed by progress(), in a small file that the reader may delete."""
import os
import subprocess
import sys

import pytest

from ddpm_lib.course import REGISTRY, check, progress
from ddpm_lib.course.ch00 import trajectory_slider  # noqa: F401  (registers the exercises of chapter 00)
from ddpm_lib.course.progress import done, progress_file


def my_scale(x, c):
    return x * c[:, None, None, None]


def my_weighted_sum(a, b, var_x, var_y):
    return a ** 2 * var_x + b ** 2 * var_y


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A progress file of this test's own, which does not exist yet."""
    monkeypatch.setenv("DDPM_PROGRESS", str(tmp_path / "mine.txt"))
    return tmp_path / "mine.txt"


def printed(capsys):
    capsys.readouterr()
    progress()
    return capsys.readouterr().out.splitlines()


def test_nothing_is_done_at_first_and_looking_makes_no_file(file, capsys):
    lines = printed(capsys)
    assert len(REGISTRY) == 34 and lines[0] == "Exercises done: 0 of 34"
    assert len(lines) == 10 and lines[1] == "00 start here: ☐ open: scale, weighted_sum, seeded"
    assert sum(line.count(",") + 1 for line in lines[1:]) == 34 and not file.exists()


def test_a_right_answer_is_noted_once(file, capsys):
    for _ in range(2):
        check("scale", my_scale)
    assert file.read_text() == "scale\n"
    lines = printed(capsys)
    assert lines[0] == f"Exercises done: 1 of 34, noted in {file}"
    assert lines[1] == "00 start here: ✔ done: scale; ☐ open: weighted_sum, seeded"


def test_a_wrong_or_empty_answer_is_not_noted(file, capsys):
    check("scale", lambda x, c: x * c[:, None])
    check("scale", lambda x, c: ...)
    check("scale", REGISTRY["scale"].solution)
    assert not file.exists()


def test_the_reference_solution_is_not_called_correct(file, capsys):
    """A check cell that is run twice gets back what it returned; that is nobody's answer."""
    mine = check("scale", lambda x, c: x * c[:, None])
    capsys.readouterr()
    assert check("scale", mine) is mine
    out = capsys.readouterr().out
    assert out.startswith("☐ scale: my_scale is the reference solution now.") and "✔" not in out


def test_deleting_the_file_begins_again(file, capsys):
    check("scale", my_scale)
    file.unlink()
    assert printed(capsys)[0] == "Exercises done: 0 of 34"


def test_strange_content_does_no_harm(file, capsys):
    file.write_bytes(b"\xff\xfe\nweighted_sum\r\nno_such_exercise\n")
    lines = printed(capsys)
    assert lines[0].startswith("Exercises done: 1 of 34") and "✔ done: weighted_sum;" in lines[1]


def test_a_line_that_the_reader_wrote_without_an_end(file):
    file.write_text("weighted_sum")
    check("scale", my_scale)
    assert done() == {"weighted_sum", "scale"}


def test_a_notebook_of_the_readers_own_is_no_chapter(file, capsys, monkeypatch, tmp_path):
    (tmp_path / "notebooks").mkdir()
    for name in ("00_start_here", "10_my_notes"):
        (tmp_path / "notebooks" / f"{name}.ipynb").touch()
    monkeypatch.setattr(sys.modules["ddpm_lib.course.progress"], "COURSE", tmp_path)
    assert printed(capsys)[1:] == ["00 start here: ☐ open: scale, weighted_sum, seeded"]


def test_a_file_that_cannot_be_used_costs_one_sentence(file, capsys):
    file.mkdir()
    assert check("scale", my_scale) is my_scale
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "✔ scale: correct." and len(out) == 2 and out[1].startswith(f"   It could not be noted in {file} (")
    (line,) = printed(capsys)
    assert line.startswith(f"{file} cannot be read (") and line.endswith("): move it away, then run this cell again.")


def test_the_file_lies_in_the_course_or_on_the_drive(tmp_path, monkeypatch):
    module = sys.modules["ddpm_lib.course.progress"]
    monkeypatch.delenv("DDPM_PROGRESS")
    assert progress_file() == module.COURSE / "my_progress.txt" and (module.COURSE / "notebooks").is_dir()
    monkeypatch.setattr(module, "DRIVE", tmp_path)
    assert progress_file() == tmp_path / "my_progress.txt"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows appends in two steps, so two notebooks may lose a line there")
def test_two_notebooks_may_note_at_once(file):
    """Four processes that each note their own names: every line is whole, none is lost."""
    code = "import sys\nfrom ddpm_lib.course.progress import note\nfor k in range(40): note(f'name{sys.argv[1]}_{k}')"
    env = {**os.environ, "PYTHONPATH": str(sys.modules["ddpm_lib.course.progress"].COURSE)}
    runs = [subprocess.Popen([sys.executable, "-c", code, str(k)], env=env) for k in range(4)]
    assert [run.wait() for run in runs] == [0] * 4
    assert done() == {f"name{k}_{j}" for k in range(4) for j in range(40)}


def test_a_run_of_the_tools_begins_with_nothing_done(tmp_path, monkeypatch):
    """`make notebooks` by a reader who has done exercises saves the empty list, and notes nothing."""
    import nbformat
    sys.path.insert(0, str(sys.modules["ddpm_lib.course.progress"].COURSE / "tools"))
    import notebooks as tool
    monkeypatch.setenv("DDPM_PROGRESS", str(tmp_path / "mine.txt"))
    (tmp_path / "mine.txt").write_text("seeded\n")
    source = "import ddpm_lib.course.ch00\nfrom ddpm_lib.course import REGISTRY, check, progress\ncheck('scale', lambda *given: REGISTRY['scale'].solution(*given))\nprogress()"
    done = tool.execute(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("from ddpm_lib.course import progress\nprogress()"), nbformat.v4.new_code_cell(source)]), tmp_path)
    assert done.cells[0].outputs[0].text.startswith("Exercises done: 0 of 34\n") and "Exercises done: 1 of 34" in done.cells[1].outputs[0].text
    assert (tmp_path / "mine.txt").read_text() == "seeded\n"
