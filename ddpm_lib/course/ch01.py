"""Figures and exercises of chapter 01, From autoencoders to diffusion."""
import math

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

from .. import plots
from ..autoencoders import AE, VAE
from ..data import Dataset, from_unit, to_unit
from ..metrics import Classifier
from .exercise import exercise
from .explore import PLANE_COLOURS, latent_plane


def digit_planes(ae: AE, vae: VAE, digits: Dataset, classifier: Classifier, alt: str):
    """The chapter's figure: the codes of an autoencoder beside those of a VAE, a point to drag in each, the digit decoded there."""

    def decode(net):
        return lambda codes: to_unit(net.decode(torch.from_numpy(codes).float()))[:, 0].detach().numpy()

    def read(pictures):
        with torch.no_grad():
            sure, digit = classifier(from_unit(torch.from_numpy(pictures).float())[:, None]).softmax(1).max(1)
        return [f"reads as {d}" if p > 0.9 else f"unclear, perhaps {d}" for p, d in zip(sure.tolist(), digit.tolist())]

    with torch.no_grad():
        codes = {"autoencoder": (ae.encode(digits.x_0).numpy(), decode(ae)),
                 "variational autoencoder (means)": (vae.encode(digits.x_0)[0].numpy(), decode(vae))}
    return latent_plane(codes, digits.labels.tolist(), alt=alt, read=read, start=3)


def code_figure(sets: dict[str, Tensor], labels: Tensor, show: int = 220) -> Figure:
    """Two-number codes side by side, each written as the digit that it is the code of. sets: {title: (N, 2)}."""
    figure = Figure(figsize=(3.7 * len(sets), 3.9), layout="constrained")
    for k, (title, z) in enumerate(sets.items()):
        axes = figure.add_subplot(1, len(sets), k + 1)
        for (a, b), label in zip(z[:show].tolist(), labels[:show].tolist()):
            axes.text(a, b, str(label), color=PLANE_COLOURS[label], fontsize=9, ha="center", va="center", clip_on=True)
        low, high = z[:show].min(0).values, z[:show].max(0).values
        axes.set(xlim=(float(low[0]) - 1, float(high[0]) + 1), ylim=(float(low[1]) - 1, float(high[1]) + 1), title=title,
                 xlabel="$z_1$", ylabel="$z_2$")
    return figure


def posterior_figure(side: Tensor, posteriors: dict[str, Tensor], means: Tensor, log_vars: Tensor) -> Figure:
    """True posteriors on a grid (grey) and the encoder's Gaussians (green rings at 1 and 2 standard deviations).

    side: the grid's coordinates, (K,); posteriors: {title: density at cartesian_prod(side, side), (K * K,)}; means, log_vars:
    one row for each.
    """
    figure = Figure(figsize=(7.4, 2.9), layout="constrained")
    for k, (title, density) in enumerate(posteriors.items()):
        axes = figure.add_subplot(1, len(posteriors), k + 1)
        mean, std = means[k].tolist(), (0.5 * log_vars[k]).exp().tolist()
        picture = density.view(len(side), len(side)).T
        low, high = float(side[0]), float(side[-1])
        axes.imshow(picture / picture.max(), cmap="gray_r", origin="lower", extent=(low, high, low, high), vmax=1, interpolation="bilinear")
        for times in (1, 2):
            axes.add_patch(Ellipse(mean, 2 * times * std[0], 2 * times * std[1], fill=False, color=plots.MODEL, lw=1.8))
        middle = (density[:, None] * torch.cartesian_prod(side, side)).sum(0) / density.sum()
        reach = 0.15 + max(3 * max(std), 1.2 * float((middle - means[k]).abs().max()), 0.45)
        axes.set(xlim=(mean[0] - reach, mean[0] + reach), ylim=(mean[1] - reach, mean[1] + reach), title=title, xlabel="$z_1$")
        axes.locator_params(nbins=4)
        if k == 0:
            axes.set_ylabel("$z_2$")
    return figure


def kl_bars(sets: dict[str, Tensor]) -> Figure:
    """Bars of nats, one panel per set. sets: {title: (K,) values}, drawn in falling order."""
    figure = Figure(figsize=(7.2, 2.7), layout="constrained")
    for k, (title, values) in enumerate(sets.items()):
        axes = figure.add_subplot(1, len(sets), k + 1)
        ordered = values.sort(descending=True).values
        axes.bar(range(1, len(ordered) + 1), ordered, color=plots.MODEL)
        axes.set(title=title, xlabel="latent number, sorted", ylabel="KL in nats")
    return figure


def touching_figure(x: float, w: float, noise_var: float, elbo) -> Figure:
    """The ELBO of a linear VAE over the encoder's mean, for three encoder variances, below the exact ln p(x) (black).

    elbo: a function (x, w, noise_var, mean, var) -> (N,), as in the exercise linear_vae.
    """
    true_var = noise_var / (w * w + noise_var)
    m = torch.linspace(-0.6, 1.8, 121)
    figure = Figure(figsize=(6.4, 3.3), layout="constrained")
    axes = figure.add_subplot()
    exact = float(torch.distributions.Normal(0.0, math.sqrt(w * w + noise_var)).log_prob(torch.tensor(x)))
    axes.axhline(exact, color=plots.EXACT, lw=1.8, label="exact $\\ln p(x)$")
    for times, style, color in ((1, "-", plots.MODEL), (2, "--", plots.GREY), (0.25, ":", plots.GREY)):
        values = elbo(torch.full_like(m, x), w, noise_var, m, torch.full_like(m, times * true_var))
        axes.plot(m, values, style, color=color, lw=2, label=f"ELBO, variance {times:g} × true")
    axes.set(xlabel="mean $\\mu$ of the encoder", ylabel="nats", ylim=(exact - 3, exact + 0.35))
    axes.legend(fontsize=9, loc="lower center")
    return figure


# -- exercises -----------------------------------------------------------------------------------------------------------

def _reparameterise(mean, log_var, eps):
    std = (0.5 * log_var).exp()
    return mean + std * eps


def _leaves_of(z):
    """The tensors at the start of the graph that z was computed by."""
    found, stack, seen = [], [z.grad_fn] if z.grad_fn is not None else [], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        stack += [parent for parent, _ in node.next_functions]
    return found


def _reparameterise_probe(answer):
    """The draw, and the gradient of its sum with respect to mean and log_var (the text "none" where it does not arrive)."""
    g = torch.Generator().manual_seed(11)
    results = []
    for shape in ((4, 2), (3, 5)):
        mean, log_var = torch.randn(shape, generator=g), torch.randn(shape, generator=g) - 1
        z = answer(mean.clone().requires_grad_(), log_var.clone().requires_grad_(), torch.randn(shape, generator=g))
        if not isinstance(z, Tensor):
            raise TypeError(f"one tensor z is expected, got a {type(z).__name__}")
        arrived = {}
        for name, value in (("mean", mean), ("log_var", log_var)):
            leaf = [leaf for leaf in _leaves_of(z) if torch.equal(leaf, value)]
            arrived[name] = torch.autograd.grad(z.sum(), leaf[0], retain_graph=True)[0] if leaf else "none"
        results.append({"z": z.detach(), **{f"gradient to {name}": value for name, value in arrived.items()}})
    return results


def _reparameterise_variance(mean, log_var, eps):
    return mean + log_var.exp() * eps


def _reparameterise_log(mean, log_var, eps):
    return mean + log_var * eps


def _reparameterise_half_log(mean, log_var, eps):
    return mean + 0.5 * log_var * eps


def _reparameterise_own_noise(mean, log_var, eps):
    return _reparameterise(mean, log_var, torch.randn_like(mean))


def _reparameterise_normal(mean, log_var, eps):
    return torch.normal(mean, (0.5 * log_var).exp())


def _reparameterise_detached(mean, log_var, eps):
    return _reparameterise(mean, log_var, eps).detach()


def _reparameterise_detached_std(mean, log_var, eps):
    return mean + (0.5 * log_var).exp().detach() * eps


def _reparameterise_detached_mean(mean, log_var, eps):
    return mean.detach() + (0.5 * log_var).exp() * eps


def _reparameterise_sign(mean, log_var, eps):
    return mean + (-0.5 * log_var).exp() * eps


def _reparameterise_mean_only(mean, log_var, eps):
    return mean + 0 * log_var


def _reparameterise_minus(mean, log_var, eps):
    return mean - (0.5 * log_var).exp() * eps


def _reparameterise_root_of_log(mean, log_var, eps):
    return mean + log_var.sqrt() * eps


def _reparameterise_sampled(mean, log_var, eps):
    return torch.distributions.Normal(mean, (0.5 * log_var).exp()).sample()


def _reparameterise_bare_eps(mean, log_var, eps):
    return mean + eps + 0 * log_var


def _reparameterise_no_eps(mean, log_var, eps):
    return mean + (0.5 * log_var).exp()


def _reparameterise_half_outside(mean, log_var, eps):
    return mean + 0.5 * log_var.exp() * eps


exercise(
    "reparameterise", _reparameterise, probe=_reparameterise_probe,
    hints=["A Gaussian with mean m and standard deviation s is m + s * eps, as in chapter 00.",
           "log_var is the logarithm of the variance, and the standard deviation is the root of the variance: a factor 1/2 in front of the logarithm.",
           "return mean + (0.5 * log_var).exp() * eps, without torch.no_grad and without detach, so that the gradient can pass."],
    mistakes=[
        (_reparameterise_variance, "exp(log_var) is the variance; the factor of eps must be the standard deviation, exp(0.5 * log_var)"),
        (_reparameterise_log, "log_var itself multiplies eps, and it may even be negative; take exp(0.5 * log_var)"),
        (_reparameterise_half_log, "0.5 * log_var is the logarithm of the standard deviation; the exp around it is missing"),
        (_reparameterise_own_noise, "this draws noise of its own; use the eps that you were given, or nobody can repeat the draw"),
        (_reparameterise_normal, "torch.normal draws noise of its own and lets no gradient through; write mean + std * eps with the eps that you were given"),
        (_reparameterise_sampled, "Normal(...).sample() draws noise of its own and lets no gradient through; write mean + std * eps with the eps that you were given"),
        (_reparameterise_bare_eps, "eps needs its factor, the standard deviation exp(0.5 * log_var)"),
        (_reparameterise_no_eps, "eps is missing: the standard deviation is to be multiplied with it"),
        (_reparameterise_half_outside, "the 1/2 belongs inside the exp: exp(0.5 * log_var) is the root of the variance, 0.5 * exp(log_var) is half of it"),
        (_reparameterise_detached, "the numbers are right, but no gradient arrives at mean and log_var, so the encoder would never learn: remove detach or torch.no_grad"),
        (_reparameterise_detached_std, "the numbers are right, but no gradient arrives at log_var, so the encoder could not learn its spread: do not detach the standard deviation"),
        (_reparameterise_detached_mean, "the numbers are right, but no gradient arrives at mean: do not detach it"),
        (_reparameterise_sign, "exp(-0.5 * log_var) is one over the standard deviation; the minus sign is too much"),
        (_reparameterise_mean_only, "this returns the mean, without noise: add the standard deviation times eps"),
        (_reparameterise_minus, "the distribution is right, but this subtracts the noise: z = mean + std * eps, so that everybody gets the same z from the same eps"),
        (_reparameterise_root_of_log, "the root belongs to the variance exp(log_var), not to its logarithm, which may be negative: exp(0.5 * log_var)")])


def _kl_normal(mean, log_var):
    per_dimension = 0.5 * (mean ** 2 + log_var.exp() - 1 - log_var)
    return per_dimension.sum(dim=1)


def _kl_cases():
    g = torch.Generator().manual_seed(12)
    return [(torch.randn(5, 3, generator=g), torch.randn(5, 3, generator=g)), (torch.zeros(2, 4), torch.zeros(2, 4)),
            (2 * torch.randn(3, 1, generator=g), torch.randn(3, 1, generator=g) - 2)]


def _kl_as_variance(mean, variance):
    return 0.5 * (mean ** 2 + variance - 1 - variance.log()).sum(1)


def _kl_reversed(mean, log_var):
    return 0.5 * ((1 + mean ** 2) / log_var.exp() - 1 + log_var).sum(1)


exercise(
    "kl_normal", _kl_normal, cases=_kl_cases,
    hints=["Read Eq. 1.8: four terms in the bracket, one KL for each latent number.",
           "log_var is ln of the variance, so the variance is log_var.exp() and the last term is log_var itself.",
           "return 0.5 * (mean ** 2 + log_var.exp() - 1 - log_var).sum(dim=1)."],
    mistakes=[
        (lambda mean, log_var: 2 * _kl_normal(mean, log_var), "the factor 1/2 is missing"),
        (lambda mean, log_var: _kl_normal(mean, log_var) / math.log(2), "these are bits; nats are asked for, so leave out the division by ln 2"),
        (lambda mean, log_var: -_kl_normal(mean, log_var), "the sign is turned round: a KL is never negative"),
        (lambda mean, log_var: 0.5 * (mean ** 2 + log_var.exp() - 1 - log_var).mean(1), "the mean over the latent numbers is too small: the KL of independent numbers is the sum of theirs"),
        (lambda mean, log_var: 0.5 * (mean ** 2 + log_var.exp() - log_var).sum(1), "the -1 is missing: for mean 0 and variance 1 the KL must be 0"),
        (_kl_as_variance, "this takes log_var for the variance; the variance is log_var.exp()"),
        (lambda mean, log_var: 0.5 * (mean ** 2 + (0.5 * log_var).exp() - 1 - log_var).sum(1), "the second term is the standard deviation; it must be the variance, log_var.exp()"),
        (lambda mean, log_var: 0.5 * (mean ** 2 + (2 * log_var).exp() - 1 - 2 * log_var).sum(1), "this takes log_var for the logarithm of the standard deviation; it is that of the variance"),
        (lambda mean, log_var: 0.5 * (mean + log_var.exp() - 1 - log_var).sum(1), "the mean must be squared: going left costs as much as going right"),
        (lambda mean, log_var: 0.5 * (mean ** 2 + log_var.exp() - 1 + log_var).sum(1), "the sign of the last term is turned round: it is - log_var"),
        (_kl_reversed, "this is KL(p || q); asked for is KL(q || p), averaged over q"),
        (lambda mean, log_var: 0.5 * (mean ** 2 + log_var.exp() - 1 - log_var), "one number for each picture is wanted: sum over the latent numbers, .sum(dim=1)"),
        (lambda mean, log_var: 0.5 * (mean ** 2 + log_var.exp() - 1 - log_var).sum(), "this adds up the whole batch; sum over the latent numbers only, .sum(dim=1)")])


def _linear_vae(x, w, noise_var, mean, var):
    squared_error = (x - w * mean) ** 2 + w ** 2 * var                    # the mean of (x - w z)^2 over z ~ N(mean, var)
    log_p = -0.5 * math.log(2 * math.pi * noise_var) - squared_error / (2 * noise_var)
    kl = 0.5 * (mean ** 2 + var - 1 - var.log())
    return log_p - kl


def _linear_cases():
    g = torch.Generator().manual_seed(13)
    return [(torch.randn(6, generator=g), w, noise_var, torch.randn(6, generator=g), torch.rand(6, generator=g) + 0.05)
            for w, noise_var in ((2.0, 0.5), (-0.7, 1.5))]


def _log_normal(x, mean, var):
    return -0.5 * math.log(2 * math.pi * var) - (x - mean) ** 2 / (2 * var)


def _kl_1(mean, var):
    return 0.5 * (mean ** 2 + var - 1 - var.log())


def _linear_at_the_mean(x, w, noise_var, mean, var):
    return _log_normal(x, w * mean, noise_var) - _kl_1(mean, var)


def _linear_minus_w(x, w, noise_var, mean, var):
    return _log_normal(x, w * mean, noise_var) - w * var / (2 * noise_var) - _kl_1(mean, var)


def _linear_no_constant(x, w, noise_var, mean, var):
    return _linear_vae(x, w, noise_var, mean, var) + 0.5 * math.log(2 * math.pi * noise_var)


def _linear_exact(x, w, noise_var, mean, var):
    return _log_normal(x, 0.0, w ** 2 + noise_var)


def _linear_deviation(x, w, noise_var, mean, var):
    return _linear_vae(x, w, noise_var ** 2, mean, var)


def _linear_one_draw(x, w, noise_var, mean, var):
    return _log_normal(x, w * (mean + var.sqrt() * torch.randn_like(mean)), noise_var) - _kl_1(mean, var)


def _linear_log_var(x, w, noise_var, mean, var):
    return _log_normal(x, w * mean, noise_var) - w ** 2 * var / (2 * noise_var) - 0.5 * (mean ** 2 + var.exp() - 1 - var)


def _linear_log_of_mean(x, w, noise_var, mean, var):
    spread = noise_var + w ** 2 * var
    return -0.5 * (2 * math.pi * spread).log() - (x - w * mean) ** 2 / (2 * spread) - _kl_1(mean, var)


def _linear_no_w(x, w, noise_var, mean, var):
    return _linear_vae(x, 1.0, noise_var, mean, var)


def _linear_sum_kl(x, w, noise_var, mean, var):
    return _log_normal(x, w * mean, noise_var) - w ** 2 * var / (2 * noise_var) - _kl_1(mean, var).sum()


def _linear_half(x, w, noise_var, mean, var):
    return _linear_vae(x, w, noise_var, mean, var) - w ** 2 * var / (2 * noise_var)


exercise(
    "linear_vae", _linear_vae, cases=_linear_cases,
    hints=["Two parts, as in Eq. 1.5: the mean of ln p(x | z) over z ~ N(mean, var), minus the KL from Eq. 1.8 with var for the variance.",
           "ln p(x | z) = -0.5 * math.log(2 * math.pi * noise_var) - (x - w * z) ** 2 / (2 * noise_var). Only the square depends on z.",
           "The mean of a square is the square of the mean plus the variance: the mean of (x - w z)^2 is (x - w * mean) ** 2 + w ** 2 * var.",
           "return -0.5 * math.log(2 * math.pi * noise_var) - ((x - w * mean) ** 2 + w ** 2 * var) / (2 * noise_var) - 0.5 * (mean ** 2 + var - 1 - var.log())."],
    mistakes=[
        (_linear_at_the_mean, "this decodes the mean only; z varies, and the mean of (x - w z)^2 over z has w^2 * var on top"),
        (_linear_log_var, "here var is the variance itself: no exp, and the KL has ln var for its logarithm"),
        (_linear_log_of_mean, "this is the logarithm of the mean of p(x | z) over z; the bound has the mean of the logarithm"),
        (_linear_no_w, "the factor w is missing: p(x | z) is centred on w z"),
        (_linear_sum_kl, "this KL adds up all x; there is one latent number for each x, so one KL for each"),
        (_linear_half, "the variance of w z is divided by 2 noise_var, like the square of x - w * mean; here the 2 is missing for it"),
        (_linear_minus_w, "the variance of w z is w^2 * var, not w * var: a factor counts squared"),
        (_linear_no_constant, "the constant -0.5 ln(2 pi noise_var) is missing, so the bound may lie above ln p(x)"),
        (lambda *args: -_linear_vae(*args), "this is the negative ELBO; asked for is the ELBO itself"),
        (lambda x, w, noise_var, mean, var: _linear_vae(x, w, noise_var, mean, var) + 2 * _kl_1(mean, var), "the KL is added; it must be subtracted, because it is the price of the code"),
        (lambda x, w, noise_var, mean, var: _linear_vae(x, w, noise_var, mean, var) + _kl_1(mean, var), "the KL is missing: this is the mean of ln p(x | z) alone"),
        (_linear_exact, "this is ln p(x) itself; the bound depends on the encoder's mean and var"),
        (_linear_deviation, "noise_var is a variance already; do not square it"),
        (_linear_one_draw, "this uses one draw of z; here the mean over z has a closed form: (x - w * mean)^2 + w^2 * var for the square"),
        (lambda *args: _linear_vae(*args).mean(), "one number for each x is wanted; do not average over them")])


def walk(a: Tensor, b: Tensor, steps: int = 11) -> Tensor:
    """`steps` points on the straight line from a to b, both included: (steps, *shape of a)."""
    share = torch.from_numpy(np.linspace(0, 1, steps)).to(a).view(-1, *[1] * a.dim())
    return (1 - share) * a + share * b
