"""Is it good? Numbers for sets of pictures, from the features of a small classifier trained on the same data (chapter 16);
and a distance between two sets of points (chapter 03)."""
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Classifier(nn.Module):
    """A small convolutional classifier whose last hidden layer serves as features. (B, C, H, W) -> (B, classes) logits."""

    def __init__(self, channels: int, classes: int, width: int = 32, dim: int = 64):
        super().__init__()
        self.config = dict(channels=channels, classes=classes, width=width, dim=dim)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.hidden, self.out = nn.Linear(2 * width * 16, dim), nn.Linear(dim, classes)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer before its non-linearity, (B, dim)."""
        h = F.silu(self.conv2(F.silu(self.conv1(x))))
        h = F.silu(self.conv3(F.adaptive_avg_pool2d(h, 4)))                # (B, 2 width, 4, 4)
        return self.hidden(h.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.silu(self.features(x)))


def train_classifier(x_0: Tensor, labels: Tensor, generator: torch.Generator, steps: int = 600) -> Classifier:
    """Train a Classifier on pictures with labels: AdamW, batches of 128, a learning rate that rises and then falls to nearly 0. Returns it in eval mode.

    Its first weights come from torch's own generator; the batches from `generator`.
    """
    net = Classifier(x_0.shape[1], int(labels.max()) + 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        pick = torch.randint(len(x_0), (128,), generator=generator)
        noisy = x_0[pick] + 0.1 * torch.randn(x_0[pick].shape, generator=generator)
        loss = F.cross_entropy(net(noisy), labels[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def features(net: Classifier, x: Tensor, batch: int = 512) -> Tensor:
    """Features of many pictures, (N, dim), computed a batch at a time."""
    return torch.cat([net.features(part) for part in x.split(batch)])


@torch.no_grad()
def confident_share(net: Classifier, x: Tensor, threshold: float = 0.9) -> float:
    """The share of pictures that the classifier puts into one class with a probability above the threshold."""
    return float((net(x).softmax(1).amax(1) > threshold).double().mean())


class Moments(NamedTuple):
    """What the Frechet distance knows of a feature set: mean, (D,), and covariance, (D, D), float64."""

    mean: Tensor
    covariance: Tensor


def moments(a: Tensor) -> Moments:
    """The moments of a feature set (N, D), N > 1."""
    if a.dim() != 2 or len(a) < 2:
        raise ValueError(f"a feature set (N, D) with N > 1 is needed, got {tuple(a.shape)}")
    return Moments(a.double().mean(0), a.double().T.cov())


def frechet_distance(a: Tensor | Moments, b: Tensor | Moments) -> float:
    """Squared Frechet distance of two feature sets, each taken for a Gaussian (Heusel et al. 2017, Eq. 6).

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)); a: (N, D), b: (M, D), N, M > 1, or their moments. Computed in
    float64; 0, up to rounding, for equal sets.
    It depends on N and M: small sets seem farther apart. Compare only distances of equal numbers.
    """
    a, b = (x if isinstance(x, Moments) else moments(x) for x in (a, b))
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"two feature sets of one dimension are needed, got {len(a.mean)} and {len(b.mean)}")
    root = _root(a.covariance)
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()   # tr (S_a S_b)^(1/2)
    return float((a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * cross)


def energy_distance(a: Tensor, b: Tensor, directions: int = 32, generator: torch.Generator | None = None) -> float:
    """Squared energy distance of two sets of points, 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely & Rizzo 2013, Eq. 5).

    a: (N, D), b: (M, D). 0 only for equal distributions, but never for two draws of one: then it is (1/N + 1/M) E|X - X'|
    on average. The mean over directions u of the same distance of the numbers u.x, times a constant of D, is equal to it
    and takes no N x M table. In one dimension one direction is enough, in two they are spread evenly; for D > 2 they are
    drawn from `generator`. Raises ValueError if the shapes do not fit or a number is not finite.
    """
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[1] or not len(a) or not len(b):
        raise ValueError(f"two sets of points (N, D) and (M, D) are needed, got {tuple(a.shape)} and {tuple(b.shape)}")
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise ValueError("the points must be finite numbers, got NaN or infinity: look for them before measuring a distance")
    D = a.shape[1]
    if D > 2 and generator is None:
        raise ValueError(f"in {D} dimensions the directions are random: give a generator")
    angle = torch.arange(directions, dtype=torch.float64) / directions * math.pi
    u = (torch.ones(1, 1, dtype=torch.float64) if D == 1 else torch.stack([angle.cos(), angle.sin()]) if D == 2
         else F.normalize(torch.randn(D, directions, generator=generator, dtype=torch.float64), dim=0))
    z, order = (torch.cat([a, b]).double() @ u).T.contiguous().sort(dim=1)                  # (directions, N + M)
    steps = torch.cat([z.new_full((len(a),), 1 / len(a)), z.new_full((len(b),), -1 / len(b))])
    gap = steps[order].cumsum(1)[:, :-1]                                   # difference of the two cdfs
    sliced = 2 * (gap.square() * z.diff(dim=1)).sum(1).mean()
    return float(sliced) * math.sqrt(math.pi) * math.gamma((D + 1) / 2) / math.gamma(D / 2)


class Neighbours(NamedTuple):
    """For each query: the distance to its nearest neighbour, (N,), and that neighbour's index, (N,)."""

    distance: Tensor
    index: Tensor


def nearest_neighbours(queries: Tensor, data: Tensor, batch: int = 512) -> Neighbours:
    """The nearest picture of `data` to each query, by the Euclidean distance of the pixels."""
    flat = data.flatten(1)
    found = [torch.cdist(part.flatten(1), flat).min(dim=1) for part in queries.split(batch)]
    return Neighbours(torch.cat([f.values for f in found]), torch.cat([f.indices for f in found]))


def smallest_gap(data: Tensor) -> float:
    """The distance of the two different pictures of a data set that are nearest to each other."""
    return float(torch.pdist(data.flatten(1)).min())


def _root(s):
    value, vector = torch.linalg.eigh(s)
    return vector * value.clamp(min=0).sqrt() @ vector.T
