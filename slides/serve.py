"""Show the decks while they are written: `make slides SERVE=1`, or python slides/build.py --serve."""
import http.server
import subprocess
import sys
import threading
import time

import build


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = sys.platform != "win32"              # there it would share a port with another program


def serve(only, port=8080):
    """Show the decks on this machine alone, built again when a source changes; the page reloads itself.

    only: beginning of a deck's name. port: another free one is taken if this one is not free.
    """
    out, version = build.BUILD / "serve", [0]

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *more):
            super().__init__(*more, directory=str(out))

        def do_GET(self):
            path = out / self.path.split("?")[0].strip("/")
            if self.path == "/version":
                self.answer(str(version[0]), "text/plain")
            elif path.suffix == ".html" and path.is_file():
                again = ("<script>let v;setInterval(async()=>{const w=await(await fetch('/version')).text();"
                         "if(v&&w!==v)location.reload();v=w},700)</script></body>")
                self.answer(path.read_text(encoding="utf-8").replace("</body>", again), "text/html; charset=utf-8")
            else:
                super().do_GET()

        def answer(self, text, kind):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    out.mkdir(parents=True, exist_ok=True)
    try:
        server = Server(("127.0.0.1", port), Handler)
    except OSError:
        server = Server(("127.0.0.1", 0), Handler)
        print(f"Port {port} is taken by another program, so another one is used:", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/ shows the decks, and builds one again when its files change. Ctrl-C ends it.", flush=True)
    command = [sys.executable, build.__file__, "--out", str(out), "--html"]
    seen = {}
    try:
        while True:
            for deck in build.decks(only):
                now = build.sources(deck)
                if seen.get(deck) != now:
                    seen[deck] = now
                    subprocess.run([*command, "--only", deck.stem])      # a new process: changed modules are read again
                    version[0] += 1
            time.sleep(0.7)
    except KeyboardInterrupt:
        server.shutdown()
    except build.Stop as sentence:                             # a deck was renamed
        sys.exit(f"slides: {sentence}")
