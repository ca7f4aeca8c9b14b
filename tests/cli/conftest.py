"""The command line against an API server, with a kubeconfig of its own and nothing of this machine's."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from wye_operator.cli.main import main

from .server import TOKEN, ApiServer


class Wye:
    """Runs a command; `out` and `err` are what it printed."""

    def __init__(self, capsys) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: object) -> int:
        try:
            return main([str(argument) for argument in arguments])
        except SystemExit as ended:
            return int(ended.code)
        finally:
            self.out, self.err = self._capsys.readouterr()

    @property
    def data(self):
        return json.loads(self.out)


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def url(server: ApiServer):
    with server.running() as address:
        yield address
        for thread in threading.enumerate():  # `wye logs -f` leaves them to the end of the process
            if thread.name.startswith("log of "):
                thread.join(10)


def kubeconfig(server: str, *, context: str = "dev", namespace: str | None = "team", **user: object) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "contexts": [
            {
                "name": context,
                "context": {"cluster": "here", "user": "me", **({"namespace": namespace} if namespace else {})},
            }
        ],
        "users": [{"name": "me", "user": user or {"token": TOKEN}}],
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working folder with nothing in it, and no variable that leads elsewhere."""
    for name in ("KUBECONFIG", "WYE_KEY", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".kube").mkdir()
    return tmp_path


@pytest.fixture
def config(home: Path, url: str) -> Path:
    """The kubeconfig that leads to the server."""
    file = home / ".kube" / "config"
    file.write_text(json.dumps(kubeconfig(url)))
    return file


@pytest.fixture
def wye(home: Path, capsys) -> Wye:
    return Wye(capsys)
