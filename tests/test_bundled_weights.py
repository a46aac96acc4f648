"""The weights we ship: what their cards say is measured here again, as far as a minute allows."""
import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch

from ddpm_lib import data, metrics, weights
from ddpm_lib.ddpm import sample_ddpm, simple_loss
from ddpm_lib.denoise import clipped, denoiser
from ddpm_lib.samplers import dpmpp_2m, even_times
from ddpm_lib.schedules import SCHEDULES
from ddpm_lib.train import loss_by_t
from ddpm_lib.unet import UNet

FOLDER = Path(weights.ROOT) / "weights"


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def classifier():
    return weights.load("digits_classifier", metrics.Classifier)[0]


def test_loss_by_t_is_the_cards(digits):
    net, card = weights.load("digits", UNet)
    schedule = SCHEDULES[card["schedule"]["name"]](card["schedule"]["T"])
    written = card["scores"]["loss by t"]
    got = loss_by_t(net, partial(simple_loss, schedule=schedule), digits.x_0, map(int, written), torch.Generator().manual_seed(0))
    assert got.tolist() == pytest.approx(list(written.values()), rel=2e-3, abs=1e-4)


def test_samples_are_digits_and_no_copies(digits, classifier):
    net, card = weights.load("digits", UNet)
    schedule = SCHEDULES[card["schedule"]["name"]](card["schedule"]["T"])
    guess = clipped(denoiser(net, schedule))
    for _, x, _ in sample_ddpm(guess, (100, 1, 8, 8), schedule, torch.Generator().manual_seed(1), schedule.beta_tilde):
        pass
    assert metrics.confident_share(classifier, x) > 0.9
    assert (metrics.nearest_neighbours(x, digits.x_0).distance > metrics.smallest_gap(digits.x_0)).all()
    assert classifier(x).argmax(1).unique().numel() == 10                  # all ten of them


def test_features_tell_data_from_noise(digits, classifier):
    card = weights.load("digits", UNet)[1]
    of_data = metrics.features(classifier, digits.x_0)
    order = torch.randperm(len(of_data), generator=torch.Generator().manual_seed(0))
    halves = metrics.frechet_distance(of_data[order[:898]], of_data[order[898:]])
    assert halves == pytest.approx(card["scores"]["Frechet distance of two random halves of the data"], rel=1e-3)
    noise = torch.randn(898, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert metrics.frechet_distance(metrics.features(classifier, noise), of_data) > 10 * halves
    assert metrics.confident_share(classifier, digits.x_0) > 0.99


def test_mnist_digits_in_20_steps():
    """64 digits in 20 steps: as many sure ones as the card says, up to chance; every kind among them; near the test set."""
    net, card = weights.load("mnist", UNet)
    schedule = SCHEDULES[card["schedule"]["name"]](card["schedule"]["T"])
    eye, _ = weights.load("mnist_classifier", metrics.Classifier)
    test_set = metrics.Moments(**weights.read(weights.find("mnist_moments"))[0])
    start = torch.randn(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for _, x, _ in dpmpp_2m(clipped(denoiser(net, schedule)), start, even_times(schedule, 20), schedule):
        pass
    share = card["scores"]["share classified with confidence above 0.9"]
    assert abs(metrics.confident_share(eye, x) - share) < 4 * (share * (1 - share) / 64) ** 0.5
    assert share > 0.7 and eye(x).argmax(1).unique().numel() == 10
    near, far = (metrics.frechet_distance(metrics.features(eye, part), test_set) for part in (x, start.clamp(-1, 1)))
    assert near < 200 < far / 5, (near, far)
    assert (FOLDER / "mnist.safetensors").stat().st_size < 4e6


def test_mnist_card():
    """What is promised of the card; the numbers were measured by the command it names."""
    card = weights.load("mnist", UNet)[1]
    scores = card["scores"]
    assert card["command"] == "python data/make_weights.py mnist" and {"data", "recipe", "trained", "schedule"} <= card.keys()
    real = scores["Frechet distance of 10,000 training pictures to the test set"]
    assert scores["samples"].startswith("10,000") and 0 < real < scores["Frechet distance of the samples to the test set"]
    assert scores["share of the samples nearer to a training picture than all but 1 % of the test pictures"] < 0.03
    assert sum("by steps" in key for key in scores) == 3


def test_cards_are_complete_and_files_small():
    files = sorted(FOLDER.glob("*.safetensors"))
    assert len(files) >= 2 and sum(f.stat().st_size for f in files) < 25e6
    for file in files:
        card = weights.read(file)[1]["card"]
        assert file.stat().st_size < 8e6 and {"what", "data", "command", "scores"} <= card.keys()
    assert {"recipe", "trained", "schedule"} <= weights.load("digits", UNet)[1].keys()


def test_the_page_of_cards_is_the_files():
    spec = importlib.util.spec_from_file_location("make_weights", FOLDER.parent / "make_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == module.readme()
