"""Downloads: from a server on this machine that behaves, and from one that misbehaves in every way we know."""
import gzip
import hashlib
import http.server
import io
import os
import pathlib
import tarfile
import threading

import numpy as np
import pytest
import torch

from ddpm_lib import data, downloads, weights
from ddpm_lib.__main__ import main
from ddpm_lib.unet import UNet

MNIST = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def small_mnist():
    """Bytes of the four files, by name: 6 and 4 pictures."""
    g, files = np.random.default_rng(0), {}
    for name in downloads.IDX:
        n = 6 if name.startswith("train") else 4
        array = g.integers(0, 256, (n, 28, 28), dtype=np.uint8) if "images" in name else np.arange(n, dtype=np.uint8)
        files[name] = gzip.compress(idx(array), mtime=0)
    return files


def small_cifar():
    g, buffer = np.random.default_rng(0), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for k, name in enumerate(["test_batch"] + [f"data_batch_{i}" for i in range(1, 6)]):
            rows = g.integers(0, 256, (2, 3073), dtype=np.uint8)
            rows[:, 0] = k
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            info.size = rows.nbytes
            archive.addfile(info, io.BytesIO(rows.tobytes()))
    return {downloads.TAR: buffer.getvalue()}


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by their last name; `mood` says how, and `asked` keeps what was asked for."""

    def __init__(self, files):
        self.files, self.mood, self.asked = files, "good", []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name, mood = self.path.rpartition("/")[2], self.server.mood
        self.server.asked.append(name)
        body = self.server.files[name]
        if mood == "missing":
            return self.send_error(404)
        if mood == "page":
            body = b"<!DOCTYPE html><html><body>Please log in to the hotel's network</body></html>"
        if mood == "other":
            body = body[:-1] + bytes([body[-1] ^ 1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:len(body) // 2] if mood == "breaks" else body)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server with small files; both mirrors of every data set are this one."""
    files = small_mnist() | small_cifar()
    server = Server(files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    md5 = {name: hashlib.md5(body).hexdigest() for name, body in files.items()}
    sources = {name: source._replace(mirrors=(server.url + "/a", server.url + "/b"), files={file: md5[file] for file in source.files})
               for name, source in downloads.SOURCES.items()}
    monkeypatch.setattr(downloads, "SOURCES", sources)
    monkeypatch.setattr(downloads, "FOLDER", tmp_path / "downloads")
    monkeypatch.delenv("DDPM_DATA", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def left(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file()) if folder.exists() else []


def test_a_download_is_read_and_kept(server):
    x_0, labels, names = data.load("mnist")
    raw = gzip.decompress(server.files["train-images-idx3-ubyte.gz"])[16:]
    assert x_0.shape == (6, 1, 28, 28) and x_0.dtype == torch.float32 and labels.tolist() == [0, 1, 2, 3, 4, 5] and names[3] == "3"
    assert torch.allclose((x_0.flatten() + 1) * 127.5, torch.tensor(list(raw)).float(), atol=1e-4)
    asked = list(server.asked)
    server.mood = "missing"
    assert torch.equal(data.load("mnist").x_0, x_0) and server.asked == asked          # nothing is fetched twice
    server.mood = "good"
    assert data.load("mnist_test").x_0.shape == (4, 1, 28, 28) and data.load("fashion_mnist").names[9] == "ankle boot"


def test_cifar(server):
    x_0, labels, names = data.load("cifar10")
    assert x_0.shape == (10, 3, 32, 32) and labels.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5] and names[5] == "dog"
    assert data.load("cifar10_test").labels.tolist() == [0, 0] and x_0.min() >= -1 and x_0.max() <= 1


def test_the_second_mirror_helps(server, monkeypatch):
    sources = downloads.SOURCES
    broken = {"mnist": sources["mnist"]._replace(mirrors=("http://127.0.0.1:9/gone", server.url))}
    monkeypatch.setattr(downloads, "SOURCES", broken)
    assert len(data.load("mnist").x_0) == 6


@pytest.mark.parametrize("mood, words", [
    ("breaks", "it broke off in the middle"), ("missing", "the server answers 404"),
    ("page", "what came is not the file .its checksum is wrong"), ("other", "what came is not the file .its checksum is wrong")])
def test_a_server_that_misbehaves(server, mood, words, tmp_path):
    server.mood = mood
    with pytest.raises(ValueError, match=f"cannot download train-images-idx3-ubyte.gz of mnist .*{words}.*set DDPM_DATA=DIR") as error:
        data.load("mnist")
    assert "\n" not in str(error.value) and str(error.value).count(server.url) == 2    # both mirrors were tried, and are named
    assert left(tmp_path / "downloads") == []                                          # nothing half-written
    server.mood = "good"
    assert len(data.load("mnist").x_0) == 6                                            # the same call goes on


def test_no_network(server, monkeypatch, tmp_path):
    nowhere = {"mnist": downloads.SOURCES["mnist"]._replace(mirrors=("http://127.0.0.1:9", "http://nowhere.invalid"))}
    monkeypatch.setattr(downloads, "SOURCES", nowhere)
    with pytest.raises(ValueError, match="9: no connection; .*invalid: no connection.: try again later, or put the files of mnist into DIR/mnist"):
        data.load("mnist")
    assert left(tmp_path / "downloads") == []


def test_a_folder_that_cannot_be_written(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(downloads, "FOLDER", tmp_path / "file" / "downloads")          # holds for root too, unlike a mode
    with pytest.raises(ValueError, match="cannot write .*mnist .*: make it writable, or put the files of mnist into DIR/mnist"):
        data.load("mnist")


def test_a_read_only_folder(server, monkeypatch, tmp_path):
    """A real mode for everybody but root, who gets the error that others get from the system."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    folder.chmod(0o555)
    try:
        if os.access(folder, os.W_OK):                                                 # root, or a system without modes
            def refuse(path, *args, **kwargs):
                raise PermissionError(13, "Permission denied", str(path))
            monkeypatch.setattr(os, "makedirs", refuse)
        with pytest.raises(ValueError, match="cannot write .*mnist .(Permission denied|no permission).: make it writable"):
            data.load("mnist")
    finally:
        folder.chmod(0o755)


# -- files that are there already --------------------------------------------------------------------------------------------

def own(tmp_path, monkeypatch, change=lambda name, body: body, unpacked=False):
    folder = tmp_path / "own" / "mnist"
    folder.mkdir(parents=True)
    for name, body in small_mnist().items():
        body = gzip.decompress(body) if unpacked else body
        (folder / (name.removesuffix(".gz") if unpacked else name)).write_bytes(change(name, body))
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "own"))
    monkeypatch.setattr(downloads, "_fetch", lambda *args: pytest.fail("something was downloaded"))


@pytest.mark.parametrize("unpacked", [False, True])
def test_files_of_ddpm_data_are_used(tmp_path, monkeypatch, unpacked):
    own(tmp_path, monkeypatch, unpacked=unpacked)
    assert data.load("mnist").x_0.shape == (6, 1, 28, 28) and data.load("mnist_test").labels.tolist() == [0, 1, 2, 3]


def test_the_command_line_trains_on_mnist(tmp_path, monkeypatch):
    own(tmp_path, monkeypatch)
    tiny = ["--widths", "8", "16", "--groups", "4", "--batch", "4", "--T", "10", "--steps", "2"]
    assert main(["train", "--data", "mnist", "--out", str(tmp_path / "run"), *tiny]) == 0
    assert weights.load(tmp_path / "run" / "weights.safetensors", UNet)[1]["shape"] == [1, 28, 28]


@pytest.mark.parametrize("change, words", [
    (lambda name, body: body[:-9], "train-images-idx3-ubyte.gz is damaged: delete it and get it anew"),
    (lambda name, body: b"<html></html>", "train-images-idx3-ubyte.gz is damaged"),
    (lambda name, body: gzip.compress(gzip.decompress(body)[:-1]), "is not a whole IDX file of bytes with 3 dimension"),
    (lambda name, body: small_mnist()["train-labels-idx1-ubyte.gz"], "is not a whole IDX file of bytes with 3 dimension"),
    (lambda name, body: gzip.compress(idx(np.zeros((6, 8, 8), np.uint8))) if "images" in name else body, r"mnist is damaged: pictures \(6, 8, 8\)"),
    (lambda name, body: gzip.compress(idx(np.zeros(5, np.uint8))) if "labels" in name else body, r"mnist is damaged: .*labels \(5,\)"),
    (lambda name, body: gzip.compress(idx(np.full(6, 10, np.uint8))) if "labels" in name else body, "mnist is damaged"),
])
def test_files_of_ddpm_data_are_checked(tmp_path, monkeypatch, change, words):
    own(tmp_path, monkeypatch, change)
    with pytest.raises(ValueError, match=words):
        data.load("mnist")


def test_files_that_are_not_there(tmp_path, monkeypatch):
    own(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="there is no cifar10/cifar-10-binary.tar.gz in it: put it there, or unset DDPM_DATA"):
        data.load("cifar10")


@pytest.mark.parametrize("spoil", [lambda b: b[:200], lambda b: b"<html></html>", lambda b: gzip.compress(b"x" * 2000)])
def test_a_damaged_archive(tmp_path, monkeypatch, spoil):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / downloads.TAR).write_bytes(spoil(small_cifar()[downloads.TAR]))
    monkeypatch.setenv("DDPM_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="tar.gz is damaged: delete it and get it anew"):
        data.load("cifar10")


def test_every_data_set_has_two_mirrors_and_checksums():
    for source in downloads.SOURCES.values():
        assert len(source.mirrors) == 2 and len(source.names) == 10
        assert all(len(md5) == 32 and set(md5) <= set("0123456789abcdef") for md5 in source.files.values())


def test_the_real_mnist(monkeypatch):
    if not MNIST.exists():
        pytest.skip("data: the published files are not beside this folder; the same is tested above on small ones")
    monkeypatch.setenv("DDPM_DATA", str(MNIST.parent))
    train, test = data.load("mnist"), data.load("mnist_test")
    assert train.x_0.shape == (60_000, 1, 28, 28) and test.x_0.shape == (10_000, 1, 28, 28)
    assert train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert float(((train.x_0 + 1) / 2).mean()) == pytest.approx(0.1307, abs=1e-4)      # the mean that everybody knows
