"""The Lease: one leads, another takes over when it stands still, and at once when it was handed back."""

from __future__ import annotations

import asyncio

import pytest

from wye_operator.cluster.errors import Unavailable
from wye_operator.cluster.kinds import LEASES
from wye_operator.cluster.lease import Lease, Terms

from .fake import FakeApi

FAST = Terms(duration=1, deadline=0.6, retry=0.1)


class Replica:
    """One process: leads while it may."""

    def __init__(self, api, name, log):
        self.name, self.log = name, log
        self.lease = Lease(api, "wye-system", "wye-operator", name, lambda: 1000.0, FAST)
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


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def api():
    return FakeApi()


def lease_of(api):
    return api.find(LEASES, "wye-operator", "wye-system")["spec"]


async def test_the_first_one_leads_and_the_second_waits(api):
    log = []
    one, two = Replica(api, "one", log), Replica(api, "two", log)
    await asyncio.sleep(1.5)  # longer than the duration: it is renewed
    assert log in (["one leads"], ["two leads"])
    await one.stop()
    await two.stop()


async def test_a_lease_that_is_handed_back_is_taken_at_once(api):
    log = []
    one = Replica(api, "one", log)
    await until(lambda: log == ["one leads"])
    two = Replica(api, "two", log)
    await asyncio.sleep(0.2)
    before = asyncio.get_running_loop().time()
    await one.stop()
    assert lease_of(api)["holderIdentity"] == ""
    await until(lambda: log == ["one leads", "one ends", "two leads"])
    assert asyncio.get_running_loop().time() - before < FAST.duration
    assert lease_of(api)["leaseTransitions"] == 1
    await two.stop()


async def test_a_leader_that_stands_still_is_followed_after_the_duration(api):
    log = []
    one = Replica(api, "one", log)
    await until(lambda: log == ["one leads"])
    two = Replica(api, "two", log)
    await asyncio.sleep(0.2)
    before = asyncio.get_running_loop().time()
    one.task.cancel()
    one.lease._ours = False  # killed: nothing is handed back
    await until(lambda: "two leads" in log)
    assert FAST.duration - 0.3 < asyncio.get_running_loop().time() - before < FAST.duration + 1
    await two.stop()


async def test_a_leader_that_cannot_renew_ends_its_work_before_another_may_begin(api):
    log = []
    one = Replica(api, "one", log)
    await until(lambda: log == ["one leads"])
    api.fail = lambda verb, kind, name: Unavailable("no connection") if kind == LEASES else None
    before = asyncio.get_running_loop().time()
    await until(lambda: log == ["one leads", "one ends"])
    assert asyncio.get_running_loop().time() - before < FAST.duration
    api.fail = lambda verb, kind, name: None
    await until(lambda: log[-1] == "one leads")
    await one.stop()


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


async def test_what_ends_the_work_ends_the_lease_too(api):
    async def broken():
        raise ValueError("a bug")

    lease = Lease(api, "wye-system", "wye-operator", "one", lambda: 1000.0, FAST)
    with pytest.raises(ValueError, match="a bug"):
        await lease.run(broken)
    assert lease_of(api)["holderIdentity"] == ""
