"""results.md out of results.json: tables, and the sentences that the numbers ask for."""
import statistics

from digits import PROTOTYPE, PROTOTYPE_PARAMETERS

TITLE = """# Benchmarks

Measured by `make bench` (parts: `make bench ARGS="steps train"`) and written from `results.json`; nothing here is typed
by hand. Numbers of different machines cannot be compared; ratios within one table can.
"""
EVEN = 0.02                                                                # differences below this are called none


def render(results):
    """The whole page, a section per measured part."""
    sections = {"steps": steps, "train": train, "sampling": sampling, "training": training, "imports": imports, "notebooks": notebooks,
                "sliders": sliders}
    return "\n".join([TITLE, *("\n".join([*section(results[part]), "", machine(results[part]["machine"]), ""])
                               for part, section in sections.items() if part in results)])


def machine(m):
    """One line under each section, since parts can be measured on different days."""
    return (f"*{m['date']}: {m['cpu']}, {m['cores']} cores, {m['ram']} GiB, {m['os']}; Python {m['python']}, torch {m['torch']}, "
            f"{m['threads']} threads; load average before the start {m['load']}.*")


def table(head, rows):
    """A Markdown table; numbers to the right."""
    return [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}",
            *(f"| {' | '.join(map(str, row))} |" for row in rows)]


def steps(part):
    """Training step and sampling step, one table per size of pictures."""
    versions = ", ".join(f"{name} {version}" for name, version in part["versions"].items())
    lines = ["## One step beside the peers", "",
             "The same loop for every network: `ddpm_lib.train.train` (forward, backward, clip, AdamW with fused=True, EMA) and "
             "`ddpm_lib.ddpm.p_sample`, float32, RGB; so the network is what is compared. All in one process, turn by turn; median "
             "seconds, and the median of the ratios to our time in the same round (quartiles in brackets): above 1 is slower than "
             f"ours. Each network is measured in both memory formats; the course uses channels_last. Peers: {versions}; torchvision, "
             "which denoising-diffusion-pytorch imports but its network does not use, is replaced by empty modules."]
    for case in part["cases"]:
        lines += ["", *_case(case)]
    return lines


def _case(case):
    n, rows = case["size"], {row["network"]: row for row in case["rows"]}
    unet = ", ".join(f"{key}={value}" for key, value in case["config"].items())
    lines = [f"### {n} x {n} pictures", "",
             f"Our `UNet(3, {unet})`; a `UNet2DModel` of equal architecture (with the same weights the outputs differ by at most "
             f"{case['difference']:.0e}); a `Unet` with dim {case['dim']}, another architecture of about the same size. "
             f"Batch {case['batch']} for training, {case['drawn']} for sampling; {case['rounds']} rounds.", ""]
    lines += table(["network", "parameters", "training step", "ratio", "sampling step", "ratio"],
                   [[name, f"{row['parameters']:,}", *_cells(row["training"]), *_cells(row["sampling"])]
                    for name, row in rows.items()])
    return [*lines, "", " ".join(_verdict(rows, kind) for kind in ("training", "sampling"))]


def _cells(s):
    return f"{s['seconds']:.3f} s", f"{s['ratio']:.2f} ({s['low']:.2f}-{s['high']:.2f})"


def _verdict(rows, kind):
    """How we stand beside the fastest peer in its better memory format."""
    peer = min((name for name in rows if not name.startswith("ddpm_lib")), key=lambda name: rows[name][kind]["ratio"])
    ratio = rows[peer][kind]["ratio"]
    if abs(ratio - 1) < EVEN:
        return f"The {kind} step takes as long as that of the fastest peer ({peer})."
    if ratio > 1:
        return f"The {kind} step is faster than that of the fastest peer ({peer}), which takes {ratio:.2f} times as long."
    return f"**The {kind} step is slower: {1 / ratio:.2f} times as long as that of {peer}.**"


def train(part):
    """The distance while training, and the scores after given times."""
    halves, last = part["halves"], part["curve"][-1]
    found = f"it first falls below that after **{last['seconds']:.0f} s** (step {last['step']})"
    if last["distance"] >= halves:
        found = f"it does not fall below that within {last['step']} steps ({last['seconds']:.0f} s)"
    lines = ["## Training on the digits", "",
             f"The recipe of chapter 07 ({part['parameters']:,} parameters), one seed. Two random halves of the data are a Frechet "
             f"distance of {halves:.2f} apart (features of the bundled classifier). In a training of {part['steps']} steps "
             f"the distance of {part['few']} samples to the data is looked at every {part['every']} steps: {found}. Seconds count training only; samples are "
             "ancestral with beta_tilde.", ""]
    lines += table(["step", "seconds", "distance", "confident"],
                   [[c["step"], f"{c['seconds']:.1f}", f"{c['distance']:.2f}", f"{c['share']:.3f}"] for c in part["curve"]])
    lines += ["", f"Trainings whose learning rate is laid out for a given time ({part['speed']:.1f} steps a second were measured "
              f"before), then {part['samples']:,} samples. Confident: the share that the classifier puts into one class with a "
              f"probability above 0.9; for the data it is {part['real_share']:.3f}. The last two columns are those of an earlier "
              f"prototype ({PROTOTYPE_PARAMETERS:,} parameters, v-prediction, 40 DDIM steps), judged with "
              "other features, so that its distance counts only as a ratio.", ""]
    head = ["seconds wanted", "steps", "seconds", "distance", "distance / that of two halves", "confident",
            "prototype: ratio", "prototype: confident"]
    return lines + table(head, [_run(run, halves) for run in part["runs"]])


def _run(run, halves):
    then = PROTOTYPE.get(run["budget"])
    return [run["budget"], run["steps"], f"{run['seconds']:.1f}", f"{run['distance']:.2f}", f"{run['distance'] / halves:.2f}",
            f"{run['share']:.3f}", *([f"{then['ratio']:.2f}", f"{then['share']:.2f}"] if then else ["", ""])]


def sampling(part):
    """Whole samplings, from the same weights."""
    real, rows, batch = part["real"], part["rows"], part["batch"]
    lines = ["## Drawing MNIST digits", "",
             f"The bundled network ({part['parameters']:,} parameters) in every row: a UNet2DModel got its weights (largest difference "
             f"of the outputs {part['difference']:.0e}), and GaussianDiffusion calls ours. Median seconds for {batch} digits; Frechet "
             f"distance of {part['samples']} to the test set. {part['samples']} real training pictures are {statistics.mean(real):.1f} "
             f"away ({min(real):.1f} to {max(real):.1f} over five sets). Calls: how often the network is asked.", ""]
    rows = sorted(rows, key=lambda r: (r["way"].split(",")[0] != "ddpm_lib", r["way"].split(",")[0], r["seconds"]))
    lines += table(["way", "calls", f"seconds for {batch}", "distance", "confident"],
                   [[r["way"], r["calls"], f"{r['seconds']:.2f}", f"{r['distance']:.1f}", f"{r['share']:.3f}"] for r in rows])
    chance = 2 * 2 ** 0.5 * statistics.stdev(real)
    lines += ["", f"Two distances that differ by less than {chance:.0f} cannot be told apart here: that is twice the standard deviation of such a "
              "difference between sets of real pictures."]
    for their in (r for r in rows if not r["way"].startswith("ddpm_lib")):
        lines += ["", _beside(their, [r for r in rows if r["way"].startswith("ddpm_lib")], chance)]
    return lines


def _beside(their, ours, chance):
    """Our fastest way that is as near as one of theirs; if there is none, the fastest that is as near up to chance."""
    for most, words in ((their["distance"], "is at least as near"), (their["distance"] + chance, "cannot be told apart from it")):
        equal = [r for r in ours if r["distance"] <= most]
        if equal:
            best = min(equal, key=lambda r: r["seconds"])
            none = "" if most == their["distance"] else f"**None of ours reaches its {their['distance']:.1f}.** "
            return (f"Beside {their['way']}: {none}{best['way'].removeprefix('ddpm_lib, ')} {words} ({best['distance']:.1f} and "
                    f"{their['distance']:.1f}) and takes 1/{their['seconds'] / best['seconds']:.1f} of the time.")
    return f"**None of ours comes near the {their['distance']:.1f} of {their['way']}.**"


def training(part):
    """Distance against seconds of training, a line per check."""
    real = part["real"]
    lines = ["## Training on MNIST", "",
             f"Each code base with its own defaults: ours the recipe of the bundled weights with the learning rate laid out for {part['limit']} s "
             "(batch 64, linear schedule); diffusers its example train_unconditional.py (batch 16, learning rate 1e-4, linear schedule), with our "
             f"architecture; denoising-diffusion-pytorch its Trainer's loop (batch 16, 1e-4, pred_v, sigmoid schedule) with a Unet of dim {part['dim']}. "
             "Mirror images, a default of both peers, are left out: they are no digits. Averaged weights, 20 DDIM steps of each code base's own, "
             f"{part['samples']} samples; as many real ones are {statistics.mean(real):.1f} away ({min(real):.1f} to {max(real):.1f}). Seconds of "
             "training only; one seed.", ""]
    lines += table(["code base", "parameters", "seconds", "steps", "distance", "confident"],
                   [[name, f"{part['parameters'][name]:,}", f"{c['seconds']:.0f}", c["steps"], f"{c['distance']:.1f}", f"{c['share']:.2f}"]
                    for name, curve in part["runs"].items() for c in curve])
    for level in part["levels"]:
        said = []
        for name, curve in part["runs"].items():
            first = next((c for c in curve if c["distance"] < level), None)
            said.append(f"{name} is first seen there after {first['seconds'] / 60:.0f} min" if first
                        else f"{name} does not get there within {part['limit'] / 60:.0f} min")
        lines += ["", f"Below {level:.0f}: {'; '.join(said)}."]
    return lines


def imports(part):
    """torch, what each module adds, the sum."""
    seconds = part["modules"]
    names = [name for name in seconds if name not in ("torch", "ddpm_lib.course")]
    lines = ["## Import time", "", f"Medians over {part['rounds']} fresh Pythons; modules one after the other in this order, so each shows "
             "what it adds.", ""]
    rows = [["torch", f"{seconds['torch']:.3f} s"], *([name, f"{1000 * seconds[name]:.1f} ms"] for name in names),
            ["**all of ddpm_lib outside course**", f"**{part['library']:.3f} s**"],
            ["ddpm_lib.course, after these", f"{seconds['ddpm_lib.course']:.3f} s"]]
    return lines + table(["import", "time"], rows)


def notebooks(part):
    """Seconds and peak memory, with their sum and largest."""
    rows = part["rows"]
    lines = ["## Notebooks", "", "Each whole, in a fresh kernel, on a copy; the kernel's start included.", ""]
    lines += table(["notebook", "seconds", "peak memory of the kernel"],
                   [[r["notebook"], f"{r['seconds']:.0f}", f"{r['bytes'] / 1e6:.0f} MB"] for r in rows])
    return [*lines, "", f"Together {sum(r['seconds'] for r in rows):.0f} s; at most {max(r['bytes'] for r in rows) / 1e6:.0f} MB."]


def sliders(part):
    """How fast each slider answers, and whether the budgets are kept."""
    rows, budget = part["rows"], part["budget"]
    lines = ["## Sliders", "", "In JupyterLab and a headless Chromium, single key presses one after the other; milliseconds from the browser's time "
             "stamp of the key. Drawn: the new pixels are in the canvas, or the kernel's picture has arrived and is decoded. Painted: the end of the "
             "next frame the browser makes, the wait for it included (up to 16.7 ms at 60 frames a second). The way to a real screen is in neither. "
             "Frame sliders are those of the saved outputs; live ones are run.", ""]
    lines += table(["slider", "kind", "moves", "drawn: median", "drawn: 95th percentile", "painted: median", "painted: 95th percentile"],
                   [[f"{r['notebook'][:2]}, number {r['slider']}", r["kind"], r["moves"], *(f"{r[what][k]:.1f}" for what in ("drawn", "painted") for k in ("median", "p95"))]
                    for r in rows])
    for kind, most in budget.items():
        worst = max((r["painted"]["p95"] for r in rows if r["kind"] == kind), default=None)
        if worst is not None:
            lines += ["", f"Every {kind} slider is painted within {most} ms at the 95th percentile (at most {worst:.1f})." if worst < most
                      else f"**A {kind} slider takes {worst:.1f} ms at the 95th percentile until it is painted; the budget is {most} ms.**"]
    return lines
