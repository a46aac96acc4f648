"""The decks: their form, whether the built ones are those of today's sources, and what an audience sees in a browser.

The browser tests open the committed files slides/built/*.html, each alone in an empty folder, in a Chromium without a
network. The building tests need Node.js too. Where one is missing they skip, and say what to install.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SLIDES = ROOT / "slides"
sys.path.insert(0, str(SLIDES))
import build  # noqa: E402

DECKS = sorted(deck.stem for deck in SLIDES.glob("[0-9][0-9]-*.md"))
BUILT = SLIDES / "built"
HANDLE = 34                                  # pixels, slides/theme.css
KINDS = {"title", "question", "answer", "exercise", "card", "steps", "split"}
FORBIDDEN = re.compile(r"\b(simply|just|clearly|obviously|trivial|trivially|easy to see)\b", re.IGNORECASE)


# --- what is needed ----------------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def node():
    try:
        build.node_packages()
    except build.Stop as sentence:
        pytest.skip(str(sentence))


def run(*arguments):
    """slides/build.py in a process of its own."""
    return subprocess.run([sys.executable, str(SLIDES / "build.py"), *map(str, arguments)], capture_output=True, text=True)


# --- form --------------------------------------------------------------------------------------------------------

def slides(deck):
    """[(kinds, text without its note, note)] of a deck's source."""
    _, _, body = (SLIDES / f"{deck}.md").read_text(encoding="utf-8").split("---\n", 2)
    out = []
    for slide in re.split(r"\n---\n", body):
        kind = re.search(r"<!-- _class: ([\w ]+) -->", slide)
        notes = re.findall(r"<!-- *(\(.*?) *-->", slide, re.S)
        text = re.sub(r"<!--.*?-->", "", slide, flags=re.S).strip()
        out.append((set(kind[1].split()) if kind else set(), text, notes))
    return out


def test_every_chapter_has_its_deck():
    chapters = [path.name[:2] for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
    assert [deck[:2] for deck in DECKS] == chapters


@pytest.mark.parametrize("deck", DECKS)
class TestForm:
    def test_length_and_parts(self, deck):
        found = slides(deck)
        kinds = [kind for kind, _, _ in found]
        assert 15 <= len(found) <= 30
        assert set().union(*kinds) <= KINDS
        assert kinds[0] == {"title"} and "card" in kinds[-1] | kinds[-2]
        questions = [k for k, kind in enumerate(kinds) if "question" in kind]
        assert 2 <= len(questions) <= 3 and all("answer" in kinds[k + 1] for k in questions)
        assert any("exercise" in kind for kind in kinds) and any("steps" in kind for kind in kinds)
        text = "\n".join(text for _, text, _ in found)
        assert len(re.findall(r"^```frames ", text, re.M)) >= 1, "no live slider"
        assert len(re.findall(r"^```python src=", text, re.M)) >= 2, "two listings, each beside its equation"
        assert not re.findall(r"^```(?!python src=|frames |$)\S.*", text, re.M), "code is taken from the library, never typed"

    def test_notes(self, deck):
        """What to say, what people ask, and the minutes, on every slide; 45 to 60 minutes in all."""
        for k, (_, text, notes) in enumerate(slides(deck), start=1):
            assert len(notes) == 1, f"slide {k}: {len(notes)} notes"
            assert re.match(r"\(\d+(\.5)? min\) Say: ", notes[0]), f"slide {k}: {notes[0][:40]!r}"
            assert re.search(r"^They ask: ", notes[0], re.M), f"slide {k} does not say what people ask"
            assert len(notes[0].split()) >= 40, f"slide {k}: a note of {len(notes[0].split())} words"
        assert 45 <= sum(build.minutes(SLIDES / f"{deck}.md")) <= 60
        assert len(build.minutes(SLIDES / f"{deck}.md")) == len(slides(deck))

    def test_prose(self, deck):
        text = (SLIDES / f"{deck}.md").read_text(encoding="utf-8")
        assert not FORBIDDEN.findall(text)
        outside = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$\n]*\$|`[^`\n]*`", "", text, flags=re.S)
        assert not re.findall(r"[\u0370-\u03ff\u2190-\u2bff\U0001f300-\U0001faff]", outside), "letters that the deck's fonts do not have"

    def test_exercises_exist(self, deck):
        """The exercise that a deck names stands in the chapter's notebook, under that number."""
        (path,) = (ROOT / "notebooks").glob(f"{deck[:2]}_*.ipynb")
        page = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
        text = "\n".join(text for kind, text, _ in slides(deck) if "exercise" in kind)
        numbers = re.findall(r"Exercise (?:\d\d?\.)?(\d)", text)
        assert numbers, "the exercise slide names no exercise"
        for number in numbers:
            assert re.search(rf"Exercise {number}\b", page), f"Exercise {number} is not in the notebook"


# --- the built decks are those of the sources --------------------------------------------------------------------

@pytest.mark.parametrize("deck", DECKS)
def test_built_deck_is_not_stale(deck):
    table = json.loads((BUILT / build.MANIFEST).read_text(encoding="utf-8"))
    assert deck in table, f"slides/built has no {deck}: run make slides ONLY={deck[:2]}"
    assert build.stale(deck, table[deck]) == ""


def test_nothing_else_is_built():
    files = {path.name for path in BUILT.iterdir()} - {build.MANIFEST}
    assert files == {f"{deck}.{end}" for deck in DECKS for end in ("html", "pdf", "notes.txt")}


@pytest.mark.parametrize("change, sentence", [
    (lambda entry: entry["sources"].update({"slides/theme.css": "0" * 16}), "slides/theme.css has changed"),
    (lambda entry: entry["sources"].pop("ddpm_lib/schedules.py"), "it now needs ddpm_lib/schedules.py"),
    (lambda entry: entry["sources"].update({"ddpm_lib/gone.py": "0" * 16}), "ddpm_lib/gone.py has changed"),
    (lambda entry: entry["outputs"].update({"02-forward-noising.html": "0" * 16}), "is not the file that was built")])
def test_a_stale_deck_is_named(change, sentence):
    entry = json.loads((BUILT / build.MANIFEST).read_text(encoding="utf-8"))["02-forward-noising"]
    assert build.stale("02-forward-noising", entry) == ""
    change(entry)
    assert sentence in build.stale("02-forward-noising", entry)


@pytest.mark.parametrize("deck", DECKS)
def test_size(deck):
    assert (BUILT / f"{deck}.html").stat().st_size <= 900_000
    assert (BUILT / f"{deck}.pdf").stat().st_size <= 500_000


# --- what an audience sees ---------------------------------------------------------------------------------------

def turn_to(page, locator):
    """Show the slide that holds an element."""
    locator.evaluate("e => { const all = [...document.querySelectorAll('svg[data-marpit-svg]')];"
                     " location.hash = '#' + (all.indexOf(e.closest('svg[data-marpit-svg]')) + 1) }")
    locator.wait_for(state="visible")
    page.wait_for_function("e => e.closest('svg[data-marpit-svg]').classList.contains('bespoke-marp-active')", arg=locator.element_handle())


def shown(frames):
    """(the label of the one frame that is visible, what the bars say)."""
    figures = frames.locator("figure:visible")
    assert figures.count() == 1
    return figures.locator("img").first.get_attribute("alt"), frames.locator("output").all_inner_texts()


@pytest.mark.parametrize("deck", DECKS)
class TestBrowser:
    def test_nothing_is_wrong(self, deck, check, browser):
        found = check.check(browser, BUILT / f"{deck}.html")
        assert found["slides"] == len(slides(deck))
        assert found["problems"] == []

    def test_sliders(self, deck, check, browser, tmp_path):
        """Arrow keys, Home and End, the mouse, and a clicker's page keys; the picture follows."""
        page = check.opened(browser, shutil.copy(BUILT / f"{deck}.html", tmp_path))
        names = re.findall(r"^```frames[ \t]+([\w.]+)", (SLIDES / f"{deck}.md").read_text(encoding="utf-8"), re.M)
        assert page.locator(".frames").count() == len(names)
        for frames in page.locator(".frames").all():
            for number, handle in enumerate(frames.locator("input").all()):
                turn_to(page, handle)
                last, here, labels = int(handle.get_attribute("max")), page.url, json.loads(frames.get_attribute("data-labels"))
                handle.focus()
                page.keyboard.press("Home")
                seen = []
                for k in range(last + 1):
                    if k:
                        page.keyboard.press("ArrowRight")
                    label, said = shown(frames)
                    assert said[number] == labels[number][k] and said[number] in label
                    assert handle.get_attribute("aria-valuetext") == said[number]
                    seen.append(frames.locator("figure:visible img").evaluate_all("e => e.map(i => i.src).join()"))
                assert len(set(seen)) >= max(2, 0.7 * len(seen)), "the picture hardly changes"
                page.keyboard.press("End")
                assert int(handle.input_value()) == last and page.url == here      # the keys stayed with the slider
                box = handle.bounding_box()
                for at in (0.03, 0.5, 0.97):
                    page.mouse.click(box["x"] + box["width"] * at, box["y"] + box["height"] / 2)
                    meant = (box["width"] * at - HANDLE / 2) / (box["width"] - HANDLE) * last      # the handle's middle runs over the track
                    value = int(handle.input_value())
                    assert abs(value - min(max(meant, 0), last)) <= 0.6 and shown(frames)[1][number] == labels[number][value]
                page.mouse.move(box["x"] + box["width"] * 0.97, box["y"] + box["height"] / 2)
                page.mouse.down()
                page.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2, steps=5)
                page.mouse.up()
                assert int(handle.input_value()) == 0 and page.url == here
                handle.focus()
                page.keyboard.press("PageDown")
                page.wait_for_function("u => location.href !== u", arg=here)
        assert page.outside == [] and page.errors == []
        page.context.close()

    def test_presenter_and_audience_stay_together(self, deck, check, browser, tmp_path):
        """The window that P opens and the first one turn pages and move sliders together, both ways; notes are in it."""
        html = shutil.copy(BUILT / f"{deck}.html", tmp_path)
        audience = check.opened(browser, html)
        turn_to(audience, audience.locator(".frames input").first)
        number = int(audience.url.split("#")[1].split(".")[0])
        audience.locator("svg.bespoke-marp-active .frames input").first.focus()     # a slider keeps the arrow keys only
        with audience.context.expect_page() as opened:
            audience.keyboard.press("p")
        presenter = opened.value
        presenter.wait_for_selector(".bespoke-marp-presenter-container")
        note = slides(deck)[number - 1][2][0]
        words = presenter.locator(".bespoke-marp-note.active").inner_text()
        assert words.split()[:3] == re.sub(r"@\{.*", "", note).split()[:3]
        mine, theirs = presenter.locator("svg.bespoke-marp-active .frames input").first, audience.locator("svg.bespoke-marp-active .frames input").first
        mine.focus()
        presenter.keyboard.press("End")
        audience.wait_for_function("e => e.value === e.max", arg=theirs.element_handle())
        theirs.focus()
        audience.keyboard.press("Home")
        presenter.wait_for_function("e => e.value === '0'", arg=mine.element_handle())
        presenter.evaluate("location.hash = '#1'")
        audience.wait_for_function("() => /#1(\\.|$)/.test(location.hash)")
        audience.evaluate(f"location.hash = '#{number}'")
        presenter.wait_for_function(f"() => /#{number}(\\.|$)/.test(location.hash)")
        audience.context.close()


@pytest.mark.parametrize("deck", DECKS)
def test_pdf(deck):
    """As many pages as slides, 16:9, the deck's own fonts, and a strip of stills where the screen has a slider."""
    pypdf = pytest.importorskip("pypdf", reason="pypdf is missing: python -m pip install -r requirements-dev.txt")
    pdf = pypdf.PdfReader(BUILT / f"{deck}.pdf")
    source = slides(deck)
    assert len(pdf.pages) == len(source)
    assert all([round(float(v)) for v in page.mediabox[2:]] == [960, 540] for page in pdf.pages)
    fonts = {str(font.get_object()["/BaseFont"]) for page in pdf.pages for font in page["/Resources"].get("/Font", {}).values()}
    assert fonts and all("SourceSans3" in font or "SourceCodePro" in font for font in fonts), fonts
    page_of = BUILT / f"{deck}.html"
    html = page_of.read_text(encoding="utf-8")
    for page, (_, text, _) in zip(pdf.pages, source):
        for name in re.findall(r"^```frames[ \t]+([\w.]+)", text, re.M):
            frames = html.split(f'data-name="{name}"')[1].split("</script>")[0]
            stills = re.findall(r'<figure class="[^"]*still[^"]*">.*?<figcaption>(.*?)</figcaption>', frames, re.S)
            assert len(stills) >= 3
            said = " ".join(page.extract_text().split())
            missing = [label for label in stills if " ".join(label.split()) not in said]
            assert not missing, f"the strip of {name} does not show {missing}"
            assert len(page.images) >= len(stills)


# --- building ----------------------------------------------------------------------------------------------------

HEAD = "---\ntheme: ddpm\npaginate: true\n---\n\n## T\n\n"
NOTE = "\n\n<!-- (1 min) Say: a note -->\n"
FAULTS = {   # one fault each: (text, the word that the check says)
    "long": ("\n".join(f"- line {i}" for i in range(16)), "overflow"),
    "wide code": ("```python\nx = '" + "a" * 90 + "'\n```", "clipped"),
    "wide formula": ("$$" + " + ".join(["x_{t}^{2}"] * 30) + "$$", "formula too small"),
    "bad formula": (r"$\frac{1}{$ $\nosuchmacro$", "broken formula"),
    "remote picture": ("![a picture that lies elsewhere](https://example.org/a.png)", "outside request"),
    "local picture": ("![a picture that lies beside it](a.png)", "broken picture"),
    "no description": ("![](fig:ch02.three_schedules)", "picture without a description"),
    "scaled figure": ("![w:700 three curves that fall from 1 to 0](fig:ch02.three_schedules)", "picture not at its own size"),
    "two figures": ("![three curves that fall from 1 to 0](fig:ch02.three_schedules)\n\n" * 2, "overflow"),
    "small letters": ("| a | b |\n|---|---|\n| x | y |\n\n<style scoped>td{font-size:14px}</style>", "text too small"),
    "pale letters": ("pale\n\n<style scoped>p{color:#999}</style>", "contrast too low"),
    "pale formula": ("$x_t$\n\n<style scoped>p{color:#777}</style>", "contrast too low"),
    "no note": (None, "speaker notes"),
}


@pytest.fixture(scope="session")
def faulty(node, tmp_path_factory):
    """All planted faults, built at once: {name: html file}."""
    folder, out = tmp_path_factory.mktemp("faults"), tmp_path_factory.mktemp("built")
    for k, (body, _) in enumerate(FAULTS.values(), start=10):
        (folder / f"{k}-x.md").write_text(HEAD + (body or "text") + (NOTE if body else "\n"), encoding="utf-8")
    done = run("--src", folder, "--out", out, "--html")
    assert done.returncode == 0, done.stderr
    return {name: out / f"{k}-x.html" for k, name in enumerate(FAULTS, start=10)}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_catches(fault, faulty, check, browser):
    problems = check.check(browser, faulty[fault])["problems"]
    assert any(FAULTS[fault][1] in problem for problem in problems), problems


@pytest.mark.parametrize("body, sentence", [
    ("![a picture that is not there](fig:ch02.nosuch)", "slides/figures/ch02.py has no function 'nosuch'"),
    ("![a picture that is not there](fig:ch99.any)", "there is no slides/figures/ch99.py"),
    ("```frames ch02.nosuch\n```", "slides/figures/ch02.py has no function 'nosuch'"),
    ("```frames ch02.three_schedules\n```", "ch02.three_schedules is of the kind figure, but 90-x.md uses it as frames"),
    ("the number @{ch02.nosuch}", "slides/figures/ch02.py has no function 'nosuch'"),
    ("```python src=ddpm_lib.ddpm:nosuch\n```", "there is no such source"),
    ("```python src=os:getcwd\n```", "there is no such source"),
    ("```python src=notebooks/02:nosuch\n```", "there is no such source"),
    ('```python src=ddpm_lib.ddpm:q_sample from="not there"\n```', "no line holds 'not there'"),
    ("```python src=ddpm_lib.ddpm:q_sample lines=3\n```", "unknown word 'lines'")])
def test_an_unknown_name_stops_the_build(body, sentence, node, tmp_path):
    (tmp_path / "90-x.md").write_text(HEAD + body + NOTE, encoding="utf-8")
    done = run("--src", tmp_path, "--out", tmp_path / "out", "--html")
    assert done.returncode == 1 and sentence in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out" / "90-x.html").exists()


@pytest.mark.parametrize("plant, sentence", [
    (dict(fontsize=12), "pixels high on the slide"), (dict(color="#999999"), "too little contrast"), (dict(x=0.95), "cut off")])
def test_a_figure_that_the_back_row_cannot_read_is_refused(plant, sentence):
    from matplotlib.figure import Figure
    figure = Figure(figsize=(6, 3))
    figure.text(plant.get("x", 0.3), 0.5, "words and words", fontsize=plant.get("fontsize", 18), color=plant.get("color", "#1b1f24"))
    with pytest.raises(build.Stop, match=sentence):
        build.drawn(figure, "ch99.any", lambda scale: figure.savefig(os.devnull, format="png"))


def test_a_number_that_a_notebook_no_longer_prints_is_named():
    import figures
    assert figures.printed("02", r"variance: ([\d.]+) at the start")[0][1] == "0.31"
    with pytest.raises(ValueError, match="the notebook of chapter 02 prints nothing like 'no such line'"):
        figures.printed("02", "no such line")


def test_all_that_was_made_from_a_changed_notebook_is_made_again(tmp_path, monkeypatch):
    """A module may keep what it has read, so that only its first function is seen to read it."""
    monkeypatch.setattr(build, "BUILD", tmp_path)
    for name, files in (("three_rows", {"notebooks/02_forward_noising.ipynb": "0"}), ("ends", {}), ("gone", {"data/old": "0"})):
        (tmp_path / f"ch02.{name}.json").write_text(json.dumps({"data": files}))
    assert build.data_of(SLIDES / "figures" / "ch02.py") == {"notebooks/02_forward_noising.ipynb": "0"}


def test_the_same_sources_give_the_same_page(node, tmp_path):
    for name in ("one", "two"):
        assert run("--only", "02", "--html", "--fresh", "--out", tmp_path / name).returncode == 0
    pages = [(tmp_path / name / "02-forward-noising.html").read_bytes() for name in ("one", "two")]
    assert pages[0] == pages[1]


def test_a_listing_is_the_library_without_docstring_and_types():
    import ast
    import inspect

    from ddpm_lib import ddpm
    shown = build.listing("src=ddpm_lib.ddpm:q_sample")
    tree = ast.parse(inspect.getsource(ddpm.q_sample))
    tree.body[0].body.pop(0)
    tree.body[0].returns = None
    for argument in tree.body[0].args.args:
        argument.annotation = None
    assert ast.dump(ast.parse(shown)) == ast.dump(tree) and max(map(len, shown.splitlines())) <= build.CODE_WIDTH
    part = build.listing('src=ddpm_lib.ddpm:q_sample from="signal, noise" to="return" width=90')
    assert part.startswith("signal, noise") and part.splitlines()[-1].startswith("return")


def test_serving_listens_on_this_machine_only(node):
    """`make slides SERVE=1` answers at 127.0.0.1, and at no other address."""
    import socket
    import time
    import urllib.request
    (build.BUILD / "serve" / "02-forward-noising.html").unlink(missing_ok=True)      # what an earlier run has left there
    taken = socket.create_server(("127.0.0.1", 0))             # another program has the port; so another one is used, and said
    process = subprocess.Popen([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SLIDES)!r}); import serve; serve.serve('02', {taken.getsockname()[1]})"],
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == f"Port {taken.getsockname()[1]} is taken by another program, so another one is used:\n"
        port = int(re.match(r"http://127\.0\.0\.1:(\d+)/ shows the decks", process.stdout.readline())[1])
        until, page = time.monotonic() + 90, ""
        while "location.reload" not in page and time.monotonic() < until:
            try:
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/02-forward-noising.html", timeout=5).read().decode()
            except OSError:
                time.sleep(0.3)
        assert "location.reload" in page and "Forward noising" in page
        others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
        for address in others | {"127.0.0.2"}:
            with pytest.raises(OSError):
                socket.create_connection((address, port), timeout=2)
    finally:
        process.terminate()
        process.communicate(timeout=10)
        taken.close()


# --- the instructor's guide --------------------------------------------------------------------------------------

def titles(deck):
    """{title: minutes} of a deck's slides."""
    names = [re.search(r"^#+ (.*)", text, re.M)[1] for _, text, _ in slides(deck)]
    return dict(zip(names, build.minutes(SLIDES / f"{deck}.md"), strict=True))


def test_the_guide_counts_slides_and_minutes_as_the_decks_do():
    guide = (SLIDES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d\d) .*?\]\(built/(.*?)\.html\) \| (\d+) \| ([\d.]+) \|$", guide, re.M)
    assert [(deck, int(n), float(m)) for _, deck, n, m in rows] == [(deck, len(slides(deck)), sum(titles(deck).values())) for deck in DECKS]


def test_the_evening_leaves_out_slides_that_exist_and_fits():
    guide = (SLIDES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d\d:\d\d \| (\d\d) \| (.*?) \| ([\d.]+) \|$", guide, re.M)
    assert [number for number, _, _ in rows] == ["00", "02", "03", "07"]
    for number, left_out, minutes in rows:
        (deck,) = [deck for deck in DECKS if deck.startswith(number)]
        plan, names = titles(deck), re.findall(r'"(.*?)"', left_out)
        assert set(names) <= set(plan) and float(minutes) == sum(m for title, m in plan.items() if title not in names)
    assert sum(float(minutes) for _, _, minutes in rows) + 15 <= 180


def test_the_guide_has_an_exercise_on_paper_for_every_chapter():
    guide = (SLIDES / "README.md").read_text(encoding="utf-8")
    table = guide.split("### No network in the room")[1].split("\n## ")[0]
    assert re.findall(r"^\| (\d\d) \| [^|]{40,} \|$", table, re.M) == [deck[:2] for deck in DECKS]


def test_the_guide_has_a_question_for_every_chapter():
    guide = (SLIDES / "README.md").read_text(encoding="utf-8")
    table = guide.split("## What people get wrong")[1].split("\n## ")[0]
    asked = re.findall(r'^\| (\d\d) \| [^|]+ \| "[^|]+\?"[^|]* \| [^|]+ \|$', table, re.M)
    assert all(asked.count(deck[:2]) >= 2 for deck in DECKS), asked
