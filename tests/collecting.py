"""A collector of spans that may behave badly: OTLP over HTTP, as JSON (our runtime) and as protobuf (Envoy)."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DEADLINE = 90.0  # seconds, on a busy machine


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        length = self.headers.get("content-length")
        body = b"".join(iter(self.chunk, b"")) if length is None else self.rfile.read(int(length))
        self.server.posts += 1
        if self.server.behaviour == "hangs":
            self.server.ending.wait(120)
        if self.server.behaviour == "closes":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 2")
            return
        status = 500 if self.server.behaviour == "fails" else 200
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        if status == 200:
            is_json = self.headers["content-type"] == "application/json"
            self.server.bodies.append(json.loads(body) if is_json else body)

    def chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        return self.rfile.read(size + 2)[:size]

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


class Collector(ThreadingHTTPServer):
    """`behaviour`: "", "fails" (500), "hangs", "closes" (half-way through its answer)."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.behaviour = ""
        self.posts = 0
        self.bodies: list[Any] = []
        self.ending = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.ending.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Who went away while it hung is no news."""

    def spans(self) -> list[dict[str, Any]]:
        """All that came, with their resource's attributes under `resource`."""
        bodies = list(self.bodies)
        return [span for body in bodies for span in (spans_of(body) if isinstance(body, dict) else envoys(body))]

    def trace(self, trace: str, most: int = 1) -> list[dict[str, Any]]:
        """The spans of one trace, once there are so many."""
        return waited_for(self.spans, trace, most)


def waited_for(spans: Callable[[], list[dict[str, Any]]], trace: str, most: int) -> list[dict[str, Any]]:
    """Those of one trace, once there are so many."""
    end = time.monotonic() + DEADLINE
    while len(found := [span for span in spans() if span["traceId"] == trace]) < most:
        names = [span["name"] for span in found]
        assert time.monotonic() < end, f"{len(found)} of {most} spans came of {trace}: {names}"
        time.sleep(0.05)
    return found


def spans_of(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in body["resourceSpans"]:
        resource = said(group["resource"]["attributes"])
        for scope in group["scopeSpans"]:
            yield from (
                {**span, "resource": resource, "said": said(span.get("attributes", []))} for span in scope["spans"]
            )


def said(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes as a map."""
    return {each["key"]: next(iter(each["value"].values()), "") for each in attributes}


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """A collector for as long as the block lasts."""
    collector = Collector(port)
    try:
        yield collector
    finally:
        collector.stop()


# Envoy sends protobuf: the few fields of opentelemetry/proto/trace/v1/trace.proto that tests read


def fields_of(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: bytes, or a whole number."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        match key & 7:
            case 0:
                yield key >> 3, varint()
            case 2:
                size = varint()
                yield key >> 3, message[at : at + size]
                at += size
            case kind:
                size = {1: 8, 5: 4}[kind]
                yield key >> 3, int.from_bytes(message[at : at + size], "little")
                at += size


def attribute_of(message: bytes) -> tuple[str, Any]:
    found = dict(fields_of(message))
    value = next(iter(dict(fields_of(found.get(2, b""))).values()), "")
    return found[1].decode(), value.decode() if isinstance(value, bytes) else value


def envoys(message: bytes) -> Iterator[dict[str, Any]]:
    """The spans of one of Envoy's messages, by the names of OTLP's JSON."""
    for _, group in fields_of(message):
        parts = list(fields_of(group))
        resource = dict(attribute_of(v) for n, r in parts if n == 1 for m, v in fields_of(r) if m == 1)
        for span in (v for n, scope in parts if n == 2 for m, v in fields_of(scope) if m == 2):
            found = dict(fields_of(span))
            yield {
                "traceId": found[1].hex(),
                "spanId": found[2].hex(),
                "traceState": found.get(3, b"").decode(),
                "parentSpanId": found.get(4, b"").hex(),
                "name": found[5].decode(),
                "kind": found.get(6, 0),
                "startTimeUnixNano": str(found[7]),
                "endTimeUnixNano": str(found[8]),
                "said": dict(attribute_of(v) for n, v in fields_of(span) if n == 9),
                "resource": resource,
            }


# The OpenTelemetry Collector itself, which writes what it took into a file.


@dataclass(frozen=True)
class Real:
    """A running Collector."""

    url: str
    file: Path

    def spans(self) -> list[dict[str, Any]]:
        """All that it took so far."""
        lines = self.file.read_text().splitlines(keepends=True) if self.file.exists() else []
        return [span for line in lines if line.endswith("\n") for span in spans_of(json.loads(line))]

    def trace(self, trace: str, most: int) -> list[dict[str, Any]]:
        """The spans of one trace, once there are so many."""
        return waited_for(self.spans, trace, most)


@contextmanager
def real(program: Path, folder: Path, place: str, run: Callable[[list[str]], list[str]] = list) -> Iterator[Real]:
    """A Collector at `place` (HOST:PORT) for as long as the block lasts; `run` says how a program runs in a cluster."""
    file, config = folder / "spans.json", folder / "collector.json"
    parts = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": place}}}},
        "exporters": {"file": {"path": str(file), "flush_interval": "100ms"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
        },
    }
    config.write_text(json.dumps(parts))
    with (folder / "collector.log").open("wb") as log:
        child = subprocess.Popen(run([str(program), "--config", str(config)]), stdout=log, stderr=log)
        try:
            end = time.monotonic() + DEADLINE
            while b"Everything is ready" not in (folder / "collector.log").read_bytes():
                assert child.poll() is None, (folder / "collector.log").read_text()
                assert time.monotonic() < end, "the Collector does not start"
                time.sleep(0.05)
            yield Real(f"http://{place}", file)
        finally:
            child.terminate()
            child.wait(DEADLINE)


def whole(spans: list[dict[str, Any]]) -> dict[str, str]:
    """The name of each span's parent, by its own name, with who sent it; what comes from outside has none."""
    return dict(parents(spans))


def parents(spans: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Each span's name, and its parent's."""
    names = {span["spanId"]: f"{span['name']} of {span['resource']['service.name']}" for span in spans}
    return [(names[span["spanId"]], names.get(span["parentSpanId"], "")) for span in spans]
