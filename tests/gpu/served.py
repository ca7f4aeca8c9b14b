"""The runtime as a process, asked over HTTP by the Open Inference Protocol's binary tensors."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ports import free_port

PORT, INNER = free_port(), free_port()
PATIENCE = 120.0


Engine = Mapping[str, object]


def command(file: Path, engine: Engine, folder: Path) -> list[str]:
    config = {"model": {"path": str(file), "name": "m"}, "engine": engine}
    (folder / "runtime.json").write_text(json.dumps(config))
    words = ["--config", str(folder / "runtime.json"), "--host", "127.0.0.1"]
    return [sys.executable, "-m", "wye_runtime.cli", "serve", *words, "--port", str(PORT), "--inner-port", str(INNER)]


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
        process.kill()
        process.wait()
        return 0, ""
    told = json.loads(words.read_text()) if words.exists() else {}
    return code, f"{told.get('reason')}: {told.get('message')}"


@contextmanager
def running(file: Path, engine: Engine, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[dict]:
    """What it says of itself, while it serves."""
    with (folder / "runtime.log").open("w") as log:
        process = subprocess.Popen(command(file, engine, folder), stdout=log, stderr=log, env=os.environ | (more or {}))
        try:
            yield _signature(process, folder / "runtime.log") | {"pid": process.pid}
        finally:
            process.terminate()
            process.wait(30)


def _signature(process: subprocess.Popen, log: Path) -> dict:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{INNER}/signature", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"the runtime did not start: {log.read_text()[-2000:]}")


class Caller:
    """One keep-alive connection."""

    def __init__(self, x: np.ndarray) -> None:
        inputs = [{"name": "x", "datatype": "FP32", "shape": x.shape, "parameters": {"binary_data_size": x.nbytes}}]
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        self._body = head + x.tobytes()
        self._headers = {"Inference-Header-Content-Length": str(len(head))}
        self._line = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)

    def __call__(self) -> np.ndarray:
        self._line.request("POST", "/v2/models/m/infer", self._body, self._headers)
        answer = self._line.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"the runtime answered {answer.status}: {body[:500]!r}")
        head = int(answer.headers["Inference-Header-Content-Length"])
        shape = json.loads(body[:head])["outputs"][0]["shape"]
        return np.frombuffer(body[head:], np.float32).reshape(shape)


def per_second(x: np.ndarray, connections: int, seconds: float) -> float:
    """Requests a second over several connections."""
    counts = [0] * connections
    end = time.monotonic() + seconds

    def call(number: int) -> None:
        ask = Caller(x)
        while time.monotonic() < end:
            ask()
            counts[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(connections)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - begun)
