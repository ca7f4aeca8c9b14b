"""Routes: what happens to a request, tried from the first to the last. docs/concepts/router.md lists them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from wye_operator.plan.shares import WHOLE
from wye_operator.plan.wanted import Pin, Routes, Sampling, Share
from wye_operator.render.auth import without_key
from wye_operator.render.callers import for_all_routes, sticking, without_rate
from wye_operator.render.inside import beside_draws, draws, unsampled
from wye_operator.render.resources import LONGEST_SECONDS, PIN, Json, extension, header, typed

ROUTES = "envoy.config.route.v3.RouteConfiguration"
NAME = "endpoint"  # of the route configuration and of its one virtual host
UNCOPIED = "uncopied"  # counts the requests that were too large, or of unnamed size, to be mirrored

GRACE_MS = 250  # the runtime answers 504 by itself at its time-out: let its own answer win
APART = 999_999  # has no factor in common with the denominators of other draws
SPARE_MS = 5000  # so much longer than any of them waits the way inside
RETRY_BYTES = 64 * 1024  # bodies up to this size can be sent once more; all connections together must fit into memory
BODILESS = "GET|HEAD|DELETE|OPTIONS"  # nothing to copy, and nothing that was left uncopied

NO_SUCH_DEPLOYMENT = f"no deployment has the name in {PIN}"
NO_LIVE_TRAFFIC = f"no deployment has live traffic here; name one in {PIN}, or set traffic"
NO_READY_POD = "no ready instance can answer; try again"


def route_configuration(routes: Routes) -> Json:
    """All routes. `validate_clusters`: routes that name a cluster this router does not have are rejected as a whole."""
    plain = [*_pins(routes.pins, routes.sampling), *_plain(routes)]
    listed = [*_health(), *(_drawn_of(plain, routes, routes.sampling) if routes.sampling else plain)]
    host = {"name": NAME, "domains": ["*"], "routes": listed, **for_all_routes(routes)}
    return typed(ROUTES, {"name": NAME, "validate_clusters": True, "virtual_hosts": [host]})


def _health() -> list[Json]:
    return [
        {
            "name": "health",
            "match": {"path": path, "headers": [_is("GET", of=":method")]},
            "direct_response": {"status": 200, "body": {"inline_string": "Healthy"}},
            "response_headers_to_add": [header("content-type", "text/plain")],
            "typed_per_filter_config": {**without_key(), **without_rate()},
        }
        for path in ("/", "/healthz")
    ]


def _drawn_of(plain: Sequence[Json], routes: Routes, sampling: Sampling) -> list[Json]:
    """What is drawn to be traced goes inside, whatever becomes of it there."""
    longest = max((routes.timeout_ms, *(pin.timeout_ms for pin in routes.pins)))
    return [*draws(sampling, longest + SPARE_MS), *plain]


def _pins(pins: Sequence[Pin], sampling: Sampling | None) -> list[Json]:
    named = [_pinned(pin, sampling) for pin in sorted(pins, key=lambda pin: pin.cluster)]
    anything = [{"name": PIN, "present_match": True}]
    return [*named, _refused("DeploymentNotFound", 404, NO_SUCH_DEPLOYMENT, anything)]


def _pinned(pin: Pin, sampling: Sampling | None) -> Json:
    named = {"name": PIN, "string_match": {"exact": pin.cluster, "ignore_case": True}}
    return {
        "name": f"pin-{pin.cluster}",
        "match": {"prefix": "/", "headers": [named]},
        "route": {"cluster": pin.cluster, **_patience(pin.timeout_ms, once=pin.once)},
        "request_body_buffer_limit": RETRY_BYTES,
        **(unsampled() if sampling and pin.once else {}),
    }


def _plain(routes: Routes) -> list[Json]:
    match routes.plain:
        case "NoLiveTraffic":
            return [_refused("NoLiveTraffic", 404, NO_LIVE_TRAFFIC)]
        case "NoReadyPod":
            return [_refused("NoReadyPod", 503, NO_READY_POD)]
        case "Split":
            return _mirrored(routes) if routes.mirrors else _split("split", routes)


def _mirrored(routes: Routes) -> list[Json]:
    """Only bodies of a known, small size are copied: a shadow that stops reading holds up the caller of a large one."""
    bodiless = {"name": ":method", "string_match": {"safe_regex": {"regex": BODILESS}}}
    # the end of the range is not part of it
    fits = {"name": "content-length", "range_match": {"start": 0, "end": routes.most_mirror_bytes + 1}}
    mirrors = [_mirror(m, routes.sampling) for m in _by_name(routes.mirrors)]
    # calls name no size: that a mirror's requests are few and short bounds what a shadow can do to their callers
    calls = [_for_calls(route) for route in _split("mirrored-calls", routes)]
    copied = [_with_mirrors(route, mirrors) for route in (*_split("mirrored", routes, [fits]), *calls)]
    left = [{**route, "stat_prefix": UNCOPIED} for route in _split(UNCOPIED, routes)]
    return [*_split("bodiless", routes, [bodiless]), *copied, *left]


def _for_calls(route: Json) -> Json:
    return {**route, "match": {**route["match"], "grpc": {}}}


def _with_mirrors(route: Json, mirrors: Sequence[Json]) -> Json:
    return {**route, "route": {**route["route"], "request_mirror_policies": mirrors}}


def _split(name: str, routes: Routes, headers: Sequence[Json] = ()) -> list[Json]:
    """By weight, or by who calls: one route, or two where the answer to who has no cookie yet sets one."""
    shares = [{"name": name, "weight": weight} for name, weight in _weights(routes) if weight]
    split = {
        "name": name,
        "match": {"prefix": "/", "headers": list(headers)},
        "route": {"weighted_clusters": {"clusters": shares}, **_patience(routes.timeout_ms, once=routes.once)},
        "request_body_buffer_limit": RETRY_BYTES,
        **(unsampled() if routes.sampling and routes.once else {}),
    }
    return sticking(split, routes.sticky)


def _weights(routes: Routes) -> list[tuple[str, int]]:
    """By name: stretches of one line. Where traces are drawn, too, its length is one that no other draw divides."""
    shares = _by_name(routes.shares)
    if routes.sampling is None or routes.sticky is not None:
        return [(share.cluster, share.weight) for share in shares]
    ends = [round(end * APART / WHOLE) for end in accumulate((share.weight for share in shares), initial=0)]
    return [(share.cluster, end - begin) for share, (begin, end) in zip(shares, pairwise(ends), strict=True)]


def _mirror(mirror: Share, sampling: Sampling | None) -> Json:
    # Envoy draws once for each request and takes that number modulo the sum of the weights (10,000) and modulo this
    # denominator: with 10,000 here too, a mirror of 50 % would copy exactly the requests of the first deployments.
    share = {"numerator": beside_draws(mirror.weight, sampling), "denominator": "MILLION"}
    return {
        "cluster": mirror.cluster,
        "runtime_fraction": {"default_value": share},
        "disable_shadow_host_suffix_append": True,
        "request_headers_mutations": [{"append": header("x-wye-mirrored", "true")}],
    }


def _patience(timeout_ms: int, *, once: bool) -> Json:
    """How long a request may take: silence ends it, not length, so that answers can be streamed."""
    return {
        "timeout": "0s",
        # a call's own deadline, which its grpc-timeout says; it would switch a `timeout` off
        "max_stream_duration": {"grpc_timeout_header_max": f"{LONGEST_SECONDS}s"},
        "idle_timeout": f"{(timeout_ms + GRACE_MS) / 1000:.3f}s",
        "retry_policy": {
            # `reset` covers an instance that closed a kept connection as the request went out; it may run twice, so
            # it is for our runtime alone: what another server does with a request, nobody here knows
            "retry_on": "connect-failure,refused-stream" + ("" if once else ",reset"),
            "num_retries": 3,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
            "retry_host_predicate": [
                extension(
                    "envoy.retry_host_predicates.previous_hosts",
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                )
            ],
            # with fewer, the dead and therefore idle instance is chosen again and again
            "host_selection_retry_max_attempts": 10,
        },
    }


def _refused(code: str, status: int, sentence: str, headers: Sequence[Json] = ()) -> Json:
    """An answer of the router's own: errors.py makes the error object of the route's name and this body."""
    return {
        "name": code,
        "match": {"prefix": "/", "headers": list(headers)},
        "direct_response": {"status": status, "body": {"inline_string": sentence}},
    }


def _is(value: str, *, of: str) -> Json:
    return {"name": of, "string_match": {"exact": value}}


def _by_name(shares: Sequence[Share]) -> list[Share]:
    return sorted(shares, key=lambda share: share.cluster)
