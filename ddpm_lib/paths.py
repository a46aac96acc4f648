"""Signal and noise as a pair: every way to mix data with Gaussian noise, and one step between two of its times (chapter 08).

A Path says x_t = a(t) x_0 + s(t) eps, with a the signal and s the noise. A Target says what a network predicts, p x_0 + q eps.
Two linear equations in x_0 and eps, solved once.
"""
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .schedules import Schedule


@dataclass(frozen=True)
class Path:
    """x_t = signal(t) x_0 + noise(t) eps. Both are functions of t, (B,) -> (B,) float64; signal falls, noise rises.

    T: the time at which sampling starts.
    """

    signal: Callable[[Tensor], Tensor]
    noise: Callable[[Tensor], Tensor]
    T: float

    def at(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """a and s for each element of a batch x, (B, 1, ..., 1) in the type of x; ValueError unless t has the shape (B,)."""
        if not isinstance(t, Tensor) or t.shape != x.shape[:1]:
            got = f"the shape {tuple(t.shape)}" if isinstance(t, Tensor) else repr(t)
            raise ValueError(f"t must be a tensor of shape ({len(x)},), one time per element, got {got}")
        shape = (-1, *[1] * (x.dim() - 1))
        return self.signal(t).to(x).view(shape), self.noise(t).to(x).view(shape)


def ddpm_path(schedule: Schedule) -> Path:
    """The path of a schedule, for whole t in 0..T: a = sqrt(alpha_bar_t), s = sqrt(1 - alpha_bar_t) (Ho et al. 2020, Eq. 4)."""
    def table(values):
        def look(t):
            if t.dtype != torch.int64:
                raise ValueError(f"the times of a schedule are whole: t must be int64, got {t.dtype}")
            if len(t) and not 0 <= t.min() <= t.max() <= schedule.T:
                raise ValueError(f"t must be in 0..{schedule.T}, got {t.min() if t.min() < 0 else t.max()}")
            return values.to(t.device)[t]
        return look
    return Path(table(schedule.alpha_bar.sqrt()), table((1 - schedule.alpha_bar).sqrt()), schedule.T)


def as_path(path: Path | Schedule) -> Path:
    """A Path as it is; a Schedule as its ddpm_path."""
    return path if isinstance(path, Path) else ddpm_path(path)


EDM = Path(lambda t: torch.ones_like(t, dtype=torch.float64), lambda t: t.double(), 80.0)   # Karras et al. 2022
FLOW = Path(lambda t: 1 - t.double(), lambda t: t.double(), 1.0)                            # Lipman et al. 2023; data at t = 0


@dataclass(frozen=True)
class Target:
    """What a network predicts: p(a, s) x_0 + q(a, s) eps."""

    p: Callable[[Tensor, Tensor], Tensor]
    q: Callable[[Tensor, Tensor], Tensor]


EPS = Target(lambda a, s: 0 * a, lambda a, s: 1 + 0 * s)
X_0 = Target(lambda a, s: 1 + 0 * a, lambda a, s: 0 * s)
V = Target(lambda a, s: -s, lambda a, s: a)                                # Salimans & Ho 2022
VELOCITY = Target(lambda a, s: -1 + 0 * a, lambda a, s: 1 + 0 * s)         # of FLOW: dx/dt = eps - x_0


def to_x_0(x_t: Tensor, out: Tensor, a: Tensor, s: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Solve x_t = a x_0 + s eps and out = p x_0 + q eps for x_0."""
    return (q * x_t - s * out) / (a * q - s * p)


def ddim_step(x_t: Tensor, x_0_hat: Tensor, a: Tensor, s: Tensor, a_next: Tensor, s_next: Tensor, eta: float = 0.0,
              z: Tensor | None = None) -> Tensor:
    """From x_t to the next, less noisy time: DDIM at eta = 0, Ho's posterior at eta = 1 (Song et al. 2021, Eqs. 12 and 16).

    a, s and a_next, s_next: signal and noise at both ends; z: fresh noise, needed if eta > 0.
    """
    eps_hat = (x_t - a * x_0_hat) / s
    sigma2 = eta ** 2 * (s_next / s) ** 2 * (s ** 2 - (a / a_next * s_next) ** 2).clamp(min=0)
    mean = a_next * x_0_hat + (s_next ** 2 - sigma2).clamp(min=0).sqrt() * eps_hat
    return mean if z is None else mean + sigma2.sqrt() * z
