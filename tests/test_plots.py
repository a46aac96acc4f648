"""Pictures: right pixels in the right place, and figures that show nothing by themselves."""
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ddpm_lib import plots


def test_mosaic_pixel_by_pixel():
    x = torch.stack([torch.full((1, 2, 3), v) for v in (-1.0, 0.0, 1.0, 5.0)])
    out = plots.mosaic(x, columns=3, gap=1)
    assert out.shape == (5, 11, 3)
    assert (out[:2, :3] == 0).all() and (out[:2, 4:7] == 0.5).all() and (out[:2, 8:] == 1).all()
    assert (out[3:, :3] == 1).all()                                       # 5 is clipped to white
    assert (out[2] == 1).all() and (out[:, 3] == 1).all()                  # gaps are white


def test_mosaic_colours_and_default_gap():
    x = -torch.ones(2, 3, 16, 16)
    x[1, 0] = 1
    out = plots.mosaic(x, columns=2)
    assert out.shape == (16, 34, 3) and np.array_equal(out[5, 20], [1, 0, 0])


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (4, 4), (3, 4, 4)])
def test_mosaic_bad_shape(shape):
    with pytest.raises(ValueError, match=r"shape \(N, 1 or 3, H, W\), got"):
        plots.mosaic(torch.zeros(shape), 2)


def test_figures_are_returned_not_shown():
    figures = [plots.image_grid(torch.zeros(5, 1, 8, 8), 3, titles=["a", "b", "c"], labels=["x", "y"]),
               plots.curves([1, 2], {"a": [1, 2], "b": [2, 1]}, xlabel="t", ylabel="loss", log="xy"),
               plots.points([torch.zeros(4, 2)] * 2, ["one", "two"])]
    assert plt.get_fignums() == []
    for figure in figures:
        figure.canvas.draw()


def test_pictures_keep_their_proportions():
    figure = plots.image_grid(torch.zeros(6, 1, 8, 16), 3, titles=["a"] * 3, labels=["x", "y"])
    canvas = figure.axes[0].images[0].get_array()
    box = figure.axes[0].get_window_extent()
    assert box.width / box.height == pytest.approx(canvas.shape[1] / canvas.shape[0], rel=1e-6)
