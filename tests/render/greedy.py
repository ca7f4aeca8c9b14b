"""Callers that are slow, greedy or hostile, each many times over, and a well-behaved one beside them."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from render.model import turns

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
HEAD = b"POST /score HTTP/1.1\r\nhost: a\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PAUSE = 0.05


@dataclass
class Crowd:
    """Connections to one port, which end with the block; the router may end them as it likes."""

    port: int
    open: list[Streams] = field(default_factory=list)

    async def connect(self, payload: bytes = b"") -> Streams:
        """One more; nothing is ever read of it but by who called this."""
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what is not read stays with the router
        own.setblocking(False)  # noqa: FBT003
        await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", self.port))
        streams = await asyncio.open_connection(sock=own, limit=1024)
        self.open.append(streams)
        streams[1].write(payload)
        return streams

    async def drip(self, seconds: float) -> None:
        """A byte on each, again and again."""
        for _ in range(int(seconds / PAUSE)):
            for _, writer in self.open:
                if not writer.is_closing():
                    writer.write(b"a")
            await asyncio.sleep(PAUSE)


@asynccontextmanager
async def crowd(port: int) -> AsyncIterator[Crowd]:
    those = Crowd(port)
    try:
        yield those
    finally:
        for _, writer in those.open:
            writer.transport.abort()
        await turns()  # else the loop ends before they do


Attack = Callable[[Crowd], Awaitable[None]]


async def endless_headers(those: Crowd) -> None:
    for _ in range(300):
        await those.connect(HEAD + b"x: ")
    await those.drip(1.5)


async def endless_bodies(those: Crowd) -> None:
    for _ in range(100):
        await those.connect(HEAD + b"content-length: 100000\r\n\r\n")
    await those.drip(1.5)


async def silent_callers(those: Crowd) -> None:
    for _ in range(600):
        await those.connect()


async def answers_that_nobody_reads(those: Crowd) -> None:
    for _ in range(100):
        await those.connect(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
    await asyncio.sleep(1)


async def large_headers(those: Crowd) -> None:
    lines = b"".join(b"x-%d: %s\r\n" % (n, b"a" * 8000) for n in range(7))
    for _ in range(200):
        await those.connect(HEAD + lines)


async def headers_above_the_limit(those: Crowd) -> None:
    for _ in range(50):
        await those.connect(HEAD + b"x: " + b"a" * 500_000)
        await asyncio.sleep(0.01)


async def many_headers(those: Crowd) -> None:
    for _ in range(50):
        await those.connect(HEAD + b"a: b\r\n" * 20_000)
        await asyncio.sleep(0.01)


async def connections_that_come_and_go(those: Crowd) -> None:
    for _ in range(1000):
        _, writer = await those.connect(HEAD)
        writer.transport.abort()


async def pipelines(those: Crowd) -> None:
    """Requests without end on one connection, whose answers nobody reads."""
    for _ in range(20):
        await those.connect((HEAD + b"content-length: 0\r\n\r\n") * 2000)
    await asyncio.sleep(1)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


SETTINGS, ACK = frame(4, 0, 0, b""), frame(4, 1, 0, b"")


async def ends(writer: asyncio.StreamWriter, payload: bytes) -> None:
    """Send it again and again: the router has enough of it soon, and ends the connection."""
    async with asyncio.timeout(60):
        while not writer.is_closing():
            with suppress(ConnectionError):
                writer.write(payload)
                await writer.drain()
            await asyncio.sleep(0.01)


def flood(*frames: bytes) -> Attack:
    """The frames without end."""

    async def attack(those: Crowd) -> None:
        writers = [(await those.connect(PREFACE + SETTINGS))[1] for _ in range(4)]
        await asyncio.gather(*(ends(writer, b"".join(frames) * 1000) for writer in writers))

    return attack


async def headers_in_pieces_without_end(those: Crowd) -> None:
    """HTTP/2: CONTINUATION after CONTINUATION."""
    writers = [(await those.connect(PREFACE + SETTINGS + frame(1, 0, 1, b"\x82")))[1] for _ in range(4)]
    await asyncio.gather(*(ends(writer, frame(9, 0, 1, b"\x00\x01a\x01b") * 1000) for writer in writers))


def client() -> h2.connection.H2Connection:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    return connection


def asked(
    connection: h2.connection.H2Connection, path: str, length: str = "0", more: Mapping[str, str] | None = None
) -> int:
    """A request on a new stream."""
    stream: int = connection.get_next_available_stream_id()
    head = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "a"), ("content-length", length)]
    connection.send_headers(stream, [*head, *(more or {}).items()], end_stream=length == "0")
    return stream


async def streams_that_are_taken_back(those: Crowd) -> None:
    """HTTP/2 rapid reset: a request and its reset, over and over."""
    for _ in range(4):
        connection = client()
        for _ in range(2000):
            connection.reset_stream(asked(connection, "/score"))
        await those.connect(connection.data_to_send())
        await asyncio.sleep(PAUSE)


async def streams_that_the_router_must_reset(those: Crowd) -> None:
    """HTTP/2: a request, and a frame that is wrong on its stream, over and over."""
    connections = [client() for _ in range(2)]
    for connection in connections:
        _, writer = await those.connect(connection.data_to_send())
        for _ in range(20):
            wrong = [frame(8, 0, asked(connection, "/score"), bytes(4)) for _ in range(100)]  # a window grows by 0
            writer.write(connection.data_to_send() + b"".join(wrong))
            await asyncio.sleep(0)
    await asyncio.sleep(PAUSE)


async def messages_that_are_none(those: Crowd) -> None:
    """HTTP/2: requests with a name in capitals, each of which ends its own stream and not the connection."""
    _, writer = await those.connect(PREFACE + SETTINGS)
    block = b"\x83\x86\x84\x41\x01a\x00\x01X\x01y"  # POST, http, /, an authority; X: y
    for begin in range(1, 20_001, 1000):
        writer.write(b"".join(frame(1, 5, stream, block) for stream in range(begin, begin + 1000, 2)))
        await asyncio.sleep(PAUSE)


async def headers_from_a_table(those: Crowd) -> None:
    """HTTP/2: a large header is said once, and then meant hundreds of times by a byte each."""
    large = b"\x83\x86\x84\x41\x01a\x40\x01x" + b"\x7f\xa1\x1e" + b"y" * 4000  # 127 + 3873, indexed as 62
    for _ in range(20):
        _, writer = await those.connect(PREFACE + SETTINGS + frame(1, 5, 1, large))
        for stream in range(3, 203, 2):
            writer.write(frame(1, 5, stream, b"\x83\x86\x84\xbf" + b"\xbe" * 8000))
        await asyncio.sleep(0)
    await asyncio.sleep(PAUSE)


async def heads_that_stop(those: Crowd) -> None:
    """HTTP/2: headers whose end never comes."""
    block = b"\x83\x86\x84\x41\x01a" + b"".join(b"\x00\x02x%d\x7f\xa1\x1e" % n + b"y" * 4000 for n in range(4))
    for _ in range(300):
        await those.connect(PREFACE + SETTINGS + frame(1, 1, 1, block[:16000]))
    await asyncio.sleep(1)


async def drops_of_bodies(those: Crowd) -> None:
    """HTTP/2: a hundred bodies on each connection, a byte at a time."""
    connections = []
    for _ in range(10):
        connection = client()
        streams = [asked(connection, "/score", "1000") for _ in range(100)]
        connections.append((connection, streams, (await those.connect(connection.data_to_send()))[1]))
    for _ in range(10):
        for connection, streams, writer in connections:
            for stream in streams:
                connection.send_data(stream, b"a")
            writer.write(connection.data_to_send())
        await asyncio.sleep(PAUSE)


async def callers_that_hang_up_halfway(those: Crowd) -> None:
    """What they had to say is said, and their half of the connection closed."""
    for _ in range(200):
        _, writer = await those.connect(HEAD + b"content-length: 2\r\n\r\n{}")
        writer.write_eof()
    for _ in range(200):
        _, writer = await those.connect(HEAD + b"content-length: 2\r\n\r\n{")
        writer.write_eof()


async def streams_that_nobody_reads(those: Crowd) -> None:
    """HTTP/2: a hundred large answers at a time, and no window for them."""
    connection = client()
    for _ in range(100):
        asked(connection, "/large")
    await those.connect(connection.data_to_send())
    await asyncio.sleep(1)


ATTACKS: dict[str, Attack] = {
    "headers that never end": endless_headers,
    "bodies that never end": endless_bodies,
    "connections without a request": silent_callers,
    "answers that nobody reads": answers_that_nobody_reads,
    "headers as large as they may be": large_headers,
    "headers above the limit": headers_above_the_limit,
    "more headers than there may be": many_headers,
    "connections that come and go": connections_that_come_and_go,
    "pipelined requests": pipelines,
    "halves of connections": callers_that_hang_up_halfway,
    "HTTP/2: streams that the router must reset": streams_that_the_router_must_reset,
    "HTTP/2: messages that are none": messages_that_are_none,
    "HTTP/2: headers from a table": headers_from_a_table,
    "HTTP/2: headers that stop": heads_that_stop,
    "HTTP/2: bodies drop by drop": drops_of_bodies,
    "HTTP/2: streams that are taken back": streams_that_are_taken_back,
    "HTTP/2: answers that nobody reads": streams_that_nobody_reads,
    "HTTP/2: pings": flood(frame(6, 0, 0, b"12345678")),
    "HTTP/2: settings": flood(SETTINGS),
    "HTTP/2: empty frames": flood(frame(0, 0, 0, b"")),
    "HTTP/2: priorities": flood(frame(2, 0, 1, b"\x00\x00\x00\x03\x00")),
    "HTTP/2: windows": flood(frame(8, 0, 0, b"\x00\x00\x00\x01")),
    "HTTP/2: headers in pieces without end": headers_in_pieces_without_end,
}


class Multiplexed:
    """A caller with one connection of HTTP/2, who sends as much of each body as it may, or wants no answer to come."""

    STREAMS = 100

    def __init__(self, streams: Streams) -> None:
        self._reader, self._writer = streams
        self._wire = client()
        self._left: dict[int, int] = {}
        self._sends = False
        self._write()

    def begin(self, path: str, length: int, headers: Mapping[str, str]) -> None:
        """A hundred heads."""
        with suppress(h2.exceptions.ProtocolError):  # the router may have closed the connection
            for _ in range(self.STREAMS):
                stream = asked(self._wire, path, str(length), headers)
                if length:
                    self._left[stream] = length
        self._write()

    def refuse_answers(self) -> None:
        with suppress(h2.exceptions.ProtocolError):
            self._wire.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self._write()

    def send(self) -> None:
        """Bodies, as far as the windows allow, now and whenever these grow."""
        self._sends = True
        with suppress(h2.exceptions.ProtocolError):
            for stream, left in self._left.items():
                while size := min(left, self._wire.local_flow_control_window(stream), 16_384):
                    self._wire.send_data(stream, b"x" * size)
                    left -= size
                self._left[stream] = left
        self._write()

    async def listen(self) -> None:
        """To what the router says, until one of the two hangs up."""
        with suppress(ConnectionError, h2.exceptions.ProtocolError):
            while data := await self._reader.read(65_536):
                for event in self._wire.receive_data(data):
                    if isinstance(event, (h2.events.StreamReset, h2.events.StreamEnded)):
                        self._left.pop(event.stream_id, None)
                self.send() if self._sends else self._write()

    def _write(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(self._wire.data_to_send())


class Neighbour:
    """A well-behaved caller on one connection, one request after the other."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: Streams | None = None
        self._one_more = asyncio.Event()
        self.statuses: Counter[str] = Counter()
        self.longest = 0.0

    async def connect(self) -> None:
        self._streams = await asyncio.open_connection("127.0.0.1", self._port)

    async def call(self) -> None:
        begun = time.monotonic()
        try:
            status = await asyncio.wait_for(self._call(), 60)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            status = type(error).__name__
            self.hang_up()
        self.statuses[status] += 1
        self._one_more.set()
        self.longest = max(self.longest, time.monotonic() - begun)

    async def _call(self) -> str:
        if self._streams is None:
            await self.connect()
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(HEAD + b"content-length: 2\r\n\r\n{}")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        if b"connection: close" in head:
            self.hang_up()
        code: str = json.loads(body)["error"]["code"] if body.startswith(b"{") else ""
        return f"{head.split()[1].decode()} {code}".strip()

    async def answered(self, count: int) -> None:
        """Until it had so many answers: on a machine that is busy otherwise one may take seconds."""
        async with asyncio.timeout(60):
            while self.statuses.total() < count:
                self._one_more.clear()
                await self._one_more.wait()

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """Calls until the block ends, and once more afterwards."""
        ended = asyncio.Event()

        async def calls() -> None:
            while not ended.is_set():
                await self.call()
                await asyncio.sleep(0.005)

        task = asyncio.create_task(calls())
        try:
            yield
        finally:
            ended.set()
            await task
        await self.call()
        self.hang_up()

    def hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
        self._streams = None
