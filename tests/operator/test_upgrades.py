"""A new operator over a cluster that serves: what rolls, in which number, what waits, and what goes on meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from wye_operator.cluster.errors import Refused, Unavailable
from wye_operator.cluster.kinds import CONFIGMAPS, DEPLOYMENTS, ENDPOINTS, PODS, WORKLOADS
from wye_operator.cluster.store import Key
from wye_operator.cluster.terms import Terms
from wye_operator.cluster.upgrades import PATIENCE
from wye_operator.plan import workloads as rendering
from wye_operator.render.kubernetes import Images

from .place import NOWHERE, Place, deployment, endpoint

NEW = Images("wye-runtime:2", "wye-runtime-gpu:2", "envoy:2")
NAMES = ("ant", "bee", "cat")  # each has a router and a model: six workloads
ON_EDIT = Terms(policy="OnSpecChange")
NOTES = ("wye.dev/template", "wye.dev/upgraded")


@pytest.fixture
async def place():
    """Three Endpoints that serve; what is upgraded from now on stands still until `finish`."""
    place = Place()
    for name in NAMES:
        place.api.user(endpoint(name))
        place.api.user(deployment(f"{name}-blue", of=name))
    await place.settle()
    assert all(place.ready(ENDPOINTS, name) == ("True", "Ready") for name in NAMES)
    place.machinery.slow = set(place.api.names(WORKLOADS))
    place.api.calls.clear()
    return place


async def upgraded(place, images=NEW, **terms):
    """Another operator, with other images."""
    place.where, place.terms = replace(NOWHERE, images=images), replace(place.terms, **terms)
    place.restart()
    await place.settle(horizon=1)
    return place


def image(place, name):
    return place.api.find(WORKLOADS, name)["spec"]["template"]["spec"]["containers"][0]["image"]


def rolled(place, tag="2"):
    return [name for name in place.api.names(WORKLOADS) if image(place, name).endswith(f":{tag}")]


def rolling(place, tag="2"):
    return [name for name in rolled(place, tag) if name in place.machinery.slow]


async def finish(place, *names):
    place.machinery.slow -= set(names)
    await place.settle()


def gauges(place):
    lines = dict(line.rsplit(" ", 1) for line in place.metrics.text().splitlines() if line.startswith("wye_upgrades"))
    return {name.removeprefix("wye_upgrades_"): int(value) for name, value in lines.items()}


@pytest.mark.parametrize("most", [1, 2, 5])
async def test_only_so_many_roll_at_a_time_and_all_do_in_the_end(place, most):
    await upgraded(place, most=most)
    began = []
    while names := rolling(place):
        assert len(names) == min(most, 6 - len(rolled(place)) + len(names))
        assert gauges(place)["running"] == len(names)
        began += [name for name in names if name not in began]
        await finish(place, names[0])
    assert sorted(began) == place.api.names(WORKLOADS)
    assert gauges(place) == {"running": 0, 'waiting{for="slot"}': 0, 'waiting{for="edit"}': 0}
    assert all(place.ready(ENDPOINTS, name) == ("True", "Ready") for name in NAMES)


async def test_who_waits_is_not_looked_at_again_and_again(place):
    await upgraded(place, most=1)
    place.api.calls.clear()
    assert await place.settle(horizon=60) == 0
    assert place.api.calls == []


async def test_another_leader_goes_on_where_this_one_ended(place):
    await upgraded(place, most=2)
    before = rolling(place)
    place.api.calls.clear()
    place.restart()
    await place.settle()
    assert (rolling(place), place.api.writes) == (before, [])
    await finish(place, before[0])
    assert len(rolling(place)) == 2


async def test_a_slot_comes_free_with_its_owner(place):
    await upgraded(place, most=1)
    (name,) = rolling(place)
    place.api.remove(ENDPOINTS, name.partition("-")[0])
    place.api.remove(DEPLOYMENTS, f"{name.partition('-')[0]}-blue")
    await place.settle()
    assert len(rolling(place)) == 1
    assert name not in rolling(place)


async def test_an_edit_needs_no_slot(place):
    await upgraded(place, most=1)
    waiting = next(n for n in place.api.names(WORKLOADS) if n.endswith("-model") and n not in rolled(place))
    name = waiting.removesuffix("-blue-model")
    place.api.user(deployment(f"{name}-blue", of=name, environmentVariables={"MODE": "fast"}))
    await place.settle()
    assert {waiting} < set(rolled(place))
    assert gauges(place)["running"] == 1


async def test_a_first_install_needs_no_slot():
    place = Place()
    place.terms = Terms(most=1)
    place.restart()
    for name in NAMES:
        place.api.user(endpoint(name))
        place.api.user(deployment(f"{name}-blue", of=name))
    place.machinery.slow = {f"{name}-blue-model" for name in NAMES}
    await place.settle()
    assert len(place.api.names(WORKLOADS)) == 6


def without_notes(place):
    """As the version before this one wrote its children."""
    for name in place.api.names(WORKLOADS):
        body = place.api.find(WORKLOADS, name)
        metadata = {k: v for k, v in body["metadata"]["annotations"].items() if k not in NOTES}
        body["metadata"]["annotations"] = metadata


async def test_children_without_notes_are_upgraded_in_turn_too(place):
    without_notes(place)
    await upgraded(place, most=2)
    assert len(rolling(place)) == 2
    while rolling(place):
        assert len(rolling(place)) <= 2
        await finish(place, rolling(place)[0])
    assert len(rolled(place)) == 6


async def test_an_upgrade_that_changes_no_template_writes_nothing(place):
    without_notes(place)
    await upgraded(place, images=NOWHERE.images)
    assert place.api.writes == []


async def test_what_becomes_not_ready_keeps_its_slot(place):
    await upgraded(place, most=1)
    (name,) = rolling(place)
    place.machinery.given_up.add(name)
    await place.settle()
    assert rolling(place) == [name]


async def test_the_way_back_needs_no_new_slot(place):
    await upgraded(place, most=2)
    bad = rolling(place)
    place.machinery.given_up |= set(bad)
    await place.settle()
    await upgraded(place, images=NOWHERE.images)
    assert rolled(place) == []
    place.machinery.slow.clear()
    await place.settle()
    assert gauges(place)["running"] == 0


async def test_what_was_broken_before_gives_its_slot_back(place):
    broken = {name for name in place.api.names(WORKLOADS) if name.startswith(("ant", "bee"))}
    for name in place.api.names(PODS):
        if name.startswith(("ant", "bee")):
            pod = place.api.find(PODS, name)
            place.api.user({**pod, "status": {**pod["status"], "conditions": []}})
    await place.settle()
    await upgraded(place, most=1)
    for began in range(1, 7):
        (name,) = rolling(place)
        place.machinery.given_up.add(name)
        await place.settle()
        gave_it_back = len(rolling(place)) == 2
        assert gave_it_back is (name in broken and began < 6)
        await finish(place, name)
    assert len(rolled(place)) == 6


async def test_a_write_that_is_refused_holds_no_slot(place):
    refused = Refused("no such priority class", status=422)
    child = ("apply", WORKLOADS, "ant-router")
    place.api.fail = lambda verb, kind, name: refused if (verb, kind, name) == child else None
    await upgraded(place, most=1)
    while rolling(place):
        place.machinery.slow.clear()
        await place.settle(horizon=1)
    assert len(rolled(place)) == 5
    place.api.fail = lambda verb, kind, name: None
    await place.settle(horizon=70)
    assert len(rolled(place)) == 6


async def test_an_endpoint_whose_passes_fail_lets_the_others_go_on(place):
    away = Unavailable("no answer", status=503)
    place.api.fail = lambda verb, kind, name: away if verb == "apply" and name.startswith("ant") else None
    await upgraded(place, most=1)
    await place.settle(horizon=70, seconds=300)
    while rolling(place):
        await finish(place, rolling(place)[0])
        await place.settle(horizon=70, seconds=300)
    assert len(rolled(place)) == 4
    place.api.fail = lambda verb, kind, name: None
    await place.settle(horizon=70)
    while rolling(place):
        await finish(place, rolling(place)[0])
    assert len(rolled(place)) == 6


def kept(place, name, file):
    return json.loads(place.api.find(CONFIGMAPS, name)["data"][file])


async def test_on_spec_change_the_whole_template_stays_until_an_edit(place, monkeypatch):
    monkeypatch.setattr(rendering, "MOST_REQUEST_BYTES", 7)  # a new default in the files of the pods
    place.terms = ON_EDIT
    await upgraded(place)
    assert (rolled(place), place.api.writes) == ([], [])
    assert gauges(place) == {"running": 0, 'waiting{for="slot"}': 0, 'waiting{for="edit"}': 6}
    assert kept(place, "ant-blue-model", "runtime.json")["maxRequestBytes"] > 7
    assert place.ready(DEPLOYMENTS, "ant-blue") == ("True", "Ready")
    place.machinery.slow.clear()
    place.api.user(deployment("ant-blue", of="ant", environmentVariables={"MODE": "fast"}))
    await place.settle()
    assert rolled(place) == ["ant-blue-model"]
    assert kept(place, "ant-blue-model", "runtime.json")["maxRequestBytes"] == 7
    place.api.user(endpoint("ant", tags={"a": "b"}))
    await place.settle()
    assert rolled(place) == ["ant-blue-model", "ant-router"]
    assert gauges(place)['waiting{for="edit"}'] == 4
    assert place.ready(ENDPOINTS, "ant") == ("True", "Ready")


async def test_what_is_held_follows_everything_else(place):
    place.terms = ON_EDIT
    await upgraded(place)
    place.machinery.slow.clear()
    bootstrap = place.api.find(CONFIGMAPS, "ant-router")["data"]["bootstrap.json"]
    files = place.api.find(CONFIGMAPS, "ant-router")
    place.api.user({**files, "data": {**files["data"], "bootstrap.json": "{}"}})  # as an older version made it
    place.api.user(deployment("ant-green", of="ant"))
    await place.settle()
    assert "green" in place.api.find(CONFIGMAPS, "ant-router")["data"]["cds.json"]
    assert place.api.find(CONFIGMAPS, "ant-router")["data"]["bootstrap.json"] == "{}" != bootstrap
    assert rolled(place) == ["ant-green-model"]
    place.api.remove(ENDPOINTS, "bee")
    await place.settle(horizon=400)
    assert place.api.find(WORKLOADS, "bee-blue-model")["spec"]["replicas"] == 0
    assert image(place, "bee-blue-model") == "wye-runtime:1"
    place.restart()
    place.api.calls.clear()
    await place.settle()
    assert place.api.writes == []


async def test_what_waits_is_ready_and_says_so(place, monkeypatch):
    """A default of the new operator makes another revision: what runs meanwhile is still what was asked."""
    monkeypatch.setattr(rendering, "MOST_REQUEST_BYTES", 7)
    await upgraded(place, images=NOWHERE.images, most=1)
    waiting = [name for name in NAMES if kept(place, f"{name}-blue-model", "runtime.json")["maxRequestBytes"] > 7]
    assert len(waiting) == 2
    assert {place.ready(DEPLOYMENTS, f"{name}-blue") for name in waiting} == {("True", "Ready")}
    assert all(("status", "mldeployments", f"{name}-blue") not in place.api.calls for name in waiting)


async def test_what_has_no_pods_is_upgraded_at_once(place):
    place.api.remove(ENDPOINTS, "ant")
    await place.settle(horizon=400)
    assert not [pod for pod in place.api.names(PODS) if pod.startswith("ant-blue")]
    await upgraded(place, most=1)
    while rolling(place):
        await finish(place, rolling(place)[0])
    assert image(place, "ant-blue-model") == "wye-runtime:2"
    assert Key("default", "ant") not in {key for key in place.passes.cluster.upgrades.slots.waiting.values()}


def forged(place, name):
    """A workload on which its namespace's owner wrote that its upgrade is under way; it has no pods and never will."""
    body = place.api.find(WORKLOADS, "ant-router")
    annotations = {**body["metadata"]["annotations"], "wye.dev/upgraded": "was-ready"}
    metadata = {**body["metadata"], "name": name, "namespace": "theirs", "uid": name, "annotations": annotations}
    place.store.put(WORKLOADS, {**body, "metadata": metadata, "status": {}})


async def test_an_annotation_that_somebody_wrote_is_no_slot(place):
    await upgraded(place, most=1)
    forged(place, "held")
    await place.settle()
    (name,) = rolling(place)
    await finish(place, name)
    assert len(rolled(place)) == 2


async def test_what_a_new_leader_takes_for_an_upgrade_holds_up_others_for_some_minutes_only(place):
    place.where, place.terms = replace(NOWHERE, images=NEW), Terms(most=2)
    place.restart()
    await place.list()
    for number in range(2):
        forged(place, f"held-{number}")
    await place.settle(horizon=1)
    assert rolled(place) == []
    await place.settle(horizon=PATIENCE + 1)
    assert len(rolling(place)) == 1
    while rolling(place):
        await finish(place, rolling(place)[0])
    assert len(rolled(place)) == 6
