"""Autoencoders: shapes, the KL and the bound against exact answers, gradients, and what wrong input is told."""
import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ddpm_lib import weights
from ddpm_lib.autoencoders import AE, VAE, kl_to_standard_normal, perceptron, reparameterise


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape, latent", [((1, 8, 8), 2), ((3, 4, 6), 5), ((2,), 1)])
def test_shapes(shape, latent):
    torch.manual_seed(0)
    x_0, ae, vae = noise(7, *shape).tanh(), AE(shape, latent, 16), VAE(shape, latent, 16)
    mean, log_var = vae.encode(x_0)
    assert ae.encode(x_0).shape == mean.shape == log_var.shape == (7, latent)
    assert ae.decode(mean).shape == vae.decode(mean).shape == x_0.shape
    assert ae.loss(x_0).shape == () and vae.bound(x_0, noise(7, latent)).shape == (7,)
    assert vae.decode(100 * noise(50, latent)).abs().max() <= 1


def test_the_loss_is_the_error_of_a_picture_not_of_a_pixel():
    torch.manual_seed(0)
    net, x_0 = AE(width=16), noise(9, 1, 8, 8).tanh()
    with torch.no_grad():
        by_hand = sum(float((net.decode(net.encode(x[None])) - x).pow(2).sum()) for x in x_0) / 9
        assert abs(float(net.loss(x_0)) - by_hand) < 1e-4


def test_kl_equals_the_one_of_torch():
    mean, log_var = 2 * noise(50, 3).double(), 2 * noise(50, 3, seed=1).double()
    other = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(kl_to_standard_normal(mean, log_var), other, rtol=1e-12, atol=1e-12)
    assert kl_to_standard_normal(torch.zeros(4, 3), torch.zeros(4, 3)).eq(0).all()
    assert kl_to_standard_normal(torch.zeros(5, 4, 3), torch.ones(5, 4, 3)).shape == (5, 4)


def test_kl_equals_its_monte_carlo_estimate():
    mean, log_var = torch.tensor([0.7, -1.2]), torch.tensor([-1.0, 0.5])
    z = reparameterise(mean.expand(200_000, 2), log_var.expand(200_000, 2), noise(200_000, 2))
    draws = (Normal(mean, (0.5 * log_var).exp()).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1)
    error = float(draws.std()) / math.sqrt(len(draws))
    assert abs(float(draws.mean() - kl_to_standard_normal(mean, log_var))) < 4 * error < 0.02


def test_reparameterise_has_the_right_moments_and_gradient():
    mean, log_var = torch.tensor([[1.0, -2.0]]), torch.tensor([[math.log(4.0), math.log(0.25)]])
    z = reparameterise(mean.expand(100_000, 2), log_var.expand(100_000, 2), noise(100_000, 2))
    assert torch.allclose(z.mean(0), mean[0], rtol=0, atol=0.03)
    assert torch.allclose(z.var(0), torch.tensor([4.0, 0.25]), rtol=0.02, atol=0)
    mean, log_var, eps = mean.requires_grad_(), log_var.requires_grad_(), noise(1, 2)
    reparameterise(mean, log_var, eps).sum().backward()
    assert mean.grad.eq(1).all()
    assert torch.allclose(log_var.grad, 0.5 * (0.5 * log_var.detach()).exp() * eps)


@pytest.mark.parametrize("with_noise", [0.1, 0.4, 1.0])
def test_the_bound_is_written_out_right(with_noise):
    torch.manual_seed(0)
    net, x_0, eps = VAE(latent=3, width=16, noise=with_noise), noise(6, 1, 8, 8).tanh(), noise(6, 3, seed=1)
    mean, log_var = net.encode(x_0)
    q = Normal(mean, (0.5 * log_var).exp())
    log_p = Normal(net.decode(mean + q.stddev * eps), with_noise).log_prob(x_0).flatten(1).sum(1)
    expected = kl_divergence(q, Normal(0.0, 1.0)).sum(1) - log_p
    assert torch.allclose(net.bound(x_0, eps), expected, rtol=1e-5, atol=1e-3)


def test_the_gradient_of_the_bound_reaches_every_weight():
    torch.manual_seed(0)
    net = VAE(latent=3, width=16)
    net.bound(noise(8, 1, 8, 8).tanh(), noise(8, 3, seed=1)).mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_encoder_is_told_about_the_copy_too():
    """The slope of the bound along a change of the encoder, by finite differences: the KL alone has another one."""
    torch.manual_seed(0)
    net, x_0, eps = VAE(latent=3, width=16).double(), noise(8, 1, 8, 8).tanh().double(), noise(8, 3, seed=1).double()
    weight = net.encoder[4].weight
    way = noise(*weight.shape, seed=2).double()

    def value(step):
        with torch.no_grad():
            weight.add_(step * way)
            out = float(net.bound(x_0, eps).mean())
            weight.sub_(step * way)
        return out

    net.bound(x_0, eps).mean().backward()
    slope, expected = float((weight.grad * way).sum()), (value(1e-4) - value(-1e-4)) / 2e-4
    kl_slope = float((torch.autograd.grad(kl_to_standard_normal(*net.encode(x_0)).mean(), weight)[0] * way).sum())
    assert abs(slope - expected) < 1e-5 * abs(expected) and abs(slope - kl_slope) > 0.01 * abs(slope)


class Linear(VAE):
    """x_0 = W z + b + noise * eps: ln p(x_0) is known, and so is the true posterior. `shift` moves the encoder off it."""

    def __init__(self, W, b, noise, shift=0.0, stretch=0.0):
        super().__init__(shape=(len(b),), latent=W.shape[1], width=2, noise=noise)
        self.W, self.b, self.shift, self.stretch = W, b, shift, stretch

    def encode(self, x_0):
        precision = torch.eye(self.W.shape[1]) + self.W.T @ self.W / self.config["noise"] ** 2
        variance = torch.linalg.inv(precision)                            # diagonal, because the columns of W are orthogonal
        mean = (x_0 - self.b) @ self.W @ variance / self.config["noise"] ** 2
        return mean + self.shift, variance.diagonal().log().expand_as(mean) + self.stretch

    def decode(self, z):
        return z @ self.W.T + self.b

    def log_p(self, x_0):
        covariance = self.W @ self.W.T + self.config["noise"] ** 2 * torch.eye(len(self.b))
        return torch.distributions.MultivariateNormal(self.b, covariance).log_prob(x_0)


W, B = torch.tensor([[1.0, 0.5], [2.0, 0.0], [0.0, 1.5], [-0.5, 1.0]]), torch.tensor([0.1, -0.2, 0.3, 0.0])
W[:, 1] -= W[:, 0] * (W[:, 0] @ W[:, 1]) / W[:, 0].square().sum()


@pytest.mark.parametrize("shift, stretch, gap", [(0.0, 0.0, 0.0), (0.5, 0.0, None), (0.0, 1.0, None), (0.3, -1.0, None)])
def test_the_bound_of_a_linear_vae_touches_the_exact_likelihood_at_the_true_posterior_only(shift, stretch, gap):
    net, n = Linear(W, B, 0.7, shift, stretch), 40_000
    x_0 = torch.tensor([[0.5, 1.0, -2.0, 0.3]])
    elbo = -net.bound(x_0.expand(n, 4), noise(n, 2))
    error = float(elbo.std()) / math.sqrt(n)
    post_mean, post_log_var = Linear(W, B, 0.7).encode(x_0)
    q_mean, q_log_var = net.encode(x_0)
    expected = float(kl_divergence(Normal(q_mean, (0.5 * q_log_var).exp()), Normal(post_mean, (0.5 * post_log_var).exp())).sum())
    below = float(net.log_p(x_0) - elbo.mean())
    assert abs(below - expected) < 4 * error + 1e-4
    assert (expected == 0) if gap == 0 else below > 0.1


def test_round_trip_through_a_file(tmp_path):
    torch.manual_seed(0)
    for net, build in ((AE((1, 4, 4), 3, 8), AE), (VAE((1, 4, 4), 3, 8, 0.2), VAE)):
        weights.save(tmp_path / "net.safetensors", net, {"what": "a test"})
        again, card = weights.load(tmp_path / "net.safetensors", build)
        assert again.config == net.config and card == {"what": "a test"}
        assert torch.equal(again.decode(noise(5, 3)), net.decode(noise(5, 3)))


def test_same_seed_same_network():
    nets = []
    for _ in range(2):
        torch.manual_seed(3)
        nets.append(VAE())
    assert all(torch.equal(a, b) for a, b in zip(*(net.parameters() for net in nets), strict=True))


@pytest.mark.parametrize("call, words", [
    (lambda: VAE(noise=0.0), "noise, the standard deviation of p(x_0 | z), must be positive, got 0.0"),
    (lambda: VAE(noise=float("nan")), "must be positive, got nan"),
    (lambda: AE(latent=0), "a layer needs at least one number, got sizes 64, 256, 0"),
    (lambda: VAE(width=0), "check latent and width"),
    (lambda: perceptron(2, 3, -1), "got sizes 2, 3, -1"),
    (lambda: AE().encode(torch.zeros(2, 1, 28, 28)), "built for (B, 1, 8, 8), got (2, 1, 28, 28)"),
    (lambda: AE().encode(torch.zeros(1, 8, 8)), "built for (B, 1, 8, 8), got (1, 8, 8)"),
    (lambda: VAE(latent=2).decode(torch.zeros(5, 3)), "built for (B, 2), got (5, 3)"),
    (lambda: VAE().bound(torch.zeros(4, 1, 8, 8), torch.zeros(4, 1)), "one shape, got (4, 2), (4, 2) and (4, 1)"),
    (lambda: reparameterise(torch.zeros(2), torch.zeros(2), torch.zeros(3)), "must have one shape"),
    (lambda: kl_to_standard_normal(torch.zeros(4, 2), torch.zeros(4, 1)), "one shape, got (4, 2) and (4, 1)"),
])
def test_wrong_input_is_answered_in_one_sentence(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)
