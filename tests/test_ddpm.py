"""The forward chain, the posterior, the loss and the sampler against exact answers."""
import math

import pytest
import torch

from ddpm_lib.ddpm import (
    at,
    elbo_terms,
    gaussian_kl,
    log_decoder,
    p_sample,
    predict_x_0,
    q_posterior,
    q_sample,
    q_step,
    sample_ddpm,
    simple_loss,
)
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.schedules import cosine_schedule, linear_schedule, sigmoid_schedule

SCHEDULES = [linear_schedule(), cosine_schedule(200), sigmoid_schedule(50)]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("s", SCHEDULES)
def test_coefficients_are_the_papers(s):
    x, eps, t = normal(6, 2, 3, 3), normal(6, 2, 3, 3, seed=1), torch.tensor([1, 2, s.T // 2, s.T - 1, s.T, 1])
    for step, share in ((q_step, 1 - s.beta), (q_sample, s.alpha_bar)):
        got = step(x, t, eps, s)
        for i in range(6):
            a = float(share[t[i]])
            assert torch.allclose(got[i], math.sqrt(a) * x[i] + math.sqrt(1 - a) * eps[i], atol=1e-13)


def test_jump_equals_step_at_t_1():
    x, eps, t = normal(4, 5), normal(4, 5, seed=1), torch.ones(4, dtype=torch.int64)
    for s in SCHEDULES:
        assert torch.allclose(q_sample(x, t, eps, s), q_step(x, t, eps, s), atol=1e-13, rtol=0)


def test_chain_has_the_moments_of_the_jump():
    s, n, x_0 = linear_schedule(100, 1e-3, 0.2), 40_000, 0.7
    g = torch.Generator().manual_seed(0)
    x = torch.full((n, 1), x_0, dtype=torch.float64)
    for t in range(1, 101):
        x = q_step(x, torch.full((n,), t), torch.randn(n, 1, generator=g, dtype=torch.float64), s)
        mean, var = math.sqrt(s.alpha_bar[t]) * x_0, 1 - float(s.alpha_bar[t])
        if t in (1, 10, 50, 100):
            assert abs(x.mean() - mean) < 4 * math.sqrt(var / n)
            assert abs(x.var() - var) < 4 * var * math.sqrt(2 / n)


@pytest.mark.parametrize("s", SCHEDULES)
def test_predict_x_0_inverts_q_sample(s):
    t = torch.arange(1, s.T)                              # at T of the cosine schedule alpha_bar is 1e-9: digits are lost
    x_0, eps = normal(len(t), 3), normal(len(t), 3, seed=1)
    assert torch.allclose(predict_x_0(q_sample(x_0, t, eps, s), t, eps, s), x_0, atol=1e-9)


@pytest.mark.parametrize("s", SCHEDULES)
def test_posterior_by_bayes_rule_on_a_grid(s):
    """q(x_{t-1} | x_t, x_0) is proportional to q(x_t | x_{t-1}) q(x_{t-1} | x_0): its moments by brute force."""
    x_0, x_t = 0.4, -0.3
    for t in (2, s.T // 2, s.T - 1):
        beta, before = float(s.beta[t]), float(s.alpha_bar[t - 1])
        u = torch.linspace(-8, 8, 400_001, dtype=torch.float64)
        log_p = -(x_t - math.sqrt(1 - beta) * u) ** 2 / (2 * beta) - (u - math.sqrt(before) * x_0) ** 2 / (2 * (1 - before))
        p = (log_p - log_p.max()).exp()
        mean = float((u * p).sum() / p.sum())
        var = float(((u - mean) ** 2 * p).sum() / p.sum())
        one = torch.ones(1, 1, dtype=torch.float64)
        got_mean, got_var = q_posterior(x_0 * one, x_t * one, torch.tensor([t]), s)
        assert float(got_mean) == pytest.approx(mean, abs=1e-9)
        assert float(got_var) == pytest.approx(var, rel=1e-6)


def test_posterior_at_t_1_is_x_0():
    for s in SCHEDULES:
        mean, var = q_posterior(normal(3, 2), normal(3, 2, seed=1), torch.ones(3, dtype=torch.int64), s)
        assert torch.allclose(mean, normal(3, 2), atol=1e-12) and (var == 0).all()


def test_float32_coefficients_keep_float64_precision():
    """Tables are combined in float64 and cast once: at t = 2 of the linear schedule 1 - alpha_bar is 2e-4."""
    s, t = linear_schedule(), torch.tensor([2, 3, 500])
    x_0, x_t = normal(3, 4), normal(3, 4, seed=1)
    low, _ = q_posterior(x_0.float(), x_t.float(), t, s)
    high, _ = q_posterior(x_0, x_t, t, s)
    assert (low - high).abs().max() < 5e-7


def test_p_sample_mean_is_equation_11():
    s, x_t, eps_hat = linear_schedule(), normal(5, 3), normal(5, 3, seed=1)
    for t in (2, 500, 1000):
        x, _ = p_sample(denoiser(lambda x, t: eps_hat, s), x_t, t, torch.zeros_like(x_t), s)
        beta, alpha_bar = float(s.beta[t]), float(s.alpha_bar[t])
        eq_11 = (x_t - beta / math.sqrt(1 - alpha_bar) * eps_hat) / math.sqrt(1 - beta)
        assert torch.allclose(x, eq_11, atol=1e-10)


def test_p_sample_noise():
    s, x_t, z = linear_schedule(), normal(5, 3), normal(5, 3, seed=2)

    def guess(x, t):
        return torch.zeros_like(x)

    for t in (2, 1000):
        for variance in (s.beta, s.beta_tilde):
            still, _ = p_sample(guess, x_t, t, 0 * z, s, variance)
            moved, _ = p_sample(guess, x_t, t, z, s, variance)
            assert torch.allclose(moved - still, math.sqrt(variance[t]) * z, atol=1e-12)
    assert torch.equal(p_sample(guess, x_t, 1, z, s)[0], p_sample(guess, x_t, 1, 0 * z, s)[0])     # none at t = 1


def test_clipping_bounds_the_guess():
    s, x_t = linear_schedule(), 5 * normal(50, 3)
    guess = denoiser(lambda x, t: 0 * x, s)
    _, free = p_sample(guess, x_t, 300, 0 * x_t, s)
    for bound in (1, 2):
        _, cut = p_sample(clipped(guess, bound), x_t, 300, 0 * x_t, s)
        assert free.abs().max() > 5 and torch.equal(cut, free.clamp(-bound, bound))
    assert torch.equal(clipped(guess)(x_t, torch.full((50,), 300)), free.clamp(-1, 1))


def test_simple_loss_is_the_mean_square():
    s, x_0, eps, t = linear_schedule(), normal(4, 6), normal(4, 6, seed=1), torch.tensor([1, 10, 100, 1000])
    assert float(simple_loss(lambda x, t: torch.zeros_like(x), x_0, t, eps, s)) == pytest.approx(float(eps.square().mean()))
    assert float(simple_loss(lambda x, t: eps + 2, x_0, t, eps, s)) == pytest.approx(4)


def exact_chain(s, m, v, variance):
    """Mean and variance of every x_t when the exact denoiser of N(m, v) data drives the sampler (all steps are affine)."""
    mean, var, out = 0.0, 1.0, {}
    for t in range(s.T, 0, -1):
        a, a1, b = float(s.alpha_bar[t]), float(s.alpha_bar[t - 1]), float(s.beta[t])
        gain = math.sqrt(a) * v / (a * v + 1 - a)                          # E[x_0 | x_t] = m + gain (x_t - sqrt(a) m)
        on_x_0 = math.sqrt(a1) * b / (1 - a)
        slope = on_x_0 * gain + math.sqrt(1 - b) * (1 - a1) / (1 - a)
        mean = slope * mean + on_x_0 * (m - gain * math.sqrt(a) * m)
        var = slope ** 2 * var + (float(variance[t]) if t > 1 else 0.0)
        out[t - 1] = (mean, var)
    return out


@pytest.mark.parametrize("choice", ["beta", "beta_tilde"])
def test_sampler_draws_the_known_distribution(choice):
    """Data N(0.5, 0.09), exact noise guess: moments at several t, and the whole distribution of the samples."""
    s, m, v, n = linear_schedule(), 0.5, 0.09, 20_000
    variance = getattr(s, choice)

    def net(x, t):
        a = at(s.alpha_bar, t, x)
        return (1 - a).sqrt() * (x - a.sqrt() * m) / (a * v + 1 - a)

    want = exact_chain(s, m, v, variance)
    for t, x, _ in sample_ddpm(denoiser(net, s), (n, 1), s, torch.Generator().manual_seed(0), variance):
        if t in (0, 1, 100, 500):
            mean, var = want[t]
            assert abs(x.mean() - mean) < 4 * math.sqrt(var / n), t
            assert abs(x.var() - var) < 4 * var * math.sqrt(2 / n), t
    assert want[0][0] == pytest.approx(m, abs=1e-3)
    assert want[0][1] == pytest.approx(v, rel=0.03)                        # T = 1000 steps: beta_tilde ends 2.5 % below v
    sample = x.flatten().double().sort().values
    cdf = 0.5 * (1 + torch.erf((sample - want[0][0]) / math.sqrt(2 * want[0][1])))
    ranks = torch.arange(1, n + 1, dtype=torch.float64) / n
    assert (cdf - ranks).abs().max() < 1.95 / math.sqrt(n)                 # Kolmogorov-Smirnov, p = 0.001


def test_that_test_would_see_an_off_by_one():
    """The same chain with alpha_bar one step late: its mean is off by more than the four standard errors allowed above."""
    s, m, v, n = linear_schedule(50, 1e-3, 0.35), 0.5, 0.09, 20_000
    late = torch.cat([s.alpha_bar[1:], s.alpha_bar[-1:]])
    right = exact_chain(s, m, v, s.beta_tilde)[0]

    class Shifted:
        T, beta, alpha_bar = s.T, s.beta, torch.cat([torch.ones(1, dtype=torch.float64), late[1:]])

    wrong = exact_chain(Shifted, m, v, s.beta_tilde)[0]
    assert abs(wrong[0] - right[0]) > 4 * math.sqrt(right[1] / n) or abs(wrong[1] - right[1]) > 4 * right[1] * math.sqrt(2 / n)


def test_sampler_yields_every_step_and_is_seeded():
    s = cosine_schedule(20)
    runs = [[(t, x) for t, x, _ in sample_ddpm(lambda x, t: 0.1 * x, (3, 2), s, torch.Generator().manual_seed(seed))]
            for seed in (0, 0, 1)]
    assert [t for t, _ in runs[0]] == list(range(19, -1, -1))
    assert torch.equal(runs[0][-1][1], runs[1][-1][1]) and not torch.equal(runs[0][-1][1], runs[2][-1][1])


BAD = [
    (torch.tensor([0, 1]), "t must be in 1..1000, got 0"),
    (torch.tensor([1, 1001]), "t must be in 1..1000, got 1001"),
    (torch.tensor([1.0, 2.0]), r"t must be an int64 tensor of shape \(2,\), one step per element, got torch.float32 of \(2,\)"),
    (torch.tensor([1, 2], dtype=torch.int32), "got torch.int32"),
    (torch.tensor(5), r"t must be an int64 tensor of shape \(2,\).*got torch.int64 of \(\)"),
    (torch.tensor([[1], [2]]), r"got torch.int64 of \(2, 1\)"),
]


@pytest.mark.parametrize("t,sentence", BAD)
def test_bad_t(t, sentence):
    x, s = torch.zeros(2, 3), linear_schedule()
    for call in (lambda: q_step(x, t, x, s), lambda: q_sample(x, t, x, s), lambda: q_posterior(x, x, t, s),
                 lambda: predict_x_0(x, t, x, s), lambda: simple_loss(lambda x, t: x, x, t, x, s)):
        with pytest.raises(ValueError, match=sentence):
            call()


def test_integer_data_is_refused():
    with pytest.raises(ValueError, match="the data must be floating point, got torch.uint8"):
        q_sample(torch.zeros(2, 3, dtype=torch.uint8), torch.tensor([1, 2]), torch.zeros(2, 3, dtype=torch.uint8), linear_schedule())


def test_shapes_that_would_broadcast_silently():
    s, t = linear_schedule(), torch.tensor([1, 2])
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3, 4, 4\) and \(1, 3, 4, 4\)"):
        q_sample(torch.zeros(2, 3, 4, 4), t, torch.zeros(1, 3, 4, 4), s)


# -- denoisers, KL, the bound -----------------------------------------------------------------------------------------------

def test_a_network_that_knows_the_noise_makes_the_exact_denoiser():
    s, x_0, eps, t = linear_schedule(), normal(6, 3), normal(6, 3, seed=1), torch.tensor([1, 2, 10, 100, 500, 900])
    x_t = q_sample(x_0, t, eps, s)
    assert torch.allclose(denoiser(lambda x, t: eps, s)(x_t, t), x_0, atol=1e-10)


def test_gaussian_kl_is_torchs():
    m, v = normal(7, 2), normal(7, 2, seed=1).exp()
    got = gaussian_kl(m[:, 0], v[:, 0], m[:, 1], v[:, 1])
    p, q = (torch.distributions.Normal(m[:, i], v[:, i].sqrt()) for i in (0, 1))
    assert torch.allclose(got, torch.distributions.kl_divergence(p, q), atol=1e-12)


@pytest.mark.parametrize("mean, sigma", [(0.3, 0.05), (-1.2, 0.01), (0.0, 2.0), (0.97, 0.3)])
def test_probabilities_of_grey_levels(mean, sigma):
    """They sum to 1, are the Gaussian's mass in each bin, and stay finite deep in both tails."""
    levels = torch.linspace(-1, 1, 17, dtype=torch.float64)
    ln_p = log_decoder(levels, mean + 0 * levels, torch.tensor(sigma, dtype=torch.float64), levels=17)
    assert float(ln_p.exp().sum()) == pytest.approx(1, abs=1e-12) and torch.isfinite(ln_p).all()
    k = int((levels - mean).abs().clamp(max=0.9).argmin())
    low = -math.inf if k == 0 else float(levels[k]) - 1 / 16
    high = math.inf if k == 16 else float(levels[k]) + 1 / 16
    mass = 0.5 * (math.erf((high - mean) / sigma / math.sqrt(2)) - math.erf((low - mean) / sigma / math.sqrt(2)))
    assert float(ln_p[k].exp()) == pytest.approx(mass, abs=1e-12)


def gaussian_guess(v, s):
    def guess(x_t, t):
        a = at(s.alpha_bar, t, x_t)
        return a.sqrt() * v / (a * v + 1 - a) * x_t
    return guess


def linear_chain(v, s, variance):
    """Mean of -ELBO and of -ln p over x_0 ~ N(0, v), for the exact guess: every step back is a straight line, so both are closed forms."""
    V, bound = 1.0, 0.5 * float(s.alpha_bar[-1] * (v - 1) - (1 - s.alpha_bar[-1]).log())
    for t in range(s.T, 0, -1):
        a, before, beta, sigma2 = (float(x) for x in (s.alpha_bar[t], s.alpha_bar[t - 1], s.beta[t], variance[t]))
        c, d = math.sqrt(before) * beta / (1 - a), math.sqrt(1 - beta) * (1 - before) / (1 - a)
        V = (c * math.sqrt(a) * v / (a * v + 1 - a) + d) ** 2 * V + sigma2
        off = c ** 2 * v * (1 - a) / (a * v + 1 - a) / sigma2
        ratio = float(s.beta_tilde[t]) / sigma2
        bound += 0.5 * (ratio - 1 - math.log(ratio) + off) if t > 1 else 0.5 * (math.log(2 * math.pi * sigma2) + off)
    return bound, 0.5 * (math.log(2 * math.pi * V) + v / V)


def tables(v, s):
    """The variances of a step back: beta, beta_tilde with an entry at t = 1, and the exact one of Gaussian data."""
    c = s.alpha_bar.roll(1).sqrt() * s.beta / (1 - s.alpha_bar)
    exact = s.beta_tilde + c ** 2 * v * (1 - s.alpha_bar) / (s.alpha_bar * v + 1 - s.alpha_bar)
    return s.beta, torch.cat([s.beta_tilde[:1], s.beta_tilde[2:3], s.beta_tilde[2:]]), exact


@pytest.mark.parametrize("T", [50, 1000])
@pytest.mark.parametrize("v", [1.0, 0.25])
def test_the_bound_of_a_linear_chain_against_its_likelihood(v, T):
    """Below the likelihood always; tight for the exact variance, and for beta if v = 1; loose for beta_tilde."""
    s, entropy = linear_schedule(T, 0.1 / T, 20 / T), 0.5 * math.log(2 * math.pi * math.e * v)
    (beta, nll_beta), (tilde, nll_tilde), (exact, nll_exact) = (linear_chain(v, s, variance) for variance in tables(v, s))
    assert all(bound > nll - 1e-9 and nll > entropy - 1e-9 for bound, nll in ((beta, nll_beta), (tilde, nll_tilde), (exact, nll_exact)))
    assert exact - entropy < 2e-5 and tilde - nll_tilde > 0.1
    assert beta - nll_beta < 2e-5 if v == 1 else beta - nll_beta > 1e-3


def test_elbo_terms_draw_what_the_closed_form_says():
    """The sum of the drawn terms is the chain's bound, for all three variances, within 4 standard errors; a wrong guess is not."""
    s, v, n = linear_schedule(50, 2e-3, 0.4), 0.25, 20_000
    x_0 = math.sqrt(v) * normal(n, 1)
    for variance in tables(v, s):
        drawn = elbo_terms(gaussian_guess(v, s), x_0, s, torch.Generator().manual_seed(1), variance).nats.sum(1)
        assert abs(drawn.mean() - linear_chain(v, s, variance)[0]) < 4 * drawn.std() / math.sqrt(n)
    late = elbo_terms(lambda x, t: gaussian_guess(v, s)(x, (t - 1).clamp(min=1)), x_0, s, torch.Generator().manual_seed(1)).nats.sum(1)
    assert late.mean() - linear_chain(v, s, s.beta)[0] > 4 * late.std() / math.sqrt(n)


def test_elbo_terms_are_laid_out_as_in_the_paper():
    """Entry t is L_t: L_T needs no draw, and a guess that knows x_0 leaves only the comparison of the variances."""
    s, x_0 = linear_schedule(20, 0.01, 0.5), 0.4 * normal(3, 2, 4)
    terms = elbo_terms(lambda x, t: x_0, x_0, s, torch.Generator().manual_seed(0))
    assert terms.nats.shape == (3, 21) and torch.allclose(terms.bits_per_dim, terms.nats / (8 * math.log(2)))
    a = s.alpha_bar[20]
    last = torch.distributions.kl_divergence(torch.distributions.Normal(a.sqrt() * x_0, (1 - a).sqrt()), torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(terms.nats[:, 20], last.flatten(1).sum(1))
    for t in (2, 11, 20):
        ratio = s.beta_tilde[t] / s.beta[t]
        assert torch.allclose(terms.nats[:, t - 1], 4 * (ratio - 1 - ratio.log()).expand(3))
    assert torch.allclose(terms.nats[:, 0], 4 * (2 * math.pi * s.beta[1]).log().expand(3))      # the mean hits x_0


def test_elbo_terms_refuse_a_variance_of_zero():
    s = linear_schedule(20, 0.01, 0.5)
    with pytest.raises(ValueError, match=r"beta_tilde\[1\] is 0, put beta_tilde\[2\] there"):
        elbo_terms(gaussian_guess(1, s), normal(3, 1), s, torch.Generator(), s.beta_tilde)
