# Two commands matter to a reader: `make lab` and `make test`. Each does its own set-up, the first time, in .venv.
# Works with GNU Make 3.81 (macOS) and newer, and in a folder whose name has spaces. On Windows: see README.md.

ARGS ?=
ONLY ?=
SERVE ?=

.PHONY: help lab test test-colab notebooks html slides weights bench lint clean
.DEFAULT_GOAL := help

help:  ## show this list
	@echo "make lab        open the course in JupyterLab (the first time it installs what it needs)"
	@echo "make test       run every test and every notebook"
	@echo "make test-colab run notebooks, sliders and exercises beside the versions that Colab has, in .venv-colab"
	@echo "make notebooks  run all notebooks again and save their outputs"
	@echo "make html       make a web page of each chapter, in html/, that opens without a network (needs Node.js)"
	@echo "make slides     build the decks (ONLY=02 one of them, SERVE=1 shows it while you write)"
	@echo "make weights    train the bundled networks again"
	@echo "make bench      measure the library beside its peers"
	@echo "make lint       check the style of the code"
	@echo "make clean      remove .venv, .venv-colab and caches; your trainings and downloads stay"
	@echo
	@echo "ARGS=... goes to the program that is started:   make lab ARGS=--no-browser   make test ARGS='-k schedules'"
	@echo "PYTHON=... chooses the Python for a new .venv:  make lab PYTHON=python3.12"

# What the set-up does, as one shell script ($$ is make's way to write $). It takes one word: lab, test or colab; the last
# makes .venv-colab, an environment of its own, and touches .venv nowhere.
#  .venv/.made            the folder this .venv was made for; a .venv that was moved or copied is made anew
#  .venv/.unfinished      there while an installation runs, with its process number; one left behind was interrupted
#  .venv/.installed-WORD  written last: checksums of the files that say what to install
# In this environment JupyterLab does not ask whether to fetch news, and fetches none.
define SET_UP
set -eu
say() { printf '%s\n' "$$*"; }
stop() { printf '\n%s\n' "$$*" >&2; exit 1; }

level=$$1
venv=.venv wanted=requirements.txt jupyter=jupyterlab pythons="python3.11 python3.12 python3.13 python3"
files="requirements.txt constraints.txt pyproject.toml"
case $$level in
test) wanted=requirements-dev.txt files="$$files requirements-dev.txt" ;;
colab) venv=.venv-colab wanted=requirements-colab.txt jupyter=notebook pythons="python3.12 python3.11 python3.13 python3"
    files="requirements-colab.txt constraints-colab.txt pyproject.toml" ;;
esac
python=$$venv/bin/python
stamp=$$venv/.installed-$$level
state=$$(pwd -P; cksum $$files)
if [ -f "$$stamp" ] && [ ! -f $$venv/.unfinished ] && [ "$$(cat "$$stamp")" = "$$state" ] &&
   "$$python" -c 'import sys' 2>/dev/null; then exit 0; fi

case "$${OS:-}" in
Windows_NT) stop "On Windows, use the pip lines in README.md: this Makefile is for Linux and macOS." ;;
esac

# A Python counts when it runs (a name on PATH may be a shim that only prints an error), is new enough, and has venv.
find_python() {
    found= old= bare=
    if [ -n "$${PYTHON:-}" ]; then set -- "$$PYTHON"; else set -- $$pythons; fi
    for p; do
        v=$$("$$p" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if ! "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then old="$$p is $$v"; continue; fi
        if ! "$$p" -c 'import ensurepip, venv' 2>/dev/null; then bare=$${bare:-$$v}; continue; fi
        found=$$p
        return
    done
    if [ -n "$$bare" ]; then
        stop "Python $$bare is here, but without its venv module: install it (Debian, Ubuntu: sudo apt-get install python$$bare-venv), then run this again."
    elif [ -n "$${PYTHON:-}" ]; then
        stop "PYTHON=$$PYTHON is no Python 3.11 or newer that runs$${old:+ ($$old)}: name another one, or leave PYTHON out."
    else
        stop "The course needs Python 3.11, 3.12 or 3.13$${old:+ ($$old)}: install one (Debian, Ubuntu: sudo apt-get install python3 python3-venv; macOS: brew install python@3.12), then run this again."
    fi
}

why=
if [ -f $$venv/.unfinished ]; then
    other=$$(cat $$venv/.unfinished)
    if [ "$$other" != "$$$$" ] && kill -0 "$$other" 2>/dev/null; then
        stop "Another make is installing into $$venv right now (process $$other): wait for it, then run this again (if there is none, make clean first)."
    fi
    why="The last installation did not finish"
elif [ -f $$venv/.made ] && [ "$$(cat $$venv/.made)" != "$$(pwd -P)" ]; then why="This folder was moved or copied"
elif [ -e $$venv ] && ! "$$python" -m pip --version >/dev/null 2>&1; then why="The Python in $$venv does not work"
fi
if [ -n "$$why" ] || [ ! -e $$venv ]; then
    find_python
    if [ -n "$$why" ]; then say "$$why: $$venv is made anew."; fi
    say "Making a virtual environment in $$venv with $$found (Python $$v) ..."
    rm -rf $$venv
    mkdir $$venv
    echo "$$$$" > $$venv/.unfinished
    "$$found" -m venv $$venv || stop "The virtual environment could not be made (see above)."
    pwd -P > $$venv/.made
fi

say "Installing $$wanted into $$venv ..."
if ! ls "$$venv"/.installed-* >/dev/null 2>&1; then
    say "  The first time this takes 1 to 5 minutes, about 400 MB of downloads and 2 GB of disk."
    if [ "$$(uname -s)" = Linux ] && [ ! -d $$venv/lib/python*/site-packages/torch ]; then
        say "  On Linux, torch may bring GPU libraries of several GB more."
    fi
fi
echo "$$$$" > $$venv/.unfinished
{ "$$python" -m pip install --disable-pip-version-check --no-input --root-user-action=ignore -r "$$wanted" &&
  : > $$venv/.pip-done; } 2>&1 | while IFS= read -r line; do
    printf '%s\n' "$$line" >&3
    case $$line in
    *Downloading*"("[0-9][0-9]*" MB)" | *Downloading*" GB)")
        name=$${line##*/} name=$${name##*Downloading }; say "  $${name%%-*} ($${line##*\(}" ;;
    "WARNING: Retrying"*) say "  The network does not answer; trying again ..." ;;
    "Installing collected packages"*) say "  Everything is here; unpacking it ..." ;;
    esac
done 3>$$venv/install.log
if [ ! -f $$venv/.pip-done ]; then
    grep -v '^WARNING' $$venv/install.log | tail -n 12 >&2 || :
    stop "The installation did not finish: look at the lines above (all of them: $$venv/install.log), check the network and the free disk space, then run the same command again."
fi
rm $$venv/.pip-done
mkdir -p "$$venv/share/jupyter/lab/settings"
echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' \
    > "$$venv/share/jupyter/lab/settings/overrides.json"
say "Starting torch, matplotlib and Jupyter once ..."
"$$python" -W ignore -c "import torch, matplotlib.pyplot, $$jupyter" || stop "The installed packages do not start (see above): run make clean, then this again."
if [ "$$level" = test ]; then
    { pwd -P; cksum requirements.txt constraints.txt pyproject.toml; } > $$venv/.installed-lab
fi
rm $$venv/.unfinished
printf '%s\n' "$$state" > "$$stamp"
say "The environment is ready."
endef
export SET_UP

# A notebook whose outputs come from somebody else shows its sliders only when it is trusted: sign the course's own.
CHAPTERS = notebooks/[0-9][0-9]_*.ipynb

# Two settings spare the reader a warning: of a kernel without encryption, and of the server's own keep-alive (30 s, with a timeout
# of 90 s that tornado does not like); on one machine no connection needs it. The last one makes live sliders quick.
lab:
	@sh -c "$$SET_UP" set-up lab
	@if [ ! -f .venv/.trusted ] || [ -n "$$(find notebooks -name '*.ipynb' -newer .venv/.trusted)" ]; then \
	    .venv/bin/python -m nbformat.sign $(CHAPTERS) >/dev/null 2>&1 && : > .venv/.trusted; fi; :
	@echo "Opening notebooks/00_start_here.ipynb in JupyterLab. Ctrl-C in this window stops it."
	@if [ "$$(id -u)" = 0 ]; then root=--allow-root; else root=; fi; \
	exec .venv/bin/python -m jupyterlab $$root --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. \
	    --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb --ServerApp.answer_yes=True --log-level=WARN \
	    --MappingKernelManager.transport_encryption=auto "--ServerApp.tornado_settings={'ws_ping_interval': 0}" \
	    --ServerApp.kernel_websocket_connection_class=tools.at_once.AtOnce $(ARGS)

test:
	@sh -c "$$SET_UP" set-up test
	@echo "Running the library's tests and every notebook; the notebooks take most of the time (about 35 minutes in all)."
	.venv/bin/python -m pytest $(ARGS)

# Everything that meets ipywidgets and IPython: each notebook, the sliders (in a browser too), the exercises, the first cell.
COLAB = notebooks tests/colab tests/test_exercise_engine.py tests/test_explore.py tests/test_first_cell.py \
    tests/test_latent_plane.py tests/test_missing.py tests/test_nbval.py tests/test_notebook_form.py tests/test_progress.py \
    tests/test_sandboxed_iframe.py tests/test_unet_map.py

test-colab:
	@sh -c "$$SET_UP" set-up colab
	@echo "Running the notebooks, the sliders and the exercises with ipywidgets 7 (about 15 minutes)."
	PYDEVD_DISABLE_FILE_VALIDATION=1 .venv-colab/bin/python -m pytest $(COLAB) $(ARGS)

notebooks:
	@sh -c "$$SET_UP" set-up test
	.venv/bin/python tools/notebooks.py run notebooks/*.ipynb $(ARGS)

html:
	@sh -c "$$SET_UP" set-up lab
	.venv/bin/python tools/pages.py $(CHAPTERS) $(ARGS)

slides:
	@sh -c "$$SET_UP" set-up test
	.venv/bin/python slides/build.py $(if $(ONLY),--only $(ONLY)) $(if $(SERVE),--serve) $(ARGS)

weights:
	@sh -c "$$SET_UP" set-up test
	.venv/bin/python data/make_weights.py $(ARGS)

bench:
	@sh -c "$$SET_UP" set-up test
	.venv/bin/python benchmarks/run.py $(ARGS)

lint:
	@sh -c "$$SET_UP" set-up test
	.venv/bin/python -m ruff check $(ARGS) .

clean:
	rm -rf .venv .venv-colab .pytest_cache .ruff_cache build ddpm_lib.egg-info slides/_build slides/node_modules html
	find . -name .git -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +
