"""Data: the real digits, the toys, folders of pictures, and one sentence for everything that cannot be used."""
import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_lib import data


def test_digits_are_the_published_ones():
    sklearn = pytest.importorskip("sklearn.datasets", reason="scikit-learn (requirements-dev.txt) has the published digits")
    published = sklearn.load_digits()
    x_0, labels, names = data.load("digits")
    assert x_0.shape == (1797, 1, 8, 8) and x_0.dtype == torch.float32 and labels.dtype == torch.int64
    assert np.array_equal((x_0[:, 0].numpy() + 1) * 8, published.images)
    assert np.array_equal(labels.numpy(), published.target) and names[7] == "7"
    assert x_0.min() == -1 and x_0.max() == 1


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="there is no data set 'digit': did you mean 'digits'?"):
        data.load("digit")
    with pytest.raises(ValueError, match="known names: digits, mnist, fashion_mnist, cifar10; or give the path of a folder of pictures"):
        data.load("zzz")


def test_missing_file(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="digits.npz is missing from .*: get the course's data folder, or make it"):
        data.digits()


def test_folder(tmp_path):
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "b.png")
    Image.new("L", (10, 30), 0).save(tmp_path / "a.jpg")
    (tmp_path / "deep").mkdir()
    Image.new("RGBA", (9, 9), (0, 0, 255, 255)).save(tmp_path / "deep" / "c.webp")
    (tmp_path / "notes.txt").write_text("not a picture")
    x_0, labels, _ = data.load(str(tmp_path), size=8)
    assert x_0.shape == (3, 3, 8, 8) and labels is None
    assert (x_0[0] == -1).all()                                           # a.jpg: black
    assert torch.allclose(x_0[1, :, 4, 4], torch.tensor([1.0, -1, -1]))   # b.png: red
    assert x_0[2, 2, 4, 4] > 0.9 and x_0[2, 0, 4, 4] < -0.9               # c.webp: blue


def test_folder_turns_pictures_upright(tmp_path):
    image = Image.new("RGB", (4, 4), (0, 0, 0))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 3                                                       # stored upside down
    image.save(tmp_path / "a.png", exif=exif)
    assert data.folder(tmp_path, 4).x_0[0, 0, 3, 3] == 1


@pytest.mark.parametrize("spoil", [lambda b: b[:len(b) // 2], lambda b: b"", lambda b: b"<html>no picture</html>"])
def test_unreadable_picture_is_named(tmp_path, spoil):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "holiday.png").write_bytes(spoil((tmp_path / "good.png").read_bytes()))
    with pytest.raises(ValueError, match="cannot read the picture .*holiday.png: remove it from the folder or save it anew"):
        data.folder(tmp_path, 8)


def test_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="no pictures in .*: it looks for files ending in .bmp"):
        data.folder(tmp_path, 8)


@pytest.mark.parametrize("x,sentence", [
    (torch.zeros(3, 8, 8), r"shape \(N, C, H, W\) with N > 0, got \(3, 8, 8\)"),
    (torch.zeros(0, 1, 8, 8), r"with N > 0, got \(0, 1, 8, 8\)"),
    (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "floating point in .-1, 1., got uint8: for bytes use x.float"),
    (torch.full((2, 1, 8, 8), 255.0), "must lie in .-1, 1., got values from 255 to 255"),
    (torch.full((2, 1, 8, 8), float("nan")), "got values from nan to nan"),
    (torch.rand(2, 1, 8, 8), "must fill .-1, 1., but nothing is below 0 .lowest value .*: from .0, 1. use data.from_unit"),
])
def test_pictures_of_wrong_shape_or_range(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        data.check_pictures(x)


def test_good_pictures_pass():
    x = data.load("digits").x_0
    assert data.check_pictures(x) is x


def test_unit_round_trip():
    x = torch.linspace(-1, 1, 100)
    assert torch.allclose(data.from_unit(data.to_unit(x)), x, atol=1e-6)
    assert data.to_unit(torch.tensor([-3.0, 3.0])).tolist() == [0, 1]


def test_batches_depend_on_the_generator_alone():
    x = torch.arange(50)
    g = torch.Generator().manual_seed(0)
    first = data.batches(x, 8, g)
    next(first)
    state = g.get_state()
    want = [next(first) for _ in range(3)]
    g2 = torch.Generator()
    g2.set_state(state)
    again = data.batches(x, 8, g2)
    assert all(torch.equal(a, next(again)) for a in want)
    counts = torch.bincount(torch.cat([next(first) for _ in range(5000)]), minlength=50).double()
    assert ((counts - 800).abs() < 5 * 800 ** 0.5).all()                   # every element equally often
    with pytest.raises(ValueError, match="the data set is empty"):
        next(data.batches(torch.zeros(0, 2), 8, g))


@pytest.mark.parametrize("toy", [data.moons, data.spiral, data.checkerboard])
def test_toys_have_about_unit_variance(toy):
    x = toy(20_000, torch.Generator().manual_seed(0))
    assert x.shape == (20_000, 2) and x.dtype == torch.float32
    assert x.mean(0).abs().max() < 0.15 and 0.75 < float(x.var(0).min()) and float(x.var(0).max()) < 1.25
    assert torch.equal(toy(10, torch.Generator().manual_seed(3)), toy(10, torch.Generator().manual_seed(3)))


def test_checkerboard_has_empty_squares():
    x = data.checkerboard(5000, torch.Generator().manual_seed(0)) / 0.875 + 2
    square = x.floor().long().clamp(0, 3)
    assert ((square[:, 0] + square[:, 1]) % 2 == 0).all()
