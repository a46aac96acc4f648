"""Figures and exercises of chapter 07, Training on pictures, and its eight broken trainings."""
import copy
from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from .. import data, plots
from ..ddpm import at, simple_loss
from ..denoise import clipped, denoiser
from ..samplers import ddpm, even_times
from ..schedules import Schedule, linear_schedule
from ..train import EMA, train, warmup_cosine
from ..unet import UNet
from .exercise import exercise
from .explore import fig_frames, frame_slider


def draw(net: nn.Module, n: int, schedule: Schedule, seed: int, variance: str = "beta_tilde", bound: float = 1.0) -> Tensor:
    """n digits by ancestral sampling through every step, (n, 1, 8, 8). The guess of x_0 is clipped at bound."""
    generator = torch.Generator().manual_seed(seed)
    x, guess = torch.randn(n, 1, 8, 8, generator=generator), clipped(denoiser(net, schedule), bound)
    for _, x, _ in ddpm(guess, x, even_times(schedule, schedule.T), schedule, generator, variance):
        pass
    return x


def snapshot_slider(snapshots: dict[int, tuple[dict, dict]], net: nn.Module, schedule: Schedule, alt: str):
    """The slider over the training step, with a choice of the seed: digits drawn with raw weights beside averaged ones.

    snapshots: {step: (state dict of the raw weights, state dict of the average)}; net: a network to load them into.
    """
    net = copy.deepcopy(net).eval()
    drawn = {}
    for step, states in snapshots.items():
        pictures = []
        for state in states:
            net.load_state_dict(state)
            pictures.append(draw(net, 18, schedule, seed=3))
        drawn[step] = pictures
    figure = Figure(figsize=(5.6, 3.0))
    left, right = figure.add_axes((0.01, 0.02, 0.47, 0.86)), figure.add_axes((0.52, 0.02, 0.47, 0.86))

    def update(part: int, step: int) -> None:
        for axes, x, title in zip((left, right), drawn[step], ("raw weights", "averaged weights (EMA)"), strict=True):
            axes.cla()
            axes.imshow(plots.mosaic(x[9 * part:9 * part + 9], 3), interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(title, fontsize=12)

    frames = {f"noise {part + 1}": fig_frames(figure, lambda step, part=part: update(part, step), list(drawn), dpi=80)
              for part in range(2)}
    return frame_slider(frames, [f"step {step}" for step in drawn], alt=alt, choice="starting noise", slider="training step", still=4)


# -- eight broken trainings ------------------------------------------------------------------------------------------------

def _loss(net, x_0, t, eps, schedule):
    return simple_loss(net, x_0, t, eps, schedule)


def _loss_alpha(net, x_0, t, eps, schedule):
    x_t = at(schedule.alpha.sqrt(), t, x_0) * x_0 + at((1 - schedule.alpha).sqrt(), t, x_0) * eps
    return (net(x_t, t) - eps).square().mean()


def _loss_variance(net, x_0, t, eps, schedule):
    x_t = at(schedule.alpha_bar.sqrt(), t, x_0) * x_0 + at(1 - schedule.alpha_bar, t, x_0) * eps
    return (net(x_t, t) - eps).square().mean()


def _loss_other_noise(net, x_0, t, eps, schedule):
    x_t = at(schedule.alpha_bar.sqrt(), t, x_0) * x_0 + at((1 - schedule.alpha_bar).sqrt(), t, x_0) * eps.flip(0)
    return (net(x_t, t) - eps).square().mean()


def _loss_no_time(net, x_0, t, eps, schedule):
    return simple_loss(lambda x_t, t: net(x_t, torch.ones_like(t)), x_0, t, eps, schedule)


class Fault(NamedTuple):
    """What differs from the healthy training: the data, the loss, the learning rate, or, after it, the way of drawing."""

    prepare: Callable = lambda x_0: x_0
    loss: Callable = _loss
    peak: float = 5e-3
    average: str = "with warm-up"
    draw_with: Schedule | None = None


BROKEN = {
    "healthy": Fault(),
    "noise drawn twice": Fault(loss=_loss_other_noise),
    "data in [0, 1]": Fault(prepare=data.to_unit),
    "average without warm-up": Fault(average="without"),
    "alpha for alpha_bar": Fault(loss=_loss_alpha),
    "learning rate x 100": Fault(peak=0.5),
    "time left out": Fault(loss=_loss_no_time),
    "drawn with another schedule": Fault(draw_with=linear_schedule(200, 5e-4, 0.1)),
    "variance for deviation": Fault(loss=_loss_variance),
}


def broken_trainings(x_0: Tensor, schedule: Schedule, steps: int) -> Iterator[tuple[str, Tensor, float]]:
    """Train small networks, each with one fault; yields (name, eight digits drawn with it, mean of its last 50 losses).

    Faults that come after the training share the healthy one.
    """
    trained = {}
    for name, fault in BROKEN.items():
        key = fault[:3]
        if key not in trained:
            trained[key] = _train_small(x_0, schedule, steps, *key)
        averages, last = trained[key]
        net = averages[fault.average].net
        sampler = net if fault.loss is not _loss_no_time else lambda x, t, net=net: net(x, torch.ones_like(t))
        yield name, draw(sampler, 8, fault.draw_with or schedule, seed=1), last


def _train_small(x_0, schedule, steps, prepare, loss, peak):
    torch.manual_seed(0)
    net, g = UNet(1, (16, 32), 1, (1,), groups=8), torch.Generator().manual_seed(0)
    averages = {"with warm-up": EMA(net, 0.9999), "without": EMA(net, 0.9999)}
    averages["without"].updates = 10 ** 6                                 # as if the warm-up were long over

    def objective(net, batch):
        t = torch.randint(1, schedule.T + 1, (len(batch),), generator=g)
        return loss(net, batch, t, torch.randn(batch.shape, generator=g), schedule)

    losses, optimizer = [], torch.optim.AdamW(net.parameters(), peak, fused=True)
    endless = train(net, objective, data.batches(prepare(x_0), 64, g), optimizer, averages["with warm-up"], warmup_cosine(peak, steps, 30))
    for _, value in islice(endless, steps):
        averages["without"].update(net)
        losses.append(value)
    return averages, sum(losses[-50:]) / 50


# -- exercises -----------------------------------------------------------------------------------------------------------

def _to_bytes(x):
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


exercise(
    "to_bytes", _to_bytes,
    cases=lambda: [(torch.linspace(-1.3, 1.3, 97).view(1, 1, 1, 97),), (torch.arange(256).float().view(1, 1, 16, 16) / 127.5 - 1,)],
    hints=["Undo x / 127.5 - 1, in the opposite order.",
           "A drawn picture can leave [-1, 1] a little: clip first. And bytes are whole numbers: round, do not cut off.",
           "return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)."],
    mistakes=[
        (lambda x: ((x + 1) * 127.5).round().to(torch.uint8), "values outside [-1, 1] may wrap around, so that 1.01 becomes black; clip with clamp(-1, 1) first"),
        (lambda x: ((x.clamp(-1, 1) + 1) * 127.5).to(torch.uint8), "conversion to uint8 cuts the fraction off, so pictures get darker at every round trip; call .round() first"),
        (lambda x: ((x + 1) * 127.5).to(torch.uint8), "two things are missing: clip to [-1, 1] first, and round before the conversion"),
        (lambda x: (x.clamp(0, 1) * 255).round().to(torch.uint8), "this takes x for a picture in [0, 1]; here -1 is black and 1 is white"),
        (lambda x: (((x.clamp(-1, 1) + 1) / 2) * 256).clamp(max=255).round().to(torch.uint8), "the largest byte is 255, not 256: [-1, 1] is 255 wide in bytes"),
        (lambda x: (x.clamp(-1, 1) + 1) * 127.5, "these are bytes in value but not in type: round and convert to torch.uint8")])


def _ema(values, decay):
    average = values[0]
    for value in values[1:]:
        average = decay * average + (1 - decay) * value
    return average


def _ema_swapped(values, decay):
    return _ema(values, 1 - decay)


def _ema_from_zero(values, decay):
    average = torch.zeros_like(values[0])
    for value in values:
        average = decay * average + (1 - decay) * value
    return average


def _ema_forgets_first(values, decay):
    return _ema(values[1:], decay)


def _ema_with_warmup(values, decay):
    average = values[0]
    for n, value in enumerate(values[1:], start=1):
        average = torch.lerp(value, average, min(decay, n / (n + 9)))
    return average


def _ema_sum(values, decay):
    n = len(values) - 1
    return sum(decay ** (n - k) * values[k] for k in range(n + 1))


exercise(
    "ema", _ema,
    cases=lambda: [(torch.randn(n, 3, generator=torch.Generator().manual_seed(n)), decay) for n, decay in ((2, 0.9), (30, 0.8), (6, 0.99))],
    hints=["A loop over the values is as good as the closed form: start from values[0].",
           "Each new value enters with the weight 1 - decay, and everything before is multiplied by decay.",
           "average = values[0]; for value in values[1:]: average = decay * average + (1 - decay) * value."],
    mistakes=[
        (_ema_swapped, "decay and 1 - decay are swapped: the old average keeps decay, close to 1, and the new value enters with 1 - decay"),
        (_ema_from_zero, "the average started from 0 instead of values[0], so it comes out too small"),
        (lambda values, decay: _ema_from_zero(values[1:], decay), "the average started from 0, and values[0] is missing: start with average = values[0]"),
        (_ema_with_warmup, "this has the warm-up that the chapter introduces next; here the decay is fixed"),
        (lambda values, decay: _ema(values[:-1], decay), "the last value is missing"),
        (_ema_forgets_first, "values[0] is missing: the average starts there, and keeps decay^n of it"),
        (_ema_sum, "the factor 1 - decay is missing, so the weights do not add up to 1"),
        (lambda values, decay: values.mean(0), "this is the plain mean; in an exponential average recent values weigh more")])


def _reverse_noise(mean, t, z, variance):
    sigma = variance[t].sqrt().to(mean).view(-1, 1, 1, 1)
    return torch.where((t > 1).view(-1, 1, 1, 1), mean + sigma * z, mean)


def _reverse_noise_always(mean, t, z, variance):
    return mean + _roots(mean, t, variance) * z


def _roots(mean, t, variance):
    return variance[t].sqrt().to(mean).view(-1, 1, 1, 1)


def _reverse_noise_variance(mean, t, z, variance):
    return mean + variance[t].to(mean).view(-1, 1, 1, 1) * z * (t > 1).view(-1, 1, 1, 1)


def _reverse_noise_first(mean, t, z, variance):
    return mean + _roots(mean, t, variance) * z if t[0] > 1 else mean


def _reverse_noise_early(mean, t, z, variance):
    return mean + _roots(mean, t - 1, variance) * z * (t > 1).view(-1, 1, 1, 1)


def _reverse_noise_all(mean, t, z, variance):
    return mean + _roots(mean, t, variance) * z if (t > 1).all() else mean


def _reverse_noise_flat(mean, t, z, variance):
    return mean + variance[t].sqrt() * z


def _reverse_noise_if(mean, t, z, variance):
    if t > 1:
        return mean + _roots(mean, t, variance) * z
    return mean


def _reverse_noise_own(mean, t, z, variance):
    return _reverse_noise(mean, t, torch.randn_like(mean), variance)


def _reverse_noise_never(mean, t, z, variance):
    return mean


def _reverse_noise_cases():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 1, 3, 3, generator=g), t, torch.randn(4, 1, 3, 3, generator=g), linear_schedule(10, 0.05, 0.4).beta)
            for t in (torch.tensor([5, 1, 2, 10]), torch.tensor([1, 3, 1, 7]), torch.tensor([2, 9, 4, 3]))]


exercise(
    "reverse_noise", _reverse_noise, cases=_reverse_noise_cases,
    hints=["variance[t] has shape (B,); its square root must multiply pictures (B, 1, H, W).",
           "(t > 1) is True where noise is wanted. Bring it to shape (B, 1, 1, 1) too.",
           "sigma = variance[t].sqrt().to(mean).view(-1, 1, 1, 1); return mean + (t > 1).view(-1, 1, 1, 1) * sigma * z."],
    mistakes=[
        (_reverse_noise_always, "pictures at t = 1 got noise too: the last step must add none, because nobody comes after it to take the noise away"),
        (_reverse_noise_variance, "the noise is multiplied by the variance; the factor is its square root"),
        (_reverse_noise_first, "the first picture's t decided for all of them; each element of the batch has its own t"),
        (_reverse_noise_all, "this asks whether all pictures are at t > 1; decide for each picture, with a mask"),
        (_reverse_noise_flat, "variance[t] has shape (B,) and cannot multiply pictures: bring it to (B, 1, 1, 1)"),
        (_reverse_noise_if, "t holds one step per picture, so `if t > 1` has no single answer: use a mask"),
        (_reverse_noise_own, "this draws noise of its own; use the z that you were given"),
        (_reverse_noise_early, "this takes the variance at t - 1; the step from t to t - 1 uses variance[t]"),
        (_reverse_noise_never, "no noise at all: the steps at t > 1 need it, or all samples collapse towards the mean")])


class _Run(SimpleNamespace):
    """A training in progress: net, optimizer, ema, generator. Copies are the run itself, as for a reader's own objects."""

    def __deepcopy__(self, memo):
        return self


def _start(seed):
    torch.manual_seed(seed)
    net = nn.Linear(3, 3)
    return _Run(net=net, optimizer=torch.optim.Adam(net.parameters(), 0.1), ema=EMA(net, 0.8),
                generator=torch.Generator().manual_seed(seed))


def _go_on(run, steps):
    x_0 = torch.arange(30.0).view(10, 3) / 30
    endless = train(run.net, lambda net, x: (net(x) - torch.randn(x.shape, generator=run.generator)).square().mean(),
                    data.batches(x_0, 4, run.generator), run.optimizer, run.ema)
    for _ in islice(endless, steps):
        pass


def _resume_probe(answer):
    run = _start(0)
    _go_on(run, 5)
    saved = answer(run)
    _go_on(run, 5)                                                        # the first training walks on, and is then killed
    if not isinstance(saved, dict):
        raise TypeError(f"a dictionary is expected, got a {type(saved).__name__}")
    fresh = _start(1)
    for name, part in (("net", fresh.net), ("ema", fresh.ema.net), ("optimizer", fresh.optimizer)):
        if name in saved:
            part.load_state_dict(saved[name])
    fresh.ema.updates = 5
    if "generator" in saved:
        fresh.generator.set_state(saved["generator"])
    _go_on(fresh, 5)
    return torch.cat([p.detach().flatten() for net in (fresh.net, fresh.ema.net) for p in net.parameters()])


def _resume(run):
    return copy.deepcopy({"net": run.net.state_dict(), "ema": run.ema.net.state_dict(),
                          "optimizer": run.optimizer.state_dict(), "generator": run.generator.get_state()})


def _resume_without(*names):
    def answer(run):
        return {name: value for name, value in _resume(run).items() if name not in names}
    return answer


def _resume_tuple(run):
    return tuple(_resume(run).values())


def _resume_live(run):
    return {"net": run.net.state_dict(), "ema": run.ema.net.state_dict(), "optimizer": run.optimizer.state_dict(),
            "generator": run.generator.get_state()}


exercise(
    "resume", _resume, probe=_resume_probe, rtol=0, atol=0,
    hints=["Four things change while a network trains. Which are they? Look at the arguments of train.",
           "state_dict() gives the tensors themselves, not copies; the training that goes on changes them under your feet.",
           "Return copy.deepcopy of a dictionary with the state_dicts of run.net, run.ema.net and run.optimizer, and run.generator.get_state()."],
    mistakes=[
        (_resume_live, "state_dict() holds the live tensors, and the training that went on changed them after you saved; copy them (copy.deepcopy)"),
        (_resume_tuple, "return a dictionary with the keys \"net\", \"ema\", \"optimizer\" and \"generator\", not a tuple"),
        (_resume_without("net"), "the network is missing: save run.net.state_dict() under \"net\""),
        (_resume_without("optimizer"), "the optimizer is missing: Adam starts with empty averages of the gradient, and takes other steps"),
        (_resume_without("generator"), "the generator is missing: the resumed run sees other batches and other noise"),
        (_resume_without("ema"), "the moving average is missing: it starts again from random weights"),
        (_resume_without("optimizer", "generator", "ema"), "only the network was saved; the optimizer, the moving average and the generator have a state too"),
        (_resume_without("ema", "generator"), "the moving average and the generator are missing; both have a state"),
        (_resume_without("optimizer", "generator"), "the optimizer and the generator are missing; both have a state")])
