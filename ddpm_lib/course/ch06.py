"""Figures and exercises of chapter 06, The U-Net: what each part costs and sees, and the map to click through."""
import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from .. import plots
from ..unet import ResBlock, UNet
from .exercise import exercise
from .explore import figure_png, scripted, show_png


def costs(net: nn.Module, *inputs: Tensor) -> dict[str, int]:
    """Multiply-adds of net(*inputs) by module, {name: number}: convolutions, linear layers, and the two products of attention.

    Counted while it runs, from the shapes that pass; nothing is computed if net and inputs are on the device "meta".
    """
    found, handles = {}, []

    def note(name):
        def hook(module, given, out):
            if isinstance(module, nn.Conv2d):
                number = module.weight.numel() * out[:, 0].numel()         # every weight, once for each position
            elif isinstance(module, nn.Linear):
                number = module.weight.numel() * out[..., 0].numel()
            else:
                number = 2 * out.numel() * out.shape[2] * out.shape[3]     # q k^T, then weights times v
            found[name] = found.get(name, 0) + number
        return hook

    for name, module in net.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) or type(module).__name__ == "SelfAttention":
            handles.append(module.register_forward_hook(note(name)))
    try:
        with torch.no_grad():
            net(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


# -- the parts of a U-Net, with their numbers -----------------------------------------------------------------------------

@dataclasses.dataclass
class Part:
    """One box of the map. takes, gives: (channels, height, width); sees: first and last row (and column) of the input."""
    kind: str                                                  # C, R, A, D, U, or T for the time
    name: str
    modules: list[str]                                         # its names in the network
    row: int                                                   # the level whose size it gives
    side: str                                                  # "down", "middle", "up" or "time"
    skip: int = -1                                             # the part whose output it joins to its input
    takes: tuple = ()
    gives: tuple = ()
    parameters: int = 0
    multiply_adds: int = 0
    sees: tuple = ()


def parts(net: UNet, size: int) -> list[Part]:
    """All parts of a U-Net in the order in which they compute, with shapes, parameters, multiply-adds and what they see."""
    found = _order(net)
    device = next(net.parameters()).device
    x, t = torch.zeros(1, net.channels, size, size, device=device), torch.ones(1, dtype=torch.int64, device=device)
    shapes, handles = {}, []

    def note(name):
        def hook(module, given, out):
            shapes[name] = tuple(given[0].shape[1:]), tuple(out.shape[1:])
        return hook

    for part in found:
        handles += [net.get_submodule(name).register_forward_hook(note(name)) for name in part.modules]
    try:
        by_module = costs(net, x, t)
    finally:
        for handle in handles:
            handle.remove()
    for part in found:
        part.takes, part.gives = shapes[part.modules[0]][0], shapes[part.modules[-1]][1]
        part.parameters = sum(p.numel() for name in part.modules for p in net.get_submodule(name).parameters())
        part.multiply_adds = sum(number for name, number in by_module.items()
                                 if any(f"{name}.".startswith(f"{own}.") for own in part.modules))
    _look(found, size)
    return found


def _order(net):
    """The parts in the order of UNet.forward, each with the part that its skip comes from."""
    found, skips = [Part("T", "the time, for every block", ["time"], 0, "time"),
                    Part("C", "first convolution", ["first"], 0, "down")], [1]

    def add(kind, name, module, row, side, skip=-1):
        found.append(Part(kind, name, [module], row, side, skip))
        return len(found) - 1

    def blocks(path, row, level, side):
        for i in range(len(level.blocks)):
            last = add("R", f"residual block {i + 1}", f"{path}.blocks.{i}", row, side, skips.pop() if side == "up" else -1)
            if not isinstance(level.attentions[i], nn.Identity):
                last = add("A", f"attention {i + 1}", f"{path}.attentions.{i}", row, side)
            if side == "down":
                skips.append(last)

    for row, level in enumerate(net.down):
        blocks(f"down.{row}", row, level, "down")
        if not isinstance(level.resize, nn.Identity):
            skips.append(add("D", "down to half the size", f"down.{row}.resize", row + 1, "down"))
    bottom = len(net.down) - 1
    for i, (kind, name) in enumerate([("R", "residual block 1"), ("A", "attention"), ("R", "residual block 2")]):
        add(kind, name, f"middle.{i}", bottom, "middle")
    for i, level in enumerate(net.up):
        blocks(f"up.{i}", bottom - i, level, "up")
        if not isinstance(level.resize, nn.Identity):
            add("U", "up to double the size", f"up.{i}.resize", bottom - i - 1, "up")
    found.append(Part("C", "last norm and convolution", ["norm", "last"], 0, "up"))
    return found


def _look(found, size):
    """Which rows of the input can reach each row of each output: intervals, since all parts treat rows and columns alike.

    GroupNorm's mean and variance, through which everything reaches everything a little, are left out.
    """
    low = high = np.arange(size)
    outputs = {}
    for k, part in enumerate(found):
        if part.kind == "T":
            part.sees = ()
            continue
        if part.skip >= 0:
            other = outputs[part.skip]
            low, high = np.minimum(low, other[0]), np.maximum(high, other[1])
        if part.kind == "A":
            low, high = np.zeros_like(low), np.full_like(high, size - 1)
        elif part.kind == "D":                                 # positions 2i, 2i + 1, 2i + 2; the last one is padding
            low, high = low[::2], high[np.minimum(np.arange(0, len(high), 2) + 2, len(high) - 1)]
        else:
            low, high = (np.repeat(low, 2), np.repeat(high, 2)) if part.kind == "U" else (low, high)
            for _ in range(2 if part.kind == "R" else 1):
                low, high = np.append(low[:1], low[:-1]), np.append(high[1:], high[-1:])
        outputs[k] = low, high
        part.sees = int(low[len(low) // 2]), int(high[len(high) // 2])


# -- the map --------------------------------------------------------------------------------------------------------------

BOX, HIGH, PITCH, ROW, LEFT, TOP = 46, 38, 52, 82, 74, 26       # pixels
SIGN = {"C": "C", "R": "R", "A": "A", "D": "↓", "U": "↑", "T": "T"}
KEY = "C convolution   R residual block   A attention   ↓ half the size   ↑ double the size   T time"
SHADES = ("parameters", "multiply-adds", "receptive field")


def _place(found):
    """{index: (x, y)} of every box's upper left corner, and the width and height of the whole."""
    counts = {(part.row, part.side): 0 for part in found}
    for part in found:
        counts[part.row, part.side] += 1
    left, right = (max(n for (_, side), n in counts.items() if side == wanted) for wanted in ("down", "up"))
    start = {"down": LEFT, "middle": LEFT + left * PITCH + 10, "time": LEFT + left * PITCH + 10,
             "up": LEFT + (left + 3) * PITCH + 20}
    spots, used = {}, dict.fromkeys(counts, 0)
    for k, part in enumerate(found):
        column = used[part.row, part.side]
        used[part.row, part.side] += 1
        spots[k] = start[part.side] + column * PITCH, TOP + part.row * ROW
    return spots, (start["up"] + right * PITCH + 12, TOP + ROW * max(part.row for part in found) + HIGH + 8)


def _lines(found, spots):
    """(main, skips): polylines of the way through the boxes, and of each skip, as lists of points."""
    main, skips, nth = [], {}, {}
    order = [k for k, part in enumerate(found) if part.side != "time"]
    for a, b in zip(order, order[1:]):
        (x, y), (x2, y2) = spots[a], spots[b]
        if y2 > y:                                             # to the row below, entering from the left
            main.append([(x + BOX / 2, y + HIGH), (x + BOX / 2, y + HIGH + 9), (x2 - 10, y + HIGH + 9), (x2 - 10, y2 + HIGH / 2),
                         (x2, y2 + HIGH / 2)])
        elif y2 < y:                                           # to the row above, entering from below
            main.append([(x + BOX, y + HIGH / 2), (x + BOX + 8, y + HIGH / 2), (x + BOX + 8, y2 + HIGH + 9),
                         (x2 + BOX / 2, y2 + HIGH + 9), (x2 + BOX / 2, y2 + HIGH)])
        else:
            main.append([(x + BOX, y + HIGH / 2), (x2, y2 + HIGH / 2)])
    for k, part in enumerate(found):
        if part.skip >= 0:
            (x, y), (x2, _) = spots[part.skip], spots[k]
            depth = nth[part.row] = nth.get(part.row, 0) + 1   # the last one stored is the first one taken
            skips[k] = [(x + BOX / 2, y), (x + BOX / 2, y - 2 - 5 * depth), (x2 + BOX / 2, y - 2 - 5 * depth), (x2 + BOX / 2, y)]
    return main, skips


def short(number: int) -> str:
    """A number in at most five letters: 448, 148k, 1.2M."""
    for unit, letter in ((10 ** 9, "G"), (10 ** 6, "M"), (10 ** 3, "k")):
        if number >= 0.9995 * unit:
            return f"{number / unit:.1f}{letter}" if number < 9.95 * unit else f"{number / unit:.0f}{letter}"
    return str(number)


def _shape(shape):
    return " × ".join(map(str, shape))


def _share(number, total):
    return f"{number:,} ({100 * number / total:.1f} % of {total:,})"


def _card(part, found, size):
    """The title and the lines of text of one part."""
    where = {"down": "way down", "middle": "middle", "up": "way up", "time": "beside the U"}[part.side]
    title = f"{part.name} ({where})" if part.kind in "TC" else f"{part.gives[1]} × {part.gives[2]}, {where}: {part.name}"
    takes = _shape(part.takes)
    if part.skip >= 0:
        joined = found[part.skip].gives[0]
        takes += f": {part.takes[0] - joined} channels from the part before and {joined} from the skip"
    total, work = (sum(getattr(p, key) for p in found) for key in ("parameters", "multiply_adds"))
    rows = [["takes", f"{takes} (the embedding of t)" if part.kind == "T" else takes], ["gives", _shape(part.gives)],
            ["parameters", _share(part.parameters, total)], ["multiply-adds", _share(part.multiply_adds, work)]]
    if part.sees:
        wide = part.sees[1] - part.sees[0] + 1
        rows.append(["sees", f"all {size} × {size} pixels" if wide == size else f"{wide} × {wide} of the {size} × {size} pixels"])
    return title, rows


def _boxes(found, size):
    """What the page needs to know of every part."""
    spots, extent = _place(found)
    most = [max(p.parameters for p in found), max(p.multiply_adds for p in found), size]
    boxes = []
    for k, part in enumerate(found):
        title, rows = _card(part, found, size)
        wide = part.sees[1] - part.sees[0] + 1 if part.sees else 0
        values = [part.parameters, part.multiply_adds, wide]
        boxes.append({"sign": SIGN[part.kind], "title": title, "rows": rows, "x": spots[k][0], "y": spots[k][1], "row": part.row,
                      "skip": part.skip, "shades": [round(v / m, 3) for v, m in zip(values, most, strict=True)],
                      "texts": [short(values[0]), short(values[1]), str(wide or "–")], "sees": list(part.sees)})
    return boxes, extent


_MAP_JS = """(P => { for (const f of document.querySelectorAll('div.um-' + P.id + ':not([data-on])')) {
 f.dataset.on = '1'; f.textContent = '';
 const out = f.closest('.jp-OutputArea-child'), before = out && out.previousElementSibling;
 if (before && before.querySelector('img')) before.classList.add('fs-stills');
 const NS = 'http://www.w3.org/2000/svg';
 const put = (to, tag, css, set = {}) => { const e = to.namespaceURI === NS || tag === 'svg' ?
   document.createElementNS(NS, tag) : document.createElement(tag);
  if (css) e.style.cssText = css; for (const k in set) e.setAttribute(k, set[k]); to.append(e); return e; };
 put(f, 'style', '').textContent = '.um-' + P.id + ' g:focus-visible rect{stroke:#0072B2;stroke-width:5}';
 const font = 'system-ui,sans-serif', keys = {'data-lm-suppress-shortcuts': 'true'};    // else JupyterLab takes the keys
 const bar = put(f, 'div', 'display:flex;flex-wrap:wrap;gap:4px 18px;padding:4px 0;font:15px/24px ' + font);
 const choose = (name, options) => {
  const l = put(bar, 'label', 'display:flex;align-items:center;gap:6px'); l.append(name);
  const s = put(l, 'select', 'font:15px/20px ' + font + ';min-height:28px;padding:2px 8px;border:1px solid #767676;'
   + 'border-radius:4px;background:#fff;color:#000', keys);
  options.forEach(o => put(s, 'option', '').textContent = o);
  s.addEventListener('keydown', e => e.stopPropagation()); return s; };
 const net = P.nets.length > 1 ? choose('network', P.nets.map(n => n.name)) : null, shade = choose('shade and number', P.shades);
 const stage = put(f, 'div', 'overflow-x:auto;background:#fff;color:#000;max-width:100%', keys);
 put(f, 'div', 'white-space:pre-wrap;padding:2px 0 8px;font:14px/20px ' + font).textContent = P.key;
 const card = put(f, 'div', 'display:flex;gap:20px;align-items:flex-start;min-height:160px;max-width:860px;box-sizing:border-box;'
  + 'padding:10px 12px;border:1px solid #767676;border-radius:4px;background:#fff;color:#000;font:15px/22px ' + font);
 const words = put(card, 'div', 'flex:1;font-variant-numeric:tabular-nums'), eye = put(card, 'svg', 'flex:none',
  {width: 132, height: 132, viewBox: '-1 -1 102 102', role: 'img'});
 const [W, H] = P.box; let at = 0, groups = [], lines = [];
 const text = (g, x, y, t, size, weight) => { const e = put(g, 'text', 'pointer-events:none;font:' + weight + ' ' + size + 'px ' + font,
  {x, y, 'text-anchor': 'middle', fill: '#000'}); e.textContent = t; return e; };
 const path = p => 'M' + p.map(q => q.join(' ')).join('L');
 const now = () => P.nets[net ? net.selectedIndex : 0];
 const show = (k, focus) => {
  const N = now(), b = N.boxes[k]; at = k;
  const pair = b.skip >= 0 ? b.skip : N.boxes.findIndex(o => o.skip === k);
  groups.forEach((g, i) => { const r = g.firstChild, on = i === k, two = i === pair;
   g.setAttribute('tabindex', on ? 0 : -1); g.setAttribute('aria-pressed', on);
   r.setAttribute('stroke', on ? '#000' : two ? '#B25F00' : '#767676'); r.setAttribute('stroke-width', on || two ? 3.5 : 1);
   r.setAttribute('stroke-dasharray', two ? '6 3' : 'none'); });
  lines.forEach(([e, i]) => { const on = i === k || i === pair && b.skip < 0;
   e.setAttribute('stroke', on ? '#B25F00' : '#8C8C8C'); e.setAttribute('stroke-width', on ? 3 : 1.2); });
  words.textContent = ''; put(words, 'div', 'font-weight:600;margin-bottom:4px').textContent = b.title;
  for (const [name, value] of b.rows) { const d = put(words, 'div', 'display:flex;gap:10px');
   put(d, 'span', 'flex:none;width:108px;color:#595959').textContent = name; put(d, 'span', '').textContent = value; }
  eye.textContent = ''; const u = 100 / N.size, [lo, hi] = b.sees.length ? b.sees : [0, -1];
  put(eye, 'rect', '', {x: 0, y: 0, width: 100, height: 100, fill: '#fff', stroke: '#767676'});
  put(eye, 'rect', '', {x: lo * u, y: lo * u, width: (hi - lo + 1) * u, height: (hi - lo + 1) * u, fill: '#009E73'});
  eye.setAttribute('aria-label', b.sees.length ? 'what it sees of the picture: rows and columns ' + lo + ' to ' + hi : 'it sees nothing of the picture');
  if (focus) groups[k].focus({preventScroll: false}); };
 const paint = () => { const N = now(), s = shade.selectedIndex;
  groups.forEach((g, i) => { const b = N.boxes[i]; g.firstChild.setAttribute('fill-opacity', 0.62 * b.shades[s]);
   g.lastChild.textContent = b.texts[s];
   g.setAttribute('aria-label', b.sign + ' ' + b.texts[s] + ', ' + b.title + '. ' + b.rows.map(r => r.join(' ')).join('; ')); }); };
 const build = () => { const N = now(); stage.textContent = ''; groups = []; lines = [];
  const v = put(stage, 'svg', 'display:block;width:' + N.wide + 'px;max-width:100%;min-width:560px;height:auto', {role: 'group',
   viewBox: '0 0 ' + N.wide + ' ' + N.high, 'aria-label': P.alt + ' Arrow keys go from part to part; Enter follows a skip.'});
  for (const p of N.main) put(v, 'path', '', {d: path(p), fill: 'none', stroke: '#000', 'stroke-width': 1.4});
  for (const [i, p] of N.skips) lines.push([put(v, 'path', '', {d: path(p), fill: 'none'}), i]);
  N.labels.forEach(([x, y, t]) => { put(v, 'text', 'font:13px ' + font, {x, y, fill: '#000'}).textContent = t; });
  N.boxes.forEach((b, k) => {
   const g = put(v, 'g', 'cursor:pointer;outline:none', {role: 'button', 'data-part': k});
   put(g, 'rect', '', {x: b.x, y: b.y, width: W, height: H, rx: 4, fill: '#009E73'});
   const under = put(g, 'rect', '', {x: b.x, y: b.y, width: W, height: H, rx: 4, fill: '#fff'}); v.insertBefore(under, g);
   text(g, b.x + W / 2, b.y + 16, b.sign + ' ', 15, 600); text(g, b.x + W / 2, b.y + 32, '', 12, 400);
   g.onclick = () => show(k, true);
   g.onfocus = () => { if (at !== k) show(k, false); }; groups.push(g); });
  paint(); };
 const next = (k, row) => { const B = now().boxes; let best = k, far = 1e9;
  B.forEach((b, i) => { const d = Math.abs(b.x - B[k].x); if (b.row === row && d < far) { far = d; best = i; } }); return best; };
 stage.onkeydown = e => { if (e.key === 'Tab' || e.ctrlKey || e.metaKey || e.altKey) return;
  const B = now().boxes, n = B.length, back = B.findIndex(o => o.skip === at); e.stopPropagation();
  const to = {ArrowRight: Math.min(n - 1, at + 1), ArrowLeft: Math.max(0, at - 1), ArrowUp: next(at, B[at].row - 1),
   ArrowDown: next(at, B[at].row + 1), Home: 0, End: n - 1, Enter: B[at].skip >= 0 ? B[at].skip : back < 0 ? at : back,
   ' ': at}[e.key];
  if (to !== undefined) { e.preventDefault(); show(to, true); } };
 if (net) net.onchange = () => { build(); show(1, false); };
 shade.onchange = paint; build(); show(1, false);
} })(PARAMETERS)"""


class UNetMap:
    """A U-Net to click through. html: the page, self-contained; still: the bytes of a PNG of the first network; alt: the text."""

    def __init__(self, nets, *, alt):
        if not nets or len(alt.strip()) < 20:
            raise ValueError(f"a map needs at least one network, and alt as a sentence of at least 20 characters, got {len(nets)} "
                             f"networks, alt {alt!r}")
        for name, (net, _) in nets.items():
            if not isinstance(net, UNet):
                raise ValueError(f"{name!r} must be a UNet and a size, got a {type(net).__name__}")
        self.alt, self.names = alt, list(nets)
        self.parts = {name: parts(net, size) for name, (net, size) in nets.items()}
        self.html = self._page({name: size for name, (_, size) in nets.items()})
        self.still = map_png(*[(self.parts[name], size) for name, (_, size) in nets.items()][0])

    def _page(self, sizes):
        shown = []
        for name, found in self.parts.items():
            boxes, (wide, high) = _boxes(found, sizes[name])
            spots, _ = _place(found)
            main, skips = _lines(found, spots)
            shown.append({"name": name, "size": sizes[name], "boxes": boxes, "wide": wide, "high": high, "main": main,
                          "skips": sorted(skips.items()), "labels": _labels(found, spots)})
        settings = {"nets": shown, "shades": SHADES, "key": KEY, "box": (BOX, HIGH), "alt": self.alt}
        return scripted("um", settings, "A map of the network to click through belongs here; it needs scripts. In "
                        "JupyterLab: run the cell, or trust the notebook. The picture above shows the same map.", _MAP_JS, (",", ":"))

    def _ipython_display_(self):
        from IPython.display import display
        show_png(self.still, self.alt)
        display({"text/html": self.html, "text/plain": f"[a map to click through ({', '.join(self.names)}): {self.alt}]"}, raw=True)


def unet_map(nets: dict[str, tuple[UNet, int]], *, alt: str) -> UNetMap:
    """U-Nets to click through: every part with its shape, parameters, multiply-adds, and what it sees of the picture.

    nets: {name: (network, size of its pictures)}, a choice above the map; networks on the device "meta" will do. alt: what
    is to be seen. Works without a kernel, with mouse, finger and keys, and leaves a still of the first network where scripts
    are removed. Returns a UNetMap, which shows itself at the end of a cell. Raises ValueError if it is given something else.
    """
    return UNetMap(nets, alt=alt)


def _labels(found, spots):
    """[(x, y, text)]: the size of each row, and what T is for."""
    sizes = {part.row: part.gives[1:] for part in found if part.side != "time"}
    labels = [(2, TOP + row * ROW + HIGH / 2 + 5, f"{h} × {w}") for row, (h, w) in sorted(sizes.items())]
    x, y = spots[0]
    return [*labels, (x + BOX + 6, y + HIGH / 2 + 5, "t, to every R")]


def map_png(found: list[Part], size: int) -> bytes:
    """The same map as a picture, shaded by the number of parameters."""
    boxes, (wide, high) = _boxes(found, size)
    spots, _ = _place(found)
    main, skips = _lines(found, spots)
    figure = Figure(figsize=(wide / 100, (high + 24) / 100), dpi=100, layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, wide), ylim=(high + 24, 0))
    axes.set_axis_off()
    for points in main:
        axes.plot(*zip(*points), color=plots.EXACT, lw=1.1)
    for points in skips.values():
        axes.plot(*zip(*points), color=plots.GREY, lw=1.0)
    for box in boxes:
        for color, alpha in (("white", 1.0), (plots.MODEL, 0.62 * box["shades"][0])):
            axes.fill([box["x"], box["x"] + BOX, box["x"] + BOX, box["x"]], [box["y"], box["y"], box["y"] + HIGH, box["y"] + HIGH],
                      facecolor=color, alpha=alpha, edgecolor="none", zorder=3)
        axes.plot([box["x"], box["x"] + BOX, box["x"] + BOX, box["x"], box["x"]],
                  [box["y"], box["y"], box["y"] + HIGH, box["y"] + HIGH, box["y"]], color="#767676", lw=0.8, zorder=4)
        axes.text(box["x"] + BOX / 2, box["y"] + 11, box["sign"], ha="center", va="center", fontsize=10.5, weight="bold", zorder=5)
        axes.text(box["x"] + BOX / 2, box["y"] + 27, box["texts"][0], ha="center", va="center", fontsize=9, zorder=5)
    for x, y, text in _labels(found, spots):
        axes.text(x, y - 5, text, va="center", fontsize=9.5)
    axes.text(LEFT, high + 12, f"{KEY}   number: parameters", va="center", fontsize=9.5)
    return figure_png(figure, dpi=125)


# -- other figures --------------------------------------------------------------------------------------------------------

def fields_figure(masks: dict[str, Tensor]) -> Figure:
    """What single positions see: for each title a square of True (seen) and False."""
    wide, gap, above = 7.2, 0.12, 0.3                          # inches
    side = (wide - gap) / len(masks) - gap
    high = gap + side + above
    figure = Figure(figsize=(wide, high), layout="none")
    for k, (title, mask) in enumerate(masks.items()):
        axes = figure.add_axes(((gap + k * (side + gap)) / wide, gap / high, side / wide, side / high))
        picture = np.ones((*mask.shape, 3))
        picture[mask.numpy()] = [0.0, 0.62, 0.45]              # MODEL
        axes.imshow(picture, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        axes.set_title(title, fontsize=10)
    return figure


def bars_figure(values: dict[str, float], xlabel: str, right: int = 1, line: float | None = None) -> Figure:
    """Horizontal bars, the first `right` of them in green, the others by size and in the colour of mistakes."""
    figure = Figure(figsize=(7.0, 0.34 * len(values) + 0.7), layout="constrained")
    axes = figure.add_subplot()
    good, bad = list(values)[:right], list(values)[right:]
    names = [*good, *sorted(bad, key=values.get)][::-1]
    colors = [plots.MODEL if name in good else plots.ERROR for name in names]
    axes.barh(names, [values[name] for name in names], color=colors, height=0.66)
    for k, name in enumerate(names):
        axes.text(values[name] + 0.012 * max(values.values()), k, f"{values[name]:.3f}", va="center", fontsize=9.5,
                  bbox={"color": "white", "pad": 1})
    if line is not None:
        axes.axvline(line, color=plots.EXACT, lw=1.2, ls="--")
    axes.set(xlabel=xlabel, xlim=(0, 1.12 * max(values.values())))
    return figure


# -- exercises ------------------------------------------------------------------------------------------------------------

def _awake(net, seed=0):
    """A network with random numbers in place of its first weights, zeros included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator))
    return net


def _resblock_cases():
    g = torch.Generator().manual_seed(3)
    return [(_awake(ResBlock(8, 16, 12, groups=4)), torch.randn(2, 8, 5, 4, generator=g), torch.randn(2, 12, generator=g)),
            (_awake(ResBlock(8, 8, 12, groups=4)), torch.randn(3, 8, 4, 4, generator=g), torch.randn(3, 12, generator=g))]


def _resblock(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time(F.silu(time))[:, :, None, None]         # one number per channel, for all positions
    h = block.conv2(F.silu(block.norm2(h)))
    return block.shortcut(x) + h


def _resblock_no_shortcut(block, x, time):
    return _resblock(block, x, time) - block.shortcut(x)


def _resblock_bare_x(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time(F.silu(time))[:, :, None, None]
    h = block.conv2(F.silu(block.norm2(h)))
    return x + h


def _resblock_no_time(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    return block.shortcut(x) + block.conv2(F.silu(block.norm2(h)))


def _resblock_plain_time(block, x, time):
    h = block.conv1(F.silu(block.norm1(x))) + block.time(time)[:, :, None, None]
    return block.shortcut(x) + block.conv2(F.silu(block.norm2(h)))


def _resblock_flat_time(block, x, time):
    h = block.conv1(F.silu(block.norm1(x)))
    h = h + block.time(F.silu(time))
    return block.shortcut(x) + block.conv2(F.silu(block.norm2(h)))


def _resblock_late_time(block, x, time):
    h = block.conv2(F.silu(block.norm2(block.conv1(F.silu(block.norm1(x))))))
    return block.shortcut(x) + h + block.time(F.silu(time))[:, :, None, None]


def _resblock_time_after_norm(block, x, time):
    h = block.norm2(block.conv1(F.silu(block.norm1(x)))) + block.time(F.silu(time))[:, :, None, None]
    return block.shortcut(x) + block.conv2(F.silu(h))


def _resblock_times(block, x, time):
    h = block.conv1(F.silu(block.norm1(x))) * block.time(F.silu(time))[:, :, None, None]
    return block.shortcut(x) + block.conv2(F.silu(block.norm2(h)))


def _resblock_no_norm2(block, x, time):
    h = block.conv1(F.silu(block.norm1(x))) + block.time(F.silu(time))[:, :, None, None]
    return block.shortcut(x) + block.conv2(F.silu(h))


def _resblock_no_silu(block, x, time):
    h = block.conv1(block.norm1(x)) + block.time(F.silu(time))[:, :, None, None]
    return block.shortcut(x) + block.conv2(block.norm2(h))


def _resblock_relu(block, x, time):
    h = block.conv1(F.relu(block.norm1(x))) + block.time(F.relu(time))[:, :, None, None]
    return block.shortcut(x) + block.conv2(F.relu(block.norm2(h)))


def _resblock_silu_first(block, x, time):
    h = block.conv1(block.norm1(F.silu(x))) + block.time(F.silu(time))[:, :, None, None]
    return block.shortcut(x) + block.conv2(block.norm2(F.silu(h)))


def _resblock_bare_x_last(block, x, time):
    return _resblock_no_shortcut(block, x, time) + x


def _resblock_time_silu_late(block, x, time):
    h = block.conv1(F.silu(block.norm1(x))) + F.silu(block.time(time))[:, :, None, None]
    return block.shortcut(x) + block.conv2(F.silu(block.norm2(h)))


def _resblock_no_silu2(block, x, time):
    h = block.conv1(F.silu(block.norm1(x))) + block.time(F.silu(time))[:, :, None, None]
    return block.shortcut(x) + block.conv2(block.norm2(h))


def _resblock_from_h(block, x, time):
    h = block.conv1(F.silu(block.norm1(x))) + block.time(F.silu(time))[:, :, None, None]
    return h + block.conv2(F.silu(block.norm2(h)))


def _resblock_silu_after_conv(block, x, time):
    h = F.silu(block.conv1(block.norm1(x))) + block.time(F.silu(time))[:, :, None, None]
    return block.shortcut(x) + F.silu(block.conv2(block.norm2(h)))


def _resblock_silu_after_conv2(block, x, time):
    h = block.conv1(F.silu(block.norm1(x))) + block.time(F.silu(time))[:, :, None, None]
    return block.shortcut(x) + F.silu(block.conv2(block.norm2(h)))


def _resblock_silu_before_norm2(block, x, time):
    h = block.conv1(F.silu(block.norm1(x))) + block.time(F.silu(time))[:, :, None, None]
    return block.shortcut(x) + block.conv2(block.norm2(F.silu(h)))


def _resblock_silu_last(block, x, time):
    return F.silu(_resblock(block, x, time))


exercise(
    "resblock", _resblock, cases=_resblock_cases,
    hints=["Four lines: first half, the time, second half, the shortcut. Each half is norm, then SiLU (F.silu), then convolution.",
           "block.time(F.silu(time)) has shape (B, c_out). Every position of a channel gets the same number: index it with [:, :, None, None].",
           "The last line is block.shortcut(x) + h; where the widths are equal, block.shortcut changes nothing."],
    mistakes=[
        (_resblock_no_shortcut, "the shortcut is missing: return block.shortcut(x) + h, so that the block only has to learn a correction"),
        (_resblock_bare_x, "c_in and c_out differ here: x is added through block.shortcut(x), and the time after conv1, where there are c_out channels"),
        (_resblock_bare_x_last, "c_out and c_in channels meet in one sum: add block.shortcut(x) where you add x, and the time only after conv1"),
        (_resblock_from_h, "this adds h, what came out of the first half; the shortcut leads around both halves: block.shortcut(x)"),
        (_resblock_no_time, "the time is not used: after the first convolution add block.time(F.silu(time))[:, :, None, None]"),
        (_resblock_plain_time, "the time goes through SiLU before its linear layer: block.time(F.silu(time))"),
        (_resblock_time_silu_late, "the time goes through SiLU after its linear layer; SiLU comes first: block.time(F.silu(time))"),
        (_resblock_flat_time, "block.time(...) has shape (B, c_out) and cannot be added to (B, c_out, H, W): index it with [:, :, None, None]"),
        (_resblock_late_time, "the time is added at the very end, where nothing in this block can react to it; add it between the convolutions, before norm2"),
        (_resblock_time_after_norm, "the time is added after norm2; it comes before it, right after the first convolution"),
        (_resblock_times, "the time is multiplied; here it is added"),
        (_resblock_no_norm2, "norm2 is missing before the second convolution"),
        (_resblock_no_silu, "SiLU is missing in both halves; without a bend, the two convolutions add up to one"),
        (_resblock_no_silu2, "SiLU is missing in the second half, between norm2 and conv2"),
        (_resblock_silu_after_conv, "the order within each half is norm, SiLU, convolution; here SiLU comes after the convolution"),
        (_resblock_silu_after_conv2, "in the second half SiLU comes after conv2; the order is norm2, SiLU, conv2"),
        (_resblock_silu_before_norm2, "in the second half SiLU comes before norm2; the order is norm2, SiLU, conv2"),
        (_resblock_relu, "this bends with ReLU; the paper's blocks use SiLU, F.silu"),
        (_resblock_silu_first, "the order within each half is norm, SiLU, convolution; here SiLU comes before the norm"),
        (_resblock_silu_last, "there is a SiLU too many, around the sum; the shortcut must pass its input on unchanged")])


def _attention_cases():
    g = torch.Generator().manual_seed(4)
    return [tuple(torch.randn(2, 3, 5, 4, generator=g) for _ in range(3)), tuple(torch.randn(1, 1, 4, 4, generator=g, dtype=torch.float64) for _ in range(3))]


def _attention(q, k, v):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5      # (B, heads, N, N)
    return scores.softmax(dim=-1) @ v


def _attention_no_scale(q, k, v):
    return (q @ k.mT).softmax(-1) @ v


def _attention_full_scale(q, k, v):
    return (q @ k.mT / q.shape[-1]).softmax(-1) @ v


def _attention_all_channels(q, k, v):
    return (q @ k.mT / (q.shape[1] * q.shape[-1]) ** 0.5).softmax(-1) @ v


def _attention_by_positions(q, k, v):
    return (q @ k.mT / q.shape[-2] ** 0.5).softmax(-1) @ v


def _attention_times_scale(q, k, v):
    return (q @ k.mT * q.shape[-1] ** 0.5).softmax(-1) @ v


def _attention_late_scale(q, k, v):
    return (q @ k.mT).softmax(-1) / q.shape[-1] ** 0.5 @ v


def _attention_other_axis(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-2) @ v


def _attention_no_softmax(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5) @ v


def _attention_swapped(q, k, v):
    return (k @ q.mT / q.shape[-1] ** 0.5).softmax(-1) @ v


def _attention_of_keys(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ k


def _attention_heads_axis(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(1) @ v


def _attention_channels(q, k, v):
    return v @ (q.mT @ k / q.shape[-1] ** 0.5).softmax(-1)


def _attention_untransposed(q, k, v):
    return (q @ k / q.shape[-1] ** 0.5).softmax(-1) @ v


def _attention_reversed(q, k, v):
    return (q @ k.permute(3, 2, 1, 0) / q.shape[-1] ** 0.5).softmax(-1) @ v


def _attention_by_heads(q, k, v):
    return (q @ k.mT / q.shape[1] ** 0.5).softmax(-1) @ v


def _attention_k_and_v(q, k, v):
    return (q @ v.mT / q.shape[-1] ** 0.5).softmax(-1) @ k


def _attention_exp_only(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).exp() @ v


def _attention_all_pairs(q, k, v):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores.flatten(-2).softmax(-1).view(scores.shape) @ v


def _attention_weights_only(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)


exercise(
    "attention", _attention, cases=_attention_cases,
    hints=["q @ k.transpose(-2, -1) compares every position with every other: (B, heads, N, N).",
           "Divide by the square root of d, the last size of q; then each row must become weights that add up to 1: softmax(dim=-1).",
           "The answer is weights @ v: for each position, the weighted mean of all the values."],
    mistakes=[
        (_attention_no_scale, "the scale is missing: divide the products by sqrt(d) before the softmax, or it becomes too sharp as d grows"),
        (_attention_full_scale, "this divides by d; the products of d independent numbers have standard deviation sqrt(d), so divide by its square root"),
        (_attention_all_channels, "this scales with the channels of all heads; d is the size of one head, q.shape[-1]"),
        (_attention_by_positions, "this scales with the number of positions N; the scale is the square root of d, q.shape[-1]"),
        (_attention_times_scale, "this multiplies by sqrt(d); the products must be divided by it"),
        (_attention_late_scale, "the scale comes after the softmax, so the weights no longer add up to 1; divide before it"),
        (_attention_other_axis, "the softmax runs over the queries: the weights of one position must add up to 1 over what it looks at, dim=-1"),
        (_attention_no_softmax, "the softmax is missing: the products must become positive weights that add up to 1"),
        (_attention_swapped, "q and k are swapped: row n of the products must hold query n against every key, q @ k.transpose(-2, -1)"),
        (_attention_of_keys, "the weights average k; what is averaged is v"),
        (_attention_heads_axis, "the softmax runs over the heads (dim=1); each head has weights of its own, over its keys: dim=-1"),
        (_attention_channels, "this compares channels with channels (d, d); positions look at positions, so the weights are (N, N): q @ k.transpose(-2, -1)"),
        (_attention_reversed, "the products do not fit: k.T reverses all four axes; exchange only the last two, k.transpose(-2, -1)"),
        (_attention_by_heads, "this scales with the number of heads, q.shape[1]; d is the last size, q.shape[-1]"),
        (_attention_k_and_v, "k and v are swapped: queries are compared with keys, and the weights average the values"),
        (_attention_exp_only, "a softmax is more than exp: divide by the sum over the keys, so that the weights of each query add up to 1"),
        (_attention_all_pairs, "the softmax runs over all pairs at once; the weights of each single query must add up to 1: dim=-1"),
        (_attention_weights_only, "these are the weights; the answer is the mean that they take of the values, weights @ v"),
        (_attention_untransposed, "k must be transposed: q is (N, d), k is (N, d), so the products of all pairs are q @ k.transpose(-2, -1)")])


def conv_count(c_in, c_out, k=3):
    return k * k * c_in * c_out + c_out


def block_count(c_in, c_out, c_time):
    norms = 2 * c_in + 2 * c_out
    time = c_time * c_out + c_out
    shortcut = conv_count(c_in, c_out, 1) if c_in != c_out else 0
    return norms + conv_count(c_in, c_out) + time + conv_count(c_out, c_out) + shortcut


def attention_count(c):
    return 2 * c + conv_count(c, 3 * c, 1) + conv_count(c, c, 1)


def _count(channels, widths, blocks, attention_at):
    c, c_time = widths[0], 4 * widths[0]
    total = (c * c_time + c_time) + (c_time * c_time + c_time)                # the time network
    total += conv_count(channels, c)                                          # the first convolution
    skips = [c]
    for level, w in enumerate(widths):                                        # the way down
        for _ in range(blocks):
            total += block_count(c, w, c_time) + (attention_count(w) if level in attention_at else 0)
            c = w
            skips.append(c)
        if level < len(widths) - 1:
            total += conv_count(c, c)
            skips.append(c)
    total += 2 * block_count(c, c, c_time) + attention_count(c)               # the middle
    for level, w in reversed(list(enumerate(widths))):                        # the way up
        for _ in range(blocks + 1):
            total += block_count(c + skips.pop(), w, c_time) + (attention_count(w) if level in attention_at else 0)
            c = w
        if level > 0:
            total += conv_count(c, c)
    return total + 2 * c + conv_count(c, channels)                            # the last norm and convolution


def _count_wrong(*, no_time=False, up_blocks=1, skips_of_level=False, no_skips=False, no_middle=False, resize_all=False, no_last_norm=False,
                 attention_down=False, attention_up=False, no_attention=False, no_down=False, no_up=False, down_all=False, up_all=False,
                 time_width=4, block_time=None, time_biases=2, first_out=False, middle_blocks=2, blocks_only=False):
    """A count of the whole network with one thing wrong."""
    def answer(channels, widths, blocks, attention_at):
        c, c_time = widths[0], time_width * widths[0]
        total = 0 if no_time else c * c_time + c_time * c_time + time_biases * c_time
        c_time = c_time if block_time is None else block_time * widths[0]
        total += conv_count(channels, c)
        skips = [] if blocks_only else [c]
        at = () if no_attention else attention_at
        for level, w in enumerate(widths):
            for _ in range(blocks):
                total += block_count(c, w, c_time) + (attention_count(w) if level in at and not attention_up else 0)
                c = w
                skips.append(c)
            if level < len(widths) - 1 or resize_all or down_all:
                total += 0 if no_down else conv_count(c, c)
                skips += [] if blocks_only else [c]
        total += middle_blocks * block_count(c, c, c_time) + (0 if no_middle else attention_count(c))
        for level, w in reversed(list(enumerate(widths))):
            for _ in range(blocks + up_blocks):
                skip = 0 if no_skips else w if skips_of_level else skips.pop(0 if first_out else -1)
                total += block_count(c + skip, w, c_time) + (attention_count(w) if level in at and not attention_down else 0)
                c = w
            if level > 0 or resize_all or up_all:
                total += 0 if no_up else conv_count(c, c)
        return total + (0 if no_last_norm else 2 * c) + conv_count(c, channels)
    return answer


exercise(
    "count", _count, rtol=0, atol=0,
    cases=lambda: [(3, (128, 256, 256, 256), 2, (1,)), (1, (32, 64), 1, (1,)), (1, (24, 48, 96), 2, (1, 2)), (2, (16,), 1, ())],
    hints=["Follow SmallUNet from top to bottom, and keep two things while you go: the channels c that you have, and a list of the widths that were stored as skips.",
           "Stored are: the output of the first convolution, of every block on the way down, and of every Downsample. The last level has no Downsample, level 0 no Upsample.",
           "On the way up each level has blocks + 1 blocks; each takes c + skips.pop() channels and gives w. The middle is block, attention, block.",
           "Besides: the time network is two linear layers, widths[0] -> c_time -> c_time with c_time = 4 * widths[0]; at the end come a norm (2 c) and a convolution to `channels`."],
    mistakes=[
        (_count_wrong(no_time=True), "the time network is missing: two linear layers, widths[0] to c_time and c_time to c_time"),
        (_count_wrong(up_blocks=0), "the way up has blocks + 1 blocks per level, one for every skip of its size"),
        (_count_wrong(skips_of_level=True), "each skip has the width that was stored; the one from Downsample can differ from its level's"),
        (_count_wrong(no_skips=True), "the blocks on the way up take c + skips.pop() channels: what comes from below, and the skip joined to it"),
        (_count_wrong(no_middle=True), "the attention in the middle is missing; it is always there, whatever attention_at says"),
        (_count_wrong(no_attention=True), "the attention at the levels of attention_at is missing: one layer after each of their blocks, down and up"),
        (_count_wrong(attention_down=True), "the levels of attention_at have attention on the way up too, after each of their blocks + 1 blocks"),
        (_count_wrong(resize_all=True), "the last level has no Downsample, and level 0 no Upsample"),
        (_count_wrong(no_down=True, no_up=True), "Downsample and Upsample each have a convolution, c to c, between two levels"),
        (_count_wrong(no_last_norm=True), "the norm before the last convolution is missing: 2 c numbers"),
        (_count_wrong(time_width=1), "c_time is 4 * widths[0], in the time network and in every block"),
        (_count_wrong(block_time=1), "each block gets c_time = 4 * widths[0] numbers of the time, not widths[0]"),
        (_count_wrong(time_biases=0), "the two linear layers of the time network have biases, c_time each"),
        (_count_wrong(first_out=True), "the skips are taken from the wrong end: the last one stored is the first one taken, skips.pop()"),
        (_count_wrong(blocks_only=True), "there are not enough skips: stored are also the first convolution and each Downsample"),
        (_count_wrong(blocks_only=True, up_blocks=0), "stored are also the first convolution and each Downsample, so each level has one block more on the way up"),
        (_count_wrong(middle_blocks=1), "the middle has two blocks, one before its attention and one after it"),
        (_count_wrong(no_down=True), "Downsample has a convolution too, c to c, at each level but the last"),
        (_count_wrong(no_up=True), "Upsample has a convolution too, c to c, at each level but level 0"),
        (_count_wrong(down_all=True), "the last level has no Downsample; the middle follows"),
        (_count_wrong(up_all=True), "level 0 has no Upsample; the last norm and convolution follow"),
        (_count_wrong(attention_up=True), "the levels of attention_at have attention on the way down too, after each of their blocks")])


def _padded_cases():
    net = _awake(UNet(1, (8, 16, 16), 1, (2,), groups=4)).eval()
    g = torch.Generator().manual_seed(5)
    t = torch.tensor([3, 40])
    return [(net, torch.randn(2, 1, *size, generator=g), t, 4) for size in ((7, 10), (8, 8), (12, 5), (9, 8))]


def _padded(net, x, t, multiple):
    H, W = x.shape[2:]
    below, right = -H % multiple, -W % multiple                # 0 where it fits already
    x = F.pad(x, (0, right, 0, below), mode="replicate")       # the last dimension comes first
    return net(x, t)[:, :, :H, :W]


def _padded_always(net, x, t, multiple):
    H, W = x.shape[2:]
    below, right = multiple - H % multiple, multiple - W % multiple
    return net(F.pad(x, (0, right, 0, below), mode="replicate"), t)[:, :, :H, :W]


def _padded_zeros(net, x, t, multiple):
    H, W = x.shape[2:]
    return net(F.pad(x, (0, -W % multiple, 0, -H % multiple)), t)[:, :, :H, :W]


def _padded_reflect(net, x, t, multiple):
    H, W = x.shape[2:]
    return net(F.pad(x, (0, -W % multiple, 0, -H % multiple), mode="reflect"), t)[:, :, :H, :W]


def _padded_uncropped(net, x, t, multiple):
    H, W = x.shape[2:]
    return net(F.pad(x, (0, -W % multiple, 0, -H % multiple), mode="replicate"), t)


def _padded_swapped(net, x, t, multiple):
    H, W = x.shape[2:]
    return net(F.pad(x, (0, -H % multiple, 0, -W % multiple), mode="replicate"), t)[:, :, :H, :W]


def _padded_above(net, x, t, multiple):
    H, W = x.shape[2:]
    out = net(F.pad(x, (-W % multiple, 0, -H % multiple, 0), mode="replicate"), t)
    return out[:, :, -H:, -W:]


def _padded_wrong_crop(net, x, t, multiple):
    H, W = x.shape[2:]
    return net(F.pad(x, (0, -W % multiple, 0, -H % multiple), mode="replicate"), t)[:, :, -H:, -W:]


def _padded_remainder(net, x, t, multiple):
    H, W = x.shape[2:]
    return net(F.pad(x, (0, W % multiple, 0, H % multiple), mode="replicate"), t)[:, :, :H, :W]


def _padded_resized(net, x, t, multiple):
    H, W = x.shape[2:]
    x = F.interpolate(x, size=(H + -H % multiple, W + -W % multiple), mode="nearest")
    return F.interpolate(net(x, t), size=(H, W), mode="nearest")


def _padded_cut(net, x, t, multiple):
    H, W = x.shape[2:]
    return net(x[:, :, :H // multiple * multiple, :W // multiple * multiple], t)


def _padded_two(net, x, t, multiple):
    H, W = x.shape[2:]
    return net(F.pad(x, (-W % multiple, -H % multiple), mode="replicate"), t)[:, :, :H, :W]


def _padded_eight(net, x, t, multiple):
    H, W = x.shape[2:]
    return net(F.pad(x, (0, 0, 0, 0, 0, -H % multiple, 0, -W % multiple), mode="replicate"), t)[:, :, :H, :W]


def _padded_edge(net, x, t, multiple):
    H, W = x.shape[2:]
    return net(F.pad(x, (0, -W % multiple, 0, -H % multiple), mode="edge"), t)[:, :, :H, :W]


def _padded_around(net, x, t, multiple):
    H, W = x.shape[2:]
    above, left = -H % multiple // 2, -W % multiple // 2
    x = F.pad(x, (left, -W % multiple - left, above, -H % multiple - above), mode="replicate")
    return net(x, t)[:, :, above:above + H, left:left + W]


def _padded_by_two(net, x, t, multiple):
    return _padded(net, x, t, 2)


def _padded_minus_crop(net, x, t, multiple):
    below, right = -x.shape[2] % multiple, -x.shape[3] % multiple
    return net(F.pad(x, (0, right, 0, below), mode="replicate"), t)[:, :, :-below, :-right]


exercise(
    "padded", _padded, cases=_padded_cases,
    hints=["How many rows are missing to the next multiple? None if it fits already. In Python, -H % multiple says it.",
           "F.pad(x, (left, right, above, below), mode=\"replicate\") repeats the edge; the pair of the last dimension, W, comes first.",
           "Afterwards keep the rows and columns that were there: out[:, :, :H, :W]."],
    mistakes=[
        (_padded_always, "a picture that fits already gets a whole multiple more: multiple - H % multiple is `multiple` where it should be 0; -H % multiple is 0"),
        (_padded_zeros, "this pads with zeros; repeat the last row and column instead, mode=\"replicate\""),
        (_padded_reflect, "this mirrors the picture at its edge; repeat the last row and column instead, mode=\"replicate\""),
        (_padded_uncropped, "the result is larger than the picture: cut the padding off again, [:, :, :H, :W]"),
        (_padded_swapped, "height and width are swapped: the first pair that F.pad takes belongs to the last dimension, W"),
        (_padded_above, "this pads above and at the left; the picture must stay in the upper left corner, so pad below and at the right"),
        (_padded_wrong_crop, "the padding is below and at the right, but this cuts off what is above and at the left: keep [:, :, :H, :W]"),
        (_padded_remainder, "H % multiple is what is left over; what is missing to the next multiple is -H % multiple"),
        (_padded_resized, "this stretches the picture, and a stretched picture has other noise (each pixel counts twice here and there); pad it instead"),
        (_padded_cut, "this cuts the picture to a size that fits, so the result is smaller than x; pad it and cut the padding off afterwards"),
        (_padded_two, "F.pad needs four numbers here: (left, right, above, below)"),
        (_padded_eight, "with mode=\"replicate\", F.pad takes the last two dimensions only: four numbers, (left, right, above, below)"),
        (_padded_edge, "F.pad knows no mode \"edge\" (numpy does); here it is called mode=\"replicate\""),
        (_padded_around, "this pads on both sides; the picture must stay in the upper left corner, so pad below and at the right only"),
        (_padded_by_two, "this pads to a multiple of 2; how often the network halves is in the argument `multiple`"),
        (_padded_minus_crop, "where nothing was padded, :-0 keeps nothing; cut with the old sizes instead, [:, :, :H, :W]")])
