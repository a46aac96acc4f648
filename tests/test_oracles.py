"""Exact denoisers against densities and gradients that torch computes, and the sampler against the truth."""
import math
import os
import subprocess
import sys

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from ddpm_lib import data
from ddpm_lib.course.ch03 import three_clouds
from ddpm_lib.ddpm import q_sample, sample_ddpm
from ddpm_lib.metrics import energy_distance
from ddpm_lib.oracles import FiniteDataset, GaussianMixture
from ddpm_lib.schedules import linear_schedule

S = linear_schedule(200, 5e-4, 0.1)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def mixture_3d(schedule=S):
    roots = normal(4, 3, 3, seed=1)
    return GaussianMixture(torch.tensor([0.1, 0.2, 0.3, 0.4]), normal(4, 3, seed=2), roots @ roots.mT + 0.05 * torch.eye(3), schedule)


def density(mixture, t):
    """The same noised mixture, built by torch: component k is N(a m_k, a^2 S_k + s^2 I)."""
    alpha_bar = mixture.schedule.alpha_bar[t]
    parts = MultivariateNormal(alpha_bar.sqrt() * mixture.means, alpha_bar * mixture.covariances + (1 - alpha_bar) * torch.eye(3).double())
    return MixtureSameFamily(Categorical(mixture.weights), parts)


@pytest.mark.parametrize("t", [0, 1, 30, 120, 200])
def test_density_score_and_guess_of_a_mixture(t):
    """ln q against torch's; the score against its gradient; the guess against Tweedie's formula from that gradient."""
    mixture, x = mixture_3d(), 2 * normal(50, 3, seed=3)
    x.requires_grad_(True)
    ln_q, ts = density(mixture, t).log_prob(x), torch.full((50,), t)
    slope, = torch.autograd.grad(ln_q.sum(), x)
    x = x.detach()
    assert torch.allclose(mixture.log_prob(x, ts), ln_q.detach(), atol=1e-10, rtol=0)
    assert torch.allclose(mixture.score(x, ts), slope, atol=1e-9, rtol=1e-9)
    alpha_bar = S.alpha_bar[t]
    assert torch.allclose(mixture(x, ts), (x + (1 - alpha_bar) * slope) / alpha_bar.sqrt(), atol=1e-9, rtol=1e-9)
    assert torch.allclose(mixture.responsibilities(x, ts).sum(1), torch.ones(50).double())


def test_each_element_has_its_own_t_and_its_own_type():
    mixture, x, ts = mixture_3d(), normal(4, 3), torch.tensor([1, 50, 120, 200])
    one_by_one = torch.cat([mixture(x[i:i + 1], ts[i:i + 1]) for i in range(4)])
    assert torch.allclose(mixture(x, ts), one_by_one, atol=1e-12)
    assert mixture(x.float(), ts).dtype == torch.float32 and torch.allclose(mixture(x.float(), ts).double(), one_by_one, atol=1e-5)


def test_far_from_everything_nothing_underflows():
    far = mixture_3d()(torch.full((1, 3), 1e4), torch.tensor([5]))
    assert torch.isfinite(far).all() and torch.isfinite(mixture_3d().log_prob(torch.full((1, 3), 1e4), torch.tensor([5]))).all()


def test_samples_of_a_mixture_have_its_moments():
    mixture, n = mixture_3d(), 100_000
    x = mixture.sample(n, seeded(0)).double()
    mean = (mixture.weights[:, None] * mixture.means).sum(0)
    second = (mixture.weights[:, None, None] * (mixture.covariances + mixture.means[:, :, None] * mixture.means[:, None])).sum(0)
    assert ((x.mean(0) - mean).abs() < 4 * x.std(0) / math.sqrt(n)).all()
    products = x[:, :, None] * x[:, None]
    assert ((products.mean(0) - second).abs() < 4 * products.std(0) / math.sqrt(n)).all()
    assert torch.equal(mixture.sample(5, seeded(3)), mixture.sample(5, seeded(3)))


def test_the_guess_has_the_smallest_error():
    """On draws, a guess that is moved a little in any way has a larger squared error: by the square of the move."""
    mixture, t = mixture_3d(), torch.full((50_000,), 60)
    x_0 = mixture.sample(50_000, seeded(1)).double()
    x_t = q_sample(x_0, t, normal(50_000, 3, seed=2), S)
    guess = mixture(x_t, t)
    best = (x_0 - guess).square().sum(1)
    for moved in (guess * 1.1, guess + 0.1, mixture(x_t, t + 10), mixture(x_t, t - 10)):
        gain = (x_0 - moved).square().sum(1) - best
        assert gain.mean() > 3 * gain.std() / math.sqrt(50_000)


# -- a finite set --------------------------------------------------------------------------------------------------------

def test_finite_set_is_the_softmax_written_out():
    x_0, x_t, t = normal(7, 2, 3), normal(4, 2, 3, seed=1), torch.tensor([1, 20, 100, 200])
    got = FiniteDataset(x_0, S)(x_t, t)
    for i in range(4):
        a, s2 = S.alpha_bar[t[i]].sqrt(), 1 - S.alpha_bar[t[i]]
        ln = torch.stack([-(x_t[i] - a * x).square().sum() / (2 * s2) for x in x_0])
        p = (ln - ln.max()).exp()
        assert torch.allclose(got[i], ((p / p.sum())[:, None, None] * x_0).sum(0), atol=1e-10)


def test_finite_set_is_a_mixture_without_width():
    x_0, x_t, t = normal(6, 2), normal(5, 2, seed=1), torch.tensor([20, 50, 80, 120, 199])
    narrow = GaussianMixture(torch.full((6,), 1 / 6).double(), x_0, 1e-10 * torch.eye(2).expand(6, 2, 2), S)
    assert torch.allclose(FiniteDataset(x_0, S)(x_t, t), narrow(x_t, t), atol=1e-6)


def test_pieces_give_the_same():
    x_0, x_t, t = normal(50, 4), normal(33, 4, seed=1), torch.randint(1, 201, (33,), generator=seeded(0))
    assert torch.equal(FiniteDataset(x_0, S, limit=1)(x_t, t), FiniteDataset(x_0, S)(x_t, t))


def test_finite_set_ends_on_its_elements():
    x_0 = data.digits().x_0[:100]
    for _, x, _ in sample_ddpm(FiniteDataset(x_0, S), (20, 1, 8, 8), S, seeded(0)):
        pass
    assert torch.cdist(x.flatten(1), x_0.flatten(1)).min(1).values.max() < 0.1


def test_all_digits_at_batch_64_stay_under_500_MB():
    """Peak memory of a fresh process with and without the call."""
    code = ("import resource, sys, torch; from ddpm_lib import data; from ddpm_lib.oracles import FiniteDataset\n"
            "from ddpm_lib.schedules import linear_schedule; torch.set_num_threads(1)\n"
            "x = data.digits().x_0; peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "before = peak(); guess = FiniteDataset(x, linear_schedule())(x[:64] * 0.5, torch.full((64,), 500))\n"
            "assert guess.shape == (64, 1, 8, 8); print(peak() - before)")
    pytest.importorskip("resource", reason="this system does not report the peak memory of a process: run it on Linux or macOS")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(data.ROOT.parent)})
    assert out.returncode == 0, out.stderr
    unit = 1 if sys.platform == "darwin" else 1024                         # bytes on macOS, kilobytes on Linux
    assert int(out.stdout) * unit < 500e6


# -- the sampler with an exact denoiser ----------------------------------------------------------------------------------

N = 20_000


@pytest.fixture(scope="module")
def clouds():
    """The mixture of chapter 03, 50,000 draws of it, and the energy distances of 12 other sets of N draws to these."""
    mixture = three_clouds(S)
    truth = mixture.sample(50_000, seeded(0))
    floor = torch.tensor([energy_distance(mixture.sample(N, seeded(k)), truth) for k in range(100, 112)])
    return mixture, truth, floor


def draw(denoiser, seed):
    for _, x, _ in sample_ddpm(denoiser, (N, 2), S, seeded(seed)):
        pass
    return x


def test_ancestral_sampling_cannot_be_told_from_the_truth_and_an_off_by_one_can(clouds):
    """20,000 samples, three seeds. Right: the mean distance is within the floor's own spread. alpha_bar shifted: over 3 times the floor."""
    mixture, truth, floor = clouds
    right = torch.tensor([energy_distance(draw(mixture, seed), truth) for seed in (1, 2, 3)])
    assert right.mean() < floor.mean() + 3 * floor.std() / math.sqrt(3)
    assert right.max() < floor.max() + floor.std()
    wrong = draw(lambda x, t: mixture(x, t - 1), 1)
    assert energy_distance(wrong, truth) > max(3 * floor.mean(), 1.5 * floor.max())


def test_how_many_samples_it_takes(clouds):
    """The off-by-one is lost in the noise of 1,000 samples: most sets of that size lie below the largest of ten true ones."""
    mixture, truth, _ = clouds
    wrong = draw(lambda x, t: mixture(x, t - 1), 1)
    noticed = {}
    for n in (1000, N):
        largest = max(energy_distance(mixture.sample(n, seeded(k)), truth) for k in range(20, 30))
        distances = [energy_distance(part, truth) for part in wrong.split(n)[:10]]
        noticed[n] = sum(d > largest for d in distances) / len(distances)
    assert noticed[1000] < 0.5 and noticed[N] == 1


# -- bad input -----------------------------------------------------------------------------------------------------------

one, two = torch.ones(1), torch.tensor([0.5, 0.5])
I2 = torch.eye(2).expand(2, 2, 2)
BAD = [
    (lambda: GaussianMixture(torch.tensor([0.5, 0.4]), torch.zeros(2, 2), I2, S), r"must be positive and sum to 1, got \[0.5, 0.4\]"),
    (lambda: GaussianMixture(torch.tensor([1.5, -0.5]), torch.zeros(2, 2), I2, S), "must be positive and sum to 1"),
    (lambda: GaussianMixture(two, torch.zeros(2, 2), torch.stack([torch.eye(2), torch.ones(2, 2)]), S), "covariance 1 is singular"),
    (lambda: GaussianMixture(two, torch.zeros(2, 2), torch.stack([-torch.eye(2), torch.eye(2)]), S), "covariance 0 is .* not positive definite"),
    (lambda: GaussianMixture(one, torch.zeros(1, 2), torch.tensor([[[1.0, 0.5], [0.0, 1.0]]]), S), "covariance 0 is not symmetric"),
    (lambda: GaussianMixture(two, torch.zeros(2, 3), I2, S), r"got \(2,\), \(2, 3\), \(2, 2, 2\)"),
    (lambda: GaussianMixture(one, torch.zeros(2, 2), I2, S), r"got \(1,\), \(2, 2\)"),
    (lambda: GaussianMixture(two, torch.full((2, 2), math.nan), I2, S), "the means of a mixture must be finite"),
    (lambda: GaussianMixture(two, torch.zeros(2, 2), math.inf * I2, S), "the covariances of a mixture must be finite"),
    (lambda: mixture_3d()(torch.zeros(4, 2), torch.ones(4, dtype=torch.int64)), r"shape \(B, 3\) like the means, got \(4, 2\)"),
    (lambda: mixture_3d()(torch.zeros(4, 3), torch.full((4,), 201)), "t must be in 0..200, got 201"),
    (lambda: mixture_3d()(torch.zeros(4, 3), torch.full((4,), -1)), "t must be in 0..200, got -1"),
    (lambda: mixture_3d()(torch.zeros(4, 3), torch.ones(4)), "t must be int64, got torch.float32"),
    (lambda: mixture_3d()(torch.zeros(4, 3), 7), r"t must be a tensor of shape \(4,\), one time per element, got 7"),
    (lambda: FiniteDataset(torch.zeros(0, 2), S), r"N > 0, got \(0, 2\)"),
    (lambda: FiniteDataset(torch.zeros(5), S), r"\(N, \*D\) with N > 0, got \(5,\)"),
    (lambda: FiniteDataset(torch.tensor([[0.0], [math.nan]]), S), "element 1 has NaN or infinity"),
    (lambda: FiniteDataset(torch.zeros(5, 2), S)(torch.zeros(3, 4), torch.ones(3, dtype=torch.int64)), "like the data, got"),
]


@pytest.mark.parametrize("call, sentence", BAD)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
