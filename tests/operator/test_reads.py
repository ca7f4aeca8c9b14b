"""Secrets by name: what was asked for is read again, every 30 s, or at once where they may be watched."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from wye_operator.cluster.errors import Forbidden, Unavailable
from wye_operator.cluster.kinds import SECRETS
from wye_operator.cluster.reads import EVERY, IN_A_SECOND, Reads
from wye_operator.cluster.store import Key

from .fake import FakeApi

KEY = Key("default", "fraud")


def secret(name, **data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


class Reader:
    """Reads with a clock, and who was woken."""

    def __init__(self):
        self.api, self.time, self.woken = FakeApi(), 0.0, []
        self.reads = Reads(self.api, self.woken.append, lambda: self.time)

    async def gets(self):
        """How many GETs a refresh is."""
        self.api.calls.clear()
        await self.reads.refresh()
        return len(self.api.calls)

    @asynccontextmanager
    async def following(self):
        task = asyncio.create_task(self.reads.follow(SECRETS, None))
        await self.until(lambda: SECRETS in self.reads._watched)
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def until(self, holds):
        async with asyncio.timeout(5):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
async def reader():
    reader = Reader()
    reader.api.user(secret("a", k="1"))
    reader.api.user(secret("nobody-asked", k="1"))
    assert (await reader.reads.get(SECRETS, "a", KEY))["data"] == {"k": "1"}
    return reader


async def test_what_was_asked_for_is_read_again_after_30_s(reader):
    assert await reader.gets() == 0
    reader.time = 31
    assert await reader.gets() == 1


async def test_a_change_is_heard_at_once_and_only_of_what_was_asked_for(reader):
    async with reader.following():
        reader.api.calls.clear()
        reader.api.user(secret("nobody-asked", k="2"))
        reader.api.user(secret("a", k="2"))
        await reader.until(lambda: reader.woken == [KEY])
        assert reader.api.calls == [("get", "secrets", "a")]
        assert (await reader.reads.get(SECRETS, "a", KEY))["data"] == {"k": "2"}
        reader.time = 31
        assert await reader.gets() == 0, "what is watched need not be asked for"


async def test_a_deletion_and_what_was_missing_are_heard_too(reader):
    assert await reader.reads.get(SECRETS, "missing", KEY) is None
    async with reader.following():
        reader.api.remove(SECRETS, "a")
        await reader.until(lambda: len(reader.woken) == 1)
        assert await reader.reads.get(SECRETS, "a", KEY) is None
        reader.api.user(secret("missing"))
        await reader.until(lambda: len(reader.woken) == 2)


async def test_what_changed_while_nobody_watched_is_found(reader):
    reader.api.user(secret("a", k="2"))
    async with reader.following():
        await reader.until(lambda: reader.woken == [KEY])


async def test_a_watch_that_ends_begins_again(reader):
    async with reader.following():
        reader.api.forget_history()  # 410 with the next event
        reader.api.user(secret("a", k="2"))
        await reader.until(lambda: KEY in reader.woken)
        reader.api.user(secret("a", k="3"))
        await reader.until(lambda: reader.woken.count(KEY) >= 2)


@pytest.mark.parametrize("error", [Forbidden("no", status=403), Unavailable("away", status=503)])
async def test_without_a_watch_it_is_every_30_s(reader, error, caplog):
    reader.api.fail = lambda verb, kind, name: error if verb == "list" else None
    task = asyncio.create_task(reader.reads.follow(SECRETS, None))
    await reader.until(lambda: "a watch failed" in caplog.text)
    reader.time = 31
    assert ("get", "secrets", "a") not in reader.api.calls[-1:]
    assert await reader.gets() == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_many_that_are_old_at_once_are_spread_over_time(reader):
    names = [f"keys-{number:02}" for number in range(99)]
    for name in names:
        reader.api.user(secret(name))
        await reader.reads.get(SECRETS, name, KEY)
    seconds, read = 0, []
    while len(set(read)) < 100:
        reader.time = EVERY + seconds
        assert await reader.gets() <= IN_A_SECOND
        read += [name for _, _, name in reader.api.calls]
        seconds += 1
    assert seconds == -(-100 // IN_A_SECOND)
    assert len(read) == 100, "the oldest first, so none is read twice"


async def test_what_is_missing_is_asked_for_once_in_a_pass_and_again_in_the_next(reader):
    reader.api.calls.clear()
    assert await reader.reads.get(SECRETS, "keys", KEY) is None
    assert await reader.reads.get(SECRETS, "keys", KEY) is None
    assert len(reader.api.calls) == 1
    reader.api.user(secret("keys"))
    reader.time = 1.0
    assert await reader.reads.get(SECRETS, "keys", KEY) is not None
