"""Clusters: one for each deployment, with its addresses by file, and a bounded twin for each mirror."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from wye_operator.api.environment import GRPC_HEALTH
from wye_operator.plan.record import UNAVAILABLE, Cluster
from wye_operator.plan.wanted import Hosts
from wye_operator.plan.world import Address
from wye_operator.render.memory import MOST_REQUESTS
from wye_operator.render.resources import (
    BUFFER_BYTES,
    HTTP2_WINDOWS,
    Json,
    extension,
    header,
    socket,
    typed,
    watched,
)

CLUSTER = "envoy.config.cluster.v3.Cluster"
ASSIGNMENT = "envoy.config.endpoint.v3.ClusterLoadAssignment"
CODEC = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
LUA = "envoy.extensions.filters.http.lua.v3.Lua"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

LABEL = "wye"  # where an instance's metadata says which deployment it belongs to
ADMIN = "wye~admin"  # no deployment can have this name
MIRROR_REQUESTS = 16  # how many callers a shadow that never reads can hold,
MIRROR_SECONDS = 3  # and for how long
REWRITE = """
function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path")
  if path == "/score" or path:sub(1, 7) == "/score?" then
    headers:replace("x-envoy-original-path", path)
    headers:replace(":path", "PATH" .. path:sub(7))
  end
end
"""


def cluster(of: Cluster, folder: str, most_requests: int = MOST_REQUESTS) -> Json:
    """One deployment, or the bounded way to a shadow. Settings and their reasons: docs/concepts/router.md."""
    limit = MIRROR_REQUESTS if of.mirror else most_requests
    return typed(
        CLUSTER,
        {
            "name": of.name,
            "type": "EDS",
            # a mirror has a name of its own, so that its figures stay apart, and its deployment's addresses
            "eds_cluster_config": {
                "eds_config": watched(folder, hosts_file(of.hosts)),
                "service_name": of.hosts,
            },
            # what a request pays for a node that is gone, before it is sent again; a router that makes a thousand
            # connections at once needs some of it itself (docs/decisions/0018)
            "connect_timeout": "1s",
            "lb_policy": "LEAST_REQUEST",
            "per_connection_buffer_limit_bytes": BUFFER_BYTES,
            # else a removed instance keeps traffic until its health check fails
            "ignore_health_on_host_removal": True,
            "common_lb_config": {
                "healthy_panic_threshold": {"value": 0},
                "update_merge_window": "0s",  # else a new instance waits 1 s for its first request
                # else an instance that was not checked yet counts as dead, and traffic spills to the fallback
                "ignore_new_hosts_until_first_hc": True,
            },
            "circuit_breakers": {"thresholds": [_threshold(limit)]},
            "typed_extension_protocol_options": {HTTP_OPTIONS: _http_options(of)},  # and what becomes of /score
            "health_checks": [_health_check(of)],
            "outlier_detection": _outliers(),
        },
    )


def hosts_file(name: str) -> str:
    """Which file holds a deployment's addresses."""
    return f"eds-{name}.json"


def assignment(hosts: Hosts) -> Json:
    """The addresses of one deployment: instances first, then the address that finds instances by itself."""
    levels = [hosts.instances, (hosts.fallback,) if hosts.fallback else ()]
    endpoints = [
        {"priority": priority, "lb_endpoints": [_instance(a, hosts.cluster) for a in addresses]}
        for priority, addresses in enumerate(levels)
        if addresses or priority == 0
    ]
    # without any host the list is still valid: only that empties a cluster, an empty file would not
    return typed(ASSIGNMENT, {"cluster_name": hosts.cluster, "endpoints": endpoints})


def static_clusters(admin: Address) -> list[Json]:
    """What stands in the bootstrap: the cluster that nobody answers for, and the way to the admin port."""
    return [
        _static(UNAVAILABLE, ()),
        _static(ADMIN, (admin,)),
    ]


def _static(name: str, addresses: Sequence[Address]) -> Json:
    endpoints = [{"lb_endpoints": [_endpoint(a) for a in addresses]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints if addresses else []},
    }


def _instance(address: Address, deployment: str) -> Json:
    # on the address, not on the route: an answer that came this far names its deployment, a 401 does not
    label = {"filter_metadata": {LABEL: {"deployment": deployment}}}
    made = _endpoint(address)
    if address.check:
        made["endpoint"]["health_check_config"] = {"port_value": address.check}
    return {**made, "metadata": label}


def _endpoint(address: Address) -> Json:
    return {"endpoint": {"address": socket(address)}}


def _threshold(limit: int) -> Json:
    return {
        "priority": "DEFAULT",
        # never the limit that is met first: at that one requests queue, and a mirror's queue would hold its callers
        "max_connections": MOST_REQUESTS,
        "max_pending_requests": limit,
        "max_requests": limit,
        "max_retries": limit,  # each request has three; more bounds would refuse what can still be answered
        "track_remaining": True,
    }


def _http_options(of: Cluster) -> Json:
    bounds: Json = {"idle_timeout": "60s"}
    if of.mirror:
        bounds["max_stream_duration"] = f"{MIRROR_SECONDS}s"
    return typed(
        HTTP_OPTIONS,
        {
            "common_http_protocol_options": bounds,
            "explicit_http_config": _spoken(of.protocol),
            **({"http_filters": [_score(of.scoring), extension("codec", CODEC)]} if of.scoring else {}),
        },
    )


def _score(path: str) -> Json:
    """`/score` becomes the server's own path, with the query; in Lua: Envoy rewrites paths of whole routes only.

    A route may lead to several servers, each with a path of its own. The original is where Envoy would put it, too.
    """
    source = REWRITE.replace("PATH", path)
    return extension("score", LUA, {"default_source_code": {"inline_string": source}})


def _spoken(protocol: Literal["http1", "h2c"]) -> Json:
    """With the instances. What comes over a connection of HTTP/2 is bounded: the default is 256 MiB of one answer."""
    if protocol == "h2c":
        return {"http2_protocol_options": HTTP2_WINDOWS}
    # our runtime answers gRPC by HTTP/1.1, and says in a trailer that all went well
    return {"http_protocol_options": {"enable_trailers": True}}


def _health_check(of: Cluster) -> Json:
    # an address may have been given to another team's model: an instance of ours refuses a name that is not its own
    named = [header("x-wye-deployment", of.deployment)]
    if not of.readiness:
        asked: Json = {"http_health_check": {"path": "/v2/health/ready", "request_headers_to_add": named}}
    elif of.readiness == GRPC_HEALTH:
        asked = {"grpc_health_check": {}}
    else:  # as kubelet counts
        asked = {"http_health_check": {"path": of.readiness, "expected_statuses": [{"start": 200, "end": 400}]}}
    return {
        # Four silent checks put an instance aside, after 5 to 6 s, when requests time out: on a starved machine all are
        # silent together, and with nobody left callers get a 503 at once where waiting would have brought a 200.
        # An answer other than 200 does it at once, and so do three refused or broken connections (outliers).
        "timeout": "1s",
        "interval": "1s",
        "interval_jitter": "0.2s",
        "unhealthy_interval": "0.25s",  # how soon a late instance or the fallback is found alive
        "no_traffic_interval": "0.25s",  # instead of the others until the first request ever
        "unhealthy_threshold": 4,
        "healthy_threshold": 1,
        # a kept connection would stick to one instance behind the fallback address
        "reuse_connection": False,
        **asked,
    }


def _outliers() -> Json:
    return {
        "interval": "1s",
        "base_ejection_time": "3s",
        "max_ejection_percent": 99,  # all but the last one: with nobody left, everybody would be refused for 3 s
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,  # refused, reset, timed out: the only thing that ejects
        # a 5xx is the model's answer: ejecting for it turns one caller's bad input into 503 for all
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
    }
