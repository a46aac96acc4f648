"""Denoisers that are exact, because the distribution of the data is known: to check samplers and to judge networks (chapter 03).

An oracle is a Denoiser, a function (x_t, t) -> E[x_0 | x_t], the best guess of the clean data in mean square.
It knows the path: x_t = a x_0 + s eps, for a schedule a = sqrt(alpha_bar_t), s = sqrt(1 - alpha_bar_t). Computed in float64.
"""
import math

import torch
from torch import Tensor

from .paths import Path, as_path
from .schedules import Schedule


class GaussianMixture:
    """Data from a mixture of K Gaussians in D dimensions: density, score and best guess are closed forms at every step.

    weights: (K,), positive, sum 1; means: (K, D); covariances: (K, D, D), symmetric and positive definite.
    Noised, component k is N(a m_k, a^2 S_k + s^2 I). Raises ValueError, naming the component, if the numbers describe no mixture.
    """

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor, schedule: Schedule | Path):
        self.weights, self.means, self.covariances = weights.double(), means.double(), covariances.double()
        self.schedule, self.path = schedule, as_path(schedule)
        _check_mixture(self.weights, self.means, self.covariances)
        self.weights = self.weights / self.weights.sum()                   # float32 weights sum to 1 only up to rounding
        self.variances, self.axes = torch.linalg.eigh(self.covariances)    # S_k = U diag(v) U^T: (K, D), (K, D, D)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n clean points x_0, (n, D) float32."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64) * self.variances[k].sqrt()
        return (self.means[k] + (self.axes[k] @ z[..., None])[..., 0]).float()

    def log_prob(self, x_t: Tensor, t: Tensor) -> Tensor:
        """ln q(x_t), the density of the noised data at step t in nats, (B,); t = 0 is the clean data."""
        return self._parts(x_t, t)[0].logsumexp(1).to(x_t.dtype)

    def responsibilities(self, x_t: Tensor, t: Tensor) -> Tensor:
        """P(component k | x_t), (B, K)."""
        return self._parts(x_t, t)[0].softmax(1).to(x_t.dtype)

    def score(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The gradient of ln q(x_t) with respect to x_t, (B, D); it points to where the noised data is denser."""
        log_parts, pull, _ = self._parts(x_t, t)
        return -(log_parts.softmax(1)[..., None] * pull).sum(1).to(x_t.dtype)

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t], (B, D): each component's guess m_k + a S_k (a^2 S_k + s^2 I)^-1 (x_t - a m_k), by responsibility."""
        log_parts, pull, a = self._parts(x_t, t)
        guess = self.means + a[..., None] * torch.einsum("kde,bke->bkd", self.covariances, pull)
        return (log_parts.softmax(1)[..., None] * guess).sum(1).to(x_t.dtype)

    def _parts(self, x_t, t):
        """ln(w_k N(x_t; ...)), (B, K); (a^2 S_k + s^2 I)^-1 (x_t - a m_k), (B, K, D); a, (B, 1)."""
        if x_t.dim() != 2 or x_t.shape[1] != self.means.shape[1]:
            raise ValueError(f"x_t must have shape (B, {self.means.shape[1]}) like the means, got {tuple(x_t.shape)}")
        a, s = self.path.at(t, x_t.double())
        along = torch.einsum("bkd,kde->bke", x_t.double()[:, None] - a[..., None] * self.means, self.axes)
        variance = a[..., None].square() * self.variances + s[..., None].square()   # (B, K, D), along the axes of S_k
        log_parts = self.weights.log() - 0.5 * (along.square() / variance + (2 * math.pi * variance).log()).sum(-1)
        return log_parts, torch.einsum("kde,bke->bkd", self.axes, along / variance), a


class FiniteDataset:
    """The optimal denoiser of a finite data set: a mean of its elements, weighted by a softmax.

    E[x_0 | x_t] = sum_i w_i x_i, w = softmax_i(-|x_t - a x_i|^2 / (2 s^2)). x_0: (N, *D), finite numbers.
    It remembers every element: what it samples are elements of the set. limit: entries of the (batch, N) table of weights
    computed at once; larger batches go in pieces. Raises ValueError if the set is empty or holds NaN or infinity.
    """

    def __init__(self, x_0: Tensor, schedule: Schedule | Path, limit: int = 2 ** 21):
        if x_0.dim() < 2 or len(x_0) == 0:
            raise ValueError(f"a data set must have shape (N, *D) with N > 0, got {tuple(x_0.shape)}")
        if not torch.isfinite(x_0).all():
            bad = int((~torch.isfinite(x_0)).flatten(1).any(1).nonzero()[0])
            raise ValueError(f"the data set must hold finite numbers, but element {bad} has NaN or infinity: remove it")
        self.x_0, self.path, self.limit = x_0.double(), as_path(schedule), limit

    def weights(self, x_t: Tensor, t: Tensor) -> Tensor:
        """P(x_0 is element i | x_t), (B, N) float64."""
        if x_t.shape[1:] != self.x_0.shape[1:]:
            raise ValueError(f"x_t must have shape (B, *{tuple(self.x_0.shape[1:])}) like the data, got {tuple(x_t.shape)}")
        flat = x_t.double().flatten(1)
        a, s = self.path.at(t, flat)
        away = torch.cdist(flat / a, self.x_0.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
        return (-(a * away).square() / (2 * s.square())).softmax(1)

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t], (B, *D)."""
        size = max(1, self.limit // len(self.x_0))
        guesses = [self.weights(x, k) @ self.x_0.flatten(1) for x, k in zip(x_t.split(size), t.split(size), strict=True)]
        return torch.cat(guesses).view(x_t.shape).to(x_t.dtype)


def _check_mixture(weights, means, covariances):
    K, D = len(weights), means.shape[-1]
    if weights.dim() != 1 or means.shape != (K, D) or covariances.shape != (K, D, D):
        raise ValueError("a mixture needs weights (K,), means (K, D), covariances (K, D, D), got "
                         f"{tuple(weights.shape)}, {tuple(means.shape)}, {tuple(covariances.shape)}")
    for name, value in (("weights", weights), ("means", means), ("covariances", covariances)):
        if not torch.isfinite(value).all():
            raise ValueError(f"the {name} of a mixture must be finite numbers, got NaN or infinity")
    if not (weights > 0).all() or abs(float(weights.sum()) - 1) > 1e-6:
        raise ValueError(f"the weights of a mixture must be positive and sum to 1, got "
                         f"{[round(w, 6) for w in weights.tolist()]} with the sum {weights.sum():.6g}")
    for k, covariance in enumerate(covariances):
        if not torch.allclose(covariance, covariance.T):
            raise ValueError(f"covariance {k} is not symmetric")
        low, high = torch.linalg.eigvalsh(covariance)[[0, -1]]
        if not low > 1e-12 * high:
            raise ValueError(f"covariance {k} is singular or not positive definite (smallest eigenvalue {low:.3g}): "
                             "give every direction some variance")
