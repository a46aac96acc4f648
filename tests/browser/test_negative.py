"""The checks of moving.py find what they are there for: each fault is planted once, and found with its own sentence."""
import moving
import pytest

IMPORTS = '''\
import numpy as np
from IPython.display import HTML, Javascript, display
from ddpm_lib.course import live_slider
from ddpm_lib.course.explore import frame_slider
grey = lambda k: np.full((40, 60), k / 8)
alt = "A grey area that grows brighter."
frames = lambda n=6, shade=grey, name="step k": frame_slider([shade(k) for k in range(n)], alt=alt, slider=name)
def broken(old, new):
    """A good slider with one place of its script changed."""
    text = frames().html
    assert old in text, old
    display({"text/html": text.replace(old, new), "text/plain": "[slider over 6 frames: grey]"}, raw=True)'''
LIVE = 'live_slider({}, range(9), label="t", alt=alt)'


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(moving, "PATIENCE", 4)


@pytest.fixture(scope="module")
def small(browser, lab):
    """small(source): an open notebook whose second cell was run with this source, after IMPORTS in the first."""
    from driver import open_notebook
    with open_notebook(browser, lab, lab.write("small.ipynb", IMPORTS, "pass")) as notebook:
        notebook.run_cell(0)

        def run(source):
            notebook.errors.clear()
            notebook.outside.clear()
            notebook.set_source(1, source)
            notebook.run_cell(1)
            return notebook
        yield run


def only(notebook, kind):
    """The one slider of a notebook, once it is on the page."""
    notebook.page.wait_for_selector(moving.SLIDERS.split(", ")[0] if kind == "frame" else ".noUi-handle, .ui-slider-handle")
    (slider,) = moving.on_page(notebook)
    assert slider.kind == kind
    return slider


def test_good_sliders_pass(small):
    notebook = small("frames()")
    assert moving.frame_by_keyboard(only(notebook, "frame")) == 6
    moving.frame_by_mouse(only(notebook, "frame"))
    notebook = small(LIVE.format("grey"))
    assert moving.live_by_keyboard(only(notebook, "live")) == 9
    moving.live_by_mouse(only(notebook, "live"))
    moving.quiet(notebook)


@pytest.mark.parametrize("move", [moving.live_by_keyboard, moving.live_by_mouse])
def test_a_live_slider_with_a_constant_picture(small, move):
    with pytest.raises(AssertionError, match="the picture did not change with"):
        move(only(small(LIVE.format("lambda t: grey(3)")), "live"))


def test_a_live_slider_that_shows_another_picture_on_the_way_back(small):
    with pytest.raises(AssertionError, match="the same position shows another picture on the way back"):
        moving.live_by_keyboard(only(small("rng = np.random.default_rng(0)\n" + LIVE.format("lambda t: rng.random((40, 60))")), "live"))


@pytest.mark.parametrize("move", [moving.frame_by_keyboard, moving.frame_by_mouse])
def test_constant_frames(small, move):
    with pytest.raises(AssertionError, match="5 of 5 frames show the same picture as the one before"):
        move(only(small("frames(shade=lambda k: grey(3))"), "frame"))


@pytest.mark.parametrize("move", [moving.frame_by_keyboard, moving.frame_by_mouse])
@pytest.mark.parametrize("old, new, sentence", [
    ("range.oninput = draw", "range.oninput = () => setTimeout(draw, 400)", r"at frame \d the canvas shows those of frame \d"),      # it lags
    ("range.oninput = draw", "range.oninput = null", r"at frame \d the canvas shows those of frame \d"),
    ("const x = k %", "const x = (k >> 1) %", r"at frame \d the canvas shows those of frame \d"),
    ("said.textContent = text", "said.textContent = P.labels[0]", "it says '0'"),
    ("range.setAttribute('aria-valuetext', full)", "range.setAttribute('aria-valuetext', 'some')", "a screen reader hears 'some'"),
    ("timer = setInterval(step, P.ms)", "timer = 7", "the film does not go on"),
])
def test_a_broken_frame_slider(small, move, old, new, sentence):
    with pytest.raises(AssertionError, match=sentence):
        move(only(small(f"broken({old!r}, {new!r})"), "frame"))


@pytest.mark.parametrize("decode, sentence", [
    ("(codes[:, :1, None] * 0.3 + codes[:, 1:, None] * 0.07 + 0.5) * np.ones((1, 4, 4))", ""),
    ("np.ones((len(codes), 4, 4)) / 2", "49 points show only 1 pictures"),
])
def test_a_plane_of_codes(small, decode, sentence):
    notebook = small("from ddpm_lib.course.explore import latent_plane\nrng = np.random.default_rng(0)\n"
                     f"latent_plane({{'AE': (rng.uniform(-1, 1, (40, 2)), lambda codes: {decode})}}, list(range(4)) * 10, side=7, alt=alt)")
    notebook.page.wait_for_selector("canvas[role=slider]")
    (slider,) = moving.on_page(notebook)
    if sentence:
        with pytest.raises(AssertionError, match=sentence):
            moving.plane_by_keyboard(slider)
    else:
        assert moving.plane_by_keyboard(slider) > 20
        moving.plane_by_mouse(slider)


def test_keys_that_the_page_takes(small):
    with pytest.raises(AssertionError, match="the handle is at position 0 of choice 0, not at 1 of 0"):
        moving.frame_by_keyboard(only(small('broken("event => event.stopPropagation()", "event => event.preventDefault()")'), "frame"))


def test_an_outside_request(small):
    notebook = small('HTML("<img src=\'https://example.org/picture.png\'>")')
    notebook.page.wait_for_timeout(300)
    with pytest.raises(AssertionError, match="asked for from outside: .'https://example.org/picture.png'"):
        moving.quiet(notebook)


def test_a_page_error(small):
    notebook = small('Javascript("setTimeout(() => { throw new Error(\'planted\') })")')
    notebook.page.wait_for_timeout(300)
    with pytest.raises(AssertionError, match="the page complains: .*planted"):
        moving.quiet(notebook)


def test_a_cell_error(small):
    with pytest.raises(AssertionError, match=r"a cell failed: \[\(1, 'ZeroDivisionError"):
        moving.quiet(small("1 / 0"))


def test_a_slider_that_is_missing(small):
    notebook = small('display({"text/html": "<p>nothing</p>", "text/plain": "[slider over 6 frames: grey]"}, raw=True)')
    assert moving.promised([{"outputs": notebook.outputs(1)}]) == {"frame": 1, "plane": 0, "live": 0} != moving.counted(moving.on_page(notebook))


def test_two_sliders_with_one_name(small):
    notebook = small("display(frames(), frames(7))")
    with pytest.raises(AssertionError, match="2 sliders of the notebook have the name 'step k'"):
        moving.names(moving.on_page(notebook))
    notebook = small("display(frames(), frames(7, name='step n'))")
    moving.names(moving.on_page(notebook))
