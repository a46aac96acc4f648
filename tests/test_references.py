"""Our numbers are everybody's numbers: schedules, noising, steps and whole trajectories equal to diffusers' (pinned in requirements-dev.txt).

diffusers counts t from 0, we from 1: its t is our t - 1. Its tables are float32; where they can be replaced by float64 ones,
so that only the arithmetic is compared, the tolerance is 1e-9, else 1e-5.
"""
import pytest
import torch
from safetensors.torch import save_file

from ddpm_lib.__main__ import main
from ddpm_lib.ddpm import at, p_sample, q_posterior, q_sample
from ddpm_lib.denoise import denoiser
from ddpm_lib.nets import MLP
from ddpm_lib.paths import ddim_step, ddpm_path
from ddpm_lib.samplers import ddim, ddpm, dpmpp_2m, even_times
from ddpm_lib.schedules import cosine_schedule, linear_schedule
from ddpm_lib.unet import UNet, from_diffusers
from ddpm_lib.weights import load

diffusers = pytest.importorskip("diffusers", reason="diffusers is missing: install requirements-dev.txt")

S = linear_schedule()
SETTINGS = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact_tables(scheduler):
    """The scheduler with our float64 tables: betas, alphas and their products, t from 0."""
    scheduler.betas, scheduler.alphas, scheduler.alphas_cumprod = S.beta[1:], S.alpha[1:], S.alpha_bar[1:]
    scheduler.one = scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


@pytest.fixture(scope="module")
def net():
    """A network with weights that make its guesses neither 0 nor small, in float64."""
    torch.manual_seed(0)
    net = MLP(dim=6, width=32, blocks=2, time=16).double().eval().requires_grad_(False)
    torch.nn.init.normal_(net.last.weight, std=0.1)
    return net


def test_schedules():
    for name, ours in (("linear", S), ("squaredcos_cap_v2", cosine_schedule())):
        theirs = diffusers.DDPMScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule=name)
        assert (theirs.alphas_cumprod - ours.alpha_bar[1:]).abs().max() < 1e-5
        assert ((theirs.betas - ours.beta[1:]).abs() / ours.beta[1:]).max() < 1e-4


def test_noising_at_every_t():
    x_0, eps, t = normal(1000, 3), normal(1000, 3, seed=1), torch.arange(1, 1001)
    scheduler = exact_tables(diffusers.DDPMScheduler(**SETTINGS))
    assert torch.allclose(scheduler.add_noise(x_0, eps, t - 1), q_sample(x_0, t, eps, S), atol=1e-9)
    assert torch.allclose(diffusers.DDPMScheduler(**SETTINGS).add_noise(x_0.float(), eps.float(), t - 1),
                          q_sample(x_0.float(), t, eps.float(), S), atol=1e-5)


@pytest.mark.parametrize("kind, variance", [("fixed_large", "beta"), ("fixed_small", "beta_tilde")])
def test_ddpm_step_at_every_t(kind, variance):
    """Posterior mean and both variances: the same eps_hat, the same fresh noise, one step at each t; and the path's own sampler."""
    scheduler = exact_tables(diffusers.DDPMScheduler(**SETTINGS, variance_type=kind, clip_sample=False))
    x_t, eps_hat, path = normal(4, 3), normal(4, 3, seed=1), ddpm_path(S)
    for t in range(1, 1001):
        theirs = scheduler.step(eps_hat, t - 1, x_t, generator=torch.Generator().manual_seed(t)).prev_sample
        z = torch.randn(4, 3, generator=torch.Generator().manual_seed(t), dtype=torch.float64)
        guess = denoiser(lambda x, ts: eps_hat, S)
        ours, _ = p_sample(guess, x_t, t, z, S, getattr(S, variance))
        assert torch.allclose(ours, theirs, atol=1e-9), t
        g = torch.Generator().manual_seed(t)
        run = ddpm(guess, x_t, [t, t - 1], path, g) if variance == "beta" else ddim(guess, x_t, [t, t - 1], path, 1.0, g)
        assert torch.allclose(next(run)[1], theirs, atol=1e-9), t


def test_posterior_mean_and_variance_at_every_t():
    scheduler = exact_tables(diffusers.DDPMScheduler(**SETTINGS, variance_type="fixed_small", prediction_type="sample", clip_sample=False))
    x_t, x_0 = normal(4, 3), normal(4, 3, seed=1)
    for t in range(2, 1001):
        mean, variance = q_posterior(x_0, x_t, torch.full((4,), t), S)
        theirs = scheduler.step(x_0, t - 1, x_t, generator=torch.Generator().manual_seed(t)).prev_sample
        z = torch.randn(4, 3, generator=torch.Generator().manual_seed(t), dtype=torch.float64)
        assert torch.allclose(mean + variance.sqrt() * z, theirs, atol=1e-9), t
        assert float(scheduler._get_variance(t - 1)) == pytest.approx(float(variance[0]), rel=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_step_at_every_t(eta):
    """Steps of 20, from every t that has one, down to clean data."""
    scheduler = exact_tables(diffusers.DDIMScheduler(**SETTINGS, clip_sample=False, timestep_spacing="trailing"))
    scheduler.set_timesteps(50)
    x_t, eps_hat = normal(4, 3), normal(4, 3, seed=1)
    for t in range(20, 1001):
        theirs = scheduler.step(eps_hat, t - 1, x_t, eta=eta, generator=torch.Generator().manual_seed(t)).prev_sample
        z = torch.randn(4, 3, generator=torch.Generator().manual_seed(t), dtype=torch.float64)
        ts, ends = torch.full((4,), t), ddpm_path(S)
        x_0_hat = denoiser(lambda x, ts: eps_hat, S)(x_t, ts)
        ours = ddim_step(x_t, x_0_hat, *ends.at(ts, x_t), *ends.at(ts - 20, x_t), eta, z)
        assert torch.allclose(ours, theirs, atol=1e-9), t


def their_run(scheduler, net, x, steps):
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        x = scheduler.step(net(x, torch.full((len(x),), int(t) + 1)), t, x).prev_sample
    return x


def last(run):
    for _, x, _ in run:
        pass
    return x


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_fifty_steps_of_ddim(net, dtype, tolerance):
    scheduler = diffusers.DDIMScheduler(**SETTINGS, clip_sample=False, timestep_spacing="trailing")
    if dtype == torch.float64:
        exact_tables(scheduler)
    x = normal(16, 6).to(dtype)
    net = net.to(dtype)
    theirs = their_run(scheduler, net, x, 50)
    ours = last(ddim(denoiser(net, S), x, even_times(ddpm_path(S), 50), ddpm_path(S)))
    assert ours.dtype == dtype and torch.allclose(ours, theirs, atol=tolerance * float(theirs.abs().max()))
    net.double()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")   # of diffusers
def test_twenty_steps_of_dpm_solver(net):
    """DPM-Solver++(2M); diffusers keeps its noise levels in float32, so 1e-5 of the largest value."""
    scheduler = diffusers.DPMSolverMultistepScheduler(**SETTINGS, algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint",
                                                      timestep_spacing="trailing", final_sigmas_type="zero")
    x = normal(16, 6)
    theirs = their_run(scheduler, net, x, 20)
    ours = last(dpmpp_2m(denoiser(net, S), x, even_times(ddpm_path(S), 20), ddpm_path(S)))
    assert torch.allclose(ours, theirs, atol=1e-5 * float(theirs.abs().max()))


def test_an_off_by_one_would_be_seen(net):
    """Negative control: the whole trajectory with the network asked about t - 1 is far outside every tolerance above."""
    x = normal(16, 6)
    right = last(ddim(denoiser(net, S), x, even_times(ddpm_path(S), 50), ddpm_path(S)))
    late = last(ddim(lambda x, t: denoiser(net, S)(x, (t - 1).clamp(min=1)), x, even_times(ddpm_path(S), 50), ddpm_path(S)))
    assert (right - late).abs().max() > 1e-2 * right.abs().max()
    assert at(S.alpha_bar, torch.tensor([1]), x[:1]).item() != 1


# -- the network -----------------------------------------------------------------------------------------------------------

OLDER = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}


def their_unet(widths, blocks, attention_at, size, heads=None, groups=32):
    """A UNet2DModel in the layout of the official CIFAR-10 checkpoint, with random weights that are nowhere 0."""
    kind = ["Attn" if i in attention_at else "" for i in range(len(widths))]
    torch.manual_seed(0)
    net = diffusers.UNet2DModel(
        sample_size=size, in_channels=3, out_channels=3, block_out_channels=widths, layers_per_block=blocks,
        down_block_types=tuple(f"{k}DownBlock2D" for k in kind), up_block_types=tuple(f"{k}UpBlock2D" for k in reversed(kind)),
        norm_num_groups=groups, norm_eps=1e-6, attention_head_dim=heads, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1)
    return net.eval().requires_grad_(False)


@torch.no_grad()
def largest_difference(theirs, ours, size, ts):
    x, t = torch.randn(len(ts), 3, size, size, generator=torch.Generator().manual_seed(1)), torch.tensor(ts)
    want = theirs(x, t - 1).sample
    return float((ours(x, t) - want).abs().max()), float(want.abs().max())


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("widths, blocks, attention_at, head_dim, heads", [((16, 32), 1, (1,), None, 1), ((16, 32, 32), 2, (0, 2), 8, None)])
def test_small_networks_compute_the_same(widths, blocks, attention_at, head_dim, heads, older):
    if heads is None:
        widths, heads = (16, 16, 16), 2                                    # diffusers fixes the size of a head, we their number
    theirs = their_unet(widths, blocks, attention_at, 16, head_dim, groups=8)
    state = theirs.state_dict()
    if older:
        for new, old in OLDER.items():
            state = {name.replace(new, old): value for name, value in state.items()}
        assert any(".query." in name for name in state)
    ours = from_diffusers(state, heads, groups=8)
    off, size = largest_difference(theirs, ours, 16, [1, 2, 500, 1000])
    assert off < 1e-5 and size > 0.1 and ours.config["attention_at"] == list(attention_at)


def test_the_papers_network_computes_the_same():
    theirs = their_unet((128, 256, 256, 256), 2, (1,), 32)
    ours = from_diffusers(theirs.state_dict())
    assert sum(p.numel() for p in ours.parameters()) == 35_746_307
    off, size = largest_difference(theirs, ours, 32, [1, 777])
    assert off < 1e-5 and size > 0.1


def test_other_architectures_are_refused():
    state = their_unet((16, 32), 1, (1,), 16, groups=8).state_dict()
    lacking = {name: value for name, value in state.items() if name != "mid_block.resnets.1.conv2.bias"}
    with pytest.raises(ValueError, match="they lack 'mid_block.resnets.1.conv2.bias'"):
        from_diffusers(lacking, groups=8)
    with pytest.raises(ValueError, match="'class_embedding.weight' has no place in it"):
        from_diffusers({**state, "class_embedding.weight": torch.zeros(3)}, groups=8)
    with pytest.raises(ValueError, match="'conv_out.weight' has shape"):
        from_diffusers({**state, "conv_out.weight": torch.zeros(6, 16, 3, 3)}, groups=8)
    with pytest.raises(ValueError, match="not the weights of a UNet2DModel"):
        from_diffusers({"a.weight": torch.zeros(3)})


def test_import_from_the_command_line(tmp_path, capsys):
    theirs, file, out = their_unet((16, 32), 1, (1,), 16, groups=8), tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors"
    save_file(theirs.state_dict(), file)
    assert main(["import-diffusers", str(file), "--size", "16", "--groups", "8", "--out", str(out)]) == 0
    assert "a UNet with" in capsys.readouterr().out
    ours, card = load(out, UNet)
    assert largest_difference(theirs, ours, 16, [3, 30])[0] < 1e-5 and card["shape"] == [3, 16, 16]
    save_file({"a.weight": torch.zeros(3)}, file)
    assert main(["import-diffusers", str(file), "--out", str(tmp_path / "none.safetensors")]) == 2
    assert "not the weights of a UNet2DModel" in capsys.readouterr().err and not (tmp_path / "none.safetensors").exists()
    file.write_bytes(b"broken")
    assert main(["import-diffusers", str(file)]) == 2 and "not a whole safetensors file" in capsys.readouterr().err
