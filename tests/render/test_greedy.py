"""Slow, greedy and hostile callers of a real router: a well-behaved one beside them goes on, and the router lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from render import plans
from render.greedy import ATTACKS, HEAD, Attack, Crowd, Multiplexed, Neighbour, crowd
from render.model import Exchange, Model, ignore, serve
from render.router import ALL_TRACED, Running, is_ready, serving
from render.upstream import Upstream
from wye_operator.plan.shares import WHOLE
from wye_operator.plan.wanted import Auth, Hosts, Listener, RouterPlan, Routes, Share
from wye_operator.plan.world import Address
from wye_operator.render.memory import connections

TIMEOUT_MS = 10_000
MEBIBYTE = 2**20
MEMORY = 96 * MEBIBYTE


def plan_for(model: Model, health: Upstream, memory: int | None) -> RouterPlan:
    """Health has a thread of its own: on a busy machine one that hundreds of connections are read in looks dead."""
    address = Address("127.0.0.1", model.port, check=health.port)
    return replace(
        plans.EMPTY,
        clusters=(plans.BLUE,),
        hosts=(Hosts("blue", (address,), None),),
        listener=Listener(64 * MEBIBYTE, access_log=True, most_memory_bytes=memory),
        routes=Routes("Split", (Share("blue", 10_000),), (), (), TIMEOUT_MS, 1000),
        auth=Auth(open=True, keys=None, version="open"),
    )


@contextmanager
def running(model: Model, folder: Path, memory: int | None = 512 * MEBIBYTE) -> Iterator[Running]:
    health = Upstream("blue")
    try:
        with model.in_a_thread(), serving(plan_for(model, health, memory), folder, "blue") as router:
            yield router
    finally:
        health.stop()


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """As large as routers are by default."""
    with running(Model("blue"), tmp_path_factory.mktemp("router")) as one:
        yield one


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_a_caller_beside_them_goes_on(router: Running, attack: Attack) -> None:
    port = router.place.listen.port
    neighbour = Neighbour(port)
    async with crowd(port) as those, neighbour.calling():
        await attack(those)
        await neighbour.answered(3)
    used = router.memory() // MEBIBYTE
    print(f"{dict(neighbour.statuses)}, the longest {neighbour.longest * 1000:.0f} ms, {used} MiB")
    assert set(neighbour.statuses) == {"200"}
    assert used < 200


async def until_closed(those: Crowd, payload: bytes) -> tuple[float, bytes]:
    """Seconds until the router ends this connection, and the first it said."""
    begun = asyncio.get_running_loop().time()
    reader, _ = await those.connect(payload)
    said = b""
    try:
        while part := await reader.read(100):
            said = said or part
    except ConnectionError:
        pass
    return asyncio.get_running_loop().time() - begun, said


SLOW = {
    "headers that stop": (HEAD, b"HTTP/1.1 408"),
    "a body that stops": (HEAD + b"content-length: 10\r\n\r\nx", b"HTTP/1.1 408"),
}
UNREAD = b"GET /large HTTP/1.1\r\nhost: a\r\nx-request-id: unread\r\n\r\n"


async def test_who_is_slow_is_let_go(router: Running) -> None:
    """After ten seconds: the limit of headers, and the requestTimeoutMs that this router was given."""
    async with crowd(router.place.listen.port) as those:
        await those.connect(UNREAD)
        ends = await asyncio.gather(*(until_closed(those, sent) for sent, _ in SLOW.values()))
        record = await asyncio.to_thread(router.record, "unread")
    for (what, (_, wanted)), (took, said) in zip(SLOW.items(), ends, strict=True):
        print(f"{what}: {took:.2f} s")
        assert said.startswith(wanted), what
        assert took > 9, what
    assert (record["status"], record["flags"]) == (200, "SI")


async def fill(those: Crowd, count: int, payload: bytes) -> None:
    for number in range(count):
        await those.connect(payload)
        if number % 10 == 0:
            await asyncio.sleep(0.01)


FULL: dict[str, bytes] = {
    "headers": HEAD + b"x: " + b"a" * 59_000,
    "bodies that the model does not read": HEAD + b"content-length: 10000000\r\n\r\n" + b"x" * 500_000,
}


async def choosy(exchange: Exchange) -> None:
    """Answer small requests, read nothing of large ones."""
    await (serve if exchange.length < 10 else ignore)(exchange)


@pytest.mark.parametrize("payload", FULL.values(), ids=FULL)
async def test_no_number_of_callers_makes_a_router_hold_more_than_it_may(tmp_path: Path, payload: bytes) -> None:
    with running(Model("blue", way=choosy), tmp_path, MEMORY) as router:
        port = router.place.listen.port
        neighbour = Neighbour(port)
        await neighbour.connect()
        most = connections(MEMORY, traced=WHOLE if ALL_TRACED else 0)
        async with crowd(port) as those, neighbour.calling():
            await fill(those, most + 50, payload)
            used = router.memory()
            assert await asyncio.to_thread(is_ready, router)
        print(f"{most} connections: {dict(neighbour.statuses)}, {used // MEBIBYTE} MiB of {MEMORY // MEBIBYTE}")
        assert set(neighbour.statuses) == {"200"}
        assert used < MEMORY * 0.8
        assert router.process.poll() is None


@asynccontextmanager
async def multiplexed(those: Crowd, count: int) -> AsyncIterator[list[Multiplexed]]:
    """So many connections of HTTP/2, each of which hears what the router says."""
    callers = [Multiplexed(await those.connect()) for _ in range(count)]
    listening = [asyncio.create_task(caller.listen()) for caller in callers]
    yield callers
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)


NOBODY = {"azureml-model-deployment": "nobody"}
# Path, the size of each body, who it is for, whether answers may come, connections, each of which has a hundred
# streams, and whether all of it comes at once.
STREAMS: dict[str, tuple[str, int, dict[str, str], bool, int, bool]] = {
    "bodies that the model does not read": ("/score", 300_000, {}, True, 20, False),
    "answers that nobody reads": ("/large", 0, {}, False, 20, False),
    "answers that nobody reads, all at once": ("/large", 0, {}, False, 20, True),
    "refusals that nobody reads": ("/score", 0, NOBODY, False, 60, False),
    "refusals that nobody reads, all at once": ("/score", 0, NOBODY, False, 60, True),
}


@contextmanager
def standing_still(router: Running) -> Iterator[None]:
    """As a router whose node is busy, or whose limit of processor time is reached: all comes at once afterwards."""
    router.process.send_signal(SIGSTOP)
    try:
        yield
    finally:
        router.process.send_signal(SIGCONT)


@pytest.mark.parametrize("what", STREAMS)
async def test_no_number_of_streams_makes_a_router_hold_more_than_it_has(tmp_path: Path, what: str) -> None:
    """Streams that hold most are reset, then requests are refused, then connections closed; afterwards all is well."""
    path, size, more, may_answer, count, at_once = STREAMS[what]
    memory, most = 64 * MEBIBYTE, 0
    steps = [
        *([] if may_answer else [lambda caller: caller.refuse_answers()]),
        lambda caller: caller.begin(path, size, more),
        lambda caller: caller.send(),
    ]
    with running(Model("blue", way=choosy), tmp_path, memory) as router:
        port = router.place.listen.port
        neighbour, after = Neighbour(port), Neighbour(port)
        async with crowd(port) as those, neighbour.calling(), multiplexed(those, count) as callers:
            for step in steps:
                with standing_still(router) if at_once else nullcontext():
                    for caller in callers:
                        step(caller)
                        await asyncio.sleep(0)
                        most = max(most, router.memory())
                await neighbour.answered(neighbour.statuses.total() + 10)
                most = max(most, router.memory())
        print(f"{what}: {dict(neighbour.statuses)}, {most // MEBIBYTE} MiB of {memory // MEBIBYTE}")
        assert most < memory * (0.95 if ALL_TRACED else 0.85)  # what goes inside is held twice
        async with asyncio.timeout(60):
            while after.statuses["200"] < 10:
                await after.call()
        after.hang_up()
