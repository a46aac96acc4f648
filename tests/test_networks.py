"""The time embedding and the U-Net: numbers of the paper, exact behaviour at the start, sentences for wrong shapes."""
import math

import pytest
import torch
import torch.nn.functional as F

from ddpm_lib.ddpm import simple_loss
from ddpm_lib.nets import time_embedding
from ddpm_lib.schedules import linear_schedule
from ddpm_lib.unet import Downsample, ResBlock, SelfAttention, UNet, Upsample


def small(**kw):
    return UNet(1, (16, 32), 1, (1,), **{"groups": 8, **kw})


def randomised(net, seed=0):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=g) * 0.1)
    return net


def test_time_embedding_entry_by_entry():
    t, dim = torch.tensor([1, 37, 1000]), 10
    got = time_embedding(t.double(), dim)
    for i in range(3):
        for k in range(5):
            angle = int(t[i]) * 10_000 ** (-k / 4)
            assert float(got[i, k]) == pytest.approx(math.sin(angle), abs=1e-12)
            assert float(got[i, 5 + k]) == pytest.approx(math.cos(angle), abs=1e-12)
    assert time_embedding(t, dim).dtype == torch.float32


def test_time_embedding_bad_dim():
    for dim in (2, 7):
        with pytest.raises(ValueError, match=f"even dim of at least 4, got {dim}"):
            time_embedding(torch.tensor([1]), dim)


def test_papers_cifar10_network_to_the_parameter():
    with torch.device("meta"):
        net = UNet(3, (128, 256, 256, 256), 2, attention_at=(1,), dropout=0.1)
    assert sum(p.numel() for p in net.parameters()) == 35_746_307
    assert sum(isinstance(m, SelfAttention) for m in net.modules()) == 2 + 1 + 3          # down, middle, up
    assert sum(isinstance(m, ResBlock) for m in net.modules()) == 8 + 2 + 12


def test_first_output_is_zero_and_first_loss_is_one():
    net, g = small(), torch.Generator().manual_seed(0)
    x_0, eps = torch.randn(64, 1, 8, 8, generator=g), torch.randn(64, 1, 8, 8, generator=g)
    t = torch.randint(1, 1001, (64,), generator=g)
    assert (net(x_0, t) == 0).all()
    assert simple_loss(net, x_0, t, eps, linear_schedule()).item() == float(eps.square().mean())


def test_every_parameter_gets_a_gradient():
    net = randomised(small())
    net(torch.randn(2, 1, 8, 8), torch.tensor([1, 9])).square().sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_the_time_matters_and_pictures_do_not_mix():
    net, g = randomised(small()).double().eval(), torch.Generator().manual_seed(0)
    x = torch.randn(3, 1, 8, 8, generator=g, dtype=torch.float64)
    out = net(x, torch.tensor([5, 700, 5]))
    assert (net(x, torch.tensor([5, 5, 5]))[1] - out[1]).abs().max() > 1e-6
    alone = torch.cat([net(x[i:i + 1], t) for i, t in enumerate(torch.tensor([[5], [700], [5]]))])
    assert torch.allclose(alone, out, atol=1e-12)


def test_attention_is_softmax_of_scaled_products():
    layer, x = randomised(SelfAttention(16, heads=2, groups=4)).double(), torch.randn(2, 16, 3, 4, dtype=torch.float64)
    qkv = F.conv2d(F.group_norm(x, 4, layer.norm.weight, layer.norm.bias, eps=1e-6), layer.qkv.weight, layer.qkv.bias)
    q, k, v = qkv.flatten(2).chunk(3, dim=1)                               # each (B, 16, N): head 0 is channels 0..7
    heads = []
    for h in range(2):
        qh, kh, vh = (y[:, 8 * h:8 * h + 8] for y in (q, k, v))
        weight = (qh.mT @ kh / math.sqrt(8)).softmax(-1)                   # (B, N, N)
        heads.append((weight @ vh.mT).mT)
    by_hand = x + F.conv2d(torch.cat(heads, 1).view(2, 16, 3, 4), layer.out.weight, layer.out.bias)
    assert torch.allclose(layer(x), by_hand, atol=1e-12)


def test_block_by_hand():
    block = randomised(ResBlock(8, 16, 12, groups=4)).double()
    x, time = torch.randn(2, 8, 5, 5, dtype=torch.float64), torch.randn(2, 12, dtype=torch.float64)
    h = block.conv1(F.silu(block.norm1(x))) + block.time(F.silu(time)).view(2, 16, 1, 1)
    assert torch.allclose(block(x, time), block.shortcut(x) + block.conv2(F.silu(block.norm2(h))), atol=1e-12)


def test_new_block_and_new_attention_change_nothing():
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(ResBlock(16, 16, 8, groups=8)(x, torch.randn(2, 8)), x)
    assert torch.equal(SelfAttention(16, groups=8)(x), x)


def test_resizing_by_hand():
    down, up, x = Downsample(2), Upsample(2), torch.randn(1, 2, 6, 6)
    want = F.conv2d(F.pad(x, (0, 1, 0, 1)), down.conv.weight, down.conv.bias, stride=2)
    assert torch.equal(down(x), want) and want.shape == (1, 2, 3, 3)
    four = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(up(x), up.conv(four))


@pytest.mark.parametrize("shape,t,sentence", [
    ((2, 3, 8, 8), [1, 2], r"takes \(B, 1, H, W\) with H and W multiples of 2, got \(2, 3, 8, 8\)"),
    ((2, 1, 7, 8), [1, 2], r"multiples of 2, got \(2, 1, 7, 8\)"),
    ((1, 8, 8), [1], r"got \(1, 8, 8\)"),
    ((2, 1, 8, 8), [1], r"t must have shape \(2,\), one step per picture, got \(1,\)"),
])
def test_wrong_shapes(shape, t, sentence):
    with pytest.raises(ValueError, match=sentence):
        small()(torch.zeros(shape), torch.tensor(t))


def test_wrong_architecture():
    with pytest.raises(ValueError, match=r"multiple of the 32 groups of GroupNorm, got \(48, 96\)"):
        UNet(1, (48, 96))
    with pytest.raises(ValueError, match=r"attention_at names levels 0..1, got \(16,\)"):
        UNet(1, (32, 64), attention_at=(16,))
    with pytest.raises(ValueError, match="32 channels cannot be shared out among 5 heads"):
        UNet(1, (32, 64), heads=5, attention_at=(0,))
