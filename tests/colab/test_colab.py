"""Sliders, upload, live loss and exercises in a real browser with the versions that Colab has: `make test-colab` runs this.

Colab's own page cannot be run elsewhere. What can is the classic notebook page, which Colab's set of packages contains
(notebook 6.5, widgetsnbextension 3.6): the same ipywidgets 7 in the kernel, and the same generation of widgets in the page.
How Colab shows other outputs, inside a sandboxed iframe, is tested in tests/test_sandboxed_iframe.py.

Collected only where ipywidgets 7 is installed (conftest.py beside this file), so `make test` does not see it.
"""
import contextlib
import io
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import numpy as np
import pytest
from nbformat import v4
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
START = """\
import time
import numpy as np, torch
import ddpm_lib.course.ch02
from ddpm_lib.course import LiveLoss, check, frame_slider, hint, live_slider, setup, upload_picture
from ddpm_lib.course.explore import latent_plane
setup()"""
CELLS = {
    "frame": """\
ramp = [np.tile(np.linspace(0, k / 9, 60), (40, 1)) for k in range(10)]
frame_slider({"up": ramp, "down": [1 - a for a in ramp]}, [f"t = {k}" for k in range(10)], alt="A grey ramp that grows brighter with t.", zoom=3)""",
    "live": """\
def grey(t, way):
    return np.full((40, 60), t / 20 if way == "up" else 1 - t / 20)
live_slider(grey, range(21), label="t", alt="A grey area that grows brighter with t.", zoom=3, choices={"way": ["up", "down"]})""",
    "plane": """\
codes = np.random.default_rng(0).normal(size=(30, 2))
latent_plane({"plane": (codes, lambda z: 1 / (1 + np.exp(-z[:, :1, None] - np.linspace(-2, 2, 64).reshape(1, 8, 8) * z[:, 1:, None])))},
             [k % 10 for k in range(30)], alt="Thirty codes in a plane, and the picture at the point.")""",
    "upload": """\
def on_picture(x_0):
    a = (x_0[0].permute(1, 2, 0).numpy() + 1) / 2
    return live_slider(lambda t: a * (1 - t / 10), range(11), label="s", alt="The picture, darker with s.", zoom=2)
upload_picture(on_picture, size=48, first=torch.zeros(1, 3, 48, 48))""",
    "loss": """\
with LiveLoss(12, every=0.1) as live:
    for step in range(12):
        time.sleep(0.05)
        live.step(1 / (step + 1))""",
    "broken": """\
live_slider(lambda t: np.full((40, 60), 0.5), range(21), label="t", alt="A grey area that never changes: a negative control.", zoom=3)""",
    "check": """\
def my_q_step(x_prev, t, schedule, eps):
    ...
my_q_step = check("q_step", my_q_step)""",
    "right": 'from ddpm_lib.ddpm import q_step\nmy_q_step = check("q_step", q_step)',
    "hint": 'hint("q_step")',
    "versions": "import IPython, ipykernel, ipywidgets\nprint(ipywidgets.__version__, IPython.__version__, ipykernel.__version__, np.__version__)",
}
NAMES = ["start", *CELLS]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(address, token) of a classic notebook server of its own, on this machine only, that holds cells.ipynb."""
    base, token = tmp_path_factory.mktemp("classic"), secrets.token_hex(16)
    (base / "work").mkdir()
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(text) for text in (START, *CELLS.values())], metadata=spec),
                   base / "work" / "cells.ipynb")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DDPM_PROGRESS": str(base / "progress.txt"), "OMP_NUM_THREADS": "1",
                   **{name: str(base / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with open(base / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "notebook", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={address.split(':')[-1]}",
             "--NotebookApp.port_retries=0", f"--NotebookApp.token={token}", f"--NotebookApp.notebook_dir={base / 'work'}",
             "--NotebookApp.enable_mathjax=False"], env=environment, stdout=log, stderr=log, cwd=base / "work")
    try:
        for _ in range(300):
            assert process.poll() is None, (base / "log").read_text()[-2000:]
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=1)
                break
            time.sleep(0.2)
        yield address, token
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def page(browser, server):
    """The notebook, run from top to bottom. page.wrong: what the page complained of; page.outside: what it asked elsewhere for."""
    address, token = server
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.wrong, page.outside = [], []

    def let(route):
        inside = route.request.url.startswith((address, "data:", "blob:"))
        page.outside.extend([] if inside else [route.request.url])
        route.continue_() if inside else route.abort()

    page.route("**/*", let)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    # The page first asks the kernel for widgets that live already, in two ways. What is run before the first way has ended is
    # taken for such a one, and disappears; a reader is slower.
    with page.expect_console_message(lambda message: "Failed to fetch ipywidgets through" in message.text, timeout=60_000):
        page.goto(f"{address}/notebooks/cells.ipynb?token={token}")
    page.wait_for_function("() => Jupyter.notebook._fully_loaded && Jupyter.notebook.kernel.is_connected() && !Jupyter.notebook.kernel_busy")
    page.evaluate("() => Jupyter.notebook.execute_all_cells()")
    page.wait_for_function("() => !Jupyter.notebook.kernel_busy && Jupyter.notebook.get_cells().every("
                           "c => c.cell_type !== 'code' || c.input_prompt_number > 0)", timeout=120_000)
    output(page, NAMES[-1]).locator("pre").wait_for()           # outputs come in order, by another way than the word that a cell is done
    yield page
    page.close()


def output(page, name):
    """What stands below the cell of this name."""
    return page.locator("div.cell").nth(NAMES.index(name)).locator("div.output")


def seen(locator):
    """The pixels of a part of the page, as they are on the screen."""
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(int)


def changes(page, locator, before, seconds=5.0):
    """The new pixels; fails if they stay as they were."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        now = seen(locator)
        if now.shape != before.shape or np.abs(now - before).mean() > 1:
            return now
        page.wait_for_timeout(50)
    raise AssertionError(f"the picture did not change within {seconds:.1f} s")


def drag(page, start, end):
    """Press the mouse in the middle of one box, let go at a point."""
    box = start.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*end, steps=8)
    page.mouse.up()


def moves_live(page, box, image):
    """The handle of a slider of ipywidgets 7, moved by keyboard and by mouse."""
    handle, track = box.locator(".ui-slider-handle"), box.locator(".ui-slider")
    handle.scroll_into_view_if_needed()
    page.wait_for_function("e => e.naturalWidth > 0", arg=image.element_handle())
    first = seen(image)
    handle.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    second = changes(page, image, first)
    where = track.bounding_box()
    drag(page, handle, (where["x"] + where["width"] - 1, where["y"] + where["height"] / 2))
    changes(page, image, second)


def test_the_versions_are_colabs(page):
    major = output(page, "versions").inner_text().split()
    assert [version.split(".")[0] for version in major] == ["7", "7", "6", "2"], major


def test_the_notebook_ran_and_the_page_is_content(page):
    errors = page.evaluate("() => Jupyter.notebook.get_cells().flatMap(c => c.output_area.outputs)"
                           ".filter(o => o.output_type === 'error' || o.name === 'stderr').map(o => o.evalue || o.text)")
    assert errors == [] and page.wrong == [] and page.outside == []
    assert ": ready" in output(page, "start").inner_text()


def test_the_frame_slider_moves(page):
    area = output(page, "frame")
    canvas, handle = area.locator("canvas"), area.locator("input[type=range]")
    handle.scroll_into_view_if_needed()
    first = seen(canvas)
    handle.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    second = changes(page, canvas, first)
    assert handle.input_value() == "5" and "t = 5" in handle.get_attribute("aria-valuetext")
    where = handle.bounding_box()
    drag(page, area.locator("input[type=range]"), (where["x"] + where["width"] - 3, where["y"] + where["height"] / 2))
    third = changes(page, canvas, second)
    assert handle.input_value() == "9"
    choices = area.locator("select, input[type=radio]")
    choices.select_option(index=1) if choices.evaluate_all("all => all[0].tagName") == "SELECT" else choices.nth(1).check()
    changes(page, canvas, third)


def test_the_live_slider_moves_and_its_menu_too(page):
    area = output(page, "live").locator(".ddpm-live")
    image = area.locator("img.widget-image")
    moves_live(page, area, image)
    handle = area.locator(".ui-slider-handle")
    page.wait_for_function("e => e.getAttribute('aria-valuetext') === '20'", arg=handle.element_handle())      # for a screen reader
    assert handle.get_attribute("aria-label") == "t"
    before = seen(image)
    area.locator("select").select_option("down")
    changes(page, image, before)


def test_a_slider_without_effect_fails(page):
    """Negative control of the test above."""
    area = output(page, "broken").locator(".ddpm-live")
    with pytest.raises(AssertionError, match="did not change"):
        moves_live(page, area, area.locator("img.widget-image"))


def test_the_plane_follows_keyboard_and_mouse(page):
    area = output(page, "plane")
    plane, picture = area.locator("canvas[role=slider]"), area.locator("canvas[role=img]")
    plane.scroll_into_view_if_needed()
    cell = page.evaluate("() => Jupyter.notebook.get_selected_index()")
    first, said = seen(picture), plane.get_attribute("aria-valuetext")
    plane.focus()
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    second = changes(page, picture, first)
    assert plane.get_attribute("aria-valuetext") != said
    assert page.evaluate("() => Jupyter.notebook.get_selected_index()") == cell, "the arrow keys went to another cell"
    where = plane.bounding_box()
    drag(page, plane, (where["x"] + 20, where["y"] + 20))
    changes(page, picture, second)


def picture_file(folder, name, data=None):
    path = folder / name
    if data is None:
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 60, 3), dtype=np.uint8)).save(path)
    else:
        path.write_bytes(data)
    return path


def choose(page, area, path):
    with page.expect_file_chooser() as chooser:
        area.locator("button", has_text="Choose a picture").click()
    chooser.value.set_files(path)


def test_the_readers_own_picture(page, tmp_path):
    area = output(page, "upload").locator(".ddpm-live").first
    before = seen(area.locator("img.widget-image"))
    choose(page, area, picture_file(tmp_path, "mine.png"))
    area.get_by_text("mine.png").wait_for()
    kept = changes(page, area.locator("img.widget-image"), before)
    choose(page, area, picture_file(tmp_path, "broken.png", b"no picture"))
    area.get_by_text("broken.png is not a picture that can be read").wait_for()
    assert np.abs(seen(area.locator("img.widget-image")) - kept).mean() < 1          # the earlier one stays
    moves_live(page, area, area.locator("img.widget-image"))


def test_the_loss_ends_as_one_line_and_one_picture(page):
    area = output(page, "loss")
    assert area.locator("img").count() == 1 and "12/12, loss" in area.inner_text() and area.inner_text().count("12/12") == 1
    assert seen(area.locator("img")).std() > 5


def test_check_and_hint(page):
    assert "q_step: not done yet" in output(page, "check").inner_text()
    assert "q_step: correct." in output(page, "right").inner_text()
    assert "hint 1" in output(page, "hint").inner_text().lower()


def test_nothing_went_wrong_in_the_page(page):
    assert page.wrong == [] and page.outside == []
