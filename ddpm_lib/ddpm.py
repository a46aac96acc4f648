"""DDPM as the paper writes it (Ho, Jain & Abbeel 2020): the forward chain, its reverse, the loss, the sampler.

x_0, x_t, eps: (B, *D) tensors, a batch of anything. t: (B,) int64 in 1..T. A network is any function (x_t, t) -> eps_hat.
"""
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .schedules import Schedule


def at(table: Tensor, t: Tensor, *batch: Tensor) -> Tensor:
    """Entries t of a (T+1,) table, one per element of a batch, ready to multiply with it: (B, 1, ..., 1), the batch's type.

    batch: one or more floating-point tensors (B, *D), all of one shape. Raises ValueError if t is not int64 of shape
    (B,), or lies outside 1..T, or if the tensors are integers or their shapes differ.
    """
    x, T = batch[0], len(table) - 1
    if not x.is_floating_point():
        raise ValueError(f"the data must be floating point, got {x.dtype}")
    for other in batch[1:]:
        if other.shape != x.shape:
            raise ValueError(f"the tensors must have one shape, got {tuple(x.shape)} and {tuple(other.shape)}")
    if t.dtype != torch.int64 or t.shape != x.shape[:1]:
        raise ValueError(f"t must be int64 of shape ({len(x)},), one step per element, got {t.dtype} of {tuple(t.shape)}")
    if len(t) and not 1 <= t.min() <= t.max() <= T:
        raise ValueError(f"t must be in 1..{T}, got {t.min() if t.min() < 1 else t.max()}")
    return table.to(t.device)[t].to(x).view(-1, *[1] * (x.dim() - 1))


def q_step(x_prev: Tensor, t: Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    """One step of the forward chain, q(x_t | x_{t-1}) (Ho et al. 2020, Eq. 2).

    x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) eps. Returns x_t, (B, *D).
    """
    signal, noise = (1 - schedule.beta).sqrt(), schedule.beta.sqrt()
    return at(signal, t, x_prev, eps) * x_prev + at(noise, t, x_prev) * eps


def q_sample(x_0: Tensor, t: Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    """Noise clean data to step t in one jump, q(x_t | x_0) (Ho et al. 2020, Eq. 4).

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps. Returns x_t, (B, *D).
    Raises ValueError if a t lies outside 1..T or the shapes do not fit.
    """
    signal, noise = schedule.alpha_bar.sqrt(), (1 - schedule.alpha_bar).sqrt()
    return at(signal, t, x_0, eps) * x_0 + at(noise, t, x_0) * eps


def q_posterior(x_0: Tensor, x_t: Tensor, t: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Mean and variance of q(x_{t-1} | x_t, x_0) (Ho et al. 2020, Eqs. 6 and 7).

    Returns the mean, (B, *D), and the variance beta_tilde_t, shaped (B, 1, ...) to multiply with it.
    """
    beta, alpha, alpha_bar = schedule.beta, schedule.alpha, schedule.alpha_bar
    before = alpha_bar.roll(1)                                             # entry t is alpha_bar_{t-1}
    of_x_0 = before.sqrt() * beta / (1 - alpha_bar)
    of_x_t = alpha.sqrt() * (1 - before) / (1 - alpha_bar)
    return at(of_x_0, t, x_t, x_0) * x_0 + at(of_x_t, t, x_t) * x_t, at(schedule.beta_tilde, t, x_t)


def predict_x_0(x_t: Tensor, t: Tensor, eps_hat: Tensor, schedule: Schedule) -> Tensor:
    """The clean data that x_t and a guess of its noise imply: Eq. 4 solved for x_0 (Ho et al. 2020, Eq. 15).

    x_0_hat = (x_t - sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_bar_t), (B, *D).
    """
    signal, noise = schedule.alpha_bar.sqrt(), (1 - schedule.alpha_bar).sqrt()
    return (x_t - at(noise, t, x_t, eps_hat) * eps_hat) / at(signal, t, x_t)


def simple_loss(net: Callable, x_0: Tensor, t: Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    """Mean squared error of the predicted noise, a scalar (Ho et al. 2020, Eq. 14, averaged over the elements)."""
    eps_hat = net(q_sample(x_0, t, eps, schedule), t)
    return (eps_hat - eps).square().mean()


def p_sample(net: Callable, x_t: Tensor, t: int, z: Tensor, schedule: Schedule,
             variance: Tensor | None = None, bound: float = 1.0) -> tuple[Tensor, Tensor]:
    """One step back, from x_t to x_{t-1} (Ho et al. 2020, Algorithm 2, line 4, and Eq. 7 with x_0_hat for x_0).

    z: fresh noise like x_t; it is not used at t = 1. variance: (T+1,) table sigma_t^2, schedule.beta by default;
    schedule.beta_tilde is the other choice of section 3.2. bound: x_0_hat is clipped to [-bound, bound], the range of
    the data; with float("inf") the mean is the paper's Eq. 11. Returns x_{t-1} and x_0_hat, both (B, *D).
    """
    ts = torch.full((len(x_t),), t, dtype=torch.int64, device=x_t.device)
    x_0_hat = predict_x_0(x_t, ts, net(x_t, ts), schedule).clamp(-bound, bound)
    mean, _ = q_posterior(x_0_hat, x_t, ts, schedule)
    if t == 1:
        return mean, x_0_hat
    sigma = (schedule.beta if variance is None else variance)[t].sqrt().to(x_t)
    return mean + sigma * z, x_0_hat


@torch.no_grad()
def sample_ddpm(net: Callable, shape: tuple[int, ...], schedule: Schedule, generator: torch.Generator,
                variance: Tensor | None = None, bound: float = 1.0) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Ancestral sampling (Ho et al. 2020, Algorithm 2): from noise x_T down to a sample x_0, one step at a time.

    Yields (t, x_t, x_0_hat) for t = T-1, ..., 0; the last x_t is the sample. The whole run is determined by `generator`,
    on whose device it happens. `variance` and `bound` as in p_sample.
    """
    device = generator.device
    x_t = torch.randn(shape, generator=generator, device=device)
    for t in range(schedule.T, 0, -1):
        z = torch.randn(shape, generator=generator, device=device)
        x_t, x_0_hat = p_sample(net, x_t, t, z, schedule, variance, bound)
        yield t - 1, x_t, x_0_hat
