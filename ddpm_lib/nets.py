"""Small building blocks that every network of the course uses (chapter 05)."""
import math

import torch
from torch import Tensor


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
