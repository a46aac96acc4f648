"""Make the bundled weights and measure them: `make weights`, or

    python data/make_weights.py

Trains the feature classifier and the digit network with the course's own code, draws 1,797 samples, and writes
data/weights/*.safetensors, each with a card of measured scores, and data/weights/README.md, the cards to read.
A broken-off training goes on at the next call (runs/digits-bundled).
"""
import platform
import time
from functools import partial
from pathlib import Path

import torch

from ddpm_lib import data, metrics, weights
from ddpm_lib.__main__ import main as ddpm_lib
from ddpm_lib.ddpm import clipped, denoiser, sample_ddpm, simple_loss
from ddpm_lib.schedules import SCHEDULES
from ddpm_lib.train import loss_by_t
from ddpm_lib.unet import UNet

FOLDER = Path(__file__).resolve().parent / "weights"
RUN = Path(__file__).resolve().parents[1] / "runs" / "digits-bundled"
COMMAND = "python data/make_weights.py"


def make_classifier(digits):
    """The network whose features the Frechet distance uses; its accuracy is measured on a fifth it has not seen."""
    order = torch.randperm(len(digits.x_0), generator=torch.Generator().manual_seed(0))
    known, unseen = order[359:], order[:359]
    torch.manual_seed(0)
    trial = metrics.train_classifier(digits.x_0[known], digits.labels[known], torch.Generator().manual_seed(0))
    right = float((trial(digits.x_0[unseen]).argmax(1) == digits.labels[unseen]).double().mean())
    torch.manual_seed(0)
    net = metrics.train_classifier(digits.x_0, digits.labels, torch.Generator().manual_seed(0))
    scores = {"accuracy on 359 unseen digits (same training on the other 1,438)": round(right, 4)}
    card = {"what": "classifier of the digits, for features and confidence", "data": "digits", "command": COMMAND, "scores": scores}
    weights.save(FOLDER / "digits_classifier.safetensors", net, card)


def make_digits(steps=5000):
    """Train the digit network as `python -m ddpm_lib train` does; keep the averaged weights in bfloat16."""
    finished, begun, start = RUN / "weights.safetensors", (RUN / "run.safetensors").exists(), time.perf_counter()
    trained = weights.load(finished, UNet)[1].get("trained") if finished.exists() else None
    if ddpm_lib(["train", "--out", str(RUN), "--steps", str(steps)]):
        raise SystemExit(1)
    if trained is None:
        took = "in several sittings" if begun else f"{time.perf_counter() - start:.0f} s"
        trained = f"{took}, {torch.get_num_threads()} threads ({platform.machine()}), torch {torch.__version__.split('+')[0]}"
    net, card = weights.load(finished, UNet)
    card |= {"what": "U-Net that predicts the noise in digits; averaged weights, stored in bfloat16",
             "command": COMMAND, "trained": trained}
    weights.save(finished, net, card)
    weights.save(FOLDER / "digits.safetensors", net, card, torch.bfloat16)


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


def plain(value):
    """A value of a card as words: lists and dicts without Python's brackets."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(part)}" for key, part in value.items())
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)


def readme():
    """The text of data/weights/README.md: every card, as the files have it."""
    lines = ["# Bundled weights", "", f"Made and measured by `{COMMAND}` (or `make weights`); this page too. `python -m ddpm_lib info NAME` "
             "reads a card from its file.", "", "Frechet distances are squared, and depend on the number of pictures: small sets "
             "seem farther apart. The samples are 1,797 against the 1,797 pictures, the halves 898 against 899.", ""]
    for path in sorted(FOLDER.glob("*.safetensors")):
        tensors, header = weights.read(path)
        lines += [f"## {path.stem}", "", f"{header['class']}, {sum(v.numel() for v in tensors.values()):,} parameters, "
                  f"{path.stat().st_size / 1e6:.2f} MB.", "", "| | |", "|---|---|"]
        card = dict(header["card"])
        scores = card.pop("scores")
        lines += [f"| {key} | {plain(value)} |" for key, value in {**card, **scores}.items()] + [""]
    return "\n".join(lines)


def main():
    digits = data.load("digits")
    make_classifier(digits)
    make_digits()
    measure(digits)
    (FOLDER / "README.md").write_text(readme(), encoding="utf-8", newline="\n")
    print(readme())


if __name__ == "__main__":
    main()
