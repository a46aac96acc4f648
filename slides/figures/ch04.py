"""Pictures and numbers of deck 04, Posterior and ELBO."""
import math

import torch
from matplotlib.figure import Figure

from ddpm_lib import plots
from ddpm_lib.course.ch02 import photograph
from ddpm_lib.course.ch04 import SCALED, expected_terms
from ddpm_lib.course.exercise import REGISTRY
from ddpm_lib.data import load, to_unit
from ddpm_lib.ddpm import gaussian_kl, q_posterior, q_sample
from ddpm_lib.schedules import linear_schedule

from . import Frames, printed

STEPS = (25, 50, 100, 300, 1000)
INK, BLUE, GREEN, RUST = "#1b1f24", "#0b4a8f", "#0b5138", "#8f2a00"        # dark enough for letters


def _gaussian(x, mean, variance):
    """The density of N(mean, variance) at x."""
    return (-(x - mean) ** 2 / (2 * variance)).exp() / (2 * math.pi * variance) ** 0.5


# --- the posterior -------------------------------------------------------------------------------------------------

def chain():
    """The photograph along a chain of 25 steps, the forward arrows above and the model's arrows below."""
    schedule, t = SCALED["linear"](25), 5
    x_0 = photograph(32)
    steps = [(0, "$x_0$"), (t - 1, "$x_{t-1}$"), (t, "$x_t$"), (25, "$x_T$")]
    figure = Figure(figsize=(11.2, 3.3))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    arrow = {"arrowstyle": "-|>", "lw": 3, "mutation_scale": 26}
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    for k, (step, name) in enumerate(steps):
        left = 0.02 + 3.18 * k
        x = q_sample(x_0, torch.tensor([step]), eps, schedule) if step else x_0
        picture = to_unit(x[0]).permute(1, 2, 0).numpy()
        axes.imshow(picture, extent=(left, left + 1.62, 0.6, 2.22), interpolation="nearest")
        axes.text(left + 0.81, 0.28, name, ha="center", va="center", fontsize=24)
        if k < 3:
            right, middle, style = left + 1.68, left + 2.4, "-" if k == 1 else "--"
            forward, back = {**arrow, "color": plots.NOISE, "ls": style}, {**arrow, "color": plots.MODEL, "ls": style}
            axes.annotate("", (right + 1.44, 1.9), (right, 1.9), arrowprops=forward)
            axes.annotate("", (right, 1.0), (right + 1.44, 1.0), arrowprops=back)
            if k == 1:
                axes.text(middle, 2.2, r"$q(x_t\,|\,x_{t-1})$", ha="center", va="center", fontsize=19, color=RUST)
                axes.text(middle, 0.65, r"$p_\theta(x_{t-1}\,|\,x_t)$", ha="center", va="center", fontsize=18, color=GREEN)
            else:
                axes.text(middle, 1.45, "many\nsteps", ha="center", va="center", fontsize=18)
    axes.text(5.4, 2.95, "above: forward, fixed", ha="right", va="center", fontsize=20, color=RUST)
    axes.text(5.9, 2.95, "below: back, the model", ha="left", va="center", fontsize=20, color=GREEN)
    axes.set(xlim=(0, 11.2), ylim=(0, 3.3), aspect="auto")
    return figure


def _opinions(t=6, x_0=0.8, x_t=-0.5):
    """(mean, variance) of x_{t-1} by what x_0 says, by what x_t says, and by both."""
    s = SCALED["linear"](50)
    before, alpha, beta = float(s.alpha_bar[t - 1]), float(s.alpha[t]), float(s.beta[t])
    both = q_posterior(torch.tensor([[x_0]]).double(), torch.tensor([[x_t]]).double(), torch.tensor([t]), s)
    return (before ** 0.5 * x_0, 1 - before), (x_t / alpha ** 0.5, beta / alpha), (float(both[0]), float(both[1]))


def opinions():
    """Two opinions about x_{t-1} and their product."""
    by_data, by_noisy, both = _opinions()
    x = torch.linspace(-1.6, 1.8, 171, dtype=torch.float64)
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    axes = figure.add_subplot()
    for (mean, variance), color, style, name, ink, shift, side in (
            (by_data, plots.DATA, "--", "from $x_0$", BLUE, 0, "center"),
            (by_noisy, plots.NOISE, "-.", "from $x_t$", RUST, -0.1, "right"),
            (both, plots.EXACT, "-", "from both", INK, 0.2, "left")):
        top = 1 / (2 * math.pi * variance) ** 0.5
        axes.plot(x, _gaussian(x, mean, variance), style, color=color)
        axes.text(mean + shift, 1.03 * top, f"{name}: variance {variance:.3f}", ha=side, color=ink,
                  va="center" if shift else "bottom")
    axes.set(xlabel="$x_{t-1}$", ylabel="density", yticks=[0, 1], ylim=(0, 1.25 * top), xlim=(-1.6, 1.8))
    return figure


def inverses():
    """The inverses of the two variances, and their sum."""
    by_data, by_noisy, both = (f"{1 / variance:.1f}" for _, variance in _opinions())
    return f"{by_noisy} + {by_data} = {both}"


def trap():
    """What the check of Exercise 2 says to a usual mistake: the noise of one step, not of the whole jump."""
    text = next(text for f, text in REGISTRY["mean_from_eps"].mistakes if f.__name__ == "_eps_undo_step")
    return text.split(", so the factor")[0].replace("sqrt(beta_t) eps", "`sqrt(beta_t) eps`").replace(" eps were", " `eps` were")


def traps():
    """How many mistakes the check of Exercise 2 knows by name."""
    return str(len(REGISTRY["mean_from_eps"].mistakes))


# --- KL ------------------------------------------------------------------------------------------------------------

def _kl_of_ratio(r):
    """KL of N(0, 1) from N(0, r), in nats."""
    r = torch.as_tensor(r, dtype=torch.float64)
    return gaussian_kl(0 * r, 0 * r + 1, 0 * r, r)


def kl_ratio():
    """KL against the model's variance, half and twice marked."""
    r = torch.logspace(math.log10(0.2), math.log10(5), 60, dtype=torch.float64)
    figure = Figure(figsize=(6.2, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(r, _kl_of_ratio(r), color=plots.EXACT)
    for ratio, side in ((0.25, "left"), (0.5, "left"), (2.0, "right"), (4.0, "right")):
        kl = float(_kl_of_ratio(ratio))
        axes.plot(ratio, kl, "o", ms=12, color=plots.ERROR)
        axes.text(ratio * (1.15 if side == "left" else 0.87), kl + 0.05, f"{kl:.3f}", ha=side, va="bottom")
    axes.set(xscale="log", xlabel="model's variance / true variance", ylabel="KL in nats", ylim=(0, 1.15))
    axes.set_xticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
    axes.minorticks_off()
    return figure


# --- the bound -----------------------------------------------------------------------------------------------------

def _terms_figure(axis, T, v=0.25):
    """The expected KL terms of three schedules over t/T, on a linear or a logarithmic axis."""
    figure = Figure(figsize=(9.4, 4.0))
    axes = figure.add_axes((0.115, 0.19, 0.87, 0.78))
    for (name, make), style in zip(SCALED.items(), ("-", "--", ":")):
        schedule = make(T)
        terms = expected_terms(v, schedule, schedule.beta) / math.log(2)
        axes.plot(torch.arange(1, T) / T, terms[1:T], style, color=plots.EXACT,       # L_1 .. L_{T-1}
                  label=f"{name} schedule: {float(terms.sum()):.3f}")
    axes.set(xlim=(8e-4, 1.1), xscale="log", xlabel="$t\\,/\\,T$", ylabel="$L_t$ in bits", yscale=axis)
    axes.set_xticks([0.001, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"])
    if axis == "linear":
        axes.set(ylim=(0, 1.7), yticks=[0, 1])
    else:
        axes.set(ylim=(1e-9, 3))
        axes.set_yticks([1e-9, 1e-6, 1e-3, 1], ["$10^{-9}$", "$10^{-6}$", "$10^{-3}$", "1"])
    axes.minorticks_off()
    truth = 0.5 * math.log2(2 * math.pi * math.e * v)
    free = "lower left" if axis == "log" else "upper left" if T <= 50 else "upper right"
    axes.legend(title=f"sum of all terms (truth: {truth:.3f})", title_fontsize=18, loc=free, handlelength=2.6)
    return figure


def terms():
    """The central figure: the KL terms for three schedules and 25 to 1000 steps, on either axis."""
    frames = {f"{axis} axis": [_terms_figure(axis, T) for T in STEPS] for axis in ("linear", "log")}
    return Frames(frames, [f"T = {T}" for T in STEPS], slider="steps", choice="view", across=2, zoom=1.05, limit=100_000,
                  stills=[(0, 0), (len(STEPS) - 1, 0), (0, 1), (len(STEPS) - 1, 1)],
                  alt="The KL terms of the bound over t/T, on a linear or a logarithmic axis: large at small t, "
                      "tiny at large t. With more steps each term is smaller, and their sum comes down to the truth.")


def bits_25():
    """The whole bound in bits with 25 linear steps."""
    return _whole_bound(25)


def bits_1000():
    """The whole bound in bits with 1000 linear steps."""
    return _whole_bound(1000)


def _whole_bound(T, v=0.25):
    schedule = SCALED["linear"](T)
    return f"{float(expected_terms(v, schedule, schedule.beta).sum()) / math.log(2):.3f}"


def early_share():
    """Per cent of the KL terms' sum that lies in the first tenth of the steps, linear schedule, T = 1000."""
    schedule = SCALED["linear"](1000)
    kl = expected_terms(0.25, schedule, schedule.beta)[1:1000]
    return f"{100 * float(kl[:99].sum() / kl.sum()):.0f}"


def last_term():
    """L_T on the photograph, as the notebook prints it."""
    mantissa, power = printed("04", r"photograph, 32 x 32 .*L_T = ([\d.]+)e-0*(\d+)")[0].groups()
    return rf"{mantissa}\times10^{{-{power}}}"


def last_term_said():
    """L_T on the photograph, for the notes."""
    return f"{1e6 * float(printed('04', r'photograph, 32 x 32 .*L_T = ([0-9.e-]+)')[0][1]):.1f} millionths"


def bound_and_truth():
    """-ELBO and -ln p for three choices of the variance and two kinds of data, in nats, as the notebook prints them."""
    rows = [row.groups() for row in printed("04", r"v = ([\d.]+) (\w+) +-ELBO ([\d.]+) >= -ln p ([\d.]+) >= entropy ([\d.]+)")]
    figure = Figure(figsize=(11.2, 3.7))
    names = {"beta": r"$\beta_t$", "beta_tilde": r"$\tilde\beta_t$", "exact": "exact"}
    for k, v in enumerate(("1.00", "0.25")):
        axes = figure.add_axes((0.09 + 0.485 * k, 0.225, 0.415, 0.62))
        mine = [row for row in rows if row[0] == v]
        entropy = float(mine[0][4])
        axes.axvline(entropy, color=plots.EXACT, lw=2, ls="--")
        for y, (_, name, bound, truth, _) in enumerate(mine):
            bound, truth = float(bound), float(truth)
            axes.plot([truth, bound], [y, y], color=plots.ERROR, lw=5, solid_capstyle="butt")
            axes.plot(bound, y, "s", ms=15, color=plots.ERROR)
            axes.plot(truth, y, "o", ms=11, color=plots.MODEL, mec="white", mew=1.5)
            dx, dy, side = (-0.04, -0.28, "right") if name == "beta_tilde" else (0.045, 0, "left")
            axes.text(bound + dx, y + dy, f"bound {bound:.4f}", ha=side, va="center")
        axes.set(yticks=range(3), xticks=[math.ceil(entropy * 5) / 5 + 0.2 * j for j in range(3)], xlabel="nats",
                 ylim=(2.6, -0.6), xlim=(entropy - 0.1, entropy + 0.65))
        axes.set_yticklabels([names[row[1]] for row in mine], fontsize=22)
        axes.set_title(f"data $N(0,\\ {float(v):g})$", loc="left")
    return figure


def lost_tilde():
    """Nats that the bound loses with beta_tilde, and how many of them in L_0 to L_9."""
    total, early = printed("04", r"lost with beta_tilde: ([\d.]+) nats, of which L_0 to L_9: ([\d.]+)")[0].groups()
    return f"{early} of {total}"


# --- the simple loss -----------------------------------------------------------------------------------------------

def _weights():
    s = linear_schedule()
    return s.beta / (2 * s.alpha * (1 - s.alpha_bar))


def weights():
    """The weight of the noise error in the bound over t."""
    t, w = torch.logspace(0, 3, 90).round().long().unique(), _weights()
    figure = plots.curves(t, {"$w_t$": w[t]}, xlabel="step $t$", ylabel="weight $w_t$ in the bound", log="xy",
                          colors=(plots.EXACT,), size=(5.8, 4.6))
    axes = figure.axes[0]
    axes.lines[0].set_linewidth(3)
    axes.axhline(0.06, color=plots.MODEL, lw=3, ls="--")
    axes.text(1100, 0.067, "simple loss: all alike", ha="right", va="bottom", color=GREEN)
    for t, dx, dy, side in ((1, 1.4, 1.0, "left"), (100, 0.8, 0.82, "right")):
        axes.plot(t, w[t], "o", ms=11, color=plots.EXACT)
        axes.text(t * dx, w[t] * dy, f"$w_{{{t}}}$ = {float(w[t]):.3f}", ha=side, va="center")
    axes.set(ylim=(0.0035, 0.8))
    axes.minorticks_off()
    return figure


def weight_ratio():
    """How many times the weight at t = 100 that at t = 1 is."""
    return f"{float(_weights()[1] / _weights()[100]):.0f}"


# --- digits --------------------------------------------------------------------------------------------------------

def digit_blind():
    """Bits per pixel without any knowledge of 17 grey levels."""
    return f"{math.log2(17):.2f}"


def digit_alone():
    """Bits per pixel that know how often each level occurs at each pixel."""
    return printed("04", r"each pixel by itself ([\d.]+) bits")[0][1]


def digit_price():
    """Bits of the bound that the variance beta_t costs."""
    return printed("04", r"C_t of Eq. 4.16: ([\d.]+) bits")[0][1]


def digit_copying():
    """Bits per pixel with which the copying machine of chapter 03 names one of its digits."""
    pictures = load("digits").x_0
    return f"{math.log2(len(pictures)) / pictures[0].numel():.2f}"


def digit_bound():
    """The network's bound on digits, bits per pixel."""
    return printed("04", r"-ELBO ([\d.]+) bits per pixel")[0][1]
