"""Scores against answers known in closed form."""
import math

import pytest
import torch

from ddpm_lib.data import digits
from ddpm_lib.metrics import (
    Classifier,
    confident_share,
    energy_distance,
    features,
    frechet_distance,
    moments,
    nearest_neighbours,
    smallest_gap,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whiten(x):
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov()).mT)


def test_frechet_of_known_gaussians():
    """Sets with mean and covariance exact by construction; diagonal covariances commute, so the formula has a closed form."""
    a, b = whiten(normal(400, 3)), whiten(normal(300, 3, seed=1))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    shift, sa, sb = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.5, 3.0])
    want = float(shift.square().sum() + (sa - sb).square().sum())
    assert frechet_distance(a * sa, b * sb + shift) == pytest.approx(want, abs=1e-8)


def test_frechet_of_covariances_that_do_not_commute():
    a, b = whiten(normal(400, 2)), whiten(normal(400, 2, seed=1))
    ma, mb = torch.tensor([[2.0, 0], [1, 1]]).double(), torch.tensor([[1.0, 1], [0, 3]]).double()
    cov_a, cov_b = ma.T @ ma, mb.T @ mb
    product = cov_a @ cov_b                                                # 2x2: tr sqrt(P) = sqrt(tr P + 2 sqrt det P)
    trace = math.sqrt(product.trace() + 2 * math.sqrt(torch.linalg.det(product)))
    want = float(cov_a.trace() + cov_b.trace()) - 2 * trace
    assert frechet_distance(a @ ma, b @ mb) == pytest.approx(want, abs=1e-8)
    assert frechet_distance(b @ mb, a @ ma) == pytest.approx(want, abs=1e-8)


def test_frechet_shrinks_with_the_number_of_samples():
    far, near = (frechet_distance(normal(n, 20), normal(n, 20, seed=1)) for n in (60, 6000))
    assert far > 10 * near > 0


def test_frechet_from_moments_is_the_same():
    a, b = normal(400, 3), normal(300, 3, seed=1) + 1
    assert frechet_distance(moments(a), b) == frechet_distance(a, moments(b)) == frechet_distance(a, b) > 1


@pytest.mark.parametrize("a, b, sentence", [
    ((5, 3), (5, 4), "of one dimension are needed, got 3 and 4"), ((1, 3), (5, 3), r"N > 1 is needed, got \(1, 3\)"),
    ((5,), (5,), r"N > 1 is needed, got \(5,\)")])
def test_frechet_bad_shapes(a, b, sentence):
    with pytest.raises(ValueError, match=sentence):
        frechet_distance(torch.zeros(a), torch.zeros(b))


def test_nearest_neighbours_by_brute_force():
    data, queries = normal(50, 1, 3, 3), normal(7, 1, 3, 3, seed=1)
    got = nearest_neighbours(queries, data, batch=3)
    for i in range(7):
        distance = (data - queries[i]).square().flatten(1).sum(1).sqrt()
        assert int(got.index[i]) == int(distance.argmin())
        assert float(got.distance[i]) == pytest.approx(float(distance.min()))
    gap = min(float((data[i] - data[j]).norm()) for i in range(50) for j in range(i))
    assert smallest_gap(data) == pytest.approx(gap)


def test_a_planted_copy_is_found():
    x_0 = digits().x_0
    copy = x_0[[123]] + 0.01
    found = nearest_neighbours(copy, x_0)
    assert int(found.index[0]) == 123 and float(found.distance[0]) < smallest_gap(x_0)


def test_confident_share():
    class Table(torch.nn.Module):
        def forward(self, p):
            return p.log()

    p = torch.tensor([[0.95, 0.05], [0.5, 0.5], [0.02, 0.98], [0.89, 0.11]])
    assert confident_share(Table(), p) == 0.5


def test_features_in_batches():
    torch.manual_seed(0)
    net = Classifier(1, 10).eval()
    x = torch.randn(11, 1, 8, 8)
    assert torch.allclose(features(net, x, batch=4), net.features(x), atol=1e-5)
    assert torch.allclose(net(x), net.out(torch.nn.functional.silu(net.features(x))), atol=1e-6)


def pairs(a, b):
    """2 E|X-Y| - E|X-X'| - E|Y-Y'| over all pairs."""
    (ab, aa, bb) = (torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").mean() for x, y in ((a, b), (a, a), (b, b)))
    return float(2 * ab - aa - bb)


@pytest.mark.parametrize("dim, tolerance", [(1, 1e-9), (2, 2e-3)])
def test_energy_distance_is_the_sum_over_all_pairs(dim, tolerance):
    a, b = normal(300, dim), 1.3 * normal(200, dim, seed=1) + 0.4
    assert energy_distance(a, b) == pytest.approx(pairs(a, b), rel=tolerance)
    assert energy_distance(b, a) == pytest.approx(energy_distance(a, b), rel=1e-12)
    assert energy_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_energy_distance_in_many_dimensions():
    a, b = normal(300, 8), 1.3 * normal(200, 8, seed=1) + 0.4
    got = energy_distance(a, b, directions=4000, generator=torch.Generator().manual_seed(0))
    assert got == pytest.approx(pairs(a, b), rel=0.03)


def test_energy_distance_of_two_gaussians():
    """E|X - Y| of N(0, v) differences is sqrt(2 v / pi): N(0, 1) and N(0, 4) in one dimension have 2 sqrt(10) - 2 - 4 over sqrt(pi)."""
    want = (2 * math.sqrt(10) - 2 - 4) / math.sqrt(math.pi)
    a, b = (scale * torch.special.ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)[:, None] for scale in (1, 2))
    assert energy_distance(a, b) == pytest.approx(want, rel=1e-3)


def test_the_floor_of_the_energy_distance():
    """Two sets of one distribution: (1/N + 1/M) E|X - X'| on average; in one dimension E|X - X'| = 2 / sqrt(pi)."""
    got = torch.tensor([energy_distance(normal(50, 1, seed=2 * k), normal(200, 1, seed=2 * k + 1)) for k in range(400)])
    want = (1 / 50 + 1 / 200) * 2 / math.sqrt(math.pi)
    assert abs(got.mean() - want) < 4 * got.std() / 20


@pytest.mark.parametrize("a, b, sentence", [((5, 2), (5, 3), r"got \(5, 2\) and \(5, 3\)"), ((0, 2), (5, 2), r"got \(0, 2\)"),
                                            ((5,), (5,), "two sets of points"), ((5, 3), (5, 3), "give a generator")])
def test_energy_distance_bad_input(a, b, sentence):
    with pytest.raises(ValueError, match=sentence):
        energy_distance(torch.zeros(a), torch.zeros(b))


def test_energy_distance_of_points_with_nan():
    with pytest.raises(ValueError, match="must be finite numbers, got NaN"):
        energy_distance(torch.tensor([[0.0], [math.nan]]), torch.zeros(3, 1))
