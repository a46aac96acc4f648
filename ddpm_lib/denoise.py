"""Denoisers: functions (x_t, t) -> x_0_hat, made from networks and from each other (chapters 07, 08, 11 and 13)."""
from collections.abc import Callable

from .paths import EPS, Path, Target, as_path, to_x_0
from .schedules import Schedule


def denoiser(net: Callable, path: Path | Schedule, target: Target = EPS) -> Callable:
    """The Denoiser that a network (x_t, t) -> p x_0 + q eps implies; without a target it predicts the noise (Ho et al. 2020, Eq. 15)."""
    path = as_path(path)

    def guess(x_t, t):
        a, s = path.at(t, x_t)
        out = net(x_t, t)
        if out.shape != x_t.shape:
            raise ValueError(f"the network answers {tuple(out.shape)} to x_t of shape {tuple(x_t.shape)}: they must be equal")
        return to_x_0(x_t, out, a, s, target.p(a, s), target.q(a, s))
    return guess


def clipped(denoiser: Callable, bound: float = 1.0) -> Callable:
    """A Denoiser whose guesses are cut to [-bound, bound], the range of the data."""
    return lambda x_t, t: denoiser(x_t, t).clamp(-bound, bound)
