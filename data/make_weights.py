"""Make the bundled weights and measure them: `make weights`, or

    python data/make_weights.py                all of them
    python data/make_weights.py mnist          only these (MNIST is downloaded, or read from DDPM_DATA)

Trains the feature classifiers and the networks with the course's own code, draws samples, and writes
data/weights/*.safetensors, each with a card of measured scores, and data/weights/README.md, the cards to read.
A broken-off training goes on at the next call (runs/NAME-bundled).
"""
import platform
import sys
import time
from functools import partial
from pathlib import Path

import torch

from ddpm_lib import data, metrics, weights
from ddpm_lib.__main__ import main as ddpm_lib
from ddpm_lib.ddpm import sample_ddpm, simple_loss
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.plots import image_grid
from ddpm_lib.samplers import ddim, dpmpp_2m, even_times
from ddpm_lib.schedules import SCHEDULES, linear_schedule
from ddpm_lib.train import loss_by_t
from ddpm_lib.unet import UNet

FOLDER = Path(__file__).resolve().parent / "weights"
RUNS = Path(__file__).resolve().parents[1] / "runs"
COMMAND = "python data/make_weights.py"
RECIPES = {"digits": "--steps 5000",
           "mnist": "--steps 5000 --batch 64 --lr 1.5e-3 --decay 0.999 --widths 24 48 96 --attention-at 2 --schedule linear --T 1000"}
WALK, STEPS = "DPM-Solver++(2M)", 20                                      # how the samples that MNIST's card is about are drawn


def make_classifier(digits):
    """The network whose features the Frechet distance uses; its accuracy is measured on a fifth it has not seen."""
    order = torch.randperm(len(digits.x_0), generator=torch.Generator().manual_seed(0))
    known, unseen = order[359:], order[:359]
    trial = classifier_of(digits.x_0[known], digits.labels[known])
    right = float((trial(digits.x_0[unseen]).argmax(1) == digits.labels[unseen]).double().mean())
    scores = {"accuracy on 359 unseen digits (same training on the other 1,438)": round(right, 4)}
    card = {"what": "classifier of the digits, for features and confidence", "data": "digits", "command": COMMAND, "scores": scores}
    weights.save(FOLDER / "digits_classifier.safetensors", classifier_of(digits.x_0, digits.labels), card)


def make_mnist_classifier(train, test):
    """The same for MNIST, and the moments of its features on the test set, so that nobody needs the pictures to measure."""
    net, command = classifier_of(train.x_0, train.labels, steps=2000), f"{COMMAND} mnist"
    with torch.no_grad():
        right = torch.cat([net(x).argmax(1) for x in test.x_0.split(500)]) == test.labels
    scores = {"accuracy on the 10,000 pictures of the test set": round(float(right.double().mean()), 4)}
    card = {"what": "classifier of MNIST, for features and confidence", "data": "mnist", "command": command, "scores": scores}
    weights.save(FOLDER / "mnist_classifier.safetensors", net, card)
    found = metrics.moments(metrics.features(net, test.x_0))
    card = {"what": "mean and covariance of mnist_classifier's features on the test set", "data": "mnist_test",
            "command": command, "scores": {"pictures": len(test.x_0)}}
    weights.write(FOLDER / "mnist_moments.safetensors", found._asdict(), {"class": "Moments", "config": {}, "card": card})


def classifier_of(x_0, labels, steps=600):
    torch.manual_seed(0)
    return metrics.train_classifier(x_0, labels, torch.Generator().manual_seed(0), steps)


def make_net(name):
    """Train one network of RECIPES as `python -m ddpm_lib train` does; keep the averaged weights in bfloat16."""
    run = RUNS / f"{name}-bundled"
    finished, begun, start = run / "weights.safetensors", (run / "run.safetensors").exists(), time.perf_counter()
    trained = weights.load(finished, UNet)[1].get("trained") if finished.exists() else None
    if ddpm_lib(["train", "--data", name, "--out", str(run), *RECIPES[name].split()]):
        raise SystemExit(1)
    if trained is None:
        took = "in several sittings" if begun else f"{time.perf_counter() - start:.0f} s"
        trained = f"{took}, {torch.get_num_threads()} threads ({platform.machine()}), torch {torch.__version__.split('+')[0]}"
    net, card = weights.load(finished, UNet)
    card |= {"what": f"U-Net that predicts the noise in {name}; averaged weights, stored in bfloat16",
             "command": f"{COMMAND} {name}", "trained": trained}
    weights.save(finished, net, card)
    weights.save(FOLDER / f"{name}.safetensors", net, card, torch.bfloat16)


def measure(digits):
    """Scores of the weights as shipped (bfloat16 rounding included), written into their card."""
    path = FOLDER / "digits.safetensors"
    net, card = weights.load(path, UNet)
    classifier, _ = weights.load("digits_classifier", metrics.Classifier)
    schedule = SCHEDULES[card["schedule"]["name"]](card["schedule"]["T"])
    guess, generator = clipped(denoiser(net, schedule)), torch.Generator().manual_seed(0)
    for _, x, _ in sample_ddpm(guess, digits.x_0.shape, schedule, generator, schedule.beta_tilde):
        pass
    of_data, of_x = metrics.features(classifier, digits.x_0), metrics.features(classifier, x)
    order = torch.randperm(len(digits.x_0), generator=torch.Generator().manual_seed(0))
    near = metrics.nearest_neighbours(x, digits.x_0).distance
    gap = metrics.smallest_gap(digits.x_0)
    ts = [t for t in (1, 2, 5, 10, 20, 50, 100, 150, 200) if t <= schedule.T]
    losses = loss_by_t(net, partial(simple_loss, schedule=schedule), digits.x_0, ts, torch.Generator().manual_seed(0))
    others = torch.cdist(digits.x_0.flatten(1), digits.x_0.flatten(1)).fill_diagonal_(float("inf")).amin(1)
    card["scores"] = {
        "samples": len(x),
        "Frechet distance of the samples to the data": round(metrics.frechet_distance(of_x, of_data), 2),
        "Frechet distance of two random halves of the data": round(metrics.frechet_distance(of_data[order[:898]], of_data[order[898:]]), 2),
        "share classified with confidence above 0.9": round(metrics.confident_share(classifier, x), 4),
        "the same share for the data": round(metrics.confident_share(classifier, digits.x_0), 4),
        "share nearer to a training picture than any two of these are to each other": round(float((near < gap).double().mean()), 4),
        "distance of the nearest two training pictures": round(gap, 3),
        "median distance of a sample to its nearest training picture": round(float(near.median()), 3),
        "the same for a training picture and its nearest other": round(float(others.median()), 3),
        "loss by t": {str(t): round(float(v), 4) for t, v in zip(ts, losses, strict=True)}}
    weights.save(path, net, card, torch.bfloat16)


WALKS = {"DDIM, eta = 0": lambda *walk, generator: ddim(*walk), "DDIM, eta = 1": partial(ddim, eta=1.0),
         "DPM-Solver++(2M)": lambda *walk, generator: dpmpp_2m(*walk)}


def draw_mnist(net, walk, steps, n):
    """n pictures in so many steps, 100 at a time."""
    schedule, generator = linear_schedule(), torch.Generator().manual_seed(0)
    guess, times, parts = clipped(denoiser(net, schedule)), even_times(schedule, steps), []
    for _ in range(n // 100):
        noise = torch.randn(100, 1, 28, 28, generator=generator)
        for _, x, _ in WALKS[walk](guess, noise, times, schedule, generator=generator):
            pass
        parts.append(x)
    return torch.cat(parts)


def measure_mnist(train, test, n=10_000, few=500):
    """Scores of the MNIST weights as shipped: n pictures in STEPS steps, and as many real ones beside them; and few in fewer steps."""
    path = FOLDER / "mnist.safetensors"
    net, card = weights.load(path, UNet)
    net = net.to(memory_format=torch.channels_last)
    classifier, _ = weights.load("mnist_classifier", metrics.Classifier)
    wanted = metrics.moments(metrics.features(classifier, test.x_0))

    def away(x):
        return round(metrics.frechet_distance(metrics.features(classifier, x), wanted), 2)

    x, real = draw_mnist(net, WALK, STEPS, n), train.x_0[torch.randperm(len(train.x_0), generator=torch.Generator().manual_seed(0))]
    near, near_test = (metrics.nearest_neighbours(part, train.x_0).distance for part in (x, test.x_0))
    ts = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    losses = loss_by_t(net, partial(simple_loss, schedule=linear_schedule()), test.x_0[:1000], ts, torch.Generator().manual_seed(0))
    card["scores"] = {
        "samples": f"{n:,}, drawn by {WALK} in {STEPS} steps, guesses clipped",
        "Frechet distance of the samples to the test set": away(x),
        f"Frechet distance of {n:,} training pictures to the test set": away(real[:n]),
        "share classified with confidence above 0.9": round(metrics.confident_share(classifier, x), 4),
        "the same share for the test set": round(metrics.confident_share(classifier, test.x_0), 4),
        "median distance of a sample to its nearest training picture": round(float(near.median()), 3),
        "the same for a test picture": round(float(near_test.median()), 3),
        "share of the samples nearer to a training picture than all but 1 % of the test pictures":
            round(float((near < near_test.quantile(0.01)).double().mean()), 4),
        "loss by t on 1,000 test pictures": {str(t): round(float(v), 4) for t, v in zip(ts, losses, strict=True)},
        f"Frechet distance of {few:,} training pictures": away(real[:few]),
        **{f"Frechet distance of {few:,} samples by steps, {walk}": {str(k): away(draw_mnist(net, walk, k, few)) for k in (5, 10, 20, 50)}
           for walk in WALKS}}
    weights.save(path, net, card, torch.bfloat16)
    image_grid(x[:60], columns=15, width=9).savefig(FOLDER / "mnist.png", dpi=80, metadata={"Software": None})


def plain(value):
    """A value of a card as words: lists and dicts without Python's brackets."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(part)}" for key, part in value.items())
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)


def readme():
    """The text of data/weights/README.md: every card, as the files have it."""
    lines = ["# Bundled weights", "", f"Made and measured by `{COMMAND}` (or `make weights`); this page too. `python -m ddpm_lib info NAME` "
             "reads a card from its file.", "", "Frechet distances are squared, and depend on the number of pictures: small sets "
             "seem farther apart. For digits the samples are 1,797 against the 1,797 pictures, the halves 898 against 899; for MNIST "
             "there are 10,000 on every side.", ""]
    for path in sorted(FOLDER.glob("*.safetensors")):
        tensors, header = weights.read(path)
        lines += [f"## {path.stem}", "", f"{header['class']}, {sum(v.numel() for v in tensors.values()):,} numbers, "
                  f"{path.stat().st_size / 1e6:.2f} MB.", "", "| entry | value |", "|---|---|"]
        card = dict(header["card"])
        scores = card.pop("scores")
        lines += [f"| {key} | {plain(value)} |" for key, value in {**card, **scores}.items()] + [""]
    return "\n".join(lines)


def main(names):
    if unknown := set(names) - RECIPES.keys():
        raise SystemExit(f"there are no weights {min(unknown)!r} to make: choose among {', '.join(RECIPES)}")
    if "digits" in names:
        digits = data.load("digits")
        make_classifier(digits)
        make_net("digits")
        measure(digits)
    if "mnist" in names:
        train, test = data.load("mnist"), data.load("mnist_test")
        make_mnist_classifier(train, test)
        make_net("mnist")
        measure_mnist(train, test)
    (FOLDER / "README.md").write_text(readme(), encoding="utf-8", newline="\n")
    print(readme())


if __name__ == "__main__":
    main(sys.argv[1:] or list(RECIPES))
