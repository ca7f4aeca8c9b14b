"""Other servers than our runtime in the plan: what they agree with, what nobody knows of them, and edits."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import make
from make import deployment, settle, world
from wye_operator.plan.names import digest
from wye_operator.plan.planner import plan
from wye_operator.plan.record import Cluster, Published, Record, from_json, to_json
from wye_operator.plan.workloads import workload_of
from wye_operator.plan.world import Address, InstanceSeen, WorkloadSeen, World

BLUE = deployment("blue")


def environment(path: str = "/score", port: int = 8000, **scoring: Any) -> dict[str, Any]:
    asked = {"path": "/ready", "port": 8000}
    routes = {"livenessRoute": asked, "readinessRoute": asked, "scoringRoute": {"path": path, "port": port, **scoring}}
    return {"image": "triton:1", "inferenceConfig": routes}


def own(name: str = "green", **spec: Any):
    return deployment(name, **{"environment": environment(), "model": None} | spec)


def unsigned(of: World, *names: str) -> World:
    """Nothing is read of these servers, as gather leaves it."""
    bare = {
        f"fraud-{name}": dataclasses.replace(
            of.workloads[f"fraud-{name}"],
            instances=tuple(dataclasses.replace(i, signature=None) for i in of.workloads[f"fraud-{name}"].instances),
        )
        for name in names
    }
    return dataclasses.replace(of, workloads={**of.workloads, **bare})


CONTRACT = {"inputs": [{"name": "a"}], "outputs": [{"name": "p", "tensor": "y"}]}
HALVES = {"blue": 50, "green": 50}


@pytest.mark.parametrize(
    ("spec", "model", "expected"),
    [
        pytest.param({}, None, "Ready", id="with a model of ours"),
        pytest.param({"contract": CONTRACT}, None, "Ready", id="with the Endpoint's contract"),
        pytest.param({}, {"uri": "file://m", "name": "fraud"}, "Ready", id="under the same name"),
        pytest.param({}, {"uri": "file://m", "name": "card"}, "SignatureMismatch", id="not under another name"),
    ],
)
def test_another_server_agrees(spec, model, expected) -> None:
    seen = unsigned(world(BLUE, own(model=model), spec={"traffic": {"blue": 100}, **spec}), "green")
    seen, _ = settle(seen)
    endpoint = make.endpoint(traffic=HALVES, generation=2, **spec)
    _, made = settle(dataclasses.replace(seen, endpoint=dataclasses.replace(endpoint, status=seen.endpoint.status)))
    assert make.condition(made, "Ready", "green") == ("True" if expected == "Ready" else "False", expected)


def test_one_that_has_all_traffic_promises_nothing() -> None:
    seen, made = settle(unsigned(world(BLUE, own(), spec={"traffic": {"green": 100}}), "green"))
    assert make.condition(made, "Ready", "blue") == ("True", "Ready")
    assert made.router.routes.once


def test_what_began_is_sent_again_only_where_our_runtime_alone_answers() -> None:
    _, made = settle(unsigned(world(BLUE, own(), spec={"traffic": {"blue": 100}}), "green"))
    assert [(pin.cluster, pin.once) for pin in made.router.routes.pins] == [("blue", False), ("green", True)]
    assert not made.router.routes.once


def test_a_digest_and_tensors_are_unknown_and_those_of_before_forgotten() -> None:
    seen, made = settle(world(deployment("green"), spec={}))
    assert made.deployment_statuses["fraud-green"].model.sha256
    edited = own(model={"uri": "file://models"}, generation=2)
    edited = dataclasses.replace(edited, status=made.deployment_statuses["fraud-green"])
    model = plan(dataclasses.replace(seen, deployments=(edited,))).deployment_statuses["fraud-green"].model
    assert (model.uri, model.sha256, model.size_bytes, model.inputs) == ("file://models", None, None, [])


def running(of, *, port: int) -> WorkloadSeen:
    """One instance of a Deployment as it is now."""
    seen = world(of)
    revision = workload_of(dataclasses.replace(plan_members(seen), contract=None)).revision
    return WorkloadSeen((InstanceSeen("green-1", Address("127.0.0.1", port), ready=True, revision=revision),))


def plan_members(seen: World):
    from wye_operator.plan.members import members_of

    return members_of(seen).by_name["green"]


def test_routers_speak_as_the_ready_instances_want_it_while_an_edit_replaces_them() -> None:
    before, after = own(), own(environment=environment("/v1/predict", protocol="h2c", port=8001), generation=2)
    seen = dataclasses.replace(world(before), workloads={"fraud-green": running(before, port=1)})
    seen, made = settle(seen)
    [was] = made.router.clusters
    assert (was.protocol, was.readiness, was.scoring) == ("http1", "/ready", "")
    edited = dataclasses.replace(seen, deployments=(after,))
    assert plan(edited).router.clusters == (was,)
    left = WorkloadSeen(leaving=(Address("127.0.0.1", 1),))
    assert plan(dataclasses.replace(edited, workloads={"fraud-green": left})).router.clusters == (was,)
    both = (*seen.workloads["fraud-green"].instances, *running(after, port=2).instances)
    [now] = plan(dataclasses.replace(edited, workloads={"fraud-green": WorkloadSeen(both)})).router.clusters
    assert (now.protocol, now.readiness, now.scoring) == ("h2c", "/ready", "/v1/predict")


def test_a_spec_that_is_not_understood_leaves_how_routers_speak() -> None:
    seen, made = settle(unsigned(world(own()), "green"))
    wrong = dataclasses.replace(deployment("green", generation=2), misfit="spec.environment is wrong")
    assert plan(dataclasses.replace(seen, deployments=(wrong,))).router.clusters == made.router.clusters


def test_the_record_reads_back_its_routes_and_says_nothing_of_others() -> None:
    cluster = Cluster("own", "default/own", readiness="/ready", scoring="/v1/predict")
    kept = Record(clusters=(Published("v", (cluster,), 1.0),))
    assert from_json(to_json(kept)) == kept
    assert digest(Address("h", 1)) == digest({"host": "h", "port": 1})
    assert digest(Address("h", 1, 2)) != digest(Address("h", 1))
