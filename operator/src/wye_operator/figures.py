"""The names of all metrics and of their labels: what routers, runtimes and operators give out, and everybody reads.

`wye top`, the alerts and the dashboards are made from these; tests ask a real router, a real runtime and the operator
whether they have them. So whoever renames one finds out what reads it.
"""

from __future__ import annotations

from collections.abc import Mapping

# Labels. A scrape by the chart's PodMonitors, and `wye top`, give them to everything of a pod.
NAMESPACE, ENDPOINT, DEPLOYMENT, TRAFFIC = "namespace", "endpoint", "deployment", "traffic"
LIVE, MIRROR = "live", "mirror"  # values of TRAFFIC: what callers wait for, and copies
CHECK = "check"  # and, of runtimes alone, questions about health
CODE, CLASS, REASON, ROUTE = "code", "envoy_response_code_class", "reason", "route"
STATUS, CLUSTER = "envoy_response_code", "envoy_cluster_name"

# Routers: of each Deployment, as its callers see it. Times are milliseconds.
REQUESTS = "envoy_cluster_upstream_rq"  # by STATUS
REQUESTS_BY_CLASS = "envoy_cluster_upstream_rq_xx"
TIME = "envoy_cluster_upstream_rq_time"
ACTIVE = "envoy_cluster_upstream_rq_active"
RETRIES = "envoy_cluster_upstream_rq_retry"
TIMEOUTS = "envoy_cluster_upstream_rq_timeout"
CONNECT_FAILED = "envoy_cluster_upstream_cx_connect_fail"
HEALTHY, MEMBERS = "envoy_cluster_membership_healthy", "envoy_cluster_membership_total"
EJECTED = "envoy_cluster_outlier_detection_ejections_active"
# Copies that were not made.
NOT_MADE = (
    "envoy_cluster_upstream_rq_active_overflow",
    "envoy_cluster_upstream_rq_pending_overflow",
    "envoy_cluster_upstream_rq_pending_failure_eject",
    "envoy_cluster_upstream_cx_none_healthy",
)
UNCOPIED = "envoy_vhost_route_upstream_rq_total"  # too large, or of no named size, for any copy
# Routers: of the Endpoint, all that callers sent, refusals included.
ASKED_BY_CLASS = "envoy_http_downstream_rq_xx"
ASKED_TIME = "envoy_http_downstream_rq_time"
ASKED_ACTIVE = "envoy_http_downstream_rq_active"
CONNECTIONS, NEW_CONNECTIONS = "envoy_http_downstream_cx_active", "envoy_http_downstream_cx_total"
BYTES_IN, BYTES_OUT = "envoy_http_downstream_cx_rx_bytes_total", "envoy_http_downstream_cx_tx_bytes_total"
RATE_LIMITED = "envoy_http_local_rate_limit_rate_limited"
# Routers: files that they did not take, and how they are.
REJECTED = (
    "envoy_cluster_manager_cds_update_rejected",
    "envoy_http_rds_update_rejected",
    "envoy_extension_config_discovery_http_filter_auth_update_rejected",
    "envoy_cluster_update_rejected",
)
UPTIME, MEMORY = "envoy_server_uptime", "envoy_server_memory_physical_size"
PRESSURE = "envoy_overload_envoy_resource_monitors_fixed_heap_pressure"  # percent of the memory that is allowed

# Runtimes: of each instance. Times are seconds.
ANSWERED = "wye_requests_total"  # by CODE, ROUTE, TRAFFIC
ANSWER_TIME = "wye_request_duration_seconds"
RUN_TIME = "wye_run_duration_seconds"
QUEUED = "wye_queue_depth"
DROPPED = "wye_requests_dropped_total"  # by REASON
LOAD_TIME, MODEL = "wye_model_load_seconds", "wye_model_info"
RUNTIME = (ANSWERED, ANSWER_TIME, RUN_TIME, QUEUED, DROPPED, LOAD_TIME, MODEL, "process_resident_memory_bytes")

# Operators: what users wrote and what is true of it, from the one that leads.
ENDPOINT_READY, ENDPOINT_SERVING = "wye_endpoint_ready", "wye_endpoint_serving"  # 1 or 0, with REASON
DEPLOYMENT_READY = "wye_deployment_ready"
REPLICAS, READY_REPLICAS = "wye_deployment_replicas", "wye_deployment_ready_replicas"
PERCENT_ASKED, PERCENT = "wye_traffic_asked_percent", "wye_traffic_percent"  # by TRAFFIC
LEADER, WAITING = "wye_leader", "wye_endpoints_waiting"
PASSES, PASS_TIME, WAIT_TIME = "wye_passes_total", "wye_pass_seconds", "wye_wait_seconds"
WRITES, API_CALLS, API_ERRORS = "wye_writes_total", "wye_api_calls_total", "wye_api_errors_total"
UNHEARD, OBJECTS = "wye_inner_errors_total", "wye_objects"

PARTS = ("_bucket", "_sum", "_count")  # of a histogram


def split(cluster: str) -> tuple[str, str]:
    """The Deployment that a router's cluster leads to, and which traffic takes it."""
    name, _, mirror = cluster.partition("~")
    return name, MIRROR if mirror else LIVE


Labels = Mapping[str, str]
