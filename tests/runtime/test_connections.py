"""One connection in all its moods: slow, greedy, silent, gone; the service behind it answers when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

import pytest

from wye_runtime.app.lifetime import listener, opened
from wye_runtime.endpoints import Ledger
from wye_runtime.fastlane import FastProtocol, Lane
from wye_runtime.fastlane.bounded import Limits
from wye_runtime.fastlane.protocol import AT_ONCE
from wye_runtime.metrics import Metrics
from wye_runtime.protocol import RawResponse
from wye_runtime.settings import parse_config

SCORE = b"POST /score HTTP/1.1\r\nhost: a\r\nx-request-id: %b\r\ncontent-length: 1\r\n\r\n1"
COUNT_499 = (499, "/score")


class Told:
    """In place of the service: each request waits until the test answers it; `at_once` answers them all."""

    def __init__(self, at_once: bytes | None = None, timeout_ms: int = 60_000) -> None:
        settings = {"requestTimeoutMs": timeout_ms}
        self.config = parse_config({"model": {"path": "toy.onnx"}, "requestSettings": settings})
        self.loaded = object()
        self.is_draining = False
        self.at_once = at_once
        self.waiting: dict[str, asyncio.Future[RawResponse]] = {}
        self.begun: list[str] = []

    def begin(self, raw):
        self.begun.append(raw.request_id)
        return raw if self.at_once is None else RawResponse(self.at_once)

    async def finish(self, pending):
        waiter = self.waiting[pending.request_id] = asyncio.get_running_loop().create_future()
        try:
            return await waiter
        finally:
            self.waiting.pop(pending.request_id)

    def answer(self, name: str) -> None:
        self.waiting[name].set_result(RawResponse(name.encode()))


async def refuses(scope, receive, send) -> None:
    """In place of the ordinary application: nothing here may get there, but what says so."""
    assert scope["path"] == "/ordinary", scope
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]}
    await send(start)
    await send({"type": "http.response.body", "body": b"ordinary"})


@contextlib.asynccontextmanager
async def serving(service, **limits):
    """Gives the ledger, the protocols that were made, and a function that opens a connection."""
    made: list[FastProtocol] = []
    ledger = Ledger(Metrics(), 60.0)

    class Limited(FastProtocol):
        def __init__(self, *arguments, **named) -> None:
            super().__init__(*arguments, **named)
            made.append(self)

    Limited.limits = Limits(**{"tick": 0.01, **limits})
    server = listener(refuses, partial(Limited, Lane(service, ledger)))
    place = opened("127.0.0.1", 0)
    task = asyncio.ensure_future(server.serve(sockets=[place]))
    address = place.getsockname()
    try:
        async with asyncio.timeout(30):  # a test that hangs says where
            yield ledger, made, lambda: asyncio.open_connection(*address, limit=1 << 26)
    finally:
        server.should_exit = True
        await task


async def until(met) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110 -- nobody sets an event for us
            await asyncio.sleep(0.005)


async def bodies(reader, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        found.append(await reader.readexactly(length))
    return found


async def test_answers_come_in_the_order_of_their_requests() -> None:
    service = Told()
    async with serving(service) as (ledger, _, connect):
        reader, writer = await connect()
        writer.write(SCORE % b"a" + SCORE % b"b" + b"GET /ordinary HTTP/1.1\r\nhost: a\r\n\r\n" + SCORE % b"c")
        await until(lambda: len(service.waiting) == 2)
        service.answer("b")
        await asyncio.sleep(0)
        assert ledger.active == 2
        service.answer("a")
        assert await bodies(reader, 3) == [b"a", b"b", b"ordinary"]
        assert service.begun == ["a", "b"]  # behind an ordinary one everything is ordinary, until it is answered
        writer.close()


async def test_so_many_run_at_once_and_the_others_wait_their_turn() -> None:
    service = Told()
    async with serving(service) as (ledger, made, connect):
        reader, writer = await connect()
        names = [f"{at}" for at in range(AT_ONCE * 3)]
        writer.write(b"".join(SCORE % name.encode() for name in names))
        await until(lambda: len(service.waiting) == AT_ONCE and ledger.active == len(names))
        assert made[0].flow.read_paused
        for name in names:
            await until(lambda name=name: name in service.waiting)
            assert len(service.waiting) <= AT_ONCE
            service.answer(name)
        assert await bodies(reader, len(names)) == [name.encode() for name in names]
        assert not made[0].flow.read_paused
        assert ledger.active == 0
        writer.close()


async def test_who_does_not_read_is_not_served_on_and_is_cut_off_in_the_end() -> None:
    service = Told(at_once=b"x" * (8 << 20))
    async with serving(service, unread=0.3) as (ledger, _, connect):
        reader, writer = await connect()
        reader._transport.pause_reading()
        writer.write(SCORE % b"a" * 100)
        await until(lambda: service.begun and not ledger.active)
        assert len(service.begun) < 10
        assert ledger.metrics.requests.counts[COUNT_499] > 90
        writer.transport.abort()


async def test_who_reads_slowly_gets_everything() -> None:
    service = Told(at_once=b"x" * (4 << 20))
    async with serving(service) as (_, made, connect):
        reader, writer = await connect()
        reader._transport.pause_reading()
        writer.write(SCORE % b"a" * 5)
        await until(lambda: made and made[0].flow and made[0].flow.write_paused)
        reader._transport.resume_reading()
        assert [len(each) for each in await bodies(reader, 5)] == [4 << 20] * 5
        writer.close()


async def test_a_caller_that_leaves_is_forgotten() -> None:
    service = Told()
    async with serving(service) as (ledger, _, connect):
        _, writer = await connect()
        writer.write(SCORE % b"a" + SCORE % b"b" + SCORE[:-1] % b"c")
        await until(lambda: len(service.waiting) == 2 and ledger.active == 3)
        writer.close()
        await until(lambda: not service.waiting and not ledger.active)
        assert ledger.metrics.requests.counts == {COUNT_499: 3}


async def test_a_body_that_stops_coming_is_refused_and_its_connection_lives() -> None:
    service = Told(at_once=b"fine", timeout_ms=50)
    async with serving(service) as (ledger, _, connect):
        reader, writer = await connect()
        writer.write(SCORE[:-1] % b"a")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        await reader.readuntil(b"}}")
        writer.write(b"1" + SCORE % b"b")
        assert await bodies(reader, 1) == [b"fine"]
        assert ledger.metrics.requests.counts == {(408, "/score"): 1, (200, "/score"): 1}
        writer.close()


async def test_a_body_that_comes_slowly_is_read() -> None:
    service = Told(at_once=b"fine", timeout_ms=400)
    async with serving(service) as (_, _, connect):
        reader, writer = await connect()
        writer.write(b"POST /score HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n")
        for _ in range(12):
            await asyncio.sleep(0.05)  # all together more than one silence may last
            writer.write(b"1")
        assert await bodies(reader, 1) == [b"fine"]
        writer.close()


@pytest.mark.parametrize(
    "start", [b"P", b"POST /score HT", b"POST /score HTTP/1.1\r\nhost: a\r\nx-a", SCORE % b"a" + b"GET"]
)
async def test_headers_that_never_end_are_refused(start) -> None:
    service = Told(at_once=b"fine")
    async with serving(service, head=0.05) as (_, _, connect):
        reader, writer = await connect()
        writer.write(start)
        answer = await reader.read()
        assert b"HTTP/1.1 408 " in answer
        assert b"the headers were not complete within 0.05 s" in answer
        writer.close()


@pytest.mark.parametrize(
    "first", [b"", SCORE % b"a", b"GET /ordinary HTTP/1.1\r\nhost: a\r\n\r\n"], ids=["new", "short", "ordinary"]
)
async def test_an_idle_connection_is_closed(first) -> None:
    async with serving(Told(at_once=b"fine"), idle=0.05) as (_, _, connect):
        reader, writer = await connect()
        writer.write(first)
        assert (await reader.read()).count(b"HTTP/1.1 200") == (1 if first else 0)
        writer.close()


async def test_a_connection_that_waits_for_its_answer_is_not_idle() -> None:
    service = Told()
    async with serving(service, idle=0.05) as (_, _, connect):
        reader, writer = await connect()
        writer.write(SCORE % b"a")
        await until(lambda: service.waiting)
        await asyncio.sleep(0.15)  # three times what an idle one may last
        service.answer("a")
        assert await bodies(reader, 1) == [b"a"]
        writer.close()


async def test_a_drain_says_so_and_the_last_answer_ends_the_connection() -> None:
    service = Told()
    async with serving(service) as (ledger, made, connect):
        reader, writer = await connect()
        writer.write(SCORE % b"a")
        await until(lambda: service.waiting)
        made[0].shutdown()  # what uvicorn does at the end
        service.is_draining = True
        service.answer("a")
        answer = await reader.read()
        assert answer.endswith(b"connection: close\r\n\r\na")
        assert ledger.active == 0
        writer.close()


async def test_one_connection_does_not_keep_the_others_waiting() -> None:
    """So many requests in one piece are answered in bursts, between which the loop looks at other connections."""
    service = Told(at_once=b"fine")
    async with serving(service) as (_, made, connect):
        (first, greedy), (second, modest) = await connect(), await connect()
        await until(lambda: len(made) == 2)
        made[0].data_received(SCORE % b"greedy" * 1000)
        assert len(service.begun) < 500
        modest.write(SCORE % b"modest")
        assert await bodies(second, 1) == [b"fine"]
        assert await bodies(first, 1000) == [b"fine"] * 1000
        greedy.close()
        modest.close()


async def test_what_nobody_foresaw_is_a_500_that_the_log_knows(caplog) -> None:
    service = Told()
    service.begin = lambda raw: 1 / 0
    async with serving(service) as (ledger, _, connect):
        reader, writer = await connect()
        writer.write(SCORE % b"a")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 ")
        [record] = [record for record in caplog.records if record.message == "request failed"]
        assert record.exc_info[0] is ZeroDivisionError
        assert record.requestId == "a"
        assert ledger.active == 0
        writer.close()
