"""What a slider in a notebook must do, looked at from outside: found on the page, moved by keys and by mouse, and compared.

Every check raises AssertionError with a sentence of its own; test_negative.py plants the faults that they must find.
A frame slider (ddpm_lib/course/explore.py) carries all its frames in its output, so the canvas must hold exactly the
pixels of the frame that the handle says. A live slider's picture comes from the kernel; it is compared as painted.
"""
import base64
import functools
import hashlib
import html
import io
import json
import re
import sys
import time

import numpy as np
from PIL import Image, ImageChops

SLIDERS = ".jp-OutputArea input[type=range], .jp-OutputArea [role=slider], .jp-OutputArea .ui-slider-handle"
PARAMETERS = re.compile(r"\}\)\((\{.*\})\)</script>", re.DOTALL)
PATIENCE = 10                     # seconds after which a picture or a word no longer comes; how fast they come, make bench says
SIGNS = {"frame": re.compile(r"^\[slider over "), "plane": re.compile(r"^\[a point to drag in the plane of codes \((.*?)\): "),
         "live": re.compile(r"^\[live( slider, |: )")}
PIXELS = """const sum = async c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
 return [...new Uint8Array(await crypto.subtle.digest('SHA-256', d))].map(b => b.toString(16).padStart(2, '0')).join(''); };
const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));"""


class Slider:
    """A handle on the page. kind: "frame", "plane" or "live"; figure: the element that holds all of it; where: for sentences."""

    def __init__(self, notebook, handle, number):
        self.notebook, self.page, self.handle = notebook, notebook.page, handle
        found = handle.evaluate_handle("""e => e.closest('div[class*="fs-"]') || e.closest('div[class*="lp-"]') || e.closest('.ddpm-slider')
            || e.closest('.jupyter-widgets.widget-vbox')""").as_element()
        sign = found.get_attribute("class") if found else ""
        self.figure, self.kind = found, next((kind for mark, kind in (("fs-", "frame"), ("lp-", "plane"), ("widget", "live")) if mark in sign), None)
        assert self.kind, f"slider {number} of {notebook.name} is of no kind that these checks know"
        self.where = f"{notebook.name}, slider {number} ({self.kind})"

    def show(self):
        """Bring the figure to the middle of the window, so that the mouse and the eye reach it."""
        self.figure.evaluate("e => e.scrollIntoView({block: 'center'})")

    def key(self, name):
        """Press a key; the slide, cell or page must not take it."""
        self.handle.focus()
        self.page.keyboard.press(name)

    def name(self):
        """What a screen reader calls the handle."""
        return self.handle.evaluate("""e => (e.getAttribute('aria-label') || [...(e.getAttribute('aria-labelledby') || '').split(' ')]
            .map(id => document.getElementById(id)?.textContent || '').join(' ')).trim()""")

    def point(self, share, y=0.5, inset=0):
        """Where on the window a share of the track is; asked anew each time, because a page may scroll."""
        self.page.wait_for_function("e => !e.closest('.noUi-state-tap')", arg=self.handle)      # the handle still glides after a click
        box = self.track().bounding_box()
        return box["x"] + inset + share * (box["width"] - 2 * inset), box["y"] + y * box["height"]

    def track(self):
        """The element along which the handle moves."""
        return self.handle.evaluate_handle("e => e.closest('.noUi-target, .ui-slider') || e").as_element()


def on_page(notebook):
    """Every slider that can be seen in a notebook, from top to bottom."""
    handles = [handle for handle in notebook.page.query_selector_all(SLIDERS) if handle.is_visible()]
    return [Slider(notebook, handle, k + 1) for k, handle in enumerate(handles)]


def promised(cells):
    """{kind: number of sliders} that the saved outputs of some cells (as in a notebook file) speak of in words."""
    count = dict.fromkeys(SIGNS, 0)
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        plain = "".join(output.get("data", {}).get("text/plain", ""))
        for kind, sign in SIGNS.items():
            if found := sign.match(plain):
                count[kind] += len(found[1].split(", ")) if kind == "plane" else 1
    return count


def counted(found):
    """{kind: number} of sliders on the page."""
    return {kind: sum(slider.kind == kind for slider in found) for kind in SIGNS}


def settings(slider):
    """What the script of a frame slider or a plane was given: labels, names, and the sheets with all pictures."""
    name = re.search(r"\b(?:fs|lp)-[0-9a-f]{12}\b", slider.figure.get_attribute("class"))[0]
    for page in slider.notebook.js("return cells.flatMap(c => json(c).map(o => [o.data?.['text/html'] || ''].flat().join('')))"):
        if f'class="{name}' in page:
            return json.loads(PARAMETERS.search(page)[1])
    raise AssertionError(f"{slider.where}: no output of the notebook holds its pictures")


def tiles(sheet, w, h, columns, count):
    """The pictures of a sheet, in order."""
    whole = Image.open(io.BytesIO(base64.b64decode(sheet.split(",")[1]))).convert("RGBA")
    return [whole.crop((k % columns * w, k // columns * h, k % columns * w + w, k // columns * h + h)) for k in range(count)]


def digest(picture):
    """The name of a picture's pixels, the same as the page gives to those of a canvas."""
    return hashlib.sha256(picture.tobytes()).hexdigest()


def number_of(pixels, pictures):
    """Which frame some pixels are, for a sentence."""
    return f"those of frame {pictures.index(pixels)}" if pixels in pictures else "those of no frame"


# --- frame sliders -----------------------------------------------------------------------------------------------

class Frames:
    """A frame slider with everything it ought to show."""

    def __init__(self, slider):
        self.slider, p = slider, settings(slider)
        self.labels, self.names, self.n = p["labels"], p["names"], len(p["labels"])
        pictures = tiles(p["sheet"], p["w"], p["h"], p["columns"], self.n * len(self.names))
        self.pictures = [digest(picture) for picture in pictures]
        self.select = slider.figure.query_selector("select")

    def state(self):
        """What the figure shows, one painted frame later."""
        return self.slider.figure.evaluate(f"""async f => {{ {PIXELS} await painted();
            const c = f.querySelector('canvas'), r = f.querySelector('input[type=range]'), s = f.querySelector('select');
            return {{pixels: await sum(c), value: +r.value, option: s ? s.selectedIndex : 0, spoken: r.getAttribute('aria-valuetext'),
                said: f.querySelector('output')?.textContent, width: c.getBoundingClientRect().width}} }}""")

    def expect(self, value=None, option=0):
        """The figure shows, says and speaks one position; returns the position. value None: that of the handle."""
        now, where = self.state(), self.slider.where
        value = now["value"] if value is None else value
        assert (now["value"], now["option"]) == (value, option), (
            f"{where}: the handle is at position {now['value']} of choice {now['option']}, not at {value} of {option}")
        k = option * self.n + value
        assert now["pixels"] == self.pictures[k], f"{where}: at frame {k} the canvas shows {number_of(now['pixels'], self.pictures)}"
        words = [self.labels[value], *([self.names[option]] if self.select else [])]
        assert all(word in (now["spoken"] or "") for word in words), f"{where}: at {words} a screen reader hears {now['spoken']!r}"
        assert now["said"] == self.labels[value], f"{where}: at {self.labels[value]!r} it says {now['said']!r}"
        assert now["width"] > 40, f"{where}: the canvas is {now['width']} pixels wide on the page"
        return value


def frames_differ(frames):
    """At least three quarters of the frames differ from the one before, in every choice."""
    n, rows = frames.n, len(frames.names)
    same = sum(frames.pictures[r * n + k] == frames.pictures[r * n + k - 1] for r in range(rows) for k in range(1, n))
    assert n > 1 and same * 4 <= rows * (n - 1), f"{frames.slider.where}: {same} of {rows * (n - 1)} frames show the same picture as the one before"


def press_menu(frames, key):
    """One step in a menu by an arrow key. On macOS that opens the list instead, where Enter takes what is marked."""
    frames.slider.page.keyboard.press(key)
    if sys.platform == "darwin":
        frames.slider.page.keyboard.press(key)
        frames.slider.page.keyboard.press("Enter")


def by_choice(frames, walk):
    """Call walk(option) for every option of the menu, reached with the keyboard alone; for 0 where there is none."""
    if frames.select:
        frames.select.focus()
        for _ in frames.names:
            press_menu(frames, "ArrowUp")
    for option in range(len(frames.names)):
        if option:
            frames.select.focus()
            press_menu(frames, "ArrowDown")
        walk(option)


def frame_by_keyboard(slider):
    """Home, every step to End, and a step back, in every choice; Space starts and stops the film."""
    frames = Frames(slider)
    frames_differ(frames)
    slider.show()

    def walk(option):
        slider.key("Home")
        frames.expect(0, option)
        for value in range(1, frames.n):
            slider.key("ArrowRight")
            frames.expect(value, option)
        slider.key("ArrowRight")
        frames.expect(frames.n - 1, option)
        slider.key("ArrowLeft")
        frames.expect(frames.n - 2, option)
        slider.key("End")
        frames.expect(frames.n - 1, option)

    by_choice(frames, walk)
    play = frames.slider.figure.query_selector("button")
    plays(frames, len(frames.names) - 1, lambda: (play.focus(), slider.page.keyboard.press("Space")))
    return frames.n * len(frames.names)


def plays(frames, option, press):
    """At the last frame, the button starts the film anew, which goes on by itself; and stops it."""
    slider, name = frames.slider, frames.slider.figure.query_selector("button")
    press()
    assert name.get_attribute("aria-label").startswith("pause"), f"{slider.where}: the film does not start"
    try:
        slider.page.wait_for_function("f => +f.querySelector('input[type=range]').value >= 2", arg=slider.figure, timeout=5000)
    except Exception:
        raise AssertionError(f"{slider.where}: the film does not go on") from None
    press()
    before = frames.expect(option=option)
    slider.page.wait_for_timeout(300)
    assert frames.expect(option=option) == before or before == frames.n - 1, f"{slider.where}: the film does not stop"


def frame_by_mouse(slider):
    """Clicks along the track, a drag from one end to the other, every option of the menu, and the film's button."""
    frames = Frames(slider)
    slider.show()
    frames_differ(frames)
    for option, name in enumerate(frames.names):
        if frames.select:
            frames.select.select_option(index=option)
            frames.expect(option=option)
        drag_track(slider, functools.partial(frames.expect, option=option), frames.n)
    plays(frames, len(frames.names) - 1, slider.figure.query_selector("button").click)


def drag_track(slider, position, n):
    """Click at several places of the track of a range, and draw the handle from left to right. position(): checks, and tells it."""
    mouse, place = slider.page.mouse, lambda share: slider.point(share, inset=8)                # the handle is 16 pixels wide
    for share in (0.98, 0.5, 0.27, 0.75, 0.02):
        mouse.click(*place(share))
        at = position()
        assert abs(at - share * (n - 1)) <= 1, f"{slider.where}: a click at {share:.0%} of the track leads to position {at} of {n - 1}"
    mouse.move(*place(at / (n - 1)))
    mouse.down()
    seen = [position()]
    for share in np.linspace(0.1, 1, 10):
        mouse.move(*place(share))
        seen.append(position())
    mouse.up()
    assert seen == sorted(seen) and seen[-1] == n - 1 and len(set(seen)) >= min(n, 5), f"{slider.where}: drawn to the right, it goes {seen}"


# --- the plane of codes ------------------------------------------------------------------------------------------

class Plane:
    """One plane of codes: the handle is a canvas, and a second canvas shows the decoded picture."""

    def __init__(self, slider):
        p = settings(slider)
        which = slider.handle.evaluate("(e) => [...e.closest('div[class*=\"lp-\"]').querySelectorAll('[role=slider]')].indexOf(e)")
        self.slider, self.side, plane = slider, p["side"], p["planes"][which]
        self.start, self.pictures = plane["start"], [digest(t) for t in tiles(plane["sheet"], p["w"], p["h"], p["side"], p["side"] ** 2)]
        self.texts = [p["texts"][k] for k in plane["said"]]
        self.shown, self.spoken = None, None

    def expect(self, i=None, j=None):
        """The plane shows, and speaks, the picture of one point, (i, j) from the upper left; returns the point."""
        now = self.slider.handle.evaluate(f"""async c => {{ {PIXELS} await painted();
            const tile = c.parentElement.querySelector('canvas:not([role=slider])');
            return {{plane: await sum(c), tile: await sum(tile), value: +c.getAttribute('aria-valuenow'), spoken: c.getAttribute('aria-valuetext')}} }}""")
        k, where = now["value"], self.slider.where
        if i is not None:
            assert k == j * self.side + i, f"{where}: the point is at {(k % self.side, k // self.side)}, not at {(i, j)}"
        assert now["tile"] == self.pictures[k], f"{where}: at point {k} the picture shows {number_of(now['tile'], self.pictures)}"
        assert not self.texts or self.texts[k] in now["spoken"], f"{where}: at {self.texts[k]!r} a screen reader hears {now['spoken']!r}"
        if self.shown and self.shown[0] != k:
            assert self.shown[1:] != (now["plane"], now["spoken"]) and self.shown[1] != now["plane"], f"{where}: the point moves and its plane stays as it was"
            assert self.shown[2] != now["spoken"], f"{where}: the point moves and a screen reader hears {now['spoken']!r} again"
        self.shown = (k, now["plane"], now["spoken"])
        return k % self.side, k // self.side


def plane_by_keyboard(slider):
    """Home; to the left edge, along a whole row, along a whole column; large steps with shift; back with Home."""
    plane, last = Plane(slider), Plane(slider).side - 1
    slider.show()
    different = len(set(plane.pictures))
    assert different > len(plane.pictures) / 2, f"{slider.where}: {len(plane.pictures)} points show only {different} pictures"
    slider.key("Home")
    i, j = plane.expect(*plane.start)
    moves = [("ArrowLeft", -1, 0, i + 1), ("ArrowRight", 1, 0, last + 1), ("ArrowUp", 0, -1, j + 1), ("ArrowDown", 0, 1, last + 1),
             ("Shift+ArrowLeft", -4, 0, 3), ("Shift+ArrowUp", 0, -4, 3), ("Shift+ArrowRight", 4, 0, 2), ("Shift+ArrowDown", 0, 4, 2)]
    for key, x, y, times in moves:                                         # each goes one step too far, where there is an edge
        for _ in range(times):
            slider.key(key)
            i, j = min(max(i + x, 0), last), min(max(j + y, 0), last)
            plane.expect(i, j)
    slider.key("Home")
    plane.expect(*plane.start)
    return sum(times for *_, times in moves)


def plane_by_mouse(slider):
    """Clicks at several places, and a drag across the plane and out of it."""
    plane, mouse = Plane(slider), slider.page.mouse
    slider.show()
    n = plane.side

    def near(x, y, does):
        does(*slider.point(x, y))
        i, j = plane.expect()
        wanted = min(max(x * n, 0), n - 1), min(max(y * n, 0), n - 1)
        assert abs(i - wanted[0]) <= 1 and abs(j - wanted[1]) <= 1, f"{slider.where}: the mouse at {wanted} leads to the point {(i, j)}"

    for x, y in ((0.1, 0.1), (0.9, 0.2), (0.5, 0.5), (0.3, 0.9)):
        near(x, y, mouse.click)
    mouse.down()
    for x, y in ((0.35, 0.8), (0.5, 0.6), (0.7, 0.3), (0.95, 0.1), (1.2, -0.1)):
        near(x, y, lambda a, b: mouse.move(a, b, steps=3))
    mouse.up()
    plane.expect(n - 1, 0)
    mouse.move(*slider.point(0.2, 0.2))
    plane.expect(n - 1, 0)                                                 # let go: it stays


# --- sliders that ask the kernel ---------------------------------------------------------------------------------

class Live:
    """A live slider: what it says and the picture as it is painted."""

    def __init__(self, slider):
        self.slider, self.page = slider, slider.page
        self.image = slider.figure.query_selector("img")
        self.select = slider.figure.query_selector("select")
        self.options = self.select.evaluate("s => [...s.options].map(o => o.textContent)") if self.select else [""]
        self.seen = {}                                                     # (option, value): the picture

    def value(self):
        """The handle's position, and how many there are."""
        return self.slider.handle.evaluate("""e => { const n = k => Number(e.getAttribute(k)); return [n('aria-valuenow'), n('aria-valuemax')] }""")

    def said(self):
        """The text beside the handle."""
        return self.slider.figure.evaluate("f => (f.querySelector('.ddpm-value') || f.querySelector('.widget-label:not(:has(+ *)):not([style*=none])')).innerText")

    def painted(self):
        """The picture as it stands on the screen."""
        return screen(self.image)

    def rest(self):
        """Wait until the kernel has answered everything; returns what is then painted."""
        self.page.wait_for_timeout(300)
        self.slider.notebook.idle()
        self.image.evaluate("i => i.decode()")
        return self.painted()

    def changed(self, before, what):
        """Wait until something else is painted than before, and it stays; returns it."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            now = self.painted()
            if different(now, before):
                return now
            self.page.wait_for_timeout(20)
        raise AssertionError(f"{self.slider.where}: the picture did not change {what}")

    def settles(self, wanted, what):
        """Wait until what is painted is a picture seen before."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if not different(self.painted(), wanted):
                return
            self.page.wait_for_timeout(20)
        raise AssertionError(f"{self.slider.where}: the same position shows another picture {what}")


def screen(element):
    """An element as it is painted on the screen."""
    return Image.open(io.BytesIO(element.owner_frame().page.screenshot(clip=element.bounding_box()))).convert("RGB")


def different(a, b):
    """Whether two pictures of the screen differ by more than the rounding of a pixel here and there."""
    return a.size != b.size or np.asarray(ImageChops.difference(a, b)).max() > 8


def live_by_keyboard(slider):
    """Every position with the arrow keys: each key changes the painted picture and the words. Back again: the same pictures."""
    live = Live(slider)
    slider.show()
    live.page.wait_for_function("i => i.complete && i.naturalWidth > 20", arg=live.image)
    last = int(live.value()[1])
    slider.key("Home")
    picture = live.rest()
    words = [live.said()]
    live.seen[0, 0] = picture
    for value in range(1, last + 1):
        slider.key("ArrowRight")
        picture = live.changed(picture, f"with the arrow key at position {value}")
        assert live.value()[0] == value, f"{slider.where}: the arrow key leads to {live.value()[0]}, not {value}"
        live.page.wait_for_function("([f, was]) => (f.querySelector('.ddpm-value') || f.querySelector('.widget-label:not(:has(+ *)):not([style*=none])')).innerText !== was",
                                    arg=[slider.figure, words[-1]], timeout=1000 * PATIENCE)
        words.append(live.said())
        live.seen[0, value] = picture
    assert len(set(words)) == last + 1, f"{slider.where}: {last + 1} positions, and only {len(set(words))} texts beside the handle"
    for value in range(last - 1, last - 4, -1):
        slider.key("ArrowLeft")
        live.settles(live.seen[0, value], f"on the way back to position {value}")
    slider.key("Home")
    live.settles(live.seen[0, 0], "after Home")
    slider.key("End")
    live.settles(live.seen[0, last], "after End")
    slider.key("PageDown")                                                 # somewhere in the middle, where the options differ
    picture = live.changed(live.seen[0, last], "with PageDown")
    for option, name in list(enumerate(live.options))[1:]:
        live.select.focus()
        live.page.keyboard.press("ArrowDown")
        picture = live.changed(picture, f"with the choice {name!r}")
    for _ in live.options[1:]:
        live.select.focus()
        live.page.keyboard.press("ArrowUp")
    live.rest()
    slider.key("Home")
    live.settles(live.seen[0, 0], "after Home")
    return last + 1


def live_by_mouse(slider):
    """Clicks along the track and a drag: position, words and picture go along; the menu by mouse."""
    live, mouse = Live(slider), slider.page.mouse
    slider.show()
    last = int(live.value()[1])
    slider.key("Home")
    picture, text = live.rest(), live.said()
    place = slider.point
    for share in (0.9, 0.5, 0.25, 0.75):
        mouse.click(*place(share))
        picture = live.changed(picture, f"with a click at {share:.0%} of the track")
        at = live.value()[0]
        assert abs(at - share * last) <= 2, f"{slider.where}: a click at {share:.0%} of the track leads to position {at} of {last}"
        assert live.said() != text, f"{slider.where}: at position {at} the text beside the handle is still {text!r}"
        text = live.said()
    mouse.move(*place(at / last))
    mouse.down()
    seen = []
    for share in (0.6, 0.4, 0.2, 0.0):
        mouse.move(*place(share), steps=4)
        picture = live.changed(picture, f"while the handle is drawn to {share:.0%}")
        seen.append(live.value()[0])
    mouse.up()
    picture = live.rest()
    assert seen == sorted(seen, reverse=True) and seen[-1] == 0, f"{slider.where}: drawn to the left, it goes {seen}"
    if live.select:
        mouse.click(*place(0.5))
        picture = live.changed(picture, "with a click in the middle")
        for option in [*range(1, len(live.options)), 0]:
            live.select.select_option(index=option)
            picture = live.changed(picture, f"with the choice {live.options[option]!r}")


KEYBOARD = {"frame": frame_by_keyboard, "plane": plane_by_keyboard, "live": live_by_keyboard}
MOUSE = {"frame": frame_by_mouse, "plane": plane_by_mouse, "live": live_by_mouse}


def names(found):
    """Every handle has a name, and no two have the same."""
    spoken = [slider.name() for slider in found]
    for slider, name in zip(found, spoken):
        assert len(name) > 2, f"{slider.where}: a screen reader hears no name, only {name!r}"
        assert spoken.count(name) == 1, f"{slider.where}: {spoken.count(name)} sliders of the notebook have the name {name!r}"


def quiet(notebook):
    """No cell failed, the page did not complain, and nothing outside was asked for."""
    assert not notebook.cell_errors(), f"{notebook.name}: a cell failed: {notebook.cell_errors()}"
    assert not notebook.errors, f"{notebook.name}: the page complains: {notebook.errors}"
    assert not notebook.outside, f"{notebook.name}: asked for from outside: {sorted(set(notebook.outside))}"


# --- the reader's own picture ------------------------------------------------------------------------------------

def picture_file(seed, kind="png", size=(120, 90)):
    """The bytes of a picture of coloured patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(patches).resize(size, Image.NEAREST).save(file, kind)
    return file.getvalue()


def choose(notebook, button, name, data):
    """Press the button, and choose a file as the reader does."""
    file = notebook.lab.root / name
    file.write_bytes(data)
    with notebook.page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files(file)


def upload(notebook, button, sentence=None):
    """A real file, broken ones, huge ones, and a real one again: what is said, and which picture stands there."""
    whole = button.evaluate_handle("e => e.closest('.widget-vbox')").as_element()
    at = lambda: whole.query_selector("img")

    def says(text):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            heard = html.unescape(whole.inner_text())
            if text in heard:
                return
            notebook.page.wait_for_timeout(50)
        raise AssertionError(f"{notebook.name}: after the upload there is no {text!r} beside the button, only {heard[:300]!r}")

    def painted():
        notebook.idle()
        at().scroll_into_view_if_needed()
        notebook.page.wait_for_function("i => i.complete && i.naturalWidth > 20", arg=at())
        return screen(at())

    def changes(before, words):
        until = time.monotonic() + PATIENCE
        while not different(before, painted()):
            assert time.monotonic() < until, f"{notebook.name}: {words}"
            notebook.page.wait_for_timeout(100)
        notebook.page.wait_for_timeout(200)
        return painted()

    first = painted()
    choose(notebook, button, "mine.png", picture_file(1))
    says("mine.png")
    mine = changes(first, "a picture was uploaded, and the old one is still there")
    refused = {"broken.png": (picture_file(2)[:150], "broken.png is damaged"), "words.png": (b"these are words, not pixels", "words.png is not a picture"),
               "wide.png": (blank(8000, 7000), "wide.png has more than 50 million pixels"),
               "huge.png": (blank(8000, 7000) + bytes(20_000_000), "huge.png has 20.0 MB")}
    for name, (data, words) in refused.items():
        choose(notebook, button, name, data)
        says(words)
        notebook.page.wait_for_timeout(200)
        assert not different(painted(), mine), f"{notebook.name}: {name} was refused, and the earlier picture did not stay"
    choose(notebook, button, "after.jpg", picture_file(4, "jpeg"))
    says("after.jpg")
    changes(mine, "after the refused files a real one no longer works")


def blank(width, height):
    """A small file with very many pixels."""
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "png")
    return file.getvalue()
