"""Weights files: what is saved comes back; what cannot be used is refused whole, in one sentence."""
import pytest
import torch
from safetensors.torch import save_file

from ddpm_lib import weights
from ddpm_lib.metrics import Classifier
from ddpm_lib.unet import UNet


def network():
    torch.manual_seed(0)
    net = UNet(1, (8, 16), 1, (1,), groups=4)
    torch.nn.init.normal_(net.last.weight)
    return net.eval()


def test_round_trip(tmp_path):
    net, card = network(), {"data": "digits", "scores": {"a": 0.1}}
    weights.save(tmp_path / "a.safetensors", net, card)
    again, card_again = weights.load(tmp_path / "a.safetensors", UNet)
    x, t = torch.randn(2, 1, 4, 4), torch.tensor([1, 5])
    assert torch.equal(net(x, t), again(x, t)) and card_again == card and not again.training
    weights.save(tmp_path / "b.safetensors", again, card)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_bf16_halves_the_file_and_loads_as_float32(tmp_path):
    net = network()
    weights.save(tmp_path / "a.safetensors", net, {})
    weights.save(tmp_path / "b.safetensors", net, {}, torch.bfloat16)
    assert (tmp_path / "b.safetensors").stat().st_size < 0.6 * (tmp_path / "a.safetensors").stat().st_size
    again, _ = weights.load(tmp_path / "b.safetensors", UNet)
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        assert b.dtype == torch.float32 and torch.equal(a.bfloat16().float(), b)


def test_the_new_file_takes_the_name_in_one_step(tmp_path, monkeypatch):
    """Until the rename, the old file is untouched: a rename that fails leaves it, and nothing beside it."""
    path = tmp_path / "a.safetensors"
    weights.save(path, network(), {"n": 1})
    old = path.read_bytes()

    def refuse(source, target):
        assert path.read_bytes() == old and source.stat().st_size > 1000
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(weights.os, "replace", refuse)
    with pytest.raises(OSError, match="could not save .*a.safetensors .Permission denied.; what was saved there before is untouched"):
        weights.save(path, network(), {"n": 2})
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]


def test_missing_file():
    with pytest.raises(ValueError, match=r"no weights file .*nowhere.safetensors: give a path, or one of the bundled names \(.*digits"):
        weights.load("nowhere", UNet)


@pytest.mark.parametrize("spoil", [lambda b: b[:-10], lambda b: b[:9], lambda b: b"", lambda b: b"\x80\x04pickle" * 99])
def test_truncated_or_other_file(tmp_path, spoil):
    path = tmp_path / "a.safetensors"
    weights.save(path, network(), {})
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match="a.safetensors is not a whole safetensors file; get it again or make it anew"):
        weights.load(path, UNet)


def test_foreign_file(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="a.safetensors was not written by ddpm_lib: it does not say which network it belongs to"):
        weights.load(tmp_path / "a.safetensors", UNet)


def test_another_class(tmp_path):
    weights.save(tmp_path / "a.safetensors", Classifier(1, 10), {})
    with pytest.raises(ValueError, match="holds a Classifier, not a UNet: load it as what it is"):
        weights.load(tmp_path / "a.safetensors", UNet)
    weights.write(tmp_path / "run.safetensors", {}, {"step": 1})
    with pytest.raises(ValueError, match="holds a training run, not a UNet"):
        weights.load(tmp_path / "run.safetensors", UNet)


@pytest.mark.parametrize("change,sentence", [
    (lambda t: t.pop("last.weight"), "for another architecture: it lacks tensor 'last.weight' .1 such."),
    (lambda t: t.update(extra=torch.zeros(1)), "for another architecture: it has the unknown tensor 'extra'"),
    (lambda t: t.update({"last.bias": torch.zeros(3)}), r"'last.bias' has shape \(3,\), this network needs \(1,\)"),
])
def test_another_architecture_changes_nothing(tmp_path, change, sentence):
    net = network()
    tensors = {k: v + 1 for k, v in net.state_dict().items()}
    change(tensors)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(ValueError, match=sentence):
        weights.fit(net, tensors, "file")
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_nothing_here_reads_pickle():
    import pathlib

    import ddpm_lib
    for path in pathlib.Path(ddpm_lib.__file__).parent.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "torch.load" not in source and "import pickle" not in source and "allow_pickle=True" not in source, path
