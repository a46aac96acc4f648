"""Figures and exercises of chapter 04, Posterior and ELBO."""
import math

import torch
from matplotlib.figure import Figure

from .. import plots
from ..ddpm import at, predict_x_0
from ..schedules import Schedule, cosine_schedule, linear_schedule, sigmoid_schedule
from .exercise import exercise
from .explore import fig_frames, frame_slider

STEPS = (25, 50, 100, 200, 500, 1000)
SCALED = {"linear": lambda T: linear_schedule(T, 0.1 / T, 20 / T), "cosine": cosine_schedule, "sigmoid": sigmoid_schedule}


def gaussian_denoiser(v: float, schedule: Schedule):
    """The exact denoiser of data N(0, v I): the gain of Eq. 3.4 times x_t."""
    def denoiser(x_t, t):
        alpha_bar = at(schedule.alpha_bar, t, x_t)
        return alpha_bar.sqrt() * v / (alpha_bar * v + 1 - alpha_bar) * x_t
    return denoiser


def expected_terms(v, schedule, variance):
    """L_0 .. L_T in nats for data N(0, v) and its exact denoiser, averaged over data and noise: (T+1,)."""
    beta, before, alpha_bar = schedule.beta[1:], schedule.alpha_bar[:-1], schedule.alpha_bar[1:]
    tilde, sigma2 = schedule.beta_tilde[1:], variance[1:]
    spread = v * (1 - alpha_bar) / (alpha_bar * v + 1 - alpha_bar)     # E (x_0 - x_0_hat)^2
    off = before * beta ** 2 / (1 - alpha_bar) ** 2 * spread           # E (mu - mu_hat)^2
    kl = 0.5 * (tilde / sigma2 - 1 - (tilde / sigma2).log() + off / sigma2)
    L_0 = 0.5 * ((2 * math.pi * sigma2[:1]).log() + off[:1] / sigma2[:1])
    last = alpha_bar[-1:]
    L_T = 0.5 * (last * v - last - (1 - last).log())
    return torch.cat([L_0, kl[1:], L_T])


def term_slider(v: float = 0.25):
    """The expected terms of the bound over t, on a linear and on a logarithmic axis; slider over the number of steps, choice of schedule."""
    truth = 0.5 * math.log2(2 * math.pi * math.e * v)
    figure = Figure(figsize=(7.6, 3.0))
    left, right = figure.add_axes((0.085, 0.17, 0.39, 0.67)), figure.add_axes((0.59, 0.17, 0.39, 0.67))
    for axes in (left, right):
        axes.tick_params(labelsize=10.5)                               # an exponent is smaller than its 10
    lines = [axes.plot([], [], color=plots.EXACT, lw=1.6)[0] for axes in (left, right)]
    left.set(xlim=(8e-4, 1.1), ylim=(0, 1.7), xscale="log", xlabel="t / T", ylabel="$L_t$, bits per dimension", title="$L_t$ on a linear axis")
    right.set(xlim=(8e-4, 1.1), ylim=(1e-7, 3), xscale="log", yscale="log", xlabel="t / T", title="$L_t$ on a logarithmic axis")

    def update(key):
        name, T = key
        schedule = SCALED[name](T)
        terms = expected_terms(v, schedule, schedule.beta) / math.log(2)
        for line in lines:
            line.set_data(torch.arange(1, T) / T, terms[1:T])              # L_1 .. L_{T-1}: the KL terms
        figure.suptitle(f"{name}, T = {T}: all terms add up to {float(terms.sum()):.3f} bits (truth {truth:.3f})", fontsize=10)

    frames = {name: fig_frames(figure, update, [(name, T) for T in STEPS], dpi=86) for name in SCALED}
    return frame_slider(frames, [f"T = {T}" for T in STEPS], choice="schedule", slider="number of steps T", still=3,
                        alt="The KL terms of the bound over t/T, on a linear and on a logarithmic axis: large at small t, tiny at large t. "
                            "More steps make each term smaller, and the sum of all terms approaches the truth from above.")


# -- exercises -----------------------------------------------------------------------------------------------------------

def _square_cases():
    return [(0.7, 0.9, 0.2, -0.4, 0.5), (-1.3, 0.5, 2.0, 0.8, 0.1), (torch.tensor([0.2, -3.0]), 0.99, 0.02, torch.tensor([1.0, 0.3]), 0.7)]


def _complete_square(y, c, u, m, w):
    A = c ** 2 / u + 1 / w                                     # what multiplies x^2, times -2
    B = c * y / u + m / w                                      # what multiplies x
    return B / A, 1 / A


def _square_with(y, c, u, m, w, A=None, B=None):
    A = c ** 2 / u + 1 / w if A is None else A
    B = c * y / u + m / w if B is None else B
    return B / A, 1 / A


def _square_no_c2(y, c, u, m, w):
    return _square_with(y, c, u, m, w, A=c / u + 1 / w)


def _square_no_c(y, c, u, m, w):
    return _square_with(y, c, u, m, w, A=1 / u + 1 / w, B=y / u + m / w)


def _square_no_c_in_B(y, c, u, m, w):
    return _square_with(y, c, u, m, w, B=y / u + m / w)


def _square_precision(y, c, u, m, w):
    mean, variance = _complete_square(y, c, u, m, w)
    return mean, 1 / variance


def _square_deviation(y, c, u, m, w):
    mean, variance = _complete_square(y, c, u, m, w)
    return mean, variance ** 0.5


def _square_no_division(y, c, u, m, w):
    return c * y / u + m / w, _complete_square(y, c, u, m, w)[1]


def _square_add(y, c, u, m, w):
    mean, _ = _complete_square(y, c, u, m, w)
    return mean, u / c ** 2 + w


def _square_sign(y, c, u, m, w):
    return _square_with(y, c, u, m, w, B=c * y / u - m / w)


def _square_swapped(y, c, u, m, w):
    return _complete_square(y, c, w, m, u)


def _square_order(y, c, u, m, w):
    return _complete_square(y, c, u, m, w)[::-1]


def _square_precision_B(y, c, u, m, w):
    return c * y / u + m / w, c ** 2 / u + 1 / w


def _square_sum(y, c, u, m, w):
    return _complete_square(y, c, u, m, w)[0], u + w


def _square_opinion(y, c, u, m, w):
    A = 1 / u + 1 / w
    return (y / c / u + m / w) / A, 1 / A


exercise(
    "complete_square", _complete_square, cases=_square_cases,
    hints=["Collect what multiplies x^2 and what multiplies x in (y - c x)^2 / u + (x - m)^2 / w.",
           "(y - c x)^2 / u has c^2 / u times x^2 and -2 c y / u times x. Do the same for the other square.",
           "With A = c^2 / u + 1 / w and B = c y / u + m / w: the mean is B / A, the variance 1 / A."],
    mistakes=[
        (_square_no_c2, "A has c where c^2 belongs: squaring (y - c x) squares c"),
        (_square_no_c, "c is missing: y measures c times x, so its square brings c^2 / u to A and c y / u to B"),
        (_square_no_c_in_B, "B lacks the factor c of y: the mixed term of (y - c x)^2 is -2 c x y"),
        (_square_precision, "this returns A, the precision, as the variance; the variance is 1 / A"),
        (_square_deviation, "this returns the standard deviation; the variance 1 / A was asked for"),
        (_square_order, "mean and variance changed places: the mean comes first"),
        (_square_precision_B, "these are B and A; the mean is B / A and the variance 1 / A"),
        (_square_sum, "the variances were added, as for a sum of two Gaussians; when two Gaussians in the same x are multiplied, it is their inverses that add"),
        (_square_opinion, "y / c is an opinion about x with the variance u / c^2, not u: dividing by c divides the variance by c^2"),
        (_square_no_division, "the mean is B / A; this returns B"),
        (_square_add, "the variances u / c^2 and w were added; when two Gaussians in the same x are multiplied, it is their inverses that add"),
        (_square_sign, "m enters with the wrong sign: -2 B x collects -2 c y x / u and -2 m x / w, so both are added"),
        (_square_swapped, "u and w changed places: u is the variance of the noise in y, w that of x before y is known")])


def _eps_cases():
    g, schedule = torch.Generator().manual_seed(3), linear_schedule(50, 0.004, 0.3)
    return [(torch.randn(4, 2, generator=g), torch.tensor([2, 3, 20, 50]), torch.randn(4, 2, generator=g), schedule),
            (torch.randn(3, 1, 4, 4, generator=g), torch.tensor([7, 31, 49]), torch.randn(3, 1, 4, 4, generator=g), schedule)]


def _mean_from_eps(x_t, t, eps, schedule):
    beta, alpha = at(schedule.beta, t, x_t, eps), at(schedule.alpha, t, x_t)
    s = (1 - at(schedule.alpha_bar, t, x_t)).sqrt()
    return (x_t - beta / s * eps) / alpha.sqrt()


def _eps_with(x_t, t, eps, schedule, front="alpha", sign=-1, beta_power=1.0, s_power=0.5, back=0):
    beta, alpha_bar = at(schedule.beta, t - back, x_t), at(schedule.alpha_bar, t - back, x_t)
    return (x_t + sign * beta ** beta_power / (1 - alpha_bar) ** s_power * eps) / at(getattr(schedule, front), t, x_t).sqrt()


def _eps_no_root(x_t, t, eps, schedule):
    return _eps_with(x_t, t, eps, schedule, s_power=1.0)


def _eps_alpha_bar(x_t, t, eps, schedule):
    return _eps_with(x_t, t, eps, schedule, front="alpha_bar")


def _eps_sign(x_t, t, eps, schedule):
    return _eps_with(x_t, t, eps, schedule, sign=1)


def _eps_root_beta(x_t, t, eps, schedule):
    return _eps_with(x_t, t, eps, schedule, beta_power=0.5)


def _eps_early(x_t, t, eps, schedule):
    return _eps_with(x_t, t, eps, schedule, back=1)


def _eps_no_front(x_t, t, eps, schedule):
    return _mean_from_eps(x_t, t, eps, schedule) * at(schedule.alpha, t, x_t).sqrt()


def _eps_front_no_root(x_t, t, eps, schedule):
    return _mean_from_eps(x_t, t, eps, schedule) / at(schedule.alpha, t, x_t).sqrt()


def _eps_early_alpha_bar(x_t, t, eps, schedule):
    s = (1 - at(schedule.alpha_bar, t - 1, x_t)).sqrt()
    return (x_t - at(schedule.beta, t, x_t) / s * eps) / at(schedule.alpha, t, x_t).sqrt()


def _eps_all_early(x_t, t, eps, schedule):
    return _mean_from_eps(x_t, t - 1, eps, schedule)


def _eps_shrunk(x_t, t, eps, schedule):
    return _mean_from_eps(x_t, t, eps, schedule) * at(schedule.alpha, t, x_t)


def _eps_bracket(x_t, t, eps, schedule):
    s = (1 - at(schedule.alpha_bar, t, x_t)).sqrt()
    return x_t / at(schedule.alpha, t, x_t).sqrt() - at(schedule.beta, t, x_t) / s * eps


def _eps_x_0(x_t, t, eps, schedule):
    return predict_x_0(x_t, t, eps, schedule)


def _eps_undo_step(x_t, t, eps, schedule):
    return (x_t - at(schedule.beta, t, x_t).sqrt() * eps) / at(schedule.alpha, t, x_t).sqrt()


exercise(
    "mean_from_eps", _mean_from_eps, cases=_eps_cases,
    hints=["Read Eq. 4.7: x_t minus a multiple of eps, all divided by sqrt(alpha_t).",
           "at(schedule.beta, t, x_t) brings beta_t to a shape that multiplies; the same for alpha and alpha_bar.",
           "(x_t - beta_t / sqrt(1 - alpha_bar_t) * eps) / sqrt(alpha_t)."],
    mistakes=[
        (_eps_no_root, "beta_t is divided by 1 - alpha_bar_t, a variance; it must be the standard deviation sqrt(1 - alpha_bar_t)"),
        (_eps_alpha_bar, "this divides by sqrt(alpha_bar_t), which undoes all t steps; one step back divides by sqrt(alpha_t)"),
        (_eps_sign, "the sign is wrong: the noise is taken away, so minus"),
        (_eps_undo_step, "this takes away sqrt(beta_t) eps as if eps were the noise of this one step; it is the noise of the whole jump, so the factor is beta_t / sqrt(1 - alpha_bar_t)"),
        (_eps_root_beta, "the noise is multiplied by sqrt(beta_t) / sqrt(1 - alpha_bar_t); the formula has beta_t itself"),
        (_eps_early, "off by one: beta and alpha_bar were looked up at t - 1; the tables are indexed with the paper's t"),
        (_eps_early_alpha_bar, "off by one: alpha_bar was looked up at t - 1; eps is the noise of x_t, so it is alpha_bar[t]"),
        (_eps_all_early, "off by one: all tables were looked up at t - 1; they are indexed with the paper's t"),
        (_eps_shrunk, "this multiplies by sqrt(alpha_t); the step shrank x, so going back divides by it"),
        (_eps_bracket, "a bracket is missing: the whole difference is divided by sqrt(alpha_t), not x_t alone"),
        (_eps_no_front, "the factor 1 / sqrt(alpha_t) in front is missing: the step shrank x, going back enlarges it"),
        (_eps_front_no_root, "the factor in front is 1 / alpha_t here; it must be 1 / sqrt(alpha_t)"),
        (_eps_x_0, "this is the guess of x_0, all the way back; the mean of x_{t-1} is one step back")])


def _kl_cases():
    return [tuple(torch.tensor(v, dtype=torch.float64) for v in case)
            for case in ((0.3, 0.5, -0.4, 2.0), (1.0, 1.5, 0.2, 0.7), ([0.0, 1.0], [1.0, 0.1], [2.0, 1.0], [1.0, 0.4]))]


def _kl_gaussians(mean, variance, other_mean, other_variance):
    ratio = variance / other_variance
    return 0.5 * (ratio - 1 - ratio.log() + (mean - other_mean) ** 2 / other_variance)


def _kl_swapped(mean, variance, other_mean, other_variance):
    return _kl_gaussians(other_mean, other_variance, mean, variance)


def _kl_no_half(mean, variance, other_mean, other_variance):
    return 2 * _kl_gaussians(mean, variance, other_mean, other_variance)


def _kl_no_one(mean, variance, other_mean, other_variance):
    return _kl_gaussians(mean, variance, other_mean, other_variance) + 0.5


def _kl_deviations(mean, variance, other_mean, other_variance):
    return _kl_gaussians(mean, variance ** 2, other_mean, other_variance ** 2)


def _kl_log_sign(mean, variance, other_mean, other_variance):
    return _kl_gaussians(mean, variance, other_mean, other_variance) + (variance / other_variance).log()


def _kl_own_variance(mean, variance, other_mean, other_variance):
    ratio = variance / other_variance
    return 0.5 * (ratio - 1 - ratio.log() + (mean - other_mean) ** 2 / variance)


def _kl_not_squared(mean, variance, other_mean, other_variance):
    ratio = variance / other_variance
    return 0.5 * (ratio - 1 - ratio.log() + (mean - other_mean).abs() / other_variance)


def _kl_means_only(mean, variance, other_mean, other_variance):
    return 0.5 * (mean - other_mean) ** 2 / other_variance


def _kl_roots(mean, variance, other_mean, other_variance):
    return _kl_gaussians(mean, variance.sqrt(), other_mean, other_variance.sqrt())


def _kl_negative(mean, variance, other_mean, other_variance):
    return -_kl_gaussians(mean, variance, other_mean, other_variance)


def _kl_no_log(mean, variance, other_mean, other_variance):
    return 0.5 * (variance / other_variance - 1 + (mean - other_mean) ** 2 / other_variance)


def _kl_bits(mean, variance, other_mean, other_variance):
    return _kl_gaussians(mean, variance, other_mean, other_variance) / math.log(2)


exercise(
    "kl_gaussians", _kl_gaussians, cases=_kl_cases,
    hints=["Start from ln N(x; m, v) = -(x - m)^2 / (2 v) - ln(2 pi v) / 2, take the difference of the two logarithms, and average over x of the first Gaussian.",
           "On average over the first Gaussian, (x - m_1)^2 is v_1, and (x - m_2)^2 is v_1 + (m_1 - m_2)^2.",
           "Half of: v_1 / v_2 - 1 - ln(v_1 / v_2) + (m_1 - m_2)^2 / v_2."],
    mistakes=[
        (_kl_swapped, "this is KL of the second from the first: the divergence is not symmetric, and the average runs over the first"),
        (_kl_no_half, "the factor 1/2 is missing"),
        (_kl_no_one, "the -1 is missing: for equal Gaussians the divergence must be 0"),
        (_kl_deviations, "the inputs are variances already, but they were squared as if they were standard deviations (torch's Normal takes the deviation)"),
        (_kl_roots, "standard deviations stand where the variances belong: the inputs are variances, use them as they are"),
        (_kl_negative, "this is minus the divergence; a KL is never negative"),
        (_kl_no_log, "the logarithm is missing: -ln(v_1 / v_2), without which the divergence could be negative"),
        (_kl_log_sign, "the logarithm has the wrong sign: it is -ln(v_1 / v_2)"),
        (_kl_own_variance, "the distance of the means is measured in the first variance; it is divided by the second one, v_2"),
        (_kl_not_squared, "the difference of the means must be squared"),
        (_kl_means_only, "the part that compares the variances is missing; this is right only if they are equal"),
        (_kl_bits, "this is in bits; nats are asked for, so do not divide by ln 2")])


def _weights_cases():
    return [(s,) for s in (linear_schedule(30, 0.01, 0.4), cosine_schedule(40), linear_schedule())]


def _simple_weights(schedule):
    beta, alpha, alpha_bar = schedule.beta[1:], schedule.alpha[1:], schedule.alpha_bar[1:]
    return beta / (2 * alpha * (1 - alpha_bar))


def _weights_no_half(schedule):
    return 2 * _simple_weights(schedule)


def _weights_no_sigma(schedule):
    return _simple_weights(schedule) * schedule.beta[1:]


def _weights_inverse(schedule):
    return 1 / _simple_weights(schedule)


def _weights_root(schedule):
    return _simple_weights(schedule).sqrt()


def _weights_alpha_bar(schedule):
    return _simple_weights(schedule) * schedule.alpha[1:] / schedule.alpha_bar[1:]


def _weights_no_noise(schedule):
    return _simple_weights(schedule) * (1 - schedule.alpha_bar[1:])


def _weights_no_alpha(schedule):
    return _simple_weights(schedule) * schedule.alpha[1:]


def _weights_tilde(schedule):
    return _simple_weights(schedule) * schedule.beta[1:] / schedule.beta_tilde[1:]


def _weights_all(schedule):
    return schedule.beta / (2 * schedule.alpha * (1 - schedule.alpha_bar))


def _weights_sigma_beta(schedule):
    return _simple_weights(schedule) / schedule.beta[1:]


def _weights_squared_s(schedule):
    return _simple_weights(schedule) / (1 - schedule.alpha_bar[1:])


exercise(
    "simple_weights", _simple_weights, cases=_weights_cases,
    hints=["Eq. 4.16 holds for any variance sigma_t^2. Put beta_t there and cancel.",
           "schedule.beta[1:] are the entries for t = 1..T.",
           "beta_t^2 / (2 beta_t alpha_t (1 - alpha_bar_t)) = beta_t / (2 alpha_t (1 - alpha_bar_t))."],
    mistakes=[
        (_weights_no_half, "the 2 in the denominator is missing; it comes from the exponent of the Gaussian"),
        (_weights_no_sigma, "beta_t^2 was not divided by sigma_t^2 = beta_t: one beta_t cancels"),
        (_weights_inverse, "this is the inverse: L_{t-1} is the weight times the squared error, not the other way round"),
        (_weights_root, "this is the square root; a squared error is weighted, so the factor of eps enters squared"),
        (_weights_alpha_bar, "alpha_bar_t stands where alpha_t belongs: the mean divides by sqrt(alpha_t), one step"),
        (_weights_no_noise, "the factor 1 - alpha_bar_t in the denominator is missing; it is the square of sqrt(1 - alpha_bar_t) in Eq. 4.7"),
        (_weights_no_alpha, "the factor alpha_t in the denominator is missing; it is the square of sqrt(alpha_t) in Eq. 4.7"),
        (_weights_tilde, "either alpha_bar was taken at t - 1, or beta_tilde_t stands for sigma_t^2; both give infinity at t = 1"),
        (_weights_all, "the table has an entry for t = 0 too, where it divides 0 by 0; return the T numbers for t = 1..T"),
        (_weights_sigma_beta, "sigma_t^2 is beta_t, not its square: of the two factors in beta_t^2 one is left"),
        (_weights_squared_s, "1 - alpha_bar_t appears squared; sqrt(1 - alpha_bar_t) squared is 1 - alpha_bar_t")])
