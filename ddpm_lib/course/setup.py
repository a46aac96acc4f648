"""The first cell of every chapter: is the machine ready, and how do pictures look."""
import importlib.metadata
import importlib.util
import os
import subprocess
import sys

from .missing import explain_missing_names

# The lowest versions the course was tried with; Colab of 2026 has newer ones, except for ipywidgets.
NEEDS = {"torch": "2.6", "numpy": "2.0", "matplotlib": "3.10", "ipywidgets": "7.7", "pillow": "11.0",
         "safetensors": "0.4"}
# Small packages that Colab may lack. They are added without their dependencies, so torch and numpy stay as they are.
COLAB_EXTRAS = ("safetensors",)

PLOT_STYLE = {
    "figure.figsize": (7.0, 3.2), "figure.dpi": 100, "savefig.dpi": 100,
    "figure.facecolor": "white", "savefig.facecolor": "white", "font.size": 10, "axes.titlesize": 10,
    "axes.labelsize": 10, "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.8, "image.interpolation": "nearest",
}


def in_colab():
    """True when this Python runs in Google Colab."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def version_key(version):
    """'2.13.0+cpu' -> (2, 13, 0): something that can be compared."""
    parts = version.split("+")[0].split(".")[:3]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in parts)


def check_environment(needs=None):
    """Compare the installed packages with the lowest versions the course needs.

    needs: {package: lowest version}, NEEDS if None. Returns {package: version}.
    Raises RuntimeError, in one sentence, with what is missing or too old and what to type.
    """
    have, bad, names = {}, [], []
    for name, low in (NEEDS if needs is None else needs).items():
        try:
            have[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            bad.append(f"{name} is missing (the course needs {low} or newer)")
            names.append(f'"{name}>={low}"')
            continue
        if version_key(have[name]) < version_key(low):
            bad.append(f"{name} {have[name]} is too old (the course needs {low} or newer)")
            names.append(f'"{name}>={low}"')
    if sys.version_info < (3, 11):  # noqa: UP036  (on Colab nothing was installed that would have checked it)
        bad.append("Python {}.{} is too old (the course needs 3.11 or newer)".format(*sys.version_info[:2]))
    if bad:
        cure = f"; type: pip install {' '.join(names)} and restart the kernel" if names else ""
        raise RuntimeError("; ".join(bad) + cure + ".")
    return have


def add_missing(names=COLAB_EXTRAS):
    """On Colab: pip-install those of `names` that are absent, without touching anything else."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if not missing:
        return
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", *missing]
    done = subprocess.run(command, capture_output=True, text=True)
    importlib.invalidate_caches()
    if done.returncode:
        raise RuntimeError(f"{', '.join(missing)} could not be installed; check the network and run this cell again.")


def shell():
    """The IPython that runs this Python; None in a plain one."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def use_plot_style():
    """Give every matplotlib figure the look of the course (palette, sizes, no frame on two sides)."""
    import matplotlib

    from ..plots import DATA, ERROR, EXACT, GREY, MODEL, NOISE
    cycle = matplotlib.cycler(color=[DATA, NOISE, MODEL, ERROR, EXACT, GREY])
    matplotlib.rcParams.update(PLOT_STYLE, **{"axes.prop_cycle": cycle})
    if shell():
        from matplotlib_inline.backend_inline import set_matplotlib_formats
        set_matplotlib_formats("png")                          # "retina" would double every committed picture


def setup():
    """Check the environment, set the look of pictures, explain missing names, and print one line that also belongs in a bug report.

    Raises RuntimeError, in one sentence, when a package is missing or too old.
    """
    if in_colab():
        add_missing()
    have = check_environment()
    use_plot_style()
    if shell():
        explain_missing_names(shell())
    versions = ", ".join(f"{name} {version}" for name, version in have.items())
    print("Python {}.{}, ".format(*sys.version_info[:2]) + versions + (", Colab" if in_colab() else "") + ": ready")
