"""From noise to data along an explicit list of times: every sampler is a generator with local variables only (chapters 08 and 10).

denoiser: (x_t, t) -> x_0_hat. times: falling, both ends included, such as [1000, 800, ..., 0]; x: noised to times[0].
After each step a sampler yields (t, x_t, x_0_hat), t being the time arrived at; the last x_t is the sample.
"""
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .paths import Path, as_path, ddim_step
from .schedules import Schedule

Steps = Iterator[tuple[float, Tensor, Tensor]]


def even_times(path: Path | Schedule, steps: int) -> list[int]:
    """steps + 1 whole times from T down to 0, as evenly spaced as whole numbers can be. Raises ValueError unless 1 <= steps <= T."""
    T = as_path(path).T
    if not isinstance(steps, int) or not 1 <= steps <= T:
        raise ValueError(f"steps must be in 1..{T}, the number of times there are, got {steps}")
    return [round(T * (1 - k / steps)) for k in range(steps + 1)]


@torch.no_grad()
def ddim(denoiser: Callable, x: Tensor, times: Sequence[float], path: Path | Schedule, eta: float = 0.0,
         generator: torch.Generator | None = None) -> Steps:
    """DDIM (Song et al. 2021, Eq. 12): eta = 0 draws no noise, eta = 1 is Ho's posterior with the variance beta_tilde."""
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be in [0, 1], got {eta}")
    if eta and generator is None:
        raise ValueError(f"with eta = {eta} fresh noise is drawn: give a generator")
    for t, t_next, a, s, a_next, s_next in _ends(x, times, path):
        x_0_hat = denoiser(x, t)
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device) if eta else None
        x = ddim_step(x, x_0_hat, a, s, a_next, s_next, eta, z)
        yield t_next, x, x_0_hat


@torch.no_grad()
def ddpm(denoiser: Callable, x: Tensor, times: Sequence[float], path: Path | Schedule, generator: torch.Generator,
         variance: str = "beta") -> Steps:
    """Ancestral sampling (Ho et al. 2020, Algorithm 2), with one of the two variances of section 3.2.

    variance: "beta", that of the noise which the step undoes (beta_t when no time is left out), or "beta_tilde", that of the
    posterior, which is ddim at eta = 1.
    """
    if variance not in ("beta", "beta_tilde"):
        raise ValueError(f"variance must be 'beta' or 'beta_tilde', got {variance!r}")
    if variance == "beta_tilde":
        yield from ddim(denoiser, x, times, path, eta=1.0, generator=generator)
        return
    for t, t_next, a, s, a_next, s_next in _ends(x, times, path):
        x_0_hat = denoiser(x, t)
        added = s ** 2 - (a / a_next * s_next) ** 2                        # variance that was added from t_next to t
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        mean = ddim_step(x, x_0_hat, a, s, a_next, s_next, eta=1.0)
        x = mean + (added.sqrt() * z if t_next else 0)
        yield t_next, x, x_0_hat


@torch.no_grad()
def heun(denoiser: Callable, x: Tensor, times: Sequence[float], path: Path | Schedule) -> Steps:
    """Heun's method on the probability-flow ODE, in y = x / a over sigma = s / a (Karras et al. 2022, Algorithm 1).

    dy/dsigma = (y - x_0_hat) / sigma. Two calls of the denoiser for each step, one for the last.
    """
    for t, t_next, a, s, a_next, s_next in _ends(x, times, path):
        x_0_hat = denoiser(x, t)
        x_next = ddim_step(x, x_0_hat, a, s, a_next, s_next)
        if s_next.min() > 0:
            now = torch.full((len(x),), t_next, dtype=t.dtype, device=x.device)
            sigma, sigma_next = s / a, s_next / a_next
            slope = (x / a - x_0_hat) / sigma
            slope_next = (x_next / a_next - denoiser(x_next, now)) / sigma_next
            x_next = a_next * (x / a + (sigma_next - sigma) * (slope + slope_next) / 2)
        x = x_next
        yield t_next, x, x_0_hat


@torch.no_grad()
def dpmpp_2m(denoiser: Callable, x: Tensor, times: Sequence[float], path: Path | Schedule) -> Steps:
    """DPM-Solver++(2M) (Lu et al. 2022, Algorithm 2): one call for each step, the guess extrapolated in ln(a / s)."""
    last = None                                                            # (ln(a/s) and guess of the step before)
    for t, t_next, a, s, a_next, s_next in _ends(x, times, path):
        x_0_hat, now = denoiser(x, t), (a / s).log()
        guess = x_0_hat
        if last is not None and s_next.min() > 0:
            share = ((a_next / s_next).log() - now) / (now - last[0]) / 2
            guess = (1 + share) * x_0_hat - share * last[1]
        x = ddim_step(x, guess, a, s, a_next, s_next)
        last = now, x_0_hat
        yield t_next, x, x_0_hat


def _ends(x, times, path):
    """For each step t as a tensor (B,), the next time, and signal and noise at both; refuses times that do not fall."""
    if len(times) < 2 or any(not after < before for before, after in pairwise(times)):
        raise ValueError(f"times must fall at every step and hold both ends, got {list(times)[:5]} ... {list(times)[-1:]}")
    path, whole = as_path(path), all(isinstance(t, int) for t in times)
    t = torch.tensor(list(times), dtype=torch.int64 if whole else torch.float64)
    a, s = path.signal(t), path.noise(t)                                   # looked up once; single numbers need no device
    for k in range(len(t) - 1):
        yield t[k].to(x.device).expand(len(x)), times[k + 1], a[k], s[k], a[k + 1], s[k + 1]
