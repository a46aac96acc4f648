"""Noise schedules: how much noise each step adds, and what is left of the signal (chapter 02).

Tables have length T+1 and are indexed with the paper's t: entry 0 is the clean picture (beta = 0, alpha_bar = 1),
entry T the end of the chain. They are float64; functions that use them cast to the data's type.
"""
import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """A variance schedule beta_1 .. beta_T (Ho et al. 2020, section 2), with the tables that follow from it.

    beta: (T+1,) float64, beta[0] = 0: the variance of the noise added by step t.
    Raises ValueError if there is no step, or if a beta_t with t >= 1 lies outside (0, 1).
    """

    beta: Tensor

    def __post_init__(self):
        if not isinstance(self.beta, Tensor) or self.beta.dtype != torch.float64 or self.beta.dim() != 1:
            raise ValueError("beta must be a float64 tensor of shape (T+1,): beta[0] = 0, then beta_1 .. beta_T")
        if len(self.beta) < 2:
            raise ValueError(f"a schedule needs at least one step, got T = {len(self.beta) - 1}")
        if self.beta[0] != 0:
            raise ValueError(f"beta[0] belongs to the clean picture and must be 0, got {self.beta[0]:.4g}")
        bad = ~((self.beta[1:] > 0) & (self.beta[1:] < 1))               # written so that NaN counts as bad
        if bad.any():
            t = int(bad.nonzero()[0]) + 1
            raise ValueError(f"beta_t must be in (0, 1), got beta_{t} = {self.beta[t]:.4g}")

    @property
    def T(self) -> int:
        """Number of steps."""
        return len(self.beta) - 1

    @property
    def alpha(self) -> Tensor:
        """alpha_t = 1 - beta_t, (T+1,): the share of the variance that survives step t."""
        return 1 - self.beta

    @property
    def alpha_bar(self) -> Tensor:
        """alpha_bar_t = alpha_1 ... alpha_t, (T+1,): the share of the signal's variance left after t steps."""
        return self.alpha.cumprod(0)

    @property
    def beta_tilde(self) -> Tensor:
        """Variance of q(x_{t-1} | x_t, x_0), (T+1,); 0 at t = 1 (Ho et al. 2020, Eq. 7)."""
        one_minus = 1 - self.alpha_bar                                     # at t = 0 this is 0, and beta_tilde[0] = 0
        return torch.cat([self.beta[:1], one_minus[:-1] / one_minus[1:] * self.beta[1:]])


def linear_schedule(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Schedule:
    """beta grows evenly from beta_1 to beta_T (Ho et al. 2020, section 4: T = 1000, 1e-4 to 0.02)."""
    _check_T(T)
    for name, value in (("beta_1", beta_1), ("beta_T", beta_T)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must be in (0, 1), got {value}")
    return Schedule(torch.cat([torch.zeros(1, dtype=torch.float64), torch.linspace(beta_1, beta_T, T, dtype=torch.float64)]))


def cosine_schedule(T: int = 1000, s: float = 0.008, beta_max: float = 0.999) -> Schedule:
    """alpha_bar falls like a squared cosine (Nichol & Dhariwal 2021, Eq. 17; beta clipped at 0.999 as there)."""
    _check_T(T)
    u = torch.linspace(0, 1, T + 1, dtype=torch.float64)
    return from_alpha_bar(torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2, beta_max)


def sigmoid_schedule(T: int = 1000, start: float = -3.0, end: float = 3.0, tau: float = 1.0, beta_max: float = 0.999) -> Schedule:
    """alpha_bar falls like a sigmoid between two of its points (Jabri et al. 2022; Chen 2023, Algorithm 1)."""
    _check_T(T)
    u = torch.linspace(0, 1, T + 1, dtype=torch.float64)
    falling = torch.sigmoid(-(u * (end - start) + start) / tau)
    return from_alpha_bar((falling - falling[-1]) / (falling[0] - falling[-1]), beta_max)


def from_alpha_bar(alpha_bar: Tensor, beta_max: float = 0.999) -> Schedule:
    """The schedule whose products follow a given falling curve: beta_t = 1 - alpha_bar_t / alpha_bar_{t-1}.

    alpha_bar: (T+1,) float64; only ratios matter, so it need not begin at 1. beta is clipped at beta_max, because a
    curve that reaches 0 asks for beta_T = 1. Raises ValueError if the curve does not fall at every step.
    """
    _check_T(len(alpha_bar) - 1)
    beta = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=beta_max)
    if not bool((beta > 0).all()):
        t = int((~(beta > 0)).nonzero()[0]) + 1
        raise ValueError(f"alpha_bar must fall at every step, but alpha_bar[{t}] = {alpha_bar[t]:.4g} "
                         f"follows {alpha_bar[t - 1]:.4g}")
    return Schedule(torch.cat([torch.zeros(1, dtype=torch.float64), beta]))


def snr(schedule: Schedule) -> Tensor:
    """Signal-to-noise ratio alpha_bar_t / (1 - alpha_bar_t), (T+1,); infinite at t = 0 (Kingma et al. 2021)."""
    return schedule.alpha_bar / (1 - schedule.alpha_bar)


def log_snr(schedule: Schedule) -> Tensor:
    """Natural logarithm of the signal-to-noise ratio, (T+1,); it falls at every step."""
    return snr(schedule).log()


def _check_T(T):
    if not isinstance(T, int) or T < 1:
        raise ValueError(f"T, the number of steps, must be a whole number of at least 1, got {T}")


SCHEDULES = {"linear": linear_schedule, "cosine": cosine_schedule, "sigmoid": sigmoid_schedule}
