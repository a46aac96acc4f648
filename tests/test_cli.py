"""`python -m ddpm_lib`: trains, samples, tells; and answers a mistake with one sentence."""
import subprocess
import sys

import pytest
from PIL import Image

from ddpm_lib.__main__ import main

TINY = ["--widths", "8", "16", "--groups", "4", "--batch", "16", "--T", "20", "--save-every", "5"]


def test_train_resume_sample_info(tmp_path, capsys):
    out = str(tmp_path / "run")
    assert main(["train", "--out", out, "--steps", "6", *TINY]) == 0
    assert "step 6/6" in capsys.readouterr().out
    assert main(["train", "--out", out, "--steps", "6", *TINY]) == 0       # finished: nothing is trained again
    assert "going on after step 6 of 6" in capsys.readouterr().out
    weights = str(tmp_path / "run" / "weights.safetensors")
    assert main(["sample", weights, "--n", "4", "--out", str(tmp_path / "s.png")]) == 0
    for more in (["ddpm"], ["ddim", "--eta", "1"], ["heun", "--steps", "4"], ["dpmpp_2m", "--steps", "4"]):
        assert main(["sample", weights, "--n", "2", "--out", str(tmp_path / "m.png"), "--sampler", *more]) == 0
    with Image.open(tmp_path / "s.png") as image:
        assert image.size[0] > 100
    capsys.readouterr()
    assert main(["info", weights]) == 0
    text = capsys.readouterr().out
    assert text.startswith("UNet with ") and "'schedule': 'cosine'" in text and "shape: [1, 8, 8]" in text


def test_train_on_a_folder(tmp_path):
    for i in range(3):
        Image.new("RGB", (20, 20), (i * 90, 0, 0)).save(tmp_path / f"{i}.png")
    assert main(["train", "--data", str(tmp_path), "--size", "8", "--out", str(tmp_path / "run"), "--steps", "2", *TINY]) == 0


@pytest.mark.parametrize("argv,sentence", [
    (["train", "--data", "digitz"], "there is no data set 'digitz': did you mean 'digits'?"),
    (["train", "--T", "0"], "T, the number of steps, must be a whole number of at least 1, got 0"),
    (["train", "--widths", "30"], "every width must be a multiple of the 8 groups"),
    (["info", "nowhere"], "there is no weights file"),
    (["sample", "nowhere"], "there is no weights file"),
    (["sample", "--steps", "0"], "steps must be in 1..200, the number of times there are, got 0"),
    (["sample", "--steps", "201"], "steps must be in 1..200, the number of times there are, got 201"),
    (["sample", "--eta", "1.5"], "eta must be in [0, 1], got 1.5"),
    (["sample", "--eta", "0.5", "--sampler", "heun"], "eta belongs to ddim, not to heun"),
    (["sample", "--n", "0"], "n, the number of pictures, must be at least 1, got 0"),
])
def test_mistakes_are_one_sentence(argv, sentence, tmp_path, capsys):
    if argv[0] == "train":
        argv = [*argv, "--out", str(tmp_path / "run")]
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("ddpm_lib: ") and sentence in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_another_configuration_is_refused(tmp_path, capsys):
    out = ["train", "--out", str(tmp_path / "run"), *TINY]
    assert main([*out, "--steps", "3"]) == 0
    assert main([*out, "--steps", "3", "--lr", "0.5"]) == 2
    assert "holds a run with lr = 0.002, now it is 0.5: use the same, or another folder" in capsys.readouterr().err


def test_import_is_light():
    """`import ddpm_lib` and its parts bring no plotting, no widgets: under 0.3 s more than torch."""
    code = ("import torch, time, sys; a = time.perf_counter(); import ddpm_lib, ddpm_lib.ddpm, ddpm_lib.unet, ddpm_lib.train, "
            "ddpm_lib.data, ddpm_lib.metrics; print(time.perf_counter() - a); "
            "print([m for m in ('matplotlib', 'ipywidgets', 'PIL.Image', 'IPython') if m in sys.modules])")
    lines = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
             for _ in range(3)]
    assert lines[0][1] == "[]"
    assert min(float(line[0]) for line in lines) < 0.3
