"""The course's code from a shell: `python -m ddpm_lib train | sample | info | import-diffusers` (see each one's --help)."""
import argparse
import sys
import time
from pathlib import Path

import torch

from . import data, samplers, weights
from .ddpm import simple_loss
from .denoise import clipped, denoiser
from .schedules import SCHEDULES
from .train import EMA, load_run, save_run, train, warmup_cosine
from .unet import UNet, from_diffusers


def main(argv: list[str] | None = None) -> int:
    """Run one command; errors a user can mend are one sentence on stderr and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m ddpm_lib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    add = commands.add_parser("train", help="train a U-Net on pictures; the same command again goes on where it stopped")
    add.add_argument("--data", default="digits", help="a data set's name, or a folder of pictures (default: digits)")
    add.add_argument("--size", type=int, default=32, help="pictures of a folder are scaled to size x size (default: 32)")
    add.add_argument("--out", type=Path, default=Path("runs/digits"), help="folder of the run (default: runs/digits)")
    add.add_argument("--steps", type=int, default=2000)
    add.add_argument("--batch", type=int, default=128)
    add.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    add.add_argument("--decay", type=float, default=0.995, help="decay of the moving average of the weights")
    add.add_argument("--widths", type=int, nargs="+", default=[32, 64])
    add.add_argument("--blocks", type=int, default=1)
    add.add_argument("--attention-at", type=int, nargs="*", default=[1], help="levels with attention, 0 = full size")
    add.add_argument("--groups", type=int, default=8)
    add.add_argument("--schedule", choices=SCHEDULES, default="cosine")
    add.add_argument("--T", type=int, default=200, help="number of noise steps (default: 200)")
    add.add_argument("--seed", type=int, default=0)
    add.add_argument("--save-every", type=int, default=200, help="steps between saves")

    add = commands.add_parser("sample", help="draw pictures with trained weights")
    add.add_argument("weights", nargs="?", default="digits", help="a weights file, or a bundled name (default: digits)")
    add.add_argument("--n", type=int, default=64)
    add.add_argument("--seed", type=int, default=0)
    add.add_argument("--sampler", choices=("ddpm", "ddim", "heun", "dpmpp_2m"), default="ddim", help="(default: ddim)")
    add.add_argument("--steps", type=int, help="steps of the sampler, 1..T (default: 50, or T if that is less)")
    add.add_argument("--eta", type=float, default=0.0, help="fresh noise in ddim: 0 none, 1 as much as ddpm with beta_tilde")
    add.add_argument("--out", type=Path, default=Path("samples.png"))

    add = commands.add_parser("info", help="what a weights file holds: architecture, training, measured scores")
    add.add_argument("weights", nargs="?", default="digits")

    add = commands.add_parser("import-diffusers", help="make a weights file of a diffusers UNet2DModel, such as google/ddpm-cifar10-32")
    add.add_argument("file", type=Path, help="its diffusion_pytorch_model.safetensors")
    add.add_argument("--size", type=int, default=32, help="height and width of its pictures (default: 32)")
    add.add_argument("--heads", type=int, default=1, help="heads of its attention (default: 1)")
    add.add_argument("--groups", type=int, default=32, help="groups of its normalisation (default: 32)")
    add.add_argument("--out", type=Path, default=Path("imported.safetensors"))

    options = parser.parse_args(argv)
    run = {"train": train_command, "sample": sample_command, "info": info_command, "import-diffusers": import_command}
    try:
        run[options.command](options)
    except (ValueError, OSError) as error:
        print(f"ddpm_lib: {error}", file=sys.stderr)
        return 2
    return 0


def train_command(options: argparse.Namespace) -> None:
    """Train, or go on with, the run in options.out; ends with options.out/weights.safetensors, the averaged weights."""
    config = {k: v for k, v in vars(options).items() if k not in ("command", "out", "save_every")}
    x_0 = data.check_pictures(data.load(options.data, options.size).x_0)
    schedule = SCHEDULES[options.schedule](options.T)
    torch.manual_seed(options.seed)                                       # the network's first weights
    net = UNet(x_0.shape[1], tuple(options.widths), options.blocks, tuple(options.attention_at), groups=options.groups)
    net = net.to(memory_format=torch.channels_last)                        # a tenth faster on CPUs, the same numbers
    ema = EMA(net, options.decay)
    optimizer = torch.optim.AdamW(net.parameters(), options.lr, fused=True)
    generator = torch.Generator().manual_seed(options.seed)
    step = 0
    if (options.out / "run.safetensors").exists():
        step = load_run(options.out, net, ema, optimizer, generator, config)
        print(f"{options.out}: going on after step {step} of {options.steps}")
    run = (net, ema, optimizer, generator, config)
    if step < options.steps:
        _train_and_save(options, x_0, schedule, run, step)
    card = {"data": options.data, "shape": list(x_0.shape[1:]), "schedule": {"name": options.schedule, "T": options.T},
            "recipe": config}
    weights.save(options.out / "weights.safetensors", ema.net, card)
    print(f"{options.out / 'weights.safetensors'}: averaged weights after {options.steps} steps")


def _train_and_save(options, x_0, schedule, run, step):
    net, ema, optimizer, generator, config = run

    def loss(net, x_0):
        t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator)
        return simple_loss(net, x_0, t, torch.randn(x_0.shape, generator=generator), schedule)

    start, first, mean = time.perf_counter(), step, None
    lr = warmup_cosine(options.lr, options.steps)
    try:
        for step, value in train(net, loss, data.batches(x_0, options.batch, generator), optimizer, ema, lr, step=step):
            mean = value if mean is None else 0.98 * mean + 0.02 * value
            if step % options.save_every == 0 or step >= options.steps:
                save_run(options.out, step, *run)
                speed = (step - first) / (time.perf_counter() - start)
                print(f"step {step}/{options.steps}  loss {mean:.4f}  {speed:.1f} steps/s", flush=True)
            if step >= options.steps:
                break
    except KeyboardInterrupt:
        raise ValueError(f"stopped at step {step}; the same command goes on from the last save in {options.out}") from None


def sample_command(options: argparse.Namespace) -> None:
    """Draw options.n pictures and save them as one picture."""
    if options.n < 1:
        raise ValueError(f"n, the number of pictures, must be at least 1, got {options.n}")
    if options.eta and options.sampler != "ddim":
        raise ValueError(f"eta belongs to ddim, not to {options.sampler}: leave one of them out")
    net, card = weights.load(options.weights, UNet)
    schedule = SCHEDULES[card["schedule"]["name"]](card["schedule"]["T"])
    generator = torch.Generator().manual_seed(options.seed)
    x = torch.randn(options.n, *card["shape"], generator=generator)
    more = {"ddpm": dict(generator=generator), "ddim": dict(eta=options.eta, generator=generator)}.get(options.sampler, {})
    steps = min(50, schedule.T) if options.steps is None else options.steps
    sampler, times = getattr(samplers, options.sampler), samplers.even_times(schedule, steps)
    for k, (_, x, _) in enumerate(sampler(clipped(denoiser(net, schedule)), x, times, schedule, **more), start=1):
        if k % 10 == 0 or k == steps:
            print(f"step {k}/{steps}", flush=True)
    from .plots import image_grid

    image_grid(x, columns=round(options.n ** 0.5)).savefig(options.out, dpi=150)
    print(f"{options.out}: {options.n} pictures")


def import_command(options: argparse.Namespace) -> None:
    """Turn the weights of a diffusers UNet2DModel, trained with the linear schedule of 1000 steps, into a file of ours."""
    tensors, _ = weights.read_any(options.file)
    net = from_diffusers(tensors, options.heads, options.groups)
    card = {"source": options.file.name, "schedule": {"name": "linear", "T": 1000}, "shape": [net.channels, options.size, options.size]}
    weights.save(options.out, net, card)
    print(f"{options.out}: a UNet with {sum(p.numel() for p in net.parameters()):,} parameters, {net.config}")


def info_command(options: argparse.Namespace) -> None:
    """Print what a weights file says of itself."""
    tensors, header = weights.read(weights.find(options.weights))
    count = sum(t.numel() for t in tensors.values())
    print(f"{header.get('class', 'training run')} with {count:,} numbers, {header.get('config')}")
    for key, value in header.get("card", {}).items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    sys.exit(main())
