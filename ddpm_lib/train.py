"""The training loop, the moving average of the weights, and runs that survive being killed (chapters 05 and 07)."""
import copy
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from . import weights


def train(net: nn.Module, loss: Callable, batches: Iterable, optimizer: torch.optim.Optimizer, ema: "EMA | None" = None,
          lr: Callable[[int], float] | None = None, clip: float = 1.0, step: int = 0) -> Iterator[tuple[int, float]]:
    """Train for as long as the caller goes on asking: yields (step, loss) after each step, step counted from 1.

    loss: (net, batch) -> scalar. lr: learning rate as a function of the step about to be made, or None to leave the
    optimizer's. clip: largest norm of the gradient. step: steps made before, when a run goes on.
    Raises ValueError at the first loss that is not finite; the weights are then those before that step.
    """
    net.train()
    for batch in batches:
        step += 1
        if lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = lr(step)
        value = loss(net, batch)
        if not torch.isfinite(value):
            raise ValueError(f"the loss became {value.item()} at step {step}: lower the learning rate or check the data")
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        if ema is not None:
            ema.update(net)
        yield step, value.item()


class EMA:
    """An exponential moving average of a network's parameters, in `.net`, a copy in eval mode (Ho et al. 2020, app. B).

    After update n the average is d_n * average + (1 - d_n) * net, d_n = min(decay, n / (n + 9)): the warm-up lets the first
    weights, which are random, fade. Only parameters are averaged; buffers are copied.
    """

    def __init__(self, net: nn.Module, decay: float = 0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Move the average towards `net` once."""
        self.updates += 1
        d = min(self.decay, self.updates / (self.updates + 9))
        torch._foreach_lerp_(list(self.net.parameters()), [p.detach() for p in net.parameters()], 1 - d)
        for mine, theirs in zip(self.net.buffers(), net.buffers(), strict=True):
            mine.copy_(theirs)


def warmup_cosine(peak: float, steps: int, warmup: int = 100) -> Callable[[int], float]:
    """Learning rate by step: up evenly over `warmup` steps (half of them at most), then down a half cosine to 0 at `steps`."""
    warmup = max(1, min(warmup, steps // 2))

    def lr(step: int) -> float:
        fall = min(1.0, max(0.0, (step - warmup) / max(1, steps - warmup)))
        return peak * min(1.0, step / warmup) * 0.5 * (1 + math.cos(math.pi * fall))
    return lr


@torch.no_grad()
def loss_by_t(net: nn.Module, loss: Callable, x_0: Tensor, ts: Iterable[int], generator: torch.Generator) -> Tensor:
    """The loss at each of some steps on one fixed draw of the noise, so that two networks can be compared: (len(ts),) float64.

    loss: (net, x_0, t, eps) -> scalar, such as ddpm.simple_loss with its schedule. The same eps serves every t.
    """
    was_training = net.training
    net.eval()
    eps = torch.randn(x_0.shape, generator=generator)
    values = [loss(net, x_0, torch.full((len(x_0),), int(t)), eps).item() for t in ts]
    net.train(was_training)
    return torch.tensor(values, dtype=torch.float64)


def save_run(folder: str | Path, step: int, net: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer,
             generator: torch.Generator, config: dict) -> None:
    """Save everything a training needs to go on, bit for bit, to folder/run.safetensors; whole or not at all.

    config: what the run was started with (numbers and strings); load_run refuses another one.
    """
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in ema.net.state_dict().items()}
    tensors |= {f"optimizer.{i}.{k}": v for i, state in optimizer.state_dict()["state"].items() for k, v in state.items()}
    tensors |= {"generator": generator.get_state(), "torch": torch.get_rng_state()}     # dropout draws from torch's own
    weights.write(Path(folder) / "run.safetensors", tensors, {"step": step, "updates": ema.updates, "config": config})


def load_run(folder: str | Path, net: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer,
             generator: torch.Generator, config: dict) -> int:
    """Put a saved run back into net, ema, optimizer and generator (and torch's own generator); returns its step.

    Exact on a CPU, with the learning rate a function of the step. Raises ValueError if the file is broken or no run,
    or the run was started with another config; then nothing has been changed.
    """
    path = Path(folder) / "run.safetensors"
    tensors, header = weights.read(path)
    if not {"step", "updates", "config"} <= header.keys():
        raise ValueError(f"{path} holds no training run but a {header.get('class')}: move it away, or use another folder")
    for key in sorted(config.keys() | header["config"].keys()):
        now, then = json.loads(json.dumps(config.get(key))), header["config"].get(key)
        if now != then:
            raise ValueError(f"{folder} holds a run with {key} = {then}, now it is {now}: use the same, or another folder")
    groups = {"net": {}, "ema": {}, "optimizer": {}}
    for name, value in tensors.items():
        first, _, rest = name.partition(".")
        if rest:
            groups[first][rest] = value
    weights.compare(ema.net, groups["ema"], path)                          # before anything is changed
    weights.fit(net, groups["net"], path)
    weights.fit(ema.net, groups["ema"], path)
    state = optimizer.state_dict()
    for name, value in groups["optimizer"].items():
        index, _, key = name.partition(".")
        state["state"].setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(state)
    for p, own in optimizer.state.items():                                # fused AdamW walks memory in order: its averages
        for key, value in own.items():                                    # need their parameter's strides (channels_last)
            if value.shape == p.shape:
                own[key] = torch.empty_like(p).copy_(value)
    ema.updates = header["updates"]
    generator.set_state(tensors["generator"])
    torch.set_rng_state(tensors["torch"])
    return header["step"]
