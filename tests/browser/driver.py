"""A private JupyterLab, and a notebook in it as a reader has it: opened in Chromium, run, changed, interrupted.

    with start_lab(folder) as lab, check.browser() as browser:
        lab.copy("notebooks/03_exact_reverse.ipynb")
        with open_notebook(browser, lab, "03_exact_reverse.ipynb") as notebook:
            notebook.run_all(120)
            notebook.cell_errors(), notebook.errors, notebook.outside
"""
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
from nbformat import v4

ROOT = pathlib.Path(__file__).resolve().parents[2]
AT_ONCE = "--ServerApp.kernel_websocket_connection_class=tools.at_once.AtOnce"     # as `make lab` has it
SETTINGS = {"notebook-extension/tracker": {"windowingMode": "none"},      # else cells out of sight are not in the page
            "docmanager-extension/plugin": {"autosave": False},
            "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}
HARMLESS = re.compile("|".join((                        # what JupyterLab itself says in the console, with every notebook
    r"Failed to load resource: net::ERR_FAILED",                            # a request that was not let out; see `outside`
    r"Failed to load resource: the server responded with a status of 404",  # it asks for files that need not exist
    r"The Jupyter Server .* (LSP|language server)",
    r"^Error: Canceled future for",                                         # the kernel was restarted or shut down
    r"^Canceled( future)?\b",
    r"WebSocket (connection to|is closed)")))
MODEL = """const panel = window.jupyterapp.shell.currentWidget, context = panel.sessionContext, cells = panel.content.widgets;
const kernel = context.session && context.session.kernel, source = c => c.model.sharedModel.getSource();
const json = c => c.model.outputs ? c.model.outputs.toJSON() : [];"""


# --- the server --------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Lab:
    """A running JupyterLab. url, token: where it is; root: the folder it shows; log: what it says; progress: the file that
    DDPM_PROGRESS names in its kernels; environment: that of the server and its kernels."""
    url: str
    token: str
    root: pathlib.Path
    log: pathlib.Path
    progress: pathlib.Path
    environment: dict
    process: subprocess.Popen

    def copy(self, path, name=None):
        """Copy a notebook (or any file) into the folder; returns its name there."""
        path = pathlib.Path(path)
        name = name or path.name
        shutil.copy(ROOT / path, self.root / name)
        (self.root / name).chmod(0o644)
        return name

    def write(self, name, *sources):
        """A new notebook with these code cells (a string, or a cell made by nbformat); returns its name."""
        cells = [source if isinstance(source, dict) else v4.new_code_cell(source) for source in sources]
        spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(v4.new_notebook(cells=cells, metadata=spec), self.root / name)
        return name

    def trust(self, name):
        """Sign a notebook, so that its saved outputs may run their scripts."""
        subprocess.run([sys.executable, "-m", "nbformat.sign", str(self.root / name)], env=self.environment, check=True, capture_output=True)

    def said(self):
        """Everything the server and its kernels wrote to their log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def get(self, path):
        """What the server's interface answers, as "api/kernels" or "api/sessions"."""
        with urllib.request.urlopen(f"{self.url}/{path}?token={self.token}", timeout=10) as answer:
            return json.load(answer)


@contextlib.contextmanager
def start_lab(folder, python=sys.executable):
    """A JupyterLab of its own on 127.0.0.1, with a token and all its folders below `folder`; ends with the block.

    python: the Python that has JupyterLab, and that its kernels use. Raises RuntimeError, with the end of the log, if it
    does not answer.
    """
    folder = pathlib.Path(folder)
    token, root, log = secrets.token_hex(16), folder / "root", folder / "lab.log"
    root.mkdir(parents=True)
    for plugin, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython",
           "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "DDPM_PROGRESS": "progress.txt"}
    environment = {**os.environ, "JUPYTER_TOKEN": token, **{name: str(folder / value) for name, value in own.items()},
                   "PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [str(python), "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={url.split(':')[-1]}",
               "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}", "--LabApp.news_url=None", "--LabApp.extension_manager=readonly",
               AT_ONCE, "--LabApp.expose_app_in_browser=True"]             # window.jupyterapp: commands by name
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT, cwd=root)
    lab = Lab(url, token, root, log, folder / "progress.txt", environment, process)
    try:
        _answers(lab, 90)
        yield lab
    finally:
        process.terminate()                                                # it shuts its kernels down
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _answers(lab, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until and lab.process.poll() is None:
        with contextlib.suppress(OSError):
            lab.get("api/status")
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab does not answer; its log ends with:\n{lab.said()[-3000:]}")


# --- a notebook in the browser -----------------------------------------------------------------------------------

def open_notebook(browser, lab, name, width=1100, height=900):
    """Open a notebook of lab.root in a window of its own and wait for its kernel. Returns a Notebook."""
    return Notebook(browser, lab, name, {"width": width, "height": height})


class Notebook:
    """An open notebook. page: playwright's page; errors: what the page complained of; outside: requests to anywhere but this
    machine (they are refused, and listed). A cell is named by its number from 0, or by a text that its source holds."""

    def __init__(self, browser, lab, name, viewport):
        self.lab, self.name, self.errors, self.outside = lab, name, [], []
        self.context = browser.new_context(viewport=viewport)
        self.page = self.context.new_page()
        try:
            self._watch()
            self.page.goto(f"{lab.url}/doc/tree/{name}?token={lab.token}")
            self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
            self.connected()
        except BaseException:
            self.context.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _watch(self):
        def gate(route):
            here = route.request.url.startswith((self.lab.url + "/", "data:", "blob:"))
            if not here:
                self.outside.append(route.request.url[:200])
            route.continue_() if here else route.abort()

        self.context.route("**/*", gate)
        self.page.on("websocket", lambda s: s.url.startswith(self.lab.url.replace("http", "ws", 1)) or self.outside.append(s.url[:200]))
        self.page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        self.page.on("console", self._heard)

    def _heard(self, message):
        if message.type == "error" and not HARMLESS.search(message.text):
            self.errors.append(f"console: {message.text[:500]}")

    def js(self, body, argument=None):
        """Run the body of a JavaScript function of x; panel, context, kernel, cells, source(cell), json(cell) are at hand."""
        return self.page.evaluate(f"async x => {{ {MODEL} {body} }}", argument)

    def wait(self, expression, argument=None, timeout=60):
        """Wait until a JavaScript expression, with the same names at hand, is true; returns its value. timeout: seconds."""
        handle = self.page.wait_for_function(f"x => {{ if (!window.jupyterapp?.shell.currentWidget?.content?.widgets) return false; {MODEL} return {expression} }}",
                                             arg=argument, timeout=timeout * 1000, polling=50)
        return handle.json_value()

    def connected(self, timeout=60):
        """Wait until the kernel is there and has nothing to do."""
        self.wait("context.isReady && kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle'", timeout=timeout)

    def idle(self, timeout=60):
        """Wait until no cell runs or waits to be run, and what the kernel sent is shown."""
        self.wait("kernel.connectionStatus === 'connected' && kernel.status === 'idle' && !window.ddpmRunning", timeout=timeout)
        self.js("await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    # --- cells

    def index(self, cell):
        """The number of a cell, which is named by its number, a text in its source, or a function of its source."""
        if isinstance(cell, int):
            return cell
        holds = cell if callable(cell) else lambda source: cell in source
        found = [k for k, source in enumerate(self.sources()) if holds(source)]
        if not found:
            raise LookupError(f"{self.name} has no cell with {cell!r}")
        return found[0]

    def sources(self):
        """The text of every cell, Markdown too."""
        return self.js("return cells.map(source)")

    def kinds(self):
        """"code" or "markdown", of every cell."""
        return self.js("return cells.map(c => c.model.type)")

    def set_source(self, cell, text):
        """Replace the text of a cell."""
        self.js("cells[x[0]].model.sharedModel.setSource(x[1])", [self.index(cell), text])

    def outputs(self, cell):
        """The outputs of a cell as a notebook file holds them."""
        return self.js("return json(cells[x])", self.index(cell))

    def text(self, cell):
        """What the outputs of a cell say: its streams and the text/plain of its other outputs, one after the other."""
        parts = [output.get("text") or output.get("data", {}).get("text/plain") or "\n".join(output.get("traceback", []))
                 for output in self.outputs(cell)]
        return "\n".join("".join(part) if isinstance(part, list) else part for part in parts)

    def counts(self):
        """The execution count of every cell; None for one that did not run (or is Markdown)."""
        return self.js("return cells.map(c => c.model.type === 'code' && c.model.executionCount || null)")

    def locator(self, cell):
        """playwright's locator of a cell."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(self.index(cell))

    def cell_errors(self):
        """[(number of the cell, "NameError: ...")] of every cell that failed."""
        return [tuple(found) for found in self.js("""return cells.flatMap((c, k) => json(c).filter(o => o.output_type === 'error')
            .map(o => [k, o.ename + ': ' + o.evalue]))""")]

    def stderr(self):
        """[(number of the cell, text)] of everything that cells wrote to stderr."""
        return [tuple(found) for found in self.js("""return cells.flatMap((c, k) => json(c).filter(o => o.name === 'stderr')
            .map(o => [k, [o.text].flat().join('')]))""")]

    # --- running

    def run_all(self, timeout=120, wait=True):
        """Run every cell from top to bottom, as the menu does, and wait. A failed cell stops it; see cell_errors()."""
        self.connected(timeout)
        for attempt in range(3):                                           # right after loading, the command is lost now and then
            self._start("notebook:run-all-cells", None)
            if not wait:
                return
            self._done(timeout)
            if attempt == 2 or self.cell_errors() or not self.js("""return cells.every(c => c.model.type !== 'code'
                    || c.model.executionCount === null)"""):
                return

    def run_cell(self, cell, timeout=60, wait=True):
        """Run one cell and wait for its end."""
        self._start("notebook:run-cell", self.index(cell))
        if wait:
            self._done(timeout)

    def _start(self, command, number):
        self.js("""const notebook = panel.content; window.ddpmRunning = true;
            for (const [k, c] of cells.entries()) if (c.model.type === 'code' && (x[1] === null || x[1] === k)) c.model.sharedModel.execution_count = null;
            if (x[1] !== null) { notebook.deselectAll(); notebook.activeCellIndex = x[1]; }
            const ended = () => { window.ddpmRunning = false };
            window.jupyterapp.commands.execute(x[0]).then(ended, ended);""", [command, number])

    def _done(self, timeout):
        try:
            self.idle(timeout)
        except Exception as error:
            at = [k for k, busy in enumerate(self.js("return cells.map(c => c.node.innerText.includes('[*]'))")) if busy]
            raise TimeoutError(f"{self.name} was not done after {timeout} s; waiting at cell {at[:1]}: {error}") from None

    def interrupt(self):
        """The stop button."""
        self.js("await window.jupyterapp.commands.execute('notebook:interrupt-kernel')")

    def restart(self, timeout=60):
        """The restart button, with its question answered; the outputs stay."""
        self.js("await context.restartKernel(); window.ddpmRunning = false;")
        self.connected(timeout)

    def close(self):
        """Shut the kernel down and close the window."""
        with contextlib.suppress(Exception):
            self.js("await context.shutdown()")
        self.context.close()
