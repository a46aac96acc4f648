"""The U-Net that predicts the noise in a picture (chapter 06): the network of Ho et al. 2020, appendix B, with its sizes free."""
import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .nets import time_embedding


class ResBlock(nn.Module):
    """Two convolutions with a shortcut; the time enters between them as one number per channel.

    (B, c_in, H, W), (B, c_time) -> (B, c_out, H, W). The second convolution begins at zero, so a new block is its shortcut.
    """

    def __init__(self, c_in: int, c_out: int, c_time: int, groups: int = 32, dropout: float = 0.0):
        super().__init__()
        self.norm1, self.conv1 = _norm(c_in, groups), nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time = nn.Linear(c_time, c_out)
        self.norm2, self.conv2 = _norm(c_out, groups), _zero(nn.Conv2d(c_out, c_out, 3, padding=1))
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(F.silu(time))[:, :, None, None]                  # (B, c_out, 1, 1)
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return self.shortcut(x) + h


class SelfAttention(nn.Module):
    """Every position looks at every other (Vaswani et al. 2017), added to its input. (B, C, H, W) -> the same shape.

    The last projection begins at zero, so a new layer passes its input on unchanged.
    """

    def __init__(self, channels: int, heads: int = 1, groups: int = 32):
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be shared out among {heads} heads")
        self.heads = heads
        self.norm = _norm(channels, groups)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        qkv = self.qkv(self.norm(x)).view(B, 3, self.heads, C // self.heads, H * W).transpose(3, 4)
        q, k, v = qkv.unbind(1)                                            # each (B, heads, H*W, C/heads)
        h = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(h.transpose(2, 3).reshape(B, C, H, W))


class Downsample(nn.Module):
    """Half the size: a convolution with stride 2, padded below and to the right as in the paper's code."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double the size: every pixel becomes four, then a convolution smooths them."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """The blocks of one resolution, each followed by attention where the network has it."""

    def __init__(self, blocks: list[ResBlock], attentions: list[nn.Module], resize: nn.Module):
        super().__init__()
        self.blocks, self.attentions, self.resize = nn.ModuleList(blocks), nn.ModuleList(attentions), resize


class UNet(nn.Module):
    """Predict the noise in x_t: down to small and wide, back up, with skips between equal sizes (Ho et al. 2020, app. B).

    channels: of the pictures. widths: channels of each level, the first at full resolution, each next at half of it.
    blocks: residual blocks per level (one more on the way up). attention_at: the levels with attention, 0 = full
    resolution; the middle always has it. The paper's CIFAR-10 network is
    UNet(3, (128, 256, 256, 256), 2, attention_at=(1,), dropout=0.1): 35,746,307 parameters.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], blocks: int = 2, attention_at: tuple[int, ...] = (),
                 heads: int = 1, groups: int = 32, dropout: float = 0.0):
        super().__init__()
        if any(w % groups for w in widths):
            raise ValueError(f"every width must be a multiple of the {groups} groups of GroupNorm, got {tuple(widths)}")
        if any(not 0 <= a < len(widths) for a in attention_at):
            raise ValueError(f"attention_at names levels 0..{len(widths) - 1}, got {tuple(attention_at)}")
        self.config = dict(channels=channels, widths=list(widths), blocks=blocks, attention_at=list(attention_at),
                           heads=heads, groups=groups, dropout=dropout)
        self.channels, self.levels = channels, len(widths)
        c_time, c = 4 * widths[0], widths[0]

        def block(c_in, c_out):
            return ResBlock(c_in, c_out, c_time, groups, dropout)

        def attention(level, c):
            return SelfAttention(c, heads, groups) if level in attention_at else nn.Identity()

        self.time = nn.Sequential(nn.Linear(widths[0], c_time), nn.SiLU(), nn.Linear(c_time, c_time))
        self.first = nn.Conv2d(channels, c, 3, padding=1)
        self.down, skips = nn.ModuleList(), [c]
        for level, w in enumerate(widths):
            last = level == len(widths) - 1
            self.down.append(Level([block(c if i == 0 else w, w) for i in range(blocks)],
                                   [attention(level, w) for _ in range(blocks)],
                                   nn.Identity() if last else Downsample(w)))
            skips += [w] * (blocks if last else blocks + 1)
            c = w
        self.middle = nn.ModuleList([block(c, c), SelfAttention(c, heads, groups), block(c, c)])
        self.up = nn.ModuleList()
        for level, w in reversed(list(enumerate(widths))):
            ups = []
            for _ in range(blocks + 1):
                ups.append(block(c + skips.pop(), w))
                c = w
            self.up.append(Level(ups, [attention(level, w) for _ in ups], nn.Identity() if level == 0 else Upsample(w)))
        self.norm, self.last = _norm(c, groups), _zero(nn.Conv2d(c, channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x: (B, channels, H, W), H and W multiples of 2^(levels-1); t: (B,) int64.

        Returns eps_hat, shaped like x.
        """
        self._check(x, t)
        time = self.time(time_embedding(t, self.time[0].in_features).to(x.dtype))   # (B, 4 * widths[0])
        h = self.first(x)
        skips = [h]
        for level in self.down:
            for block, attention in zip(level.blocks, level.attentions, strict=True):
                h = attention(block(h, time))
                skips.append(h)
            if not isinstance(level.resize, nn.Identity):
                h = level.resize(h)
                skips.append(h)
        block, attention, block2 = self.middle
        h = block2(attention(block(h, time)), time)
        for level in self.up:
            for block, attention in zip(level.blocks, level.attentions, strict=True):
                h = attention(block(torch.cat([h, skips.pop()], dim=1), time))
            h = level.resize(h)
        return self.last(F.silu(self.norm(h)))

    def _check(self, x, t):
        size = 2 ** (self.levels - 1)
        if x.dim() != 4 or x.shape[1] != self.channels or x.shape[2] % size or x.shape[3] % size:
            raise ValueError(f"this network takes (B, {self.channels}, H, W) with H and W multiples of {size}, "
                             f"got {tuple(x.shape)}")
        if t.shape != x.shape[:1]:
            raise ValueError(f"t must have shape ({len(x)},), one step per picture, got {tuple(t.shape)}")


THEIRS = [(r"^first\.", "conv_in."), (r"^last\.", "conv_out."), (r"^norm\.", "conv_norm_out."), (r"^time\.0", "time_embedding.linear_1"),
          (r"^time\.2", "time_embedding.linear_2"), (r"^middle\.1", "mid_block.attentions.0"), (r"^middle\.0", "mid_block.resnets.0"),
          (r"^middle\.2", "mid_block.resnets.1"), (r"^(down|up)\.(\d+)\.blocks", r"\1_blocks.\2.resnets"),
          (r"^(down|up)\.(\d+)\.(attentions|resize)", r"\1_blocks.\2.\3"), (r"^(down|up)(_blocks\.\d+)\.resize", r"\1\2.\1samplers.0"),
          (r"(attentions\.\d+)\.norm\.", r"\1.group_norm."), (r"(attentions\.\d+)\.out\.", r"\1.to_out.0."),
          (r"(resnets\.\d+)\.time\.", r"\1.time_emb_proj."), (r"(resnets\.\d+)\.shortcut\.", r"\1.conv_shortcut.")]
OLDER = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def from_diffusers(tensors: dict[str, Tensor], heads: int = 1, groups: int = 32) -> UNet:
    """Our network with the weights of a diffusers UNet2DModel: net(x, t) is theirs at t - 1, because they count t from 0.

    tensors: its state dict, with the newer or the older names of attention; it must have been made with freq_shift = 1 and
    flip_sin_to_cos = False, like the checkpoints of Ho et al. heads, groups: what shapes do not tell.
    Raises ValueError, naming a tensor, if something is missing or left over.
    """
    for old, new in OLDER.items():
        tensors = {name.replace(old, new): value for name, value in tensors.items()}
    try:
        levels = range(1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("down_blocks.")))
        sizes = dict(channels=tensors["conv_in.weight"].shape[1], widths=tuple(len(tensors[f"down_blocks.{i}.resnets.0.conv1.weight"]) for i in levels),
                     blocks=len({name.split(".")[3] for name in tensors if name.startswith("down_blocks.0.resnets.")}),
                     attention_at=tuple(i for i in levels if f"down_blocks.{i}.attentions.0.group_norm.weight" in tensors))
    except (KeyError, ValueError) as error:
        raise ValueError(f"these are not the weights of a UNet2DModel of diffusers: there is no {error}") from error
    net, ours, used = UNet(**sizes, heads=heads, groups=groups), {}, set()
    for name, own in net.state_dict().items():
        their = name
        for pattern, new in THEIRS:
            their = re.sub(pattern, new, their)
        parts = [their.replace(".qkv.", f".to_{part}.") for part in "qkv"] if ".qkv." in their else [their]
        if absent := [part for part in parts if part not in tensors]:
            raise ValueError(f"these weights are for another architecture: they lack {absent[0]!r}")
        value, used = torch.cat([tensors[part] for part in parts]), used | set(parts)
        if value.numel() != own.numel():
            raise ValueError(f"these weights are for another architecture: {their!r} has shape {tuple(value.shape)}, needed is {tuple(own.shape)}")
        ours[name] = value.view(own.shape)
    if left := sorted(tensors.keys() - used):
        raise ValueError(f"these weights are for another architecture: {left[0]!r} has no place in it ({len(left)} such)")
    ours["time.0.weight"] = _one_step_later(ours["time.0.weight"])
    net.load_state_dict(ours)
    return net.eval()


def _one_step_later(weight):
    """Weights on the embedding of t that do what `weight` does on the embedding of t - 1: each pair (sin, cos) is turned back by its speed."""
    half = weight.shape[1] // 2
    speed = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half, dtype=torch.float64))
    of_sin, of_cos = weight.double().split(half, dim=1)
    turned = [of_sin * speed.cos() + of_cos * speed.sin(), of_cos * speed.cos() - of_sin * speed.sin()]
    return torch.cat(turned, dim=1).to(weight)


def _norm(channels, groups):
    return nn.GroupNorm(groups, channels, eps=1e-6)


def _zero(layer):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
