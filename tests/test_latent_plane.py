"""The plane of codes with a point to drag: self-contained, spoken, with a still, small, and clear about wrong input."""
import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from ddpm_lib.course.explore import OUTPUT_LIMIT, PICTURE_LIMIT, LatentPlane, latent_plane

ALT = "Codes in the plane, and the picture decoded at the point."
CODES = np.random.default_rng(0).normal(size=(60, 2)) * [3.0, 2.0]
CODES[5] = 2.0, 3.0                                            # off the middle, in both directions
LABELS = [k % 3 for k in range(60)]


def decode(codes):
    """4 x 6 pictures: the left half grows with the first number, the right half with the second."""
    tiles = np.zeros((len(codes), 4, 6))
    tiles[:, :, :3], tiles[:, :, 3:] = codes[:, :1, None] / 20 + 0.5, codes[:, 1:, None] / 20 + 0.5
    return tiles


def read(pictures):
    return [f"left {'light' if picture[0, 0] > 0.5 else 'dark'}" for picture in pictures]


def settings(plane):
    """What the script is given."""
    return json.loads(re.search(r"\}\)\((\{.*\})\)</script>$", plane.html, re.DOTALL)[1])


@pytest.fixture(scope="module")
def plane():
    return latent_plane({"one": (CODES, decode), "two": (-CODES, decode)}, LABELS, alt=ALT, read=read, start=5, side=9)


def test_the_page_needs_nothing_from_elsewhere(plane):
    assert not re.search(r"https?://|//cdn|\bimport\b|\bfetch\b|require\(", plane.html)
    assert plane.html.count("<script>") == plane.html.count("</script>") == 1
    assert plane.html.startswith('<div class="lp-') and "it needs scripts" in plane.html.split("<script>")[0]


def test_it_can_be_used_without_a_mouse_and_without_eyes(plane):
    for words in ("tabindex: 0", "role: 'slider'", "'aria-label', Q.name + ': point in the plane of codes'", "'aria-description'", "'aria-valuetext'", "'aria-valuenow'", "'aria-valuemin'",
                  "ArrowLeft", "ArrowUp", "Home", "'data-lm-suppress-shortcuts'", "touch-action:none", "setPointerCapture"):
        assert words in plane.html, words
    given = settings(plane)
    assert given["alt"] == ALT and [p["name"] for p in given["planes"]] == ["one", "two"] and given["names"] == ["0", "1", "2"]


def test_every_tile_is_the_decoders_own_picture_at_its_code(plane):
    given = settings(plane)
    for p in given["planes"]:
        sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(p["sheet"].partition(",")[2]))).convert("L"))
        assert sheet.shape == (9 * 4, 9 * 6) and (given["w"], given["h"]) == (6, 4)
        for i, j in ((0, 0), (8, 0), (3, 7)):                              # column, row from the top
            code = np.array([[p["low"][0] + i * p["step"], p["low"][1] + (8 - j) * p["step"]]])
            tile = sheet[4 * j:4 * j + 4, 6 * i:6 * i + 6] / 255
            assert np.abs(tile - np.clip(decode(code)[0], 0, 1)).max() < 0.03
            assert given["texts"][p["said"][9 * j + i]] == read(np.clip(decode(code), 0, 1))[0]


def test_the_points_begin_at_the_code_that_was_asked_for(plane):
    for p, codes in zip(settings(plane)["planes"], (CODES, -CODES), strict=True):
        i, j = p["start"]
        here = np.array([p["low"][0] + i * p["step"], p["low"][1] + (8 - j) * p["step"]])
        assert np.abs(here - codes[5]).max() <= p["step"] / 2 + 1e-9


def test_codes_are_drawn_where_they_are_and_as_what_they_are(plane):
    p = settings(plane)["planes"][0]
    wide = 8 * p["step"]
    for x, y, which in p["points"]:
        code = np.array([p["low"][0] + x / 1000 * wide, p["low"][1] + (1 - y / 1000) * wide])
        nearest = int(np.abs(CODES - code).max(1).argmin())
        assert np.abs(CODES[nearest] - code).max() < 2e-3 * wide and LABELS[nearest] == which
    assert len(p["points"]) > 50 and all(0 <= value <= 1000 for x, y, _ in p["points"] for value in (x, y))


def test_one_far_code_does_not_shrink_the_others():
    codes = np.random.default_rng(1).normal(size=(1000, 2))
    codes[7] = 500
    p = settings(latent_plane({"a": (codes, decode)}, [0] * 1000, alt=ALT, side=5, show=1000))["planes"][0]
    assert 4 * p["step"] < 12 and 950 < len(p["points"]) < 1000


def test_what_is_left_where_scripts_are_removed(plane, monkeypatch):
    import IPython.display
    seen = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **options: seen.append((data, options)))
    plane._ipython_display_()
    (still, options), (page, _) = seen
    assert options["metadata"]["image/png"]["alt"] == ALT
    picture = Image.open(io.BytesIO(still["image/png"]))
    assert min(picture.size) > 500 and len(still["image/png"]) <= PICTURE_LIMIT
    assert page["text/html"] == plane.html and page["text/plain"] == f"[a point to drag in the plane of codes (one, two): {ALT}]"


def test_the_largest_figure_of_the_course_fits():
    """Two planes of 45 x 45 tiles of noise, 8 x 8, the worst case for a PNG file."""
    rng = np.random.default_rng(2)
    big = latent_plane({name: (rng.normal(size=(1797, 2)), lambda codes: rng.random((len(codes), 8, 8))) for name in "ab"},
                       [0] * 1797, alt=ALT, read=lambda tiles: ["x"] * len(tiles))
    assert len(big.html) < OUTPUT_LIMIT and len(big.still) <= PICTURE_LIMIT


def test_same_input_same_bytes_and_no_text_ends_the_script():
    def make(alt=ALT):
        return LatentPlane({"a</script>": (CODES, decode)}, LABELS, alt=alt, side=5)
    assert make().html == make().html and make().html.count("</script>") == 1
    assert make().html.split('"')[1] != make(ALT + " More.").html.split('"')[1]


@pytest.mark.parametrize("change, words", [
    (dict(planes={}), "at least one plane"),
    (dict(alt="codes"), "got 1 planes, alt 'codes'"),
    (dict(side=1), "side 1"),
    (dict(planes={"a": (CODES[:, :1], decode)}), "the codes of 'a' must be finite, two numbers for each of the 60 labels, got shape (60, 1)"),
    (dict(planes={"a": (CODES[:9], decode)}), "got shape (9, 2)"),
    (dict(planes={"a": (CODES * np.nan, decode)}), "must be finite"),
    (dict(planes={"a": (CODES, lambda codes: codes)}), "decode of 'a' must turn (25, 2) codes into as many grey pictures"),
    (dict(planes={"a": (CODES, lambda codes: decode(codes)[1:])}), "got (24, 4, 6)"),
    (dict(planes={"a": (CODES, decode), "b": (CODES, lambda codes: decode(codes)[:, :3])}), "pictures of one size, got [(4, 6), (3, 6)]"),
    (dict(start=60), "start must be the index of a code, in 0..59, got 60"),
    (dict(read=lambda pictures: ["x"]), "read must give one text per picture, got 1 for 25"),
])
def test_wrong_input_is_answered_in_one_sentence(change, words):
    given = dict(planes={"a": (CODES, decode)}, labels=LABELS, alt=ALT, side=5)
    with pytest.raises(ValueError) as caught:
        latent_plane(**{**given, **change})
    assert words in str(caught.value) and "\n" not in str(caught.value)
