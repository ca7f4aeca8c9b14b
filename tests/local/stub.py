"""A model server that speaks the wire (docs/concepts/wire.md) and does as its model file says; no package is imported.

The model file is JSON: `answer` is what /score says, `exit` a code to end with before it is ready (with `reason` and
`message` as last words), `log` what to say on stderr and end with, `ready` false means never. Where STUB_DIR is set,
requests wait while STUB_DIR/hold.NAME exists, a server reads no body while STUB_DIR/deaf.NAME exists, and every request
is a line in STUB_DIR/seen.NAME.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

BACKLOG = 1024  # what waits here longer than Envoy's connect_timeout is a 503
REASONS = {200: "OK", 503: "Service Unavailable", 404: "Not Found"}


class Stub:
    def __init__(self, config: dict) -> None:
        self.config = config
        self.model = json.loads(Path(config["model"]["path"]).read_text())
        self.deployment = config["deployment"]
        self.folder = Path(os.environ["STUB_DIR"]) if "STUB_DIR" in os.environ else None
        self.name = self.deployment.rpartition("/")[2].partition("-")[2]  # as its Endpoint calls it
        self.active = 0
        self.draining = asyncio.Event()
        self.writers: set[asyncio.StreamWriter] = set()
        self.busy: set[asyncio.StreamWriter] = set()
        self.idle = asyncio.Event()
        self.idle.set()

    def marker(self, what: str) -> bool:
        return self.folder is not None and (self.folder / f"{what}.{self.name}").exists()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while not self.draining.is_set():
                head = await self.head(reader)
                if head is None:
                    break
                self.busy.add(writer)
                self.idle.clear()
                path, headers = head
                while path != "/v2/health/ready" and self.marker("deaf"):  # noqa: ASYNC110  the test's event is a file
                    await asyncio.sleep(0.02)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if "chunked" in headers.get("transfer-encoding", ""):
                    body = await self.chunks(reader)
                status, answer = await self.answer(path, headers, body)
                self.write(writer, status, answer)
                await writer.drain()
                self.rest(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            self.rest(writer)
            writer.close()

    def rest(self, writer: asyncio.StreamWriter) -> None:
        self.busy.discard(writer)
        if not self.busy:
            self.idle.set()

    async def head(self, reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
        try:
            text = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return None
        first, *lines = text.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        return first.split(" ")[1], {name.lower(): value for name, value in headers.items()}

    async def chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body

    async def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        if path == "/v2/health/ready":
            mine = headers.get("x-wye-deployment", self.deployment) == self.deployment
            return (200 if mine and not self.draining.is_set() else 503), {}
        if self.folder:
            with (self.folder / f"seen.{self.name}").open("a") as seen:
                seen.write(f"{len(body)}\n")
        while self.marker("hold"):  # noqa: ASYNC110  the test's event is a file
            await asyncio.sleep(0.02)
        return 200, {"answer": self.model["answer"], "deployment": self.name, "pid": os.getpid()}

    def write(self, writer: asyncio.StreamWriter, status: int, answer: object) -> None:
        text = json.dumps(answer).encode()
        close = "connection: close\r\n" if self.draining.is_set() else ""
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\n{close}content-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(text)}\r\n\r\n".encode() + text)

    async def inner(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await self.head(reader)) is not None:
            ready = self.model.get("ready", True) and not self.draining.is_set()
            pages = {
                "/livez": (200, {}),
                "/readyz": (200 if ready else 503, {"ready": ready, "reason": ""}),
                "/signature": (200, self.signature()),
            }
            self.write(writer, *pages.get(head[0], (404, {})))
        writer.close()

    def signature(self) -> object:
        tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
        outputs = [{"name": self.model.get("output", "y"), "datatype": "FP32", "shape": [-1, 1]}]
        model = {**self.config["model"], "sha256": "0" * 64, "sizeBytes": 1, "inputs": [tensor], "outputs": outputs}
        return {"model": model, "provider": "stub", "contract": self.config["contract"]}


async def run(stub: Stub, arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    serving = await asyncio.start_server(stub.serve, arguments.host, arguments.port, backlog=BACKLOG)
    inner = await asyncio.start_server(stub.inner, arguments.host, arguments.inner_port)
    await stop.wait()
    stub.draining.set()
    serving.close()
    for writer in stub.writers - stub.busy:
        writer.close()
    await stub.idle.wait()
    inner.close()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--config", type=Path)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--inner-port", type=int)
    arguments = parser.parse_args()
    stub = Stub(json.loads(arguments.config.read_text()))
    if "log" in stub.model:
        sys.exit(stub.model["log"])
    if "exit" in stub.model:
        words = {"reason": stub.model.get("reason", ""), "message": stub.model.get("message", "")}
        Path(os.environ["WYE_TERMINATION_LOG"]).write_text(json.dumps(words))
        return stub.model["exit"]
    asyncio.run(run(stub, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
