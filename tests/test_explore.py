"""Sliders, stills, uploads and the live loss: what is in them, how large they are, and what they say when they fail."""
import base64
import io
import json
import re
import signal
import struct
import time
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_lib.course import explore
from ddpm_lib.course.explore import (
    OUTPUT_LIMIT,
    FrameSlider,
    LiveLoss,
    LiveSlider,
    PictureUpload,
    fig_frames,
    frame_slider,
    picture_from_bytes,
    show,
    to_image,
    uploaded,
)


def settings(slider):
    """The parameters inside the script of a slider."""
    text = re.search(r"\}\)\((\{.*\})\)</script>", slider.html, re.DOTALL)[1]
    return json.loads(text)


def sheet(slider):
    """The sprite sheet inside a slider, as a picture."""
    return Image.open(io.BytesIO(base64.b64decode(settings(slider)["sheet"].split(",")[1]))).convert("RGB")


def flat(n=5, size=(4, 6)):
    return [np.full(size, k / max(1, n - 1)) for k in range(n)]


def noise(n, size, seed=0):
    rng = np.random.default_rng(seed)
    return [np.clip(rng.normal(0.5, 0.3, size), 0, 1) for _ in range(n)]


# --- frame_slider

def test_the_sheet_holds_every_frame_in_order():
    slider = frame_slider(flat(5), [f"t = {k}" for k in range(5)], alt="five shades of grey, dark to light")
    p, image = settings(slider), sheet(slider)
    for k in range(5):
        pixel = image.getpixel((k % p["columns"] * p["w"], k // p["columns"] * p["h"]))
        assert pixel == (round(k / 4 * 255),) * 3
    assert p["labels"] == [f"t = {k}" for k in range(5)] and (p["w"], p["h"]) == (6, 4)


def test_choices_are_rows_of_one_sheet():
    frames = {"linear": flat(3), "cosine": flat(3)[::-1]}
    slider = frame_slider(frames, alt="two orders of grey", choice="schedule")
    p, image = settings(slider), sheet(slider)
    assert p["names"] == ["linear", "cosine"] and p["choice"] == "schedule"
    shades = [image.getpixel((k % p["columns"] * p["w"], k // p["columns"] * p["h"]))[0] for k in range(6)]
    assert shades == [0, 128, 255, 255, 128, 0]


def test_the_slider_speaks_and_leaves_a_line_where_scripts_are_removed():
    page = frame_slider(flat(), alt="shades of grey", slider="step t").html
    for words in ("aria-label", "aria-valuetext", "data-lm-suppress-shortcuts", "'play'", '"step t"', "name + ': ' + P.slider",
                  "'aria-live': 'off'", "P.alt.replace(/[.]?$/, '.') + ' Shown: '", "A slider over 5 frames belongs here"):
        assert words in page, words
    assert "http" not in page                                  # nothing is loaded from anywhere


def test_same_content_same_bytes_and_different_content_another_name():
    one, two = (frame_slider(flat(), alt="grey") for _ in range(2))
    assert one.html == two.html and one.montage == two.montage
    assert settings(one)["id"] != settings(frame_slider(flat(4), alt="grey"))["id"]


def test_text_cannot_end_the_script():
    page = frame_slider(flat(2), ["</script><b>", "<!-- <script>"], alt='a "grey" </script>').html
    assert page.count("</script>") == 1 and "<!--" not in page


@pytest.mark.parametrize("frames, labels, words", [
    ([], None, "at least one frame"),
    ({}, None, "at least one frame"),
    (flat(3), ["a", "b"], "got 2 labels for 3 frames"),
    ([np.zeros((4, 4)), np.zeros((5, 4))], None, "all frames must have one size"),
    ({"a": flat(3), "b": flat(4)}, None, r"same number of frames, got \[3, 4\]"),
    ([np.zeros((2, 3, 4, 5))], None, r"shape \(H, W\)"),
])
def test_what_does_not_fit_is_refused(frames, labels, words):
    with pytest.raises(ValueError, match=words):
        frame_slider(frames, labels, alt="grey")


def test_start_must_be_a_frame():
    with pytest.raises(ValueError, match=r"start must be in 0\.\.4, got 5"):
        frame_slider(flat(), alt="grey", start=5)


@pytest.mark.parametrize("frames", [
    noise(21, (96, 96, 3)),
    {name: noise(11, (64, 64, 3), seed) for seed, name in enumerate(("linear", "cosine", "sigmoid"))},
    noise(40, (96, 96)),
], ids=["colour", "choices", "grey"])
def test_noise_stays_within_a_saved_output(frames):
    slider = frame_slider(frames, alt="noise of many kinds", zoom=2)
    assert len(slider.html) < OUTPUT_LIMIT and len(slider.montage) * 4 / 3 < OUTPUT_LIMIT


def test_few_colours_are_kept_exactly():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 2, (40, 40, 3), dtype=np.uint8) * 255  # 8 colours
    small = explore.compact(to_image(a))
    assert small.mode == "P" and (np.asarray(small.convert("RGB")) == a).all()


def test_limit_reduces_colours_and_no_more():
    def sheet(limit):
        data = settings(frame_slider(noise(6, (40, 40, 3)), alt="noise", limit=limit))["sheet"]
        return base64.b64decode(data.removeprefix("data:image/png;base64,"))

    assert len(sheet(12_000)) <= 12_000 < len(sheet(100_000)) <= 100_000
    assert len(Image.open(io.BytesIO(sheet(12_000))).getcolors()) > 16


def test_the_montage_shows_stills_of_every_choice():
    one = Image.open(io.BytesIO(FrameSlider(flat(20, (32, 32)), alt="grey").montage))
    two = Image.open(io.BytesIO(FrameSlider({"a": flat(20, (32, 32)), "b": flat(20, (32, 32))}, alt="grey").montage))
    assert one.width <= explore.PAGE_WIDTH and two.height > 1.8 * one.height


def test_fig_frames_draws_each_value_with_axes_that_stay():
    plt = pytest.importorskip("matplotlib.pyplot")
    fig, ax = plt.subplots(figsize=(2, 1))
    line, = ax.plot([0, 1], [0, 0])
    ax.set_ylim(0, 1)
    frames = fig_frames(fig, lambda v: line.set_ydata([v, v]), [0.2, 0.8], dpi=50)
    assert [frame.shape for frame in frames] == [(50, 100, 3)] * 2 and (frames[0] != frames[1]).any()
    assert not plt.fignum_exists(fig.number)


# --- show

def test_show_saves_the_alternative_text(monkeypatch):
    import IPython.display
    import matplotlib.pyplot as plt
    seen = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **options: seen.append((data, options)))
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    show(fig, "One line that rises from 1 to 2.")
    data, options = seen[0]
    assert options["metadata"] == {"image/png": {"alt": "One line that rises from 1 to 2."}}
    assert data["text/plain"] == "[One line that rises from 1 to 2.]" and data["image/png"].startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="what is to be seen"):
        show(fig, "a line")


# --- live_slider

def ramp(value, option="up"):
    if value == 13:
        raise ZeroDivisionError("no <13>, please")
    return np.full((4, 4), value / 20 if option == "up" else 1 - value / 20)


def test_live_slider_changes_one_picture_and_shows_errors():
    live = LiveSlider(ramp, [0, 10, 20, 13], label="t", alt="a square that becomes white", static=False)
    first, image = live.image.value, live.image
    live.slider.value = 2
    assert live.image is image and live.image.value != first and live.readout.value == "20"
    live.slider.value = 3
    assert "ZeroDivisionError: no &lt;13&gt;, please" in live.message.value and live.image.value != first
    live.slider.value = 0
    assert live.message.value == "" and live.image.value == first


def test_live_slider_with_a_menu():
    live = LiveSlider(ramp, [0, 20], label="t", alt="a square, one way or the other", choices={"way": ["up", "down"]})
    dark = live.image.value
    live.dropdown.value = "down"
    assert live.image.value != dark and live.montage.startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="start must be in"):
        LiveSlider(ramp, [0, 1], label="t", alt="square", start=2)


# --- upload_picture

def png(image, kind="png", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_picture_becomes_a_tensor():
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, 10, 20))                   # outside the middle square
    x_0 = picture_from_bytes(png(image), "red.png", 8)
    assert x_0.shape == (1, 3, 8, 8) and x_0.dtype == torch.float32
    assert torch.equal(x_0[0, :, 4, 4], torch.tensor([1.0, -1.0, -1.0])) and x_0[0, 2].mean() < -0.95


def test_the_camera_may_have_been_turned():
    image = Image.new("RGB", (16, 16), "black")
    image.paste("white", (0, 0, 16, 8))                        # white above
    exif = Image.Exif()
    exif[0x0112] = 3                                           # upside down
    x_0 = picture_from_bytes(png(image, "jpeg", exif=exif, quality=95), "turned.jpg", 16)
    assert x_0[0, :, 2].mean() < -0.9 and x_0[0, :, 13].mean() > 0.9


@pytest.mark.parametrize("image, value", [
    (Image.new("RGBA", (9, 9), (0, 0, 0, 0)), 1.0),            # transparent: white
    (Image.new("LA", (9, 9), (0, 0)), 1.0),
    (Image.new("L", (9, 9), 255), 1.0),
    (Image.new("1", (9, 9), 0), -1.0),
    (Image.fromarray(np.full((9, 9), 65535, np.uint16)), 1.0),
], ids=["RGBA", "LA", "grey", "bits", "16 bits"])
def test_every_kind_of_picture(image, value):
    x_0 = picture_from_bytes(png(image), "some.png", 4)
    assert x_0.shape == (1, 3, 4, 4) and torch.allclose(x_0, torch.tensor(value))


def bomb(width=60_000, height=60_000):
    """A PNG of a few bytes that announces 3,600 million pixels."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))


GOOD = png(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)))


@pytest.mark.parametrize("data, words", [
    (b"", "is not a picture that can be read"),
    (b"PK\x03\x04 a zip file", "is not a picture that can be read"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "is not a picture that can be read"),
    (GOOD[:1500], "is damaged"),
    (bomb(), "has more than 50 million pixels"),
    (bomb(10_000, 9_000), "has more than 50 million pixels"),
    (b"x" * 10_000_001, "has 10.0 MB, and 10 MB is the most"),
], ids=["empty", "zip", "eps", "cut off", "bomb", "large", "long"])
def test_a_bad_file_is_named_in_one_sentence(data, words):
    with pytest.raises(ValueError) as caught:
        picture_from_bytes(data, "holiday.png")
    text = str(caught.value)
    assert text.startswith("holiday.png ") and words in text and text.endswith(".") and "\n" not in text


def test_both_generations_of_ipywidgets():
    assert uploaded({}) is None and uploaded(()) is None
    assert uploaded({"a.png": {"metadata": {}, "content": b"1"}}) == ("a.png", b"1")
    assert uploaded(({"name": "a.png", "content": memoryview(b"1")},)) == ("a.png", b"1")


class Change:
    """Stands for the FileUpload button."""

    def __init__(self, name, data):
        self.value = ({"name": name, "content": data},)


def test_the_earlier_picture_stays_when_a_file_is_bad():
    def on_picture(x_0):
        return LiveSlider(lambda t: (x_0[0].permute(1, 2, 0).numpy() + 1) / 2, [0, 1], label="t", alt="your picture")
    upload = PictureUpload(on_picture, label="Choose", max_bytes=10 ** 6, size=8, first=torch.zeros(1, 3, 8, 8))
    for name, data, kept in (("good.png", GOOD, False), ("bad<b>.png", b"nothing", True)):
        before, upload.button = upload.body.children, Change(name, data)
        upload._changed(None)
        assert (upload.body.children == before) is kept
    assert "bad&lt;b&gt;.png is not a picture that can be read" in upload.status.value


# --- LiveLoss

def test_live_loss_prints_one_line(capsys):
    with LiveLoss(4) as live:
        for loss in (1.0, 0.5, 0.25, 0.125):
            live.step(loss)
    out = capsys.readouterr().out
    assert live.losses == [1.0, 0.5, 0.25, 0.125] and out.count("\n") == 1
    assert re.fullmatch(r"\[#{24}\] 4/4, loss 0\.9\d+, 0 s\n", out)


def test_live_loss_says_that_it_was_stopped_and_passes_it_on(capsys):
    with pytest.raises(KeyboardInterrupt), LiveLoss(4, title="L") as live:
        live.step(torch.tensor(2.0))
        raise KeyboardInterrupt
    assert re.fullmatch(r"\[#{6} {18}\] 1/4, L 2\.0000, 0 s, stopped\n", capsys.readouterr().out)
    with pytest.raises(ZeroDivisionError), LiveLoss(4):
        1 / 0                                                  # noqa: B018
    assert capsys.readouterr().out.endswith("0/4, 0 s, stopped: ZeroDivisionError\n")


@pytest.fixture
def in_a_kernel(monkeypatch):
    """LiveLoss as in a notebook, its displays thrown away; the handler of SIGINT is as before afterwards."""
    import IPython.display

    from ddpm_lib.course import explore
    monkeypatch.setattr(explore, "in_kernel", lambda: True)
    monkeypatch.setattr(IPython.display, "display", lambda *args, **kwargs: type("Handle", (), {"update": lambda *a, **k: None})())
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)     # pytest may run in the background, where it is ignored
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, outside)


def small_training(steps, stop_at=None):
    """Four numbers that are trained; the stop button is pressed in the middle of step stop_at. Returns them, and the LiveLoss."""
    w = torch.nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.Adam([w], lr=0.1)
    with LiveLoss(steps, plot=False) as live:
        for step in range(1, steps + 1):
            loss = (w - 1).square().sum()
            optimizer.zero_grad()
            loss.backward()
            if step == stop_at:
                signal.raise_signal(signal.SIGINT)             # between backward() and step(): half a step
            optimizer.step()
            live.step(loss.item())
    return w.detach().clone(), live


def test_the_stop_button_ends_a_training_after_a_whole_step(in_a_kernel, capsys):
    stopped, live = small_training(50, stop_at=7)
    assert len(live.losses) == 7 and live.stopped
    assert capsys.readouterr().out == (
        "You stopped after step 7 of 50. What was learned until then is kept, and the cells below work with it.\n"
        "To train to the end, run this cell again; where a cell above makes the network, run that one first.\n")
    seven, whole = small_training(7)
    assert not whole.stopped
    assert torch.equal(stopped, seven) and not torch.equal(stopped, torch.zeros(4)) and capsys.readouterr().out == ""


def test_pressed_twice_it_stops_at_once(in_a_kernel, capsys):
    with LiveLoss(5, plot=False) as live:
        live.step(1.0)
        signal.raise_signal(signal.SIGINT)
        assert not live.losses[1:]
        signal.raise_signal(signal.SIGINT)
        live.step(2.0)
    assert live.losses == [1.0] and "You stopped after step 1 of 5." in capsys.readouterr().out


def test_slow_steps_are_not_waited_for(in_a_kernel, capsys):
    with LiveLoss(5, plot=False) as live:
        live._begin -= 30                                      # half a minute without a step
        signal.raise_signal(signal.SIGINT)
        live.step(1.0)
    assert live.losses == [] and "You stopped after step 0 of 5." in capsys.readouterr().out


def test_other_errors_pass_and_the_stop_button_works_as_before_afterwards(in_a_kernel, capsys):
    with pytest.raises(ZeroDivisionError), LiveLoss(5, plot=False):
        1 / 0                                                  # noqa: B018
    assert "You stopped" not in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("losses", [[], [0.0], [float("nan")], [float("inf"), 1.0], [1e-9], [-1.0, -2.0]], ids=str)
@pytest.mark.parametrize("log", [True, False])
def test_live_loss_draws_every_kind_of_loss(losses, log):
    live = LiveLoss(3, log=log)
    live._average, live.losses = (losses[-1] if losses else None), losses
    live._draw_axes()
    bundle = live._bundle()
    assert bundle["image/png"].startswith(b"\x89PNG") and len(live._metadata()["image/png"]["alt"]) > 20
    assert live._metadata()["image/png"]["alt"].startswith("Loss against step, " if losses else "An empty loss curve")


# --- the environment

def test_the_environment_is_checked_in_one_sentence():
    from ddpm_lib.course.setup import check_environment, version_key
    assert check_environment()["numpy"] == np.__version__
    with pytest.raises(RuntimeError) as caught:
        check_environment({"numpy": "99.1", "no-such-package": "1.0"})
    assert str(caught.value) == (
        f"numpy {np.__version__} is too old (the course needs 99.1 or newer); no-such-package is missing (the course "
        'needs 1.0 or newer); type: pip install "numpy>=99.1" "no-such-package>=1.0" and restart the kernel.')
    assert version_key("2.13.0+cpu") == (2, 13, 0) > version_key("2.6") and version_key("3.10rc1") > version_key("3.9")


def test_the_live_figure_of_chapter_02_draws_what_the_whole_figure_would():
    """Its axes are drawn once and only what moves is drawn again, in less than half the time."""
    from ddpm_lib.course.ch02 import noise_figure, one_frame
    x_0 = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    draw, (figure, update) = one_frame(x_0), noise_figure(x_0)
    seconds = {"moving": [], "whole": []}
    for t, name in ((0, "linear"), (700, "sigmoid"), (20, "cosine"), (1000, "linear")):
        began = time.perf_counter()
        fast = draw(t, name).astype(int)
        middle = time.perf_counter()
        whole = fig_frames(figure, lambda step, name=name: update(name, step), [t], dpi=85)[0].astype(int)
        seconds["moving"].append(middle - began)
        seconds["whole"].append(time.perf_counter() - middle)
        assert fast.shape == whole.shape and (abs(fast - whole).max(-1) > 40).mean() < 0.001
    assert min(seconds["moving"]) < min(seconds["whole"]) / 2
