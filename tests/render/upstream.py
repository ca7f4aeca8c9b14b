"""A tiny model server for the router's tests: it answers who it is and what it was sent, and misbehaves by path."""

from __future__ import annotations

import json
import socket
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    path: str
    headers: dict[str, str]
    size: int


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Upstream

    def log_message(self, *args: object) -> None:
        """Nothing on the test's output."""

    def do_GET(self) -> None:
        self.server.flowing.wait(120)
        if self.path == "/v2/health/ready":
            known = self.headers.get("x-wye-deployment") == self.server.deployment
            return self.answer(200 if known else 503, b"")
        self.server.begun.set()
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.body_size())
        self.server.seen.append(request)
        self.misbehave(request)

    do_POST = do_PUT = do_DELETE = do_OPTIONS = do_HEAD = do_GET

    def body_size(self) -> int:
        if self.headers.get("transfer-encoding") == "chunked":
            return sum(iter(self.chunk, 0))
        return len(self.rfile.read(int(self.headers.get("content-length", 0))))

    def chunk(self) -> int:
        size = int(self.rfile.readline() or b"0", 16)
        self.rfile.read(size + 2)
        return size

    def misbehave(self, request: Request) -> None:
        ways = {
            "/silent": self.silence,
            "/reset-once": self.reset_once,
            "/reset": self.reset,
            "/stream": self.stream,
            "/held": self.held,
            "/broken": self.broken,
            "/garbage": self.garbage,
            "/error": lambda: self.answer(500, b'{"error": {"code": "ModelError"}}'),
        }
        ways.get(request.path.partition("?")[0], self.name_itself)()

    def name_itself(self) -> None:
        wanted = self.path.removeprefix("/status/")
        self.answer(int(wanted) if wanted.isdigit() else 200, json.dumps({"name": self.server.name}).encode())

    def silence(self) -> None:
        self.server.release.wait(120)
        self.close_connection = True

    def reset_once(self) -> None:
        first = sum(r.path == "/reset-once" for r in self.server.seen) == 1
        (self.reset if first else self.name_itself)()

    def held(self) -> None:
        self.begin()
        self.server.release.wait(120)
        self.chunks(b"data: last\n\n", b"")

    def broken(self) -> None:
        self.begin()
        self.reset()

    def garbage(self) -> None:
        self.wfile.write(b"this is no HTTP\r\n\r\n")
        self.close_connection = True

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-envoy-told-by", "model")
        if self.path == "/pretends":
            self.send_header("ms-azureml-model-error-statuscode", "500")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.chunks(b"data: first\n\n")

    def chunks(self, *parts: bytes) -> None:
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def stream(self) -> None:
        self.begin()
        for tick in range(8):
            self.chunks(b"data: %d\n\n" % tick)
            self.server.release.wait(0.2)  # never set here: the pace of the stream
        self.chunks(b"")

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.close_connection = True


class Upstream(ThreadingHTTPServer):
    """One instance of a deployment, on a port of its own."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, handler: type[Handler] = Handler) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.name = name
        self.deployment = f"default/fraud-{name}"
        self.seen: list[Request] = []
        self.begun = threading.Event()  # the head of a request has arrived
        self.release = threading.Event()
        self.flowing = threading.Event()  # cleared: it accepts connections and answers nobody, as on a starved machine
        self.flowing.set()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """The router may hang up whenever it likes."""

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.release.set()
        self.flowing.set()
        self.shutdown()
        self.thread.join()
        self.server_close()
