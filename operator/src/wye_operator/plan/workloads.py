"""What should run for each Deployment, and what is left exactly as it is because something is missing."""

from __future__ import annotations

from typing import Any

from wye_operator.api.deployment import Batching, DeploymentSpec
from wye_operator.api.endpoint import MOST_REQUEST_BYTES
from wye_operator.api.engine import Engine
from wye_operator.api.environment import Environment
from wye_operator.api.pod import plain
from wye_operator.plan.contracts import settings_of
from wye_operator.plan.members import Member, Members
from wye_operator.plan.names import digest
from wye_operator.plan.wanted import OwnServer, PodSettings, Route, Workload
from wye_operator.plan.world import DeploymentSeen, World

WHY = {
    "file": "it is a path on one machine, for wye local",
    "pvc": "it needs a cluster with that claim",
}


def workloads_for(world: World, members: Members) -> tuple[tuple[Workload, ...], tuple[str, ...]]:
    """(what should run, the names of what is left as it is).

    Nothing is stopped because something is missing: not the Endpoint (until its grace is over), not the model's
    source, not a contract that fits.
    """
    wanted: list[Workload] = []
    held: list[str] = []
    for member in members.by_name.values():
        if _is_held(world, member):
            held.append(member.seen.object_name)
        else:
            wanted.append(workload_of(member, 0 if world.endpoint is None else None))
    return (
        tuple(sorted(wanted, key=lambda w: w.deployment)),
        tuple(sorted(held)),
    )


def _is_held(world: World, member: Member) -> bool:
    if world.endpoint is None:
        return bool(member.workload.instances) and grace_left(world, member) > 0
    return bool(member.misfit or member.seen.content_problem or unsupported(world, member.seen))


def unsupported(world: World, seen: DeploymentSeen) -> str:
    """Which source this place cannot read and why, "" when it can read all."""
    have = ", ".join(f"{source}://" for source in world.sources)
    for field, uri in seen.spec.places.items():
        scheme = uri.partition("://")[0]
        if scheme not in world.sources:
            return f"spec.{field}: {scheme}:// cannot be read here: {WHY[scheme]}; this place reads {have}"
    return ""


def grace_left(world: World, member: Member) -> float:
    """Seconds until the workloads of a gone Endpoint are scaled to zero."""
    status = member.seen.status
    waiting = status.waiting if status else None
    began = waiting.since if waiting and waiting.reason == "EndpointNotFound" else world.now
    return began + world.deadlines.endpoint_grace - world.now


def workload_of(member: Member, instances: int | None = None) -> Workload:
    """The workload of one Deployment; `instances` overrides its own count."""
    spec = member.seen.spec
    settings = spec.request_settings
    return Workload(
        deployment=member.seen.object_name,
        namespace=member.seen.namespace,
        instances=spec.instance_count if instances is None else instances,
        uri=spec.uri,
        code=spec.code_configuration.code if spec.code_configuration else "",
        content=member.seen.content,
        settings=_settings(member) if spec.environment is None else _identity(member),
        environment=dict(sorted((spec.environment_variables or {}).items())),
        grace_seconds=settings.request_timeout_ms / 1000 + 5,
        endpoint=spec.endpoint_name,
        name=member.seen.name,
        pods=_pods(member),
        strategy=spec.strategy.model_dump(by_alias=True),
        server=server_of(spec.environment) if spec.environment else None,
        origin=f"{member.seen.generation}.{digest(_of_others(member))}",
    )


def _of_others(member: Member) -> list[object]:
    """What is said elsewhere than in the Deployment, and starts its instances anew."""
    return [settings_of(member.contract), member.seen.content, *([member.tracing] if member.tracing else [])]


def server_of(environment: Environment) -> OwnServer:
    """The server that a manifest describes."""
    config = environment.inference_config
    return OwnServer(
        image=environment.image,
        command=tuple(environment.command or ()),
        args=tuple(environment.args or ()),
        liveness=Route(config.liveness_route.path, config.liveness_route.port),
        readiness=Route(config.readiness_route.path, config.readiness_route.port),
        scoring=Route(config.scoring_route.path, config.scoring_route.port),
        protocol=config.scoring_route.protocol,
        mount=environment.model_mount_path,
        shared_memory=environment.shared_memory,
    )


def _pods(member: Member) -> PodSettings:
    spec = member.seen.spec
    probes = {"liveness": spec.liveness_probe, "readiness": spec.readiness_probe, "startup": spec.startup_probe}
    return PodSettings(
        resources=plain(spec.resources),
        pod=plain(spec.pod) or {},
        probes={name: found for name, probe in probes.items() if (found := plain(probe))},
        environment_from=tuple(found for entry in spec.environment_from or () if (found := plain(entry))),
        fetch_secret=(spec.model and spec.model.secret_name) or "",
        code_secret=(spec.code_configuration and spec.code_configuration.secret_name) or "",
    )


def _engine(engine: Engine) -> dict[str, Any]:
    """Without options that nobody gave: to write them down would replace every pod."""
    said = engine.model_dump(by_alias=True)
    return {name: value for name, value in said.items() if value or name not in ("providerOptions", "sessionOptions")}


def _identity(member: Member) -> dict[str, Any]:
    """Who it is, and what its model is called."""
    spec = member.seen.spec
    model = spec.model
    return {
        "deployment": f"{member.seen.namespace}/{member.seen.object_name}",
        "model": {
            "name": (model and model.name) or spec.endpoint_name,
            "version": str(model.version) if model else "1",
            "sha256": model and model.sha256,
            "uri": spec.uri,
        },
    }


def _settings(member: Member) -> dict[str, Any]:
    spec = member.seen.spec
    if spec.code_configuration is not None:
        script = {"script": {"file": spec.code_configuration.scoring_script}}
        return {**_identity(member), **_limits(spec), **script, **_tracing(member)}
    return {
        **_identity(member),
        **_limits(spec),
        "engine": _engine(spec.engine),
        # the runtime's own default is left out: to write it down would replace every pod
        **({"batching": spec.batching.model_dump(by_alias=True)} if spec.batching != Batching() else {}),
        "warmup": spec.warmup.model_dump(by_alias=True),
        "contract": settings_of(member.contract),
        **_tracing(member),
    }


def _tracing(member: Member) -> dict[str, Any]:
    """Nothing where there are no traces."""
    return {"tracing": member.tracing} if member.tracing else {}


def _limits(spec: DeploymentSpec) -> dict[str, Any]:
    return {
        "requestSettings": spec.request_settings.model_dump(by_alias=True),
        # the router is the limit (Endpoint.limits.maxRequestBytes, live); this only bounds an instance's memory
        "maxRequestBytes": MOST_REQUEST_BYTES,
    }
