"""MNIST beside the peers: a whole sampling at equal quality, and how long a training takes to get there.

Quality is the Frechet distance to the 10,000 pictures of the test set (features of the bundled classifier); it depends on
the number of samples, so every distance of a table comes from equally many.
"""
import statistics
import time

import peers
import torch

from ddpm_lib import data, metrics, weights
from ddpm_lib.ddpm import simple_loss
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.samplers import ddim, ddpm, dpmpp_2m, even_times, heun
from ddpm_lib.schedules import linear_schedule
from ddpm_lib.train import EMA, train, warmup_cosine
from ddpm_lib.unet import UNet

S = linear_schedule()
N, BATCH = 256, 64                                                         # samples behind a distance of `sampling`; drawn at once
OURS = [(dpmpp_2m, 5), (dpmpp_2m, 10), (dpmpp_2m, 20), (heun, 10), (ddim, 10), (ddim, 20), (ddim, 50), (ddpm, 10), (ddpm, 20), (ddpm, 50), (ddpm, 100)]
WIDTHS, LIMIT, EVERY, CHECKED = (24, 48, 96), 300, 60, 256                 # of `training`: network, seconds, checks, samples in each
LEVELS = 1000.0, 350.0                                                     # Frechet distances to be reached: shapes begin; four of ten are sure digits


class Judge:
    """Frechet distance and share of confident digits of some samples; and what real pictures would get."""

    def __init__(self):
        self.net, _ = weights.load("mnist_classifier", metrics.Classifier)
        self.test = metrics.Moments(**weights.read(weights.find("mnist_moments"))[0])

    def __call__(self, x):
        of_x = metrics.features(self.net, x)
        return {"distance": metrics.frechet_distance(of_x, self.test), "share": metrics.confident_share(self.net, x)}

    def real(self, n):
        """The distances of five sets of n training pictures."""
        x_0 = data.load("mnist").x_0
        order = torch.randperm(len(x_0), generator=torch.Generator().manual_seed(0))
        return [self(x_0[order[k * n:(k + 1) * n]])["distance"] for k in range(5)]


# -- whole sampling ------------------------------------------------------------------------------------------------------------

def sampling(quick, only=""):
    """Ours and theirs with the same weights: seconds for BATCH digits and the distance of N. only: of the ways whose name holds it."""
    versions, judge, n = peers.ready(), Judge(), 2 * 8 if quick else N
    batch = 8 if quick else BATCH
    net = weights.load("mnist", UNet)[0].to(memory_format=torch.channels_last)
    theirs = peers.diffusers_unet(net, 28)
    difference = peers.difference(net, theirs, 28, into="theirs")
    ways = {f"ddpm_lib, {sampler.__name__}, {k} steps": (_ours(net, sampler, k), (2 if sampler is heun else 1) * k - (sampler is heun))
            for sampler, k in OURS if not (quick and k > 10)}
    ways |= {"diffusers, DDPMPipeline's loop, 1000 steps": (_diffusers(theirs, "DDPM", 20 if quick else 1000), 1000),
             "diffusers, DDIMPipeline's loop, 50 steps": (_diffusers(theirs, "DDIM", 5 if quick else 50), 50),
             "denoising-diffusion-pytorch, GaussianDiffusion.sample, 1000 steps": (_lucidrains(net, None, 20 if quick else 1000), 1000),
             "denoising-diffusion-pytorch, the same with sampling_timesteps=250": (_lucidrains(net, 5 if quick else 250), 250)}
    _ours(net, ddim, 5)(batch)                                             # the first calls are slow
    rows = []
    for name, (draw, calls) in ways.items():
        if only not in name:
            continue
        torch.manual_seed(0)                                               # the peers draw from torch's own generator
        parts, seconds = [], []
        for _ in range(n // batch):
            start = time.perf_counter()
            parts.append(draw(batch))
            seconds.append(time.perf_counter() - start)
        rows.append({"way": name, "calls": calls, "seconds": statistics.median(seconds), **judge(torch.cat(parts))})
        print(f"  {name}: {rows[-1]['seconds']:.1f} s, {rows[-1]['distance']:.1f}", flush=True)
    return {"versions": versions, "parameters": peers.parameters(net), "difference": difference, "samples": n, "batch": batch,
            "real": judge.real(n), "rows": rows}


def _ours(net, sampler, k):
    guess, generator = clipped(denoiser(net, S)), torch.Generator().manual_seed(0)

    def draw(n):
        x = torch.randn(n, 1, 28, 28, generator=generator)
        for _, x, _ in sampler(guess, x, even_times(S, k), S, **({"generator": generator, "variance": "beta_tilde"} if sampler is ddpm else {})):
            pass
        return x
    return draw


def _diffusers(net, kind, k):
    """The loop of their pipelines: set_timesteps, the network, scheduler.step. Their t counts from 0, ours from 1."""
    import diffusers

    scheduler = getattr(diffusers, f"{kind}Scheduler")()

    @torch.no_grad()
    def draw(n):
        x = torch.randn(n, 1, 28, 28)
        scheduler.set_timesteps(k)
        for t in scheduler.timesteps:
            x = scheduler.step(net(x, t + 1), t, x).prev_sample
        return x
    return draw


class _Later(torch.nn.Module):
    """A network of ours as their GaussianDiffusion wants one: t counted from 0."""

    self_condition = False

    def __init__(self, net):
        super().__init__()
        self.net, self.channels, self.out_dim = net, net.channels, net.channels

    def forward(self, x, t, x_self_cond=None):
        return self.net(x, t + 1)


def _lucidrains(net, few, T=1000):
    whole = peers.lucidrains().GaussianDiffusion(_Later(net), image_size=28, timesteps=1000, sampling_timesteps=few,
                                                 objective="pred_noise", beta_schedule="linear")
    whole.num_timesteps = T                                                # fewer only in a trial of this code
    return lambda n: whole.sample(batch_size=n) * 2 - 1


# -- training ------------------------------------------------------------------------------------------------------------------

def training(quick):
    """Each code base trains as its own defaults say, about equally many parameters, for LIMIT seconds."""
    versions, judge, x_0 = peers.ready(), Judge(), data.load("mnist").x_0
    limit, every, n = (6, 3, 16) if quick else (LIMIT, EVERY, CHECKED)
    torch.manual_seed(0)
    ours = UNet(1, WIDTHS, 1, (2,), groups=8).to(memory_format=torch.channels_last)
    other, dim = peers.lucidrains_unet(ours)
    starts = {"ddpm_lib": _train_ours(ours, x_0, limit), "diffusers": _train_diffusers(peers.diffusers_unet(ours, 28), x_0),
              "denoising-diffusion-pytorch": _train_lucidrains(other, x_0)}
    runs = {name: _watch(steps, draw, judge, limit, every, n, name) for name, (steps, draw) in starts.items()}
    return {"versions": versions, "levels": LEVELS, "limit": limit, "samples": n, "dim": dim, "real": judge.real(n),
            "parameters": {"ddpm_lib": peers.parameters(ours), "diffusers": peers.parameters(ours),
                           "denoising-diffusion-pytorch": peers.parameters(other)}, "runs": runs}


def _watch(steps, draw, judge, limit, every, n, name):
    """Scores after every `every` seconds of training; the checks' own time does not count."""
    curve, seconds, made = [], 0.0, 0
    start = time.perf_counter()
    for _ in steps:
        made += 1
        passed = seconds + time.perf_counter() - start
        if passed < every * (len(curve) + 1):
            continue
        torch.manual_seed(1)
        parts = [draw(min(64, n)) for _ in range(-(-n // 64))]
        curve.append({"seconds": passed, "steps": made, **judge(torch.cat(parts)[:n])})
        print(f"  {name}: {passed:.0f} s, step {made}, {curve[-1]['distance']:.1f}, {curve[-1]['share']:.2f}", flush=True)
        if passed >= limit:
            return curve
        seconds, start = passed, time.perf_counter()
    return curve


def _train_ours(net, x_0, limit):
    """`python -m ddpm_lib train` with the recipe of the bundled weights, its learning rate laid out for the limit."""
    generator, ema = torch.Generator().manual_seed(0), EMA(net, 0.999)

    def loss(net, x_0):
        t = torch.randint(1, S.T + 1, (len(x_0),), generator=generator)
        return simple_loss(net, x_0, t, torch.randn(x_0.shape, generator=generator), S)

    trial = UNet(1, WIDTHS, 1, (2,), groups=8).to(memory_format=torch.channels_last)       # how many steps fit: from ten, on a copy
    optimizer = torch.optim.AdamW(trial.parameters(), 1e-4, fused=True)
    for step, _ in train(trial, loss, data.batches(x_0, 64, generator), optimizer, EMA(trial)):
        if step == 3:
            start = time.perf_counter()
        if step == 13:
            break
    planned = round(limit / ((time.perf_counter() - start) / 10))
    optimizer = torch.optim.AdamW(net.parameters(), 1.5e-3, fused=True)
    steps = train(net, loss, data.batches(x_0, 64, generator), optimizer, ema, warmup_cosine(1.5e-3, planned))
    return steps, lambda n: _ours(ema.net, ddim, 20)(n)


def _train_diffusers(net, x_0):
    """Their example train_unconditional.py with its defaults, without the mirror images, which are no digits."""
    import diffusers
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    noise = diffusers.DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    rate = get_scheduler("cosine", optimizer=optimizer, num_warmup_steps=500, num_training_steps=100 * len(x_0) // 16)
    ema = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def steps():
        for clean in data.batches(x_0, 16, torch.Generator().manual_seed(0)):
            eps, t = torch.randn(clean.shape), torch.randint(0, 1000, (16,))
            loss = torch.nn.functional.mse_loss(net(noise.add_noise(clean, eps, t), t), eps)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
            ema.step(net.parameters())
            yield

    def draw(n):
        ema.store(net.parameters())
        ema.copy_to(net.parameters())
        x = _diffusers(lambda x, t: net(x, t - 1), "DDIM", 20)(n)          # here the network counts t as they do
        ema.restore(net.parameters())
        return x
    return steps(), draw


def _train_lucidrains(net, x_0):
    """Their Trainer's loop and defaults (pred_v, sigmoid schedule), without files and mirror images."""
    from ema_pytorch import EMA as TheirEMA

    whole = peers.lucidrains().GaussianDiffusion(net, image_size=28, sampling_timesteps=20)
    optimizer = torch.optim.Adam(whole.parameters(), lr=1e-4, betas=(0.9, 0.99))
    ema = TheirEMA(whole, beta=0.995, update_every=10)

    def steps():
        for clean in data.batches(data.to_unit(x_0), 16, torch.Generator().manual_seed(0)):
            whole.train()
            whole(clean).backward()
            torch.nn.utils.clip_grad_norm_(whole.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            ema.update()
            yield
    return steps(), lambda n: ema.ema_model.eval().sample(batch_size=n) * 2 - 1
