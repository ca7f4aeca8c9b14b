"""The feed: lists, watches that break, and the deletions that kopf loses."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from wye_operator.cluster import follow
from wye_operator.cluster.errors import Unavailable
from wye_operator.cluster.follow import Feed
from wye_operator.cluster.kinds import CONFIGMAPS, ENDPOINTS, WATCHED
from wye_operator.cluster.store import Key, Store
from wye_operator.telemetry import Metrics

from .fake import FakeApi
from .place import endpoint

FRAUD = Key("default", "fraud")


@pytest.fixture(autouse=True)
def _brisk(monkeypatch):
    monkeypatch.setattr(follow, "AFTER_RELIST", 0.05)
    monkeypatch.setattr(follow, "RETRIES", (0.01,))


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
