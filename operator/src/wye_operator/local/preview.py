"""`wye plan`: what would run for a folder, worked out by the same planner without starting anything.

Passes are played in memory: instances become ready at once and routers take everything, until nothing changes. What
only a running model can tell (its tensors) is taken as agreeing. The clock stands still, but for what expires, so the
output is the same each time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wye_operator import settings
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.api.status import Condition, Reason
from wye_operator.local.folder import content_of
from wye_operator.local.lookup import NO_CLUSTER, deployments_of, endpoint_of, names_of, secret_of, spec_here, tls_of
from wye_operator.local.manifests import Manifests, Placed
from wye_operator.local.models import Content
from wye_operator.local.ports import LOOPBACK
from wye_operator.local.servers import obstacle_of
from wye_operator.local.state import label
from wye_operator.plan.issuers import sources_of
from wye_operator.plan.masking import HIDDEN
from wye_operator.plan.planner import plan
from wye_operator.plan.record import Record
from wye_operator.plan.wanted import Auth, Plan, RouterPlan, Workload
from wye_operator.plan.world import (
    THIS_CLUSTER,
    Address,
    DeploymentSeen,
    EndpointSeen,
    InstanceSeen,
    Keys,
    KeySet,
    Obstacle,
    RouterSeen,
    Signature,
    Taken,
    WorkloadSeen,
    World,
)
from wye_operator.render.process import runtime_argv, runtime_config, runtime_environment, server_environment

NOON = 1_000_000_000.0
MOST_PASSES = 50
SERVING, INNER = Address(LOOPBACK, 8080), Address(LOOPBACK, 8081)


def preview(manifests: Manifests, port: int) -> list[dict[str, Any]]:
    """One part for each Endpoint's name, sorted."""
    return [
        _part(_settled(_world(manifests, namespace, name, port + place)), manifests)
        for place, (namespace, name) in enumerate(names_of(manifests))
    ]


def _world(manifests: Manifests, namespace: str, name: str, port: int) -> World:
    endpoint = endpoint_of(manifests, namespace, name)
    secret = secret_of(manifests, endpoint)
    tls = tls_of(manifests, endpoint, settings.now())
    url = f"{'https' if endpoint and endpoint.spec.tls else 'http'}://{LOOPBACK}:{port}"
    return World(
        name=name,
        namespace=namespace,
        endpoint=EndpointSeen(name, namespace, 1, spec_here(secret, endpoint.spec), url=url) if endpoint else None,
        deployments=tuple(_deployment(manifests, p) for p in deployments_of(manifests, namespace, name)),
        workloads={},
        routers=(),
        record=Record(),
        keys=secret.keys if secret else None,
        keys_problem=secret.problem if secret else "",
        fresh_keys=Keys(HIDDEN, HIDDEN),
        now=NOON,
        tls=tls,
        most_routers=1,
        key_sets=_key_sets(endpoint),
    )


def _key_sets(endpoint: Endpoint | None) -> Mapping[str, KeySet]:
    """As if every issuer had answered."""
    sources = sources_of(endpoint.spec) if endpoint else ()
    return {source: NO_CLUSTER if source == THIS_CLUSTER else KeySet(HIDDEN) for source in sources}


def _deployment(manifests: Manifests, placed: Placed[Deployment]) -> DeploymentSeen:
    content, metadata = content_of(manifests, placed), placed.value.metadata
    return DeploymentSeen(
        object_name=metadata.name,
        namespace=metadata.namespace,
        generation=1,
        created=NOON,
        spec=placed.value.spec,
        content=content.digest,
        content_problem=content.problem,
        obstacles=_obstacles(placed),
        content_reason=content.reason,
    )


def _obstacles(placed: Placed[Deployment]) -> tuple[Obstacle, ...]:
    environment = placed.value.spec.environment
    why = obstacle_of(environment, placed.file.parent) if environment else ""
    return (Obstacle(Reason.ENVIRONMENT_UNSUPPORTED, why),) if why else ()


def _settled(world: World) -> tuple[World, Plan]:
    for _ in range(MOST_PASSES):
        wanted = plan(world)
        following = _after(world, wanted)
        if following == world:
            break
        world = following
    return world, wanted


def _after(world: World, wanted: Plan) -> World:
    """The world once everything was done that this plan wants."""
    return replace(
        world,
        endpoint=world.endpoint and replace(world.endpoint, status=wanted.endpoint_status),
        deployments=tuple(replace(d, status=wanted.deployment_statuses[d.object_name]) for d in world.deployments),
        workloads={w.deployment: _running(w) for w in wanted.workloads},
        routers=(_router(wanted.router),) if wanted.router else (),
        record=wanted.record,
        keys=wanted.keys or world.keys,
    )


def _running(workload: Workload) -> WorkloadSeen:
    model: Mapping[str, Any] = workload.settings["model"]
    signature = Signature(model["name"], model["version"], workload.content, 0, (), ())
    names = [f"{workload.deployment}-{number + 1}" for number in range(workload.instances)]
    return WorkloadSeen(
        tuple(InstanceSeen(n, SERVING, ready=True, signature=signature, revision=workload.revision) for n in names)
    )


def _router(wanted: RouterPlan) -> RouterSeen:
    endpoints = {hosts.cluster: hosts.version for hosts in wanted.hosts}
    shown = wanted.tls.version if wanted.tls else ""
    taken = Taken(wanted.clusters_version, wanted.routes.version, wanted.auth.version, endpoints, certificate=shown)
    return RouterSeen("router", ready=True, taken=taken)


def _part(settled: tuple[World, Plan], manifests: Manifests) -> dict[str, Any]:
    world, wanted = settled
    status = wanted.endpoint_status
    return {
        "endpoint": label(world.namespace, world.name),
        **({"url": status.scoring_uri, "conditions": _conditions(status.conditions)} if status else {"gone": True}),
        **({"routing": _routing(wanted.router)} if wanted.router else {}),
        "processes": [_process(w, world, manifests) for w in wanted.workloads],
        "deployments": [
            {"name": name, "conditions": _conditions(of.conditions)}
            for name, of in sorted(wanted.deployment_statuses.items())
        ],
        "events": [f"{event.name}: {event.message}" for event in wanted.events],
    }


def _conditions(conditions: list[Condition]) -> dict[str, str]:
    return {c.type: f"{c.status} {c.reason}" + (f": {c.message}" if c.message else "") for c in conditions}


def _routing(router: RouterPlan) -> dict[str, Any]:
    routes = router.routes
    return {
        "plain": str(routes.plain),
        "traffic": {share.cluster: share.weight / 100 for share in routes.shares},
        "mirrorTraffic": {share.cluster.removesuffix("~mirror"): share.weight / 100 for share in routes.mirrors},
        "pins": [pin.cluster for pin in routes.pins],
        "timeoutMs": routes.timeout_ms,
        "maxRequestBytes": router.listener.most_request_bytes,
        "maxMirrorBytes": routes.most_mirror_bytes,
        "accessLog": router.listener.access_log,
        **({"tls": "a certificate" if router.tls.certificate else "no certificate"} if router.tls else {}),
        "keys": _auth(router.auth),
    }


def _auth(auth: Auth) -> str:
    if auth.issuers:
        return f"tokens of {', '.join(issuer.issuer for issuer in auth.issuers)}"
    return "open" if auth.open else f"primaryKey {HIDDEN} secondaryKey {HIDDEN}"


def _process(workload: Workload, world: World, manifests: Manifests) -> dict[str, Any]:
    found = _found(workload, world, manifests)
    model, code = str(found.path or ""), str(found.code or "")
    about = {"deployment": label(workload.namespace, workload.deployment), "instances": workload.instances}
    if workload.server is not None:
        known = server_environment(workload, workload.server, model, {})
        return {
            **about,
            "argv": [*workload.server.command, *workload.server.args],
            "environment": known | dict.fromkeys(workload.environment, HIDDEN),
        }
    return {
        **about,
        "argv": list(runtime_argv(("wye-runtime",), "CONFIG", SERVING, INNER)),
        "environment": runtime_environment(workload) | dict.fromkeys(workload.environment, HIDDEN),
        "config": json.loads(runtime_config(workload, model, code)),
    }


def _found(workload: Workload, world: World, manifests: Manifests) -> Content:
    """Beside the manifests: the twin loads its own copy of it."""
    listed = {p.value.metadata.name: p for p in deployments_of(manifests, world.namespace, world.name)}
    return content_of(manifests, listed[workload.deployment])
