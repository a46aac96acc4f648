"""A training step and a sampling step of our U-Net beside those of its peers, turn by turn in one process."""
import statistics
import time

import peers
import torch

from ddpm_lib import data
from ddpm_lib.ddpm import p_sample, simple_loss
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.schedules import linear_schedule
from ddpm_lib.train import EMA, train
from ddpm_lib.unet import UNet

CASES = (dict(size=16, batch=64, rounds=15, widths=(64, 128), blocks=2, attention_at=(1,)),
         dict(size=32, batch=32, rounds=9, widths=(64, 128, 128), blocks=2, attention_at=(1,)))
DRAWN, WARMUP = 16, 3                                                      # pictures per sampling step; rounds not counted
OURS = "ddpm_lib, channels_last"                                           # as the course uses it


def measure(quick):
    """Medians over interleaved rounds, per case and per network, and each network's ratio to ours."""
    versions = peers.ready()
    cases = [measure_case(**{**case, "rounds": 3, "batch": 2} if quick else case) for case in CASES]
    return {"versions": versions, "cases": cases}


def measure_case(size, batch, rounds, **config):
    """Both kinds of step for all networks of one size."""
    nets, dim, difference = contestants(size, **config)
    counts = {name: peers.parameters(net) for name, net in nets.items()}
    training = turn_by_turn({name: training_step(net, size, batch) for name, net in nets.items()}, rounds)
    sampling = turn_by_turn({name: sampling_step(net.eval(), size) for name, net in nets.items()}, rounds)
    rows = [{"network": name, "parameters": counts[name], "training": training[name], "sampling": sampling[name]}
            for name in nets]
    return {"size": size, "batch": batch, "drawn": DRAWN, "rounds": rounds, "config": config, "dim": dim,
            "difference": difference, "rows": rows}


def contestants(size, **config):
    """{name: network}, the dim of denoising-diffusion-pytorch, and how far diffusers' output is from ours at equal weights."""
    torch.manual_seed(0)
    ours = [UNet(3, **config) for _ in range(2)]
    theirs = [peers.diffusers_unet(ours[0], size) for _ in range(2)]
    others, dim = zip(*[peers.lucidrains_unet(ours[0]) for _ in range(2)])
    difference = peers.difference(UNet(3, **config), theirs[0], size)
    nets = {}
    for name, (first, second) in (("ddpm_lib", ours), ("diffusers", theirs), ("denoising-diffusion-pytorch", others)):
        nets[f"{name}, channels_last"] = first.to(memory_format=torch.channels_last)
        nets[name] = second
    return nets, dim[0], difference


def training_step(net, size, batch):
    """A function that makes one step: the course's own loop, optimizer settings and EMA, whichever the network."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(4 * batch, 3, size, size, generator=generator) * 2 - 1
    schedule = linear_schedule()

    def loss(net, x_0):
        t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator)
        return simple_loss(net, x_0, t, torch.randn(x_0.shape, generator=generator), schedule)

    optimizer = torch.optim.AdamW(net.parameters(), 2e-4, fused=True)
    steps = train(net, loss, data.batches(pictures, batch, generator), optimizer, EMA(net))
    return lambda: next(steps)


def sampling_step(net, size):
    """A function that makes one step of Algorithm 2: the network without gradients, and the update."""
    schedule, generator = linear_schedule(), torch.Generator().manual_seed(0)
    x_t, z = (torch.randn(DRAWN, 3, size, size, generator=generator) for _ in range(2))
    return torch.no_grad()(lambda: p_sample(clipped(denoiser(net, schedule)), x_t, 500, z, schedule))


def turn_by_turn(steps, rounds):
    """Time A, B, C, A, B, C ...: what else the machine does then hits all alike. Ratios are taken within each round."""
    seconds = {name: [] for name in steps}
    for _ in range(WARMUP + rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return {name: _summary(values[WARMUP:], seconds[OURS][WARMUP:]) for name, values in seconds.items()}


def _summary(values, ours):
    ratios = [mine / reference for mine, reference in zip(values, ours)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {"seconds": statistics.median(values), "ratio": statistics.median(ratios), "low": low, "high": high}
