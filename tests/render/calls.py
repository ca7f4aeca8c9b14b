"""gRPC for the router's tests: a model that answers calls by HTTP/1.1 with a trailer, and grpcio as the caller."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # these tests start processes, none of which makes calls

import grpc

import plain
from render.upstream import Handler, Upstream

FRAMED = 5
LARGEST = 1 << 30  # of a message: the router's limit is the one to be met
OPTIONS = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)]
LOCAL = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]  # no connection is shared with another test
Told = tuple[str, str]


class CallHandler(Handler):
    """What the last part of the path says."""

    body = b""

    def body_size(self) -> int:
        if self.headers.get("transfer-encoding") != "chunked":
            return super().body_size()
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size + 2)[:-2])
        self.body = b"".join(parts)
        while (line := self.rfile.readline()) != b"\r\n":
            self.server.trailers.append(line)
        return len(self.body)

    def name_itself(self) -> None:
        ways = {"Echo": lambda: self.succeed(self.body), "Refuse": self.refuse, "Silent": self.silence}
        ways = {**ways, "Reset": self.reset, "Http": lambda: self.answer(429, b"{}")}
        ways.get(self.path.rpartition("/")[2], self.tell)()

    def tell(self) -> None:
        name = self.server.name.encode()
        self.succeed(b"\0" + len(name).to_bytes(4, "big") + name)

    def succeed(self, framed: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/grpc")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.chunks(framed)
        self.wfile.write(b"0\r\ngrpc-status: 0\r\n\r\n")

    def refuse(self) -> None:
        self.send_response(200)
        for name, value in {"type": "application/grpc", "length": "0"}.items():
            self.send_header(f"content-{name}", value)
        self.send_header("grpc-status", "3")
        self.send_header("grpc-message", "wrong: gr%C3%BCn")
        self.end_headers()


class Calls(Upstream):
    """One instance of a deployment that answers calls."""

    def __init__(self, name: str) -> None:
        self.trailers: list[bytes] = []
        super().__init__(name, CallHandler)


@contextmanager
def channel(target: str, credentials: grpc.ChannelCredentials | None = None) -> Iterator[grpc.Channel]:
    """One connection of its own."""
    made = grpc.secure_channel(target, credentials, LOCAL) if credentials else grpc.insecure_channel(target, LOCAL)
    with made:
        yield made


def call(to: grpc.Channel, method: str, message: bytes = b"", *, timeout: float = 60, **metadata: str) -> bytes:
    """The answer; `azureml_model_deployment="blue"` is metadata."""
    given = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    return bytes(to.unary_unary(f"/test.Calls/{method}")(message, timeout=timeout, metadata=given))


def refused(to: grpc.Channel, method: str, message: bytes = b"", **more: str) -> Told:
    """Status and sentence of a call that goes wrong."""
    try:
        call(to, method, message, **more)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def by_hand(url: str, method: str, headers: Mapping[str, str]) -> Told:
    """The same without a client that keeps time itself: status and message of an answer of headers alone."""
    sent = {"content-type": "application/grpc", "te": "trailers", **headers}
    with plain.Client(http1=False, http2=True, base_url=url) as client:
        answer = client.post(f"/test.Calls/{method}", content=b"\0" * FRAMED, headers=sent)
    assert answer.status_code == 200
    return answer.headers.get("grpc-status", ""), answer.headers.get("grpc-message", "")
