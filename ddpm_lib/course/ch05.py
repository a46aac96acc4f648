"""Figures and exercises of chapter 05, Learning to denoise, with the training that the chapter does."""
import copy
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from .. import plots
from ..ddpm import at, q_sample, sample_ddpm, simple_loss
from ..nets import MLP
from ..oracles import GaussianMixture
from ..schedules import Schedule, linear_schedule
from .exercise import exercise
from .explore import fig_frames, frame_slider

STEPS = 2000
SCHEDULE = linear_schedule(100, 1e-3, 0.2)


def pinwheel(schedule: Schedule, arms: int = 5) -> GaussianMixture:
    """Five narrow Gaussians set askew on a circle: mean 0, variance about 0.95, and no symmetry under mirrors."""
    angle = torch.arange(arms, dtype=torch.float64) / arms * 2 * math.pi + math.pi / 2
    along = torch.stack([(angle + 0.9).cos(), (angle + 0.9).sin()], dim=1)                  # (arms, 2)
    across = torch.stack([-along[:, 1], along[:, 0]], dim=1)
    means = 1.3 * torch.stack([angle.cos(), angle.sin()], dim=1)
    covariances = 0.45 ** 2 * along[:, :, None] * along[:, None] + 0.1 ** 2 * across[:, :, None] * across[:, None]
    return GaussianMixture(torch.full((arms,), 1 / arms), means, covariances, schedule)


# -- the chapter's training -----------------------------------------------------------------------------------------------

def learn(net: nn.Module, sample: Callable, schedule: Schedule, steps: int, generator: torch.Generator,
          batch: int = 256, peak: float = 3e-3):
    """Algorithm 1 of Ho et al. 2020 on fresh data from sample(n, generator); yields (step, loss). As the notebook has it."""
    optimizer = torch.optim.Adam(net.parameters(), lr=peak)
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = peak * 0.5 * (1 + math.cos(math.pi * step / steps))
        x_0 = sample(batch, generator)
        t = torch.randint(1, schedule.T + 1, (batch,), generator=generator)
        eps = torch.randn(x_0.shape, generator=generator)
        loss = simple_loss(net, x_0, t, eps, schedule)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield step, loss.item()


def trained(seed: int = 0, steps: int = STEPS) -> tuple[MLP, GaussianMixture]:
    """The chapter's network after the chapter's training on the pinwheel, and the exact denoiser of its data."""
    oracle = pinwheel(SCHEDULE)
    torch.manual_seed(seed)
    net = MLP()
    for _ in learn(net, oracle.sample, SCHEDULE, steps, torch.Generator().manual_seed(seed)):
        pass
    return net, oracle


def noise_guess(oracle: Callable, schedule: Schedule) -> Callable:
    """The best guess of the noise, E[eps | x_t], that an exact denoiser E[x_0 | x_t] implies. As the notebook has it."""
    def guess(x_t, t):
        signal, noise = schedule.alpha_bar.sqrt(), (1 - schedule.alpha_bar).sqrt()
        return (x_t - at(signal, t, x_t) * oracle(x_t, t)) / at(noise, t, x_t)
    return guess


@torch.no_grad()
def errors_by_t(net: Callable, x_0: Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    """Squared error of the guessed noise at every t on the same draws, (T, n), averaged over the coordinates. As the notebook has it."""
    rows = []
    for t in range(1, schedule.T + 1):
        ts = torch.full((len(x_0),), t)
        rows.append((net(q_sample(x_0, ts, eps, schedule), ts) - eps).square().mean(1))
    return torch.stack(rows)


def draw(guess: Callable, n: int, schedule: Schedule, seed: int) -> Tensor:
    """n points by ancestral sampling with the Denoiser `guess` and the variance beta_tilde, (n, 2)."""
    for _, x, _ in sample_ddpm(guess, (n, 2), schedule, torch.Generator().manual_seed(seed), schedule.beta_tilde):
        pass
    return x


# -- what goes wrong -------------------------------------------------------------------------------------------------------

def _noise_twice(net, x_0, t, eps, schedule):
    return (net(q_sample(x_0, t, eps, schedule), t) - eps.roll(1, 0)).square().mean()


def _times_mixed_up(net, x_0, t, eps, schedule):
    return (net(q_sample(x_0, t, eps, schedule), t.roll(1, 0)) - eps).square().mean()


def _one_t(net, x_0, t, eps, schedule):
    return simple_loss(net, x_0, t[:1].expand(len(t)), eps, schedule)


BROKEN = {                                                                 # name: (loss, whether gradients are set to zero)
    "right": (simple_loss, True),
    "zero_grad forgotten": (simple_loss, False),
    "noise of another draw as target": (_noise_twice, True),
    "t of another point": (_times_mixed_up, True),
    "one t for the whole batch": (_one_t, True),
}


def broken_trainings(steps: int = 400, seed: int = 0) -> Iterator[tuple[str, MLP]]:
    """The chapter's training, shortened, with one thing wrong in each; yields (name, network)."""
    oracle = pinwheel(SCHEDULE)
    for name, (loss, zero) in BROKEN.items():
        torch.manual_seed(seed)
        net, g = MLP(), torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(net.parameters())
        for step in range(1, steps + 1):
            optimizer.param_groups[0]["lr"] = 1.5e-3 * (1 + math.cos(math.pi * step / steps))
            x_0 = oracle.sample(256, g)
            t = torch.randint(1, SCHEDULE.T + 1, (256,), generator=g)
            value = loss(net, x_0, t, torch.randn(x_0.shape, generator=g), SCHEDULE)
            if zero:
                optimizer.zero_grad()
            value.backward()
            optimizer.step()
        yield name, net


# -- figures ---------------------------------------------------------------------------------------------------------------

def clouds(sets: dict[str, tuple[Tensor, str]], limit: float = 2.6) -> Figure:
    """2-D sets side by side on equal axes, each in its colour. sets: {title: ((N, 2), colour)}."""
    side = min(7.4 / len(sets), 2.7)
    figure = Figure(figsize=(side * len(sets), side + 0.45), layout="constrained")
    for i, (title, (x, color)) in enumerate(sets.items()):
        axes = figure.add_subplot(1, len(sets), i + 1)
        axes.scatter(x[:, 0], x[:, 1], s=2.5, color=color, linewidths=0)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="$x_1$")
        axes.set_title(title, fontsize=10.5)
        if i == 0:
            axes.set_ylabel("$x_2$")
        else:
            axes.set_yticklabels([])
    return figure


def one_point_figure(oracle: GaussianMixture, point: Sequence[float], ts: Sequence[int] = (5, 20, 35, 60, 100)) -> Figure:
    """One noisy point, and what the exact denoiser makes of it at every t: the guess of x_0 (left) and of the noise (right)."""
    T = oracle.schedule.T
    t = torch.arange(1, T + 1)
    x_t = torch.tensor([point]).expand(T, 2)
    x_0_hat, eps_hat = oracle(x_t, t), noise_guess(oracle, oracle.schedule)(x_t, t)
    figure = Figure(figsize=(7.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    data = oracle.sample(1500, torch.Generator().manual_seed(0))
    left.scatter(data[:, 0], data[:, 1], s=2, color=plots.DATA, alpha=0.7, linewidths=0)
    left.plot(x_0_hat[:, 0], x_0_hat[:, 1], color=plots.EXACT, lw=1.4)
    for k in ts:
        a, b = x_0_hat[k - 1].tolist()
        left.scatter([a], [b], s=22, color=plots.EXACT, zorder=4)
        left.annotate(f"t = {k}", (a, b), xytext=(6, 3), textcoords="offset points", fontsize=9.5)
    left.scatter(*[[v] for v in point], s=80, marker="X", color=plots.NOISE, edgecolors=plots.EXACT, zorder=5)
    left.set(xlim=(-2.3, 2.3), ylim=(-2.3, 2.3), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    left.set_title(r"$\mathrm{E}[x_0|x_t]$, by $t$", fontsize=11)
    for i, style in enumerate(("-", "--")):
        right.plot(t, eps_hat[:, i], style, color=plots.EXACT, label=f"coordinate {i + 1}")
    right.axhline(0, color=plots.GREY, lw=0.8)
    right.set(xlabel="step t", xlim=(0, T))
    right.set_title(r"$\mathrm{E}[\varepsilon\,|\,x_t]$ for the same $x_t$", fontsize=11)
    right.legend(frameon=False)
    return figure


def embedding_figure(embed: Callable, T: int = 100, dim: int = 64) -> Figure:
    """The time embedding as a table (rows t, columns the numbers), and how alike the rows are: the cosine of their angle."""
    table = embed(torch.arange(1, T + 1), dim)                             # (T, dim)
    figure = Figure(figsize=(7.4, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    picture = left.imshow(table, cmap="cividis", vmin=-1, vmax=1, aspect="auto", extent=(0, dim, T + 0.5, 0.5), interpolation="nearest")
    left.axvline(dim / 2, color="white", lw=2)
    left.set(xlabel="entry: sines, then cosines", ylabel="step t", xticks=(0, dim // 4, dim // 2, 3 * dim // 4, dim))
    left.set_title("embedding of t", fontsize=11)
    figure.colorbar(picture, ax=left, shrink=0.9, ticks=(-1, 0, 1))
    unit = table / table.norm(dim=1, keepdim=True)
    picture = right.imshow(unit @ unit.T, cmap="viridis", vmin=0, vmax=1, extent=(0.5, T + 0.5, T + 0.5, 0.5), interpolation="nearest")
    right.set(xlabel="step $t'$", ylabel="step t")
    right.set_title("similarity of t and $t'$", fontsize=11)
    figure.colorbar(picture, ax=right, shrink=0.9, ticks=(0, 0.5, 1))
    return figure


def plateau_figure(losses: Sequence[float], floor: float, window: int = 100) -> Figure:
    """The loss of every step (thin), its running mean (thick), and the exact floor (black, dashed)."""
    y = torch.tensor(losses, dtype=torch.float64)
    window = min(window, len(y))                               # the reader may have stopped the training
    mean = y.unfold(0, window, 1).mean(1)
    figure = Figure(figsize=(6.8, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(1, len(y) + 1), y, color=plots.MODEL, alpha=0.6, lw=0.5)
    axes.plot(range(window, len(y) + 1), mean, color=plots.MODEL, lw=2.6, label=f"learned, mean of {window} steps")
    axes.axhline(floor, color=plots.EXACT, lw=1.6, ls="--", label="exact floor")
    axes.set(xlabel="training step", ylabel="loss L", yscale="log", xlim=(0, len(y)), ylim=(0.1, 1.3), yticks=(0.1, 0.2, 0.5, 1))
    axes.set_yticklabels(["0.1", "0.2", "0.5", "1"])
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure


def loss_by_t_figure(lines: dict[str, tuple[Tensor, str, str]], gaps: dict[str, tuple[Tensor, str]] | None = None) -> Figure:
    """Left: loss by t, {name: ((T,), colour, line style)}. Right, if given: the gaps to the floor by t on a logarithmic axis."""
    figure = Figure(figsize=(7.4 if gaps else 6.0, 3.0), layout="constrained")
    panels = figure.subplots(1, 2 if gaps else 1, squeeze=False)[0]
    for name, (y, color, style) in lines.items():
        panels[0].plot(range(1, len(y) + 1), y, style, color=color, label=name, lw=1.8, ms=5, markevery=(4, 10))
    panels[0].set(xlabel="step t", ylabel="loss at t", ylim=(0, None), xlim=(0, len(y)))
    panels[0].legend(frameon=False)
    for name, (y, color) in (gaps or {}).items():
        panels[1].plot(range(1, len(y) + 1), y, color=color, label=name, lw=1.8)
        panels[1].set(xlabel="step t", ylabel="loss − floor at t", yscale="log", xlim=(0, len(y)))
    return figure


def field_slider(snapshots: dict[int, dict], net: nn.Module, oracle: GaussianMixture, alt: str,
                 levels: Sequence[int] = (5, 10), longest: float = 2.0):
    """The chapter's slider: exact and learned guesses of the noise as arrows, training step x noise level; the loss by t beside it.

    snapshots: {training step: state dict}; net: a network to load them into. Arrows show minus eps, where to go to lose the
    noise, at the places where noised data falls: its density is at least 1/200 of the highest.
    """
    net, schedule = copy.deepcopy(net).eval(), oracle.schedule
    exact = noise_guess(oracle, schedule)
    g = torch.Generator().manual_seed(0)
    x_0, eps = oracle.sample(1000, g), torch.randn(1000, 2, generator=g)
    grids = [_crowded(oracle, t) for t in levels]
    floor = errors_by_t(exact, x_0, eps, schedule).mean(1)
    at_step = {}
    for step, state in snapshots.items():
        net.load_state_dict(state)
        with torch.no_grad():
            fields = [_cut(-net(x, torch.full((len(x),), t)), longest) for x, t in zip(grids, levels, strict=True)]
        at_step[step] = fields, errors_by_t(net, x_0, eps, schedule).mean(1)
    figure = Figure(figsize=(6.9, 3.5))
    left, right = figure.add_axes((0.07, 0.135, 0.42, 0.79)), figure.add_axes((0.62, 0.16, 0.36, 0.74))

    def frames(i: int, t: int) -> list:
        left.cla()
        right.cla()
        cloud, x = q_sample(x_0, torch.full((len(x_0),), t), eps, schedule), grids[i]
        left.scatter(cloud[:300, 0], cloud[:300, 1], s=7, color="#4C97C9", linewidths=0, antialiased=False)
        style = dict(angles="xy", scale_units="xy", scale=longest / 0.5, pivot="tail")
        left.quiver(*x.T, *_cut(-exact(x, torch.full((len(x),), t)), longest).T, color=plots.EXACT, width=0.009, **style)
        arrows = left.quiver(*x.T, *(0 * x).T, color=plots.MODEL, width=0.005, **style)
        left.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
        right.plot(range(1, schedule.T + 1), floor, "--", color=plots.EXACT, label="exact floor", zorder=3)
        (curve,) = right.plot(range(1, schedule.T + 1), floor, color=plots.MODEL, label="learned")
        right.axvline(t, color=plots.GREY, lw=1, ls=":")
        right.set(xlabel="step t", ylabel="loss at t", ylim=(0, 1.5), xlim=(0, schedule.T))
        right.legend(frameon=False, loc="upper right")

        def update(step: int) -> None:
            fields, losses = at_step[step]
            arrows.set_UVC(*fields[i].T)
            curve.set_ydata(losses)
            left.set_title(f"−ε at t = {t}: exact thick black, learned thin green", fontsize=10)
            right.set_title(f"after {step} training steps", fontsize=10)

        return fig_frames(figure, update, list(at_step), dpi=85)

    choices = {f"t = {t}": frames(i, t) for i, t in enumerate(levels)}
    return frame_slider(choices, [f"step {step}" for step in at_step], alt=alt, choice="noise level", slider="training step",
                        still=3, start=len(at_step) // 2)


def _crowded(oracle, t, share=1 / 200):
    """The points of a grid at which the noised data is dense: at least `share` of the highest density."""
    line = torch.linspace(-2.6, 2.6, 17)
    grid = torch.cartesian_prod(line, line)
    log = oracle.log_prob(grid, torch.full((len(grid),), t))
    return grid[log > log.max() + math.log(share)]


def _cut(v, longest):
    """Vectors shortened to `longest`, where they are longer."""
    return v * (longest / v.norm(dim=1, keepdim=True).clamp(min=longest))


# -- exercises -------------------------------------------------------------------------------------------------------------

def _embed_time(t, dim):
    half = dim // 2
    frequency = 10_000.0 ** (-torch.arange(half) / (half - 1))            # from 1 down to 1/10000
    angle = t[:, None] * frequency                                         # (B, half)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _embed_with(frequency, join=lambda a: torch.cat([a.sin(), a.cos()], dim=1)):
    def answer(t, dim):
        return join(t[:, None] * frequency(torch.arange(dim // 2), dim // 2))
    return answer


def _down(k, half):
    return 10_000.0 ** (-k / (half - 1))


def _embed_flat(t, dim):
    angle = t * _down(torch.arange(dim // 2), dim // 2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def _embed_dim(t, dim):
    return _embed_time(t, 2 * dim)


def _embed_all_sines(t, dim):
    return (t[:, None] * _down(torch.arange(dim), dim)).sin()


def _embed_from_zero(t, dim):
    return _embed_time(t - 1, dim)


exercise(
    "embed_time", _embed_time, atol=1e-3,
    cases=lambda: [(torch.tensor([1, 7, 40, 100, 3]), 8), (torch.tensor([2, 90]), 64), (torch.tensor([5]), 4)],
    hints=["K = dim // 2 hands with speeds omega_k from 1 down to 1/10000, evenly spaced in their logarithm.",
           "omega_k is 10000 to the power -k / (K - 1), with K = dim // 2 and k = 0 .. K - 1.",
           "t[:, None] * omega has shape (B, K): all angles. Then torch.cat of its sines and its cosines along dim=1."],
    mistakes=[
        (_embed_with(lambda k, half: 10_000.0 ** (-k / half)), "the slowest hand does not turn 1/10000 per step: divide k by K - 1 (K = dim // 2), so that both ends are included"),
        (_embed_with(_down, lambda a: torch.stack([a.sin(), a.cos()], dim=2).flatten(1)),
         "sine and cosine alternate here; put all sines first, then all cosines"),
        (_embed_with(_down, lambda a: torch.cat([a.cos(), a.sin()], dim=1)), "the cosines come first here; the sines belong before them"),
        (_embed_with(lambda k, half: 10_000.0 ** (k / (half - 1))), "the frequencies rise to 10000: at whole t such waves jump about like noise; the exponent needs a minus sign"),
        (_embed_with(lambda k, half: torch.linspace(1, 1e-4, half)), "the frequencies are evenly spaced; it is their logarithms that should be (each is the one before times the same factor)"),
        (_embed_with(lambda k, half: 2 * math.pi * _down(k, half)), "2 pi too fast: the frequencies count radians per step, and the fastest is 1"),
        (_embed_with(_down, torch.sin), "the cosines are missing: the result has only dim / 2 columns"),
        (_embed_with(lambda k, half: _down(k + 1, half)), "k runs from 1 here; it starts at 0, so that the fastest hand turns by 1 per step"),
        (_embed_all_sines, "sines of dim hands; half of the columns are the cosines of K = dim // 2 hands"),
        (_embed_dim, "twice too long: dim counts sines and cosines together, so there are dim // 2 frequencies"),
        (_embed_from_zero, "this counts t from 0; here it goes in as it is"),
        (_embed_flat, "t has shape (B,) and the frequencies (half,): every t must meet every frequency, so use t[:, None]")])


class _Data:
    """Batches of a probe, always the same."""

    def __init__(self):
        self.schedule = linear_schedule(10, 0.02, 0.4)
        self.x_0 = pinwheel(self.schedule).sample(64, torch.Generator().manual_seed(11))


def _small_net():
    torch.manual_seed(3)
    net = MLP(width=16, blocks=1, time=8)
    nn.init.normal_(net.last.weight, std=0.2)                              # not at zero: every mistake shows from the first step
    return net


def _training_step_probe(fn):
    data, net, g = _Data(), _small_net(), torch.Generator().manual_seed(5)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    before = torch.get_rng_state()
    said = [_number(fn(net, optimizer, data.x_0, data.schedule, g)) for _ in range(4)]
    own = not torch.equal(before, torch.get_rng_state())
    return {"the losses": "torch's own generator was used" if own else said,
            "the weights after 4 steps": [p.detach().clone() for p in net.parameters()]}


def _number(value):
    """A plain number from a loss, whatever it came as."""
    if value is None:
        raise ValueError("the function must return the loss as a number: loss.item()")
    return float(value.detach() if isinstance(value, Tensor) else value)


def _training_step(net, optimizer, x_0, schedule, generator):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator)
    eps = torch.randn(x_0.shape, generator=generator)
    loss = (net(q_sample(x_0, t, eps, schedule), t) - eps).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _step_with(zero=True, act=True, low=1, high=1, first=None, whole=False, target=lambda x_0, eps, g: eps, say=torch.Tensor.item):
    """A training step with one thing changed."""
    def answer(net, optimizer, x_0, schedule, generator):
        if first == "eps":
            eps = torch.randn(x_0.shape, generator=generator)
        if whole:
            t = torch.randint(low, schedule.T + high, (1,), generator=generator).expand(len(x_0))
        else:
            t = torch.randint(low, schedule.T + high, (len(x_0),), generator=generator)
        if first != "eps":
            eps = torch.randn(x_0.shape, generator=generator)
        loss = (net(q_sample(x_0, t, eps, schedule), t) - target(x_0, eps, generator)).square().mean()
        if zero:
            optimizer.zero_grad()
        loss.backward()
        if act:
            optimizer.step()
        return say(loss)
    return answer


def _one_step(compute):
    """A training step on another loss: compute(net, x_0, schedule, generator) -> scalar."""
    def answer(net, optimizer, x_0, schedule, generator):
        loss = compute(net, x_0, schedule, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()
    return answer


def _residual(net, x_0, schedule, generator, noise=torch.randn, clean=False):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator)
    eps = noise(x_0.shape, generator=generator)
    return net(x_0 if clean else q_sample(x_0, t, eps, schedule), t) - eps


_step_no_generator = _one_step(lambda net, x_0, schedule, g: _residual(net, x_0, schedule, torch.default_generator).square().mean())
_step_paper = _one_step(lambda *args: _residual(*args).square().sum(1).mean())
_step_uniform = _one_step(lambda *args: _residual(*args, noise=torch.rand).square().mean())
_step_sum = _one_step(lambda *args: _residual(*args).square().sum())
_step_clean = _one_step(lambda *args: _residual(*args, clean=True).square().mean())


exercise(
    "training_step", _training_step, probe=_training_step_probe, in_place=True,
    hints=["Draw t, draw eps, make x_t with q_sample, compare net(x_t, t) with eps.",
           "t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator): one t for each point, the upper end is left out. Then eps, from the same generator.",
           "simple_loss does the middle part. Then optimizer.zero_grad(), loss.backward(), optimizer.step(), in this order.",
           "Return loss.item(), a plain number."],
    mistakes=[
        (_step_with(zero=False), "the gradients of all steps add up, because backward() adds to what is there: call optimizer.zero_grad() before it"),
        (_step_with(act=False), "the weights never change: after loss.backward() comes optimizer.step(), and zero_grad() must not stand between them"),
        (_step_with(low=0, high=0), "t = 0 is drawn here, and that is clean data with no noise to guess: use randint(1, schedule.T + 1, ...)"),
        (_step_with(high=0), "t = T is never drawn: randint leaves its upper end out, so it must be schedule.T + 1"),
        (_step_with(whole=True), "all points of the batch got the same t; draw one for each, (len(x_0),)"),
        (_step_with(first="eps"), "the right idea, but eps was drawn before t: the check draws t first, so draw in that order"),
        (_step_with(target=lambda x_0, eps, g: torch.randn(x_0.shape, generator=g)),
         "the target is another draw of noise than the one in x_t: nobody can guess that, and the loss will stay at 1"),
        (_step_with(target=lambda x_0, eps, g: x_0), "the network is compared with x_0; it is the noise eps that it should guess"),
        (_step_with(say=lambda loss: None), "the function must return the loss as a number: loss.item()"),
        (_step_no_generator, "torch's own generator was used: pass generator=generator to randint and to randn, or nobody can repeat the training"),
        (_step_paper, "the squares are summed over the coordinates, as in the paper; the course's loss is the mean over them too, so that guessing nothing scores 1"),
        (_step_uniform, "the noise is uniform (rand); it must be Gaussian: randn"),
        (_step_sum, "the squares are summed; take their mean, so that the loss does not depend on the size of the batch"),
        (_step_clean, "the network was shown the clean x_0; it must see x_t = q_sample(x_0, t, eps, schedule)")])


def _floor_by_t(oracle, x_0, eps, ts, schedule):
    floors = []
    for t in ts:
        t = torch.full((len(x_0),), t)
        x_t = q_sample(x_0, t, eps, schedule)
        alpha_bar = at(schedule.alpha_bar, t, x_t)
        best = (x_t - alpha_bar.sqrt() * oracle(x_t, t)) / (1 - alpha_bar).sqrt()
        floors.append((eps - best).square().mean())
    return torch.stack(floors)


def _floors_with(error, mean=lambda e: e.square().mean(), early=0):
    """floor_by_t with another error(x_0, x_t, eps, guess of x_0, alpha_bar)."""
    def answer(oracle, x_0, eps, ts, schedule):
        floors = []
        for t in ts:
            t = torch.full((len(x_0),), t)
            x_t = q_sample(x_0, t, eps, schedule)
            floors.append(mean(error(x_0, x_t, eps, oracle(x_t, t - early), at(schedule.alpha_bar, t, x_t))))
        return torch.stack(floors)
    return answer


def _best(x_t, guess, alpha_bar):
    return (x_t - alpha_bar.sqrt() * guess) / (1 - alpha_bar).sqrt()


def _floor_one_number(oracle, x_0, eps, ts, schedule):
    return _floor_by_t(oracle, x_0, eps, ts, schedule).mean()


def _floor_own_noise(oracle, x_0, eps, ts, schedule):
    return _floor_by_t(oracle, x_0, torch.randn_like(eps), ts, schedule)


def _floor_shown_clean(oracle, x_0, eps, ts, schedule):
    return _floor_by_t(lambda x_t, t: oracle(x_0, t), x_0, eps, ts, schedule)


def _floor_cases():
    schedule = linear_schedule(20, 0.01, 0.4)
    oracle, g = pinwheel(schedule), torch.Generator().manual_seed(8)
    return [(oracle, oracle.sample(200, g), torch.randn(200, 2, generator=g), (1, 4, 20), schedule)]


exercise(
    "floor_by_t", _floor_by_t, cases=_floor_cases,
    hints=["At each t: make x_t, compute the best guess of the noise, and the mean of its squared error.",
           "The best guess of the noise is Eq. 5.3, with oracle(x_t, t) for E[x_0 | x_t], and t a tensor of shape (n,).",
           "The error is eps minus that guess; square it, take the mean over points and coordinates; torch.stack the results."],
    mistakes=[
        (_floors_with(lambda x_0, x_t, eps, guess, ab: x_0 - guess), "this is the error of the guess of x_0; the loss compares noise, so turn the guess into one of eps with Eq. 5.3"),
        (_floors_with(lambda x_0, x_t, eps, guess, ab: eps - (x_t - ab * guess) / (1 - ab)),
         "the variances stand where the coefficients belong: sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t)"),
        (_floors_with(lambda x_0, x_t, eps, guess, ab: eps - (x_t - ab.sqrt() * guess)), "the division by sqrt(1 - alpha_bar_t) is missing"),
        (_floors_with(lambda x_0, x_t, eps, guess, ab: eps - (x_t - guess) / (1 - ab).sqrt()), "the guess of x_0 is not shrunk: it enters x_t with the factor sqrt(alpha_bar_t)"),
        (_floors_with(lambda x_0, x_t, eps, guess, ab: eps - _best(x_t, guess, ab), mean=lambda e: e.square().sum(1).mean()),
         "this sums over the coordinates; the course's loss is the mean over them too, so that guessing nothing scores 1"),
        (_floors_with(lambda x_0, x_t, eps, guess, ab: eps - _best(x_t, guess, ab), mean=lambda e: e.abs().mean()), "the loss is the mean of squares, not of absolute values"),
        (_floors_with(lambda x_0, x_t, eps, guess, ab: _best(x_t, guess, ab)), "this is the size of the best guess, not its error: subtract it from eps before squaring"),
        (_floors_with(lambda x_0, x_t, eps, guess, ab: eps - (x_t - ab.sqrt() * guess) / (1 - ab)), "a variance for a coefficient: the division is by sqrt(1 - alpha_bar_t)"),
        (_floors_with(lambda x_0, x_t, eps, guess, ab: eps - (x_t - ab * guess) / (1 - ab).sqrt()), "a variance for a coefficient: the guess of x_0 enters with sqrt(alpha_bar_t)"),
        (_floors_with(lambda x_0, x_t, eps, guess, ab: eps - _best(x_t, guess, ab), mean=lambda e: e.square().mean().sqrt()), "the root is taken; the loss is the mean square itself"),
        (_floor_shown_clean, "the oracle was shown the clean x_0; it must see x_t"),
        (_floors_with(lambda x_0, x_t, eps, guess, ab: eps - _best(x_t, guess, ab), early=1), "off by one: the oracle was asked about t - 1, but x_t has the noise of t"),
        (_floor_one_number, "one number for all t; return one for each t in ts"),
        (_floor_own_noise, "this draws noise of its own; use the eps that you were given, or losses on it cannot be compared")])


def _overfit_probe(fn):
    data, net, g = _Data(), _small_net(), torch.Generator().manual_seed(6)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = torch.get_rng_state()
    said = fn(net, optimizer, data.x_0[:16], data.schedule, g, 6)
    if said is None:
        return "nothing"
    if not isinstance(said, (list, tuple)):
        return "not a list"
    own = not torch.equal(before, torch.get_rng_state())
    return "torch's own generator was used" if own else [_number(value) for value in said]


def _overfit(net, optimizer, x_0, schedule, generator, steps):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator)
    eps = torch.randn(x_0.shape, generator=generator)
    losses = []
    for _ in range(steps):
        loss = simple_loss(net, x_0, t, eps, schedule)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _overfit_with(fresh=(), zero=True, act=True, whole=False, last=False, eps_first=False):
    """overfit with one thing changed; fresh: what is drawn anew in every step."""
    def answer(net, optimizer, x_0, schedule, generator, steps):
        def new_t():
            return torch.randint(1, schedule.T + 1, (1 if whole else len(x_0),), generator=generator).expand(len(x_0))

        eps = torch.randn(x_0.shape, generator=generator) if eps_first else None
        t, eps, losses = new_t(), torch.randn(x_0.shape, generator=generator) if eps is None else eps, []
        for k in range(steps):
            if k and "t" in fresh:
                t = new_t()
            if k and "eps" in fresh:
                eps = torch.randn(x_0.shape, generator=generator)
            loss = simple_loss(net, x_0, t, eps, schedule)
            if zero:
                optimizer.zero_grad()
            loss.backward()
            if act:
                optimizer.step()
            losses.append(loss.item())
        return [losses[-1]] if last else losses
    return answer


def _overfit_no_generator(net, optimizer, x_0, schedule, generator, steps):
    return _overfit(net, optimizer, x_0, schedule, torch.default_generator, steps)


exercise(
    "overfit", _overfit, probe=_overfit_probe, in_place=True,
    hints=["It is the training step, repeated, on a batch that never changes. What must be drawn before the loop, and not in it?",
           "Both t and eps are drawn once, t first. Inside the loop: simple_loss, zero_grad, backward, step.",
           "losses.append(loss.item()) in every step, and return the list."],
    mistakes=[
        (_overfit_with(fresh=("t", "eps")), "t and eps are drawn anew in every step: that is ordinary training, and its loss stops at the floor; draw both once, before the loop"),
        (_overfit_with(fresh=("eps",)), "eps is drawn anew in every step; it belongs to the batch here: draw it once, before the loop"),
        (_overfit_with(fresh=("t",)), "t is drawn anew in every step; it belongs to the batch here: draw it once, before the loop"),
        (_overfit_with(zero=False), "the gradients of all steps add up: call optimizer.zero_grad() before loss.backward()"),
        (_overfit_with(act=False), "the loss is the same in every step, so the weights never change: optimizer.step() after loss.backward()"),
        (_overfit_with(whole=True), "all points got the same t; draw one for each, so that the test covers every noise level"),
        (_overfit_no_generator, "torch's own generator was used: pass generator=generator to randint and to randn"),
        (_overfit_with(eps_first=True), "the right idea, but eps was drawn before t: the check draws t first, so draw in that order"),
        (lambda *args: _overfit(*args)[-1], "this returns one number; return the list of all losses"),
        (lambda *args: None, "nothing came back: is the last line a return?"),
        (_overfit_with(last=True), "this returns the last loss alone; return the list of all of them")])
