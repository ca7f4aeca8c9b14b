"""What should run for each Deployment, and what is left exactly as it is because something is missing."""

from __future__ import annotations

from typing import Any

from wye_operator.api.endpoint import MOST_REQUEST_BYTES
from wye_operator.plan.contracts import settings_of
from wye_operator.plan.members import Member, Members
from wye_operator.plan.wanted import Workload
from wye_operator.plan.world import World


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
    return bool(member.misfit or member.seen.content_problem)


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
        uri=spec.model.uri,
        content=member.seen.content,
        settings=_settings(member),
        environment=dict(sorted((spec.environment_variables or {}).items())),
        grace_seconds=settings.request_timeout_ms / 1000 + 5,
    )


def _settings(member: Member) -> dict[str, Any]:
    spec = member.seen.spec
    return {
        "deployment": f"{member.seen.namespace}/{member.seen.object_name}",
        "model": {
            "name": spec.model.name or spec.endpoint_name,
            "version": str(spec.model.version),
            "sha256": spec.model.sha256,
            "uri": spec.model.uri,
        },
        "engine": spec.engine.model_dump(by_alias=True),
        "requestSettings": spec.request_settings.model_dump(by_alias=True),
        # the router is the limit (Endpoint.limits.maxRequestBytes, live); this only bounds an instance's memory
        "maxRequestBytes": MOST_REQUEST_BYTES,
        "warmup": spec.warmup.model_dump(by_alias=True),
        "contract": settings_of(member.contract),
    }
