"""The U-Net that predicts the noise in a picture (chapter 06): the network of Ho et al. 2020, appendix B, with its sizes free."""
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
        """x: (B, channels, H, W), H and W multiples of 2^(levels-1); t: (B,) int64. Returns eps_hat, shaped like x."""
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


def _norm(channels, groups):
    return nn.GroupNorm(groups, channels, eps=1e-6)


def _zero(layer):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
