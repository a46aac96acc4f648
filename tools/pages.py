"""The chapters as web pages: each one file, that opens without a network, without Python and without a server.

    python tools/pages.py notebooks/*.ipynb --out html        (make html)

nbconvert makes a page of each notebook as it was saved (nothing is run), with the template, style and script of
tools/page. KaTeX typesets the formulas beforehand, and its fonts travel inside the file; a formula that it cannot read
stops the export. Sliders move, because their scripts are in the outputs. index.html lists the chapters with what they promise.
Needs Node.js 18 or newer; KaTeX is among the packages that slides/package-lock.json pins.
(Not called html.py: Python would take it for its own module html.)
"""
import argparse
import base64
import html
import json
import pathlib
import re
import shutil
import subprocess
import sys

import nbformat
from jinja2 import pass_context
from mistune.plugins.table import render_table_cell
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "slides"))
import build  # noqa: E402

COURSE = "Diffusion from scratch"
KATEX = ROOT / "slides" / "node_modules" / "katex" / "dist"
CHAPTER = re.compile(r"(?:\./)?(\d\d_\w+)\.ipynb(#.*)?")
FORMULA = re.compile(r'([(\[]*)<span data-formula="(\d+)"></span>([,.;:!?)\]]*)')
IN_HTML = re.compile(r"(?P<leave><code\b.*?</code>|<[^>]*>)|(?<![\\$])(?P<marks>\$\$?)(?P<tex>[^$]+?)(?P=marks)", re.S)
LIVE = re.compile(r"\[live( slider)?[,:] (.*?); run this cell to ([^:\]]*).*\]\s*", re.S)
FACE = re.compile(r"@font-face\{[^}]*\}")


# --- from Markdown to HTML ---------------------------------------------------------------------------------------

class Formulas:
    """The formulas of all pages, each with the place it comes from; asked of Node once, when all are known."""

    def __init__(self):
        self.found = []

    def place(self, tex, display, where):
        """What stands for a formula until fill(). where: notebook and cell, for a message."""
        self.found.append({"tex": tex.strip(), "display": display, "where": where})
        return f'<span data-formula="{len(self.found) - 1}"></span>'

    def typeset(self):
        """Let KaTeX make all of them. Raises build.Stop if one cannot be read, or if Node.js is missing."""
        node = shutil.which("node")
        if not node:
            raise build.Stop("Node.js is missing: install it (Debian, Ubuntu: sudo apt-get install nodejs npm; macOS: brew install node), then run this again.")
        build.node_packages()
        done = subprocess.run([node, str(HERE / "pages.mjs")], input=json.dumps(self.found), capture_output=True, text=True, encoding="utf-8")
        if done.returncode:
            raise build.Stop(f"the formulas could not be typeset:\n{done.stderr.strip()[-800:]}")
        for formula, made in zip(self.found, json.loads(done.stdout), strict=True):
            if "error" in made:
                raise build.Stop(f"{formula['where']}: KaTeX cannot read the formula {formula['tex']!r}: {made['error']}.")
            formula["html"] = made["html"]

    def fill(self, page):
        """A page with its formulas in it, each kept on one line with the bracket before it and the stop after it."""
        def put(m):
            made = self.found[int(m[2])]["html"]
            breaks = made.replace('</span><span class="base">', '</span><wbr><span class="base">')
            return f'<span class="keep">{m[1]}{breaks}{m[3]}</span>' if m[1] or m[3] else made

        return FORMULA.sub(put, page)


class Renderer(IPythonRenderer):
    """Markdown of one cell: formulas collected, headings that can be linked to, links between chapters, no picture from elsewhere."""

    def __init__(self, formulas, where, headings):
        super().__init__(escape=False, exclude_anchor_links=True)
        self.formulas, self.where, self.headings = formulas, where, headings

    def inline_math(self, body):
        return self.formulas.place(body, False, self.where)

    def block_math(self, body):
        return self.formulas.place(body, True, self.where)

    def latex_environment(self, name, body):
        return self.formulas.place(f"\\begin{{{name}}}{body}\\end{{{name}}}", True, self.where)

    def block_html(self, html):
        return self.inline_html(html)

    def inline_html(self, text):
        """HTML in a cell may hold formulas too, as the answers in <details> do."""
        return IN_HTML.sub(lambda m: m["leave"] or self.formulas.place(html.unescape(m["tex"]), m["marks"] == "$$", self.where), text)

    def heading(self, text, level, **attrs):
        words = re.sub(r"<[^>]*>", "", text)
        slug = re.sub(r"\W+", "-", html.unescape(words).lower()).strip("-") or "section"
        number = sum(slug == other.rpartition("--")[0] or slug == other for other, *_ in self.headings)
        slug += f"--{number + 1}" if number else ""
        self.headings.append((slug, level, text))
        return f'<h{level} id="{slug}">{text}</h{level}>\n'

    def link(self, text, url, title=None):
        chapter = CHAPTER.fullmatch(url)
        return super().link(text, f"{chapter[1]}.html{chapter[2] or ''}" if chapter else url, title)

    def image(self, text, url, title=None):
        return text if url.startswith(("http:", "https:")) else super().image(text, url, title)

    def table_cell(self, text, align=None, head=False):
        """A cell; an empty one above a column of names heads nothing, so it is no heading."""
        return render_table_cell(self, text, align, head and bool(text.strip()))

    def table(self, text):
        return f'<div class="scroll"><table>\n{text}</table></div>\n'


class Exporter(HTMLExporter):
    """nbconvert with the template tools/page."""

    def __init__(self, formulas):
        self.formulas, self.headings, self.notebook = formulas, [], ""
        super().__init__(config=Config({"TemplateExporter": {"extra_template_basedirs": [str(HERE)]}}), template_name="page")

    def markdown(self, text, where):
        return MarkdownWithMath(renderer=Renderer(self.formulas, where, self.headings)).render(text)

    @pass_context
    def markdown2html(self, context, source):
        number = next(k for k, cell in enumerate(context["nb"].cells, 1) if cell is context["cell"])
        return self.markdown(source, f"{self.notebook}, cell {number}")

    def default_filters(self):
        yield from super().default_filters()
        yield "live_note", live_note
        yield "alone", lambda text: bool(LIVE.fullmatch(text))

    def export(self, nb, path, around):
        """The page of a notebook, with places for formulas and fonts. around: (chapter before or None, chapter after or None)."""
        self.headings, self.notebook = [], path.name
        page, _ = self.from_notebook_node(nb, {"course": COURSE, "title": title(nb, path), "notebook": path.name, "around": around})
        sections = "".join(f'<li><a href="#{slug}">{text}</a></li>' for slug, level, text in self.headings if level == 2)
        return page.replace("<!--SECTIONS-->", re.sub(r' id="[^"]*"', "", sections), 1)


def live_note(text):
    """What a page without Python says in the place of a widget."""
    slider, what, use = LIVE.fullmatch(text).groups()
    name = f"A slider ({what}) belongs here" if slider else f"A button “{what}” belongs here"
    return f"({name}; it needs Python. Open the notebook in JupyterLab and run this cell to {use}.)"


# --- pages -------------------------------------------------------------------------------------------------------

def title(nb, path):
    """The first heading of a notebook."""
    heading = re.search(r"^# +(.+)$", nb.cells[0].source if nb.cells else "", re.M)
    return heading[1].strip() if heading else path.stem


def promise(nb):
    """The Markdown of what a chapter promises, and of how long it takes: the first cell without heading and link to Colab."""
    return "\n\n".join(part for part in nb.cells[0].source.split("\n\n") if not part.startswith(("#", "**[Open in Colab]"))) if nb.cells else ""


def style(page):
    """The style of a page with only those fonts of KaTeX in it that its formulas use, as data."""
    css, own = (KATEX / "katex.min.css").read_text(encoding="utf-8"), (HERE / "page" / "page.css").read_text(encoding="utf-8")
    used = {word for classes in re.findall(r'class="([^"]*)"', page) for word in classes.split()}
    families = {family for classes, family in re.findall(r"([^{}]*)\{[^}]*font-family:(KaTeX_\w+)", FACE.sub("", css))
                if any(set(re.findall(r"\.([\w-]+)", selector)) <= used for selector in classes.split(","))}
    families |= {"KaTeX_Main"} if "katex" in used else set()
    weights = {"bold": "mathbf textbf boldsymbol mathboldsf textboldsf", "italic": "mathit textit mathnormal boldsymbol"}
    wanted = {key for key, words in weights.items() if used & set(words.split())}

    def face(rule):
        family, file = re.search(r'font-family:"?(\w+)', rule[0])[1], re.search(r"fonts/([\w-]+\.woff2)", rule[0])[1]
        kind = {"bold"} & {"bold" if "font-weight:700" in rule[0] else ""} | {"italic"} & {"italic" if "font-style:italic" in rule[0] else ""}
        if family not in families or not kind <= wanted:
            return ""
        data = base64.b64encode((KATEX / "fonts" / file).read_bytes()).decode()
        return re.sub(r"src:[^;}]*", f'src:url("data:font/woff2;base64,{data}") format("woff2")', rule[0])

    return (FACE.sub(face, css) if families else "") + own


def finished(page, formulas):
    """A page with formulas, style and script filled in."""
    page = formulas.fill(page)
    script = (HERE / "page" / "page.js").read_text(encoding="utf-8")
    return page.replace("/*STYLE*/", style(page), 1).replace("/*SCRIPT*/", script, 1)


def export(paths, out):
    """Write the page of each notebook, and index.html, into the folder `out`. Returns the files written.

    Raises build.Stop, with nothing written, if a notebook cannot be read or one of its formulas not be typeset.
    """
    formulas, pages = Formulas(), {}
    exporter = Exporter(formulas)
    books = {path: read(path) for path in dict.fromkeys(paths)}
    for path, nb in books.items():
        row = sorted(path.parent.glob("[0-9][0-9]_*.ipynb"))
        at = row.index(path) if path in row else -1
        near = [row[k] if at >= 0 and 0 <= k < len(row) else None for k in (at - 1, at + 1)]
        pages[f"{path.stem}.html"] = exporter.export(nb, path, [other and (f"{other.stem}.html", title(read(other), other)) for other in near])
    folder = paths[0].parent
    listed = {path: books.get(path) or read(path) for path in sorted({*folder.glob("[0-9][0-9]_*.ipynb"), *books})
              if path in books or (out / f"{path.stem}.html").exists()}
    pages["index.html"] = index(exporter, listed)
    formulas.typeset()
    for name, page in pages.items():
        build.write(out / name, finished(page, formulas))
    return [out / name for name in pages]


def read(path):
    """A notebook. Raises build.Stop if it is none."""
    try:
        return nbformat.read(path, 4)
    except FileNotFoundError:
        raise build.Stop(f"{path} does not exist: name a notebook of the course, as notebooks/02_forward_noising.ipynb.") from None
    except Exception as error:
        raise build.Stop(f"{path} cannot be read as a notebook ({str(error).splitlines()[0]}).") from None


def index(exporter, books):
    """The page that lists the chapters: what each promises, and how long it takes."""
    rows = []
    for path, nb in books.items():
        exporter.headings = []
        words = exporter.markdown(promise(nb), f"{path.name}, cell 1")
        rows.append(f'<li><h2><a href="{path.stem}.html">{html.escape(title(nb, path))}</a></h2>{words}</li>')
    template = exporter.environment.get_template("list.html.j2")
    return template.render(course=COURSE, rows="\n".join(rows))


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Make a web page of each notebook, that opens without a network.")
    parser.add_argument("notebooks", nargs="+", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "html", help="folder for the pages")
    given = parser.parse_args(arguments)
    try:
        written = export([path.resolve() for path in given.notebooks], given.out.resolve())
    except build.Stop as sentence:
        sys.exit(f"html: {sentence}")
    for file in written:
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")
    print(f"Open {written[-1]} in a browser.")


if __name__ == "__main__":
    main()
