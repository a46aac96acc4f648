"""Measure the library beside its peers: `make bench`, or

    python benchmarks/run.py                      everything (takes about an hour and a half of a quiet machine; MNIST is downloaded,
                                                  or read from DDPM_DATA)
    python benchmarks/run.py steps imports        only these parts: imports, steps, train, sampling, training, notebooks,
                                                  sliders
    python benchmarks/run.py --quick              a trial of the code in a few minutes; prints, and writes nothing

A part that was measured replaces its own entry in results.json, and results.md is written anew from that file.
"""
import argparse
import datetime
import json
import os
import platform
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))                                       # the library of this folder, installed or not

import digits  # noqa: E402
import mnist  # noqa: E402
import outside  # noqa: E402
import report  # noqa: E402
import sliders  # noqa: E402
import steps  # noqa: E402
import torch  # noqa: E402

PARTS = {"imports": outside.imports, "steps": steps.measure, "train": digits.measure,
         "sampling": mnist.sampling, "training": mnist.training, "notebooks": outside.notebooks,
         "sliders": sliders.measure}


def main():
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="tiny settings, nothing is saved")
    parser.add_argument("--ways", default="", help="of the part sampling, measure only the ways whose name holds this text, and keep the others' rows")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"there is no part {min(unknown)!r}: choose among {', '.join(PARTS)}")
    file = HERE / "results.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() and not options.quick else {}
    if os.getloadavg()[0] > 0.5:                                           # two busy programs slow each other many times over
        print(f"Other programs are busy here (load average {os.getloadavg()[0]:.1f}): the times will be too long.", flush=True)
    for part in (p for p in PARTS if p in options.parts or not options.parts):
        print(f"Measuring: {part} ...", flush=True)
        machine = describe_machine()                                       # before, while nothing of ours loads it
        measured = PARTS[part](options.quick, options.ways) if part == "sampling" else PARTS[part](options.quick)
        if part == "sampling" and options.ways and part in results:
            fresh = {row["way"] for row in measured["rows"]}
            measured["rows"] += [row for row in results[part]["rows"] if row["way"] not in fresh]
        results[part] = {"machine": machine, **measured}
        if not options.quick:                                              # after each part: a long run may be stopped
            write(file, json.dumps(results, indent=1) + "\n")
            write(HERE / "results.md", report.render(results))
    print(report.render(results))


def write(path, text):
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)


def describe_machine():
    """What the numbers depend on; nothing that names one machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": _cpu(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "ram": round(memory / 2**30),
            "os": f"{platform.system()} {platform.machine()}", "python": platform.python_version(),
            "torch": torch.__version__, "load": round(os.getloadavg()[0], 1), "date": datetime.date.today().isoformat()}


def _cpu():
    """The processor's name: Linux tells it in /proc/cpuinfo, others through platform."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
