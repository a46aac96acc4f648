"""The setting with which `make lab` answers live sliders without TCP's wait."""
import importlib
import pathlib
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
channels = pytest.importorskip("jupyter_server.services.kernels.connection.channels",
                               reason="JupyterLab is missing: python -m pip install -r requirements.txt")


def test_the_connection_turns_the_wait_off_before_it_connects(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from tools.at_once import AtOnce
    done = []
    monkeypatch.setattr(channels.ZMQChannelsWebsocketConnection, "connect", lambda self: done.append("connect") or "future")
    handler = types.SimpleNamespace(set_nodelay=lambda value: done.append(("nodelay", value)))
    connection = type("Connection", (AtOnce,), {"websocket_handler": handler})
    assert connection.connect(connection.__new__(connection)) == "future"
    assert done == [("nodelay", True), "connect"]


def test_make_lab_and_the_browser_tests_use_it(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "browser"))
    import driver
    assert driver.AT_ONCE in (ROOT / "Makefile").read_text(encoding="utf-8")
    module, name = driver.AT_ONCE.split("=")[1].rsplit(".", 1)
    monkeypatch.syspath_prepend(str(ROOT))
    importlib.import_module(module)
    assert issubclass(getattr(sys.modules[module], name), channels.ZMQChannelsWebsocketConnection)
