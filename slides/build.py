#!/usr/bin/env python3
"""Build the decks:  python slides/build.py [--only 02] [--serve]        (make slides [ONLY=02] [SERVE=1])

1. read slides/NN-*.md for fig:NAME, ```frames NAME, @{NAME} and ```python src=module:object
2. make exactly those from ddpm_lib, by slides/figures/; an unknown name stops the build
3. let Marp (slides/node_modules, installed on the first run) make HTML, PDF and notes into slides/built/, and write
   there what they were made from (manifest.json)
Needs Node.js 18 or newer, a Chromium for the PDF, and requirements-dev.txt.
"""
import argparse
import ast
import base64
import collections
import concurrent.futures
import hashlib
import importlib
import inspect
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from unittest import mock

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD, BUILT, MANIFEST = HERE / "_build", HERE / "built", "manifest.json"
NAMES = {"figure": re.compile(r"\]\(fig:([\w.]+)\)"), "frames": re.compile(r"^```frames[ \t]+([\w.]+)", re.M),
         "text": re.compile(r"@\{([\w.]+)\}")}
LISTING = re.compile(r"^```python[ \t]+(src=.+?)[ \t]*$", re.M)
TOOLS = ("slides/build.py", "slides/engine.mjs", "slides/theme.css", "slides/marp.config.mjs", "slides/package-lock.json",
         "slides/figures/__init__.py")
WATCHED = ("data", "notebooks")              # where pictures may read from
LETTER, CONTRAST = 24, 7                     # pixels on the slide; WCAG contrast of letters
CODE_WIDTH = 72                              # characters of a listing's line
SVG_LIMIT, PIXEL_LIMIT = 60_000, 20_000      # bytes: a figure with thousands of points becomes pixels, noise loses colours
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
            r"C:\Program Files\Google\Chrome\Application\chrome.exe")


class Stop(Exception):
    """A sentence for the author of a deck."""


# --- what is there -----------------------------------------------------------------------------------------------

def chromium():
    """Path of a Chromium or Chrome; CHROME_PATH wins. None if there is none."""
    return os.environ.get("CHROME_PATH") or next((found for name in CHROMIUM if (found := shutil.which(name))), None)


def node_packages():
    """Install the pinned packages if they are missing or not those of the lock file. Raises Stop if that cannot be done."""
    stamp, lock = HERE / "node_modules" / ".lock", (HERE / "package-lock.json").read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == lock:
        return
    npm = shutil.which("npm")
    if not npm:
        raise Stop("Node.js is missing: install it (Debian, Ubuntu: sudo apt-get install nodejs npm; macOS: brew install node), then run this again.")
    print("Installing the slide tools of slides/package-lock.json (once, 146 MB) ...", flush=True)
    done = subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, capture_output=True, text=True)
    if done.returncode:
        raise Stop(f"npm could not install the slide tools: check the network, then run this again.\n{done.stderr.strip()[-800:]}")
    stamp.write_text(lock, encoding="utf-8")


def decks(only="", folder=HERE):
    """The decks whose number begins with `only`, in order. Raises Stop if there are none."""
    found = sorted(deck for deck in folder.glob("[0-9][0-9]-*.md") if deck.name.startswith(only))
    if not found:
        raise Stop(f"there is no deck whose name begins with {only!r}: the names are {', '.join(d.stem for d in decks('', folder)) if only else 'NN-name.md'}.")
    return found


# --- pictures, sliders, numbers, listings ------------------------------------------------------------------------

def lookup(name):
    """The function of slides/figures that `name` (chNN.function) means. Raises Stop if there is none."""
    module, _, function = name.partition(".")
    if not (HERE / "figures" / f"{module}.py").exists():
        raise Stop(f"{name}: there is no slides/figures/{module}.py.")
    found = getattr(importlib.import_module(f"figures.{module}"), function, None)
    if function.startswith("_") or not inspect.isfunction(found) or found.__module__ != f"figures.{module}":
        raise Stop(f"{name}: slides/figures/{module}.py has no function {function!r}.")
    return found


def luminance(colour):
    import matplotlib.colors as mc
    r, g, b = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in mc.to_rgb(colour))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one, other):
    """WCAG contrast of two colours, 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def drawn(figure, name, save):
    """save(scale) a figure, and refuse letters that are too small, too pale or cut off. Returns its scale, in pixels of the
    slide per inch."""
    from matplotlib.text import Text
    scale, wrong, draw = getattr(figure, "pixels_per_inch", 100), [], Text.draw

    def watched(self, renderer, *more, **options):
        if self.get_visible() and self.get_text().strip():
            wrong.extend(_faults(self, renderer, figure, scale))
        return draw(self, renderer, *more, **options)

    figure.draw_without_rendering()                            # places everything
    with mock.patch.object(Text, "draw", watched):
        save(scale)
    if wrong:
        raise Stop(f"{name}: the text {wrong[0]}")
    return scale


def _faults(text, renderer, figure, scale):
    """Sentences on one text of a figure that is being drawn."""
    what, size = repr(text.get_text()), text.get_fontsize() * scale / 72
    if size < LETTER - 0.05:
        yield f"{what} is {size:.1f} pixels high on the slide; {LETTER} is the least. Use a larger font, or figures.resized."
    box, frame, slack = text.get_window_extent(renderer), figure.bbox, figure.dpi / 40
    if box.x0 < frame.x0 - slack or box.y0 < frame.y0 - slack or box.x1 > frame.x1 + slack or box.y1 > frame.y1 + slack:
        yield f"{what} is cut off at the edge of the picture."
    patch, axes = text.get_bbox_patch(), text.axes
    behind = patch or (axes.patch if axes is not None and axes.axison and axes.patch.get_visible() else figure.patch)
    ratio = contrast(text.get_color(), behind.get_facecolor())
    if ratio < CONTRAST:
        yield f"{what} has too little contrast ({ratio:.1f}, at least {CONTRAST}): make it darker."


def pixels(figure, scale, zoom):
    """A figure as an RGB picture, `zoom` times its size on the slide."""
    from PIL import Image
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=scale * zoom, metadata={"Software": None})
    return Image.open(buffer).convert("RGB")


def make_figure(figure, name):
    """A matplotlib figure as SVG (pictures in it keep their own pixels), or as pixels if that is smaller."""
    out = {"kind": "figure", "file": f"{name}.svg"}
    for axes in figure.axes:
        for image in axes.images:
            if image.get_interpolation() == "nearest":
                image.set_interpolation("none")                # the SVG then holds the array itself, and squares stay square

    def save(scale):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        data = lighter(buffer.getvalue())
        if len(data) > SVG_LIMIT:
            small = encoded([pixels(figure, scale, 1.5)], PIXEL_LIMIT)[0]
            if len(small) < len(data):
                data, out["file"] = small, f"{name}.webp"
        write(BUILD / out["file"], data)

    scale = drawn(figure, name, save)
    return {**out, "width": round(figure.get_figwidth() * scale), "height": round(figure.get_figheight() * scale)}


def lighter(svg):
    """The same SVG in fewer bytes. Pictures in it keep as many colours as PIXEL_LIMIT has room for: noise does not compress."""
    from PIL import Image

    def smaller(match):
        image = Image.open(io.BytesIO(base64.b64decode(match[1]))).convert("RGB")
        return b"data:image/webp;base64," + base64.b64encode(encoded([image], PIXEL_LIMIT * 3 // 4, squares=True)[0])

    svg = re.sub(rb'data:image/png;base64,([A-Za-z0-9+/=\s]+)', smaller, svg)
    shorter = lambda match: re.sub(rb"\.(\d\d)\d+", rb".\1", match[0])     # a hundredth of a pixel is enough
    return re.sub(rb"\s*\n\s*", b" ", re.sub(rb'(?<= d=)"[^"]*"', shorter, svg))


def encoded(images, limit, squares=False):
    """Pictures as WebP files that together have at most `limit` bytes: without loss if possible, else with fewer colours or
    with loss. squares: pictures of separate pixels, for which few colours are better than loss. Raises Stop if nothing helps."""
    def files(images, colours, quality):
        for image in images:
            buffer, small = io.BytesIO(), image.quantize(colours, dither=0).convert("RGB") if colours else image
            small.save(buffer, "WEBP", **({"quality": quality} if quality else {"lossless": True, "quality": 60}), method=4)
            yield buffer.getvalue()

    ways = ((0, 0), (128, 0), (64, 0), (32, 0), (24, 0), (0, 85), (0, 70), (0, 55), (16, 0), (0, 40), (0, 25))
    for colours, quality in sorted(ways, key=lambda way: way[1] > 0) if squares else ways:
        if len(images) > 9 and sum(map(len, files(images[::5], colours, quality))) > 0.24 * limit:
            continue                                           # every fifth says enough
        out = list(files(images, colours, quality))
        if sum(map(len, out)) <= limit:
            return out
    raise Stop(f"{len(images)} pictures of {images[0].size[0]} x {images[0].size[1]} pixels do not fit into {limit:,} bytes: use fewer or smaller ones.")


def make_frames(F, name):
    """The frames of one or two sliders as files, and what the engine must know of them."""
    import numpy as np
    from PIL import Image
    table = F.frames if isinstance(F.frames, dict) else {"": list(F.frames)}
    rows, labels = {str(key): list(row) for key, row in table.items()}, [str(label) for label in F.labels]
    if {len(row) for row in rows.values()} != {len(labels)} or (len(rows) > 1) != bool(F.choice) or len(F.alt) < 20:
        raise Stop(f"{name}: every row needs one frame per label, a second slider a name, and alt a whole sentence.")
    flat = [frame if isinstance(frame, tuple) else (frame,) for row in rows.values() for frame in row]
    parts, room = [], F.limit
    for column in sorted(zip(*flat, strict=True), key=lambda column: hasattr(column[0], "savefig")):   # arrays take their room first
        sharp, images, scale = not hasattr(column[0], "savefig"), [], 100
        for k, frame in enumerate(column):
            if sharp:
                a = np.asarray(frame)
                images.append(Image.fromarray(a if a.dtype == np.uint8 else (np.clip(a, 0, 1) * 255).round().astype(np.uint8)).convert("RGB"))
            else:
                scale = drawn(frame, f"{name}, frame {k}", lambda scale, frame=frame, to=images: to.append(pixels(frame, scale, F.zoom)))
        if len({image.size for image in images}) > 1:
            raise Stop(f"{name}: all frames must have one size, got {sorted({image.size for image in images})}.")
        width, height = images[0].size
        size = (width * F.height / height, F.height) if sharp else (column[0].get_figwidth() * scale, column[0].get_figheight() * scale)
        files = encoded(images, room // 2 if sharp and len(flat[0]) > 1 else room, squares=sharp)
        room -= sum(map(len, files))
        at = [hasattr(part, "savefig") != sharp for part in flat[0]].index(True)
        parts.append((at, files, {"width": round(size[0]), "height": round(size[1]), "sharp": sharp}))
    parts.sort(key=lambda part: part[0])
    n, choices = len(labels), list(rows)
    few = 6 if parts[0][2]["sharp"] and len(parts) == 1 else 4
    stills = F.stills if F.stills is not None else [(round(k), r) for r in range(len(rows)) for k in np.linspace(0, n - 1, min(n, few))]
    stills = {(p[1] * n + p[0]) if isinstance(p, tuple) else p for p in stills}
    frames = []
    for k in range(len(flat)):
        label = f"{choices[k // n]}, {labels[k % n]}" if len(rows) > 1 else labels[k % n]
        frames.append({"files": [f"{name}-{k:03d}-{j}.webp" for j in range(len(parts))], "label": label, "still": k in stills})
        for file, (_, files, _) in zip(frames[-1]["files"], parts):
            write(BUILD / file, files[k])
    sliders = [{"name": F.slider, "labels": labels, "start": F.start[0]}]
    if len(rows) > 1:
        sliders.append({"name": F.choice, "labels": choices, "start": F.start[1]})
    return {"kind": "frames", "alt": F.alt, "parts": [part[2] for part in parts], "sliders": sliders, "first": F.start[1] * n + F.start[0],
            "across": F.across or min(len(stills), few if few == 6 else 2), "paper": F.paper, "frames": frames}


def listing(ref):
    """The source that `src=module:object [from="text"] [to="text"] [width=40] [doc] [types]` means: without its docstring
    unless `doc` is said, without annotations unless `types` is said, from the line that holds one text to the line that holds the other, broken into lines of at most `width`
    characters (CODE_WIDTH fill a slide).

    module: of ddpm_lib, or notebooks/NN for a definition on a chapter's page.
    """
    words = dict(word.partition("=")[::2] for word in shlex.split(ref))
    module, _, name = words.pop("src").partition(":")
    try:
        if module.startswith("notebooks/"):
            code = notebook_source(module.removeprefix("notebooks/"), name)
        elif module.split(".")[0] == "ddpm_lib":
            found = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
            code = textwrap.dedent(inspect.getsource(found))
        else:
            raise KeyError(module)
    except (ImportError, AttributeError, TypeError, KeyError, FileNotFoundError) as error:
        raise Stop(f"src={module}:{name}: there is no such source ({error}).") from None
    if words.pop("types", None) is None:
        code = without_annotations(code)
    if words.pop("doc", None) is None:
        code = without_docstrings(code)
    width, first, last = int(words.pop("width", CODE_WIDTH)), words.pop("from", ""), words.pop("to", "")
    if words:
        raise Stop(f"{ref}: unknown word {next(iter(words))!r}; from, to, width, doc and types are known.")
    return part_of(broken(code, width + indent_of(part_of(broken(code, 200), first, last, ref))), first, last, ref, dedent=True)


def broken(code, width):
    """The code with its lines broken by ruff's formatter."""
    done = subprocess.run([sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", str(width), "-"], input=code, capture_output=True, text=True)
    if done.returncode:
        raise Stop(f"ruff could not break the lines of a listing: {done.stderr.strip()[-300:]}")
    return done.stdout.rstrip()


def part_of(code, first, last, ref, dedent=False):
    """The lines from the one that holds `first` to the one, there or below, that holds `last`."""
    lines = code.splitlines()
    for text in filter(None, (first, last)):
        if not any(text in line for line in lines):
            raise Stop(f"{ref}: no line holds {text!r}.")
    start = next(k for k, line in enumerate(lines) if first in line)
    stop = next((k for k, line in enumerate(lines) if k >= start and last in line), len(lines) - 1) if last else len(lines) - 1
    part = "\n".join(lines[start:stop + 1]) + "\n"
    return textwrap.dedent(part) if dedent else part


def indent_of(part):
    return min(len(line) - len(line.lstrip()) for line in part.splitlines() if line.strip())


def notebook_source(number, name):
    """The source of a function, class or assigned name on the page of chapter `number`."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] != "code" or name not in text:
            continue
        for node in ast.parse("\n".join("" if line.startswith(("%", "!")) else line for line in text.splitlines())).body:
            if getattr(node, "name", None) == name or any(getattr(target, "id", None) == name for target in getattr(node, "targets", [])):
                return ast.get_source_segment(text, node)
    raise KeyError(name)


def without_annotations(code):
    """The same code without the types of arguments and results: on a slide, the shapes are said in words."""
    lines, cuts = [line.encode() for line in code.splitlines()], []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.arg) and node.annotation:
            cuts.append((node.lineno, node.col_offset + len(node.arg.encode()), node.annotation))
        elif isinstance(node, ast.FunctionDef) and node.returns:
            cuts.append((node.returns.lineno, lines[node.returns.lineno - 1].rindex(b"->", 0, node.returns.col_offset) - 1, node.returns))
    for line, start, type_ in sorted(cuts, key=lambda cut: cut[:2], reverse=True):
        if line == type_.end_lineno:
            lines[line - 1] = lines[line - 1][:start] + lines[line - 1][type_.end_col_offset:]
    return b"\n".join(lines).decode() + "\n"


def without_docstrings(code):
    lines = code.splitlines()
    for node in ast.walk(ast.parse(code)):
        body = getattr(node, "body", None)
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None and len(body) > 1:
            doc = body[0]
            lines[doc.lineno - 1:doc.end_lineno] = [None] * (doc.end_lineno - doc.lineno + 1)
            while lines[doc.end_lineno] is not None and not lines[doc.end_lineno].strip():
                lines[doc.end_lineno] = None
                doc.end_lineno += 1
    return "\n".join(line for line in lines if line is not None) + "\n"


# --- what a deck was made from -----------------------------------------------------------------------------------

def digest(path):
    """Checksum of a file; a text's line ends do not count."""
    data = path.read_bytes()
    return hashlib.sha256(data if b"\0" in data else data.replace(b"\r\n", b"\n")).hexdigest()[:16]


def imported(path, seen=None):
    """The files of this repository that a Python file imports, and what those import (itself among them)."""
    seen = set() if seen is None else seen
    if path in seen:
        return seen
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[:-node.level] if node.level else ()
            package = package[1:] if package[:1] == ("slides",) else package
            base = ".".join([*package, *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            for top in (ROOT, HERE):
                stem = top.joinpath(*name.split("."))
                for file in (stem.with_suffix(".py"), stem / "__init__.py"):
                    if file.is_file() and name.split(".")[0] in ("ddpm_lib", "figures"):
                        imported(file, seen)
    return seen


def references(text):
    """({kind: names}, listings) that a deck's text uses."""
    return {kind: sorted(set(rx.findall(text))) for kind, rx in NAMES.items()}, sorted(set(LISTING.findall(text)))


def sources(deck, data=()):
    """{path: checksum} of everything that a deck is made from."""
    wanted, listings = references(deck.read_text(encoding="utf-8"))
    files = {deck, *(ROOT / name for name in TOOLS), *(ROOT / name for name in data)}
    for name in {name.partition(".")[0] for names in wanted.values() for name in names}:
        files |= imported(HERE / "figures" / f"{name}.py")
    for ref in listings:
        module = ref.split(":")[0].removeprefix("src=")
        if module.startswith("notebooks/"):
            files |= set((ROOT / "notebooks").glob(f"{module.removeprefix('notebooks/')}_*.ipynb"))
        else:
            files.add(ROOT.joinpath(*module.split(".")).with_suffix(".py"))
    return {file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.name: digest(file) for file in sorted(files) if file.is_file()}


def stale(name, entry, folder=BUILT):
    """Why the built deck `name` is not what its sources would give now; "" if it is."""
    for file, checksum in entry["sources"].items():
        if not (ROOT / file).is_file() or digest(ROOT / file) != checksum:
            return f"slides/built/{name} is stale: {file} has changed since. Run make slides ONLY={name[:2]}."
    now = sources(HERE / f"{name}.md", [file for file in entry["sources"] if file.split("/")[0] in WATCHED])
    if extra := set(now) - set(entry["sources"]):
        return f"slides/built/{name} is stale: it now needs {sorted(extra)[0]}. Run make slides ONLY={name[:2]}."
    for file, checksum in entry["outputs"].items():
        if not (folder / file).is_file() or digest(folder / file) != checksum:
            return f"slides/built/{file} is not the file that was built. Run make slides ONLY={name[:2]}."
    return ""


# --- building ----------------------------------------------------------------------------------------------------

def write(path, data):
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(data if isinstance(data, bytes) else data.encode())
    part.replace(path)


def make_assets(deck, fresh=False):
    """Make what a deck uses into slides/_build. Returns the data files and notebooks that were read for it.

    What was made before from the same files is kept, unless `fresh`.
    """
    import matplotlib
    matplotlib.use("Agg")
    import figures
    from matplotlib.figure import Figure
    wanted, listings = references(deck.read_text(encoding="utf-8"))
    for ref in listings:
        write(BUILD / f"src-{hashlib.sha1(ref.encode()).hexdigest()[:12]}.py", listing(ref))
    read, keys, moved = set(), {}, {}
    for kind, names in wanted.items():
        for name in names:
            function, module = lookup(name), HERE / "figures" / f"{name.partition('.')[0]}.py"
            key = keys[module] = keys.get(module) or {file.relative_to(ROOT).as_posix(): digest(file) for file in sorted({*imported(module), *(ROOT / t for t in TOOLS[:1])})}
            path = BUILD / f"{name}.json"
            old = json.loads(path.read_text(encoding="utf-8")) if path.exists() and not fresh else {}
            if module not in moved:                            # a module keeps what it has read, for all its functions
                moved[module] = any(not (ROOT / file).is_file() or digest(ROOT / file) != checksum for file, checksum in data_of(module).items())
            if old.get("key") != key or moved[module]:
                with matplotlib.rc_context(figures.STYLE), Opened() as opened:
                    try:
                        result = function()
                    except ValueError as error:
                        raise Stop(f"{name}: {error}") from error
                    kinds = {Figure: make_figure, figures.Frames: make_frames, str: lambda text, name: {"kind": "text", "text": text}}
                    make = next((make for type_, make in kinds.items() if isinstance(result, type_)), None)
                    if make is None:
                        raise Stop(f"{name} returned {type(result).__name__}: a Figure, Frames or a str is wanted.")
                    old = {**make(result, name), "key": key}
                old["data"] = {file: digest(ROOT / file) for file in sorted(opened.files)}
                write(path, json.dumps(old))
            if old["kind"] != kind:
                raise Stop(f"{name} is of the kind {old['kind']}, but {deck.name} uses it as {kind}.")
    for module in keys:
        read |= set(data_of(module))
    return read


def data_of(module):
    """{file: checksum} of the data and notebooks that were read for anything that a module of figures has made."""
    functions = vars(importlib.import_module(f"figures.{module.stem}"))
    made = (json.loads(path.read_text(encoding="utf-8")) for path in BUILD.glob(f"{module.stem}.*.json") if path.suffixes[0][1:] in functions)
    return {file: checksum for old in made for file, checksum in old.get("data", {}).items()}


class Opened:
    """The files under data/ and notebooks/ that are opened inside a with block."""
    _watching, _added = None, False

    def __enter__(self):
        from ddpm_lib import weights  # safetensors opens its files without Python's knowledge
        self.files, plain = set(), weights.safe_open
        self.patch = mock.patch.object(weights, "safe_open", lambda path, **options: (Opened._hook("open", [path]), plain(path, **options))[1])
        self.patch.start()
        Opened._watching = self.files
        if not Opened._added:
            sys.addaudithook(Opened._hook)
            Opened._added = True
        return self

    def __exit__(self, *_):
        Opened._watching = None
        self.patch.stop()

    @staticmethod
    def _hook(event, arguments):
        if Opened._watching is not None and event == "open" and isinstance(arguments[0], str | os.PathLike):
            path = pathlib.Path(os.path.abspath(arguments[0]))
            if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in WATCHED and path.suffix != ".py":
                Opened._watching.add(path.relative_to(ROOT).as_posix())


def marp(deck, kind, out):
    """Let Marp make one kind of file ("html", "pdf", "notes") of a deck."""
    environment = {**os.environ, "DECK_ASSETS": str(BUILD), "DECK_PAPER": "1" if kind == "pdf" else ""}
    if kind == "pdf":
        if not chromium():
            raise Stop("Chromium is missing, which prints the PDF: install it (Debian: sudo apt-get install chromium) or set CHROME_PATH.")
        environment["CHROME_PATH"] = chromium()
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            environment["CHROME_NO_SANDBOX"] = "1"             # Chromium refuses its sandbox as root
    options = {"html": [], "pdf": ["--pdf", "--pdf-outlines"], "notes": ["--notes"]}[kind]
    out.mkdir(parents=True, exist_ok=True)
    target = out / (f"{deck.stem}.notes.txt" if kind == "notes" else f"{deck.stem}.{kind}")
    command = [shutil.which("node") or "node", str(HERE / "node_modules/@marp-team/marp-cli/marp-cli.js"), "-c", str(HERE / "marp.config.mjs"),
               *options, "-o", str(target), str(deck)]
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode or not target.exists():
        raise Stop(f"Marp could not make {target.name}:\n{(done.stderr or done.stdout).strip()[-1500:]}")
    if kind == "html":
        write(target, glyphs_once(target.read_text(encoding="utf-8")))
    if kind == "pdf":
        shapes_once(target)


def glyphs_once(page):
    """The same page with each letter of its formulas written once, and referred to where it is used: a third of the bytes."""
    letters = re.compile(r'<path data-c="[0-9A-F]+" d="([^"]{40,})"([^>]*)></path>')
    numbers = {d: f"g{k:x}" for k, d in enumerate(dict.fromkeys(d for d, _ in letters.findall(page)))}
    store = "".join(f'<path id="{number}" d="{d}"/>' for d, number in numbers.items())
    page = letters.sub(lambda m: f'<use href="#{numbers[m[1]]}"{m[2]}/>', page)
    return page.replace("</body>", f'<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>{store}</defs></svg></body>', 1)


def shapes(data):
    """The lines of a PDF page, cut into (is it a filled shape?, bytes)."""
    held = []
    for line in data.splitlines(keepends=True):
        if line.endswith((b" m\n", b" l\n", b" c\n", b" v\n", b" y\n")) or line == b"h\n":
            held.append(line)
        elif line in (b"f\n", b"f*\n") and held:
            yield True, b"".join([*held, line])
            held = []
        else:
            yield False, b"".join([*held, line])
            held = []
    yield False, b"".join(held)


def shapes_once(path):
    """Rewrite a PDF with each filled shape that comes again, above all the letters of formulas, stored once."""
    import pypdf
    from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, StreamObject
    pdf = pypdf.PdfWriter(clone_from=path)
    pages = [(page, list(shapes(page.get_contents().get_data()))) for page in pdf.pages]
    count = collections.Counter(part for _, parts in pages for filled, part in parts if filled and len(part) > 200)
    stored = {}
    for k, part in enumerate(part for part, times in count.items() if times > 1):
        form = StreamObject()
        form.set_data(part)
        form.update({NameObject("/Type"): NameObject("/XObject"), NameObject("/Subtype"): NameObject("/Form"), NameObject("/Resources"): DictionaryObject(),
                     NameObject("/BBox"): ArrayObject(map(NumberObject, (-9999, -9999, 9999, 9999)))})
        stored[part] = NameObject(f"/Shape{k}"), pdf._add_object(form.flate_encode())
    for page, parts in pages:
        page["/Contents"].get_object().set_data(b"".join(stored[part][0].encode() + b" Do\n" if part in stored else part for _, part in parts))
        used = dict(stored[part] for _, part in parts if part in stored)
        page["/Resources"].get_object().setdefault(NameObject("/XObject"), DictionaryObject()).get_object().update(used)
    buffer = io.BytesIO()
    pdf.write(buffer)
    write(path, buffer.getvalue())


def minutes(deck):
    """Minutes that the notes of a deck give each slide: (n min) at the beginning of a note."""
    return [float(m) for m in re.findall(r"^<!--\s*\((\d+(?:\.\d+)?) min\)", deck.read_text(encoding="utf-8"), re.M)]


def build(decks, out, kinds=("html", "pdf", "notes"), fresh=False, manifest=True):
    """Build decks into a folder; with `manifest`, write there what they were made from."""
    sys.path[:0] = [path for path in (str(ROOT), str(HERE)) if path not in sys.path]
    node_packages()
    import torch  # noqa: F401  so that the first deck's time is its own
    for deck in decks:
        began = time.perf_counter()
        data = make_assets(deck, fresh)
        made = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor() as together:
            list(together.map(lambda kind, deck=deck: marp(deck, kind, out), kinds))
        files = [out / f"{deck.stem}.{end}" for end in ("html", "pdf", "notes.txt") if (out / f"{deck.stem}.{end}").exists()]
        if manifest:
            path = out / MANIFEST
            table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            table[deck.stem] = {"sources": sources(deck, data), "outputs": {file.name: digest(file) for file in files}}
            write(path, json.dumps(dict(sorted(table.items())), indent=1) + "\n")
        sizes = ", ".join(f"{file.suffix[1:]} {file.stat().st_size / 1000:.0f} KB" for file in files if file.suffix != ".txt")
        plan = minutes(deck)
        print(f"{deck.stem}: {len(plan)} slides, {sum(plan):g} minutes; {sizes}; pictures {made - began:.1f} s, Marp {time.perf_counter() - made:.1f} s", flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Build the decks of the course.")
    parser.add_argument("--only", default="", help="beginning of a deck's name, for example 02")
    parser.add_argument("--serve", action="store_true", help="show the decks on this machine and build them again when they change")
    parser.add_argument("--html", action="store_true", help="only the HTML files")
    parser.add_argument("--fresh", action="store_true", help="make all pictures again, even those whose sources did not change")
    parser.add_argument("--src", type=pathlib.Path, default=HERE, help="folder with decks (for tests)")
    parser.add_argument("--out", type=pathlib.Path, default=BUILT, help="where to put them; a manifest is written into slides/built only")
    given = parser.parse_args(arguments)
    try:
        if given.serve:
            decks(given.only)                                  # there are some
            from serve import serve  # a file of its own: a change there makes no deck stale

            serve(given.only)
        else:
            out = given.out.resolve()
            build(decks(given.only, given.src.resolve()), out, ("html",) if given.html else ("html", "pdf", "notes"), given.fresh, out == BUILT)
    except Stop as sentence:
        sys.exit(f"slides: {sentence}")


if __name__ == "__main__":
    main()
