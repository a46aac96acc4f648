"""A notebook presented live in JupyterLab with jupyterlab-slideshow, as slides/README.md says: its sliders move there.

Needs a Chromium, playwright and jupyterlab-slideshow; skips with a sentence where one is missing.
"""
import pytest
from driver import open_notebook, start_lab
from nbformat import v4

KNOWN = {"page error: Cannot read properties of null (reading 'observe')"}      # jupyterlab-slideshow 0.3.4 says it once; nothing is missing
LIVE = '''\
import numpy as np
from ddpm_lib.course import live_slider
live_slider(lambda t: np.full((40, 60), t / 20), range(21), label="t", alt="A grey area that grows brighter as t grows.")'''


@pytest.fixture(scope="module")
def show(browser, tmp_path_factory):
    """Chapter 02, trusted, and a notebook with a live slider, in a JupyterLab of their own: jupyterlab-slideshow notes in its
    settings that it presents, and the next notebook opened there begins as slides. show(name): it is open and shown as slides."""
    pytest.importorskip("jupyterlab_slideshow", reason="jupyterlab-slideshow is missing: python -m pip install -r requirements-dev.txt")
    title, code = v4.new_markdown_cell("# Live"), v4.new_code_cell(LIVE)     # the first is a slide, the other appears under it
    title.metadata["slideshow"], code.metadata["slideshow"] = {"slide_type": "slide"}, {"slide_type": "fragment"}
    with start_lab(tmp_path_factory.mktemp("presenting")) as lab:
        lab.trust(lab.copy("notebooks/02_forward_noising.ipynb", "presented.ipynb"))
        lab.write("live.ipynb", title, code)

        def presented(name):
            notebook = open_notebook(browser, lab, name, width=1280, height=720)
            notebook.page.wait_for_function("() => window.jupyterapp.commands.hasCommand('deck:start')")
            notebook.js("window.jupyterapp.commands.execute('deck:start')")
            notebook.page.wait_for_selector("[data-jp-deck-mode='presenting']", state="attached")
            return notebook
        yield presented


def at_cell(notebook, text):
    """Go to the slide that holds the cell which begins with a text, and wait until it is shown."""
    notebook.page.wait_for_function("""text => { const notebook = window.jupyterapp.shell.currentWidget.content;
        const k = notebook.widgets.findIndex(c => c.model.sharedModel.getSource().startsWith(text));
        const shown = k >= 0 && notebook.activeCellIndex === k && notebook.widgets[k].node.offsetHeight > 0;
        if (!shown) notebook.activeCellIndex = k;
        return shown; }""", arg=text, polling=300)


def moves(notebook, handle, track, picture):
    """Whether arrow keys, and then the mouse, change the picture, and the slide stays."""
    page, here = notebook.page, "return panel.content.activeCellIndex"
    slide, seen = notebook.js(here), [picture.screenshot()]
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
    assert notebook.js(here) == slide, "the arrow keys turned the slide"
    return seen[0] != seen[1] != seen[2]


def test_a_slide_shows_one_section(show):
    with show("presented.ipynb") as notebook:
        at_cell(notebook, "## 3. The jump")
        notebook.page.locator("p", has_text="One draw of noise replaces").wait_for(state="visible")
        assert not any(text.is_visible() for text in notebook.page.locator("p", has_text="A diffusion model learns to take noise").all())
        assert set(notebook.errors) <= KNOWN


def test_a_frame_slider_moves_on_a_slide(show):
    with show("presented.ipynb") as notebook:
        at_cell(notebook, "noise_slider(small")
        handle = notebook.page.locator(".jp-deck-mod-visible input[type=range], .jp-Cell:visible input[type=range]").first
        handle.wait_for(state="visible")
        assert moves(notebook, handle, handle, notebook.page.locator("canvas:visible").first)
        assert set(notebook.errors) <= KNOWN


def test_a_live_slider_moves_on_a_slide(show):
    with show("live.ipynb") as notebook:
        at_cell(notebook, "import numpy")
        notebook.js("window.jupyterapp.commands.execute('notebook:run-cell')")
        handle = notebook.page.locator(".noUi-handle").first
        handle.wait_for(state="visible", timeout=60_000)
        assert moves(notebook, handle, notebook.page.locator(".noUi-target").first, notebook.page.locator("img.widget-image").first)
        assert set(notebook.errors) <= KNOWN
