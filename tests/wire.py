"""Requests byte for byte over one connection: written at once, each when the answer before it is whole."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator


def answered(wire: socket.socket) -> bytes:
    """One whole answer."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += wire.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None, head
    while len(body) < int(length[1]):
        body += wire.recv(65536)
    return head + b"\r\n\r\n" + body


def conversed(port: int, requests: Iterable[bytes]) -> Iterator[bytes]:
    """Each answer before the next request, so that a head may be one that came before."""
    with socket.create_connection(("127.0.0.1", port), 30) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for each in requests:
            wire.sendall(each)
            yield answered(wire)


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A request with a length."""
    lines = (f"POST {path} HTTP/1.1", "host: a", *headers, f"content-length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body
