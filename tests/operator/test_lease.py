"""The Lease: one leads, another takes over when it stands still, and at once when it was handed back.

The time is the tests' own: it goes by whenever everybody sleeps, so a loaded machine changes nothing.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from wye_operator.cluster.errors import Unavailable
from wye_operator.cluster.kinds import LEASES
from wye_operator.cluster.lease import Lease, Terms

from .fake import FakeApi

TERMS = Terms()


class Skipping(selectors.SelectSelector):
    """Whoever would wait is at the end of it at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "all wait for what never comes"
            self.now += timeout
        return ready


class Hasty(asyncio.SelectorEventLoop):
    """A loop whose time is that of its selector."""

    def __init__(self) -> None:
        self.skipping = Skipping()
        super().__init__(self.skipping)

    def time(self) -> float:
        return self.skipping.now


def by_its_own_clock(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs in such a loop."""

    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=Hasty) as runner:
            runner.run(test(*args, **named))

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


class Replica:
    """One process: leads while it may."""

    def __init__(self, api, name, log):
        self.name, self.log = name, log
        self.lease = Lease(api, "wye-system", "wye-operator", name, lambda: 1000.0, TERMS)
        self.task = asyncio.create_task(self.lease.run(self.lead))

    async def lead(self):
        self.log.append(f"{self.name} leads")
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append(f"{self.name} ends")

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def kill(self):
        """No release, no renewal: as kill -9 would."""
        self.lease.api = None
        self.task.cancel()


async def until(condition, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.fixture
def api():
    return FakeApi()


def lease_of(api):
    return api.find(LEASES, "wye-operator", "wye-system")["spec"]


@by_its_own_clock
async def test_the_first_one_leads_and_the_second_waits(api):
    log = []
    one, two = Replica(api, "one", log), Replica(api, "two", log)
    await asyncio.sleep(4 * TERMS.duration)  # it is renewed
    assert log == ["one leads"]
    await one.stop()
    await two.stop()


@by_its_own_clock
async def test_a_lease_that_is_handed_back_is_taken_at_once(api):
    log = []
    one = Replica(api, "one", log)
    await until(lambda: log == ["one leads"])
    two = Replica(api, "two", log)
    await asyncio.sleep(TERMS.duration)
    before = now()
    await one.stop()
    assert lease_of(api)["holderIdentity"] == ""
    await until(lambda: log == ["one leads", "one ends", "two leads"])
    assert now() - before <= TERMS.retry + 0.1
    assert lease_of(api)["leaseTransitions"] == 1
    await two.stop()


@by_its_own_clock
async def test_a_leader_that_stands_still_is_followed_after_the_duration(api):
    log = []
    one = Replica(api, "one", log)
    await until(lambda: log == ["one leads"])
    two = Replica(api, "two", log)
    await asyncio.sleep(TERMS.duration)
    before = now()
    one.task.cancel()
    one.lease._ours = False  # killed: nothing is handed back
    await until(lambda: "two leads" in log)
    renewals = TERMS.retry + 0.1
    assert TERMS.duration - renewals <= now() - before <= TERMS.duration + renewals
    await two.stop()


@by_its_own_clock
async def test_a_leader_that_cannot_renew_ends_its_work_before_another_may_begin(api):
    log = []
    one = Replica(api, "one", log)
    await until(lambda: log == ["one leads"])
    api.fail = lambda verb, kind, name: Unavailable("no connection") if kind == LEASES else None
    before = now()
    await until(lambda: log == ["one leads", "one ends"])
    assert now() - before <= TERMS.deadline + TERMS.retry + 0.1 < TERMS.duration
    api.fail = lambda verb, kind, name: None
    await until(lambda: log[-1] == "one leads")
    await one.stop()


@by_its_own_clock
async def test_a_lease_that_somebody_took_is_given_up(api):
    log = []
    one = Replica(api, "one", log)
    await until(lambda: log == ["one leads"])
    found = api.find(LEASES, "wye-operator", "wye-system")
    spec = {**found["spec"], "holderIdentity": "two"}
    api.user({**found, "spec": spec})
    await until(lambda: log == ["one leads", "one ends"])
    await one.stop()
    assert lease_of(api)["holderIdentity"] == "two", "what is another's is not handed back"


@by_its_own_clock
async def test_what_ends_the_work_ends_the_lease_too(api):
    async def broken():
        raise ValueError("a bug")

    lease = Lease(api, "wye-system", "wye-operator", "one", lambda: 1000.0, TERMS)
    with pytest.raises(ValueError, match="a bug"):
        await lease.run(broken)
    assert lease_of(api)["holderIdentity"] == ""
