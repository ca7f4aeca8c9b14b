"""The runtime as a process, asked over HTTP by the Open Inference Protocol's binary tensors."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PATIENCE = 120.0
Engine = Mapping[str, object]


class Broken(Exception):
    """A check cannot come to its end: why."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One that serves."""

    provider: str
    port: int


def command(file: Path, engine: Engine, folder: Path) -> list[str]:
    config = {"model": {"path": str(file), "name": "m"}, "engine": engine}
    (folder / "runtime.json").write_text(json.dumps(config))
    words = ["--config", str(folder / "runtime.json"), "--host", "127.0.0.1", "--port", "0", "--inner-port", "0"]
    return [sys.executable, "-m", "wye_runtime.cli", "serve", *words]


def refusal(file: Path, engine: Engine, folder: Path, hidden: Mapping[str, str] | None = None) -> tuple[int, str]:
    """(exit code, why) of a runtime that must not start; (0, "") of one that does."""
    words = folder / "words"
    words.unlink(missing_ok=True)
    environment = os.environ | {"WYE_TERMINATION_LOG": str(words)} | dict(hidden or {})
    process = subprocess.Popen(
        command(file, engine, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        code = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        ended(process)
        return 0, ""
    told = json.loads(words.read_text()) if words.exists() else {}
    return code, f"{told.get('reason')}: {told.get('message')}"


@contextmanager
def running(file: Path, engine: Engine, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[Runtime]:
    """A runtime, for as long as the block lasts."""
    log = folder / "runtime.log"
    with log.open("w") as out:
        process = subprocess.Popen(command(file, engine, folder), stdout=out, stderr=out, env=os.environ | (more or {}))
        try:
            yield _ready(process, log)
        finally:
            ended(process)


def ended(process: subprocess.Popen) -> None:
    """Nicely, if it can be."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ready(process: subprocess.Popen, log: Path) -> Runtime:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        ports = _ports(log)
        try:
            if ports:
                with urllib.request.urlopen(f"http://127.0.0.1:{ports['innerPort']}/signature", timeout=30) as answer:
                    return Runtime(json.load(answer)["provider"], ports["port"])
        except OSError:  # it loads
            pass
        time.sleep(0.05)
    raise Broken(f"the runtime did not start: {log.read_text()[-2000:]}")


def _ports(log: Path) -> dict[str, int]:
    """Which ones the system gave it, as soon as it says so."""
    lines = (line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n") and line[0] == "{")
    return next((told for told in map(json.loads, lines) if told.get("message") == "listening"), {})


class Caller:
    """One keep-alive connection, for as long as the block lasts."""

    def __init__(self, runtime: Runtime, x: np.ndarray) -> None:
        inputs = [{"name": "x", "datatype": "FP32", "shape": x.shape, "parameters": {"binary_data_size": x.nbytes}}]
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        self._body = head + x.tobytes()
        self._headers = {"Inference-Header-Content-Length": str(len(head))}
        self._line = http.client.HTTPConnection("127.0.0.1", runtime.port, timeout=PATIENCE)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def __call__(self) -> np.ndarray:
        self._line.request("POST", "/v2/models/m/infer", self._body, self._headers)
        answer = self._line.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Broken(f"the runtime answered {answer.status}: {body[:500]!r}")
        head = int(answer.headers["Inference-Header-Content-Length"])
        shape = json.loads(body[:head])["outputs"][0]["shape"]
        return np.frombuffer(body[head:], np.float32).reshape(shape)


def per_second(runtime: Runtime, x: np.ndarray, connections: int, seconds: float) -> float:
    """Requests a second over several connections; one that fails is an error."""
    begun = time.monotonic()

    def calls(_: int) -> int:
        count = 0
        with Caller(runtime, x) as ask:
            while not count or time.monotonic() < begun + seconds:
                ask()
                count += 1
        return count

    with ThreadPoolExecutor(connections) as threads:
        made = sum(threads.map(calls, range(connections)))
    return made / (time.monotonic() - begun)
