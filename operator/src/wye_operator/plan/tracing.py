"""Which requests are traced, and what the spans say of who sends them."""

from __future__ import annotations

from typing import Any

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.plan.wanted import Sampling, Tracing
from wye_operator.plan.world import DeploymentSeen, World


def tracing_of(world: World, spec: EndpointSpec) -> Tracing | None:
    """Of the routers' bootstrap; None where the Endpoint asks for no traces."""
    asked = spec.tracing
    sampling = sampling_of(spec)
    if asked is None or sampling is None or world.endpoint is None:
        return None
    host, _, port = asked.endpoint.removeprefix("http://").rpartition(":")
    return Tracing(
        host=host,
        port=int(port),
        most=sampling.either,
        endpoint=world.endpoint.name,
        namespace=world.endpoint.namespace,
    )


def sampling_of(spec: EndpointSpec) -> Sampling | None:
    """Of the routers' routes."""
    asked = spec.tracing
    if asked is None:
        return None
    callers = asked.sampling_percent if asked.caller_sampling_percent is None else asked.caller_sampling_percent
    return Sampling(share=round(asked.sampling_percent * 100), callers=round(callers * 100))


def runtime_tracing(world: World, seen: DeploymentSeen) -> dict[str, Any] | None:
    """Of the runtime (docs/concepts/wire.md); which requests are sampled is the routers' to decide."""
    asked = world.endpoint.spec.tracing if world.endpoint else None
    if asked is None or seen.spec.environment is not None:
        return None
    resource = {
        "service.name": seen.object_name,
        "service.namespace": seen.namespace,
        "wye.endpoint": seen.spec.endpoint_name,
        "wye.deployment": seen.name,
    }
    return {"endpoint": asked.endpoint, "resource": resource}
