"""What an edit restarts: pod templates before and after it. Also what is written at all, and that nothing drifts."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest

from make import FRESH, PLACE, deployment, endpoint_spec, settle, world
from wye_operator.plan.names import APPLIED, CONFIG, ORIGIN, REVISION
from wye_operator.plan.wanted import Plan
from wye_operator.plan.world import CLUSTER_SOURCES, World
from wye_operator.render.kubernetes import ClusterPlace, Images, keys_object, objects_for, status_body

MODEL = {"uri": "https://models/fraud.onnx"}
ROUTE = {"path": "/", "port": 8000}
OTHER_SERVER = {
    "image": "example/triton:1",
    "inferenceConfig": {"livenessRoute": ROUTE, "readinessRoute": ROUTE, "scoringRoute": ROUTE},
}
Edit = tuple[dict[str, Any], dict[str, Any]]  # (Endpoint spec, Deployment spec)


def seen(endpoint: dict[str, Any], blue: dict[str, Any]) -> World:
    found = deployment("blue", **{"model": MODEL, **blue})
    return dataclasses.replace(world(found, spec=endpoint), sources=CLUSTER_SOURCES)


def made(endpoint: dict[str, Any] | None = None, blue: dict[str, Any] | None = None) -> Plan:
    return settle(seen(endpoint or {}, blue or {}))[1]


def by_name(plan: Plan, place: ClusterPlace = PLACE) -> dict[str, dict[str, Any]]:
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in objects_for(plan, place)}


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Names of the objects that would be written."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def restarted(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """`router` and `model`, where the template of their pods changes."""
    pods = {"router": "Deployment/fraud-router", "model": "Deployment/fraud-blue-model"}
    return {c for c, name in pods.items() if before[name]["spec"]["template"] != after[name]["spec"]["template"]}


NOTHING: set[str] = set()
ROUTER, MODELS, BOTH = {"router"}, {"model"}, {"router", "model"}
ENDPOINT_EDITS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("description", {"description": "x"}, NOTHING),
    ("tags", {"tags": {"a": "b"}}, NOTHING),
    ("authMode", {"authMode": "None"}, NOTHING),
    ("token", {"authMode": "Token", "token": {"serviceAccounts": {"audiences": ["fraud"]}}}, NOTHING),
    ("sticky", {"sticky": {"header": "x-customer"}}, NOTHING),
    ("cors", {"cors": {"allowOrigins": ["*"]}}, NOTHING),
    ("errorStatuses", {"errorStatuses": "Azure"}, ROUTER),
    ("tls", {"tls": {"secretName": "cert"}}, ROUTER),
    ("expose", {"expose": {"ingress": {"host": "fraud.example.com"}}}, NOTHING),
    ("limits.requestsPerSecond", {"limits": {"requestsPerSecond": 5}}, NOTHING),
    ("traffic", {"traffic": {"blue": 0}}, NOTHING),
    ("mirrorTraffic", {"traffic": {"blue": 0}, "mirrorTraffic": {"blue": 10}}, NOTHING),
    ("failover", {"failover": "Fail"}, NOTHING),
    ("limits.maxMirrorBytes", {"limits": {"maxMirrorBytes": "2Mi"}}, NOTHING),
    ("limits.maxRequestBytes", {"limits": {"maxRequestBytes": "2Mi"}}, ROUTER),
    ("router.accessLog", {"router": {"accessLog": False}}, ROUTER),
    ("tracing", {"tracing": {"endpoint": "http://collector:4318"}}, BOTH),
    ("router.resources", {"router": {"resources": {"limits": {"memory": "1Gi"}}}}, ROUTER),
    ("router.pod", {"router": {"pod": {"nodeSelector": {"a": "b"}}}}, ROUTER),
    ("router.service", {"router": {"service": {"port": 8080}}}, NOTHING),
    ("contract", {"contract": {"inputs": [{"name": "a"}], "outputs": [{"name": "p"}]}}, MODELS),
]
DEPLOYMENT_EDITS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("description", {"description": "x"}, NOTHING),
    ("tags", {"tags": {"a": "b"}}, NOTHING),
    ("instanceCount", {"instanceCount": 2}, NOTHING),
    ("strategy", {"strategy": {"maxSurge": 2}}, NOTHING),
    ("model.uri", {"model": {"uri": "https://models/other.onnx"}}, MODELS),
    ("model.uri of another source", {"model": {"uri": "pvc://models/fraud.onnx"}}, MODELS),
    ("model.sha256", {"model": {**MODEL, "sha256": "0" * 64}}, MODELS),
    ("model.version", {"model": {**MODEL, "version": 2}}, MODELS),
    ("model.secretName", {"model": {**MODEL, "secretName": "token"}}, MODELS),
    ("engine", {"engine": {"threads": 2}}, MODELS),
    ("batching", {"batching": {"mode": "Never"}}, MODELS),
    ("requestSettings", {"requestSettings": {"requestTimeoutMs": 10_000}}, MODELS),
    ("requestSettings, beyond the routers' patience", {"requestSettings": {"requestTimeoutMs": 10_001}}, BOTH),
    ("contract", {"contract": {"inputs": [{"name": "a"}], "outputs": [{"name": "p"}]}}, MODELS),
    ("warmup", {"warmup": {"requests": 1}}, MODELS),
    ("environmentVariables", {"environmentVariables": {"A": "b"}}, MODELS),
    ("environmentFrom", {"environmentFrom": [{"secretRef": {"name": "a"}}]}, MODELS),
    ("resources", {"resources": {"limits": {"memory": "2Gi"}}}, MODELS),
    ("livenessProbe", {"livenessProbe": {"period": 20}}, MODELS),
    ("readinessProbe", {"readinessProbe": {"period": 2}}, MODELS),
    ("startupProbe", {"startupProbe": {"period": 2}}, MODELS),
    ("pod", {"pod": {"nodeSelector": {"a": "b"}}}, MODELS),
    ("environment", {"environment": OTHER_SERVER}, MODELS),
    ("codeConfiguration", {"codeConfiguration": {"code": "configmap://code", "scoringScript": "score.py"}}, MODELS),
]


@pytest.mark.parametrize(("field", "spec", "expected"), ENDPOINT_EDITS, ids=[e[0] for e in ENDPOINT_EDITS])
def test_what_an_edit_of_the_endpoint_restarts(field: str, spec: dict[str, Any], expected: set[str]) -> None:
    assert restarted(by_name(made()), by_name(made(spec))) == expected


@pytest.mark.parametrize(("field", "spec", "expected"), DEPLOYMENT_EDITS, ids=[e[0] for e in DEPLOYMENT_EDITS])
def test_what_an_edit_of_the_deployment_restarts(field: str, spec: dict[str, Any], expected: set[str]) -> None:
    assert restarted(by_name(made()), by_name(made(blue=spec))) == expected


def graces(timeout_ms: int) -> tuple[int, int]:
    """(the grace of the router's pods, how long its preStop takes at most)."""
    router = by_name(made(blue={"requestSettings": {"requestTimeoutMs": timeout_ms}}))["Deployment/fraud-router"]
    spec = router["spec"]["template"]["spec"]
    script = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2]
    return spec["terminationGracePeriodSeconds"], int(re.search(r"SECONDS < (\d+)", script)[1])


@pytest.mark.parametrize(
    ("timeout_ms", "grace", "most"),
    [(5_000, 30, 20), (10_000, 30, 20), (10_001, 320, 310), (300_000, 320, 310)],
)
def test_a_router_ends_in_half_a_minute_unless_somebody_allows_longer_requests(
    timeout_ms: int, grace: int, most: int
) -> None:
    assert graces(timeout_ms) == (grace, most)


def test_the_longest_time_out_of_any_deployment_counts() -> None:
    slow = deployment("green", model=MODEL, requestSettings={"requestTimeoutMs": 60_000})
    both = dataclasses.replace(seen({}, {}), deployments=(*seen({}, {}).deployments, slow))
    patient, ordinary = (by_name(plan)["Deployment/fraud-router"] for plan in (settle(both)[1], made()))
    assert patient["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 320
    assert patient["metadata"]["annotations"][ORIGIN] != ordinary["metadata"]["annotations"][ORIGIN], "an edit"


def test_a_replica_of_the_router_more_changes_how_they_are_spread() -> None:
    two, three = ({"router": {"replicas": count}} for count in (2, 3))
    assert restarted(by_name(made(two)), by_name(made(three))) == NOTHING


def test_every_field_is_in_the_table() -> None:
    from wye_operator.api.deployment import DeploymentSpec
    from wye_operator.api.endpoint import EndpointSpec, Limits, Router

    edited = {re.split(r"[., ]", name)[0] for name, *_ in DEPLOYMENT_EDITS}
    fields = {field.alias for field in DeploymentSpec.model_fields.values()}
    assert fields - edited == {"endpointName", "name"}  # cannot change
    edited = {name for name, *_ in ENDPOINT_EDITS}
    fields = {field.alias for field in EndpointSpec.model_fields.values()} - {"limits", "router"}
    assert fields - edited == {"keys"}  # live, as all keys are
    assert {f"limits.{f.alias}" for f in Limits.model_fields.values()} <= edited
    assert {f"router.{f.alias}" for f in Router.model_fields.values()} - edited == {"router.replicas"}


def test_bytes_in_a_configmap_restart_the_model() -> None:
    before = seen({}, {"model": {"uri": "configmap://models/blue.onnx"}})
    blue = dataclasses.replace(before.deployments[0], content="other")
    after = dataclasses.replace(before, deployments=(blue,))
    assert restarted(by_name(settle(before)[1]), by_name(settle(after)[1])) == MODELS


def test_an_address_changes_one_object_alone() -> None:
    plan = made()
    assert plan.router
    [hosts] = plan.router.hosts
    gone = dataclasses.replace(plan.router, hosts=(dataclasses.replace(hosts, instances=()),))
    after = dataclasses.replace(plan, router=gone)
    assert changed(by_name(plan), by_name(after)) == {"ConfigMap/fraud-router"}


def test_keys_restart_nothing_and_stand_in_a_secret_alone() -> None:
    before = seen({}, {})
    after = dataclasses.replace(before, keys=FRESH)
    old, new = by_name(settle(before)[1]), by_name(settle(after)[1])
    assert changed(old, new) == {
        "Secret/fraud-router",
        "ConfigMap/fraud-router",
    }  # and which are in force
    assert FRESH.primary not in json.dumps(new["ConfigMap/fraud-router"])


def test_a_new_image_restarts_and_is_no_new_revision() -> None:
    newer = dataclasses.replace(PLACE, images=Images("runtime:2", "runtime-gpu:2", "router:2"))
    before, after = by_name(made()), by_name(made(), newer)
    assert restarted(before, after) == BOTH
    for name in ("Deployment/fraud-router", "Deployment/fraud-blue-model"):
        old, new = before[name], after[name]
        assert old["metadata"]["annotations"][APPLIED] != new["metadata"]["annotations"][APPLIED]
        assert (
            old["metadata"]["annotations"]["wye.dev/rendered-from"]
            == new["metadata"]["annotations"]["wye.dev/rendered-from"]
        )
        assert old["spec"]["template"]["metadata"]["annotations"] == new["spec"]["template"]["metadata"]["annotations"]


def test_the_same_plan_is_the_same_bytes_and_a_pass_later_too() -> None:
    world_, plan = settle(seen({"router": {"replicas": 2}}, {"instanceCount": 2}))
    later = settle(dataclasses.replace(world_, now=world_.now + 3600))[1]
    assert json.dumps(objects_for(plan, PLACE)) == json.dumps(objects_for(later, PLACE))


def test_a_pod_says_its_revision_and_its_config() -> None:
    plan = made()
    template = by_name(plan)["Deployment/fraud-blue-model"]["spec"]["template"]
    assert template["metadata"]["annotations"][REVISION] == plan.workloads[0].revision
    assert len(template["metadata"]["annotations"][CONFIG]) == 12


def test_what_is_held_is_left_out() -> None:
    blue = deployment("blue", model={"uri": "file://fraud.onnx"})
    plan = settle(dataclasses.replace(world(blue), sources=CLUSTER_SOURCES))[1]
    assert plan.held == ("fraud-blue",)
    assert {name for name in by_name(plan) if "blue" in name} == set()


def test_without_keys_what_is_in_force_stays() -> None:
    before = seen({"keys": {"secretName": "mine"}}, {})
    plan = settle(dataclasses.replace(before, keys=None, keys_problem="no Secret mine"))[1]
    nobody = by_name(plan)["Secret/fraud-router"]["data"]
    kept = by_name(plan, dataclasses.replace(PLACE, auth_in_force={"auth.json": "b2xk"}))["Secret/fraud-router"]["data"]
    assert (set(nobody), kept) == ({"auth.json"}, {"auth.json": "b2xk"})


def test_the_keys_are_an_object_of_their_own() -> None:
    found = keys_object(made(), PLACE)
    assert found
    assert found["metadata"]["name"] == "fraud-keys"
    assert set(found["data"]) == {"primaryKey", "secondaryKey"}
    assert keys_object(made({"authMode": "None"}), PLACE) is None


def test_a_status_is_written_with_the_selector_of_its_pods() -> None:
    plan = made()
    body = status_body("default", "fraud-blue", plan.deployment_statuses["fraud-blue"], "runtime:1")
    assert body["status"]["selector"] == "wye.dev/component=model,wye.dev/owner=fraud-blue"
    assert body["status"]["image"] == "runtime:1"
    assert body["metadata"] == {"name": "fraud-blue", "namespace": "default"}
    assert plan.endpoint_status
    assert status_body("default", "fraud", plan.endpoint_status)["kind"] == "Endpoint"


def test_the_largest_endpoint_fits_one_configmap() -> None:
    """20 Deployments with 100 pods each, all of them mirrors too: below a mebibyte."""
    from wye_operator.plan.record import Cluster
    from wye_operator.plan.wanted import Hosts, Pin, Share
    from wye_operator.plan.world import Address

    plan = made()
    assert plan.router
    names = [f"d{'x' * 36}{n:02}" for n in range(20)]
    clusters = [Cluster(n, f"{'n' * 63}/{n}") for n in names] + [Cluster(f"{n}~mirror", n, mirror=True) for n in names]
    router = dataclasses.replace(
        plan.router,
        clusters=tuple(clusters),
        hosts=tuple(Hosts(n, tuple(Address(f"10.100.{i}.200", 8080) for i in range(100)), None) for n in names),
        routes=dataclasses.replace(
            plan.router.routes,
            shares=tuple(Share(n, 500) for n in names),
            pins=tuple(Pin(n, 300_000) for n in names),
        ),
    )
    [files] = [
        found
        for found in objects_for(dataclasses.replace(plan, router=router), PLACE)
        if (found["kind"], found["metadata"]["name"]) == ("ConfigMap", "fraud-router")
    ]
    assert sum(len(name) + len(text) for name, text in files["data"].items()) < 2**20


def test_specs_of_the_tables_are_valid() -> None:
    for _, spec, _ in ENDPOINT_EDITS:
        endpoint_spec(**spec)
