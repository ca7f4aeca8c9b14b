"""What leads to an Endpoint from outside the cluster, and the URL that this makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.api.pod import plain
from wye_operator.api.reach import HttpRoute
from wye_operator.api.status import Reason
from wye_operator.plan.conditions import Problem
from wye_operator.plan.world import World


def exposure_for(world: World, spec: EndpointSpec) -> Mapping[str, Any]:
    """What the Endpoint says of it, as far as the cluster can have it."""
    return {} if _lacks_gateway_api(world, spec) else plain(spec.expose) or {}


def exposure_problems(world: World, spec: EndpointSpec) -> Iterator[Problem]:
    """An HTTPRoute where nobody knows what that is."""
    if _lacks_gateway_api(world, spec):
        yield Problem(
            Reason.GATEWAY_API_MISSING,
            "spec.expose.httpRoute asks for an HTTPRoute, and this cluster does not have the Gateway API "
            "(gateway.networking.k8s.io/v1): install it, or use expose.ingress; callers inside the cluster are served",
        )


def exposed_url(spec: EndpointSpec, *, has_gateway_api: bool) -> str:
    """Where callers outside the cluster reach it, "" where nothing leads there."""
    if spec.expose is None:
        return ""
    ingress, route = spec.expose.ingress, spec.expose.http_route
    if ingress is not None:
        return f"{'https' if ingress.tls_secret_name else 'http'}://{ingress.host}"
    return f"{_scheme(route)}://{route.hostnames[0]}" if route and has_gateway_api else ""


def _scheme(route: HttpRoute) -> str:
    """The Gateway ends TLS, and its listeners are not ours to read: a name or port that says HTTPS is believed."""
    secure = any(ref.port == 443 or (ref.section_name or "").startswith("https") for ref in route.parent_refs)
    return "https" if secure else "http"


def _lacks_gateway_api(world: World, spec: EndpointSpec) -> bool:
    asks = spec.expose is not None and spec.expose.http_route is not None
    return asks and world.has_gateway_api is False
