"""How fast sliders answer: in a JupyterLab and a Chromium of their own, from the key to the picture on the screen.

Each move is one real key press (ArrowRight to the end, then ArrowLeft), and the next follows a little after its picture is
painted. The clock is the page's; it starts with the time stamp that the browser gives the key.
  drawn    a frame slider: its canvas holds the new pixels (they are read back). A live slider: the kernel's picture has
           arrived and is decoded
  painted  the end of the next frame that the browser makes after that. This holds the wait for the frame, up to 16.7 ms at
           60 frames a second; the way from there to a real screen is in neither
"""
import random
import statistics
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "slides"), str(ROOT / "tests" / "browser")]

BUDGET = {"frame": 20, "live": 60}
PAUSE = (30, 90)                                                           # milliseconds between two moves, drawn anew each time
CLOCK = """(handle) => { if (!window.ddpmClock) { window.ddpmClock = {};
  document.addEventListener('keydown', e => { ddpmClock.key = e.timeStamp; }, true); }
 const painted = () => new Promise(done => requestAnimationFrame(() => { const c = new MessageChannel();
  c.port1.onmessage = () => done(performance.now()); c.port2.postMessage(0); }));
 const figure = handle.closest('div[class*="fs-"]') || handle.closest('.ddpm-slider'), canvas = figure.querySelector('canvas');
 const note = async key => { const drawn = performance.now(), shown = await painted();
  if (ddpmClock.done) ddpmClock.done([drawn - key, shown - key]); };
 if (canvas) handle.addEventListener('input', () => { canvas.getContext('2d').getImageData(0, 0, 1, 1); note(ddpmClock.key); });
 else { const image = figure.querySelector('img');
  new MutationObserver(async () => { const key = ddpmClock.key; await image.decode(); note(key); }).observe(image, {attributes: true, attributeFilter: ['src']}); } }"""
WAIT = """() => { ddpmClock.next = new Promise((done, fail) => { ddpmClock.done = done; setTimeout(() => fail(new Error('no picture within 5 s')), 5000); }); }"""


def measure(quick):
    """{"budget", "rows": a row per slider of every chapter: notebook, kind, number, moves, drawn and painted (median, 95th percentile), ms}."""
    import check
    import driver
    moves = 40 if quick else 200
    rows = []
    with tempfile.TemporaryDirectory() as folder, driver.start_lab(Path(folder) / "lab") as lab, check.browser() as browser:
        for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
            rows += _chapter(browser, lab, path, moves)
    return {"budget": BUDGET, "rows": rows}


def _chapter(browser, lab, path, moves):
    """The rows of one chapter: from its saved outputs, trusted; it is run only if it holds a live slider."""
    import driver
    import moving
    promised = moving.promised(nbformat.read(path, as_version=4).cells)
    if not promised["frame"] and not promised["live"]:
        return []
    lab.trust(lab.copy(path))
    rows = []
    with driver.open_notebook(browser, lab, path.name) as notebook:
        if promised["live"]:
            notebook.run_all(900)
            notebook.page.wait_for_selector(".noUi-handle, .ui-slider-handle")
        notebook.page.wait_for_timeout(1000)
        found = [slider for slider in moving.on_page(notebook) if slider.kind in BUDGET]
        if len(found) != promised["frame"] + promised["live"]:
            raise RuntimeError(f"{path.name}: {len(found)} sliders on the page, but its outputs speak of {promised}")
        for number, slider in enumerate(found, 1):
            times = _times(notebook.page, slider, moves)
            rows.append({"notebook": path.name, "slider": number, "kind": slider.kind, "moves": moves,
                         **{name: _summary([pair[k] for pair in times]) for k, name in enumerate(("drawn", "painted"))}})
    return rows


def _times(page, slider, moves):
    """[(milliseconds to drawn, to painted)] of so many single moves."""
    slider.show()
    slider.handle.evaluate(CLOCK)
    last = slider.handle.evaluate("e => Number(e.max || e.getAttribute('aria-valuemax'))")
    slider.key("Home")
    page.wait_for_timeout(1000)
    times, at, step, chance = [], 0, 1, random.Random(0)
    for _ in range(moves + 5):                                             # the first five warm up
        step = 1 if at == 0 else -1 if at == last else step
        at += step
        page.evaluate(WAIT)
        page.keyboard.press("ArrowRight" if step == 1 else "ArrowLeft")
        times.append(page.evaluate("() => ddpmClock.next"))
        page.evaluate("() => { ddpmClock.done = null }")
        page.wait_for_timeout(chance.uniform(*PAUSE))
    return times[5:]


def _summary(values):
    return {"median": statistics.median(values), "p95": statistics.quantiles(values, n=20)[-1]}
