"""The loop, the moving average, and runs that end bit for bit where the uninterrupted one ends, whatever happens between."""
import errno
import math
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from ddpm_lib import weights
from ddpm_lib.data import batches
from ddpm_lib.ddpm import simple_loss
from ddpm_lib.schedules import linear_schedule
from ddpm_lib.train import EMA, load_run, loss_by_t, save_run, train, warmup_cosine
from ddpm_lib.unet import UNet

SCHEDULE = linear_schedule(50, 1e-3, 0.3)


def start(seed=0, layout=torch.contiguous_format, fused=False):
    torch.manual_seed(seed)
    net = UNet(1, (8, 16), 1, (1,), groups=4, dropout=0.1).to(memory_format=layout)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, fused=fused)
    return net, EMA(net, 0.9), optimizer, torch.Generator().manual_seed(seed)


def run(parts, steps, step=0):
    net, ema, optimizer, g = parts
    x_0 = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(7)).clamp(-1, 1)

    def loss(net, x_0):
        t = torch.randint(1, 51, (len(x_0),), generator=g)
        return simple_loss(net, x_0, t, torch.randn(x_0.shape, generator=g), SCHEDULE)

    losses = []
    for step, value in train(net, loss, batches(x_0, 8, g), optimizer, ema, warmup_cosine(1e-2, 30, 5), step=step):
        losses.append(value)
        if step >= steps:
            return losses


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_loop_yields_after_the_step():
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, 3.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.25)
    steps = train(net, lambda net, x: net(x).square().mean(), iter([torch.ones(2, 1)] * 3), optimizer, clip=100.0)
    assert next(steps) == (1, 9.0) and net.weight.item() == pytest.approx(1.5)   # 3 - 0.25 * 2 * 3
    assert next(steps) == (2, 2.25)


def test_gradient_is_clipped_and_lr_follows_the_step():
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, 3.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=99.0)
    for step, _ in train(net, lambda net, x: net(x).square().mean(), iter([torch.ones(2, 1)] * 2), optimizer,
                         lr=lambda step: 0.5 * step, clip=1.0):
        pass
    assert net.weight.item() == pytest.approx(3 - 0.5 - 1.0, abs=1e-4)      # gradient norm 1, rates 0.5 and 1.0


def test_loss_that_is_not_finite_stops_before_the_step():
    net = torch.nn.Linear(1, 1)
    before = net.weight.clone()
    with pytest.raises(ValueError, match="the loss became nan at step 8: lower the learning rate or check the data"):
        next(train(net, lambda net, x: net(x).mean() * math.nan, [torch.ones(1, 1)], torch.optim.SGD(net.parameters(), 1.0), step=7))
    assert torch.equal(before, net.weight)


def test_ema_in_closed_form():
    net = torch.nn.Linear(2, 1)
    values = [torch.randn(1, 2) for _ in range(40)]
    with torch.no_grad():
        net.weight.copy_(values[0])
    ema, want = EMA(net, 0.75), values[0].clone()
    for n, value in enumerate(values[1:], start=1):
        with torch.no_grad():
            net.weight.copy_(value)
        ema.update(net)
        d = min(0.75, n / (n + 9))
        want = d * want + (1 - d) * value
    assert torch.allclose(ema.net.weight, want, atol=1e-6) and ema.updates == 39


def test_ema_copies_buffers_and_leaves_the_net_alone():
    net = torch.nn.BatchNorm1d(3)
    ema, before = EMA(net), [p.clone() for p in net.parameters()]
    net(torch.randn(16, 3) + 5)
    ema.update(net)
    assert torch.equal(ema.net.running_mean, net.running_mean) and ema.net.num_batches_tracked == 1
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert not ema.net.training and not any(p.requires_grad for p in ema.net.parameters())
    for decay in (1.0, -0.1):
        with pytest.raises(ValueError, match=rf"decay must be in \[0, 1\), got {decay}"):
            EMA(net, decay)


def test_warmup_cosine():
    lr = warmup_cosine(2.0, 100, 10)
    assert [lr(5), lr(10), lr(55), lr(100), lr(200)] == pytest.approx([1.0, 2.0, 1.0, 0.0, 0.0], abs=1e-12)
    assert warmup_cosine(2.0, 10)(5) == 2.0 and warmup_cosine(2.0, 10)(10) == pytest.approx(0)   # a short training falls too


def test_loss_by_t_is_fixed_and_exact():
    x_0 = torch.randn(30, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    net = torch.nn.Dropout(0.5)                           # in train mode it would give other numbers at every call

    def loss(net, x_0, t, eps):
        return simple_loss(lambda x, t: net(x), x_0, t, eps, SCHEDULE)

    a, b = (loss_by_t(net, loss, x_0, [1, 25, 50], torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(a, b) and net.training
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    ab = float(SCHEDULE.alpha_bar[25])
    assert float(a[1]) == pytest.approx(float((ab ** 0.5 * x_0 + (1 - ab) ** 0.5 * eps - eps).square().mean()), rel=1e-5)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_resume_bit_for_bit(tmp_path, layout, fused):
    whole = start(0, layout, fused)
    losses = run(whole, 30)
    first = start(0, layout, fused)
    run(first, 12)
    save_run(tmp_path, 12, *first, {"lr": 0.01})
    second = start(5, layout, fused)                      # everything different, until the load
    step = load_run(tmp_path, *second, {"lr": 0.01})
    assert step == 12 and second[1].updates == 12
    assert run(second, 30, step) == losses[12:]
    assert same(whole[0], second[0]) and same(whole[1].net, second[1].net)


def test_run_from_another_configuration_is_refused_and_nothing_changes(tmp_path):
    parts = start()
    run(parts, 3)
    save_run(tmp_path, 3, *parts, {"lr": 0.01, "widths": (8, 16)})
    other = start(seed=1)
    before = {k: v.clone() for k, v in other[0].state_dict().items()}
    with pytest.raises(ValueError, match="holds a run with lr = 0.01, now it is 0.02: use the same, or another folder"):
        load_run(tmp_path, *other, {"lr": 0.02, "widths": (8, 16)})
    assert all(torch.equal(v, before[k]) for k, v in other[0].state_dict().items())
    assert load_run(tmp_path, *other, {"lr": 0.01, "widths": (8, 16)}) == 3           # tuples and lists are the same


def test_a_file_that_is_no_run_changes_nothing(tmp_path):
    parts = start()
    before = [p.clone() for p in parts[0].parameters()]
    weights.save(tmp_path / "run.safetensors", start(seed=3)[0], {})
    with pytest.raises(ValueError, match="run.safetensors holds no training run but a UNet: move it away, or use another folder"):
        load_run(tmp_path, *parts, {})
    save_run(tmp_path, 1, *start(seed=3), {})
    tensors, header = weights.read(tmp_path / "run.safetensors")
    del tensors["ema.last.bias"]
    weights.write(tmp_path / "run.safetensors", tensors, header)
    with pytest.raises(ValueError, match="it lacks tensor 'last.bias'"):
        load_run(tmp_path, *parts, {})
    assert all(torch.equal(a, b) for a, b in zip(before, parts[0].parameters(), strict=True))


@pytest.mark.parametrize("spoil", [lambda b: b[:-100], lambda b: b[:20], lambda b: b"x" * 500])
def test_broken_save_is_named(tmp_path, spoil):
    parts = start()
    save_run(tmp_path, 0, *parts, {})
    file = tmp_path / "run.safetensors"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match="run.safetensors is not a whole safetensors file; get it again or make it anew"):
        load_run(tmp_path, *parts, {})


def test_full_disk_keeps_the_old_save(tmp_path, monkeypatch):
    parts = start()
    save_run(tmp_path, 1, *parts, {})
    old = (tmp_path / "run.safetensors").read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="could not save .*run.safetensors .No space left on device.; what was saved there before is untouched"):
        save_run(tmp_path, 2, *parts, {})
    assert (tmp_path / "run.safetensors").read_bytes() == old and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX feature; the test above covers Windows")
def test_disk_that_fills_up_in_the_middle_of_a_file(tmp_path):
    """The kernel itself cuts the second save short, by a limit on the size of files."""
    code = """
import resource, signal, sys, torch
from ddpm_lib import weights
weights.write(sys.argv[1], {"a": torch.zeros(100)}, {"n": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
weights.write(sys.argv[1], {"a": torch.zeros(100_000)}, {"n": 2})
"""
    path = tmp_path / "a.safetensors"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "could not save" in done.stderr and "untouched" in done.stderr
    assert weights.read(path)[1] == {"n": 1} and list(tmp_path.iterdir()) == [path]


COMMAND = [sys.executable, "-m", "ddpm_lib", "train", "--widths", "8", "16", "--groups", "4", "--batch", "16", "--T", "20",
           "--steps", "60", "--save-every", "7"]


def test_killed_training_ends_where_the_uninterrupted_one_ends(tmp_path):
    """kill -9 at random moments, the same command again, until it is done: every byte as without the kills."""
    env = dict(os.environ, OMP_NUM_THREADS="1")
    subprocess.run([*COMMAND, "--out", tmp_path / "whole"], check=True, capture_output=True, env=env)
    dice, kills = random.Random(), 0
    for attempt in range(40):
        process = subprocess.Popen([*COMMAND, "--out", tmp_path / "killed"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, env=env)
        if attempt < 3:
            line = process.stdout.readline()                               # the first line comes with the first save
            assert line.startswith(("step", str(tmp_path))), line
            time.sleep(dice.uniform(0, 0.3))
            process.kill()
            kills += process.wait() != 0
            process.stdout.close()
        else:
            out = process.communicate()[0]
            assert process.returncode == 0, out
            break
    assert kills >= 1, "no kill came in time"
    for name in ("run.safetensors", "weights.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process's console")
def test_interrupted_training_says_how_to_go_on(tmp_path):
    process = subprocess.Popen([*COMMAND[:-4], "--steps", "100000", "--save-every", "7", "--out", tmp_path / "run"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert error.startswith("ddpm_lib: stopped at step") and "the same command goes on" in error and "Traceback" not in error
