"""A golden case: `in.yaml` is all the input, and what a plan and its Envoy files are as YAML a person can read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

import make
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.api.status import Reason
from wye_operator.plan.planner import plan
from wye_operator.plan.record import Record, from_json, to_json
from wye_operator.plan.wanted import Plan
from wye_operator.plan.world import (
    CLUSTER_SOURCES,
    LOCAL_SOURCES,
    Address,
    Certificate,
    DeploymentSeen,
    EndpointSeen,
    Failure,
    InstanceSeen,
    Keys,
    Obstacle,
    RouterSeen,
    Signature,
    Taken,
    TensorSeen,
    TlsSeen,
    WorkloadSeen,
    World,
)
from wye_operator.render import envoy, kubernetes, process
from wye_operator.render.kubernetes.place import ROUTER_PLACE

LONGEST = 200  # characters of a text that a golden file shows; the rest stands in files of its own


def _read(text: str) -> dict[str, Any]:
    """By libyaml, as _yaml writes: there are hundreds of files."""
    case: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return case


def in_cluster(text: str) -> tuple[World, Plan]:
    """The same case in a cluster; where it is not written for one, models that are files here stand on a claim."""
    moved = text if _read(text).get("cluster") else text.replace("file://", "pvc://models/")
    return result_of(moved, CLUSTER_SOURCES)


def place_of(world: World, text: str) -> kubernetes.ClusterPlace:
    """A cluster with everything that a chart can be told."""
    return kubernetes.ClusterPlace(
        name=world.name,
        namespace=world.namespace,
        endpoint_uid="uid-of-fraud",
        deployment_uids={d.object_name: f"uid-of-{d.object_name}" for d in world.deployments},
        images=kubernetes.Images("wye/runtime:1", "wye/runtime-gpu:1", "wye/router:1"),
        operator_namespace="wye-system",
        image_volumes=_read(text).get("imageVolumes", False),
    )


def world_of(text: str, sources: tuple[str, ...] = LOCAL_SOURCES) -> World:
    """The world that an `in.yaml` describes."""
    case = _read(text)
    parsed = [_object(manifest) for manifest in case["objects"]]
    ends = [o for o in parsed if isinstance(o, Endpoint)]
    seen = case.get("seen", {})
    return World(
        name="fraud",
        namespace="default",
        endpoint=_endpoint(ends[0], seen) if ends else None,
        deployments=tuple(_deployment(o, seen) for o in parsed if isinstance(o, Deployment)),
        workloads=_workloads(case),
        routers=tuple(_router(router) for router in case.get("routers", [])),
        record=from_json(case["record"]) if case.get("record") else Record(),
        keys=Keys(**case["keys"]) if case.get("keys") else None,
        keys_problem=case.get("keysProblem", ""),
        fresh_keys=Keys("fresh-primary", "fresh-secondary"),
        now=case["now"],
        sources=sources,
        tls=_tls(case.get("tls", {})),
        has_gateway_api=case.get("hasGatewayApi"),
    )


def result_of(text: str, sources: tuple[str, ...] = ()) -> tuple[World, Plan]:
    """One pass, or with `settle: true` passes until nothing changes, routers taking everything at once."""
    here = CLUSTER_SOURCES if _read(text).get("cluster") else LOCAL_SOURCES
    world = world_of(text, sources or here)
    return make.settle(world) if _read(text).get("settle") else (world, plan(world))


def _object(manifest: dict[str, Any]) -> Endpoint | Deployment:
    kind = Endpoint if manifest["kind"] == "Endpoint" else Deployment
    return kind.model_validate_json(json.dumps({"apiVersion": "wye.dev/v1alpha1", **manifest}))


def _endpoint(read: Endpoint, seen: dict[str, Any]) -> EndpointSeen:
    more = seen.get(read.metadata.name, {})
    return EndpointSeen(read.metadata.name, "default", more.get("generation", 1), read.spec, url="http://fraud")


def _tls(data: dict[str, Any]) -> TlsSeen:
    """`certificate: UNTIL`, or the reason and message of what is wrong with it, and what is in force."""
    certificate = Certificate("CHAIN", "KEY", data["certificate"]) if "certificate" in data else None
    obstacle = Obstacle(Reason(data["reason"]), data["message"]) if "reason" in data else None
    return TlsSeen(certificate, obstacle, data.get("inForce", "nothing"))


def _deployment(read: Deployment, seen: dict[str, Any]) -> DeploymentSeen:
    more = seen.get(read.metadata.name, {})
    return DeploymentSeen(
        read.metadata.name,
        "default",
        more.get("generation", 1),
        more.get("created", 0.0),
        read.spec,
        content=more.get("content", "0"),
        content_problem=more.get("contentProblem", ""),
    )


def _workloads(case: dict[str, Any]) -> dict[str, WorkloadSeen]:
    failures = case.get("failures", {})
    return {
        name: WorkloadSeen(
            tuple(_instance(f"{name}-{i}", item, case) for i, item in enumerate(items)),
            Failure(**failures[name]) if name in failures else None,
            _address(case["fallbacks"][name]) if name in case.get("fallbacks", {}) else None,
        )
        for name, items in case.get("instances", {}).items()
    }


def _instance(name: str, item: dict[str, Any], case: dict[str, Any]) -> InstanceSeen:
    signature = _signature(case["signatures"][item["signature"]]) if item.get("signature") else None
    return InstanceSeen(name, _address(item["address"]), item["ready"], signature, item.get("unread", ""))


def _address(text: str) -> Address:
    """`HOST:PORT`, or `HOST:PORT/CHECK` where readiness is asked at another port."""
    host, _, ports = text.rpartition(":")
    port, _, check = ports.partition("/")
    return Address(host, int(port), int(check or 0))


def _signature(data: dict[str, Any]) -> Signature:
    inputs, outputs = (
        tuple(TensorSeen(t["name"], t["datatype"], tuple(t["shape"])) for t in data[side])
        for side in ("inputs", "outputs")
    )
    return Signature(data["name"], "1", data["sha256"], data["sizeBytes"], inputs, outputs)


def _router(data: dict[str, Any]) -> RouterSeen:
    return RouterSeen(data["name"], data["ready"], Taken(**data.get("taken", {})), data.get("rejected", ""))


def objects(text: str) -> str:
    """Every object that a cluster gets for the case, as YAML; long texts by their digest."""
    world, made = in_cluster(text)
    listed = kubernetes.objects_for(made, place_of(world, text))
    return "---\n".join(_yaml(_shortened(found)) for found in listed)


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{len(value)} characters, {hashlib.sha256(value.encode()).hexdigest()[:12]}"
    return value


def written(text: str) -> dict[str, str]:
    """Every output of a case by file name, as YAML."""
    made = result_of(text)[1]
    return {**_files(made), "kubernetes.yaml": objects(text)}


def _files(made: Plan) -> dict[str, str]:
    files = {"plan.yaml": _plan(made), "processes.yaml": [_process(w) for w in made.workloads]}
    if made.router:
        for name, data in (
            ("bootstrap.json", envoy.bootstrap(made.router, ROUTER_PLACE)),
            *envoy.route_files(made.router, ROUTER_PLACE).items(),
            *envoy.auth_files(made.router).items(),
        ):
            files["envoy/" + name.replace(".json", ".yaml")] = json.loads(data)
    return {name: _yaml(data) for name, data in files.items()}


def _plan(made: Plan) -> dict[str, Any]:
    status = made.endpoint_status
    return {
        "endpoint": status and json.loads(status.model_dump_json(by_alias=True, exclude_none=True)),
        "deployments": {
            name: json.loads(s.model_dump_json(by_alias=True, exclude_none=True))
            for name, s in made.deployment_statuses.items()
        },
        "events": [dataclasses.asdict(event) for event in made.events],
        "held": list(made.held),
        "record": to_json(made.record),
        "version": made.router and made.router.version,
        "lookAgain": made.look_again,
    }


def _process(workload) -> dict[str, Any]:
    if workload.server is not None:
        return {
            "deployment": workload.deployment,
            "instances": workload.instances,
            "graceSeconds": workload.grace_seconds,
            "argv": [*workload.server.command, *workload.server.args],
            "env": process.server_environment(workload, workload.server, workload.uri and "/model/model.onnx", {}),
        }
    argv = process.runtime_argv(
        ("wye-runtime",), "/etc/wye/runtime.json", Address("0.0.0.0", 8080), Address("0.0.0.0", 8081)
    )
    return {
        "deployment": workload.deployment,
        "instances": workload.instances,
        "graceSeconds": workload.grace_seconds,
        "argv": list(argv),
        "env": process.runtime_environment(workload),
        "config": json.loads(process.runtime_config(workload, "/model/model.onnx")),
    }


def _yaml(data: Any) -> str:
    return yaml.dump(
        data, Dumper=yaml.CSafeDumper, sort_keys=True, width=160, default_flow_style=None, allow_unicode=True
    )


def folders() -> list[Path]:
    """All golden cases."""
    return sorted(path.parent for path in Path(__file__).parent.glob("*/in.yaml"))
