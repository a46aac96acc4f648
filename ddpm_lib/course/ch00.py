"""Figures and exercises of chapter 00, Start here."""
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .. import plots
from .exercise import exercise
from .explore import fig_frames, frame_slider


def trajectory_slider(trajectory: list[tuple[int, Tensor, Tensor]], alt: str, moments: int = 26):
    """The slider through a denoising: x_t beside the network's guess of x_0. trajectory: (t, x_t, x_0_hat), t falling."""
    figure = Figure(figsize=(6.4, 3.4))
    left, right = figure.add_axes((0.01, 0.02, 0.47, 0.86)), figure.add_axes((0.52, 0.02, 0.47, 0.86))

    def update(k: int) -> None:
        t, x_t, x_0_hat = trajectory[k]
        columns = round(len(x_t) ** 0.5)
        for axes, x, title in ((left, x_t, f"the picture, $x_t$ at t = {t}"), (right, x_0_hat, "the network's guess of $x_0$")):
            axes.cla()
            axes.imshow(plots.mosaic(x, columns), interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(title, fontsize=12)

    pick = [round(k * (len(trajectory) - 1) / (moments - 1)) for k in range(moments)]
    return frame_slider(fig_frames(figure, update, pick, dpi=80), [f"t = {trajectory[k][0]}" for k in pick], alt=alt, slider="step t", still=4)


# -- exercises -----------------------------------------------------------------------------------------------------------

def _scale_cases():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(b, c, h, w, generator=g), torch.rand(b, generator=g) + 0.5)
            for b, c, h, w in ((4, 3, 5, 4), (3, 3, 2, 3), (2, 1, 8, 8))]


def _scale(x, c):
    return c.view(-1, 1, 1, 1) * x                                        # (B,) -> (B, 1, 1, 1)


def _scale_first(x, c):
    return c[0] * x


def _scale_columns(x, c):
    return x * c


def _scale_channels(x, c):
    return x * c.view(1, -1, 1, 1)


def _scale_mean(x, c):
    return x * c.mean()


exercise(
    "scale", _scale, cases=_scale_cases,
    hints=["PyTorch lines shapes up from the right: (B,) would meet the width W, not the batch.",
           "Give c three more dimensions of size 1, so that it reads (B, 1, 1, 1).",
           "c.view(-1, 1, 1, 1) * x; or c[:, None, None, None] * x."],
    mistakes=[
        (_scale_columns, "x * c lines c up with the last dimension, the columns: an error for most shapes, and silently wrong when B equals W"),
        (lambda x, c: x * c[:, None], "x * c[:, None] lines c up with the rows of the pictures; the batch is the first dimension, so c needs the shape (B, 1, 1, 1)"),
        (_scale_channels, "this lines c up with the channels; the batch is the first dimension, so c needs the shape (B, 1, 1, 1)"),
        (_scale_first, "every picture was multiplied by the first number; picture i must get c[i]"),
        (_scale_mean, "every picture was multiplied by the average of c; picture i must get c[i]")])


def _weighted(a, b, var_x, var_y):
    return a ** 2 * var_x + b ** 2 * var_y


exercise(
    "weighted_sum", _weighted,
    cases=lambda: [(0.6, 0.8, 1.0, 1.0), (2.0, 3.0, 0.5, 4.0), (-1.5, 0.2, 2.0, 0.3), (1.0, -1.0, 1.0, 2.0)],
    hints=["Variance adds over independent parts. What does multiplying by a do to it?",
           "Var[a X] = a^2 Var[X].", "return a ** 2 * var_x + b ** 2 * var_y."],
    mistakes=[
        (lambda a, b, var_x, var_y: a * var_x + b * var_y, "a factor a multiplies the variance by a squared: variance is measured in squared units"),
        (lambda a, b, var_x, var_y: (a ** 2 * var_x + b ** 2 * var_y) ** 0.5, "this is the standard deviation; the variance is its square"),
        (lambda a, b, var_x, var_y: (a * var_x ** 0.5 + b * var_y ** 0.5) ** 2, "this adds standard deviations (or, which is the same, a cross term); for independent parts E[XY] is 0, and the variances add"),
        (lambda a, b, var_x, var_y: var_x + var_y, "the factors a and b are missing: each counts squared"),
        (lambda a, b, var_x, var_y: a ** 2 * var_x - b ** 2 * var_y, "variances add, also for a difference: more randomness never makes less")])


def _seeded(seed, n):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


def _seeded_global(seed, n):
    torch.manual_seed(seed)
    return torch.randn(n)


def _seeded_fixed(seed, n):
    return torch.randn(n, generator=torch.Generator().manual_seed(0))


def _seeded_not(seed, n):
    return torch.randn(n)


def _seeded_never(seed, n):
    return torch.randn(n, generator=torch.Generator())


def _seeded_uniform(seed, n):
    return torch.rand(n, generator=torch.Generator().manual_seed(seed))


def _seeded_probe(answer):
    torch.manual_seed(99)
    before = torch.get_rng_state()
    results = [answer(seed, 5) for seed in (1, 2, 1)]
    return [*results, bool(torch.equal(before, torch.get_rng_state()))]    # the last one: torch's own generator untouched


exercise(
    "seeded", _seeded, probe=_seeded_probe,
    hints=["A torch.Generator is a private source of randomness; nothing else draws from it.",
           "torch.Generator().manual_seed(seed) makes one and returns it.",
           "return torch.randn(n, generator=torch.Generator().manual_seed(seed))."],
    mistakes=[
        (_seeded_global, "the numbers are right, but torch.manual_seed resets the randomness of everybody else's code too; use a Generator of your own"),
        (_seeded_not, "nothing is seeded here: each call gives other numbers"),
        (_seeded_never, "the generator is never given the seed: call manual_seed(seed) on it"),
        (_seeded_fixed, "the seed is ignored: every seed gives the same numbers"),
        (_seeded_uniform, "rand draws evenly from [0, 1); Gaussian noise is randn")])
