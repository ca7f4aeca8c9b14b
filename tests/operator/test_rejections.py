"""Why a router refuses an update: read from its log, told, and kept as long as it is true."""

from __future__ import annotations

import pytest
from tests.operator.place import Place, deployment, endpoint

from wye_operator.cluster.kinds import CONFIGMAPS, ENDPOINTS, PODS
from wye_operator.render.kubernetes import routers

LINE = "2026-10-01T10:00:00.000 warning Filesystem config update rejected: route: unknown weighted cluster 'ghost'"
SERVED = '{"status":200,"path":"/score"}'
OLD, NEW = {"blue": 100}, {"blue": 50, "green": 50}


@pytest.fixture
async def place():
    """Two Deployments, all traffic to blue, and a router that takes nothing any more."""
    place = Place()
    for body in (endpoint(traffic=OLD), deployment(), deployment("fraud-green")):
        place.api.user(body)
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    place.api.calls.clear()
    place.pods.asleep.add(router_of(place))
    return place


def router_of(place):
    return next(name for name in place.api.names(PODS) if name.startswith("fraud-router"))


def message(place):
    return place.status(ENDPOINTS, "fraud")["conditions"][0]["message"]


async def test_the_reason_is_told_soon_and_kept_when_the_log_is_long_gone(place):
    place.api.logs[router_of(place)] = "\n".join([LINE, *[SERVED] * 1000])
    place.api.user(endpoint(traffic=NEW))
    await place.settle(seconds=8)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "RouterRejected")
    assert "unknown weighted cluster 'ghost'" in message(place)
    place.api.logs.clear()
    await place.settle(seconds=60)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "RouterRejected")
    assert len([call for call in place.api.calls if call[0] == "log"]) == 1


async def test_a_router_that_refuses_what_it_takes_when_asked_again_is_not_told_of(place):
    """As one does that starts: it may read new routes before their clusters."""
    place.api.logs[router_of(place)] = LINE
    place.api.user(endpoint(traffic=NEW))
    await place.settle(seconds=2)
    assert place.ready(ENDPOINTS, "fraud")[1] != "RouterRejected"
    place.pods.asleep.clear()
    await place.settle(seconds=20)
    assert not [call for call in place.api.calls if call[0] == "log"]


async def test_what_is_not_said_is_looked_for_ever_more_seldom(place):
    place.api.user(endpoint(traffic=NEW))
    await place.settle(seconds=60)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "RouterBehind")
    assert len([call for call in place.api.calls if call[0] == "log"]) == 4  # after 4, 8, 16 and 32 s


async def test_a_router_that_refuses_is_not_replaced(place):
    """What it has is the last good one, and its successor would begin with what was refused."""
    place.api.user(endpoint(traffic=OLD, router={"replicas": 2}))
    await place.settle()
    refuses = router_of(place)
    place.pods.asleep = {refuses}
    place.api.logs[refuses] = LINE
    place.api.user(endpoint(traffic=NEW, router={"replicas": 2}))
    await place.settle(horizon=30, seconds=200)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "RouterRejected")
    assert ("delete", "pods", refuses) not in place.api.calls


async def test_a_router_that_takes_it_after_all_is_rejected_no_more(place):
    place.api.logs[router_of(place)] = LINE
    place.api.user(endpoint(traffic=NEW))
    await place.settle(seconds=8)
    place.pods.asleep.clear()
    place.api.user(endpoint(traffic=NEW, limits={"maxMirrorBytes": "2Mi"}))
    await place.settle(seconds=20)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert place.status(ENDPOINTS, "fraud")["traffic"] == {"blue": 50.0, "green": 50.0}


async def test_what_is_in_effect_is_what_the_router_has(place):
    version = place.status(ENDPOINTS, "fraud")["router"]["version"]
    place.api.logs[router_of(place)] = LINE
    place.api.user(endpoint(traffic=NEW))
    await place.settle(seconds=60)
    status = place.status(ENDPOINTS, "fraud")
    assert (status["traffic"], status["trafficText"], status["router"]["version"]) == (OLD, "blue=100", version)
    assert [(share["name"], share["traffic"]) for share in status["deployments"]] == [("blue", 100.0), ("green", 0.0)]


async def test_a_router_that_cannot_be_reached_is_named(place):
    version = place.status(ENDPOINTS, "fraud")["router"]["version"]
    place.pods.silent.add(router_of(place))
    place.api.user(endpoint(traffic=NEW))
    await place.settle(seconds=4)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "RouterBehind")
    assert f"router {router_of(place)} cannot be reached on its inner port" in message(place)
    assert place.status(ENDPOINTS, "fraud")["router"]["version"] == version


async def test_what_every_router_refused_is_taken_back_for_those_that_start(place):
    place.pods.asleep.clear()
    place.pods.refuses, place.api.logs[router_of(place)] = '"green","weight":5000', LINE
    place.api.user(endpoint(traffic=NEW))
    await place.settle(seconds=20)
    assert message(place).startswith("every router rejected the update")
    assert '"blue","weight":10000' in place.api.find(CONFIGMAPS, "fraud-router")["data"]["rds.json"]
    place.api.logs.clear()
    place.api.remove(PODS, router_of(place))
    place.pods.has.clear()
    place.restart()
    await place.settle(seconds=60)
    assert "unknown weighted cluster 'ghost'" in message(place), "a new operator knows why"
    assert place.pods.has[router_of(place)][1].refusals == {}, "what started anew took what it found"
    place.api.user(endpoint(traffic={"blue": 40, "green": 60}))
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def refused_of_another(place, monkeypatch, seconds):
    """An operator that writes the same version otherwise, which routers refuse, has been at work for so long."""
    as_it_is = routers.route_files
    place.pods.asleep.clear()
    place.pods.refuses, place.api.logs[router_of(place)] = "ghost", LINE
    with monkeypatch.context() as patch:
        patch.setattr(routers, "route_files", lambda *given: {**as_it_is(*given), **ghost(as_it_is(*given))})
        place.api.user(endpoint(traffic=NEW))
        await place.settle(seconds=seconds)


async def test_what_routers_refused_of_another_operator_is_not_held_against_the_next_one(place, monkeypatch):
    """It writes the same version otherwise, before the one that ended could take back what it wrote."""
    await refused_of_another(place, monkeypatch, seconds=2)
    assert "ghost" in place.api.find(CONFIGMAPS, "fraud-router")["data"]["rds.json"]
    assert place.pods.has[router_of(place)][1].refusals, "it was read"
    place.restart()
    place.pods.asleep.add(router_of(place))  # and the next one is not read at once
    await place.settle(seconds=8)
    place.pods.asleep.clear()
    await place.settle(seconds=20)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready"), message(place)


async def test_what_was_taken_back_of_another_operator_is_offered_by_the_next_one(place, monkeypatch):
    """Its own write is no news to it, and nothing else happens: it has to look again by itself."""
    await refused_of_another(place, monkeypatch, seconds=60)
    assert message(place).startswith("every router rejected the update")
    assert "ghost" not in place.api.find(CONFIGMAPS, "fraud-router")["data"]["rds.json"], "it was taken back"
    place.restart()
    await place.list()
    hear = place.api.heard[0]
    place.api.heard = [lambda kind, *change: None if kind == CONFIGMAPS else hear(kind, *change)]  # it comes too late
    await place.settle(seconds=60)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready"), message(place)


def ghost(files):
    return {"rds.json": files["rds.json"].replace(b'"green","weight":5000', b'"ghost","weight":5000')}
