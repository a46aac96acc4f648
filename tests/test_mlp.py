"""The network of chapter 05: the time reaches its output, it starts at zero, it survives a file, and it learns to the floor."""
import ast
import importlib
import inspect
import pathlib

import nbformat
import pytest
import torch

from ddpm_lib.ddpm import simple_loss
from ddpm_lib.nets import MLP
from ddpm_lib.schedules import linear_schedule
from ddpm_lib.weights import load, save

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture
def ch05():
    """Imported when a test runs: tests/test_exercises.py finds out at its import which exercises a chapter registers."""
    return importlib.import_module("ddpm_lib.course.ch05")


def randomised(net, seed=0):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=g) * 0.3)
    return net


@pytest.mark.parametrize("config", [{}, dict(dim=3, width=8, blocks=1, time=4), dict(width=32, blocks=5)])
def test_shapes_and_zero_start(config):
    net, g = MLP(**config), torch.Generator().manual_seed(0)
    dim = config.get("dim", 2)
    x_0, eps = torch.randn(50, dim, generator=g), torch.randn(50, dim, generator=g)
    t = torch.randint(1, 101, (50,), generator=g)
    assert net(x_0, t).shape == (50, dim) and (net(x_0, t) == 0).all()
    assert simple_loss(net, x_0, t, eps, linear_schedule(100, 1e-3, 0.2)).item() == float(eps.square().mean())
    assert randomised(net)(x_0, t).abs().min() > 0


def test_the_time_reaches_the_output_and_points_do_not_mix():
    net, g = randomised(MLP()).double(), torch.Generator().manual_seed(1)
    x = torch.randn(3, 2, generator=g, dtype=torch.float64)
    out = net(x, torch.tensor([5, 70, 5]))
    other = net(x, torch.tensor([5, 71, 5]))
    assert (out[1] - other[1]).abs().max() > 1e-3 and torch.equal(out[[0, 2]], other[[0, 2]])
    alone = torch.cat([net(x[i:i + 1], t) for i, t in enumerate(torch.tensor([[5], [70], [5]]))])
    assert torch.allclose(alone, out, atol=1e-12)


def test_every_parameter_gets_a_gradient():
    net = randomised(MLP())
    net(torch.randn(8, 2, generator=torch.Generator().manual_seed(2)), torch.arange(1, 9)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_a_file_and_back(tmp_path):
    net = randomised(MLP(dim=3, width=24, blocks=2, time=12))
    save(tmp_path / "net.safetensors", net, {"steps": 0})
    again, card = load(tmp_path / "net.safetensors", MLP)
    x, t = torch.randn(7, 3, generator=torch.Generator().manual_seed(3)), torch.arange(1, 8)
    assert torch.equal(net(x, t), again(x, t)) and again.config == net.config and card == {"steps": 0}


@pytest.mark.parametrize("x, t", [((4, 3), (4,)), ((4,), (4,)), ((4, 2, 1), (4,)), ((4, 2), (1,)), ((4, 2), ()), ((4, 2), (4, 1))])
def test_wrong_shapes_get_one_sentence(x, t):
    with pytest.raises(ValueError, match=r"points must be \(B, 2\) and steps \(B,\), got \(4") as error:
        MLP()(torch.zeros(x), torch.ones(t, dtype=torch.int64))
    assert str(t) in str(error.value) and "\n" not in str(error.value)


def test_wrong_sizes_get_one_sentence():
    with pytest.raises(ValueError, match="at least one is needed, got 0"):
        MLP(blocks=0)
    with pytest.raises(ValueError, match="even dim of at least 4, got 7"):
        MLP(time=7)(torch.zeros(1, 2), torch.ones(1, dtype=torch.int64))


@pytest.fixture
def one_thread():
    """As in the notebook: a network this small is slowed down by more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_learned_loss_comes_within_5_percent_of_its_exact_floor(ch05, one_thread):
    """What chapter 05 claims, averaged over t on fresh draws, the floor on the same draws; 4 standard errors on top."""
    net, oracle = ch05.trained(seed=0)
    g, n = torch.Generator().manual_seed(100), 4000
    x_0, eps = oracle.sample(n, g), torch.randn(n, 2, generator=g)
    learned = ch05.errors_by_t(net, x_0, eps, ch05.SCHEDULE).double()
    floor = ch05.errors_by_t(ch05.noise_guess(oracle, ch05.SCHEDULE), x_0, eps, ch05.SCHEDULE).double()
    gap = (learned - floor).mean(0)                                        # paired, averaged over t, one number per draw
    error = float(gap.std()) / n ** 0.5
    assert gap.mean() + 4 * error < 0.05 * floor.mean()
    assert gap.mean() > 4 * error                                          # a floor: nobody comes below it
    blind = ch05.errors_by_t(lambda x_t, t: net(x_t, torch.ones_like(t)), x_0, eps, ch05.SCHEDULE)
    assert blind.mean() > 1.3 * floor.mean()                               # negative control: the measure sees a bad network


def definitions(source):
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def bare(node):
    """A definition without its docstring and type hints' layout, as text."""
    node = ast.parse(ast.unparse(node)).body[0]
    if isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant):
        del node.body[0]
    return ast.unparse(node)


def test_the_notebook_trains_what_this_file_trains(ch05):
    cells = [cell.source for cell in nbformat.read(ROOT / "notebooks" / "05_learning_to_denoise.ipynb", 4).cells
             if cell.cell_type == "code"]
    shown = {name: node for source in cells for name, node in definitions(source).items()}
    ours = definitions(inspect.getsource(ch05))
    for name in ("learn", "noise_guess", "errors_by_t"):
        assert bare(shown[name]) == bare(ours[name]), name
