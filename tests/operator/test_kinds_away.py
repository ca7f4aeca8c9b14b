"""kopf looks once for a kind that comes back, and discovery may be late: it is made to look again."""

from __future__ import annotations

import asyncio
import inspect

import aiohttp
import kopf
import pytest
from kopf._cogs.clients import watching
from kopf._cogs.clients.errors import APINotFoundError
from kopf._cogs.structs.references import Insights, Resource
from kopf._core.reactor import observation

from wye_operator.cluster import handlers
from wye_operator.cluster.handlers import groups_away, look_for_kinds, patient_watch, settings_for
from wye_operator.cluster.kinds import DEPLOYMENTS, WATCHED

NEVER = 0.05


def resource(kind):
    return Resource(kind.group, kind.version, kind.plural, preferred=True)


@pytest.fixture
def insights(monkeypatch):
    """All kinds but our Deployments are watched."""
    monkeypatch.setattr(handlers, "LOOK_AGAIN", 0.001)
    found = Insights()
    found.ready_resources.set()
    found.watched_resources.update(resource(kind) for kind in WATCHED if kind != DEPLOYMENTS)
    return found


async def looked(insights, monkeypatch, outcomes, namespace=None):
    """The groups that kopf looked at, while each look ends as told."""
    groups, left = [], iter(outcomes)

    async def look(*, raw_event, **rest):
        inspect.signature(original).bind(raw_event=raw_event, **rest)
        groups.append(raw_event["object"]["spec"]["group"])
        next(left)()

    original = observation.process_discovered_resource_event
    monkeypatch.setattr(observation, "process_discovered_resource_event", look)
    task = asyncio.create_task(look_for_kinds(insights, kopf.OperatorRegistry(), settings_for(namespace)))
    await asyncio.wait([task], timeout=NEVER)
    task.cancel()
    return groups


def fails():
    raise aiohttp.ClientError("away")


async def test_it_looks_until_the_kind_is_there(insights, monkeypatch):
    there = lambda: insights.watched_resources.add(resource(DEPLOYMENTS))  # noqa: E731
    assert await looked(insights, monkeypatch, [lambda: None, fails, there]) == [DEPLOYMENTS.group] * 3
    assert groups_away(insights) == set()


async def test_it_does_not_look_where_it_may_not(insights, monkeypatch):
    assert await looked(insights, monkeypatch, [], namespace="one") == []


async def test_a_kind_that_goes_while_it_is_watched_ends_no_watch(monkeypatch):
    """kopf lists it anew when a stream ends, and a 404 there ended the operator."""
    answers = iter(["gone", "gone", "there"])

    async def fetch_objs(**_):
        if next(answers) == "gone":
            raise APINotFoundError("404 page not found", status=404, headers={})
        yield [{"metadata": {"name": "back"}}], "7"

    async def nothing(**_):
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(handlers, "AWAY", 0.001)
    monkeypatch.setattr(watching.fetching, "fetch_objs", fetch_objs)
    monkeypatch.setattr(watching, "watch_objs", nothing)
    monkeypatch.setattr(watching, "continuous_watch", patient_watch)
    stream = watching.infinite_watch(settings=settings_for(None), resource=resource(DEPLOYMENTS), namespace=None)
    async with asyncio.timeout(10):
        assert await anext(stream) == {"type": None, "object": {"metadata": {"name": "back"}}}
    await stream.aclose()
