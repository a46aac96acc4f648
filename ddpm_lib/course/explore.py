"""Figures that move, for every reader, and the loss curve that grows while a network trains.

frame_slider   frames computed beforehand; moves without a kernel (JupyterLab, Colab, exported HTML) and leaves a
               strip of stills where scripts are removed (GitHub, PDF)
latent_plane   a point to drag in a plane of codes, with the picture decoded there; no kernel either
live_slider    the kernel draws each frame when the reader moves the handle; a static picture stays for the others
upload_picture the reader's own picture, as the tensor that a chapter works with
show           a static figure, with the sentence that a reader who cannot see it needs
LiveLoss       progress and loss curve in place: one line and one picture remain in the saved notebook
"""
import base64
import dataclasses
import hashlib
import html
import io
import json
import signal
import sys
import threading
import time
import warnings

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

OUTPUT_LIMIT = 300_000         # bytes of one saved output; tests/test_notebook_form.py holds every notebook to it
SHEET_LIMIT = 205_000          # bytes of picture that fit in it as base64, with room for script and labels
PICTURE_LIMIT = 55_000         # and of a still picture, so that a chapter full of noise stays under 1.2 MB
PAGE_WIDTH = 900               # pixels a notebook page shows without shrinking
PICTURE_TYPES = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO")      # no format that starts another program
MAX_PIXELS = 50_000_000
MAX_BYTES = 10_000_000         # JupyterLab's server drops longer messages, so a larger file never reaches the kernel


# --- pictures as bytes -------------------------------------------------------------------------------------------

def to_image(frame):
    """A frame as an RGB picture.

    frame: a PIL image, a matplotlib Figure, the bytes of a picture file, or an array (H, W), (H, W, 1), (H, W, 3) or
    (H, W, 4), uint8 or float in [0, 1]. Raises ValueError for another shape.
    """
    if isinstance(frame, (bytes, bytearray)):
        return Image.open(io.BytesIO(frame)).convert("RGB")
    if isinstance(frame, Image.Image):
        return frame.convert("RGB")
    if hasattr(frame, "savefig"):
        return to_image(figure_png(frame))
    a = np.asarray(frame)
    if a.ndim == 3 and a.shape[2] == 1:
        a = a[..., 0]
    if a.ndim != 2 and not (a.ndim == 3 and a.shape[2] in (3, 4)):
        raise ValueError(f"a frame must have the shape (H, W) or (H, W, 3), got {a.shape}")
    if a.dtype != np.uint8:
        a = (np.clip(a, 0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(a)).convert("RGB")


def compact(image):
    """The same pixels in fewer bits, if they are all grey or have at most 256 colours; else the picture itself."""
    a = np.asarray(image).astype(np.int32)
    if (a[..., 0] == a[..., 1]).all() and (a[..., 1] == a[..., 2]).all():
        return image.convert("L")
    colours = image.getcolors(256)
    if colours is None:
        return image
    palette = sorted(colour for _, colour in colours)
    code = a[..., 0] * 65536 + a[..., 1] * 256 + a[..., 2]
    index = np.searchsorted([r * 65536 + g * 256 + b for r, g, b in palette], code)
    small = Image.fromarray(index.astype(np.uint8))
    small.putpalette([value for colour in palette for value in colour])
    return small


def encode(image, kind, **options):
    """The bytes of a picture file of the given kind ("png", "jpeg")."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def enlarge(image, zoom):
    """The picture `zoom` times as large: sharp squares when it grows, smooth when it shrinks."""
    size = max(1, round(image.width * zoom)), max(1, round(image.height * zoom))
    return image if zoom == 1 else image.resize(size, Image.NEAREST if zoom > 1 else Image.LANCZOS)


def lay_out(fig):
    """Let constrained layout place the axes of a figure whose author placed nothing by hand."""
    from matplotlib import rcParams
    sides = ("left", "right", "bottom", "top", "wspace", "hspace")
    by_hand = any(getattr(fig.subplotpars, side) != rcParams[f"figure.subplot.{side}"] for side in sides)
    free = all(ax.get_subplotspec() is not None for ax in fig.axes)
    if fig.get_layout_engine() is None and fig.axes and free and not by_hand:
        fig.set_layout_engine("constrained")


def figure_png(fig, dpi=None):
    """A matplotlib figure as the bytes of a small PNG file (no loss unless it would exceed PICTURE_LIMIT)."""
    lay_out(fig)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi or fig.dpi, metadata={"Software": None})
    image = Image.open(buffer).convert("RGB")
    return encode_within(image, PICTURE_LIMIT)


def encode_within(picture, limit):
    """A picture as a PNG of at most `limit` bytes: without loss, or with as many colours as fit.

    Noise does not compress, but enlarged pixels in few colours do: a palette is half the size of WebP here.
    """
    data = encode(compact(picture), "png", optimize=True)
    for colours in (256, 128, 96, 64, 48, 32, 24, 16, 8):
        if len(data) <= limit:
            break
        data = encode(picture.quantize(colours), "png", optimize=True, bits=8)
    return data


def label_font(size=14):
    """The font that matplotlib brings along, so that stills look the same on every machine (and know Greek)."""
    import matplotlib
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def montage(rows, labels, names, zoom, still):
    """A few frames of each row side by side, each below its label; the row's name above it.

    rows: list of lists of pictures; labels: one per column; names: one per row ("" for none). Returns a picture.
    """
    pick = sorted({round(k) for k in np.linspace(0, len(labels) - 1, min(still, len(labels)))})
    pick = [len(labels) // 2] if still == 1 else pick
    font, band, gap = label_font(), 22, 8
    tiles = [[enlarge(row[k], zoom) for k in pick] for row in rows]
    width = max(tiles[0][0].width, *(round(font.getlength(labels[k])) for k in pick), 1) + gap
    height = tiles[0][0].height + band + gap
    columns = max(1, min(len(pick), PAGE_WIDTH // width))
    title = band if any(names) else 0
    block = -(-len(pick) // columns) * height + title
    wide = max(columns * width, *(round(font.getlength(name)) + gap for name in names))
    out = Image.new("RGB", (wide, block * len(rows)), "white")
    draw = ImageDraw.Draw(out)
    for r, row in enumerate(tiles):
        draw.text((2, r * block + 2), names[r], fill="black", font=font)
        for j, tile in enumerate(row):
            x, y = j % columns * width, r * block + title + j // columns * height
            draw.text((x + 2, y + 2), labels[pick[j]], fill="black", font=font)
            out.paste(tile, (x, y + band))
    return out


def montage_png(rows, labels, names, zoom, still):
    """montage() as a PNG of at most PICTURE_LIMIT bytes: fewer colours first, then fewer stills."""
    across = max(1, int(PAGE_WIDTH // (rows[0][0].width * zoom + 8)))
    most = max(2 * across, 3) if len(rows) == 1 else across    # two full lines, or one line for each choice
    still = min(still, most)
    while True:
        sheet = montage(rows, labels, names, zoom, still)
        for colours in (None, 64, 16):
            image = compact(sheet) if colours is None else sheet.quantize(colours)
            data = encode(image, "png", optimize=True)
            if len(data) <= PICTURE_LIMIT:
                return data
        if still <= 2:
            return data
        still = max(2, still // 2)


# --- static pictures ---------------------------------------------------------------------------------------------

def show_png(data, alt, plain=None):
    """Display the bytes of a PNG file together with its alternative text."""
    from IPython.display import display
    display({"image/png": data, "text/plain": plain or f"[{alt}]"}, raw=True, metadata={"image/png": {"alt": alt}})


def show(fig, alt):
    """Display a matplotlib figure with its alternative text, and close it.

    fig: a Figure; alt: one sentence of at least 20 characters that says what is to be seen.
    Raises ValueError if alt is shorter. All static pictures of the course go through here.
    """
    if len(alt.strip()) < 20:
        raise ValueError(f"alt must say in one sentence what is to be seen, got {alt!r}")
    import matplotlib.pyplot as plt
    data = figure_png(fig, dpi=100)
    plt.close(fig)                                             # else the inline backend shows it once more
    show_png(data, alt)


# --- a slider over frames, without a kernel ----------------------------------------------------------------------

_SLIDER_JS = """(P => { for (const f of document.querySelectorAll('div.fs-' + P.id + ':not([data-on])')) {
 f.dataset.on = '1'; f.textContent = '';
 const out = f.closest('.jp-OutputArea-child'), before = out && out.previousElementSibling;
 if (before && before.querySelector('img')) before.classList.add('fs-stills');
 const put = (to, tag, css, set = {}) => { const e = document.createElement(tag); e.style.cssText = css;
  for (const k in set) e.setAttribute(k, set[k]); to.append(e); return e; };
 const box = 'font:15px/20px system-ui,sans-serif;min-height:28px;margin:0;padding:2px 8px;border:1px solid #767676;'
  + 'border-radius:4px;background:#fff;color:#000;';
 const bar = put(f, 'div', 'display:flex;flex-wrap:wrap;align-items:center;gap:4px 10px;padding:4px 0;'
  + 'font:15px/24px system-ui,sans-serif');
 const keys = {'data-lm-suppress-shortcuts': 'true'};              // else JupyterLab takes the arrow keys
 const play = put(bar, 'button', box + 'width:40px', {...keys, type: 'button'});
 const range = put(bar, 'input', 'width:320px;max-width:100%;height:28px;margin:0',
  {...keys, type: 'range', min: 0, max: P.labels.length - 1, step: 1, 'aria-label': P.slider});
 range.value = P.start;
 let pick = null;
 if (P.names.length > 1) {
  const l = put(bar, 'label', 'display:flex;align-items:center;gap:6px'); l.append(P.choice);
  pick = put(l, 'select', box, keys); P.names.forEach(n => put(pick, 'option', '').textContent = n); }
 const said = put(bar, 'output', 'display:inline;padding:0;font-variant-numeric:tabular-nums', {'aria-live': 'off'});
 const c = put(f, 'canvas', 'display:block;max-width:100%;height:auto;background:#fff;width:' + P.w * P.zoom + 'px'
  + (P.zoom > 1 ? ';image-rendering:pixelated' : ''), {role: 'img', width: P.w, height: P.h});
 const sheet = new Image(), n = P.labels.length;
 const draw = () => {
  const row = pick ? pick.selectedIndex : 0, k = row * n + +range.value, text = P.labels[+range.value];
  const full = pick ? P.names[row] + ', ' + text : text;
  said.textContent = text; range.setAttribute('aria-valuetext', full);
  c.setAttribute('aria-label', P.alt.replace(/[.]?$/, '.') + ' Shown: ' + full); c.dataset.frame = k;
  const x = k % P.columns * P.w, y = Math.floor(k / P.columns) * P.h;
  c.getContext('2d').drawImage(sheet, x, y, P.w, P.h, 0, 0, P.w, P.h); };
 let timer = 0;
 const face = (sign, name) => { play.textContent = sign; play.setAttribute('aria-label', name + ': ' + P.slider); };
 const stop = () => { clearInterval(timer); timer = 0; face('\\u25b6\\ufe0e', 'play'); };
 const step = () => { if (!f.isConnected || +range.value === n - 1) return stop();
   range.value = +range.value + 1; draw(); };
 play.onclick = () => { if (timer) return stop(); if (+range.value === n - 1) { range.value = 0; draw(); }
   face('\\u275a\\u275a', 'pause'); timer = setInterval(step, P.ms); };
 for (const e of [play, range, pick]) if (e) e.addEventListener('keydown', event => event.stopPropagation());
 range.oninput = draw; if (pick) pick.onchange = draw;
 stop(); sheet.onload = draw; sheet.src = P.sheet;
} })(PARAMETERS)"""


def choice_rows(frames):
    """A list of frames, or {name: list of frames}, -> (names, rows of RGB pictures).

    Raises ValueError if there are no frames, or if the lists or the pictures differ in size.
    """
    table = frames if isinstance(frames, dict) else {"": frames}
    rows = [[to_image(frame) for frame in row] for row in table.values()]
    if not rows or not rows[0]:
        raise ValueError("a slider needs at least one frame, got none")
    lengths, sizes = sorted({len(row) for row in rows}), sorted({im.size for row in rows for im in row})
    if len(lengths) > 1:
        raise ValueError(f"every choice needs the same number of frames, got {lengths}")
    if len(sizes) > 1:
        raise ValueError(f"all frames must have one size, got {sizes}")
    return [str(name) for name in table], rows


class FrameSlider:
    """A slider over frames that were computed beforehand. The last expression of a cell shows it.

    html: the slider, self-contained; montage: the bytes of a PNG with a few stills; labels, names, alt: the texts.
    """

    def __init__(self, frames, labels=None, *, alt, zoom=1, start=0, ms=120, still=6, limit=SHEET_LIMIT,
                 choice="choice", slider=None):
        self.names, rows = choice_rows(frames)
        self.labels = [str(label) for label in (range(len(rows[0])) if labels is None else labels)]
        if len(self.labels) != len(rows[0]):
            raise ValueError(f"one label per frame, please: got {len(self.labels)} labels for {len(rows[0])} frames")
        if not 0 <= start < len(self.labels):
            raise ValueError(f"start must be in 0..{len(self.labels) - 1}, got {start}")
        self.alt = alt
        settings = {"labels": self.labels, "names": self.names, "choice": choice, "alt": alt, "zoom": zoom,
                    "slider": slider or "frame", "start": start, "ms": ms}
        self.html = slider_html(rows, settings, limit)
        self.montage = montage_png(rows, self.labels, self.names, zoom, still if len(rows) == 1 else min(still, 5))

    def _ipython_display_(self):
        from IPython.display import display
        span = f"{self.labels[0]} ... {self.labels[-1]}"
        show_png(self.montage, self.alt, f"[stills, {span}: {self.alt}]")
        count = f"{len(self.labels)} frames" + (f" for each of {', '.join(self.names)}" if len(self.names) > 1 else "")
        display({"text/html": self.html, "text/plain": f"[slider over {count}: {self.alt}]"}, raw=True)


def slider_html(rows, settings, limit):
    """One <div> and one <script> with a sheet of all frames in it; the class name is a hash of the content."""
    images = [im for row in rows for im in row]
    w, h = images[0].size
    columns = max(1, min(len(rows[0]), 8192 // w))             # wide: PNG finds what equal frames of a row share
    sheet = Image.new("RGB", (columns * w, -(-len(images) // columns) * h), "white")
    for k, im in enumerate(images):
        sheet.paste(im, (k % columns * w, k // columns * h))
    data = encode_within(sheet, limit)
    settings = {**settings, "w": w, "h": h, "columns": columns}
    settings["sheet"] = "data:image/png;base64," + base64.b64encode(data).decode()
    return scripted("fs", settings, f"A slider over {len(rows[0])} frames belongs here; it needs "
                    "scripts. In JupyterLab: run the cell, or trust the notebook. The stills above show some of the frames.", _SLIDER_JS)


def scripted(kind, settings, words, script, separators=None):
    """A figure that a script draws: a <div> whose class is a hash of the settings, and the script with the settings for PARAMETERS.

    words: what stands there where scripts are removed; where they run, the still picture before it is hidden.
    separators: (",", ":") for a page with many numbers, to be smaller.
    """
    settings = {**settings, "id": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]}
    # "</" would end the script, "<!--" would open a comment; a JSON string may write both in another way
    text = json.dumps(settings, separators=separators).replace("</", "<\\/").replace("<!--", "<\\u0021--")
    return (f'<div class="{kind}-{settings["id"]}"><p><em>({words})</em></p></div>'
            "<style>@media screen{.fs-stills{display:none!important}}</style>"
            f"<script>{script.replace('PARAMETERS', text)}</script>")


def frame_slider(frames, labels=None, *, alt, zoom=1, start=0, ms=120, still=6, limit=SHEET_LIMIT, choice="choice",
                 slider=None):
    """A figure with a slider that needs no kernel, and stills for where scripts are removed.

    frames: a list of pictures of one size (see to_image), or {name: list} for a choice beside the slider, all lists
    equally long. labels: one text per frame, their numbers if None. alt: what is to be seen. zoom: screen pixels per
    pixel. start: the first frame shown. ms: milliseconds per frame while playing. still: how many stills at most.
    limit: bytes for the frames; colours are reduced until they fit. choice: the name of the choice,
    as "schedule". slider: the name of the handle for screen readers, as "step t".
    Returns a FrameSlider, which shows itself at the end of a cell. Raises ValueError if sizes or numbers disagree.
    """
    return FrameSlider(frames, labels, alt=alt, zoom=zoom, start=start, ms=ms, still=still, limit=limit,
                       choice=choice, slider=slider)


def fig_frames(fig, update, values, dpi=80):
    """Draw ONE matplotlib figure len(values) times, off screen.

    update(value) changes the artists of fig. The axes are placed for the first value and then stay, so nothing jumps.
    Returns a list of arrays (H, W, 3) of uint8 for frame_slider.
    """
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    plt.close(fig)                                             # else the inline backend shows it once more
    lay_out(fig)
    fig.set_dpi(dpi)
    canvas, out = FigureCanvasAgg(fig), []
    for value in values:
        update(value)
        canvas.draw()
        fig.set_layout_engine("none")
        out.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return out


# --- a slider that asks the kernel -------------------------------------------------------------------------------

# Where the widget lives, the stills before it are not needed; without a kernel this style does not exist.
_LIVE_CSS = """<style>@media screen{.jp-OutputArea-child:has(+ .jp-OutputArea-child .ddpm-live-stills){display:none}}
.ddpm-live{--jp-widgets-font-size:14px}.ddpm-live .ddpm-alt{position:absolute;width:1px;height:1px;overflow:hidden;
clip-path:inset(50%)}</style>"""


# ipywidgets gives its sliders no name, and speaks positions; this gives them the label, the value and the picture's words.
_LIVE_JS = """<script>(() => { if (window.ddpmNames) return window.ddpmNames();
 const put = (e, key, text) => { if (e && text && e.getAttribute(key) !== text) e.setAttribute(key, text); };
 const name = box => { const text = s => (box.querySelector(s) || {}).textContent;
  const handle = box.querySelector('.noUi-handle, .ui-slider-handle'); put(handle, 'role', 'slider');
  put(handle, 'aria-label', text('.widget-label')); put(handle, 'aria-valuetext', text('.ddpm-value'));
  put(box.querySelector('img'), 'alt', text('.ddpm-alt') + ' Shown: ' + text('.widget-label') + ' = ' + text('.ddpm-value'));
  put(box.querySelector('select'), 'data-lm-suppress-shortcuts', 'true');      // else JupyterLab takes the arrow keys
  put(box.querySelector('.ddpm-alt'), 'aria-hidden', 'true'); };              // the picture has these words
 const look = () => { for (const box of document.querySelectorAll('.ddpm-slider')) { name(box);
  if (box.dataset.named) continue; box.dataset.named = '1';
  new MutationObserver(() => name(box)).observe(box, {subtree: true, childList: true, characterData: true,
   attributes: true, attributeFilter: ['aria-valuetext']}); } };
 document.addEventListener('focusin', look); let n, timer;
 window.ddpmNames = () => { clearInterval(timer); n = 0;                      // a figure takes a while to appear
  timer = setInterval(() => { look(); if (++n > 100) clearInterval(timer); }, 300); };
 window.ddpmNames();
})()</script>"""


# A message above the server's limit is lost without a word, and the button then waits for its answer for ever: so a file
# that is too large is refused in the page, before it is sent. ipywidgets keeps the file's input out of the page; it is met
# when the button clicks it.
_UPLOAD_JS = """<script>(() => { if (window.ddpmUpload) return; window.ddpmUpload = true;
 document.addEventListener('click', e => { const button = e.target.closest && e.target.closest('.ddpm-upload .widget-upload');
  if (!button) return;
  const box = button.closest('.ddpm-upload'), most = +box.className.match(/ddpm-most-(\\d+)/)[1], open = HTMLInputElement.prototype.click;
  const restore = () => { HTMLInputElement.prototype.click = open; };
  HTMLInputElement.prototype.click = function () { restore(); const input = this;
   if (!input.dataset.ddpm) { input.dataset.ddpm = '1';
    input.addEventListener('change', event => { const file = input.files[0];
     box.querySelectorAll('.ddpm-refused').forEach(old => old.remove());
     if (!file || file.size <= most) return;
     event.stopImmediatePropagation();
     const said = document.createElement('b'); said.className = 'ddpm-refused'; said.setAttribute('role', 'alert');
     said.textContent = file.name + ' has ' + (file.size / 1e6).toFixed(1) + ' MB, and ' + (most / 1e6).toFixed(0)
      + ' MB is the most that can be read; save a smaller copy and choose that.';
     button.parentElement.after(said); }, true); }
   open.call(input); };
  setTimeout(restore); }, true);
})()</script>"""


def value_text(value):
    """A slider's value as a reader wants to see it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def show_widget(widget, text):
    """Display a widget, and what names its sliders; viewers that have no widgets show the text."""
    from IPython.display import display
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"application/vnd.jupyter.widget-view+json": view, "text/plain": text}, raw=True)
    display({"text/html": _LIVE_JS + _UPLOAD_JS, "text/plain": "[names for screen readers]"}, raw=True)


class LiveSlider:
    """A slider whose frames the kernel draws. `.widget` is the ipywidgets box; the end of a cell shows it.

    Only the value of one Image widget changes, so nothing flickers. An error in fn is shown below the picture.
    """

    def __init__(self, fn, values, *, label, alt, zoom=1, start=0, static=True, choices=None, still=4):
        self.fn, self.values, self.zoom, self.label, self.alt = fn, list(values), zoom, label, alt
        if not 0 <= start < len(self.values):
            raise ValueError(f"start must be in 0..{len(self.values) - 1}, got {start}")
        if choices is not None and len(choices) != 1:
            raise ValueError(f"choices must name one list of options, as {{'schedule': [...]}}, got {choices!r}")
        (self.choice, self.options), = (choices or {"": []}).items()
        self.montage = self._stills(still) if static else None
        self.widget = self._build(start)

    def _frame(self, k, option):
        value = self.values[k]
        return to_image(self.fn(value, option) if self.options else self.fn(value))

    def _stills(self, still):
        picks = sorted({round(k) for k in np.linspace(0, len(self.values) - 1, min(still, len(self.values)))})
        option = self.options[0] if self.options else None                # one choice: a saved output is small
        labels = [f"{self.label} = {value_text(self.values[k])}" for k in picks]
        return montage_png([[self._frame(k, option) for k in picks]], labels, [str(option or "")], self.zoom, still)

    def _build(self, start):
        import ipywidgets as widgets
        self.slider = widgets.IntSlider(min=0, max=len(self.values) - 1, value=start, readout=False,
                                        description=self.label, style={"description_width": "initial"},
                                        layout={"width": "420px"})
        self.readout = widgets.Label(layout={"min_width": "70px", "margin": "2px 16px 2px 6px"})
        self.readout.add_class("ddpm-value")
        self.message = widgets.HTML()
        option = self.options[0] if self.options else None
        self.image = widgets.Image(format="png", layout={"align_self": "flex-start", "max_width": "100%"})
        controls = [self.slider, self.readout]
        if self.options:
            self.dropdown = widgets.Dropdown(options=list(self.options), value=option, description=self.choice,
                                             style={"description_width": "initial"}, layout={"width": "220px"})
            self.dropdown.observe(self._move, "value")
            controls.append(self.dropdown)
        self._move()
        self.slider.observe(self._move, "value")
        alt = widgets.HTML(f'{_LIVE_CSS}<div class="ddpm-alt">{html.escape(self.alt)}</div>')
        box = widgets.VBox([widgets.HBox(controls, layout={"flex_flow": "row wrap"}), self.image, self.message, alt])
        box.add_class("ddpm-live")
        box.add_class("ddpm-slider")
        if self.montage:
            box.add_class("ddpm-live-stills")
        return box

    def _move(self, change=None):
        k, option = self.slider.value, self.dropdown.value if self.options else None
        self.readout.value = value_text(self.values[k])
        try:
            self.image.value = encode(enlarge(self._frame(k, option), self.zoom), "png", compress_level=1)
            self.message.value = ""
        except Exception as error:                             # observe() would hide it in a log
            self.message.value = f"<pre role=\"alert\">{html.escape(f'{type(error).__name__}: {error}')}</pre>"

    def _ipython_display_(self):
        if self.montage:
            show_png(self.montage, self.alt)
        span = f"{value_text(self.values[0])} ... {value_text(self.values[-1])}"
        show_widget(self.widget, f"[live slider, {self.label} = {span}; run this cell to move it: {self.alt}]")


def live_slider(fn, values, *, label, alt, zoom=1, start=0, static=True, choices=None, still=4):
    """A figure with a slider that asks the kernel for each picture; for what cannot be computed beforehand.

    fn(value), or fn(value, option) with choices: returns a picture (see to_image), in less than about 60 ms.
    values: what the slider runs over; label: its name; alt: what is to be seen. choices: {name: [options]} adds a
    menu. static: also show stills (`still` of them per option), which a reader without a kernel needs; where the
    slider works they are hidden. Returns a LiveSlider, which shows itself at the end of a cell.
    Raises ValueError if start or choices make no sense, and whatever fn raises for the stills.
    """
    return LiveSlider(fn, values, label=label, alt=alt, zoom=zoom, start=start, static=static, choices=choices,
                      still=still)


# --- the reader's own picture ------------------------------------------------------------------------------------

def picture_from_bytes(data, name, size=96, max_bytes=MAX_BYTES):
    """The bytes of a picture file as a tensor (1, 3, size, size), float32 in [-1, 1], cropped to the middle square.

    Turned the way the camera was held; transparent parts become white; of an animation the first frame is taken.
    Raises ValueError, in one sentence that names the file, if it is too large, broken, or no picture.
    """
    import torch
    if len(data) > max_bytes:
        raise ValueError(f"{name} has {len(data) / 1e6:.1f} MB, and {max_bytes / 1e6:.0f} MB is the most that can be "
                         "read; save a smaller copy and choose that.")
    image = ImageOps.fit(open_picture(data, name), (size, size), Image.LANCZOS)
    x_0 = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1         # (3, size, size)
    return x_0.unsqueeze(0)                                                              # (1, 3, size, size)


def open_picture(data, name):
    """The bytes of a picture file as an RGB picture; ValueError, in one sentence with its name, if that fails."""
    huge = ValueError(f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels; save a smaller copy and "
                      "choose that.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=PICTURE_TYPES)
    except Image.DecompressionBombError:
        raise huge from None
    except Exception:
        raise ValueError(f"{name} is not a picture that can be read; choose a JPEG, PNG, WebP or GIF file.") from None
    if image.width * image.height > MAX_PIXELS:
        raise huge
    try:
        image.load()
        return flatten(ImageOps.exif_transpose(image))
    except Exception:
        raise ValueError(f"{name} is damaged and cannot be read to its end; open it in a picture viewer, save it "
                         "again and choose the new file.") from None


def flatten(image):
    """Any mode as RGB: 16-bit grey scaled to 8 bits, transparent parts white."""
    if image.mode.startswith("I") or image.mode == "F":
        a = np.asarray(image).astype(np.float64)
        full = 65535 if a.max() > 255 else 255
        return Image.fromarray((a / full * 255).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def uploaded(value):
    """The value of a FileUpload widget, of ipywidgets 7 or 8, -> (name, bytes) of the last file, or None."""
    if not value:
        return None
    if isinstance(value, dict):                                # ipywidgets 7: {name: {"content": bytes, ...}}
        name, entry = list(value.items())[-1]
    else:                                                      # ipywidgets 8: ({"name": ..., "content": ...},)
        entry = value[-1]
        name = entry["name"]
    return name, bytes(entry["content"])


class PictureUpload:
    """A button that reads a picture and hands it, as a tensor, to on_picture; what that returns stands below it."""

    def __init__(self, on_picture, *, label, max_bytes, size, first):
        import ipywidgets as widgets
        self.on_picture, self.max_bytes, self.size, self.label = on_picture, max_bytes, size, label
        self.button = widgets.FileUpload(accept="image/*", multiple=False, description=label,
                                         layout={"width": "auto", "min_width": "170px"})
        self.status = widgets.HTML(f"JPEG, PNG, WebP or GIF, up to {max_bytes / 1e6:.0f} MB")
        self.body = widgets.VBox()
        self.shown = None
        if first is not None:
            self._put(on_picture(first))
        self.button.observe(self._changed, "value")
        self.widget = widgets.VBox([widgets.HBox([self.button, self.status]), self.body])
        self.widget.add_class("ddpm-live")
        self.widget.add_class("ddpm-upload")
        self.widget.add_class(f"ddpm-most-{max_bytes}")
        if getattr(self.shown, "montage", None):
            self.widget.add_class("ddpm-live-stills")

    def _put(self, result):
        import ipywidgets as widgets
        if result is None:
            return
        self.shown = result
        if hasattr(result, "widget"):
            result = result.widget
        elif not isinstance(result, widgets.Widget):
            result = widgets.Image(value=encode(to_image(result), "png"), format="png",
                                   layout={"align_self": "flex-start", "max_width": "100%"})
        self.body.children = (result,)

    def _changed(self, change):
        chosen = uploaded(self.button.value)
        if chosen is None:
            return
        name, data = chosen
        try:
            self._put(self.on_picture(picture_from_bytes(data, name, self.size, self.max_bytes)))
            self.status.value = html.escape(name)
        except Exception as error:                             # the earlier picture stays
            text = str(error) if isinstance(error, ValueError) else f"{name}: {type(error).__name__}: {error}"
            self.status.value = f"<b role=\"alert\">{html.escape(text)}</b>"

    def _ipython_display_(self):
        if getattr(self.shown, "montage", None):
            show_png(self.shown.montage, self.shown.alt)
        show_widget(self.widget, f"[live: {self.label}; run this cell to use your own picture]")


def upload_picture(on_picture, *, label="Choose a picture", max_bytes=MAX_BYTES, size=96, first=None):
    """A button with which the reader chooses a picture of their own.

    on_picture(x_0): called with a tensor (1, 3, size, size), float32 in [-1, 1]; may return a live_slider, a widget,
    or a picture (see to_image), to be shown below the button. first: a tensor to begin with, so that there is
    something to see before a file is chosen (and in the saved notebook, if on_picture returns a live_slider).
    A file that is broken, too large or no picture is answered with one sentence, and the earlier picture stays.
    """
    return PictureUpload(on_picture, label=label, max_bytes=max_bytes, size=size, first=first)


# --- the loss while a network trains -----------------------------------------------------------------------------

def in_kernel():
    """True inside a Jupyter kernel, False in a terminal or under pytest."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


@dataclasses.dataclass
class LiveLoss:
    """Progress and loss curve of a training, replaced in place; drawing takes at most about 4 % of the time.

        with LiveLoss(steps) as live:
            for step in range(steps):
                ...
                live.step(loss.item())

    total: number of steps; every: seconds between two pictures; smooth: weight of the past in the running average;
    log: logarithmic loss axis; title: name of that axis. `losses` holds every loss, `stopped` is True when it was cut short.
    The notebook's stop button ends the block after the step that is being made (at once if steps take over a second, or
    if it is pressed twice), and the cell goes on behind it: what was learned is kept, and a sentence says how to go on.
    In a terminal Ctrl-C marks the line as stopped and is passed on.
    """
    total: int
    every: float = 1.0
    smooth: float = 0.98
    log: bool = True
    title: str = "loss"
    plot: bool = True
    losses: list = dataclasses.field(default_factory=list)
    stopped: bool = False

    def __enter__(self):
        self._begin, self._last, self._cost, self._average = time.perf_counter(), 0.0, 0.0, None
        self._kernel, self._stop, self._handler = in_kernel(), False, None
        if self._kernel and threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._interrupted)
        if self._kernel:
            from IPython.display import display
            self._line = display({"text/plain": self.text()}, raw=True, display_id=True)
            if self.plot:
                self._draw_axes()
                self._picture = display(self._bundle(), raw=True, display_id=True, metadata=self._metadata())
        return self

    def step(self, loss):
        """Note the loss of one step; redraw when it is time."""
        loss = float(loss)
        self.losses.append(loss)
        past = loss if self._average is None else self._average
        self._average = self.smooth * past + (1 - self.smooth) * loss
        now = time.perf_counter()
        if now - self._last >= max(self.every, 25 * self._cost) and len(self.losses) < self.total:
            self._refresh(self.text())
            self._last = time.perf_counter()
            self._cost = self._last - now
        if self._stop:
            raise KeyboardInterrupt

    def _interrupted(self, number, frame):
        slow = time.perf_counter() - self._begin > 1 + len(self.losses)
        if self._stop or slow:
            raise KeyboardInterrupt
        self._stop = True                                      # step() ends the block: no step is left half made

    def __exit__(self, kind, error, traceback):
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        note = "" if kind is None else "stopped" if kind is KeyboardInterrupt else f"stopped: {kind.__name__}"
        self._refresh(self.text(note, final=kind is None), last=True)
        self.stopped = kind is not None
        if self._stop and kind is None:
            print("You pressed stop when the training was at its end; press again to stop the notebook.")
        if kind is not KeyboardInterrupt or not self._kernel:
            return False
        print(f"You stopped after step {len(self.losses)} of {self.total}. What was learned until then is kept, and the cells below work with it.\n"
              "To train to the end, run this cell again; where a cell above makes the network, run that one first.")
        return True

    def text(self, note="", final=False):
        """The line: bar, steps done, average loss, seconds so far, seconds left, and the note."""
        n, seconds = len(self.losses), time.perf_counter() - self._begin
        words = [f"[{'#' * round(24 * n / max(1, self.total)):<24}] {n}/{self.total}"]
        if self._average is not None:
            words.append(f"{self.title} {self._average:.4f}")
        words.append(f"{seconds:.0f} s")
        if n and not final and not note:
            words.append(f"about {seconds / n * (self.total - n):.0f} s left")
        return ", ".join(words + [note] * bool(note))

    def _refresh(self, line, last=False):
        if self._kernel:
            self._line.update({"text/plain": line}, raw=True)
            if self.plot:
                self._picture.update(self._bundle(), raw=True, metadata=self._metadata())
        elif sys.stdout.isatty():
            print("\r" + line.ljust(90), end="\n" if last else "", flush=True)
        elif last:
            print(line, flush=True)

    def _alt(self):
        if not self.losses:
            return f"An empty {self.title} curve: no step has been taken yet."
        return (f"{self.title.capitalize()} against step, {len(self.losses)} of {self.total} steps: each step thin, the average "
                f"thick, from {self.losses[0]:.2g} to about {self._average:.2g}.")

    def _metadata(self):
        return {"image/png": {"alt": self._alt()}}

    def _draw_axes(self):                                      # a Figure of its own: pyplot never shows it twice
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        self._figure = Figure(figsize=(6.4, 2.6), dpi=100, layout="none")
        self._canvas = FigureCanvasAgg(self._figure)
        self._axes = self._figure.add_axes((0.12, 0.2, 0.85, 0.76))
        (self._thin,) = self._axes.plot([], [], lw=0.6, alpha=0.4, color="#56B4E9")
        (self._thick,) = self._axes.plot([], [], lw=1.8, color="#0072B2")
        self._axes.set(xlabel="step", ylabel=self.title, xlim=(0, self.total))
        if self.log:
            self._axes.set_ylim(0.01, 1)                       # an empty logarithmic axis cannot be drawn
            self._axes.set_yscale("log")

    def _bundle(self):
        y = np.asarray(self.losses, float)
        if len(y):
            self._set_curves(y)
        buffer = io.BytesIO()
        self._canvas.print_png(buffer, metadata={"Software": None})
        return {"image/png": buffer.getvalue(), "text/plain": f"[{self._alt()}]"}

    def _set_curves(self, y):
        hop, width = max(1, len(y) // 600), max(1, len(y) // 50)      # the cost stays flat in the number of steps
        low = np.maximum(np.arange(len(y)) - width + 1, 0)
        finite = np.isfinite(y)                                       # one NaN must not hide what follows it
        total = np.cumsum(np.insert(np.where(finite, y, 0.0), 0, 0.0))
        count = np.cumsum(np.insert(finite, 0, 0))
        seen = count[1:] - count[low]
        average = np.where(seen > 0, (total[1:] - total[low]) / np.maximum(seen, 1), np.nan)
        x = np.arange(1, len(y) + 1)
        self._thin.set_data(x[::hop], y[::hop])
        self._thick.set_data(x[::hop], average[::hop])
        good = y[finite & ((y > 0) | (not self.log))]
        if len(good):
            low, high = np.quantile(good, [0.005, 0.995])
            pad = 0.1 * max(abs(low), abs(high), 1e-6)
            self._axes.set_ylim((low / 1.3, high * 1.3) if self.log else (low - pad, high + pad))


# --- a plane of codes to drag a point in, without a kernel -------------------------------------------------------

_PLANE_JS = """(P => { for (const f of document.querySelectorAll('div.lp-' + P.id + ':not([data-on])')) {
 f.dataset.on = '1'; f.textContent = '';
 const out = f.closest('.jp-OutputArea-child'), before = out && out.previousElementSibling;
 if (before && before.querySelector('img')) before.classList.add('fs-stills');
 const put = (to, tag, css, set = {}) => { const e = document.createElement(tag); e.style.cssText = css;
  for (const k in set) e.setAttribute(k, set[k]); to.append(e); return e; };
 const S = 300, n = P.side, row = put(f, 'div', 'display:flex;flex-wrap:wrap;gap:14px 26px;padding:4px 0;'
  + 'font:15px/21px system-ui,sans-serif');
 for (const Q of P.planes) {
  const panel = put(row, 'div', ''), put2 = (tag, css, set) => put(panel, tag, css, set);
  put2('div', 'font-weight:600').textContent = Q.name;
  const pair = put2('div', 'display:flex;flex-wrap:wrap;gap:8px;align-items:flex-start');
  const c = put(pair, 'canvas', 'width:' + S + 'px;height:' + S + 'px;max-width:100%;touch-action:none;'
   + 'cursor:crosshair;border:1px solid #767676;background:#fff;box-sizing:border-box', {tabindex: 0, role: 'slider',
   'aria-roledescription': 'two-dimensional slider', 'aria-valuemin': 0, 'aria-valuemax': n * n - 1, width: 2 * S,
   height: 2 * S, 'data-lm-suppress-shortcuts': 'true'});          // else JupyterLab takes the arrow keys
  c.setAttribute('aria-label', Q.name + ': point in the plane of codes');
  c.setAttribute('aria-description', P.alt + ' Drag the point, or use the four arrow keys; with shift the steps are '
   + 'larger, Home goes back to the start.');
  const tile = put(pair, 'canvas', 'width:112px;height:' + Math.round(112 * P.h / P.w) + 'px;image-rendering:pixelated;'
   + 'border:1px solid #767676;background:#fff', {role: 'img', width: P.w, height: P.h});
  const said = put2('div', 'min-height:21px;max-width:' + (S + 122) + 'px;font-variant-numeric:tabular-nums');
  const back = document.createElement('canvas'), b = back.getContext('2d'); back.width = back.height = 2 * S;
  b.scale(2, 2); b.fillStyle = '#fff'; b.fillRect(0, 0, S, S);
  b.font = '12px system-ui,sans-serif'; b.textAlign = 'center'; b.textBaseline = 'middle';
  for (const [x, y, k] of Q.points) { b.fillStyle = P.colours[k % P.colours.length];
   b.fillText(P.names[k], x / 1000 * S, y / 1000 * S); }
  b.fillStyle = '#595959'; b.textAlign = 'left'; b.fillText('\u2191 ' + P.axes[1], 5, 11);
  b.textAlign = 'right'; b.fillText(P.axes[0] + ' \u2192', S - 6, S - 10);
  const sheet = new Image(); let i = Q.start[0], j = Q.start[1];
  const code = (lo, k) => (lo + k * Q.step).toFixed(Q.digits).replace('-', '\\u2212');
  const draw = () => {
   const text = P.axes[0] + ' = ' + code(Q.low[0], i) + ', ' + P.axes[1] + ' = ' + code(Q.low[1], n - 1 - j)
    + (Q.said.length ? ': ' + P.texts[Q.said[j * n + i]] : '');
   said.textContent = text; c.setAttribute('aria-valuenow', j * n + i); c.setAttribute('aria-valuetext', text);
   tile.setAttribute('aria-label', 'the decoded picture at ' + text);
   tile.getContext('2d').drawImage(sheet, i * P.w, j * P.h, P.w, P.h, 0, 0, P.w, P.h);
   const g = c.getContext('2d'), x = (i + 0.5) / n * S, y = (j + 0.5) / n * S;
   g.setTransform(1, 0, 0, 1, 0, 0); g.drawImage(back, 0, 0); g.scale(2, 2);
   for (const [w, colour] of [[5, '#fff'], [2.2, '#000']]) { g.lineWidth = w; g.strokeStyle = colour; g.beginPath();
    g.arc(x, y, 9, 0, 7); g.moveTo(x - 15, y); g.lineTo(x - 5, y); g.moveTo(x + 5, y); g.lineTo(x + 15, y);
    g.moveTo(x, y - 15); g.lineTo(x, y - 5); g.moveTo(x, y + 5); g.lineTo(x, y + 15); g.stroke(); } };
  const go = (x, y) => { i = Math.max(0, Math.min(n - 1, x)); j = Math.max(0, Math.min(n - 1, y)); draw(); };
  const follow = e => { const r = c.getBoundingClientRect();
   go(Math.floor((e.clientX - r.left) / r.width * n), Math.floor((e.clientY - r.top) / r.height * n)); };
  c.onpointerdown = e => { c.setPointerCapture(e.pointerId); c.focus({preventScroll: true}); follow(e);
   e.preventDefault(); };
  c.onpointermove = e => { if (c.hasPointerCapture(e.pointerId)) follow(e); };
  c.onkeydown = e => { const by = e.shiftKey ? 4 : 1, way = {ArrowLeft: [-by, 0], ArrowRight: [by, 0],
    ArrowUp: [0, -by], ArrowDown: [0, by], Home: [Q.start[0] - i, Q.start[1] - j]}[e.key];
   if (e.key !== 'Tab') e.stopPropagation();
   if (way) { e.preventDefault(); go(i + way[0], j + way[1]); } };
  sheet.onload = draw; sheet.src = Q.sheet; }
} })(PARAMETERS)"""

PLANE_COLOURS = ["#0072B2", "#B25F00", "#00694D", "#A03F73", "#4D4D4D", "#0B5A8A", "#8A1C00", "#5B3A9B", "#6B5E00", "#000000"]


class LatentPlane:
    """Planes of two-number codes, a point to drag in each, and the picture that the decoder makes of it.

    html: the figure, self-contained; still: the bytes of a PNG with every plane and its decoded pictures; alt: the text.
    """

    def __init__(self, planes, labels, *, alt, read=None, start=0, side=45, show=250, axes=("z₁", "z₂")):
        if not planes or len(alt.strip()) < 20 or side < 2:
            raise ValueError("a latent plane needs at least one plane, alt as a sentence of at least 20 characters, and a "
                             f"side of at least 2, got {len(planes)} planes, alt {alt!r}, side {side}")
        self.alt, self.axes, self.names = alt, axes, sorted({str(label) for label in labels})
        which = [self.names.index(str(label)) for label in labels]
        self.planes = [_plane(name, codes, decode, which, read, start, side, show) for name, (codes, decode) in planes.items()]
        if len({plane["tiles"].shape for plane in self.planes}) > 1:
            raise ValueError("all planes must decode to pictures of one size, got "
                             f"{[plane['tiles'].shape[1:] for plane in self.planes]}")
        self.html, self.still = self._page(side), self._still(side)

    def _page(self, side):
        texts = sorted({text for plane in self.planes for text in plane["said"]})
        h, w = self.planes[0]["tiles"].shape[1:3]
        keep = ("name", "points", "low", "step", "start")
        shown = [{**{key: plane[key] for key in keep}, "digits": 2 if plane["step"] < 0.2 else 1, "said": [texts.index(text) for text in plane["said"]],
                  "sheet": "data:image/png;base64," + base64.b64encode(_tile_sheet(plane["tiles"], side)).decode()}
                 for plane in self.planes]
        settings = {"planes": shown, "side": side, "w": w, "h": h, "texts": texts, "names": self.names, "axes": self.axes,
                    "colours": PLANE_COLOURS, "alt": self.alt}
        return scripted("lp", settings, "A plane to drag a point in belongs here; it needs scripts. In "
                        "JupyterLab: run the cell, or trust the notebook. The picture above shows what each part of the plane is "
                        "decoded to.", _PLANE_JS, (",", ":"))

    def _still(self, side):
        from matplotlib.figure import Figure
        count = len(self.planes)
        figure = Figure(figsize=(7.2, 3.7 * count), layout="constrained")
        for k, plane in enumerate(self.planes):
            left, right = figure.add_subplot(count, 2, 2 * k + 1), figure.add_subplot(count, 2, 2 * k + 2)
            low, high = plane["low"], [value + (side - 1) * plane["step"] for value in plane["low"]]
            for x, y, which in plane["points"][:150]:
                left.text(low[0] + x / 1000 * (high[0] - low[0]), high[1] - y / 1000 * (high[1] - low[1]), self.names[which],
                          color=PLANE_COLOURS[which % len(PLANE_COLOURS)], fontsize=9, ha="center", va="center", clip_on=True)
            left.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), title=plane["name"], xlabel=self.axes[0], ylabel=self.axes[1],
                     box_aspect=1)
            picks = np.linspace(0, side - 1, min(11, side)).round().astype(int)
            tiles = plane["tiles"].reshape(side, side, *plane["tiles"].shape[1:])[np.ix_(picks, picks)]
            mosaic = np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=255)
            right.imshow(mosaic.transpose(0, 2, 1, 3).reshape(len(picks) * mosaic.shape[2], -1), cmap="gray", vmin=0, vmax=255,
                         interpolation="nearest", extent=(low[0], high[0], low[1], high[1]), aspect="auto")
            right.set(title="decoded", xlabel=self.axes[0], box_aspect=1)
        return figure_png(figure, dpi=100)

    def _ipython_display_(self):
        from IPython.display import display
        show_png(self.still, self.alt)
        names = ", ".join(plane["name"] for plane in self.planes)
        display({"text/html": self.html, "text/plain": f"[a point to drag in the plane of codes ({names}): {self.alt}]"}, raw=True)


def _plane(name, codes, decode, which, read, start, side, show):
    """Everything that one plane shows: its range, the tiles decoded on a grid (top row first), some codes with labels."""
    codes = np.asarray(codes, dtype=float)
    if codes.ndim != 2 or codes.shape[1] != 2 or len(codes) != len(which) or not np.isfinite(codes).all():
        raise ValueError(f"the codes of {name!r} must be finite, two numbers for each of the {len(which)} labels, got shape {codes.shape}")
    if not 0 <= start < len(codes):
        raise ValueError(f"start must be the index of a code, in 0..{len(codes) - 1}, got {start}")
    outer = np.quantile(codes, [0.01, 0.99], axis=0)                   # a few far codes must not shrink all others
    middle, half = outer.mean(0), max(0.58 * float((outer[1] - outer[0]).max()), 1e-6)
    low, step = middle - half, 2 * half / (side - 1)
    x, y = np.meshgrid(low[0] + step * np.arange(side), low[1] + step * np.arange(side)[::-1])
    tiles = np.asarray(decode(np.stack([x.ravel(), y.ravel()], axis=1)))
    if tiles.ndim != 3 or len(tiles) != side * side:
        raise ValueError(f"decode of {name!r} must turn ({side * side}, 2) codes into as many grey pictures ({side * side}, H, W), got {tiles.shape}")
    said = list(map(str, read(np.clip(tiles, 0, 1)))) if read else []
    if read and len(said) != side * side:
        raise ValueError(f"read must give one text per picture, got {len(said)} for {side * side}")
    levels = (np.clip(tiles, 0, 1) * 31).round()                       # 32 greys: a small file, and enough for the eye
    place = (codes - low) / (2 * half)
    points = [[round(1000 * place[k, 0]), round(1000 * (1 - place[k, 1])), which[k]] for k in range(min(show, len(codes)))
              if 0 <= place[k].min() and place[k].max() <= 1]
    i, j = (np.clip(((codes[start] - low) / step).round(), 0, side - 1)).astype(int)
    return {"name": name, "low": low.tolist(), "step": step, "points": points, "start": [int(i), side - 1 - int(j)],
            "tiles": (levels / 31 * 255).round().astype(np.uint8), "said": said}


def _tile_sheet(tiles, side):
    """All tiles of a plane in one PNG, (side * H, side * W) pixels."""
    h, w = tiles.shape[1:]
    sheet = tiles.reshape(side, side, h, w).transpose(0, 2, 1, 3).reshape(side * h, side * w)
    return encode_within(Image.fromarray(sheet).convert("RGB"), SHEET_LIMIT // 3)


def latent_plane(planes, labels, *, alt, read=None, start=0, side=45, show=250):
    """A plane of codes with a point to drag, by mouse, finger or arrow keys, and the picture that is decoded there.

    planes: {name: (codes (N, 2), decode)}, shown side by side; decode turns (K, 2) codes, a numpy array, into (K, H, W)
    pictures in [0, 1]. labels: N of them, drawn at the codes (`show` of them). alt: what is to be seen. read(pictures):
    optional, a list with a text per picture, shown and spoken. start: index of the code where the points begin. side: the point moves
    on a grid of side x side codes, and every picture shown is the decoder's own at such a code. The planes are wide enough
    for 98 % of the codes in each direction.
    Works without a kernel, and leaves a still where scripts are removed. Returns a LatentPlane, which shows itself at the
    end of a cell. Raises ValueError if shapes or numbers disagree.
    """
    return LatentPlane(planes, labels, alt=alt, read=read, start=start, side=side, show=show)
