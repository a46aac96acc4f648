"""Schedules: the paper's numbers, exact identities in float64, and one sentence for each wrong argument."""
import math

import pytest
import torch

from ddpm_lib.schedules import (
    SCHEDULES,
    Schedule,
    cosine_schedule,
    from_alpha_bar,
    linear_schedule,
    log_snr,
    sigmoid_schedule,
    snr,
)

EVERY = [make(T) for make in SCHEDULES.values() for T in (10, 200, 1000)]


def test_linear_is_the_papers():
    s = linear_schedule()
    assert s.T == 1000 and s.beta.dtype == torch.float64
    assert s.beta[0] == 0 and s.beta[1] == 1e-4 and s.beta[1000] == pytest.approx(0.02, abs=1e-15)
    assert float(s.alpha_bar[1000]) == pytest.approx(4.0358e-5, rel=1e-4)   # what COURSE and the paper's appendix rest on


@pytest.mark.parametrize("s", EVERY)
def test_tables_follow_from_beta(s):
    product = 1.0
    for t in range(s.T + 1):
        product *= 1 - float(s.beta[t])
        assert float(s.alpha_bar[t]) == pytest.approx(product, rel=1e-12)
        assert float(s.alpha[t]) == 1 - float(s.beta[t])
    assert s.alpha_bar[0] == 1 and len(s.alpha_bar) == s.T + 1
    for t in (1, 2, s.T // 2, s.T):
        before, now = float(s.alpha_bar[t - 1]), float(s.alpha_bar[t])
        assert float(s.beta_tilde[t]) == pytest.approx((1 - before) / (1 - now) * float(s.beta[t]), rel=1e-12)
    assert s.beta_tilde[1] == 0 and (s.beta_tilde[1:] < s.beta[1:]).all()


def test_cosine_is_nichol_and_dhariwals_curve():
    s = cosine_schedule(1000)
    f = [math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(1001)]
    for t in range(1000):
        assert float(s.alpha_bar[t]) == pytest.approx(f[t] / f[0], abs=1e-12)
    assert float(s.beta[1000]) == 0.999


def test_sigmoid_is_chens_algorithm_1():
    s, T = sigmoid_schedule(1000), 1000

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    for t in range(T):                                    # gamma(u) of Algorithm 1 with start -3, end 3, tau 1
        gamma = (sigmoid(3) - sigmoid(6 * t / T - 3)) / (sigmoid(3) - sigmoid(-3))
        assert float(s.alpha_bar[t]) == pytest.approx(gamma, abs=1e-12)


@pytest.mark.parametrize("s", EVERY)
def test_snr(s):
    assert torch.isinf(snr(s)[0])
    assert torch.allclose(log_snr(s)[1:], s.alpha_bar[1:].log() - (1 - s.alpha_bar[1:]).log(), atol=1e-9, rtol=0)
    assert (log_snr(s).diff() < 0).all()


def test_from_alpha_bar_inverts_alpha_bar():
    s = linear_schedule(50)
    assert torch.allclose(from_alpha_bar(s.alpha_bar * 7).beta, s.beta, atol=1e-12)


@pytest.mark.parametrize("make", SCHEDULES.values())
def test_no_steps(make):
    for T in (0, -3, 10.0):
        with pytest.raises(ValueError, match=f"T, the number of steps, must be a whole number of at least 1, got {T}"):
            make(T)


@pytest.mark.parametrize("name,value", [("beta_1", 0.0), ("beta_T", 1.0), ("beta_T", -0.1), ("beta_1", float("nan"))])
def test_beta_outside_0_1(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be in \(0, 1\), got {value}"):
        linear_schedule(**{name: value})


@pytest.mark.parametrize("beta,sentence", [
    ([0.0], "at least one step, got T = 0"),
    ([0.1, 0.2], r"beta\[0\] belongs to the clean picture and must be 0, got 0.1"),
    ([0.0, 0.2, 1.0], r"beta_t must be in \(0, 1\), got beta_2 = 1"),
    ([0.0, 0.2, float("nan")], r"got beta_2 = nan"),
])
def test_bad_beta(beta, sentence):
    with pytest.raises(ValueError, match=sentence):
        Schedule(torch.tensor(beta, dtype=torch.float64))


def test_bad_beta_type():
    with pytest.raises(ValueError, match="float64 tensor of shape"):
        Schedule(torch.zeros(5))


def test_curve_that_rises():
    with pytest.raises(ValueError, match=r"must fall at every step, but alpha_bar\[2\] = 0.6 follows 0.5"):
        from_alpha_bar(torch.tensor([1.0, 0.5, 0.6], dtype=torch.float64))
