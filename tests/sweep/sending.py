"""Sends probes as they are and says what came back, in a form that can be compared: no times, no ids."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import hpack

from sweep.probes import Probe

AT_ONCE, AT_MODELS = 100, 8  # the second, of those that a model may answer: it has one place and a short queue
DEADLINE = 120.0  # of one probe: whoever says nothing for so long gives no definite answer
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Answer:
    """One answer; `said` is the error's code, the body where that is text, or how a stream ended."""

    status: int
    said: str = ""
    deployment: str = ""
    grpc: str = ""
    allowed: str = ""  # access-control-allow-origin


Outcome = tuple[Answer, ...]  # none: the connection was closed without a word
SILENCE = (Answer(0, "silence"),)


async def send_all(port: int, probes: Iterable[Probe]) -> dict[str, Outcome]:
    """What each got, by name."""
    slots = {right: asyncio.Semaphore(AT_ONCE if right is False else AT_MODELS) for right in (True, False, None)}

    async def one(probe: Probe) -> tuple[str, Outcome]:
        async with slots[probe.right]:
            return probe.name, await _send(port, probe)

    return dict(await asyncio.gather(*(one(probe) for probe in probes)))


async def _send(port: int, probe: Probe) -> Outcome:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)  # no port is kept busy
    try:
        writer.write(probe.data)
        async with asyncio.timeout(DEADLINE):
            return await (_frames_of(reader) if probe.http2 else _answers_of(reader, probe))
    except TimeoutError:
        return SILENCE
    finally:
        writer.transport.abort()


async def _answers_of(reader: asyncio.StreamReader, probe: Probe) -> Outcome:
    found: list[Answer] = []
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = [line.lower().partition(": ")[::2] for line in head[1:] if line]
            status = int(head[0].split(" ")[1])
            if status < 200:
                continue
            body = b"" if probe.bodiless else await _body(reader, dict(headers))
            found.append(_answer(status, headers, body))
            if not probe.last or dict(headers).get("x-request-id") == probe.last:
                return tuple(found)
    except (asyncio.IncompleteReadError, ConnectionError):
        return tuple(found)


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body
    if "content-length" not in headers:
        return await reader.read()
    return await reader.readexactly(int(headers["content-length"]))


async def _frames_of(reader: asyncio.StreamReader) -> Outcome:
    """The one stream of a connection, until it ends or the connection does."""
    decoder, headers, body = hpack.Decoder(), [], b""
    try:
        while True:
            head = await reader.readexactly(9)
            data = await reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags = head[3], head[4]
            if kind == 1:
                headers += decoder.decode(data)
            elif kind == 0:
                body += data
            elif kind == 3:
                return (_ended(headers, body, f"reset {int.from_bytes(data, 'big')}"),)
            elif kind == 7:
                return (_ended(headers, body, f"goaway {int.from_bytes(data[4:8], 'big')}"),)
            if kind in (0, 1) and flags & 1:
                return (_whole(headers, body),)
    except (asyncio.IncompleteReadError, ConnectionError):
        return (_ended(headers, body, "closed"),) if headers else ()


def _ended(headers: list[tuple[str, str]], body: bytes, how: str) -> Answer:
    return _whole(headers, body) if headers else Answer(0, how)


def _whole(headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
    plain = [(str(name).lower(), str(value)) for name, value in headers]
    return _answer(int(dict(plain).get(":status", 0)), plain, body)


def _answer(status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
    named = dict(headers)
    return Answer(
        status,
        _said(body),
        named.get("azureml-model-deployment", ""),
        named.get("grpc-status", ""),
        named.get("access-control-allow-origin", ""),
    )


def _said(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return body[:40].decode("latin-1")
