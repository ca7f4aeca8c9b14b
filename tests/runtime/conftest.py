"""Real server processes over real HTTP: one for each configuration, awaited with a deadline, ended by pid."""

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

import plain
from breaking import certificate

BIN = Path(sys.executable).parent / "wye-runtime"
DEADLINE = 30.0


def until(met, why="it did not happen"):
    """Polls a condition; the deadline is for broken code, not for slow machines."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = met()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(why)


class Server:
    """One wye-runtime process."""

    def __init__(self, folder: Path, config: dict, environment: dict | None = None, more: tuple[str, ...] = ()):
        self.folder = folder
        self.is_told = False
        folder.mkdir(parents=True)
        self.out, self.words = folder / "log", folder / "last-words"
        (folder / "config.json").write_text(json.dumps(config))
        arguments = ["--config", folder / "config.json", "--host", "127.0.0.1", "--port", "0", "--inner-port", "0"]
        told = {"WYE_TERMINATION_LOG": str(self.words), **(environment or {})}
        with self.out.open("wb") as out:
            command = [BIN, "serve", *arguments, *more]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=told)

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def line(self, message: str, **fields: str) -> dict:
        return next((line for line in self.lines() if line.items() >= {"message": message, **fields}.items()), {})

    def listening(self) -> "Server":
        found = until(lambda: self.line("listening") or self.process.poll() is not None, "no port opened")
        assert found is not True, self.out.read_text()
        self.port, self.inner_port = found["port"], found["innerPort"]
        limits = httpx.Limits(max_connections=200)
        self.http = plain.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=DEADLINE, limits=limits)
        self.inner = plain.Client(base_url=f"http://127.0.0.1:{self.inner_port}", timeout=DEADLINE)
        return self

    def ready(self) -> "Server":
        self.listening()
        until(lambda: self.process.poll() is not None or self.inner.get("/readyz").status_code == 200, "not ready")
        assert self.process.poll() is None, self.out.read_text()
        return self

    def infer(self, inputs: list[dict], name="toy", **more) -> httpx.Response:
        return self.http.post(f"/v2/models/{name}/infer", json={"inputs": inputs, **more})

    def score(self, body) -> httpx.Response:
        return self.http.post("/score", json=body)

    def load(self) -> dict:
        return self.inner.get("/load").json()

    def metric(self, sample: str) -> float:
        for line in self.inner.get("/metrics").text.splitlines():
            if line.startswith(sample + " "):
                return float(line.split()[-1])
        return 0.0

    def rss(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def ended(self) -> int:
        return self.process.wait(DEADLINE)

    def last_words(self) -> dict:
        return json.loads(self.words.read_text())

    def tell(self):
        """Asks the process to end, once: a second signal would cut its drain short."""
        if self.process.poll() is None and not self.is_told:
            self.process.terminate()
        self.is_told = True

    def stop(self) -> int:
        """Ends the process, first nicely."""
        for client in (getattr(self, "http", None), getattr(self, "inner", None)):
            if client:
                client.close()
        self.tell()
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Servers:
    """Starts servers and ends all of them."""

    def __init__(self, root: Path):
        self.root = root
        self.count = itertools.count()
        self.started: list[Server] = []
        self.shared: dict[str, Server] = {}

    def path(self, made) -> Path:
        folder = self.root / f"model-{next(self.count)}"
        folder.mkdir()
        path = folder / "toy.onnx"
        path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
        return path

    def start(self, made, environment=None, more=(), **config) -> Server:
        path = made if isinstance(made, Path) else self.path(made)
        source = {"name": "toy", "path": str(path), **config.pop("model", {})}
        server = Server(self.root / f"server-{next(self.count)}", {"model": source, **config}, environment, more)
        self.started.append(server)
        return server

    def one(self, key: str, made, **config) -> Server:
        """A server that many tests share. None of them is about time: on a busy machine a second may last five."""
        if key not in self.shared:
            patient = {"requestTimeoutMs": 60_000, **config.pop("requestSettings", {})}
            self.shared[key] = self.start(made(), requestSettings=patient, **config).ready()
        return self.shared[key]

    def stop(self):
        for server in self.started:
            server.tell()
        for server in self.started:
            server.stop()


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    made = Servers(tmp_path_factory.mktemp("runtime"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def wait_until():
    return until


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A folder with a certificate for this machine."""
    return certificate(tmp_path_factory.mktemp("tls"))
