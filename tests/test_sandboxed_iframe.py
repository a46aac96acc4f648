"""The scripted figures inside a sandboxed iframe, which is how Colab shows an output: they need nothing from the page around."""
import html

import numpy as np
import pytest

from ddpm_lib.course import frame_slider
from ddpm_lib.course.explore import latent_plane

PIXELS = """c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let h = 0;
 for (let i = 0; i < d.length; i++) h = (h * 31 + d[i]) | 0; return h; }"""


def slider(constant=False):
    rng = np.random.default_rng(0)
    frames = [np.full((16, 64), 0.5) if constant else rng.random((16, 64)) * k / 5 for k in range(6)]
    return frame_slider(frames, [f"</script> {k}" for k in range(6)], alt='noise that grows "brighter" </script>', zoom=3)


def plane():
    codes = np.random.default_rng(0).normal(size=(20, 2))
    return latent_plane({"one": (codes, lambda z: np.repeat(1 / (1 + np.exp(-z)), 8, 0).reshape(-1, 4, 4))}, list(range(10)) * 2,
                        alt="Twenty codes in a plane, and the picture at the point.")


@pytest.fixture
def sandboxed(browser):
    """A function that shows a page in a sandboxed iframe: (page, frame); page.wrong lists complaints and requests."""
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.wrong.append(message.text))
    page.on("request", lambda request: request.url.startswith(("data:", "blob:", "about:")) or page.wrong.append(request.url[:200]))

    def show(*parts):
        page.set_content(f'<iframe sandbox="allow-scripts" width=850 height=650 srcdoc="{html.escape("".join(parts), True)}"></iframe>')
        return page, page.frame_locator("iframe")

    yield show
    page.close()


def pixels(canvas, before=None):
    """A number made of the pixels of a canvas; waits until it is another one than before."""
    for _ in range(60):
        now = canvas.evaluate(PIXELS)
        if now != before:
            return now
        canvas.page.wait_for_timeout(50)
    raise AssertionError("the picture did not change")


def move(page, frame):
    """Move a frame slider by keyboard, by mouse and by its button; the pixels change each time."""
    canvas, handle = frame.locator("canvas"), frame.locator("input[type=range]")
    handle.wait_for()
    first = pixels(canvas, 0)
    handle.focus()
    page.keyboard.press("ArrowRight")
    second = pixels(canvas, first)
    assert handle.input_value() == "1" and handle.get_attribute("aria-valuetext").startswith("</script> 1")
    box = handle.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    third = pixels(canvas, second)
    assert handle.input_value() == "5"
    page.keyboard.press("Home")
    pixels(canvas, third)
    frame.locator("button").click()
    page.wait_for_timeout(400)
    frame.locator("button").click()
    assert int(handle.input_value()) > 0                       # it played


def test_the_frame_slider_moves(sandboxed):
    page, frame = sandboxed(slider().html)
    move(page, frame)
    assert page.wrong == []


def test_a_slider_without_effect_fails(sandboxed):
    """Negative control of the test above."""
    page, frame = sandboxed(slider(constant=True).html)
    with pytest.raises(AssertionError, match="did not change"):
        move(page, frame)


def test_two_equal_sliders_move_apart(sandboxed):
    page, frame = sandboxed(slider().html, slider().html)
    frame.locator("input[type=range]").nth(1).wait_for()
    pixels(frame.locator("canvas").first, 0)
    first = [pixels(frame.locator("canvas").nth(k)) for k in range(2)]
    frame.locator("input[type=range]").nth(1).focus()
    page.keyboard.press("End")
    pixels(frame.locator("canvas").nth(1), first[1])
    assert pixels(frame.locator("canvas").first) == first[0] and frame.locator("input[type=range]").first.input_value() == "0"
    assert page.wrong == []


def test_the_plane_follows_keyboard_and_mouse(sandboxed):
    page, frame = sandboxed(plane().html)
    point, picture = frame.locator("canvas[role=slider]"), frame.locator("canvas[role=img]")
    point.wait_for()
    first = pixels(picture, 0)
    point.focus()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    second = pixels(picture, first)
    box = point.bounding_box()
    page.mouse.click(box["x"] + 15, box["y"] + 15)
    pixels(picture, second)
    assert page.wrong == []
