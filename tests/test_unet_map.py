"""The map of the U-Net: its numbers are the network's own, it needs nothing from elsewhere, it works by keys, it leaves a still."""
import copy
import io
import json
import re

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ddpm_lib.course.ch06 import costs, parts, short, unet_map
from ddpm_lib.course.explore import OUTPUT_LIMIT, PICTURE_LIMIT
from ddpm_lib.unet import Downsample, ResBlock, SelfAttention, UNet

ALT = "A U-Net as boxes, to click through."
CONFIGS = {"two levels": (dict(channels=1, widths=(16, 32), blocks=1, attention_at=(1,), groups=8), 8),
           "three, two blocks": (dict(channels=3, widths=(8, 16, 24), blocks=2, attention_at=(0, 2), heads=2, groups=4), 16),
           "one level": (dict(channels=1, widths=(16,), blocks=1, groups=8), 6),
           "far": (dict(channels=1, widths=(8, 8, 8, 8), blocks=1, groups=4), 64)}


def paper():
    with torch.device("meta"):
        return UNet(3, (128, 256, 256, 256), 2, attention_at=(1,), dropout=0.1)


def awake(net):
    """Random numbers in place of the zeros, so that every path carries something."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator))
    return net.double().eval()


def settings(made):
    """What the script is given."""
    return json.loads(re.search(r"\}\)\((\{.*\})\)</script>$", made.html, re.DOTALL)[1])


@pytest.fixture(scope="module")
def made():
    config, size = CONFIGS["two levels"]
    return unet_map({"the paper's": (paper(), 32), "small": (UNet(**config), size)}, alt=ALT)


# --- the numbers

@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_is_the_networks_own(name):
    config, size = CONFIGS[name]
    net = UNet(**config)
    found = parts(net, size)
    assert sum(part.parameters for part in found) == sum(p.numel() for p in net.parameters())
    x, t = torch.zeros(1, net.channels, size, size), torch.ones(1, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():       # PyTorch's own count: two per multiply-add
        net(x, t)
    assert 2 * sum(part.multiply_adds for part in found) == counter.get_total_flops()
    names = [module for part in found for module in part.modules]
    whole = {name for name, child in net.named_modules() if isinstance(child, (ResBlock, SelfAttention)) or name.endswith("resize")
             and not isinstance(child, nn.Identity)}
    assert whole <= set(names) and len(set(names)) == len(names)


def test_the_papers_network():
    found = parts(paper(), 32)
    assert sum(part.parameters for part in found) == 35_746_307
    assert sum(part.multiply_adds for part in found) == 6_221_856_768
    attention = [part for part in found if part.kind == "A"]
    assert [part.gives for part in attention] == [(256, 16, 16)] * 2 + [(256, 4, 4)] + [(256, 16, 16)] * 3
    assert {part.multiply_adds for part in attention} == {4 * 256 ** 2 * n + 2 * 256 * n ** 2 for n in (256, 16)}
    first = next(part for part in found if part.kind == "R")
    assert first.multiply_adds == 18 * 128 ** 2 * 32 ** 2 + 512 * 128 and first.sees == (13, 19)


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_and_skips_are_those_of_the_run(name):
    config, size = CONFIGS[name]
    net, seen = UNet(**config), {}
    found = parts(net, size)
    for part in found:
        for module in part.modules:
            net.get_submodule(module).register_forward_hook(lambda m, given, out, key=module: seen.update({key: (given[0], out)}))
    awake(net)(torch.randn(1, net.channels, size, size, dtype=torch.float64), torch.tensor([3]))
    assert sorted(key for part in found for key in part.modules) == sorted(seen)
    for before, part in zip(found[1:], found[2:], strict=False):
        given, out = seen[part.modules[0]][0], seen[part.modules[-1]][1]
        assert (tuple(given.shape[1:]), tuple(out.shape[1:])) == (part.takes, part.gives) and part.gives[1] == size >> part.row
        came = seen[before.modules[-1]][1]                                 # the values themselves, not only their shape
        joined = [came, seen[found[part.skip].modules[-1]][1]] if part.skip >= 0 else [came]
        assert torch.equal(given, torch.cat(joined, dim=1))


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_part_sees_is_where_its_gradient_is_not_zero(name):
    config, size = CONFIGS[name]
    found, net, outputs = parts(UNet(**config), size), copy.deepcopy(awake(UNet(**config))), {}
    for module in list(net.modules()):
        for child, inner in module.named_children():
            if isinstance(inner, nn.GroupNorm):                            # through its mean everything sees everything
                setattr(module, child, nn.Identity())
    for part in found:
        net.get_submodule(part.modules[-1]).register_forward_hook(lambda m, given, out, key=part.modules[-1]: outputs.update({key: out}))
    x = torch.randn(1, net.channels, size, size, dtype=torch.float64, requires_grad=True)
    net(0.1 * x, torch.tensor([3]))
    for part in found[1:]:
        out = outputs[part.modules[-1]]
        gradient = torch.autograd.grad(out[0, :, out.shape[2] // 2, out.shape[3] // 2].sum(), x, retain_graph=True)[0]
        rows, columns = ((gradient[0].abs().sum((0, k)) > 0).nonzero().flatten() for k in (2, 1))
        assert (int(rows[0]), int(rows[-1])) == part.sees == (int(columns[0]), int(columns[-1])), part.name
    assert found[0].sees == ()


def test_costs_by_closed_formulas_and_for_the_readers_own_classes():
    conv = nn.Conv2d(6, 10, 3, padding=1)
    assert costs(conv, torch.zeros(2, 6, 5, 7)) == {"": 2 * 9 * 6 * 10 * 35}
    assert costs(Downsample(4), torch.zeros(1, 4, 8, 8)) == {"conv": 9 * 16 * 16}
    own = type("SelfAttention", (SelfAttention,), {})(16, heads=4, groups=4)
    assert sum(costs(own, torch.zeros(1, 16, 3, 5)).values()) == 4 * 16 ** 2 * 15 + 2 * 16 * 15 ** 2
    twice = nn.Sequential(conv, nn.Conv2d(10, 6, 1))
    twice.append(conv)                                                     # one layer, used two times
    assert costs(twice, torch.zeros(1, 6, 4, 4)) == {"0": 2 * 9 * 60 * 16, "1": 60 * 16}
    assert not conv._forward_hooks


@pytest.mark.parametrize("number, text", [(0, "0"), (448, "448"), (999, "999"), (1_050, "1.1k"), (9_248, "9.2k"), (147_584, "148k"),
                                          (999_600, "1.0M"), (2_034_176, "2.0M"), (654_376_960, "654M"), (6_221_856_768, "6.2G")])
def test_short_numbers(number, text):
    assert short(number) == text and len(text) <= 5


# --- the page

def test_the_page_shows_these_numbers(made):
    given = settings(made)
    assert [net["name"] for net in given["nets"]] == ["the paper's", "small"] and given["alt"] == ALT
    for net in given["nets"]:
        found = made.parts[net["name"]]
        assert len(net["boxes"]) == len(found)
        for box, part in zip(net["boxes"], found, strict=True):
            rows = dict(box["rows"])
            assert rows["parameters"].split(" ")[0] == f"{part.parameters:,}" and box["texts"][0] == short(part.parameters)
            assert rows["multiply-adds"].split(" ")[0] == f"{part.multiply_adds:,}" and box["skip"] == part.skip
            assert rows["gives"] == " × ".join(map(str, part.gives)) and tuple(box["sees"]) == part.sees
    rows = dict(given["nets"][0]["boxes"][30]["rows"])
    assert rows["takes"] == "384 × 16 × 16: 256 channels from the part before and 128 from the skip"
    assert rows["sees"] == "all 32 × 32 pixels"
    assert dict(given["nets"][0]["boxes"][2]["rows"])["sees"] == "7 × 7 of the 32 × 32 pixels"


def test_boxes_do_not_overlap_and_lie_inside(made):
    given = settings(made)
    wide, high = given["box"]
    for net in given["nets"]:
        spots = [(box["x"], box["y"]) for box in net["boxes"]]
        assert all(0 <= x and x + wide <= net["wide"] and 16 <= y and y + high <= net["high"] for x, y in spots)
        for k, (x, y) in enumerate(spots):
            assert all(abs(x - u) >= wide or abs(y - v) >= high for u, v in spots[:k])


def test_the_page_needs_nothing_from_elsewhere(made):
    page = made.html.replace("http://www.w3.org/2000/svg", "")             # the name of SVG, which nobody fetches
    assert not re.search(r"https?://|//cdn|\bimport\b|\bfetch\b|require\(", page)
    assert page.count("<script>") == page.count("</script>") == 1
    assert page.startswith('<div class="um-') and "it needs scripts" in page.split("<script>")[0]


def test_it_can_be_used_without_a_mouse_and_without_eyes(made):
    for words in ("'tabindex'", "role: 'button'", "role: 'group'", "'aria-label'", "'aria-pressed'", "ArrowLeft:", "ArrowRight:", "ArrowUp:", "ArrowDown:", "Home:", "End:", "Enter:",
                  "Enter", "onclick", "onfocus", "g:focus-visible rect{", "'what it sees of the picture: rows and columns '", "'data-lm-suppress-shortcuts'", "min-height"):
        assert words in made.html, words


def test_what_is_left_where_scripts_are_removed(made, monkeypatch):
    import IPython.display
    seen = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **options: seen.append((data, options)))
    made._ipython_display_()
    (still, options), (page, _) = seen
    assert options["metadata"]["image/png"]["alt"] == ALT
    picture = Image.open(io.BytesIO(still["image/png"]))
    assert picture.width > 800 and len(still["image/png"]) <= PICTURE_LIMIT
    assert page["text/html"] == made.html and page["text/plain"] == f"[a map to click through (the paper's, small): {ALT}]"


def test_it_is_small_even_for_a_large_network(made):
    assert len(made.html) < 60_000
    with torch.device("meta"):
        big = UNet(3, (128,) * 6, 3, attention_at=range(6))
    assert len(unet_map({"big": (big, 64)}, alt=ALT).html) < OUTPUT_LIMIT


def test_same_input_same_bytes_and_no_text_ends_the_script():
    config, size = CONFIGS["one level"]

    def make(alt=ALT):
        return unet_map({"a</script><!--": (UNet(**config), size)}, alt=alt)
    assert make().html == make().html and make().still == make().still
    assert make().html.count("</script>") == 1 and "<!--" not in make().html
    assert make().html.split('"')[1] != make(ALT + " More.").html.split('"')[1]


@pytest.mark.parametrize("nets, alt, words", [
    ({}, ALT, "at least one network"),
    ({"a": (UNet(1, (8,), 1, groups=4), 8)}, "map", "got 1 networks, alt 'map'"),
    ({"a": (nn.Conv2d(1, 1, 3), 8)}, ALT, "'a' must be a UNet and a size, got a Conv2d"),
    ({"a": (UNet(1, (8, 8), 1, groups=4), 7)}, ALT, "multiples of 2, got (1, 1, 7, 7)"),
])
def test_wrong_input_is_answered_in_one_sentence(nets, alt, words):
    with pytest.raises(ValueError) as caught:
        unet_map(nets, alt=alt)
    assert words in str(caught.value) and "\n" not in str(caught.value)
