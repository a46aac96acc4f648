"""Autoencoders: a picture pressed through a few numbers and back (chapter 01)."""
import math

from torch import Tensor, nn


def perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Three linear layers, (B, inputs) -> (B, outputs)."""
    if min(inputs, width, outputs) < 1:
        raise ValueError(f"a layer needs at least one number, got sizes {inputs}, {width}, {outputs}: check latent and width")
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))


def rows(x: Tensor, shape: list[int]) -> Tensor:
    """A batch of things of one shape as rows, (B, *shape) -> (B, numbers in one). Raises ValueError for another shape."""
    if list(x.shape[1:]) != list(shape):
        raise ValueError(f"this network was built for (B, {', '.join(map(str, shape))}), got {tuple(x.shape)}")
    return x.flatten(1)


def reparameterise(mean: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """z = mean + std * eps, a draw from N(mean, exp(log_var)) that a gradient passes through (Kingma & Welling 2014, section 2.4).

    mean, log_var, eps: one shape, log_var = ln of the variance, eps standard Gaussian noise. Raises ValueError for differing shapes.
    """
    if not mean.shape == log_var.shape == eps.shape:
        raise ValueError(f"mean, log_var and eps must have one shape, got {tuple(mean.shape)}, {tuple(log_var.shape)} and {tuple(eps.shape)}")
    return mean + (0.5 * log_var).exp() * eps


def kl_to_standard_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, I)) in nats, summed over the last dimension (Kingma & Welling 2014, appendix B).

    mean, log_var: (..., D), log_var = ln of the variance. Returns (...). Raises ValueError for differing shapes.
    """
    if mean.shape != log_var.shape:
        raise ValueError(f"mean and log_var must have one shape, got {tuple(mean.shape)} and {tuple(log_var.shape)}")
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(-1)


class AE(nn.Module):
    """An autoencoder: encode (B, *shape) -> (B, latent), decode (B, latent) -> (B, *shape) in [-1, 1].

    shape: of one picture; latent: numbers in the code; width: of the two hidden layers on either side.
    """

    def __init__(self, shape: tuple[int, ...] = (1, 8, 8), latent: int = 2, width: int = 256):
        super().__init__()
        self.config = dict(shape=list(shape), latent=latent, width=width)
        self.encoder = perceptron(math.prod(shape), width, latent)
        self.decoder = perceptron(latent, width, math.prod(shape))

    def encode(self, x_0: Tensor) -> Tensor:
        return self.encoder(rows(x_0, self.config["shape"]))

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(rows(z, [self.config["latent"]])).tanh().view(-1, *self.config["shape"])

    def loss(self, x_0: Tensor) -> Tensor:
        """Squared error of the copy, summed over a picture, mean over the batch."""
        return (self.decode(self.encode(x_0)) - x_0).square().flatten(1).sum(1).mean()


class VAE(nn.Module):
    """A variational autoencoder (Kingma & Welling 2014): the code is a Gaussian, drawn anew each time a picture is encoded.

    encode -> mean and log_var of q(z | x_0), (B, latent) each; decode as in AE. p(z) is N(0, I), p(x_0 | z) is
    N(decode(z), noise^2 I). Raises ValueError if noise is not positive.
    """

    def __init__(self, shape: tuple[int, ...] = (1, 8, 8), latent: int = 2, width: int = 256, noise: float = 0.4):
        super().__init__()
        if not noise > 0:
            raise ValueError(f"noise, the standard deviation of p(x_0 | z), must be positive, got {noise}")
        self.config = dict(shape=list(shape), latent=latent, width=width, noise=noise)
        self.encoder = perceptron(math.prod(shape), width, 2 * latent)
        self.decoder = perceptron(latent, width, math.prod(shape))

    def encode(self, x_0: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.encoder(rows(x_0, self.config["shape"])).chunk(2, dim=1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(rows(z, [self.config["latent"]])).tanh().view(-1, *self.config["shape"])

    def bound(self, x_0: Tensor, eps: Tensor) -> Tensor:
        """The negative ELBO of each picture in nats, (B,): KL(q(z | x_0) || N(0, I)) - ln p(x_0 | z), at one draw z.

        eps: standard Gaussian noise, (B, latent). On average over eps at least -ln p(x_0).
        """
        mean, log_var = self.encode(x_0)
        error = self.decode(reparameterise(mean, log_var, eps)) - x_0
        noise = self.config["noise"]
        log_p = -0.5 * (error / noise).square() - math.log(noise * math.sqrt(2 * math.pi))
        return kl_to_standard_normal(mean, log_var) - log_p.flatten(1).sum(1)
