"""Which figures a router keeps: of Envoy's hundreds those that somebody reads.

Whoever looks at a router (the operator, a drain, the twin, `wye top`, alerts, dashboards, a person with curl) reads one
of these. So a router of 20 Deployments stays far below 3,000 series, where all would be 7,000, and has no memory and no
time for the rest. Nothing in a name comes from a request.
"""

from __future__ import annotations

from wye_operator.render.resources import Json

# Milliseconds.
BUCKETS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000)
TAKEN = "(update_rejected|update_failure|update_success|version|version_text)"

# Of each cluster, that is of each Deployment and each mirror.
OF_A_CLUSTER = (
    r"upstream_rq_(total|\d+|\dxx|time|active|timeout|per_try_timeout|retry|rx_reset|max_duration_reached)",
    "upstream_rq_(active_overflow|pending_overflow|pending_failure_eject|pending_active)",
    "upstream_cx_(active|connect_fail|none_healthy|overflow)",
    "membership_(healthy|total)",
    r"outlier_detection\.ejections_(active|enforced_total)",
    TAKEN,
)
# Of what callers reach; the inner port has no callers.
OF_THE_DATA_PORT = (
    r"downstream_rq_(total|\dxx|time|active|rx_reset|timeout|too_large|overload_close)",
    "downstream_cx_(active|total|rx_bytes_total|tx_bytes_total|ssl_total|protocol_error)",
    "no_route|no_cluster",
    rf"rds\..*\.{TAKEN}",
    r"(api_key_auth|jwt_authn|rbac)\..*(allowed|denied|forbidden|unauthorized)",
)
OF_THE_PROCESS = (
    r"server\.(live|state|uptime|concurrency|total_connections|envoy_bug_failures|days_until_first_cert_expiring)",
    r"server\.memory_(allocated|heap_size|physical_size)",
    rf"cluster_manager\.(active_clusters|warming_clusters|cds\.{TAKEN})",
    rf"extension_config_discovery\..*\.{TAKEN}",
    rf"sds\..*\.{TAKEN}",
    r"listener\..*\.downstream_(cx|global_cx)_over(flow|load_reject)",
    r"overload\..*\.(pressure|active)",
    r"vhost\..*\.route\.uncopied\.upstream_rq_total",
    r".*http_local_rate_limit\.(ok|rate_limited)",
    r"tracing\.opentelemetry\..*",
)


def expression() -> str:
    """All of it as one expression, which Envoy asks once for each figure: when a cluster is made, not in a request."""
    cluster, port = (f"({'|'.join(parts)})" for parts in (OF_A_CLUSTER, OF_THE_DATA_PORT))
    return "|".join((rf"cluster\.[^.]+\.{cluster}", rf"http\.router\.{port}", *OF_THE_PROCESS))


def kept() -> Json:
    """For the bootstrap."""
    only = {"inclusion_list": {"patterns": [{"safe_regex": {"regex": expression()}}]}}
    times = {"match": {"safe_regex": {"regex": ".*rq_time"}}, "buckets": list(BUCKETS)}
    return {"stats_matcher": only, "histogram_bucket_settings": [times]}
