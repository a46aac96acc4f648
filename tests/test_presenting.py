"""A notebook presented live in JupyterLab with jupyterlab-slideshow, as slides/README.md says: its sliders move there.

Needs a Chromium, playwright and jupyterlab-slideshow; skips with a sentence where one is missing.
"""
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from nbformat import v4

ROOT = pathlib.Path(__file__).resolve().parents[1]
KNOWN = {"Cannot read properties of null (reading 'observe')"}      # jupyterlab-slideshow 0.3.4 says it once; nothing is missing
LIVE = '''\
import numpy as np
from ddpm_lib.course import live_slider
live_slider(lambda t: np.full((40, 60), t / 20), range(21), label="t", alt="A grey area that grows brighter as t grows.")'''


def presentable(cells):
    """A notebook whose first cell is a slide and whose other cells appear under it."""
    for k, cell in enumerate(cells):
        cell.metadata["slideshow"] = {"slide_type": "fragment" if k else "slide"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """(address, token, folder) of a JupyterLab of its own that holds chapter 02, trusted, and a live slider."""
    pytest.importorskip("playwright.sync_api", reason="playwright is missing: python -m pip install -r requirements-dev.txt")
    pytest.importorskip("jupyterlab_slideshow", reason="jupyterlab-slideshow is missing: python -m pip install -r requirements-dev.txt")
    base, token = tmp_path_factory.mktemp("lab"), secrets.token_hex(16)
    (base / "work").mkdir()
    shutil.copy(ROOT / "notebooks" / "02_forward_noising.ipynb", base / "work" / "chapter.ipynb")
    nbformat.write(presentable([v4.new_markdown_cell("# Live"), v4.new_code_cell(LIVE)]), base / "work" / "live.ipynb")
    quiet = base / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    environment = {**os.environ, "JUPYTER_TOKEN": token, "JUPYTERLAB_SETTINGS_DIR": str(base / "settings"),
                   "JUPYTERLAB_WORKSPACES_DIR": str(base / "workspaces"), "PYTHONPATH": str(ROOT),
                   **{name: str(base / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}}
    subprocess.run([sys.executable, "-m", "nbformat.sign", str(base / "work" / "chapter.ipynb")], env=environment, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with open(base / "lab.log", "w") as log:
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={address.split(':')[-1]}",
                                    "--ServerApp.port_retries=0", f"--ServerApp.root_dir={base / 'work'}", "--LabApp.expose_app_in_browser=True"],
                                   env=environment, stdout=log, stderr=log)
    try:
        for _ in range(300):
            assert process.poll() is None, (base / "lab.log").read_text()[-2000:]
            try:
                urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        yield address, token
    finally:
        process.terminate()
        process.wait(20)


def presented(browser, lab, name):
    """A page that shows a notebook as slides, and the list of what it complains of."""
    address, token = lab
    page, wrong = browser.new_page(viewport={"width": 1280, "height": 720}), []
    page.route("**/*", lambda r: r.continue_() if r.request.url.startswith((address, "data:", "blob:")) else r.abort())
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{address}/doc/tree/{name}?token={token}")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    page.wait_for_function("() => window.jupyterapp && window.jupyterapp.commands.hasCommand('deck:start')")
    page.evaluate("() => window.jupyterapp.commands.execute('deck:start')")
    page.wait_for_selector("[data-jp-deck-mode='presenting']", state="attached")
    return page, wrong


def at_cell(page, test):
    """Go to the slide that holds the cell for which a JavaScript test on its text holds, and wait until it is shown."""
    page.wait_for_function(f"""() => {{ const notebook = window.jupyterapp.shell.currentWidget.content;
        const k = notebook.widgets.findIndex(c => ({test})(c.model.sharedModel.getSource()));
        const shown = k >= 0 && notebook.activeCellIndex === k && notebook.widgets[k].node.offsetHeight > 0;
        if (!shown) notebook.activeCellIndex = k;
        return shown; }}""", polling=300)


def moves(page, handle, track, picture):
    """Whether arrow keys, and then the mouse, change the picture, and the slide stays."""
    here = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    slide, seen = page.evaluate(here), [picture.screenshot()]
    handle.focus()
    page.keyboard.press("Home")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(400)
    seen.append(picture.screenshot())
    box = track.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2)
    page.wait_for_timeout(400)
    seen.append(picture.screenshot())
    assert page.evaluate(here) == slide, "the arrow keys turned the slide"
    return seen[0] != seen[1] != seen[2]


def test_a_slide_shows_one_section(lab, browser):
    page, wrong = presented(browser, lab, "chapter.ipynb")
    at_cell(page, "s => s.startsWith('## 3. The jump')")
    page.locator("p", has_text="One draw of noise replaces").wait_for(state="visible")
    assert not any(text.is_visible() for text in page.locator("p", has_text="A diffusion model learns to take noise").all())
    assert set(wrong) <= KNOWN
    page.close()


def test_a_frame_slider_moves_on_a_slide(lab, browser):
    page, wrong = presented(browser, lab, "chapter.ipynb")
    at_cell(page, "s => s.startsWith('noise_slider(small')")
    handle = page.locator(".jp-deck-mod-visible input[type=range], .jp-Cell:visible input[type=range]").first
    handle.wait_for(state="visible")
    assert moves(page, handle, handle, page.locator("canvas:visible").first)
    assert set(wrong) <= KNOWN
    page.close()


def test_a_live_slider_moves_on_a_slide(lab, browser):
    page, wrong = presented(browser, lab, "live.ipynb")
    page.wait_for_function("""() => { const s = window.jupyterapp.shell.currentWidget?.sessionContext;
        return s?.session?.kernel?.connectionStatus === 'connected' && s.session.kernel.status === 'idle' }""", timeout=60_000)
    at_cell(page, "s => s.includes('live_slider')")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    handle = page.locator(".noUi-handle").first
    handle.wait_for(state="visible", timeout=60_000)
    assert moves(page, handle, page.locator(".noUi-target").first, page.locator("img.widget-image").first)
    assert set(wrong) <= KNOWN
    page.close()
