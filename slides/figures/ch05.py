"""Pictures and numbers of deck 05."""
import contextlib
import functools
import math
import re

import matplotlib
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from torch import nn

from ddpm_lib import plots
from ddpm_lib.course import ch05
from ddpm_lib.course.exercise import REGISTRY
from ddpm_lib.ddpm import q_sample
from ddpm_lib.denoise import denoiser
from ddpm_lib.nets import MLP, time_embedding

from . import Frames, printed, resized

SCHEDULE = ch05.SCHEDULE
ORACLE = ch05.pinwheel(SCHEDULE)
EXACT = ch05.noise_guess(ORACLE, SCHEDULE)
MOMENTS = (0, 10, 25, 50, 100, 150, 200, 400, 800, 2000)                    # training steps that the slider shows


# -- the chapter's training, once for all pictures -----------------------------------------------------------------

class _Blind(nn.Module):
    """A network that always hears t = 1."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x_t, t):
        return self.net(x_t, torch.ones_like(t))


@contextlib.contextmanager
def _one_thread():
    """One thread, so that the numbers are the notebook's; torch's own generator comes out as it went in."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)                                                # the first weights, as in the notebook
        yield
    torch.set_num_threads(before)


@functools.cache
def _training():
    """The notebook's training: network, losses of all steps, weights at MOMENTS."""
    with _one_thread():
        net, losses = MLP(), []
        weights = {0: _copy(net)}
        for step, value in ch05.learn(net, ORACLE.sample, SCHEDULE, 2000, torch.Generator().manual_seed(0)):
            losses.append(value)
            if step in MOMENTS:
                weights[step] = _copy(net)
    return net.eval(), losses, weights


@functools.cache
def _blind():
    """The same network with a clock that stands still, after 400 steps."""
    with _one_thread():
        net = _Blind(MLP())
        for _ in ch05.learn(net, ORACLE.sample, SCHEDULE, 400, torch.Generator().manual_seed(0)):
            pass
    return net.eval()


def _copy(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


@functools.cache
def _errors():
    """Squared errors by t of the learned and of the exact guess on the notebook's 4,000 draws, (T, n) each."""
    g = torch.Generator().manual_seed(100)
    x_0 = ORACLE.sample(4000, g)
    eps = torch.randn(4000, 2, generator=g)
    with _one_thread():
        return tuple(ch05.errors_by_t(f, x_0, eps, SCHEDULE) for f in (_training()[0], EXACT))


@functools.cache
def _drawn():
    """The notebook's 5,000 samples of the learned denoiser."""
    with _one_thread():
        return ch05.draw(denoiser(_training()[0], SCHEDULE), 5000, SCHEDULE, seed=1)


def _found(pattern):
    """What the groups of a pattern match in the notebook's prints."""
    return printed("05", pattern)[0].groups()


# -- numbers -------------------------------------------------------------------------------------------------------

def three_levels():
    """Rows of a table: signal, noise and the loss of the best guess at three steps."""
    floor = _errors()[1].mean(1)
    head = r"| $t$ | signal $\sqrt{\bar\alpha_t}$ | noise $\sqrt{1-\bar\alpha_t}$ | error of the best guess |"
    rows = [head, "|---|---|---|---|"]
    for t in (1, 20, 100):
        a = float(SCHEDULE.alpha_bar[t])
        rows.append(f"| {t} | {a ** 0.5:.3f} | {(1 - a) ** 0.5:.3f} | {floor[t - 1]:.3f} |")
    return "\n".join(rows)


def parameters():
    return f"{sum(p.numel() for p in _training()[0].parameters()):,}"


def learned_loss():
    return f"{_errors()[0].mean():.4f}"


def floor_loss():
    return f"{_errors()[1].mean():.4f}"


def gap():
    """The gap in per cent of the floor."""
    learned, floor = _errors()
    return f"{100 * float((learned - floor).mean() / floor.mean()):.1f}"


def gap_error():
    """Standard error of the gap on shared draws, in per cent of the floor."""
    learned, floor = _errors()
    return f"{100 * float((learned - floor).mean(0).std() / len(floor[0]) ** 0.5 / floor.mean()):.1f}"


def loss_error():
    """Standard error of the learned loss alone, in per cent of the floor."""
    learned, floor = _errors()
    return f"{100 * float(learned.mean(0).std() / len(floor[0]) ** 0.5 / floor.mean()):.1f}"


def early_share():
    """Per cent of the gap at t <= 25."""
    gap_by_t = (_errors()[0] - _errors()[1]).mean(1)
    return f"{100 * float(gap_by_t[:25].sum() / gap_by_t.sum()):.0f}"


def lucky():
    """How many of the last 200 batches lie below the floor, in per cent."""
    return f"{sum(value < float(_errors()[1].mean()) for value in _training()[1][-200:]) / 2:.0f}"


def stray_table():
    """Rows of a table: strays of data, of two samplers and of two hybrids, as the notebook printed them."""
    names = {"data": "data", "exact denoiser": "exact denoiser", "learned": "learned",
             "exact at t <= 10": r"learned, exact at $t \le 10$", "exact at t > 10": r"learned, exact at $t > 10$"}
    shares = {shown: _found(re.escape(name) + r" +([\d.]+) % strays")[0] for name, shown in names.items()}
    rows = [f"| {shown} | {share} % |" for shown, share in shares.items()]
    return "\n".join(["| sampler | strays |", "|---|---|", *rows])


def blind_losses():
    """Losses without t, learned and best possible, and the learned one with t, as the notebook printed them."""
    found = _found(r"loss without t: learned ([\d.]+), best possible ([\d.]+); with t: ([\d.]+)")
    return "learned **{}**, best possible **{}**; with $t$: {}".format(*found)


def broken_table():
    """Rows of a table: five trainings of 400 steps, as the notebook printed them."""
    shown = {"right": "right", "zero_grad forgotten": "`zero_grad` forgotten",
             "noise of another draw as target": "target: another draw of noise",
             "t of another point": "$t$ of another point", "one t for the whole batch": "one $t$ for the whole batch"}
    rows = ["| training | loss | in floors | distance |", "|---|---|---|---|"]
    for name, words in shown.items():
        loss, floors, distance = _found(re.escape(name) + r" +loss ([\d.]+) = ([\d.]+) x floor, distance ([\d.]+)")
        rows.append(f"| {words} | {loss} | {floors} | {distance} |")
    return "\n".join(rows)


def thrown():
    return _found(r"points that flew off: (\d+) of 5000")[0]


def trap():
    """What the check of Exercise 2 says if zero_grad is forgotten."""
    return next(said for _, said in REGISTRY["training_step"].mistakes if "zero_grad() before it" in said)


# -- pictures ------------------------------------------------------------------------------------------------------

def _dots(axes, x, color, size, alpha=1.0):
    """Round dots, `size` points wide, as one path: a third of the bytes of a scatter."""
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    x = torch.as_tensor(x)
    x = x[(x[:, 0] > left) & (x[:, 0] < right) & (x[:, 1] > low) & (x[:, 1] < high)]
    ends = torch.stack([x, x + torch.tensor([1e-3 * (right - left), 0])], dim=1)                 # strokes with no length to speak of
    path = Path(ends.flatten(0, 1).numpy(), [Path.MOVETO, Path.LINETO] * len(x))
    path.should_simplify = False
    axes.add_patch(PathPatch(path, fill=False, edgecolor=color, lw=size, capstyle="round", alpha=alpha, snap=False, zorder=1))


def _from_notebook(make, inches, width=1136, dots=0.0):
    """A figure that the notebook draws `inches` wide, shown `width` pixels wide with letters that the room can read.

    dots: the size of the dots of its clouds, in points; 0 leaves them as they are."""
    points = 24.3 * 72 * inches / width
    sizes = ("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize", "xtick.labelsize", "ytick.labelsize")
    with matplotlib.rc_context(dict.fromkeys(sizes, points) | {"axes.linewidth": 0.8}):
        figure = make()
    for axes in figure.axes:
        axes.tick_params(labelsize=points)
        for cloud in list(axes.collections) if dots else ():
            _dots(axes, cloud.get_offsets().data, cloud.get_facecolor()[0], dots)
            cloud.remove()
    for text in figure.findobj(Text):
        text.set_fontsize(max(points, text.get_fontsize()))
    return resized(figure, width)


def game():
    """The pinwheel under more and more noise, and the noise in one of its points."""
    g, ts, n = torch.Generator().manual_seed(0), (1, 10, 20, 40, 100), 160
    x_0 = ORACLE.sample(n, g)
    eps = torch.randn(x_0.shape, generator=g)
    noised = {t: q_sample(x_0, torch.full((n,), t), eps, SCHEDULE) for t in ts}
    figure = _from_notebook(lambda: ch05.clouds({f"t = {t}": (x, plots.DATA) for t, x in noised.items()}, limit=3), 7.4, dots=1.8)
    one = int((x_0 - torch.tensor([-1.3, 0.4])).norm(dim=1).add((eps - torch.tensor([1.5, 1.5])).norm(dim=1)).argmin())
    for axes, (t, x) in zip(figure.axes, noised.items(), strict=True):
        axes.set_xticks((-2, 0, 2))
        start = float(SCHEDULE.alpha_bar[t]) ** 0.5 * x_0[one]
        axes.plot(*torch.stack([start, x[one]]).T, color=plots.EXACT, lw=2.6, zorder=4)
        axes.plot(*torch.stack([start, x[one]]).T, color=plots.NOISE, lw=1.6, zorder=5)
        axes.plot(*x[one, :, None], "o", color=plots.NOISE, markeredgecolor=plots.EXACT, markersize=5.5, zorder=6)
    return figure


def one_point():
    """One noisy point and the exact guesses for it at every t."""
    figure = _from_notebook(lambda: ch05.one_point_figure(ORACLE, [-1.3, 1.6], ts=(5, 40, 100)), 7.4, 1100)
    left, right = figure.axes
    cloud = left.collections[0]
    _dots(left, cloud.get_offsets().data[:300], plots.DATA, 2.2, alpha=0.6)
    cloud.remove()
    size = left.title.get_fontsize()
    left.set_title(r"best guess of $x_0$, by t", fontsize=size)
    right.set_title(r"best guess of $\varepsilon$, for the same $x_t$", fontsize=size)
    for label, offset in zip(left.texts, ((8, 4), (11, -11), (-12, -20)), strict=True):
        label.xyann = offset                                                # where no data lies
    left.annotate("$x_t$", (-1.3, 1.6), xytext=(-22, -4), textcoords="offset points", fontsize=size)
    return figure


def embedding():
    return _from_notebook(lambda: ch05.embedding_figure(time_embedding), 7.4, 1100)


def plateau():
    """The loss of the training with the exact floor."""
    figure = _from_notebook(lambda: ch05.plateau_figure(_training()[1], float(_errors()[1].mean())), 6.8, 1000)
    thin = figure.axes[0].lines[0]
    thin.set(alpha=0.6, linewidth=0.7)
    thin.set_data(thin.get_xdata()[::8], thin.get_ydata()[::8])             # every eighth step: an eighth of the bytes
    return figure


def curve():
    """The same without the floor: what one sees on data without a formula."""
    figure = plateau()
    axes = figure.axes[0]
    axes.lines[-1].remove()
    size = axes.get_legend().get_texts()[0].get_fontsize()
    axes.legend(frameon=False, fontsize=size)
    figure.set_size_inches(6.8, 2.1)
    figure.set_facecolor("#fff6e0")                                         # as the slide
    axes.set_facecolor("#fff6e0")
    return resized(figure, 1000)


def by_t():
    """Learned loss and floor by t, and the gap between them."""
    learned, floor = (errors.mean(1) for errors in _errors())
    lines = {"learned": (learned, plots.MODEL, "-"), "exact floor": (floor, plots.EXACT, "--")}
    figure = _from_notebook(lambda: ch05.loss_by_t_figure(lines, {"gap": (learned - floor, plots.MODEL)}), 7.4)
    figure.set_size_inches(7.4, 2.75)
    return figure


def samples():
    """Learned samples; crosses mark the strays among them."""
    clean, real = torch.zeros(20_000, dtype=torch.int64), ORACLE.sample(20_000, torch.Generator().manual_seed(77))
    rare = ORACLE.log_prob(real, clean).quantile(0.01)                      # as in the notebook
    x = _drawn()[:1000]
    stray = ORACLE.log_prob(x, clean[:1000]) < rare
    figure = Figure(figsize=(4.8, 4.7), layout="constrained")
    axes = figure.add_subplot()
    ticks, edges = (-2, 0, 2), (-2.6, 2.6)
    axes.set(xlim=edges, ylim=edges, aspect="equal", xlabel="$x_1$", ylabel="$x_2$", xticks=ticks, yticks=ticks)
    _dots(axes, x[~stray], plots.MODEL, 3)
    axes.scatter(*x[stray].T, s=60, marker="x", color=plots.ERROR, linewidths=2.2)
    axes.set_title(f"{len(x):,} learned samples")
    return figure


def blind():
    """Data, samples with t, samples of the network whose clock stands still."""
    data = ORACLE.sample(5000, torch.Generator().manual_seed(1))
    with _one_thread():
        blob = ch05.draw(denoiser(_blind(), SCHEDULE), 250, SCHEDULE, seed=1)
    sets = {"data": (data[:250], plots.DATA), "learned, with t": (_drawn()[:250], plots.MODEL),
            "learned, without t": (blob, plots.ERROR)}
    return _from_notebook(lambda: ch05.clouds(sets), 7.4, 890, dots=2.2)


# -- the slider: learned against exact arrows ------------------------------------------------------------------------

ARM = 3                                                                     # the arm that lies flat, at the lower right
VIEWS = {5: ((-0.18, 1.88), (-1.75, -0.34), 7.2), 40: ((-2.7, 2.7), (-2.7, 2.7), 3.2)}      # t: x_1, x_2, 1 / arrow size


def _places(t):
    """Where the arrows start: around one arm at t = 5, on a grid over all at t = 40; only where noised data is dense."""
    if t == 5:
        along, across = torch.linspace(-0.75, 1.05, 7), torch.tensor([-0.48, -0.2, 0.2, 0.48])
        grid = ORACLE.means[ARM].float() + torch.cartesian_prod(along, across)
    else:
        grid = torch.cartesian_prod(*2 * [0.77 * torch.arange(-3, 4)])
    log = ORACLE.log_prob(grid, torch.full((len(grid),), t))
    return grid[log > log.max() + math.log(1 / 200)]


def _against(guess, x, t, longest=2.0):
    """Arrows against the guessed noise, none longer than `longest`."""
    with torch.no_grad():
        v = -guess(x, torch.full((len(x),), t))
    return v * (longest / v.norm(dim=1, keepdim=True).clamp(min=longest))


def _arrows(axes, net, t):
    """Exact arrows in thick black and learned ones in thin green, in the window of VIEWS; at t = 5, the arms in pale blue."""
    (x_1, x_2, scale), x = VIEWS[t], _places(t)
    for mean, cov in zip(ORACLE.means, ORACLE.covariances, strict=True) if t == 5 else ():      # two standard deviations
        turn = math.degrees(math.atan2(2 * float(cov[0, 1]), float(cov[0, 0] - cov[1, 1])) / 2)
        short, long = (4 * float(v) ** 0.5 for v in torch.linalg.eigvalsh(cov))
        axes.add_patch(Ellipse(mean, long, short, angle=turn, color="#CFE4F3", lw=0, antialiased=False))
    pixels = axes.get_window_extent().width / axes.figure.dpi * 100
    style = dict(antialiased=False, angles="xy", scale_units="xy", scale=scale, pivot="tail", headlength=3.6,
                 headaxislength=3.4, minlength=0.4)
    axes.quiver(*x.T, *_against(EXACT, x, t).T, color=plots.EXACT, width=5 / pixels, headwidth=3.4, **style)
    axes.quiver(*x.T, *_against(net, x, t).T, color=plots.MODEL, width=2.6 / pixels, headwidth=3.6, **style)
    ticks = ((0, 1), (-1.5, -1, -0.5)) if t == 5 else ((-2, 0, 2), (-2, 0, 2))
    axes.set(xlim=x_1, ylim=x_2, xticks=ticks[0], yticks=ticks[1], xlabel="$x_1$")
    axes.set_title(f"t = {t}, " + ("one arm" if t == 5 else "all data"))


def _moment(net, losses, floor):
    """One frame: exact and learned arrows at two steps t, and the loss at every t."""
    figure = Figure(figsize=(11.3, 3.85))
    for t, left, width in ((5, 0.1, 0.36), (40, 0.52, 0.246)):            # of one height, 2.78 inches
        _arrows(figure.add_axes((left, 0.185, width, 2.78 / 3.85)), net, t)
    figure.axes[0].set_ylabel("$x_2$")
    loss, every_t = figure.add_axes((0.828, 0.185, 0.152, 2.78 / 3.85)), range(1, SCHEDULE.T + 1)
    loss.plot(every_t, losses, color=plots.MODEL, lw=4, label="learned")
    loss.plot(every_t, floor, "--", color=plots.EXACT, lw=2.5, label="exact")
    loss.set(xlabel="step t", xlim=(0, 100), ylim=(0, 1.6), yticks=(0, 0.5, 1), xticks=(0, 50, 100))
    loss.set_title("loss at t")
    loss.legend(loc="upper right", borderaxespad=0, handlelength=1.1)
    return figure


def field():
    """Exact and learned arrows, slider over the training step."""
    weights, net = _training()[2], MLP().eval()
    g = torch.Generator().manual_seed(0)
    x_0, eps = ORACLE.sample(1000, g), torch.randn(1000, 2, generator=g)
    floor, frames = ch05.errors_by_t(EXACT, x_0, eps, SCHEDULE).mean(1), []
    for step in MOMENTS:
        net.load_state_dict(weights[step])
        frames.append(_moment(net, ch05.errors_by_t(net, x_0, eps, SCHEDULE).mean(1), floor))
    return Frames(frames, [f"step {step}" for step in MOMENTS], slider="training",
                  alt="Arrows around one arm at t = 5 and over all data at t = 40, exact in thick black, learned in thin green; "
                      "beside them the loss at every t against the exact floor. Large noise is learned first.",
                  stills=[2, 4, 7, 9], across=2, paper=445, zoom=1, limit=124_000)
