"""How good the digits are after how much training: the recipe of chapter 07, judged by the bundled classifier."""
import time

import torch

from ddpm_lib import data, metrics, weights
from ddpm_lib.ddpm import sample_ddpm, simple_loss
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.schedules import cosine_schedule
from ddpm_lib.train import EMA, train, warmup_cosine
from ddpm_lib.unet import UNet

STEPS, EVERY, FEW = 1100, 200, 600                                         # chapter 07's training; checks; samples in a check
BUDGETS = (60, 180)                                                        # seconds of training
# An earlier prototype with the same data, other features: distances count only beside its own distance of two halves.
PROTOTYPE_PARAMETERS = 701_000
PROTOTYPE = {60: {"share": 0.89, "ratio": 9.8 / 10.1}, 180: {"share": 0.95, "ratio": 4.0 / 10.1}}


class Judge:
    """Scores of samples: Frechet distance to the data, and the share that the classifier is sure of."""

    def __init__(self, x_0):
        self.net, _ = weights.load("digits_classifier", metrics.Classifier)
        self.data, self.real_share = metrics.features(self.net, x_0), metrics.confident_share(self.net, x_0)
        order = torch.randperm(len(x_0), generator=torch.Generator().manual_seed(0))   # as on the weights' card
        half = len(x_0) // 2
        self.halves = metrics.frechet_distance(self.data[order[:half]], self.data[order[half:]])

    def __call__(self, net, n):
        """Frechet distance and share of n samples (ancestral, beta_tilde)."""
        schedule, generator = cosine_schedule(200), torch.Generator().manual_seed(1)
        for _, x, _ in sample_ddpm(clipped(denoiser(net, schedule)), (n, 1, 8, 8), schedule, generator, schedule.beta_tilde):
            pass
        distance = metrics.frechet_distance(metrics.features(self.net, x), self.data)
        return {"distance": distance, "share": metrics.confident_share(self.net, x)}


def measure(quick):
    """The curve of the distance while training, and the scores after trainings of given lengths."""
    x_0 = data.load("digits").x_0
    judge = Judge(x_0)
    stop, n, budgets = (2 * EVERY, 60, (3,)) if quick else (STEPS, len(x_0), BUDGETS)
    curve = until_near(x_0, judge, stop, n=60 if quick else FEW)
    speed = steps_per_second(x_0, 2 if quick else 5)
    runs = [run_for(budget, speed, x_0, judge, n) for budget in budgets]
    count = sum(p.numel() for p in training(x_0, STEPS)[1].net.parameters())
    return {"parameters": count, "halves": judge.halves, "real_share": judge.real_share, "few": FEW, "steps": STEPS, "every": EVERY,
            "curve": curve, "speed": speed, "samples": n, "runs": runs}


def until_near(x_0, judge, stop, n):
    """Train as chapter 07 does, check now and then, stop when the samples are as near to the data as its halves are.

    Returns [{step, seconds, distance, share}]; seconds count training only, not the checks.
    """
    curve, seconds = [], 0.0
    steps, ema = training(x_0, STEPS)
    start = time.perf_counter()
    for step, _ in steps:
        if step % EVERY:
            continue
        seconds += time.perf_counter() - start
        curve.append({"step": step, "seconds": seconds, **judge(ema.net, n)})
        if curve[-1]["distance"] < judge.halves or step >= stop:
            return curve
        start = time.perf_counter()


def steps_per_second(x_0, seconds):
    """Measured on a training that is thrown away, after ten steps to warm up."""
    steps, _ = training(x_0, STEPS)
    for step, _ in steps:
        if step == 10:
            start = time.perf_counter()
        if step > 10 and (passed := time.perf_counter() - start) > seconds:
            return (step - 10) / passed


def run_for(budget, speed, x_0, judge, n):
    """A whole training, learning rate down to 0, of as many steps as fit into the budget; its length and scores."""
    last = max(1, round(budget * speed))
    steps, ema = training(x_0, last)
    start = time.perf_counter()
    for step, _ in steps:
        if step == last:
            break
    seconds = time.perf_counter() - start
    return {"budget": budget, "steps": last, "seconds": seconds, **judge(ema.net, n)}


def training(x_0, steps):
    """The training of chapter 07 with its learning rate laid out for `steps`: (endless iterator over steps, EMA)."""
    schedule, generator = cosine_schedule(200), torch.Generator().manual_seed(0)

    def loss(net, x_0):
        t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator)
        return simple_loss(net, x_0, t, torch.randn(x_0.shape, generator=generator), schedule)

    torch.manual_seed(0)
    net = UNet(1, (32, 64), 1, (1,), groups=8).to(memory_format=torch.channels_last)
    ema, optimizer = EMA(net, 0.995), torch.optim.AdamW(net.parameters(), 2e-3, fused=True)
    return train(net, loss, data.batches(x_0, 128, generator), optimizer, ema, warmup_cosine(2e-3, steps)), ema
