"""A model server on an event loop, for tests with hundreds of connections: it answers, or misbehaves as it is told."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from render import plans
from wye_operator.plan.wanted import Hosts

LARGE = 5_000_000
PART = 64 * 1024
BACKLOG = 4096  # a thousand callers at once: what waits here longer than Envoy's connect_timeout is a 503
HEALTH = "/v2/health/ready"

Way = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request, of which only the head has been read."""

    model: Model
    path: str
    headers: Mapping[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", 0))

    async def read(self, length: int) -> None:
        """So much of the body."""
        while length:
            part = await self.reader.read(min(length, PART))
            if not part:
                raise ConnectionResetError
            length -= len(part)

    async def answer(self, status: int = 200, size: int = 2) -> None:
        self.writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n" % (status, size))
        for begin in range(0, size, PART):
            self.writer.write(b"x" * min(PART, size - begin))
            await self.writer.drain()


async def serve(exchange: Exchange) -> None:
    """Read all, answer at once; a large answer where one is asked for."""
    await exchange.read(exchange.length)
    exchange.model.whole.append(exchange.length)
    await exchange.answer(size=LARGE if exchange.path == "/large" else 2)


async def fail(exchange: Exchange) -> None:
    """Read all, answer 500."""
    await exchange.read(exchange.length)
    exchange.model.whole.append(exchange.length)
    await exchange.answer(500)


async def hold(exchange: Exchange) -> None:
    """Read all, and answer only when it is released."""
    await exchange.read(exchange.length)
    exchange.model.whole.append(exchange.length)
    await exchange.model.released.wait()
    await exchange.answer()


async def ignore(exchange: Exchange) -> None:
    """Read no body until it is released."""
    await exchange.model.released.wait()
    raise ConnectionResetError


async def break_off(exchange: Exchange) -> None:
    """Read half of the body and hang up."""
    await exchange.read(exchange.length // 2)
    raise ConnectionResetError


async def turns() -> None:
    """Some turns of the event loop, however slow the machine is."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class Model:
    """One instance; health checks are answered whatever its way is."""

    name: str
    way: Way = serve
    port: int = 0
    begun: int = 0  # requests whose head came
    whole: list[int] = field(default_factory=list)  # sizes of the bodies that came whole
    released: asyncio.Event = field(default_factory=asyncio.Event)
    die: Callable[[], None] = field(default=lambda: None)  # now, instead of at the end of the block

    def hosts(self) -> Hosts:
        return plans.at(self.name, self.port)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """It listens for as long as the block lasts, always on one port; connections end with it."""
        held = socket.create_server(("127.0.0.1", self.port))
        # what nobody reads shall not vanish in the kernel's buffers
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            held.setsockopt(socket.SOL_SOCKET, buffer, 16 * 1024)
        self.port = held.getsockname()[1]
        open_ones: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            open_ones.add(task)
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._requests(reader, writer)
            open_ones.discard(task)
            writer.transport.abort()

        server = await asyncio.start_server(connected, sock=held, limit=PART, backlog=BACKLOG)
        try:
            yield
        finally:
            self.released.set()
            # a connection that was just accepted, and not yet made when the server is closed, would never be closed
            asyncio.get_running_loop().remove_reader(held.fileno())
            await turns()
            server.close()
            for task in list(open_ones):
                task.cancel()
            await asyncio.gather(*open_ones, return_exceptions=True)
            await turns()  # else the loop ends before its connections do

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
            exchange = Exchange(self, line.split()[1], headers, reader, writer)
            if exchange.path == HEALTH:
                await exchange.answer()
                return
            self.begun += 1
            await self.way(exchange)

    @contextmanager
    def in_a_thread(self) -> Iterator[None]:
        """It listens on an event loop of its own; it is released, and its connections end, at the end of the block."""
        loop, up, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

        async def live() -> None:
            async with self.listening():
                up.set()
                await over.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=(live(),))

        def die() -> None:
            if thread.is_alive():
                loop.call_soon_threadsafe(over.set)
                thread.join()

        self.die = die
        thread.start()
        assert up.wait(60)
        try:
            yield
        finally:
            die()
            loop.close()
