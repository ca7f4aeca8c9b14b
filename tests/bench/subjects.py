"""What the bench measures: the model alone, the runtime alone, the runtime behind a router with and without a mirror.

Every subject answers the same rows with the same model (the fraud example's network), so that the difference between
two lines of the table is what stands between them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import aiohttp
import numpy as np
import yaml

from wye_operator.local.ports import free_port
from wye_operator.local.twin import Options, Twin

FRAUD = Path(__file__).parents[2] / "examples/fraud"
MODEL = FRAUD / "models/violet.onnx"
MIRRORS = (0, 50, 100)
STARTS_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Subject:
    """One line of the table; `job` is what load.py is told, `folder` is named by the servers' command lines."""

    name: str
    connections: int
    job: dict[str, Any] = field(repr=False)
    folder: Path | None = None


def served(name: str, port: int, folder: Path, requests: list[str], counts: tuple[int, ...] = (1, 8)) -> list[Subject]:
    """A server as several subjects: one connection, which waits for every answer, and more."""
    job = {"port": port, "requests": requests}
    return [Subject(name, count, job | {"connections": count}, folder) for count in counts]


def bare(rows: np.ndarray) -> Subject:
    job = {"model": str(MODEL), "input": "features", "output": "fraud_probability", "rows": rows.tolist()}
    return Subject("session.run, bare", 1, job)


def http(path: str, body: object, key: str = "") -> str:
    """A whole request as it goes over the wire."""
    content = json.dumps(body)
    head = [f"POST {path} HTTP/1.1", "Host: bench", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    head += [f"Authorization: Bearer {key}"] if key else []
    return "\r\n".join([*head, "", content])


def inference(rows: np.ndarray) -> dict[str, Any]:
    """A row, or several, as a body of the Open Inference Protocol."""
    rows = np.atleast_2d(rows)
    tensor = {"name": "features", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    return {"inputs": [tensor]}


def manifest(name: str) -> dict[str, Any]:
    return yaml.safe_load((FRAUD / name).read_text())


def contract() -> dict[str, Any]:
    """The two halves of violet's contract as one, as the runtime reads it."""
    outputs = manifest("violet.yaml")["spec"]["contract"]["outputs"]
    fields = manifest("endpoint.yaml")["spec"]["contract"]
    return {
        "inputs": fields["inputs"],
        "outputs": [both | own for both, own in zip(fields["outputs"], outputs, strict=True)],
    }


@asynccontextmanager
async def runtime(folder: Path, fast_lane: str = "1") -> AsyncIterator[int]:
    """wye-runtime alone, with one thread and the contract; gives its port."""
    port, inner = free_port(), free_port()
    command = [str(Path(sys.executable).with_name("wye-runtime")), "serve", "--config", write_config(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--inner-port", str(inner)]
    told = {**os.environ, "WYE_FAST_LANE": fast_lane}
    with log_of(folder) as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=told)
    try:
        await answers(f"http://127.0.0.1:{inner}/readyz")
        yield port
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def static(folder: Path) -> AsyncIterator[int]:
    """The fast lane alone, which answers the same to everything; gives its port. Its command line names the folder."""
    script, port = copied(folder), free_port()
    with log_of(folder) as log:
        process = await asyncio.create_subprocess_exec(sys.executable, str(script), str(port), stdout=log, stderr=log)
    try:
        await listens(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


def copied(folder: Path) -> Path:
    folder.mkdir()
    return Path(shutil.copyfile(Path(__file__).with_name("static.py"), folder / "static.py"))


async def listens(port: int) -> None:
    """Wait for a port to open."""
    async with asyncio.timeout(STARTS_WITHIN):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def write_config(folder: Path) -> str:
    folder.mkdir()
    model = {"name": "fraud", "path": str(MODEL)}
    config = {"deployment": "default/bench", "model": model, "engine": {"threads": 1}, "contract": contract()}
    (folder / "runtime.json").write_text(json.dumps(config))
    return str(folder / "runtime.json")


def log_of(folder: Path) -> IO[bytes]:
    return (folder / "runtime.log").open("wb")


def moved(folder: Path) -> list[str]:
    """The servers that moved their runs from the event loop to threads while they were measured."""
    logs = sorted(folder.rglob("*.log"))
    return [str(log.relative_to(folder)) for log in logs if b"runs moved to threads" in log.read_bytes()]


async def answers(url: str) -> None:
    """Wait for a 200."""
    async with asyncio.timeout(STARTS_WITHIN), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass  # it does not listen yet
            await asyncio.sleep(0.05)


@asynccontextmanager
async def endpoint(folder: Path, mirror: int) -> AsyncIterator[tuple[int, str]]:
    """An Endpoint of its own in a twin of its own; gives its port and key."""
    write_endpoint(folder, mirror)
    async with Twin(folder, Options(port=0)) as twin:
        await twin.wait_for(lambda status: status.ready and status.settled, STARTS_WITHIN)
        keys = twin.keys("fraud")
        assert keys is not None
        yield int(twin.url("fraud").rsplit(":", 1)[1]), keys.primary


def write_endpoint(folder: Path, mirror: int) -> None:
    """An Endpoint with all traffic on one Deployment and, above 0 %, a copy to another one of the same model."""
    folder.mkdir()
    shutil.copyfile(MODEL, folder / "violet.onnx")
    whole, deployment = manifest("endpoint.yaml"), manifest("violet.yaml")
    whole["spec"]["traffic"] = {"live": 100}
    whole["spec"]["mirrorTraffic"] = {"shadow": mirror} if mirror else {}
    (folder / "endpoint.yaml").write_text(yaml.safe_dump(whole))
    for name in ("live", "shadow")[: 2 if mirror else 1]:
        spec = deployment["spec"] | {"name": name, "model": {"uri": "file://violet.onnx"}, "engine": {"threads": 1}}
        named = deployment | {"metadata": {"name": f"fraud-{name}"}, "spec": spec}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(named))
