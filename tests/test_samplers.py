"""The pair (signal, noise): its algebra, its agreement with the literal DDPM, and samplers whose order is measured on exact data."""
import math

import pytest
import torch

from ddpm_lib.ddpm import p_sample, q_posterior, q_sample, sample_ddpm
from ddpm_lib.oracles import FiniteDataset, GaussianMixture
from ddpm_lib.paths import EDM, EPS, FLOW, VELOCITY, X_0, Path, V, ddim_step, ddpm_path, to_x_0
from ddpm_lib.samplers import ddim, ddpm, dpmpp_2m, even_times, heun
from ddpm_lib.schedules import cosine_schedule, linear_schedule

S = linear_schedule()
SMOOTH = Path(lambda t: (t.double() * math.pi / 2).cos(), lambda t: (t.double() * math.pi / 2).sin(), 0.999)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixture(path):
    means = torch.tensor([[-1.2, -0.6], [1.2, -0.3], [0.1, 1.3]], dtype=torch.float64)
    covariances = torch.stack([v * torch.eye(2, dtype=torch.float64) for v in (0.2, 0.1, 0.15)])
    return GaussianMixture(torch.tensor([0.5, 0.3, 0.2]), means, covariances, path)


@pytest.mark.parametrize("target", [EPS, X_0, V, VELOCITY])
@pytest.mark.parametrize("path, times", [(ddpm_path(S), (1, 500, 999)), (EDM, (0.01, 1.0, 80.0)), (FLOW, (0.01, 0.5, 0.99))])
def test_every_target_gives_back_x_0(path, times, target):
    x_0, eps = normal(3, 2, 4), normal(3, 2, 4, seed=1)
    t = torch.tensor(times)
    a, s = path.at(t, x_0)
    p, q = target.p(a, s), target.q(a, s)
    assert torch.allclose(to_x_0(a * x_0 + s * eps, p * x_0 + q * eps, a, s, p, q), x_0, atol=1e-9)


def test_the_ddpm_path_is_the_jump():
    x_0, eps, t = normal(4, 3), normal(4, 3, seed=1), torch.tensor([1, 10, 500, 1000])
    a, s = ddpm_path(S).at(t, x_0)
    assert torch.allclose(a * x_0 + s * eps, q_sample(x_0, t, eps, S), atol=1e-12)
    assert ddpm_path(S).at(torch.tensor([0]), x_0[:1])[1].item() == 0


def test_eta_1_is_hos_posterior_at_every_t():
    x_t, x_0, z = normal(1, 5), normal(1, 5, seed=1), normal(1, 5, seed=2)
    for t in range(1, 1001):
        mean, variance = q_posterior(x_0, x_t, torch.tensor([t]), S)
        a, s = ddpm_path(S).at(torch.tensor([t]), x_t)
        a_next, s_next = ddpm_path(S).at(torch.tensor([t - 1]), x_t)
        assert torch.allclose(ddim_step(x_t, x_0, a, s, a_next, s_next, 1.0, z), mean + variance.sqrt() * z, atol=1e-9), t


def test_eta_0_keeps_the_noise_and_changes_its_share():
    x_0, eps = normal(4, 3), normal(4, 3, seed=1)
    a, s = ddpm_path(S).at(torch.full((4,), 700), x_0)
    a_next, s_next = ddpm_path(S).at(torch.full((4,), 300), x_0)
    assert torch.allclose(ddim_step(a * x_0 + s * eps, x_0, a, s, a_next, s_next), a_next * x_0 + s_next * eps, atol=1e-12)


@pytest.mark.parametrize("run, variance", [
    (lambda *given: ddpm(*given), "beta"), (lambda *given: ddpm(*given, "beta_tilde"), "beta_tilde"),
    (lambda oracle, x, times, s, g: ddim(oracle, x, times, s, 1.0, g), "beta_tilde")])
def test_the_full_grid_is_ancestral_sampling_to_the_bit_of_its_noise(run, variance):
    """The same generator draws the same z; ddpm is the sampler of chapter 03, ddim at eta = 1 the one with beta_tilde."""
    s = cosine_schedule(50)
    oracle, g, h = mixture(s), torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    for _, want, _ in sample_ddpm(oracle, (20, 2), s, g, getattr(s, variance)):
        pass
    x = torch.randn(20, 2, generator=h)
    for _, got, _ in run(oracle, x, range(50, -1, -1), s, h):
        pass
    assert torch.allclose(got, want, atol=2e-5)


def test_one_step_of_p_sample_is_one_step_of_ddpm():
    oracle, x = mixture(S), normal(6, 2)
    want, _ = p_sample(oracle, x, 400, torch.zeros_like(x), S)
    _, got, _ = next(ddpm(lambda x, t: oracle(x, t), x, [400, 399], ddpm_path(S), torch.Generator().manual_seed(0)))
    z = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    assert torch.allclose(got - S.beta[400].sqrt() * z, want, atol=1e-9)


def errors(sampler, path, counts, start):
    """Largest distance to a very fine run, for each number of steps."""
    oracle, x = mixture(path), normal(200, 2, seed=5)
    a, s = path.at(torch.full((200,), start, dtype=torch.float64), x)
    x = s * x

    def end(sampler, n):
        times = [start * (1 - k / n) + 0.02 * k / n for k in range(n + 1)]
        for _, out, _ in sampler(oracle, x, times, path):
            pass
        return out
    truth = end(heun, 4000)
    return [float((end(sampler, n) - truth).abs().max()) for n in counts]


@pytest.mark.parametrize("path, start", [(SMOOTH, 0.98), (FLOW, 0.98)])
@pytest.mark.parametrize("sampler, order", [(ddim, 1), (heun, 2), (dpmpp_2m, 2)])
def test_order_of_convergence(sampler, order, path, start):
    """Twice the steps, half the error for DDIM, a quarter for Heun and DPM-Solver++(2M): slopes on exact mixture data."""
    counts = (80, 160, 320)
    e = errors(sampler, path, counts, start)
    slope = (math.log(e[0]) - math.log(e[-1])) / math.log(counts[-1] / counts[0])
    assert slope == pytest.approx(order, abs=0.25), (slope, e)


def test_oracles_on_a_path():
    """The same mixture by a schedule and by its path; a finite set on FLOW."""
    x, t = normal(5, 2), torch.tensor([1, 20, 300, 700, 1000])
    assert torch.equal(mixture(S)(x, t), mixture(ddpm_path(S))(x, t))
    x_0 = normal(7, 2)
    got = FiniteDataset(x_0, FLOW)(x, torch.full((5,), 0.5))
    w = (-(x[:, None] - 0.5 * x_0).square().sum(2) / (2 * 0.25)).softmax(1)
    assert torch.allclose(got, w @ x_0, atol=1e-12)


def test_even_times():
    assert even_times(ddpm_path(S), 4) == [1000, 750, 500, 250, 0] and even_times(ddpm_path(S), 1) == [1000, 0]
    assert even_times(ddpm_path(S), 1000) == list(range(1000, -1, -1))
    assert even_times(ddpm_path(S), 3) == [1000, 667, 333, 0]


@pytest.mark.parametrize("call, sentence", [
    (lambda: even_times(ddpm_path(S), 0), r"steps must be in 1..1000, .* got 0"),
    (lambda: even_times(S, 2.5), r"steps must be in 1..1000, .* got 2.5"),
    (lambda: next(ddim(mixture(S), normal(1, 2), [5, 0], S, float("nan"))), r"eta must be in \[0, 1\], got nan"),
    (lambda: next(ddim(mixture(S), normal(1, 2), [5, 0], S, -0.1)), r"eta must be in \[0, 1\], got -0.1"),
    (lambda: next(ddpm(mixture(S), normal(1, 2), [5, 0], S, torch.Generator(), "gamma")), "variance must be 'beta' or 'beta_tilde', got 'gamma'"),
    (lambda: even_times(ddpm_path(S), 1001), r"steps must be in 1..1000, .* got 1001"),
    (lambda: next(ddim(mixture(S), normal(1, 2), [5, 5, 0], ddpm_path(S))), "times must fall at every step"),
    (lambda: next(ddim(mixture(S), normal(1, 2), [0, 5], ddpm_path(S))), "times must fall at every step"),
    (lambda: next(ddim(mixture(S), normal(1, 2), [5], ddpm_path(S))), "hold both ends"),
    (lambda: next(ddim(mixture(S), normal(1, 2), [5, 0], ddpm_path(S), 1.5)), r"eta must be in \[0, 1\], got 1.5"),
    (lambda: next(ddim(mixture(S), normal(1, 2), [5, 0], ddpm_path(S), 0.5)), "give a generator"),
    (lambda: next(ddim(mixture(S), normal(1, 2), [1001, 0], ddpm_path(S))), "t must be in 0..1000, got 1001"),
    (lambda: next(ddim(mixture(S), normal(1, 2), [0.5, 0.0], ddpm_path(S))), "t must be int64, got torch.float64"),
])
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
