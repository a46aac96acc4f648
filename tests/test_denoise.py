"""Denoisers made from networks and from each other."""
import pytest
import torch

from ddpm_lib.ddpm import predict_x_0, q_sample
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.paths import EPS, FLOW, VELOCITY, X_0, Path, V, as_path, ddpm_path
from ddpm_lib.schedules import linear_schedule

S = linear_schedule()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_is_equation_15_for_a_network_that_guesses_noise():
    x_t, t, net = normal(4, 1, 3, 3), torch.tensor([1, 9, 300, 1000]), lambda x, t: 0.1 * x + 0.3
    want = predict_x_0(x_t, t, net(x_t, t), S)
    assert torch.allclose(denoiser(net, S)(x_t, t), want, rtol=1e-12) and torch.equal(denoiser(net, S)(x_t, t), denoiser(net, ddpm_path(S))(x_t, t))


@pytest.mark.parametrize("path, t", [(S, torch.tensor([1, 500, 900])), (FLOW, torch.tensor([0.1, 0.5, 0.9]))])
@pytest.mark.parametrize("target", [EPS, X_0, V, VELOCITY])
def test_a_network_that_is_right_makes_the_exact_denoiser(path, t, target):
    x_0, eps = normal(3, 2), normal(3, 2, seed=1)
    a, s = as_path(path).at(t, x_0)
    out = target.p(a, s) * x_0 + target.q(a, s) * eps
    assert torch.allclose(denoiser(lambda x, t: out, path, target)(a * x_0 + s * eps, t), x_0, atol=1e-9)
    wrong = V if target is not V else X_0
    assert not torch.allclose(denoiser(lambda x, t: out, path, wrong)(a * x_0 + s * eps, t), x_0, atol=1e-2)


def test_clipping_a_guess():
    x_t, t = 5 * normal(50, 3), torch.full((50,), 300)
    guess = denoiser(lambda x, t: 0 * x, S)
    for bound in (1.0, 2.0):
        assert torch.equal(clipped(guess, bound)(x_t, t), guess(x_t, t).clamp(-bound, bound)) and guess(x_t, t).abs().max() > 5


@pytest.mark.parametrize("call, sentence", [
    (lambda: denoiser(lambda x, t: x[:, :1], S)(normal(2, 3), torch.tensor([1, 2])), r"the network answers \(2, 1\) to x_t of shape \(2, 3\)"),
    (lambda: denoiser(lambda x, t: x, S)(normal(2, 3), torch.tensor([1])), r"t must be a tensor of shape \(2,\), .* got the shape \(1,\)"),
    (lambda: denoiser(lambda x, t: x, S)(normal(2, 3), 7), r"t must be a tensor of shape \(2,\), one time per element, got 7"),
    (lambda: denoiser(lambda x, t: x, S)(normal(1, 3), torch.tensor([1001])), r"t must be in 0..1000, got 1001"),
])
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_schedule_is_its_path():
    x_0, eps, t = normal(2, 3), normal(2, 3, seed=1), torch.tensor([3, 700])
    a, s = as_path(S).at(t, x_0)
    assert isinstance(as_path(S), Path) and as_path(FLOW) is FLOW and torch.allclose(a * x_0 + s * eps, q_sample(x_0, t, eps, S), atol=1e-12)
