"""What a reader waits for: imports, and notebooks from top to bottom. Each is measured in a Python of its own."""
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tools"))
from notebooks import execute  # noqa: E402

IMPORTS = """
import importlib, json, sys, time
seconds = {}
for name in sys.argv[1:]:
    start = time.perf_counter()
    importlib.import_module(name)
    seconds[name] = time.perf_counter() - start
print(json.dumps(seconds))
"""
# Peak memory of the kernel's process. Linux resets VmHWM when a program starts; getrusage may count its parent.
PEAK = """
import resource, sys
if sys.platform == "linux":
    print(1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def imports(quick):
    """Seconds that torch takes to import, then what each module of the library adds, then the lessons' part."""
    modules = sorted(p.stem for p in (ROOT / "ddpm_lib").glob("*.py") if not p.stem.startswith("__"))
    names = ["torch", "ddpm_lib", *(f"ddpm_lib.{m}" for m in modules), "ddpm_lib.course"]
    rounds = 2 if quick else 10
    _import(names)                                                         # once for the disk and for the byte code
    runs = [_import(names) for _ in range(rounds)]
    library = [sum(run[n] for n in names[1:-1]) for run in runs]
    return {"rounds": rounds, "modules": {n: statistics.median(run[n] for run in runs) for n in names},
            "library": statistics.median(library)}


def _import(names):
    done = subprocess.run([sys.executable, "-c", IMPORTS, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def notebooks(quick):
    """Wall seconds (the kernel's start included) and peak memory of every notebook, in a fresh kernel."""
    paths = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return {"rows": [_notebook(path) for path in (paths[:1] if quick else paths)]}


def _notebook(path):
    copy = nbformat.read(path, as_version=4)
    copy.cells.append(nbformat.v4.new_code_cell(PEAK))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = execute(copy, folder)
        seconds = time.perf_counter() - start
    return {"notebook": path.name, "seconds": seconds, "bytes": int(done.cells[-1].outputs[0].text)}
