"""Small building blocks that every network of the course uses (chapter 05)."""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def time_embedding(t: Tensor, dim: int, longest: float = 10_000.0) -> Tensor:
    """Tell a network the time: dim/2 sines and dim/2 cosines of t, from fast to slow (after Vaswani et al. 2017, section 3.5).

    Frequencies fall geometrically from 1 to 1/longest, both ends included, sines first, as in the code of Ho et al. 2020.
    They count t from 0, we from 1. t: (B,) any real type; dim: even, at least 4. Returns (B, dim), float32 for whole t.
    """
    if dim < 4 or dim % 2:
        raise ValueError(f"the time embedding needs an even dim of at least 4, got {dim}")
    t = t if t.is_floating_point() else t.float()
    half = dim // 2
    frequency = torch.exp(-math.log(longest) / (half - 1) * torch.arange(half, device=t.device, dtype=t.dtype))
    angle = t[:, None] * frequency                                         # (B, dim/2)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class MLP(nn.Module):
    """A small network for points: (x_t (B, dim), t (B,)) -> (B, dim). Blocks with a shortcut, each told the time anew.

    time: size of the time embedding. The last layer starts at 0, so an untrained network predicts 0.
    Raises ValueError if there is no block, or if points and steps do not fit.
    """

    def __init__(self, dim: int = 2, width: int = 64, blocks: int = 3, time: int = 64):
        super().__init__()
        if blocks < 1:
            raise ValueError(f"the time enters in the blocks: at least one is needed, got {blocks}")
        self.config = dict(dim=dim, width=width, blocks=blocks, time=time)
        self.time = nn.Sequential(nn.Linear(time, width), nn.SiLU(), nn.Linear(width, width))
        self.first, self.norm = nn.Linear(dim, width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(blocks))
        self.last = nn.Linear(width, dim)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        dim = self.config["dim"]
        if x_t.dim() != 2 or x_t.shape[1] != dim or t.shape != x_t.shape[:1]:
            raise ValueError(f"points must be (B, {dim}) and steps (B,), got {tuple(x_t.shape)} and {tuple(t.shape)}")
        now = self.time(time_embedding(t, self.config["time"]).to(x_t.dtype))  # (B, width)
        h = self.first(x_t)
        for block in self.blocks:
            h = h + block(h + now)
        return self.last(F.silu(self.norm(h)))
