"""A notebook in careless hands: restarted, run out of order, dragged while it trains, opened twice, interrupted."""
import re

import moving
import pytest

import ddpm_lib.course.ch02
import ddpm_lib.course.ch03  # noqa: F401  (the exercises of two chapters)
from ddpm_lib.course import solution_source

SETUP = "from ddpm_lib.course import setup\nsetup()"
SLIDERS = """import time
import numpy as np
import torch
from torch import nn
from ddpm_lib.course import LiveLoss, frame_slider, live_slider

live_slider(lambda k: np.full((40, 40), k / 20), range(21), label="grey", alt="One grey square, darker or brighter.", zoom=4)"""
FRAMES = 'frame_slider([np.full((40, 40), k / 20) for k in range(21)], alt="One grey square, darker or brighter.", zoom=4)'
TRAINING = """torch.manual_seed(0)
net, losses = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 8)), []
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
with LiveLoss(STEPS, every=0.3) as live:
    for step in range(1, STEPS + 1):
        x = torch.randn(64, 8)
        loss = (net(x) - x.sin()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        time.sleep(0.002)                     # a larger network would take as long
        live.step(loss.item())"""
LOSSES = """import hashlib
print(len(live.losses), "losses", hashlib.sha256(repr(live.losses).encode()).hexdigest()[:16])"""
STOPPED = (r"You stopped after step (\d+) of (\d+)\. What was learned until then is kept, and the cells below work with it\.\n"
           r"To train to the end, run this cell again; where a cell above makes the network, run that one first\.")


def small(steps):
    """The cells of a small notebook: setup, live slider, frame slider, a training, its losses."""
    return SETUP, SLIDERS, FRAMES, f"STEPS = {steps}\n{TRAINING}", LOSSES


def seen(notebook, cell):
    """The text that the outputs of a cell show on the page."""
    outputs = notebook.locator(cell).locator(".jp-OutputArea-output")
    return "\n".join(outputs.nth(k).inner_text().strip("\n") for k in range(outputs.count()) if outputs.nth(k).is_visible())


def started(notebook):
    """Run all cells, and do not wait; the first command after loading is lost now and then."""
    for attempt in range(3):
        notebook.run_all(wait=False)
        try:
            return notebook.wait("""cells.some(c => c.model.type === 'code'
                && (c.model.executionCount !== null || c.model.executionState === 'running'))""", timeout=10)
        except Exception:
            if attempt == 2:
                raise


def reaches(notebook, cell, seconds=60):
    """Wait until a cell is being run: it is marked with [*], and none before it is. The kernel's own status does not tell: when
    JupyterLab asks for a subshell, it says "idle" in the middle of a cell."""
    notebook.wait("cells.findIndex(c => c.model.executionState === 'running') === x", notebook.index(cell), seconds)


def steps_done(notebook, cell):
    """How many steps the line of a running LiveLoss shows."""
    found = re.search(r"\] (\d+)/\d+", notebook.text(cell))
    return int(found[1]) if found else 0


def press_stop(notebook):
    """The button in the toolbar, by mouse."""
    notebook.page.locator(".jp-NotebookPanel-toolbar [data-command='notebook:interrupt-kernel']").first.click()


def brightness(notebook, cell):
    """The middle pixel of the picture that a live slider shows, 0..255."""
    return notebook.js("""const image = cells[x].node.querySelector('.ddpm-slider img'); await image.decode();
        const c = document.createElement('canvas'); c.width = image.naturalWidth; c.height = image.naturalHeight;
        const g = c.getContext('2d'); g.drawImage(image, 0, 0); return g.getImageData(c.width / 2, c.height / 2, 1, 1).data[0]""", notebook.index(cell))


def frame(notebook, cell):
    """The number of the frame that a frame slider shows, and the middle pixel of it."""
    return notebook.js("""const c = cells[x].node.querySelector('canvas');
        return [+c.dataset.frame, c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[0]]""", notebook.index(cell))


def drag(page, handle, by):
    """Take a handle with the mouse and move it `by` pixels to the right, in ten steps."""
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for k in range(1, 11):
        page.mouse.move(x + by * k / 10, y)
    page.mouse.up()


# --- cells that did not run --------------------------------------------------------------------------------------

def test_a_kernel_restarted_in_the_middle(lab, opened):
    """First a bare NameError, for nothing of ours has run; after the first cell, where to go on; Run All Above repairs it."""
    notebook = opened(lab.copy("notebooks/00_start_here.ipynb", "00_restarted.ipynb"))
    first, makes, uses = (notebook.index(text) for text in ("setup()", "trajectory.append", "trajectory_slider(trajectory,"))
    notebook.run_all(120)
    notebook.restart()
    notebook.run_cell(uses)
    assert "NameError: name 'trajectory_slider' is not defined" in seen(notebook, uses) and " is made " not in seen(notebook, uses)
    notebook.run_cell(first)
    notebook.run_cell(uses)
    assert re.search(r"NameError: name 'trajectory_slider' is not defined\ntrajectory_slider is made above, under \"[^\"]+\", in the cell with the line\n"
                     r"    from ddpm_lib.course.ch00 import trajectory_slider\nThat cell has not run in this kernel, or was changed\. Choose Run > Run All Above Selected Cell "
                     r"\(on Colab: Runtime > Run before\), then run this cell again\.$", seen(notebook, uses))
    notebook.js("panel.content.deselectAll(); panel.content.activeCellIndex = x; await window.jupyterapp.commands.execute('notebook:run-all-above')", uses)
    notebook.idle(60)
    notebook.run_cell(uses)
    assert notebook.cell_errors() == []
    assert notebook.locator(uses).locator("canvas").is_visible()
    assert notebook.counts()[makes] < notebook.counts()[uses] < 10        # counted anew: the restart was one


def test_cells_out_of_order(lab, opened):
    """The sentence names the cell: the one with the imports, the one with the network, the exercise's own."""
    notebook = opened(lab.copy("notebooks/00_start_here.ipynb", "00_jumbled.ipynb"))
    number = {text: notebook.index(text) for text in ("setup()", "import torch", "trajectory.append", "trajectory_slider(trajectory,",
                                                      'check("scale"', "def my_scale", "print(len(edges")[:6]}
    missing = {"setup()": (("trajectory.append", "weights", "from ddpm_lib import data, plots, weights\n"),
                           ('check("scale"', "check", "from ddpm_lib.course import check, hint, show, show_solution\n")),
               "import torch": (("trajectory_slider(trajectory,", "trajectory", "guess, trajectory = clipped(denoiser(net, schedule)), []"),
                                ('check("scale"', "my_scale", "def my_scale(x, c):"))}
    for runs, fails in missing.items():
        notebook.run_cell(number[runs])
        for cell, name, line in fails:
            notebook.run_cell(number[cell])
            assert f"NameError: name '{name}' is not defined\n{name} is made above, under \"" in seen(notebook, number[cell])
            assert f"in the cell with the line\n    {line}" in seen(notebook, number[cell])
    for cell in ("def my_scale", 'check("scale"', "trajectory.append", "trajectory_slider(trajectory,"):
        notebook.run_cell(number[cell])
    assert notebook.cell_errors() == []


# --- a slider and a training at once -----------------------------------------------------------------------------

def test_sliders_dragged_while_a_network_trains(lab, opened):
    """The losses stay the same, bit for bit; a frame slider moves meanwhile, a live one follows when the training ends."""
    notebook = opened(lab.write("dragged.ipynb", *small(1500)))
    notebook.run_all(60)
    assert notebook.cell_errors() == []
    undisturbed = notebook.text(4)
    assert undisturbed.startswith("1500 losses ")
    live, frames, page = notebook.locator(1).locator(".noUi-handle"), notebook.locator(2).locator("input[type=range]"), notebook.page
    notebook.run_cell(3, wait=False)
    reaches(notebook, 3)
    live.scroll_into_view_if_needed()
    drag(page, live, 200)
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        live.press(key)
    value = int(float(live.get_attribute("aria-valuenow")))
    assert value > 5                                           # the handle itself follows at once
    shown = {}
    frames.scroll_into_view_if_needed()
    for key in ("ArrowRight", "End", "ArrowLeft"):
        frames.press(key)
        shown[key] = frame(notebook, 2)
    box = frames.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown["mouse"] = frame(notebook, 2)
    trains = notebook.js("return cells[3].model.executionState === 'running' && cells[3].model.executionCount === null")
    done = steps_done(notebook, 3)
    assert trains and done < 1500                              # all of this happened during the training
    assert shown == {"ArrowRight": [1, 13], "End": [20, 255], "ArrowLeft": [19, 242], "mouse": [10, 128]}
    assert brightness(notebook, 1) == 0                        # the kernel has no time for the live one yet
    notebook.idle(60)
    notebook.wait("cells[1].node.querySelector('.ddpm-value').textContent === x", str(value), 10)
    notebook.idle()
    assert brightness(notebook, 1) == round(value / 20 * 255)
    notebook.run_cell(4)
    assert notebook.text(4) == undisturbed
    assert notebook.cell_errors() == [] and notebook.errors == []


# --- two notebooks -----------------------------------------------------------------------------------------------

def test_two_chapters_at_once(lab, opened):
    """Both run at the same time to their end; sliders of both move; both note what is done in the one file."""
    lab.progress.unlink(missing_ok=True)
    pair = [opened(lab.copy(f"notebooks/{name}.ipynb", f"{name[:2]}_at_once.ipynb")) for name in ("02_forward_noising", "03_exact_reverse")]
    for notebook in pair:
        started(notebook)
    for notebook in pair:
        notebook.wait("cells.some(c => c.model.executionState === 'running')", timeout=20)
    assert all(notebook.js("return cells.some(c => c.model.executionState === 'running')") for notebook in pair)
    for notebook in pair:
        notebook.idle(300)
    for notebook, name in zip(pair, ("q_step", "posterior_mean")):
        assert notebook.cell_errors() == [] and notebook.errors == []
        assert all(count for count, kind in zip(notebook.counts(), notebook.kinds()) if kind == "code")
        slider = moving.on_page(notebook)[0]
        frames = moving.Frames(slider)
        slider.show()
        for key, back in (("Home", frames.n), ("End", 1), ("ArrowLeft", 2)):
            slider.key(key)
            frames.expect(frames.n - back)
        number = notebook.index(f"def my_{name}")
        notebook.set_source(number, solution_source(name))
        notebook.run_cell(number)
        notebook.run_cell(number + 1)
        assert seen(notebook, number + 1).startswith(f"✔ {name}: correct.")
    assert lab.progress.read_text(encoding="utf-8") == "q_step\nposterior_mean\n"
    live = pair[0].page.locator(".ddpm-slider .noUi-handle").first
    cell = pair[0].index("live_slider(")
    before = pair[0].js("return cells[x].node.querySelector('.ddpm-value').textContent", cell)
    live.press("ArrowRight")
    pair[0].wait("cells[x[0]].node.querySelector('.ddpm-value').textContent !== x[1]", [cell, before], 10)


def test_one_notebook_in_two_windows(lab, opened):
    """JupyterLab gives both windows one kernel; each shows what was run in it, and a save over the other's asks first."""
    name = lab.write("twice.ipynb", SETUP, "x = 1\nprint('first', x)", "print('second', x)", SLIDERS, FRAMES)
    one, two = opened(name), opened(name)
    assert one.js("return kernel.id") == two.js("return kernel.id")
    one.run_all(60)
    two.run_cell(2)
    assert (one.text(2), two.text(2), two.text(1)) == ("second 1\n", "second 1\n", "")
    two.run_cell(3)
    for notebook in (one, two):                                # each window its own slider, both alive
        notebook.locator(3).locator(".noUi-handle").press("End")
    for notebook in (one, two):
        notebook.wait("cells[3].node.querySelector('.ddpm-value').textContent === '20'", timeout=20)
        notebook.idle()
        assert brightness(notebook, 3) == 255 and notebook.cell_errors() == []
    one.js("await window.jupyterapp.commands.execute('docmanager:save')")
    two.js("window.jupyterapp.commands.execute('docmanager:save')")
    dialog = two.page.locator(".jp-Dialog")
    dialog.wait_for(timeout=20_000)
    assert "has changed on disk" in dialog.inner_text()
    foreign = "console: Comm not found for comm id"            # each window hears of the other's widgets
    assert [e for e in one.errors + two.errors if not e.startswith(foreign)] == []


# --- the stop button ---------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def endless(browser, lab):
    """A notebook whose training would take an hour, run from the menu and stopped by the button after some steps."""
    import driver
    with driver.open_notebook(browser, lab, lab.write("endless.ipynb", *small(1_000_000), "time.sleep(60)", "print('later:', len(live.losses))")) as notebook:
        notebook.set_source(5, "print('learned:', bool(net[0].weight.isfinite().all()), len(live.losses))")
        started(notebook)
        reaches(notebook, 3)
        notebook.wait("/\\] [1-9]\\d\\d+\\//.test(cells[3].node.innerText)", timeout=30)
        press_stop(notebook)
        notebook.idle(30)
        yield notebook


def test_the_stop_button_ends_a_training_and_keeps_what_was_learned(endless):
    shown = seen(endless, 3)
    found = re.search(STOPPED, shown)
    assert found and found[2] == "1000000" and int(found[1]) >= 100
    assert "Traceback" not in shown and "KeyboardInterrupt" not in shown and endless.cell_errors() == []
    assert re.search(rf"\] {found[1]}/1000000, loss 0\.\d+, \d+ s, stopped\n", shown)
    assert endless.text(4).startswith(f"{found[1]} losses ")               # Run All went on below
    assert endless.text(5) == f"learned: True {found[1]}\n"
    assert endless.text(6) == f"later: {found[1]}\n"


def test_training_can_be_stopped_once_more_and_run_to_its_end(endless):
    endless.run_cell(3, wait=False)
    reaches(endless, 3)
    endless.wait("/\\] [1-9]\\d+\\//.test(cells[3].node.innerText)", timeout=30)
    press_stop(endless)
    endless.idle(30)
    assert re.search(STOPPED, seen(endless, 3)) and endless.cell_errors() == []
    endless.set_source(3, f"STEPS = 100\n{TRAINING}")
    endless.run_cell(3)
    assert "[########################] 100/100, loss" in seen(endless, 3) and "stopped" not in seen(endless, 3)


def test_the_stop_button_still_interrupts_an_ordinary_cell(endless):
    """After a training, stopped or not, the button means what it meant before."""
    endless.set_source(5, "time.sleep(60)")
    endless.run_cell(5, wait=False)
    reaches(endless, 5)
    press_stop(endless)
    endless.idle(30)
    assert endless.cell_errors() == [(5, "KeyboardInterrupt: ")]
    endless.run_cell(6)
    assert endless.text(6).startswith("later: ")
