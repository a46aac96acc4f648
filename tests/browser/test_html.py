"""The chapters as web pages (tools/pages.py), opened from file:// in a Chromium that reaches nothing else: formulas, sliders,
pages without scripts, on a phone and on paper, links, and what axe-core finds. And the notebooks' own alternative texts, links
and headings. Needs Node.js for the pages; where it is missing the tests skip, and say what to install.
"""
import base64
import functools
import html
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from urllib.parse import unquote

import nbformat
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
AXE = ROOT / "slides" / "node_modules" / "axe-core" / "axe.min.js"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
CHAPTERS = [path.stem for path in NOTEBOOKS]
PAGES = [*CHAPTERS, "index"]
MOVING = 'div[class^="fs-"], div[class^="lp-"], div[class^="um-"]'
LIMIT = 1_700_000                            # bytes of a page

every_chapter = pytest.mark.parametrize("name", CHAPTERS)
every_page = pytest.mark.parametrize("name", PAGES)
wide_and_narrow = pytest.mark.parametrize("width", [1280, 360])


def run(*arguments, **more):
    """tools/pages.py in a process of its own."""
    more["env"] = {**(more.get("env") or os.environ), "PYTHONUTF8": "1"}
    return subprocess.run([sys.executable, str(ROOT / "tools" / "pages.py"), *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", **more)


@pytest.fixture(scope="session")
def node():
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node.js is missing: install it (Debian, Ubuntu: sudo apt-get install nodejs npm; macOS: brew install node).")


@pytest.fixture(scope="session")
def pages(node, tmp_path_factory):
    """The folder with all pages, made once."""
    out = tmp_path_factory.mktemp("html")
    done = run(*NOTEBOOKS, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def show(browser):
    """show(file, width): a page with .outside, requests to anything but the file itself, and .errors."""
    contexts = []

    def opened(file, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        contexts.append(context)
        page, url = context.new_page(), file.resolve().as_uri()
        page.outside, page.errors = [], []

        def gate(route):
            if route.request.url.split("#")[0] == url:
                return route.continue_()
            page.outside.append(route.request.url[:200])
            return route.abort()

        context.route(re.compile("^(?!data:|blob:)"), gate)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and page.errors.append(message.text))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()


@functools.cache
def notebook(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)


def texts(name):
    """The Markdown cells of a notebook."""
    return [cell.source for cell in notebook(name).cells if cell.cell_type == "markdown"]


def without_code(text):
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)


# --- the file ----------------------------------------------------------------------------------------------------

@every_page
def test_a_page_is_one_small_file(pages, name):
    text = (pages / f"{name}.html").read_text(encoding="utf-8")
    assert len(text.encode()) < LIMIT
    assert re.match(r'<!DOCTYPE html>\s*<html lang="en">', text)
    assert re.findall(r"<main\b", text) == ["<main"]
    assert not re.search(r"<(?:link|iframe|object|embed)\b|<(?:script|img)[^>]*\bsrc=\"(?!data:)|@import|url\(\"?(?!\"?data:)", text)
    assert "¶" not in text
    heading = re.search(r"^# (.+)$", texts(name)[0], re.M)[1] + " · " if name != "index" else ""
    assert f"<title>{heading}Diffusion from scratch</title>" in text


def test_the_index_lists_the_chapters_with_their_promises(pages, show):
    page = show(pages / "index.html")
    rows = page.locator("ol.list > li")
    assert rows.count() == len(CHAPTERS)
    for k, name in enumerate(CHAPTERS):
        parts = texts(name)[0].split("\n\n")
        assert rows.nth(k).locator("h2").inner_text() == parts[0].removeprefix("# ")
        assert rows.nth(k).locator("h2 a").get_attribute("href") == f"{name}.html"
        promise = rows.nth(k).locator("p")
        assert promise.count() == 2 and promise.nth(0).inner_text() == " ".join(parts[2].split())
        assert "to read" in promise.nth(1).inner_text()


@every_page
def test_a_page_opens_without_a_network(pages, show, name):
    page = show(pages / f"{name}.html")
    page.wait_for_load_state("load")
    page.wait_for_timeout(300)
    assert page.outside == [] and page.errors == []
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).length") == 0


# --- formulas ----------------------------------------------------------------------------------------------------

UNTYPESET = r"""() => { const out = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walk.nextNode());) if (!n.parentElement.closest('script, style, pre, code, .katex') && /\$|\\[a-zA-Z(\[]/.test(n.data)) out.push(n.data.trim());
  return out; }"""
COLOURED = """[...document.querySelectorAll('.katex *')].filter(e => ![getComputedStyle(e.closest('.katex').parentElement).color,
    'rgba(0, 0, 0, 0)'].includes(getComputedStyle(e).color)).length"""      # red: KaTeX cannot read it; none: a phantom
FACES = """() => { const out = new Set(), have = [...document.fonts].filter(f => f.status === 'loaded').map(f =>
    [f.family.replace(/"/g, ''), f.weight.replace('normal', '400'), f.style].join(' '));
  for (const root of document.querySelectorAll('.katex-html')) { const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let n; (n = walk.nextNode());) { const s = getComputedStyle(n.parentElement);
      if (n.data.replace(/[\\u200b\\u00a0\\s]/g, '')) out.add([s.fontFamily.split(',')[0].replace(/"/g, ''), s.fontWeight, s.fontStyle].join(' ')); } }
  return [...out].filter(face => !have.includes(face)); }"""


def formulas(name):
    """The TeX of all formulas of a notebook, in their order, found in another way than the exporter does."""
    found = []
    for text in texts(name):
        for m in re.finditer(r"\$\$(.+?)\$\$|(\\begin\{(\w+\*?)\}.*?\\end\{\3\})|\$([^$]+)\$", without_code(text), re.S):
            found.append(" ".join((m[1] or m[2] or m[4]).split()))
    return found


@every_chapter
def test_every_formula_is_typeset(pages, show, name):
    page = show(pages / f"{name}.html")
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    page.evaluate("document.fonts.ready.then(() => 0)")
    wanted = formulas(name)
    assert len(wanted) >= 80
    made = page.evaluate("[...document.querySelectorAll('.katex annotation')].map(a => a.textContent.split(/\\s+/).join(' ').trim())")
    inside = "main .text"
    assert page.locator(f"{inside} .katex").count() == page.locator(".katex").count() - page.locator("header .katex").count()
    assert made[page.locator("header .katex").count():] == wanted
    assert page.locator(".katex math").count() == len(made) and page.locator(".katex-error, merror").count() == 0
    assert page.evaluate(UNTYPESET) == []
    assert page.evaluate(COLOURED) == 0
    assert page.evaluate(FACES) == [], "formulas in a font that is not in the file"


def broken(tmp_path, *sources):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source) for source in sources])
    nbformat.write(nb, tmp_path / "77_new.ipynb")
    return tmp_path / "77_new.ipynb"


@pytest.mark.parametrize("tex", [r"\foo", r"\frac{1", r"a_b_c", "ä"])
def test_a_formula_that_cannot_be_read_stops_the_export(node, tmp_path, tex):
    done = run(broken(tmp_path, "# 77 New", f"Words, then ${tex}$."), "--out", tmp_path / "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"html: 77_new.ipynb, cell 2: KaTeX cannot read the formula {tex!r}: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_formulas_in_html_and_beside_stops(node, tmp_path, show):
    text = "# 77 $x$ and $x$\n\n<details><summary>Is $a<b$?</summary>\nYes, <code>$c$</code> and $a&lt;b$.</details>\n\n($y$), $z$. [See 02](02_forward_noising.ipynb)\n\n## A\n\n## A"
    assert run(broken(tmp_path, text), "--out", tmp_path).returncode == 0
    page = show(tmp_path / "77_new.html")
    assert page.evaluate("[...document.querySelectorAll('main .katex annotation')].map(a => a.textContent)") == ["x", "x", "a<b", "a<b", "y", "z"]
    assert page.locator("main code").last.text_content() == "$c$"
    assert page.evaluate("[...document.querySelectorAll('main p .keep')].map(e => e.firstChild.data + e.lastChild.data)") == ["(),", "undefined."]
    assert page.evaluate("[...document.querySelectorAll('h2')].map(h => h.id)") == ["a", "a--2"]
    assert page.locator("main a").get_attribute("href") == "02_forward_noising.html"


def test_without_node_one_sentence(tmp_path):
    done = run(NOTEBOOKS[0], "--out", tmp_path / "out", env={**os.environ, "PATH": str(tmp_path)})
    assert done.returncode == 1 and done.stderr.startswith("html: Node.js is missing: install it") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_is_no_notebook_is_named(tmp_path):
    (tmp_path / "bad.ipynb").write_text("{", encoding="utf-8")
    assert "bad.ipynb cannot be read as a notebook" in run(tmp_path / "bad.ipynb", "--out", tmp_path).stderr
    done = run(tmp_path / "gone.ipynb", "--out", tmp_path)
    assert "gone.ipynb does not exist" in done.stderr and done.stderr.count("\n") == 1


# --- figures that move -------------------------------------------------------------------------------------------

def settings(figure):
    """The settings that a figure's script was given."""
    script = figure.locator("xpath=following-sibling::script[1]").text_content()
    return json.loads(script[script.rindex("})({") + 3:-1])


def picture(url):
    from PIL import Image
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")


def drawn(canvas):
    return picture(canvas.evaluate("c => c.toDataURL()"))


def check_frame(figure, P, sheet, row, k):
    """The slider stands at k, says so, and the canvas shows exactly this tile of the sheet."""
    n, handle, canvas = len(P["labels"]), figure.locator("input[type=range]"), figure.locator("canvas")
    tile = row * n + k
    said = f"{P['names'][row]}, {P['labels'][k]}" if len(P["names"]) > 1 else P["labels"][k]
    assert handle.input_value() == str(k)
    assert handle.get_attribute("aria-valuetext") == said and figure.locator("output").inner_text() == P["labels"][k]
    assert re.sub(r"\.? Shown: ", " | ", canvas.get_attribute("aria-label")) == f"{P['alt'].rstrip('.')} | {said}"
    x, y = tile % P["columns"] * P["w"], tile // P["columns"] * P["h"]
    assert drawn(canvas).tobytes() == sheet.crop((x, y, x + P["w"], y + P["h"])).tobytes(), f"frame {k} of row {row} is not the tile {tile}"


SLIDERS = {name: sum("class=\"fs-" in output.get("data", {}).get("text/html", "") for cell in notebook(name).cells for output in cell.get("outputs", []))
           for name in CHAPTERS}


@pytest.mark.parametrize("name", [name for name in CHAPTERS if SLIDERS[name]])
def test_every_frame_slider_moves(pages, show, name):
    page = show(pages / f"{name}.html")
    figures = page.locator('div[class^="fs-"]')
    assert figures.count() == SLIDERS[name]
    for index in range(figures.count()):
        figure = figures.nth(index)
        figure.locator("canvas[data-frame]").wait_for()
        P, handle = settings(figure), figure.locator("input[type=range]")
        n, sheet = len(P["labels"]), picture(P["sheet"])
        check_frame(figure, P, sheet, 0, P["start"])
        for row in range(len(P["names"])):
            if row:
                figure.locator("select").select_option(index=row)
            handle.focus()
            for key, k in (("Home", 0), ("ArrowRight", 1), ("End", n - 1), ("ArrowLeft", n - 2)):
                page.keyboard.press(key)
                check_frame(figure, P, sheet, row, k)
            handle.scroll_into_view_if_needed()
            box = handle.bounding_box()
            middle = box["y"] + box["height"] / 2
            page.mouse.move(box["x"] + 8, middle)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] / 2, middle, steps=4)
            k = int(handle.input_value())
            assert abs(k - (n - 1) / 2) <= 1, "the mouse in the middle of the slider, the handle not"
            check_frame(figure, P, sheet, row, k)
            page.mouse.move(box["x"] + box["width"] + 20, middle, steps=4)
            page.mouse.up()
            check_frame(figure, P, sheet, row, n - 1)
        figure.locator("button").press("Enter")                # play, from the beginning
        page.wait_for_function("f => +f.querySelector('input').value > 1", arg=figure.element_handle())
        figure.locator("button").press("Enter")
        assert figure.locator("button").get_attribute("aria-label").split(":")[0] == "play"
    assert page.errors == []


def test_the_planes_can_be_walked(pages, show):
    page = show(pages / "01_from_autoencoders_to_diffusion.html")
    figure = page.locator('div[class^="lp-"]')
    P, handles, tiles = settings(figure), figure.locator("canvas[role=slider]"), figure.locator("canvas[role=img]")
    assert handles.count() == len(P["planes"]) == 2
    for which, Q in enumerate(P["planes"]):
        sheet, handle, (i, j) = picture(Q["sheet"]), handles.nth(which), Q["start"]

        def at(i, j, which=which, Q=Q, sheet=sheet, handle=handle):
            assert handle.get_attribute("aria-valuenow") == str(j * P["side"] + i)
            assert P["texts"][Q["said"][j * P["side"] + i]] in handle.get_attribute("aria-valuetext")
            box = (i * P["w"], j * P["h"], (i + 1) * P["w"], (j + 1) * P["h"])
            assert drawn(tiles.nth(which)).tobytes() == sheet.crop(box).tobytes()

        page.wait_for_function("c => c.hasAttribute('aria-valuenow')", arg=handle.element_handle())
        at(i, j)
        for key, i, j in (("ArrowRight", i + 1, j), ("ArrowDown", i + 1, j + 1), ("Home", i, j), ("Shift+ArrowLeft", i - 4, j)):
            handle.press(key)
            at(i, j)
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        page.mouse.move(box["x"] + 30, box["y"] + 30)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 10.5 / P["side"], box["y"] + box["height"] * 20.5 / P["side"], steps=4)
        page.mouse.up()
        at(10, 20)


def test_the_map_can_be_walked(pages, show):
    page = show(pages / "06_the_unet.html")
    figure = page.locator('div[class^="um-"]')
    P, parts = settings(figure), figure.locator("g[data-part]")
    boxes = P["nets"][0]["boxes"]
    assert parts.count() == len(boxes)
    parts.nth(3).click()
    assert parts.nth(3).get_attribute("aria-pressed") == "true" and figure.get_by_text(boxes[3]["title"], exact=True).is_visible()
    page.keyboard.press("ArrowRight")
    assert parts.nth(4).get_attribute("aria-pressed") == "true" and figure.get_by_text(boxes[4]["title"], exact=True).is_visible()


# --- without scripts, on a phone, on paper -----------------------------------------------------------------------

STRIPS = """selector => [...document.querySelectorAll(selector)].map(f => { const p = f.querySelector('p'), out = f.closest('.jp-OutputArea-child');
  const strip = out.previousElementSibling && out.previousElementSibling.querySelector('img'), seen = e => !!e && e.checkVisibility() && e.getBoundingClientRect().width > 0;
  return {words: seen(p) ? p.textContent : '', strip: seen(strip), width: strip ? strip.naturalWidth : 0, moving: f.querySelectorAll('input, canvas, svg').length}; })"""


def moving_figures(name):
    return sum(bool(re.search(r'<div class="(fs|lp|um)-', output.get("data", {}).get("text/html", ""))) for cell in notebook(name).cells
               for output in cell.get("outputs", []))


def bare(text):
    """A page as GitHub leaves it: no scripts, no styles."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.S)
    return re.sub(r'\sstyle="[^"]*"', "", text)


@every_chapter
@pytest.mark.parametrize("how", ["scripts switched off", "scripts and styles removed"])
def test_without_scripts_each_figure_shows_its_strip(pages, show, tmp_path, name, how):
    file = pages / f"{name}.html"
    if how == "scripts and styles removed":
        (tmp_path / file.name).write_text(bare(file.read_text(encoding="utf-8")), encoding="utf-8")
        page = show(tmp_path / file.name)
    else:
        page = show(file, java_script_enabled=False)
    found = page.evaluate(STRIPS, MOVING)
    assert len(found) == moving_figures(name)
    for figure in found:
        assert figure["strip"] and figure["width"] >= 200 and figure["moving"] == 0
        assert re.fullmatch(r"\(A (slider|plane|map) .* it needs scripts\. In JupyterLab: run the cell, or trust the notebook\. .*\)", figure["words"])


@every_chapter
def test_on_paper_the_strips_are_printed(pages, show, name):
    page = show(pages / f"{name}.html")
    moving, stills = page.locator(MOVING), page.locator(".fs-stills img")
    assert moving.count() == stills.count() == moving_figures(name)
    for k in range(moving.count()):
        assert moving.nth(k).is_visible() and not stills.nth(k).is_visible()
    page.emulate_media(media="print")
    for k in range(moving.count()):
        assert not moving.nth(k).is_visible() and stills.nth(k).is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("main details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("main details[open]").count() == 0


@every_page
@wide_and_narrow
def test_nothing_is_wider_than_the_page(pages, show, name, width):
    page = show(pages / f"{name}.html", width)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    page.evaluate("document.fonts.ready.then(() => new Promise(done => setTimeout(done, 200)))")
    assert page.evaluate("document.documentElement.scrollWidth") == width - page.evaluate("innerWidth - document.documentElement.clientWidth")
    reachable = "[...document.querySelectorAll('pre, .scroll, .picture, .figure, .katex-display')].filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0).length"
    assert page.evaluate(reachable) == 0, "something scrolls sideways, and the keyboard cannot reach it"


@pytest.mark.parametrize("name", [name for name in CHAPTERS if any("[live" in str(output) for cell in notebook(name).cells for output in cell.get("outputs", []))])
def test_what_needs_python_says_so(pages, show, name):
    page = show(pages / f"{name}.html")
    notes = page.locator(".note").all_inner_texts()
    lives = [output["data"]["text/plain"] for cell in notebook(name).cells for output in cell.get("outputs", [])
             if output.get("data", {}).get("text/plain", "").startswith("[live")]
    assert len(notes) == len(lives) >= 1
    for note in notes:
        assert re.fullmatch(r"\(A (slider|button) .* belongs here; it needs Python\. Open the notebook in JupyterLab and run this cell to .*\.\)", note)


# --- links, headings, pictures -----------------------------------------------------------------------------------

@every_page
def test_links_resolve_and_have_words(pages, show, name):
    page = show(pages / f"{name}.html")
    links = page.evaluate("[...document.querySelectorAll('a')].map(a => [a.getAttribute('href'), a.innerText.trim() || a.textContent.trim()])")
    assert links
    for target, words in links:
        assert_words(words)
        file, _, anchor = target.partition("#")
        if target.startswith("https://"):
            continue
        assert ":" not in target
        inside = (pages / (file or f"{name}.html"))
        assert inside.exists(), f"{target} leads nowhere"
        assert not anchor or f'id="{html.escape(unquote(anchor))}"' in inside.read_text(encoding="utf-8"), f"{target} leads nowhere"


def assert_words(words):
    assert len(re.findall(r"[^\W\d_]", words)) >= 4, f"a link without words: {words!r}"
    assert not re.fullmatch(r"(click )?(here|this|link|more)\W*", words, re.I) and not re.match(r"https?:|www\.", words), f"a link that says nothing: {words!r}"


def assert_nested(levels):
    assert levels[:1] == [1] and levels.count(1) == 1, f"one first heading, please: {levels}"
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:])), f"headings do not nest: {levels}"


@every_page
def test_headings_nest_and_pictures_are_described(pages, show, name):
    page = show(pages / f"{name}.html")
    assert_nested([int(tag[1]) for tag in page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => h.tagName)")])
    for alt in page.evaluate("[...document.images].map(i => i.alt)"):
        assert len(alt) >= 20 and not alt.startswith("No description"), f"a picture without a description: {alt!r}"
    if name != "index":
        alts = [output["metadata"]["image/png"]["alt"] for cell in notebook(name).cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        assert page.evaluate("[...document.images].map(i => i.alt)") == alts


@every_chapter
def test_pictures_links_and_headings_of_the_notebook(name):
    """The notebook as JupyterLab, Colab and GitHub show it."""
    levels = []
    for cell in notebook(name).cells:
        for output in cell.get("outputs", []):
            for kind in output.get("data", {}):
                if kind.startswith("image/"):
                    assert len(output.metadata.get(kind, {}).get("alt", "").strip()) >= 20, f"{name}: a picture of {cell.source[:60]!r} without a description"
            for tag in re.findall(r"<img\b[^>]*>", output.get("data", {}).get("text/html", "")):
                assert re.search(r'alt="[^"]{20,}"', tag)
        if cell.cell_type != "markdown":
            continue
        text = without_code(cell.source)
        for alt, address in re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", text):
            assert len(alt) >= 20
        for words in re.findall(r"(?<!!)\[((?:!\[[^\]]*\]\([^)]*\)|[^\[\]])*)\]\([^)]*\)", text):
            assert_words(re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", words))
        assert not re.search(r"<a\b|<img\b", text)
        assert not re.search(r"(?<![(\[\"])https?://", text), f"{name}: a bare address in {cell.source[:60]!r}"
        levels += [len(marks) for marks in re.findall(r"^(#{1,6}) ", text, re.M)]
    assert_nested(levels)


@pytest.mark.parametrize("fault", [lambda: assert_words("here"), lambda: assert_words("https://example.org/words"), lambda: assert_words("02"),
                                   lambda: assert_nested([1, 3]), lambda: assert_nested([2, 3]), lambda: assert_nested([1, 2, 1])])
def test_these_rules_can_be_broken(fault):
    with pytest.raises(AssertionError):
        fault()


# --- axe-core ----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def axe(pages):
    assert AXE.exists(), "axe-core is not among the installed packages: npm ci in slides/"
    return AXE.read_text(encoding="utf-8")


def findings(page, axe):
    """[(impact, rule, number, first place)] of everything that axe-core holds against a page."""
    page.evaluate(axe)
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(v => [v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 150)])")
    return [tuple(one) for one in found]


@pytest.mark.parametrize("name, width", [*((name, 1280) for name in PAGES), ("02_forward_noising", 360), ("06_the_unet", 360)])
def test_axe_finds_nothing_serious(pages, show, axe, name, width):
    page = show(pages / f"{name}.html", width)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    page.evaluate("document.fonts.ready.then(() => new Promise(done => setTimeout(done, 300)))")
    found = findings(page, axe)
    for impact, rule, number, where in found:
        print(f"{name}, {width} pixels: {impact} {rule} ({number}): {where}")
    assert [one for one in found if one[0] in ("serious", "critical")] == []


@pytest.mark.parametrize("fault, rule", [
    ("document.querySelector('img').removeAttribute('alt')", "image-alt"),
    ("document.querySelector('input').removeAttribute('aria-label')", "label"),
    ("document.querySelector('h1').style.color = '#bbb'", "color-contrast"),
    ("document.documentElement.removeAttribute('lang')", "html-has-lang"),
])
def test_axe_finds_a_planted_fault(pages, show, axe, fault, rule):
    page = show(pages / "00_start_here.html")
    page.locator("canvas[data-frame]").first.wait_for()
    page.evaluate(fault)
    assert any(found == rule and impact in ("serious", "critical") for impact, found, *_ in findings(page, axe))


# --- JupyterLab, not trusted -------------------------------------------------------------------------------------

def test_an_untrusted_notebook_shows_strips_and_says_what_to_do(lab, opened):
    name = "02_forward_noising"
    view = opened(lab.copy(f"notebooks/{name}.ipynb"))
    notes = view.page.locator(".jp-OutputArea-output em", has_text="it needs scripts. In JupyterLab: run the cell, or trust the notebook.")
    notes.first.wait_for()
    assert notes.count() == SLIDERS[name] >= 3
    assert view.page.locator(".jp-OutputArea-output input, .jp-OutputArea-output canvas").count() == 0
    for k in range(notes.count()):
        notes.nth(k).scroll_into_view_if_needed()
        assert notes.nth(k).is_visible()
        strip = notes.nth(k).locator("xpath=ancestor::div[contains(@class, 'jp-OutputArea-child')]/preceding-sibling::div[1]//img")
        assert strip.is_visible() and strip.evaluate("i => i.naturalWidth") >= 200
    assert view.outside == []
