"""Every chapter as a stranger's clone shows it: opened in JupyterLab with its saved outputs, not trusted, and run from top to bottom.

Then every slider on the page is moved, by keys alone and by mouse alone; moving.py says what must be seen. Chapters 05 and
07 train for minutes. Needs a Chromium and playwright; skips with a sentence where one is missing.
"""
import moving


def test_no_cell_fails(chapter):
    assert not chapter.cell_errors() and not chapter.stderr()
    code = [count for count, kind, source in zip(chapter.counts(), chapter.kinds(), chapter.sources()) if kind == "code" and source.strip()]
    assert code == list(range(1, len(code) + 1))


def test_every_slider_is_there(chapter):
    """As many as the saved notebook speaks of, and as many as the outputs of this run do. Before it ran, no script was at work."""
    assert chapter.before == 0, "the notebook is not trusted, and yet a script of a saved output is at work"
    now = chapter.js("return cells.map(c => ({outputs: json(c)}))")
    assert moving.counted(moving.on_page(chapter)) == moving.promised(chapter.saved.cells) == moving.promised(now)


def test_sliders_move_by_keyboard(chapter):
    for slider in moving.on_page(chapter):
        assert moving.KEYBOARD[slider.kind](slider) > 1


def test_sliders_move_by_mouse(chapter):
    for slider in moving.on_page(chapter):
        moving.MOUSE[slider.kind](slider)


def test_sliders_have_names(chapter):
    moving.names(moving.on_page(chapter))


def test_the_upload(chapter):
    """In every chapter that has one: a real file, broken ones, huge ones, and a real one again."""
    buttons = chapter.page.query_selector_all(".widget-upload")
    assert len(buttons) == sum("upload_picture(" in cell.source and "import" not in cell.source for cell in chapter.saved.cells if cell.cell_type == "code")
    for button in buttons:
        moving.upload(chapter, button)


def test_the_page_is_quiet(chapter):
    """After all this: no error in a cell or on the page, and nothing was asked for from outside."""
    moving.quiet(chapter)
