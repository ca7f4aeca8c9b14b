"""Traces: what a router's spans say, and how they reach the collector. Which requests have one: inside.py."""

from __future__ import annotations

from wye_operator.plan.wanted import Tracing
from wye_operator.plan.world import Address
from wye_operator.render.resources import Json, extension, socket

TRACER = "envoy.tracers.opentelemetry"
SAMPLERS = "envoy.extensions.tracers.opentelemetry.samplers.v3"
RESOURCES = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3"
COLLECTOR = "wye~traces"  # no deployment can have this name
PATH = "/v1/traces"
MOST_SPANS = 1000  # that wait for the collector; more are dropped, and counted
FLUSH = {"tracing.opentelemetry.min_flush_spans": 200, "tracing.opentelemetry.flush_interval_ms": 1000}
PATIENCE = "5s"  # for a collector that does not answer,
MOST_MESSAGES = 4  # and how many it may have at a time


def spans(of: Tracing) -> Json:
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
    "peer.address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",  # not the listener outside
    "wye.route": "%ROUTE_NAME%",
    "wye.deployment": "%UPSTREAM_CLUSTER_RAW%",
    "wye.attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
}


def _tracer(of: Tracing) -> Json:
    # what comes here was drawn; a caller that is followed says so, and of the others every one begins a trace
    always = extension(f"{TRACER}.samplers.always_on", f"{SAMPLERS}.AlwaysOnSamplerConfig")
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
            f"{TRACER}.samplers.parent_based", f"{SAMPLERS}.ParentBasedSamplerConfig", {"wrapped_sampler": always}
        ),
        "max_cache_size": MOST_SPANS,
    }


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
