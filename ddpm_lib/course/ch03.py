"""Figures and exercises of chapter 03, The exact reverse."""
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from .. import plots
from ..ddpm import q_posterior, q_sample, sample_ddpm
from ..oracles import GaussianMixture
from ..schedules import Schedule, linear_schedule
from .exercise import exercise
from .explore import fig_frames, frame_slider


def hills(schedule: Schedule) -> GaussianMixture:
    """The chapter's mixture in one dimension: a narrow hill at -1.2 and a wider one at 0.8."""
    weights, means, variances = torch.tensor([[0.4, 0.6], [-1.2, 0.8], [0.01, 0.09]], dtype=torch.float64)
    return GaussianMixture(weights, means[:, None], variances[:, None, None], schedule)


def three_clouds(schedule: Schedule) -> GaussianMixture:
    """The chapter's mixture in the plane: a long tilted cloud, a small round one, a flat one."""
    def tilted(long, short, degrees):
        angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
        axes = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
        return axes @ torch.diag(torch.tensor([long, short], dtype=torch.float64)) @ axes.T

    covariances = torch.stack([tilted(0.30, 0.02, 35.0), tilted(0.05, 0.05, 0.0), tilted(0.15, 0.01, -17.0)])
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    means = torch.tensor([[-1.2, -0.6], [1.2, -0.3], [0.1, 1.3]], dtype=torch.float64)
    return GaussianMixture(weights, means, covariances, schedule)


def _moments(schedule, shares):
    """Steps at these shares of T, each once, falling."""
    return sorted({round(share * schedule.T) for share in shares}, reverse=True)


def heat_slider(exact: GaussianMixture, n: int = 4000, shown: int = 12):
    """The density of x_t over (t, x) as a heat map, with particles that walk from t = T back to 0, and their histogram."""
    schedule, grid = exact.schedule, torch.linspace(-3.2, 3.2, 257, dtype=torch.float64)
    density = torch.stack([exact.log_prob(grid[:, None], torch.full((257,), t)).exp() for t in range(schedule.T + 1)], dim=1)
    path = {schedule.T: torch.randn((n, 1), generator=torch.Generator().manual_seed(3))}     # the noise sample_ddpm starts from
    for t, x, _ in sample_ddpm(exact, (n, 1), schedule, torch.Generator().manual_seed(3)):
        path[t] = x
    walk = torch.stack([path[t][:, 0] for t in range(schedule.T + 1)])                       # (T+1, n)
    figure = Figure(figsize=(7.4, 3.0))
    left, right = figure.add_axes((0.08, 0.17, 0.57, 0.72)), figure.add_axes((0.72, 0.17, 0.26, 0.72))
    left.imshow((density / density.amax(0)).numpy(), origin="lower", aspect="auto", cmap="Blues", extent=(0, schedule.T, -3.2, 3.2), vmax=1.3)
    left.set(xlim=(schedule.T, 0), ylim=(-3.2, 3.2), xlabel="step t (time runs backwards, to the right)", ylabel="$x_t$")
    lines = [left.plot([], [], color=(plots.ERROR if i == 1 else plots.EXACT), lw=(1.8 if i == 1 else 0.7), zorder=(4 if i == 1 else 2))[0]
             for i in range(shown)]
    lines[1].set_path_effects([withStroke(linewidth=4.4, foreground="white")])       # a white edge: seen without colour too
    dots = left.scatter(np.zeros(shown), np.zeros(shown), s=14, color=plots.EXACT, zorder=5, clip_on=False)
    edges = np.linspace(-3.2, 3.2, 65)
    bars = right.stairs(np.zeros(64), edges, fill=True, color=plots.MODEL, alpha=0.7)
    curve, = right.plot(grid, density[:, 0], color=plots.EXACT, lw=1.6)
    right.set(xlim=(-3.2, 3.2), ylim=(0, 1.7), xlabel="$x_t$", yticks=(0, 0.5, 1, 1.5))

    def update(t):
        for i, line in enumerate(lines):
            line.set_data(range(t, schedule.T + 1), walk[t:, i])
        dots.set_offsets(np.stack([np.full(shown, t), walk[t, :shown].numpy()], axis=1))
        bars.set_data(np.histogram(walk[t].numpy(), edges, density=True)[0])
        curve.set_ydata(density[:, t])
        left.set_title(f"{shown} of {n:,} particles, t = {t}")
        right.set_title("particles (bars), $q(x_t)$ (line)")

    moments = _moments(schedule, (1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.425, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.06, 0.03, 0.015, 0.005, 0))
    return frame_slider(fig_frames(figure, update, moments, dpi=88), [f"t = {t}" for t in moments], slider="step t of the particles", still=3,
                        alt="Heat map of the density of x_t over t: one broad hill at large t splits into two as t falls to 0. "
                            "Particles start anywhere and end in one of the two; their histogram follows the exact density.")


def arrow_slider(exact: GaussianMixture):
    """The noised plane at step t, and arrows from x_t a quarter of the way to a E[x_0 | x_t]."""
    schedule, side = exact.schedule, torch.linspace(-2.6, 2.6, 12)
    at = torch.cartesian_prod(side, side)
    x_0 = exact.sample(500, torch.Generator().manual_seed(4))
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(5))
    figure = Figure(figsize=(4.6, 4.6))
    axes = figure.add_axes((0.13, 0.12, 0.84, 0.8))
    cloud = axes.scatter(x_0[:, 0], x_0[:, 1], s=5, color=plots.DATA, alpha=0.8, linewidths=0)
    arrows = axes.quiver(at[:, 0], at[:, 1], at[:, 0], at[:, 1], color=plots.EXACT, angles="xy", scale_units="xy", scale=4, width=0.005, headwidth=4)
    axes.set(xlim=(-2.8, 2.8), ylim=(-2.8, 2.8), xlabel="$x_1$", ylabel="$x_2$", aspect="equal")

    def update(t):
        ts = torch.full((len(x_0),), t)
        cloud.set_offsets(x_0 if t == 0 else q_sample(x_0, ts, eps, schedule))
        a = float(schedule.alpha_bar[t]) ** 0.5
        arrows.set_UVC(*(a * exact(at, torch.full((len(at),), t)) - at).T.numpy())
        axes.set_title(f"t = {t}: points $x_t$, arrows towards $a\\,E[x_0|x_t]$")

    moments = _moments(schedule, (1, 0.75, 0.6, 0.45, 0.35, 0.25, 0.175, 0.1, 0.04, 0.005))
    return frame_slider(fig_frames(figure, update, moments, dpi=84), [f"t = {t}" for t in moments], slider="step t of the arrows", still=4,
                        limit=150_000, alt="Arrows on a grid over the noised points. At large t all point to the centre; as t falls they sort "
                            "themselves towards the three clouds.")


# -- exercises -----------------------------------------------------------------------------------------------------------

def _mixture_cases():
    x_t = torch.tensor([-2.0, -0.7, -0.1, 0.0, 0.3, 1.1, 2.4]).double()
    weights, means, variances = torch.tensor([[0.4, 0.6], [-1.2, 0.8], [0.01, 0.09]], dtype=torch.float64)
    far = torch.tensor([-60.0, 60.0], dtype=torch.float64)                                  # heights underflow here
    return [(x_t, 0.8, 0.6, weights, means, variances), (x_t, 0.28, 0.96, weights, means, variances), (far, 0.8, 0.6, weights, means, variances),
            (x_t, 0.6, 0.8, torch.tensor([0.85, 0.15]).double(), torch.tensor([0.5, 1.5]).double(), torch.tensor([0.3, 2.0]).double())]


def _posterior_mean(x_t, a, s, weights, means, variances):
    variance = a ** 2 * variances + s ** 2                     # of x_t, for each component: (2,)
    away = x_t[:, None] - a * means                            # (B, 2)
    r = (weights.log() - variance.log() / 2 - away ** 2 / (2 * variance)).softmax(1)
    return (r * (means + a * variances / variance * away)).sum(1)


def _mean_with(x_t, a, s, weights, means, variances, *, r=None, gain=None, away=None):
    variance = a ** 2 * variances + s ** 2
    away = x_t[:, None] - a * means if away is None else away
    r = (weights.log() - variance.log() / 2 - away ** 2 / (2 * variance)).softmax(1) if r is None else r
    return (r * (means + (a * variances / variance if gain is None else gain) * away)).sum(1)


def _mean_deviation(x_t, a, s, weights, means, variances):
    return _posterior_mean(x_t, a, s, weights, means, variances.sqrt())


def _mean_square(x_t, a, s, weights, means, variances):
    return _posterior_mean(x_t, a, s, weights, means, variances ** 2)


def _mean_s_for_variance(x_t, a, s, weights, means, variances):
    return _posterior_mean(x_t, a, s ** 0.5, weights, means, variances)


def _mean_prior(x_t, a, s, weights, means, variances):
    return _mean_with(x_t, a, s, weights, means, variances, r=weights.expand(len(x_t), 2))


def _mean_no_weights(x_t, a, s, weights, means, variances):
    return _posterior_mean(x_t, a, s, torch.full_like(weights, 0.5), means, variances)


def _mean_winner(x_t, a, s, weights, means, variances):
    variance, away = a ** 2 * variances + s ** 2, x_t[:, None] - a * means
    best = (weights.log() - variance.log() / 2 - away ** 2 / (2 * variance)).argmax(1)
    return _mean_with(x_t, a, s, weights, means, variances, r=torch.nn.functional.one_hot(best, 2).to(x_t))


def _mean_no_pull(x_t, a, s, weights, means, variances):
    return _mean_with(x_t, a, s, weights, means, variances, gain=0.0)


def _mean_no_a_in_gain(x_t, a, s, weights, means, variances):
    return _mean_with(x_t, a, s, weights, means, variances, gain=variances / (a ** 2 * variances + s ** 2))


def _mean_no_height(x_t, a, s, weights, means, variances):
    variance, away = a ** 2 * variances + s ** 2, x_t[:, None] - a * means
    return _mean_with(x_t, a, s, weights, means, variances, r=(weights.log() - away ** 2 / (2 * variance)).softmax(1))


def _mean_unscaled(x_t, a, s, weights, means, variances):
    return _mean_with(x_t, a, s, weights, means, variances, away=x_t[:, None] - means)


def _mean_no_half(x_t, a, s, weights, means, variances):
    variance, away = a ** 2 * variances + s ** 2, x_t[:, None] - a * means
    return _mean_with(x_t, a, s, weights, means, variances, r=(weights.log() - variance.log() / 2 - away ** 2 / variance).softmax(1))


def _mean_over_batch(x_t, a, s, weights, means, variances):
    variance, away = a ** 2 * variances + s ** 2, x_t[:, None] - a * means
    return _mean_with(x_t, a, s, weights, means, variances, r=(weights.log() - variance.log() / 2 - away ** 2 / (2 * variance)).softmax(0))


def _heights(x_t, a, s, means, variances):
    variance, away = a ** 2 * variances + s ** 2, x_t[:, None] - a * means
    return (-away ** 2 / (2 * variance)).exp() / variance.sqrt()


def _mean_no_log(x_t, a, s, weights, means, variances):
    p = weights * _heights(x_t, a, s, means, variances)
    return _mean_with(x_t, a, s, weights, means, variances, r=p / p.sum(1, keepdim=True))


def _mean_softmax_of_heights(x_t, a, s, weights, means, variances):
    return _mean_with(x_t, a, s, weights, means, variances, r=(weights * _heights(x_t, a, s, means, variances) / (2 * torch.pi) ** 0.5).softmax(1))


def _mean_clean(x_t, a, s, weights, means, variances):
    r = (weights.log() - variances.log() / 2 - (x_t[:, None] - means) ** 2 / (2 * variances)).softmax(1)
    return _mean_with(x_t, a, s, weights, means, variances, r=r)


def _mean_wide_normal(x_t, a, s, weights, means, variances):
    variance = a ** 2 * variances + s ** 2
    r = (weights.log() - variance.log() - (x_t[:, None] - a * means) ** 2 / (2 * variance ** 2)).softmax(1)
    return _mean_with(x_t, a, s, weights, means, variances, r=r)


def _mean_half_unscaled(x_t, a, s, weights, means, variances):
    variance, away = a ** 2 * variances + s ** 2, x_t[:, None] - a * means
    r = (weights.log() - variance.log() / 2 - away ** 2 / (2 * variance)).softmax(1)
    return _mean_with(x_t, a, s, weights, means, variances, r=r, away=x_t[:, None] - means)


exercise(
    "posterior_mean", _posterior_mean, cases=_mixture_cases,
    hints=["Three lines: the variance of x_t for each component, the probabilities r of the components (Eq. 3.6), and the mean of the components' guesses (Eqs. 3.4 and 3.7).",
           "x_t[:, None] - a * means has shape (B, 2): every point against every component. A softmax over dimension 1 divides by the sum for you.",
           "r = softmax of ln w_k - ln(variance_k) / 2 - (x_t - a m_k)^2 / (2 variance_k), with variance_k = a^2 v_k + s^2.",
           "The guess of component k is m_k + a v_k / variance_k * (x_t - a m_k); return (r * guess).sum(1)."],
    mistakes=[
        (_mean_deviation, "this takes the square root of the variances, but the formula needs v_k itself: variances are variances, not standard deviations"),
        (_mean_square, "this squares the variances as if they were standard deviations; v_k is a variance already"),
        (_mean_s_for_variance, "this adds s to a^2 v_k; s is the standard deviation of the noise, its variance is s^2"),
        (_mean_prior, "the guesses are weighted with w_k, what was known before seeing x_t; weight them with r_k, which depends on x_t"),
        (_mean_no_weights, "the weights w_k are missing in r_k: a component that is rare in the data is a rare explanation of x_t too"),
        (_mean_winner, "this takes the guess of the most probable component alone; the mean is over both, each with its r_k"),
        (_mean_no_pull, "this averages the means m_k; each component's guess also moves towards x_t, by the gain a v_k / (a^2 v_k + s^2)"),
        (_mean_no_a_in_gain, "the gain lacks a factor a: it is a v_k / (a^2 v_k + s^2), the covariance of x_0 and x_t over the variance of x_t"),
        (_mean_no_height, "r_k lacks the factor 1 / sqrt(variance_k) of the Gaussian's height: a wide component is lower"),
        (_mean_over_batch, "the softmax runs over the batch; for each x_t the r of the two components must sum to 1, so it is dimension 1"),
        (_mean_no_log, "right near the data, but at x_t = 60 both heights are 0 as floats and you divide 0 by 0: take logarithms and a softmax"),
        (_mean_softmax_of_heights, "a softmax exponentiates by itself: give it the logarithm of w_k times the height"),
        (_mean_clean, "r_k compares x_t with the clean components N(m_k, v_k); noised ones are N(a m_k, a^2 v_k + s^2)"),
        (_mean_wide_normal, "a^2 v_k + s^2 is used as a standard deviation in r_k; it is a variance (torch's Normal wants its square root)"),
        (_mean_half_unscaled, "r_k is right, but the guess compares x_t with m_k; noised data of component k lies around a m_k"),
        (_mean_unscaled, "x_t is compared with m_k; noised data of component k lies around a m_k"),
        (_mean_no_half, "the exponent of a Gaussian is the squared distance over twice the variance; the 2 is missing")])


def _step_cases():
    g, schedule = torch.Generator().manual_seed(6), linear_schedule(40, 0.002, 0.3)
    return [(torch.randn(3, 2, generator=g), torch.randn(3, 2, generator=g), t, torch.randn(3, 2, generator=g), schedule)
            for t in (1, 2, 17, 40)]


def _ancestral_step(x_t, x_0_hat, t, z, schedule):
    mean, _ = q_posterior(x_0_hat, x_t, torch.full((len(x_t),), t), schedule)
    return mean + schedule.beta[t].sqrt() * z if t > 1 else mean


def _mean_of(x_t, x_0_hat, t, schedule):
    return q_posterior(x_0_hat, x_t, torch.full((len(x_t),), t), schedule)[0]


def _with_index(root=1, beta_in=0, alpha_in=0, keep=1, noise=0, below=0, power=0.5):
    """The step with each index moved back by so much; root=1 and keep=1 are right, everything else is right at 0."""
    def step(x_t, x_0_hat, t, z, schedule):
        beta, alpha, alpha_bar = schedule.beta, schedule.alpha, schedule.alpha_bar
        from_x_0 = alpha_bar[t - root] ** power * beta[t - beta_in] / (1 - alpha_bar[t - below])
        from_x_t = alpha[t - alpha_in].sqrt() * (1 - alpha_bar[t - keep]) / (1 - alpha_bar[t - below])
        return from_x_0 * x_0_hat + from_x_t * x_t + beta[t - noise].sqrt() * z * (t > 1)
    return step


def _step_no_root(x_t, x_0_hat, t, z, schedule):
    return _mean_of(x_t, x_0_hat, t, schedule) + (schedule.beta[t] * z if t > 1 else 0)


def _step_noise_at_1(x_t, x_0_hat, t, z, schedule):
    return _mean_of(x_t, x_0_hat, t, schedule) + schedule.beta[t].sqrt() * z


def _step_beta_before(x_t, x_0_hat, t, z, schedule):
    return _mean_of(x_t, x_0_hat, t, schedule) + schedule.beta[t - 1].sqrt() * z


def _step_swapped(x_t, x_0_hat, t, z, schedule):
    return _ancestral_step(x_0_hat, x_t, t, z, schedule)


def _step_no_noise(x_t, x_0_hat, t, z, schedule):
    return _mean_of(x_t, x_0_hat, t, schedule)


def _step_beta_tilde(x_t, x_0_hat, t, z, schedule):
    return _mean_of(x_t, x_0_hat, t, schedule) + (schedule.beta_tilde[t].sqrt() * z if t > 1 else 0)


def _step_beta_tilde_variance(x_t, x_0_hat, t, z, schedule):
    return _mean_of(x_t, x_0_hat, t, schedule) + (schedule.beta_tilde[t] * z if t > 1 else 0)


def _step_renoise(x_t, x_0_hat, t, z, schedule):
    return q_sample(x_0_hat, torch.full((len(x_t),), t - 1), z, schedule) if t > 1 else x_0_hat


def _step_guess(x_t, x_0_hat, t, z, schedule):
    return x_0_hat + (schedule.beta[t].sqrt() * z if t > 1 else 0)


def _step_alpha_bar(x_t, x_0_hat, t, z, schedule):
    return _mean_of(x_t, x_0_hat, t, schedule) + ((1 - schedule.alpha_bar[t]).sqrt() * z if t > 1 else 0)


def _step_own_noise(x_t, x_0_hat, t, z, schedule):
    return _ancestral_step(x_t, x_0_hat, t, torch.randn_like(z), schedule)


exercise(
    "ancestral_step", _ancestral_step, cases=_step_cases,
    hints=["q_posterior(x_0, x_t, t, schedule) returns the mean and the variance of Eqs. 3.10 and 3.11. Which of your two inputs stands for x_0?",
           "q_posterior wants one t per element: torch.full((len(x_t),), t).",
           "Add sqrt(schedule.beta[t]) * z, but only if t > 1."],
    mistakes=[
        (_step_no_root, "the noise is multiplied by beta_t, its variance, where the standard deviation sqrt(beta_t) belongs"),
        (_step_noise_at_1, "noise was added at t = 1 too; its result is the sample, and nobody will take that noise away"),
        (_step_beta_before, "off by one: this uses beta_{t-1}; the step from t to t - 1 undoes the noise of step t, so use beta[t]"),
        (_step_swapped, "x_0_hat and x_t changed places: in Eq. 3.10 the first factor belongs to x_0, and q_posterior wants the clean guess first"),
        (_with_index(root=0), "the factor of x_0 has sqrt(alpha_bar_t); it is sqrt(alpha_bar_{t-1}), what is left of the signal where the step arrives"),
        (_with_index(power=1), "the factor of x_0 has alpha_bar_{t-1} without its square root"),
        (_step_own_noise, "this draws noise of its own; use the z that you were given"),
        (_step_no_noise, "the fresh noise is missing: without it the points run together, in the chapter's clouds into one place"),
        (_step_beta_tilde, "this uses beta_tilde_t, the other choice of the paper; here beta_t is asked for"),
        (_step_beta_tilde_variance, "q_posterior returns a variance, and another one than asked for: take sqrt(beta_t) times z"),
        (_step_renoise, "this noises the guess anew to t - 1 and forgets x_t; the mean of Eq. 3.10 uses both"),
        (_step_guess, "this jumps to the guess x_0_hat; one step goes to the mean of Eq. 3.10, a small part of the way"),
        (_step_alpha_bar, "this adds the noise of the whole jump, 1 - alpha_bar_t; one step has the variance beta_t")])


def _off_by_one(x_t, x_0_hat, t, z, schedule):
    beta, alpha, alpha_bar = schedule.beta, schedule.alpha, schedule.alpha_bar
    from_x_0 = alpha_bar[t - 1].sqrt() * beta[t] / (1 - alpha_bar[t])
    from_x_t = alpha[t].sqrt() * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
    return from_x_0 * x_0_hat + from_x_t * x_t + beta[t].sqrt() * z * (t > 1)


def _mended_last_noise(x_t, x_0_hat, t, z, schedule):
    return _mean_of(x_t, x_0_hat, t, schedule) + schedule.beta[t].sqrt() * z


def _mended_tilde(x_t, x_0_hat, t, z, schedule):
    return _mean_of(x_t, x_0_hat, t, schedule) + schedule.beta_tilde[t].sqrt() * z


def _mended_silent(x_t, x_0_hat, t, z, schedule):
    return _mean_of(x_t, x_0_hat, t, schedule)


exercise(
    "off_by_one", _off_by_one, cases=_step_cases,
    hints=["Compare index by index with Eq. 3.10. Six entries of tables stand in the two factors; five have the right index.",
           "An invariant helps: at t = 1 the mean must be x_0_hat itself, because alpha_bar_0 = 1. Which factor breaks it?",
           "The factor of x_0_hat has sqrt(alpha_bar_{t-1}): how much of the signal is left at t - 1, where the step arrives."],
    mistakes=[
        (_with_index(root=0), "this is still the planted step: one of the six indices in the two factors is not that of Eq. 3.10"),
        (_with_index(beta_in=1), "the planted index is mended, but now the beta in the same factor is off by one: it is beta[t]"),
        (_with_index(root=0, noise=1), "the noise was right: the step from t to t - 1 has the variance beta[t]; look at the two factors"),
        (_with_index(root=0, alpha_in=1), "alpha[t] was right: it belongs to the step that is undone; look at the other factor"),
        (_with_index(root=0, keep=0), "1 - alpha_bar[t - 1] in the factor of x_t was right, and is now wrong too; look at the factor of x_0_hat"),
        (_with_index(root=0, beta_in=1), "beta[t] was right: it belongs to the step that is undone; look beside it"),
        (_with_index(root=0, below=1), "the denominator 1 - alpha_bar[t] was right in both factors; look at a numerator"),
        (_mended_last_noise, "the index is mended, but now noise is added at t = 1 too; keep the factor (t > 1)"),
        (_mended_tilde, "the mean is mended; the noise was right with beta[t], leave it as it was"),
        (_mended_silent, "the mean is mended, but the noise got lost: add beta[t].sqrt() * z * (t > 1)"),
        (_with_index(power=1), "the index is mended, but the square root of alpha_bar[t - 1] got lost")])


def _softmax_cases():
    g = torch.Generator().manual_seed(8)
    return [(0.5 * torch.randn(5, 3, generator=g), torch.randn(7, 3, generator=g), a, s) for a, s in ((0.8, 0.6), (0.28, 0.96), (0.6, 0.8), (0.9998, 0.02))]


def _softmax_weights(x_t, x_0, a, s):
    squared = (x_t[:, None] - a * x_0).square().sum(2)         # (B, N)
    return (-squared / (2 * s ** 2)).softmax(1)


def _squared(x_t, x_0, a):
    return (x_t[:, None] - a * x_0).square().sum(2)


def _softmax_over_batch(x_t, x_0, a, s):
    return (-_squared(x_t, x_0, a) / (2 * s ** 2)).softmax(0)


def _softmax_unscaled(x_t, x_0, a, s):
    return (-_squared(x_t, x_0, 1) / (2 * s ** 2)).softmax(1)


def _softmax_no_half(x_t, x_0, a, s):
    return (-_squared(x_t, x_0, a) / s ** 2).softmax(1)


def _softmax_deviation(x_t, x_0, a, s):
    return (-_squared(x_t, x_0, a) / (2 * s)).softmax(1)


def _softmax_sign(x_t, x_0, a, s):
    return (_squared(x_t, x_0, a) / (2 * s ** 2)).softmax(1)


def _softmax_distance(x_t, x_0, a, s):
    return (-_squared(x_t, x_0, a).sqrt() / (2 * s ** 2)).softmax(1)


def _softmax_mean(x_t, x_0, a, s):
    return (-(x_t[:, None] - a * x_0).square().mean(2) / (2 * s ** 2)).softmax(1)


def _softmax_density(x_t, x_0, a, s):
    return (-_squared(x_t, x_0, a) / (2 * s ** 2)).exp()


def _softmax_transposed(x_t, x_0, a, s):
    return _softmax_weights(x_t, x_0, a, s).T


def _softmax_underflow(x_t, x_0, a, s):
    p = (-_squared(x_t, x_0, a) / (2 * s ** 2)).exp()
    return p / p.sum(1, keepdim=True)


def _softmax_precedence(x_t, x_0, a, s):
    return (-_squared(x_t, x_0, a) / 2 * s ** 2).softmax(1)


def _softmax_divided(x_t, x_0, a, s):
    return (-_squared(x_t / a, x_0, 1) / (2 * s ** 2)).softmax(1)


def _softmax_logits(x_t, x_0, a, s):
    return -_squared(x_t, x_0, a) / (2 * s ** 2)


def _softmax_log(x_t, x_0, a, s):
    return (-_squared(x_t, x_0, a) / (2 * s ** 2)).log_softmax(1)


def _softmax_nearest(x_t, x_0, a, s):
    return torch.nn.functional.one_hot(_squared(x_t, x_0, a).argmin(1), len(x_0)).to(x_t)


exercise(
    "softmax_weights", _softmax_weights, cases=_softmax_cases,
    hints=["Every noisy point against every element of the set: x_t[:, None] - a * x_0 has shape (B, N, D).",
           "The squared distance is the sum over the last dimension, (B, N). A softmax over dimension 1 makes each row sum to 1.",
           "softmax over i of -|x_t - a x_i|^2 / (2 s^2)."],
    mistakes=[
        (_softmax_over_batch, "the softmax runs over the batch; for each x_t the weights of the N elements must sum to 1, so it is dimension 1"),
        (_softmax_unscaled, "x_t is compared with x_i; the noised element lies around a x_i"),
        (_softmax_no_half, "the exponent of a Gaussian is the squared distance over twice the variance; the 2 is missing"),
        (_softmax_deviation, "this divides by 2 s, but the variance of the noise is s^2"),
        (_softmax_sign, "the sign is wrong: a near element must get a large weight, so the squared distance enters with a minus"),
        (_softmax_distance, "the distance must be squared"),
        (_softmax_mean, "this takes the mean over the D coordinates; densities of independent coordinates multiply, so their exponents add: sum"),
        (_softmax_density, "these numbers do not sum to 1 over the elements: divide by their sum (softmax does it, and without underflow)"),
        (_softmax_underflow, "right for much noise, but at s = 0.02 all of them are 0 as floats and you divide 0 by 0: a softmax avoids it"),
        (_softmax_precedence, "/ 2 * s ** 2 divides by 2 and then multiplies by s^2; write / (2 * s ** 2)"),
        (_softmax_divided, "dividing x_t by a divides its noise too; compare x_t with a x_i, noise of variance s^2"),
        (_softmax_logits, "these are the exponents; a softmax over dimension 1 makes weights of them"),
        (_softmax_log, "these are logarithms of the weights: softmax, not log_softmax"),
        (_softmax_nearest, "this gives all weight to the nearest element; the others keep a share, large when s is large"),
        (_softmax_transposed, "the table is transposed: one row per noisy point, (B, N)")])
