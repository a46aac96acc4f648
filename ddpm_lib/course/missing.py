"""After a NameError: which cell of the notebook makes the missing name, and what to choose in the menu.

The cells that were run are looked up in the course's own notebooks, so this needs no help from JupyterLab, Colab or an
editor. It says nothing where the notebook is not one of ours, or the reader made the name.
"""
import ast
import json
import pathlib

COURSE = pathlib.Path(__file__).resolve().parents[2]


def binds(source, name):
    """The first line of a cell's source that binds a name at its top level; None if none does."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return None
    for statement in body:
        inner = isinstance(statement, (ast.FunctionDef, ast.ClassDef))
        made = {statement.name} if inner else set()
        for node in [] if inner else ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                made.add(node.id)
            if isinstance(node, ast.alias):
                made.add((node.asname or node.name).split(".")[0])
        if name in made:
            return source.splitlines()[statement.lineno - 1].strip()
    return None


def likely_notebook(ran, folder):
    """The cells [(kind, source)] of the notebook in a folder that holds most of the sources that were run; [] if none does."""
    best, most = [], 0
    for path in sorted(folder.glob("*.ipynb")):
        cells = [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        hits = len({source for kind, source in cells if kind == "code"} & ran)
        if hits > most:
            best, most = cells, hits
    return best if most > 1 else []                            # one hit: the first cell, which all chapters share


def missing_cell(name, history, folder=COURSE / "notebooks"):
    """A sentence on where the notebook makes a missing name; None if it does not.

    name: as in "name 'x_0' is not defined"; history: the sources run in this kernel, the last one being the cell that failed.
    """
    cells = likely_notebook({source.strip() for source in history}, folder)
    here = next((k for k, (_, source) in enumerate(cells) if source == history[-1].strip()), len(cells))
    makers = [k for k, (kind, source) in enumerate(cells) if kind == "code" and k != here and binds(source, name)]
    if not makers:
        return None
    above = [k for k in makers if k < here]
    k = above[-1] if above else makers[0]
    heading = next((line.lstrip("# ") for kind, source in reversed(cells[:k]) if kind == "markdown"
                    for line in reversed(source.splitlines()) if line.startswith("#")), "the beginning")
    what = (f"{name} is made {'above' if above else 'further below'}, under \"{heading}\", in the cell with the line\n"
            f"    {binds(cells[k][1], name)}\n")
    if above:
        return what + "That cell has not run in this kernel, or was changed. Choose Run > Run All Above Selected Cell (on Colab: Runtime > Run before), then run this cell again."
    return what + "Run that cell first, or choose Run > Run All Cells (on Colab: Runtime > Run all)."


def explain_missing_names(shell):
    """Let an IPython shell print missing_cell() below the traceback of a NameError."""
    def handler(shell, kind, error, trace, tb_offset=None):
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        try:
            sentence = missing_cell(error.name, shell.user_ns["In"])
        except Exception:                                      # the traceback is what counts
            return
        if sentence:
            print(sentence)
    shell.set_custom_exc((NameError,), handler)
