"""Run, tidy and inspect the notebooks of the course.

    python tools/notebooks.py run notebooks/02_*.ipynb     run from top to bottom in a fresh kernel, save canonically
    python tools/notebooks.py form notebooks/*.ipynb       list what is wrong with their form (runs nothing)
    python tools/notebooks.py canon notebooks/*.ipynb      save canonically, with badge and first cell as in pyproject
    python tools/notebooks.py home OWNER/NAME [BRANCH]     the course lives there now: pyproject, badges, first cells, texts
    python tools/notebooks.py home                         say where it lives, and list what still points elsewhere

`run` leaves a file as it was when one of its cells fails. BRANCH is main unless it is named.
"""
import argparse
import copy
import hashlib
import json
import os
import pathlib
import re
import sys
import tempfile
import tomllib

import nbformat

ROOT = pathlib.Path(__file__).resolve().parents[1]
OUTPUT_LIMIT, FILE_LIMIT = 300_000, 1_200_000                  # bytes
CELL_LIMIT, LINE_LIMIT = 45, 25                                # code cells in a notebook, lines in a code cell
WORDS = 2_000, 3_500
CELL_TIMEOUT = 900                                             # seconds
VIEW = "application/vnd.jupyter.widget-view+json"
LIVE = ("[live",)                                              # how the text of a widget begins (course/explore.py)
NBVAL_TAGS = {"nbval-ignore-output", "nbval-check-output", "nbval-raises-exception", "raises-exception"}
FORBIDDEN = re.compile(r"\b(simply|just|clearly|obviously|trivial|trivially|easy to see)\b", re.IGNORECASE)
LOCAL_PATH = re.compile(r"(?<![\w.\-/])/(?:home|Users|root|work|tmp)/\w|\b[A-Za-z]:\\{1,2}\w")
BADGE = re.compile(r"https://colab\.research\.google\.com/github/[^\s)\"'>]+")
CHAPTER = re.compile(r"\d\d_\w+\.ipynb")
NAME = "diffusion-from-scratch"                                # what the course is called, whoever owns a copy of it
NOT_OURS = {"_build", "build", "built", "html", "node_modules", "runs", "venv", "env", "site-packages"}                   # folders in which nobody writes

_FIRST_CELL = '''\
# Setup: run this cell first. On Colab it also fetches the course, which takes about ten seconds.
import importlib.util, io, os, sys, tempfile, urllib.error, urllib.request, zipfile
if importlib.util.find_spec("ddpm_lib") is None:
    if "COLAB_RELEASE_TAG" not in os.environ:
        raise RuntimeError("ddpm_lib is not installed: type `pip install -e .` in the course folder, then restart.")
    home = os.environ.get("COURSE_SRC", "https://github.com/REPOSITORY")
    folder = os.path.abspath("ddpm-course")
    try:
        if not os.path.exists(f"{folder}/ddpm_lib"):
            try:
                answer = urllib.request.urlopen(f"{home}/archive/refs/heads/BRANCH.zip", timeout=60)
            except urllib.error.HTTPError:                     # the branch is gone: take the repository's main one
                answer = urllib.request.urlopen(f"{home}/archive/HEAD.zip", timeout=60)
            course = zipfile.ZipFile(io.BytesIO(answer.read()))
            course.getinfo((top := course.namelist()[0]) + "ddpm_lib/__init__.py")
            with tempfile.TemporaryDirectory(dir=".") as new:
                course.extractall(new)
                os.rename(f"{new}/{top}", folder)              # only a whole course ever has this name
    except Exception as error:
        raise RuntimeError(f"The course could not be fetched from {home} ({error}): check the network and this "
                           "address, delete the folder ddpm-course if there is one, and run this again.") from None
    sys.path.insert(0, folder)
from ddpm_lib.course import setup
setup()'''


def repository(root=ROOT):
    """(owner/name, branch) from [tool.ddpm-course] of pyproject.toml."""
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ddpm-course"]
    return table["repository"], table["branch"]


HOME = REPOSITORY, BRANCH = repository()


def first_cell(home=HOME):
    """The first code cell of every notebook. home: (owner/name, branch)."""
    return _FIRST_CELL.replace("REPOSITORY", home[0]).replace("BRANCH", home[1])


FIRST_CELL = first_cell()


def badge_url(path, home=HOME):
    """Where Colab opens the notebook of this file name."""
    return f"https://colab.research.google.com/github/{home[0]}/blob/{home[1]}/notebooks/{pathlib.Path(path).name}"


def badge(path):
    """The Markdown of the link to Colab, for the first cell of a notebook; no picture, which would be fetched from outside."""
    return f"**[Open in Colab]({badge_url(path)})**"


# --- canonical form ----------------------------------------------------------------------------------------------

def canonical(nb, path, home=HOME):
    """A copy of a notebook in the one form that is committed: same content, same bytes.

    Execution counts 1..N, ids from the content, merged streams, no stderr, no widget views or states, no timings,
    a cell for each heading, metadata of cells reduced to tags and their place in a slide show; badge and first cell as
    the repository `home`, (owner/name, branch), has them.
    """
    new = nbformat.v4.new_notebook(metadata={
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"}})
    seen, count, first = {}, 0, True
    for old in (part for cell in nb.cells for part in sections(cell)):
        cell = nbformat.NotebookNode(cell_type=old.cell_type, metadata={}, source=old.source.strip("\n"))
        if old.metadata.get("tags"):
            cell.metadata["tags"] = list(dict.fromkeys(old.metadata["tags"]))
        cell.metadata["slideshow"] = {"slide_type": slide_type(cell)}
        if cell.cell_type == "markdown":
            cell.source = BADGE.sub(badge_url(path, home), cell.source)
        if cell.cell_type == "code":
            if first and cell.source.startswith("# Setup: run this cell first."):
                cell.source = first_cell(home)
            first, ran = False, bool(cell.source.strip()) and old.execution_count is not None
            count += ran
            cell.execution_count = count if ran else None
            cell.outputs = canonical_outputs(old.outputs, cell.execution_count)
        cell.id = cell_id(cell, seen)
        new.cells.append(cell)
    return new


def sections(cell):
    """A cell, or the cells that a text is cut into, so that each of its headings begins one."""
    if cell.cell_type != "markdown":
        return [cell]
    parts, fenced = [[]], False
    for line in cell.source.splitlines():
        fenced ^= line.startswith("```")
        if not fenced and line.startswith(("## ", "### ")) and any(map(str.strip, parts[-1])):
            parts.append([])
        parts[-1].append(line)
    return [nbformat.NotebookNode({**cell, "source": "\n".join(part)}) for part in parts]


def slide_type(cell):
    """Where a cell stands when the notebook is presented (slides/README.md): a chapter's section begins a slide, other text
    the next screen below, code appears under the text before it."""
    if cell.cell_type == "code":
        return "fragment"
    if cell.source.startswith("## References"):
        return "skip"
    return "slide" if cell.source.startswith(("# ", "## ")) else "subslide"


def cell_id(cell, seen):
    """Eight letters from a cell's source, and a number when the same source comes again."""
    key = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
    seen[key] = seen.get(key, 0) + 1
    return key if seen[key] == 1 else f"{key}-{seen[key]}"


def canonical_outputs(outputs, count):
    """Outputs with streams merged, without stderr, widget views and passing metadata."""
    out = []
    for old in outputs:
        new = copy.deepcopy(old)
        if new.output_type == "stream":
            if new.name == "stderr":
                continue
            if out and out[-1].output_type == "stream":
                out[-1].text += new.text
                continue
        if "data" in new:
            new.data.pop(VIEW, None)                           # without a kernel it would show as an error
            new.data = {kind: data.strip() if kind == "image/png" else data for kind, data in sorted(new.data.items())}
            new.metadata = {kind: data for kind, data in new.metadata.items() if kind in new.data}
        if "execution_count" in new:
            new.execution_count = count
        out.append(new)
    return out


def to_text(nb):
    """The bytes of the file, as text: one form on every system."""
    return nbformat.writes(nb, version=4, indent=1, ensure_ascii=False).rstrip("\n") + "\n"


def save(nb, path):
    """Write a notebook in canonical form; the file is complete or as it was. Returns True if it changed."""
    return write(path, to_text(canonical(nb, pathlib.Path(path))))


def write(path, text):
    """Write a text file; it is complete or as it was. Returns True if it changed."""
    path, text = pathlib.Path(path), text.encode()
    if path.exists() and path.read_bytes() == text:
        return False
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".saving-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, path.stat().st_mode if path.exists() else 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return True


def execute(nb, folder, env=None, timeout=CELL_TIMEOUT):
    """Run a copy of a notebook from top to bottom in a fresh kernel of this Python, and return it.

    folder: where it runs; env: additions to the environment. Raises nbclient's CellExecutionError (or
    CellTimeoutError) when a cell fails.
    """
    from nbclient import NotebookClient
    nb = copy.deepcopy(nb)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    client = NotebookClient(nb, timeout=timeout, kernel_name="python3", store_widget_state=False,
                            extra_arguments=["--IPKernelApp.log_level=ERROR"],
                            resources={"metadata": {"path": str(folder)}})
    with tempfile.TemporaryDirectory() as none:                # a run begins with no exercise done, and notes none
        client.execute(env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYDEVD_DISABLE_FILE_VALIDATION": "1",
                            "DDPM_PROGRESS": os.path.join(none, "my_progress.txt"), **(env or {})})
    return nb


# --- where the course lives --------------------------------------------------------------------------------------

def sources(root=ROOT):
    """Every chapter and every Markdown file of the course, in order; not the notebooks that a reader keeps beside them."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in NOT_OURS and (name[0] != "." or name == ".github"))
        yield from (pathlib.Path(folder, name) for name in sorted(names) if name.endswith(".md") or CHAPTER.fullmatch(name))


def texts(path):
    """What stands in a Markdown file, or in the cells of a notebook."""
    if path.suffix == ".md":
        return [path.read_text(encoding="utf-8")]
    return ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def stale(root=ROOT):
    """Sentences about every badge, first cell and mention that points to another place than pyproject.toml; [] if none does."""
    home, found = repository(root), []
    names = "|".join(re.escape(name) for name in sorted({NAME, home[0].split("/")[1]}))
    mention = re.compile(rf"(?<![\w.-])[A-Za-z0-9-]+/(?:{names})(?![\w-])(?:/(?:blob|tree|raw)/[^\s)\"'>]+)?")
    for path in sources(root):
        for text in texts(path):
            where = path.relative_to(root).as_posix()
            if text.startswith("# Setup: run this cell first.") and text != first_cell(home):
                found.append(f"{where}: the first code cell is not FIRST_CELL of tools/notebooks.py")
            for link in BADGE.findall(text):
                notebook = path.name if path.suffix == ".ipynb" else link.rsplit("/", 1)[1]
                if link != badge_url(notebook, home) or not (root / "notebooks" / notebook).exists():
                    found.append(f"{where}: {link}")
            for link in mention.findall(BADGE.sub("", text)):
                if link != home[0] and not re.match(rf"{re.escape(home[0])}/\w+/{re.escape(home[1])}(/|$)", link):
                    found.append(f"{where}: {link}")
    return found


def check_home(name, branch):
    """Raise ValueError, in one sentence, unless these can be a repository and a branch on GitHub."""
    if not re.fullmatch(r"(?=.{1,39}/)[A-Za-z0-9]+(-[A-Za-z0-9]+)*/(?!\.{1,2}$)[\w.-]{1,100}", name, re.ASCII) or name.endswith(".git"):
        raise ValueError(f"{name!r} is no repository: write OWNER/NAME, as in {REPOSITORY}.")
    if not re.fullmatch(r"[\w][\w.-]*(/[\w][\w.-]*)*", branch, re.ASCII) or ".." in branch or re.search(r"(\.|\.lock)(/|$)", branch):
        raise ValueError(f"{branch!r} is no name of a branch: use letters, digits and - _ . / as in main or work/sliders.")


def set_home(name, branch="main", root=ROOT):
    """Let badges, first cells and texts of a copy of the course, and its pyproject.toml, point to OWNER/NAME and a branch.

    Each file is complete or as it was. pyproject.toml comes last, so after an interruption the same command goes on.
    Returns the paths that changed. Raises ValueError, in one sentence, for a malformed name, before anything is written.
    """
    check_home(name, branch)
    (old, old_branch), new = repository(root), {}
    linked = re.compile(rf"(?<![\w.-]){re.escape(old)}(?![\w-])(?:(/(?:blob|tree|raw)/){re.escape(old_branch)}(?![^/\s)\"'>]))?")

    def moved(text):
        return linked.sub(lambda found: name + (found[1] + branch if found[1] else ""), text)

    for path in sources(root):
        if path.suffix == ".md":
            new[path] = BADGE.sub(lambda found: badge_url(found[0], (name, branch)), moved(path.read_text(encoding="utf-8")))
            continue
        nb = nbformat.read(path, 4)
        for cell in nb.cells:
            cell.source = moved(cell.source)
        new[path] = to_text(canonical(nb, path, (name, branch)))
    project = root / "pyproject.toml"
    head, table = project.read_text(encoding="utf-8").split("[tool.ddpm-course]\n")
    for key, value in (("repository", name), ("branch", branch)):
        table = re.sub(rf'^{key} = ".*"$', f'{key} = "{value}"', table, count=1, flags=re.MULTILINE)
    new[project] = f"{head}[tool.ddpm-course]\n{table}"
    return [path for path, text in new.items() if write(path, text)]


def home(names):
    """The command: move the course, or say where it lives. Returns True if nothing points elsewhere."""
    if names:
        try:
            print(f"{len(set_home(*names))} files changed.")
        except ValueError as sentence:
            print(sentence, file=sys.stderr)
            return False
    print("The course lives at {}, branch {}.".format(*repository()))
    for text in (found := stale()):
        print(f"   points elsewhere: {text}", file=sys.stderr)
    return not found


# --- form --------------------------------------------------------------------------------------------------------

def faults(nb, path):
    """Everything that is wrong with the form of a notebook, as sentences; [] if nothing is.

    nb: a notebook as nbformat reads it; path: its file (only the name counts, and the size if it exists).
    """
    path = pathlib.Path(path)
    found = [*running_faults(nb), *size_faults(nb), *source_faults(nb)]
    for i, cell in enumerate(nb.cells):
        for output in cell.get("outputs", []):
            found += [f"cell {i}: {text}" for text in output_faults(output, cell)]
        found += [f"cell {i}: {text}" for text in tag_faults(nb, i)]
    return found + title_faults(nb, path) + anatomy_faults(nb) + prose_faults(nb)


def code_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def markdown(nb):
    return [cell.source for cell in nb.cells if cell.cell_type == "markdown"]


def running_faults(nb):
    """Run once, in order, everything; no widget state."""
    found = []
    counts = [cell.execution_count for cell in code_cells(nb)]
    if counts != list(range(1, len(counts) + 1)):
        found.append(f"not one run from top to bottom: the execution counts are {counts}")
    if "widgets" in nb.metadata:
        found.append("metadata.widgets: a saved widget state breaks viewers")
    ids = [cell.get("id") for cell in nb.cells]
    if None in ids or len(set(ids)) != len(ids):
        found.append("every cell needs an id of its own (run: tools/notebooks.py canon)")
    return found


def size_faults(nb):
    """Size of the file, number of cells and their length."""
    found = []
    size = len(json.dumps(nb, indent=1, ensure_ascii=False).encode()) + 1
    if size > FILE_LIMIT:
        found.append(f"the file has {size:,} bytes, {FILE_LIMIT:,} is the most")
    if len(code_cells(nb)) > CELL_LIMIT:
        found.append(f"{len(code_cells(nb))} code cells, {CELL_LIMIT} is the most")
    for i, cell in enumerate(nb.cells):
        lines = len(cell.source.splitlines())
        if cell.cell_type == "code" and lines > LINE_LIMIT:
            found.append(f"cell {i}: {lines} lines of code, {LINE_LIMIT} is the most")
    return found


def source_faults(nb):
    """No path of one machine in what was written."""
    return [f"cell {i}: a local path in the source: {bad.group()!r}" for i, cell in enumerate(nb.cells)
            if cell.source != FIRST_CELL and (bad := LOCAL_PATH.search(without_math(cell.source)))]


def output_faults(output, cell):
    """One output: no error, no stderr, no local path, small, with alternative text, and not only a widget."""
    data, found = output.get("data", {}), []
    if output.output_type == "error" and not {"raises-exception", "nbval-raises-exception"} & set(tags(cell)):
        found.append(f"an error is saved: {output.ename}: {output.evalue}")
    if output.get("name") == "stderr":
        found.append(f"stderr is saved: {output.text[:60]!r}")
    texts = [str(output.get("text", "")), *(str(value) for kind, value in data.items() if kind != "image/png"),
             "\n".join(output.get("traceback", []))]
    bad = LOCAL_PATH.search(re.sub(r"base64,[A-Za-z0-9+/=]+", "", "\n".join(texts)))
    if bad:
        found.append(f"a local path is saved: {bad.group()!r}")
    size = len(json.dumps(output, ensure_ascii=False).encode())
    if size > OUTPUT_LIMIT:
        found.append(f"an output of {size:,} bytes, {OUTPUT_LIMIT:,} is the most")
    if "image/png" in data and len(output.metadata.get("image/png", {}).get("alt", "")) < 20:
        found.append("a picture without alternative text (20 characters at least); use show(fig, alt)")
    live = VIEW in data or str(data.get("text/plain", "")).startswith(LIVE)
    if live and not any("image/png" in other.get("data", {}) for other in cell.outputs):
        found.append("a widget without a static picture in the same cell: readers without a kernel see nothing")
    if VIEW in data:
        found.append("a widget view is saved (run: tools/notebooks.py canon)")
    return found


def tags(cell):
    return cell.metadata.get("tags", [])


def tag_faults(nb, i):
    """Known tags only; an exercise cell has its check right after it."""
    cell, found = nb.cells[i], []
    names = [tag.removeprefix("exercise-") for tag in tags(cell) if tag.startswith("exercise-")]
    unknown = [tag for tag in tags(cell) if tag not in NBVAL_TAGS and not tag.startswith("exercise-")
               and tag != "exercise"]
    if unknown:
        found.append(f"unknown tags {unknown}; known are {sorted(NBVAL_TAGS)}, exercise, exercise-<name>")
    if "exercise" in tags(cell) and len(names) != 1 or names and "exercise" not in tags(cell):
        found.append(f"an exercise cell needs the tags exercise and exercise-<name>, it has {tags(cell)}")
    for name in names:
        check = f'my_{name} = check("{name}", my_{name})'
        after = nb.cells[i + 1] if i + 1 < len(nb.cells) else None
        if after is None or after.cell_type != "code" or check not in after.source.splitlines():
            found.append(f"the cell after exercise {name} must be: {check}")
    return found


def title_faults(nb, path):
    """Title and number, badge, promise, and the minutes to read and to run."""
    first = nb.cells[0] if nb.cells else None
    if first is None or first.cell_type != "markdown":
        return ["the first cell must be Markdown, with the title"]
    found, lines = [], first.source.splitlines()
    number = path.name[:2]
    if not re.match(rf"# {re.escape(number)} \S", lines[0] if lines else ""):
        found.append(f"the first line must be '# {number} Title', it is {lines[0] if lines else ''!r}")
    if badge_url(path) not in first.source:
        found.append(f"the Colab badge is missing or points elsewhere; it must be {badge(path)}")
    paragraphs = [p for p in re.split(r"\n\s*\n", first.source) if not p.startswith("#") and "colab" not in p]
    if not any(re.search(r"\w[.!?]", p) for p in paragraphs):
        found.append("the first cell must promise in a sentence what the reader will have at the end")
    for word in ("to read", "to run"):
        if word not in first.source:
            found.append(f"the first cell must say how long the chapter takes {word}")
    return found


def headings(text):
    """[(level, words)] of a Markdown text, outside code."""
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    return [(len(m[1]), m[2].strip()) for m in re.finditer(r"^(#{1,6})\s+(.+)$", text, re.MULTILINE)]


def anatomy_faults(nb):
    """The parts of a chapter, in their order; headings one level at a time."""
    found, code = [], code_cells(nb)
    if not code or code[0].source != FIRST_CELL:
        found.append("the first code cell must be FIRST_CELL of tools/notebooks.py (run: tools/notebooks.py canon)")
    where = {name: None for name in ("After this chapter you can", "setup", "exercise", "What goes wrong", "Summary",
                                     "References")}
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "code":
            part = "setup" if cell.source == FIRST_CELL else "exercise" if "exercise" in tags(cell) else None
            if part and where[part] is None:
                where[part] = i
            continue
        position = 0
        for _, words in headings(cell.source):
            position += 0.01
            for name in ("What goes wrong", "Summary", "References"):
                if where[name] is None and name.lower() in words.lower():
                    where[name] = i + position
        if where["After this chapter you can"] is None and "After this chapter you can" in cell.source:
            where["After this chapter you can"] = i
    found += [f"a part is missing: {name}" for name, place in where.items() if place is None]
    order = [place for place in where.values() if place is not None]
    if order != sorted(order):
        found.append(f"the parts must come in this order: {', '.join(where)}")
    return found + heading_faults(nb)


def heading_faults(nb):
    """One first level, and no level left out."""
    found, before, top = [], 0, 0
    for level, words in (heading for text in markdown(nb) for heading in headings(text)):
        top += level == 1
        if level > before + 1:
            found.append(f"the heading {words!r} has level {level} after level {before}")
        before = level
    if top != 1:
        found.append(f"{top} headings of the first level, there must be one")
    return found


def without_math(text):
    """Markdown with formulas taken out."""
    text = re.sub(r"\$\$.*?\$\$", " ", text, flags=re.DOTALL)
    return re.sub(r"(?<!\\)\$[^$\n]+\$", " formula ", text)


def prose(nb):
    """The words of a notebook: Markdown without code, formulas, links and tags."""
    text = "\n\n".join(markdown(nb))
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]+`", " code ", without_math(text))
    text = re.sub(r"\]\([^)]*\)", "] ", text)
    return re.sub(r"<[^>\n]+>|https?://\S+", " ", text)


def prose_faults(nb):
    """Enough words, not too many, and none of the words that make a reader feel slow."""
    text = prose(nb)
    found = [f"the word {m.group()!r} in: ...{text[max(0, m.start() - 30):m.end() + 20]!r}"
             for m in FORBIDDEN.finditer(text)]
    count = len(re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text))
    if not WORDS[0] <= count <= WORDS[1]:
        found.append(f"{count:,} words of prose, {WORDS[0]:,} to {WORDS[1]:,} are wanted")
    return found


# --- command line ------------------------------------------------------------------------------------------------

def short(text, head=30, tail=12):
    """A traceback without colours and without its long middle."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines()
    return "\n".join(lines if len(lines) <= head + tail else [*lines[:head], "   ...", *lines[-tail:]])


def one(command, path):
    """Do one command to one file. Returns True if all is well."""
    nb = nbformat.read(path, 4)
    if command == "form":
        found = faults(nb, path)
        print(f"{path.name}: " + ("in good form" if not found else f"{len(found)} faults"))
        for text in found:
            print(f"   {text}")
        return not found
    if command == "run":
        try:
            nb = execute(nb, path.parent)
        except Exception as error:                             # the file stays as it was
            print(f"{path.name}: {type(error).__name__}\n{short(str(error))}", file=sys.stderr)
            return False
        for i, cell in enumerate(nb.cells):
            for output in cell.get("outputs", []):
                if output.get("name") == "stderr":             # it is not saved, but the author should know
                    print(f"{path.name}: cell {i} warns: {short(output.text)}", file=sys.stderr)
    print(f"{path.name}: " + ("saved" if save(nb, path) else "unchanged"))
    return True


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["run", "form", "canon", "home"])
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK | OWNER/NAME [BRANCH]")
    options = parser.parse_args(argv)
    if options.command == "home":
        if len(options.names) > 2:
            parser.error("home takes OWNER/NAME and a branch")
        return int(not home(options.names))
    if not options.names:
        parser.error(f"{options.command} needs a notebook, as in: {options.command} notebooks/02_*.ipynb")
    return int(not all([one(options.command, pathlib.Path(name)) for name in options.names]))


if __name__ == "__main__":
    sys.exit(main())
