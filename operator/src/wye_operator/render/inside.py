"""The way of a traced request: through a second listener, inside the router, whose connection manager has the tracer.

Envoy makes a span of every request where a connection manager traces, sampled or not. So the data port has no tracer,
and routes in front of all others send inside what is to be traced; others pay for the draw and nothing else.

    caller ──> data port: key, rate, ids ──┬─> the routes ──> a model            not traced
                                           └─> wye~traced ──> inside: a span, the same routes ──> a model
"""

from __future__ import annotations

from collections.abc import Sequence

from wye_operator.plan.shares import WHOLE
from wye_operator.plan.wanted import Sampling
from wye_operator.render.resources import (
    EARLY_MUTATION,
    MOST_HEADERS,
    MOST_HEADERS_KB,
    MUTATION,
    Json,
    extension,
    header,
    typed,
)
from wye_operator.render.traceparent import FOLLOWED, NOT_UNSAMPLED, PARENT, PARENTS_STATE

LISTENER, CLUSTER = "traced", "wye~traced"  # no deployment can have this name
MARK = "x-wye-traced"  # in what was sent inside, for the data port's access log; no caller's, and not the model's
BY_MATCHER = "envoy.extensions.router.cluster_specifiers.matcher.v3"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
PIPE_BYTES = 8 * 1024
STREAMS, STREAM_BYTES = 100, 64 * 1024  # of HTTP/2, on one connection
# Envoy closes a connection of which more than half of 500 streams were reset at once, and others' would be on it.
REQUESTS = 400
MOST = 2**31  # of whatever callers may have at a time: that is bounded before and behind

# What the data port leaves to the listener inside, and what only such requests have there; filters' names.
SETTING = "envoy.config.route.v3.FilterConfig"
IDS, IDS_OF_TRACED, BARE = "callers-ids", "ids-of-traced", "bare"
NOT_FOR_TRACED = ("azure-statuses", "error-headers", "answer-headers", "envoy.filters.http.body_size_limit", IDS)
FOR_TRACED = (IDS_OF_TRACED, BARE)
OUTSIDE = "wye.outside"  # of a connection of the data port; a router of before had none, and so never goes inside

NOT_SAMPLED = "%START_TIME(00-0000000000000%s%9f-0000001%9f-00)%"  # as unlike others as needs be


def draws(of: Sampling, idle_ms: int) -> list[Json]:
    """The routes to the listener inside, before all but those of health.

    Envoy draws once for each request, so what is drawn anew of what callers sampled is the stretch beside the followed.
    """
    listed = [
        (of.callers, FOLLOWED, ()),
        (of.either, FOLLOWED, (PARENT, PARENTS_STATE)),
        (of.share, NOT_UNSAMPLED, (PARENT, PARENTS_STATE)),
    ]
    return [_inside(share, headers, removed, idle_ms) for share, headers, removed in listed if share]


def beside_draws(weight: int, of: Sampling | None) -> int:
    """Which numbers below a million make a mirror copy its share of what is drawn to be traced, and of what is not.

    What is drawn has the lowest of each 10,000, and another number inside. So a mirror of whole percents copies one of
    those and of these alike; the rest of its share is one stretch that begins with some that are not there.
    """
    share = of.share if of else 0
    whole, rest = divmod(weight * 100, WHOLE)
    inside = share / WHOLE
    if rest <= inside * share:
        return whole * WHOLE + (round(rest / inside) if rest else 0)
    return whole * WHOLE + round((rest + share) / (1 + inside))


def unsampled() -> Json:
    """Of a route to another server, which may sample by itself where nobody tells it that nobody does."""
    said = {"header": {"key": PARENT, "value": NOT_SAMPLED}, "append_action": "ADD_IF_ABSENT"}
    return {"request_headers_to_add": [said]}


def _inside(share: int, headers: Sequence[Json], removed: Sequence[str], idle_ms: int) -> Json:
    fraction = {"default_value": {"numerator": share, "denominator": "TEN_THOUSAND"}}
    outside = [{"key": OUTSIDE, "string_match": {"exact": "true"}}]
    return {
        "name": LISTENER,
        "match": {"prefix": "/", "runtime_fraction": fraction, "headers": list(headers), "filter_state": outside},
        "route": {
            "inline_cluster_specifier_plugin": {"extension": _unchecked()},
            # inside it is decided how long a request may take; here, how long its caller may leave an answer unread.
            # With a bound of its own for streams a route would write it into calls' grpc-timeout.
            "timeout": "0s",
            "idle_timeout": f"{idle_ms / 1000:.3f}s",
        },
        "request_headers_to_add": [header(MARK, "true")],
        "request_headers_to_remove": list(removed),
        "typed_per_filter_config": {
            **{name: typed(SETTING, {"disabled": True}) for name in NOT_FOR_TRACED},
            **{name: typed(SETTING, {"config": {}}) for name in FOR_TRACED},
        },
    }


def _unchecked() -> Json:
    """The way inside by a matcher: a cluster that the route itself names is looked for, and a router of before, which
    does not have it, would refuse all routes.
    """
    action = extension(CLUSTER, f"{BY_MATCHER}.ClusterAction", {"cluster": CLUSTER})
    always = {"cluster_matcher": {"on_no_match": {"action": action}}}
    return extension("envoy.router.cluster_specifier_plugin.matcher", f"{BY_MATCHER}.MatcherClusterSpecifier", always)


def outside() -> Json:
    """The filter that marks connections of callers."""
    text = {"text_format_source": {"inline_string": "true"}}
    state = {"object_key": OUTSIDE, "factory_key": "envoy.string", "format_string": text, "read_only": True}
    message = "envoy.extensions.filters.network.set_filter_state.v3.Config"
    return extension("outside", message, {"on_new_connection": [state]})


def bare() -> Json:
    """What is Envoy's own in an answer from inside; routes that send there switch it on."""
    mutations = {"response_mutations": [{"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}}]}
    return {**extension(BARE, MUTATION, {"mutations": mutations}), "disabled": True}


def arrived() -> Json:
    """What happens to a request first, inside."""
    return extension("arrived", EARLY_MUTATION, {"mutations": [{"remove": MARK}]})


def cluster() -> Json:
    """The way inside: as the caller speaks, and over HTTP/2 on few connections: each costs as much as many streams."""
    streams = {
        "max_concurrent_streams": STREAMS,
        # as much as all of them may send: one whose answer nobody reads holds up none of the others
        "initial_stream_window_size": STREAM_BYTES,
        "initial_connection_window_size": STREAMS * STREAM_BYTES,
    }
    without = {name: MOST for name in ("max_connections", "max_pending_requests", "max_requests", "max_retries")}
    common = {
        "idle_timeout": "1s",
        "max_headers_count": 2 * MOST_HEADERS,
        "max_response_headers_kb": 2 * MOST_HEADERS_KB,
        "max_requests_per_connection": REQUESTS,
    }
    options = {
        "common_http_protocol_options": common,
        "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": streams},
    }
    address = {"envoy_internal_address": {"server_listener_name": LISTENER}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": CLUSTER,
        "alt_stat_name": "wye.traced",  # which no figure is kept of: it is not a deployment
        "type": "STATIC",
        "connect_timeout": "1s",
        "per_connection_buffer_limit_bytes": PIPE_BYTES,
        "circuit_breakers": {"thresholds": [without]},
        "typed_extension_protocol_options": {HTTP_OPTIONS: typed(HTTP_OPTIONS, options)},
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": endpoints},
    }


def switched_on() -> Json:
    """Of the bootstrap: without it there are no listeners inside. A connection holds no more than another."""
    message = "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
    return {"bootstrap_extensions": [extension("inside", message, {"buffer_size_kb": PIPE_BYTES // 1024})]}
