"""Which exercises the reader has done: one name per line in a small file that the reader may read, and delete."""
import importlib.util
import os
import pathlib

COURSE = pathlib.Path(__file__).resolve().parents[2]
DRIVE = pathlib.Path("/content/drive/MyDrive")                 # there when the reader has connected Google Drive to Colab


def progress_file():
    """Where right answers are noted: $DDPM_PROGRESS, else my_progress.txt on a connected Google Drive, else in the course's folder."""
    named = os.environ.get("DDPM_PROGRESS")
    return pathlib.Path(named) if named else (DRIVE if DRIVE.is_dir() else COURSE) / "my_progress.txt"


def done():
    """The names in the file, a set; empty if there is none. Raises OSError if it cannot be read."""
    try:
        return set(progress_file().read_text(encoding="utf-8", errors="replace").split())
    except FileNotFoundError:
        return set()


def note(name):
    """Add the name of an exercise to the file, unless it stands there. Raises OSError if that cannot be done."""
    if name not in done():
        path = progress_file()
        gap = "\n" if path.exists() and path.read_bytes()[-1:] not in (b"", b"\n") else ""
        with open(path, "a", encoding="utf-8") as file:        # one short line: on Linux and macOS two notebooks may write at once
            file.write(f"{gap}{name}\n")


def progress():
    """Print how many exercises of the whole course are done, and which: a line for each chapter, with its title."""
    from .exercise import REGISTRY
    chapters = {}
    for path in sorted((COURSE / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        module = f"{__package__}.ch{path.name[:2]}"
        if importlib.util.find_spec(module):                   # else it is a notebook of the reader's own
            chapters[importlib.import_module(module).__name__] = path.stem.replace("_", " ")
    try:
        names = done()
    except OSError as error:
        print(f"{progress_file()} cannot be read ({error.strerror}): move it away, then run this cell again.")
        return
    right = [name for name in REGISTRY if name in names]
    noted = f", noted in {progress_file()}" if right else ""
    print(f"Exercises done: {len(right)} of {len(REGISTRY)}{noted}")
    for module, title in chapters.items():
        mine = [name for name, ex in REGISTRY.items() if ex.solution.__module__ == module]
        groups = {"✔ done": [name for name in mine if name in names], "☐ open": [name for name in mine if name not in names]}
        print(f"{title}: " + "; ".join(f"{word}: {', '.join(group)}" for word, group in groups.items() if group))
