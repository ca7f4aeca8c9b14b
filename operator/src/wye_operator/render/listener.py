"""The listeners: the data port with its filters, and the inner port that gives out readiness and figures."""

from __future__ import annotations

from wye_operator.plan.wanted import Listener, Tracing
from wye_operator.plan.world import Address
from wye_operator.render import inside
from wye_operator.render.auth import CLIENT, auth_filter
from wye_operator.render.callers import cors_filter, rate_filter
from wye_operator.render.clusters import ADMIN
from wye_operator.render.errors import azure_statuses, local_replies
from wye_operator.render.headers import (
    CALLERS_ID,
    ERROR_REASON,
    ERROR_STATUS,
    answer_headers,
    callers_ids,
    clean_request,
    error_headers,
    ids_of_traced,
)
from wye_operator.render.resources import (
    BUFFER_BYTES,
    HTTP2_WINDOWS,
    LONGEST_SECONDS,
    MOST_HEADERS,
    MOST_HEADERS_KB,
    Json,
    extension,
    socket,
    typed,
    watched,
)
from wye_operator.render.routes import NAME as ROUTES_NAME
from wye_operator.render.tls import transport_socket
from wye_operator.render.tracing import spans

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
HEADERS_TIMEOUT = "10s"
INNER_PATHS = ("/ready", "/stats/prometheus")

# Azure's traffic log, as far as the router knows it. Never a body, a query string, or a header but those named here.
TRAFFIC_LOG = {
    "time": "%START_TIME%",  # 2026-11-21T16:09:00.123Z
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ)%",
    "proto": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS_NUMBER%",  # of a call, whose HTTP status is 200 in any case
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "deployment": "%UPSTREAM_CLUSTER_RAW%",
    "upstream": "%UPSTREAM_HOST%",
    "route": "%ROUTE_NAME%",
    "model_status": f"%RESP({ERROR_STATUS})%",  # where it is not 200
    "model_reason": f"%RESP({ERROR_REASON})%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "ms": "%DURATION%",
    "request_ms": "%REQUEST_DURATION%",  # until its last byte came,
    "model_ms": "%COMMON_DURATION(DS_RX_END:US_RX_BEG:ms)%",  # from then on until the model's answer began,
    "response_ms": "%RESPONSE_TX_DURATION%",  # and from the answer's first byte to its last
    "request_id": "%REQ(X-REQUEST-ID)%",
    "client_request_id": f"%REQ({CALLERS_ID})%",
    "client": f"%REQ({CLIENT})%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
}


def data_listener(of: Listener, listen: Address, routes: str, auth: str) -> Json:
    """The port that callers use; it leads to the plan's clusters and nowhere else."""
    manager = {
        "stat_prefix": "router",
        **_served(of, routes, _not_inside() if of.tracing else None),
        "http_filters": _filters(of, auth),
        "early_header_mutation_extensions": [clean_request()],
        **_identity(traced=False),
        "use_remote_address": True,
        **_paths(),
        **_bounds(),
    }
    made = _listener("data", manager) | {"address": socket(listen)}
    if of.tracing:
        made["filter_chains"][0]["filters"].insert(0, inside.outside())
    if of.tls:
        # who never ends the handshake gets as long as who never ends the headers
        handshake = {"transport_socket": transport_socket(auth), "transport_socket_connect_timeout": HEADERS_TIMEOUT}
        made["filter_chains"][0] |= handshake
    return made


def inner_listener(listen: Address) -> Json:
    """Two pages of the admin port and nothing else of it."""
    get = [{"name": ":method", "string_match": {"exact": "GET"}}]
    listed: list[Json] = [
        {"match": {"path": path, "headers": get}, "route": {"cluster": ADMIN}} for path in INNER_PATHS
    ]
    listed.append({"match": {"prefix": "/"}, "direct_response": {"status": 404}})
    host = {"name": "inner", "domains": ["*"], "routes": listed}
    manager = {
        "stat_prefix": "inner",
        "route_config": {"name": "inner", "virtual_hosts": [host]},
        "http_filters": [_router()],
        **_bounds(),
    }
    # callers that fill the data port, or the memory, must not make the router look dead
    exempt = {"ignore_global_conn_limit": True, "bypass_overload_manager": True}
    return {**_listener("inner", manager), "address": socket(listen), **exempt}


def traced_listener(of: Listener, tracing: Tracing, routes: str) -> Json:
    """Where the data port sends what is to be traced: the tracer, and what looks at answers (inside.py)."""
    manager = {
        "stat_prefix": inside.LISTENER,  # which no figure is kept of: the data port counts each request
        **_served(of, routes),
        "http_filters": [*_answers(of), _size(of), _router()],
        "early_header_mutation_extensions": [inside.arrived()],
        **_identity(traced=True),
        **spans(tracing),
        **_bounds(),
        "common_http_protocol_options": {
            # connections end outside; and headers were counted there
            "idle_timeout": "0s",
            "max_headers_count": 2 * MOST_HEADERS,
            "max_stream_duration": f"{LONGEST_SECONDS * 0.999:.3f}s",  # so that it ends here, and is told of here
        },
        "max_request_headers_kb": 2 * MOST_HEADERS_KB,
    }
    # who fills the data port cannot shut out here whom that has let in
    return {
        **_listener(inside.LISTENER, manager),
        "internal_listener": {},
        "per_connection_buffer_limit_bytes": inside.PIPE_BYTES,
        "ignore_global_conn_limit": True,
    }


def _served(of: Listener, routes: str, logged: Json | None = None) -> Json:
    """What requests meet on either way."""
    return {
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTES_NAME, "config_source": watched(routes, "rds.json")},
        "local_reply_config": local_replies(of.error_statuses),
        "access_log": [{**_access_log(), **({"filter": logged} if logged else {})}] if of.access_log else [],
    }


def _listener(name: str, manager: Json) -> Json:
    filters = [{"name": "http", "typed_config": typed(MANAGER, manager)}]
    return {
        "name": name,
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "filter_chains": [{"filters": filters}],
    }


def _filters(of: Listener, auth: str) -> list[Json]:
    traced = of.tracing is not None
    return [
        # the first in the list is the last on the way back: these see every answer
        *_answers(of),
        *([inside.bare(), ids_of_traced()] if traced else []),
        callers_ids(traced=traced),
        cors_filter(),  # before the key: a browser asks for permission without one
        auth_filter(auth),
        rate_filter(),  # after the key: who has none uses up nothing
        _size(of),
        _router(),
    ]


def _answers(of: Listener) -> list[Json]:
    return [*([azure_statuses()] if of.error_statuses == "Azure" else []), error_headers(), answer_headers()]


def _size(of: Listener) -> Json:
    """Refuses as bytes arrive; `buffer` would hold them."""
    message = "envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit"
    return extension("envoy.filters.http.body_size_limit", message, {"max_request_bytes": of.most_request_bytes})


def _router() -> Json:
    message = "envoy.extensions.filters.http.router.v3.Router"
    return extension("envoy.filters.http.router", message)


def _identity(*, traced: bool) -> Json:
    """Request ids, and who an answer says that it is of. What comes inside has its id, and gets it back outside."""
    # an id that its caller chose says nothing about traces
    sampling = {"use_request_id_for_trace_sampling": False} if traced else {}
    ids = {"preserve_external_request_id": True, "always_set_request_id_in_response": True} if not traced else {}
    return {
        "generate_request_id": not traced,
        **ids,
        "request_id_extension": {
            # else a caller's UUID comes back with one digit changed as soon as tracing is on
            "typed_config": typed(
                "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                {"pack_trace_reason": False, **sampling},
            )
        },
        "server_header_transformation": "PASS_THROUGH",
    }


def _paths() -> Json:
    """`..` is resolved before anything is matched; encoded slashes and double ones stay what the caller wrote."""
    return {
        "normalize_path": True,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
    }


def _bounds() -> Json:
    return {
        "max_request_headers_kb": MOST_HEADERS_KB,
        "request_headers_timeout": HEADERS_TIMEOUT,  # a caller that never ends its headers
        "stream_idle_timeout": "60s",  # where no route says otherwise
        "common_http_protocol_options": {
            "idle_timeout": "120s",
            "max_headers_count": MOST_HEADERS,
            "max_stream_duration": f"{LONGEST_SECONDS}s",
        },
        # as if nobody had asked for WebSocket or the like: Envoy's own refusal would come before any filter, so before
        # the key and with the ids as the caller wrote them
        "http_protocol_options": {"ignore_http_11_upgrade": [{"safe_regex": {"regex": ".*"}}]},
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            **HTTP2_WINDOWS,
            # a malformed request ends its own stream: an Ingress puts the requests of many callers on one connection
            "override_stream_error_on_invalid_http_message": True,
        },
    }


def _access_log() -> Json:
    message = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    return extension("traffic", message, {"log_format": {"json_format": TRAFFIC_LOG}})


def _not_inside() -> Json:
    """Who was sent inside has a line from there, unless it was ended here, by an answer of which nobody knows there."""
    marked = {"header": {"name": inside.MARK, "present_match": True, "invert_match": True}}
    ended = {"response_flag_filter": {"flags": ["DPE", "UF", "UO", "UH", "NC"]}}
    left = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    on_its_way = {"extension_filter": extension("on-its-way", left, {"expression": "!has(upstream.local_address)"})}
    return {"or_filter": {"filters": [{"header_filter": marked}, ended, on_its_way]}}
