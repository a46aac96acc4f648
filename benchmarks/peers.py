"""The networks of other libraries: fetched, built at the size of ours, and wrapped to be called as ours is."""
import importlib
import importlib.metadata
import shutil
import subprocess
import sys
import types
from pathlib import Path

import torch
from torch import nn

from ddpm_lib.unet import SelfAttention

HERE = Path(__file__).resolve().parent
FOLDER, WANTED = HERE / ".peers", HERE / "requirements.txt"
NAMES = ("diffusers", "denoising-diffusion-pytorch")


def ready():
    """Fetch the peers if they are not there in the wanted versions, and make them importable; returns their versions.

    They go to a folder at the end of sys.path, so everything they share with the course, torch above all, is the course's.
    """
    stamp = FOLDER / "installed.txt"                                       # written last: a broken-off fetch begins anew
    if not stamp.exists() or stamp.read_text() != WANTED.read_text():
        print("Fetching the peers into benchmarks/.peers (about 10 MB of downloads) ...", flush=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps",
                        "--root-user-action=ignore", "--target", str(FOLDER), "-r", str(WANTED)], check=True)
        stamp.write_text(WANTED.read_text())
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return {name: importlib.metadata.version(name) for name in NAMES}


class Sample(nn.Module):
    """A UNet2DModel called as ours: (x, t) -> eps_hat."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, t):
        return self.net(x, t, return_dict=False)[0]


def diffusers_unet(ours, size):
    """diffusers' UNet2DModel with the architecture of one of our UNets, for size x size pictures."""
    from diffusers import UNet2DModel

    config = ours.config
    levels = range(len(config["widths"]))
    kind = ["Attn" if i in config["attention_at"] else "" for i in levels]
    return Sample(UNet2DModel(
        sample_size=size, in_channels=config["channels"], out_channels=config["channels"],
        block_out_channels=tuple(config["widths"]), layers_per_block=config["blocks"],
        down_block_types=tuple(f"{kind[i]}DownBlock2D" for i in levels),
        up_block_types=tuple(f"{kind[i]}UpBlock2D" for i in reversed(levels)),
        norm_num_groups=config["groups"], norm_eps=1e-6, attention_head_dim=None,   # None: one head
        downsample_padding=0, flip_sin_to_cos=False, freq_shift=1))                  # as in the code of Ho et al.


def lucidrains_unet(ours):
    """denoising-diffusion-pytorch's Unet with as many levels as ours, of the dim whose parameter count is nearest.

    Its architecture is another one (linear attention at every level but the last). dim is a multiple of 8, which
    convolutions on a CPU like.
    """
    package = lucidrains()

    def build(dim):
        return package.Unet(dim, dim_mults=(1, 2, 2, 2)[:ours.levels], channels=ours.channels)

    with torch.device("meta"):
        counts = {dim: parameters(build(dim)) for dim in range(16, 257, 8)}
    dim = min(counts, key=lambda dim: abs(counts[dim] - parameters(ours)))
    return build(dim), dim


def lucidrains():
    """denoising-diffusion-pytorch; while it is imported, empty modules stand in for torchvision, which its Unet does not use."""
    names = ("torchvision", "torchvision.transforms", "torchvision.utils")
    whole, transforms, utils = map(types.ModuleType, names)
    whole.transforms, whole.utils = transforms, utils
    sys.modules.update(zip(names, (whole, transforms, utils)))
    try:
        return importlib.import_module("denoising_diffusion_pytorch")
    finally:
        for name in names:                                                 # diffusers asks whether torchvision is there
            del sys.modules[name]


def parameters(net):
    """Number of parameters."""
    return sum(p.numel() for p in net.parameters())


def difference(ours, theirs, size, into="ours"):
    """Largest difference of the outputs of two networks of equal architecture after the weights of one were put into the other.

    Layers are paired in the order in which they are called; ours has one layer for q, k and v, theirs has three.
    """
    x, t = torch.randn(4, ours.channels, size, size, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 9, 99, 999])
    fused = {m.qkv for m in ours.modules() if isinstance(m, SelfAttention)}
    queue = iter(_layers_as_called(theirs, x, t))
    for layer in _layers_as_called(ours, x, t):
        sources = [next(queue) for _ in range(3 if layer in fused else 1)]
        for name, parameter in layer.named_parameters():
            parts = [s.get_parameter(name) for s in sources]
            if into == "ours":
                parameter.data.copy_(torch.cat(parts).view(parameter.shape))
                continue
            for part, value in zip(parts, parameter.data.chunk(len(parts))):
                part.data.copy_(value.reshape(part.shape))
    with torch.no_grad():
        return float((ours(x, t) - theirs(x, t)).abs().max())


@torch.no_grad()
def _layers_as_called(net, x, t):
    called, hooks = [], []
    for module in net.modules():
        if any(True for _ in module.parameters(recurse=False)):
            hooks.append(module.register_forward_hook(lambda m, *_: called.append(m)))
    net(x, t)
    for hook in hooks:
        hook.remove()
    return called
