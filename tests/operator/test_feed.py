"""The feed: lists, watches that break, and the deletions that kopf loses."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from wye_operator.cluster import follow
from wye_operator.cluster.errors import Forbidden, Unavailable
from wye_operator.cluster.follow import Feed
from wye_operator.cluster.kinds import CONFIGMAPS, ENDPOINTS, SERVICES, WATCHED
from wye_operator.cluster.store import Key, Store
from wye_operator.telemetry import Metrics

from .fake import FakeApi
from .place import endpoint

FRAUD = Key("default", "fraud")


@pytest.fixture(autouse=True)
def _brisk(monkeypatch):
    monkeypatch.setattr(follow, "AFTER_RELIST", 0.05)
    monkeypatch.setattr(follow, "RETRIES", (0.01,))
    monkeypatch.setattr(follow, "SHORTEST", 0.01)


@asynccontextmanager
async def feeding(api):
    woken = []
    feed = Feed(api, Store(), None, woken.append, Metrics())
    task = asyncio.create_task(feed.run())
    try:
        async with asyncio.timeout(5):
            await feed.whole.wait()
            yield feed, woken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition):
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def ours(name="fraud-router", **metadata):
    labels = {"app.kubernetes.io/managed-by": "wye", "wye.dev/endpoint": "fraud"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels, **metadata}}


async def test_what_is_there_at_start_is_known_and_woken():
    api = FakeApi()
    api.user(endpoint())
    async with feeding(api) as (feed, woken):
        assert feed.store.get(ENDPOINTS, "default", "fraud")
        assert woken == [FRAUD]


async def test_what_is_followed_is_heard_at_once():
    api = FakeApi()
    async with feeding(api) as (feed, woken):
        api.user(ours())
        await until(lambda: woken == [FRAUD])
        api.remove(CONFIGMAPS, "fraud-router")
        await until(lambda: feed.store.get(CONFIGMAPS, "default", "fraud-router") is None)
        assert CONFIGMAPS in feed.heard


async def test_foreign_objects_are_not_asked_for():
    api = FakeApi()
    api.user({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign"}})
    async with feeding(api) as (feed, _):
        api.user({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "another"}})
        await asyncio.sleep(0.05)
        assert feed.store.count(CONFIGMAPS) == 0


async def test_a_watch_that_is_too_old_begins_with_a_list():
    api = FakeApi()
    api.user(ours())
    async with feeding(api) as (feed, _):
        await until(lambda: ("watch", "configmaps", "") in api.calls)
        api.remove(CONFIGMAPS, "fraud-router", quietly=True)
        api.forget_history()
        api.user(ours("other"))
        await until(lambda: feed.store.get(CONFIGMAPS, "default", "fraud-router") is None)


async def test_an_event_of_a_relist_makes_us_list_for_ourselves_once():
    """kopf says nothing of what was deleted while its watch was down."""
    api = FakeApi()
    api.user(endpoint())
    api.user(endpoint("spam"))
    async with feeding(api) as (feed, woken):
        api.remove(ENDPOINTS, "fraud", quietly=True)
        before = len([c for c in api.calls if c[:2] == ("list", "mlendpoints")])
        for kind in WATCHED:  # all of kopf's watches break at once
            feed.seen(kind, None, api.find(ENDPOINTS, "spam"))
        await until(lambda: feed.store.get(ENDPOINTS, "default", "fraud") is None)
        await asyncio.sleep(0.1)
        assert len([c for c in api.calls if c[:2] == ("list", "mlendpoints")]) == before + 1
        assert woken[-1] == FRAUD


async def test_a_server_that_is_away_is_asked_until_it_is_back():
    api = FakeApi()
    api.user(endpoint())
    left = iter(range(30))
    api.fail = lambda verb, kind, name: Unavailable("away") if next(left, None) is not None else None
    async with feeding(api) as (feed, _):
        assert feed.store.get(ENDPOINTS, "default", "fraud")


class Breaking(FakeApi):
    """The first watch of each kind fails; the next ones have nothing to say."""

    async def watch(self, kind, namespace, selector, version):
        first = ("watch", kind.plural, "") not in self.calls
        async for event in super().watch(kind, namespace, selector, version):
            yield event
            if first:
                raise Unavailable("the API server cannot be reached")


async def test_a_watch_that_failed_is_whole_again_before_anything_happens():
    api = Breaking()
    async with feeding(api) as (feed, _):
        await until(lambda: ("watch", "configmaps", "") in api.calls)
        api.user(ours())
        await until(lambda: "configmaps cannot be followed" in feed.trouble())
        await until(lambda: feed.trouble() == "")
        assert feed.store.count(CONFIGMAPS) == 1


class Ending(FakeApi):
    """Every watch ends after the first event it has, or at once."""

    async def watch(self, kind, namespace, selector, version):
        events = super().watch(kind, namespace, selector, version)
        try:
            async with asyncio.timeout(0.02):
                yield await anext(events)
        except TimeoutError:
            return


async def test_a_watch_that_ends_goes_on_where_it_was_without_a_list():
    api = Ending()
    async with feeding(api) as (feed, _):
        lists = [call for call in api.calls if call[0] == "list"]
        for number in range(3):
            api.user(ours(f"map-{number}"))
        await until(lambda: feed.store.count(CONFIGMAPS) == 3)
        await until(lambda: CONFIGMAPS in feed.heard and SERVICES in feed.heard)
        assert [call for call in api.calls if call[0] == "list"] == lists
        assert feed.trouble() == ""


class Empty(FakeApi):
    """Every watch ends at once."""

    async def watch(self, kind, namespace, selector, version):
        self.calls.append(("watch", kind.plural, ""))
        for event in ():
            yield event


async def test_a_watch_that_ends_at_once_again_and_again_is_no_hot_loop(monkeypatch):
    monkeypatch.setattr(follow, "SHORTEST", 0.1)
    api = Empty()
    async with feeding(api):
        begun = asyncio.get_running_loop().time()
        await until(lambda: api.calls.count(("watch", "configmaps", "")) == 4)
        assert asyncio.get_running_loop().time() - begun > 0.2


async def test_a_kind_that_may_not_be_read_keeps_no_other_from_being_listed():
    api = FakeApi()
    api.user(endpoint())
    async with feeding(api) as (feed, _):
        api.fail = lambda verb, kind, name: Forbidden("no") if kind == WATCHED[0] else None
        last = WATCHED[-1].plural
        before = api.calls.count(("list", last, ""))
        feed.seen(ENDPOINTS, None, api.find(ENDPOINTS, "fraud"))
        await until(lambda: api.calls.count(("list", last, "")) > before)
        assert WATCHED[0].plural in feed.trouble()


async def test_an_edit_by_a_person_is_told_apart_from_what_we_reported():
    api = FakeApi()
    async with feeding(api) as (feed, _):
        edited = []
        feed.edited = edited.append
        fresh = api.user(endpoint())
        feed.seen(ENDPOINTS, "ADDED", fresh)
        assert edited == [FRAUD]
        reported = api.user({**fresh, "status": {"observedGeneration": 1}})
        feed.seen(ENDPOINTS, "MODIFIED", reported)
        assert edited == [FRAUD]
        feed.seen(ENDPOINTS, "MODIFIED", api.user(endpoint(traffic={"blue": 100})))
        assert edited == [FRAUD, FRAUD]
