"""What the routes say of callers: who stays with whom, which pages may call, and how many requests are taken."""

from __future__ import annotations

from typing import TypedDict

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.plan.wanted import Cors, Rate, Sticky
from wye_operator.plan.world import World


class Callers(TypedDict):
    """The part of the routes that speaks of callers."""

    sticky: Sticky | None
    cors: Cors | None
    rate: Rate | None


def callers_of(world: World, spec: EndpointSpec, *, secure: bool) -> Callers:
    """All three; None where the Endpoint says nothing."""
    return {"sticky": _sticky(spec, secure=secure), "cors": _cors(spec), "rate": _rate(world, spec)}


def _sticky(spec: EndpointSpec, *, secure: bool) -> Sticky | None:
    if spec.sticky is None:
        return None
    return Sticky(spec.sticky.header or "", spec.sticky.cookie or "", secure and bool(spec.sticky.cookie))


def _cors(spec: EndpointSpec) -> Cors | None:
    given = spec.cors
    if given is None:
        return None
    return Cors(tuple(given.allow_origins), tuple(given.allow_headers or ()), given.max_age_seconds)


def _rate(world: World, spec: EndpointSpec) -> Rate | None:
    """Routers do not count together: of `n` of them each takes the `n`th part, so many in every `n` seconds."""
    requests = spec.limits.requests_per_second
    if requests is None:
        return None
    return Rate(requests, min(spec.router.replicas, world.most_routers or spec.router.replicas))
