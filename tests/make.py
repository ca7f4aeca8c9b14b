"""Worlds for tests, in the words of the tables: deployments, who is ready, what routers took.

`settle` plays the world around the planner: routers take what is written, instances start and become ready.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from wye_operator.api.deployment import DeploymentSpec
from wye_operator.api.endpoint import EndpointSpec
from wye_operator.plan.planner import plan
from wye_operator.plan.record import Record
from wye_operator.plan.wanted import Plan, RouterPlan
from wye_operator.plan.world import (
    Address,
    DeploymentSeen,
    EndpointSeen,
    Failure,
    InForce,
    InstanceSeen,
    Keys,
    RouterSeen,
    Signature,
    Taken,
    TensorSeen,
    WorkloadSeen,
    World,
)
from wye_operator.render.kubernetes import ClusterPlace, Images

PLACE = ClusterPlace(
    name="fraud",
    namespace="default",
    endpoint_uid="e",
    deployment_uids={"fraud-blue": "b", "fraud-green": "g"},
    images=Images("runtime:1", "runtime-gpu:1", "router:1"),
    operator_namespace="wye-system",
)
KEYS = Keys("primary-key", "secondary-key")
FRESH = Keys("fresh-primary", "fresh-secondary")
NOW = 1_000_000.0


def endpoint_spec(**spec: Any) -> EndpointSpec:
    """The spec as a manifest writes it."""
    return EndpointSpec.model_validate_json(json.dumps(spec))


def deployment_spec(**spec: Any) -> DeploymentSpec:
    """The spec as a manifest writes it; endpointName and model have defaults."""
    base = {"endpointName": "fraud", "model": {"uri": "file://model.onnx"}}
    return DeploymentSpec.model_validate_json(json.dumps(base | spec))


def endpoint(*, generation: int = 1, **spec: Any) -> EndpointSeen:
    """The Endpoint `fraud`."""
    return EndpointSeen("fraud", "default", generation, endpoint_spec(**spec), url="http://fraud")


def deployment(name: str, *, created: float = 0, generation: int = 1, **spec: Any) -> DeploymentSeen:
    """The Deployment `fraud-NAME`, called NAME (or `called`) at the Endpoint."""
    called = {"name": spec.pop("called", name)}
    return DeploymentSeen(
        f"fraud-{name}", "default", generation, created, deployment_spec(**called | spec), content="0"
    )


def signature(
    inputs: dict[str, tuple[str, list[int]]] | None = None, *, sha256: str = "a" * 64, name: str = "fraud"
) -> Signature:
    """A model with the given input tensors and one output `y`."""
    tensors = inputs or {"x": ("FP32", [-1, 7])}
    return Signature(
        name,
        "1",
        sha256,
        1000,
        tuple(TensorSeen(n, datatype, tuple(shape)) for n, (datatype, shape) in tensors.items()),
        (TensorSeen("y", "FP32", (-1, 1)),),
    )


def instances(name: str, ready: int, of: int | None = None, *, read: Signature | None = None) -> WorkloadSeen:
    """`ready` of `of` instances of NAME answer, each with its own port."""
    base = 10_000 + 100 * (sum(name.encode()) % 100)
    return WorkloadSeen(
        tuple(
            InstanceSeen(
                f"fraud-{name}-{i}",
                Address("127.0.0.1", base + i),
                i < ready,
                (read or signature()) if i < ready else None,
            )
            for i in range(ready if of is None else of)
        )
    )


def world(
    *deployments: DeploymentSeen,
    spec: dict[str, Any] | None = None,
    ready: dict[str, int] | None = None,
    record: Record | None = None,
    **more: Any,
) -> World:
    """A world where the Endpoint has `spec` and `ready` says how many instances of whom answer (default: one each).

    No router runs yet; `settle` starts one.
    """
    counts = {d.name: 1 for d in deployments} if ready is None else ready
    return dataclasses.replace(
        World(
            name="fraud",
            namespace="default",
            endpoint=endpoint(**(spec or {})),
            deployments=deployments,
            workloads={d.object_name: instances(d.name, counts.get(d.name, 0)) for d in deployments},
            routers=(),
            record=record or Record(),
            keys=KEYS,
            keys_problem="",
            fresh_keys=FRESH,
            now=NOW,
        ),
        **more,
    )


def edited(seen: World, **spec: Any) -> World:
    """The world after somebody wrote another Endpoint spec."""
    assert seen.endpoint
    changed = dataclasses.replace(seen.endpoint, spec=endpoint_spec(**spec), generation=seen.endpoint.generation + 1)
    return dataclasses.replace(seen, endpoint=changed)


def without(seen: World, name: str) -> World:
    """The world after the Deployment was deleted, its instances with it."""
    gone = f"fraud-{name}"
    return dataclasses.replace(
        seen,
        deployments=tuple(d for d in seen.deployments if d.object_name != gone),
        workloads={n: w for n, w in seen.workloads.items() if n != gone},
    )


def ending(seen: World, name: str) -> World:
    """The world after the Deployment was deleted and its instances were told to end, which they do later."""
    gone = f"fraud-{name}"
    before = seen.workloads.get(gone, WorkloadSeen())
    left = WorkloadSeen(leaving=(*before.leaving, *before.addresses))
    return dataclasses.replace(without(seen, name), workloads={**seen.workloads, gone: left})


def with_ready(seen: World, **counts: int) -> World:
    """The world after so many instances of each name answer."""
    changed = {f"fraud-{name}": instances(name, count) for name, count in counts.items()}
    return dataclasses.replace(seen, workloads={**seen.workloads, **changed})


def with_failure(seen: World, name: str, failure: Failure) -> World:
    """The world after an instance of NAME ended by itself."""
    workload = dataclasses.replace(seen.workloads[f"fraud-{name}"], failure=failure)
    return dataclasses.replace(seen, workloads={**seen.workloads, f"fraud-{name}": workload})


def taken_of(router: RouterPlan) -> Taken:
    """What a router says when it took everything."""
    return Taken(
        router.clusters_version,
        router.routes.version,
        router.auth.version,
        {hosts.cluster: hosts.version for hosts in router.hosts},
        certificate=router.tls.version if router.tls else "",
    )


def after(seen: World, made: Plan, *, seconds: float = 0.0) -> World:
    """The world that reads back what the plan recorded and reported, with nothing else changed."""
    statuses = made.deployment_statuses
    ends = seen.endpoint and dataclasses.replace(seen.endpoint, status=made.endpoint_status)
    return dataclasses.replace(
        seen,
        endpoint=ends,
        deployments=tuple(dataclasses.replace(d, status=statuses[d.object_name]) for d in seen.deployments),
        record=made.record,
        now=seen.now + seconds,
        tls=dataclasses.replace(seen.tls, in_force=_in_force(seen, made)),
    )


def _in_force(seen: World, made: Plan) -> InForce:
    if made.router is None:
        return seen.tls.in_force
    if made.router.tls is None:
        return "plain"
    has_one = made.router.tls.certificate is not None or seen.tls.in_force == "certificate"
    return "certificate" if has_one else "placeholder"


def acknowledged(seen: World, made: Plan, *names: str) -> World:
    """The world after the named routers (default: all; one is started where none runs) took the plan."""
    assert made.router
    taken = taken_of(made.router)
    routers = seen.routers or (RouterSeen("router-0", ready=True),)
    return dataclasses.replace(
        seen,
        routers=tuple(
            dataclasses.replace(r, ready=True, taken=taken) if not names or r.name in names else r for r in routers
        ),
    )


def settle(seen: World, passes: int = 12) -> tuple[World, Plan]:
    """Pass after pass, routers taking everything at once, until nothing changes any more. Fails when it never does."""
    for _ in range(passes):
        made = plan(seen)
        following = after(seen, made)
        if made.router:
            following = acknowledged(following, made)
        if following == seen:
            return seen, made
        seen = following
    raise AssertionError("the plan does not settle")


def shares(made: Plan) -> dict[str, float]:
    """The live split that routers get, in percent."""
    assert made.router
    return {s.cluster: s.weight / 100 for s in made.router.routes.shares}


def mirrors(made: Plan) -> dict[str, float]:
    """The mirrors that routers get, in percent."""
    assert made.router
    return {s.cluster.removesuffix("~mirror"): s.weight / 100 for s in made.router.routes.mirrors}


def condition(made: Plan, kind: str, of: str | None = None) -> tuple[str, str]:
    """(status, reason) of a condition of the Endpoint, or of the Deployment called `of`."""
    status = made.deployment_statuses[f"fraud-{of}"] if of else made.endpoint_status
    assert status
    found = next(c for c in status.conditions if c.type == kind)
    return found.status, found.reason.value


def message(made: Plan, of: str | None = None) -> str:
    """The sentence of the condition Ready."""
    status = made.deployment_statuses[f"fraud-{of}"] if of else made.endpoint_status
    assert status
    return next(c.message for c in status.conditions if c.type == "Ready")
