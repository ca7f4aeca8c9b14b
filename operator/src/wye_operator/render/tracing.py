"""Traces: which requests a router samples, what its spans say, and how they reach the collector.

Envoy's own way to sample goes by the request's id, which callers choose; so do trace ids and the flag in
`traceparent`. Whoever wants may therefore be followed only as often as a number says that the router draws.
"""

from __future__ import annotations

from wye_operator.plan.wanted import Tracing
from wye_operator.plan.world import Address
from wye_operator.render.resources import Json, extension, header, socket

TRACER = "envoy.tracers.opentelemetry"
SAMPLERS = "envoy.extensions.tracers.opentelemetry.samplers.v3"
RESOURCES = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3"
COLLECTOR = "wye~traces"  # no deployment can have this name
PATH = "/v1/traces"
MOST_SPANS = 1000  # that wait for the collector; more are dropped, and counted
FLUSH = {"tracing.opentelemetry.min_flush_spans": 200, "tracing.opentelemetry.flush_interval_ms": 1000}
PATIENCE = "5s"  # for a collector that does not answer,
MOST_MESSAGES = 4  # and how many it may have at a time

DRAW, KEPT = "x-wye-draw", "x-wye-kept"  # no caller's: they are taken out of every request before
# A regular expression here has but a hundred steps, so the form is asked for in parts.
FORM = ("^00-[0-9a-f]{32}-", "-[0-9a-f]{16}-[0-9a-f]{2}$")
LENGTH = 55
NOBODY = "-0+-"
WHOLE = 10_000  # hundredths of a percent


def sampled(of: Tracing) -> Json:
    """The part of the connection manager."""
    return {
        "tracing": {
            "provider": {"name": TRACER, "typed_config": _tracer(of)},
            "operation": "route %ROUTE_NAME%",
            "max_path_tag_length": 0,
            "custom_tags": [{"tag": tag, "value": value} for tag, value in sorted(SAID.items())],
        }
    }


# What a span says: nothing that a caller wrote but the path, without its query string.
SAID = {
    "http.url": "%PATH(NQ)%",
    "user_agent": "-",
    "wye.route": "%ROUTE_NAME%",
    "wye.deployment": "%UPSTREAM_CLUSTER_RAW%",
    "wye.attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
}


def _tracer(of: Tracing) -> Json:
    share = {"numerator": of.share, "denominator": "TEN_THOUSAND"}
    ratio = extension(
        f"{TRACER}.samplers.trace_id_ratio_based",
        f"{SAMPLERS}.TraceIdRatioBasedSamplerConfig",
        {"sampling_percentage": share},
    )
    about = {"service.namespace": of.namespace, "wye.endpoint": of.endpoint}
    return {
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": f"{of.endpoint}-router",
        "http_service": {
            "http_uri": {"uri": f"http://{of.host}:{of.port}{PATH}", "cluster": COLLECTOR, "timeout": PATIENCE}
        },
        "resource_detectors": [
            extension(
                f"{TRACER}.resource_detectors.static_config",
                f"{RESOURCES}.StaticConfigResourceDetectorConfig",
                {"attributes": about},
            )
        ],
        "sampler": extension(
            f"{TRACER}.samplers.parent_based", f"{SAMPLERS}.ParentBasedSamplerConfig", {"wrapped_sampler": ratio}
        ),
        "max_cache_size": MOST_SPANS,
    }


def followed(of: Tracing) -> list[Json]:
    """What becomes of a caller's `traceparent` before the tracer sees it.

    One that is malformed, or sampled and not drawn, is as if none was sent: the request may begin a trace of its own.
    """
    given, state = (f"request.headers['{name}']" for name in ("traceparent", "tracestate"))
    parts = " && ".join(f"{given}.matches('{form}')" for form in FORM)
    well_formed = f"{parts} && size({given}) == {LENGTH} && !{given}.matches('{NOBODY}')"
    drawn = f"(!{given}.matches('[13579bdf]$') || request.headers['{DRAW}'] < '{_bound(of.callers)}')"
    stated = f"(!('tracestate' in request.headers) || {state}.matches('^[ -~]*$') && size({state}) <= 512)"
    kept = f"'traceparent' in request.headers && {well_formed} && {drawn} && {stated}"
    return [
        {"append": header(DRAW, "%UNIQUE_ID%")},
        {"append": header(KEPT, f"%CEL({kept} ? {given} : '')%")},
        {"remove": "traceparent"},
        {"append": header("traceparent", f"%REQ({KEPT})%")},
        {"remove": DRAW},
        {"remove": KEPT},
    ]


def _bound(share: int) -> str:
    """The ids that the router makes are random hexadecimals: so many of them are below it."""
    return "g" if share >= WHOLE else f"{share * 2**32 // WHOLE:08x}"


def collector(of: Tracing) -> Json:
    """The way to the collector, which no request and no start of a router waits for."""
    threshold = {"max_connections": MOST_MESSAGES, "max_requests": MOST_MESSAGES, "max_pending_requests": MOST_MESSAGES}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": socket(Address(of.host, of.port))}}]}]
    return {
        "name": COLLECTOR,
        "type": "STRICT_DNS",
        "wait_for_warm_on_init": False,
        "connect_timeout": "1s",
        "dns_lookup_family": "ALL",
        "circuit_breakers": {"thresholds": [threshold]},
        "load_assignment": {"cluster_name": COLLECTOR, "endpoints": endpoints},
    }
