"""The router's own errors: every one is the error object of the API, whatever went wrong and wherever.

A gRPC call has no body to put it into: it gets the status that a gRPC client expects, and the sentence as its message.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from wye_operator.render.headers import ERROR_STATUS
from wye_operator.render.resources import Json, extension, header
from wye_operator.render.tokens import BROKEN_CLAIM

CEL_FILTER = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
REQUEST_ID = "%REQ(X-REQUEST-ID)%"
GRPC = r"application/grpc(\+.*)?"  # what Envoy, too, takes for gRPC: gRPC-Web is not
# gRPC's own names and numbers
UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = 2, 3, 4, 5
PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE, UNAUTHENTICATED = 7, 8, 14, 16


@dataclass(frozen=True, slots=True)
class Mapped:
    """One kind of failure and its answer: chosen by Envoy's flags, by how its details begin, by the status it had in
    mind, or by both of these.
    """

    code: str
    message: str
    grpc: int
    flags: tuple[str, ...] = ()
    details: str = ""
    was: int | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


BY_TOKENS, BY_CLAIMS = "jwt_authn_access_denied", "rbac_access_denied"
TOO_LONG = "the request took longer than one hour, or than its grpc-timeout"
SOON = (("retry-after", "1"),)
LATER = (("retry-after", "2"),)

# The first that fits. 408 comes before the flags: the same flag stands for a caller and for a model that fell silent.
ANSWERS: tuple[Mapped, ...] = (
    Mapped("UploadTimeout", "the request stopped arriving", DEADLINE_EXCEEDED, was=408),
    Mapped(
        "RequestTimeout",
        "the deployment was silent for longer than its requestTimeoutMs",
        DEADLINE_EXCEEDED,
        ("SI", "UT"),
        status=504,
    ),
    Mapped("RequestTimeout", TOO_LONG, DEADLINE_EXCEEDED, ("DT", "UMSDR"), status=504),
    Mapped("RequestTimeout", TOO_LONG, DEADLINE_EXCEEDED, details="max_duration_timeout", status=504),  # without a flag
    Mapped(
        "TooManyRequests",
        "the router holds as many requests for the deployment as it may",
        RESOURCE_EXHAUSTED,
        ("UO",),
        status=429,
        headers=SOON,
    ),
    Mapped("Overloaded", "the router is at its limit", UNAVAILABLE, ("OM", "DO"), status=503, headers=SOON),
    # without a flag
    Mapped("Overloaded", "the router is at its limit", UNAVAILABLE, details="overload", headers=SOON),
    Mapped(
        "NoReadyPod",
        "no ready instance of the deployment can answer; try again",
        UNAVAILABLE,
        ("UH",),
        status=503,
        headers=LATER,
    ),
    Mapped(
        "UpstreamFailure",
        "the deployment could not be reached, or broke off before its answer",
        UNAVAILABLE,
        ("UF", "UC", "UR", "URX", "LR", "LH", "UPE", "NC", "DF"),
        status=503,
        headers=SOON,
    ),
    Mapped("NotFound", "there is nothing here", NOT_FOUND, ("NR",), status=404),
    # By who refused, not by the Endpoint's mode: that one is live, and these sentences stand in the bootstrap.
    Mapped(
        "Unauthorized",
        "a valid token is needed: Authorization: Bearer TOKEN",
        UNAUTHENTICATED,
        details=BY_TOKENS,
        was=401,
        headers=(("www-authenticate", "Bearer"),),
    ),
    Mapped(
        "Forbidden",
        "the token is for somebody else: its aud is none that is taken here",
        PERMISSION_DENIED,
        details=BY_TOKENS,
        was=403,
    ),
    Mapped(
        "Forbidden",
        f"the token's claim {BROKEN_CLAIM} is missing, or has no value that is taken here",
        PERMISSION_DENIED,
        details=BY_CLAIMS,
        was=403,
    ),
    Mapped(
        "Unauthorized",
        "a valid key or token is needed: Authorization: Bearer KEY-OR-TOKEN, or api-key: KEY",
        UNAUTHENTICATED,
        was=401,
        headers=(("www-authenticate", "Bearer"),),
    ),
    Mapped("Forbidden", "this is not allowed here", PERMISSION_DENIED, was=403),
    Mapped("PayloadTooLarge", "the request body is larger than limits.maxRequestBytes", RESOURCE_EXHAUSTED, was=413),
    Mapped(
        "RateLimited",
        "more requests came than limits.requestsPerSecond",
        RESOURCE_EXHAUSTED,
        was=429,
        headers=SOON,
    ),
    Mapped(
        "HeadersTooLarge", "the request headers are larger than 60 KiB, or more than 100", RESOURCE_EXHAUSTED, was=431
    ),
    Mapped("UpgradeRequired", "HTTP/1.1 or HTTP/2 is needed", INVALID_ARGUMENT, was=426),
    Mapped("BadRequest", "this is not a valid HTTP request", INVALID_ARGUMENT, was=400),
    # What the routes themselves refuse: the route is named after the error, and its body is the sentence.
    Mapped("%ROUTE_NAME%", "%LOCAL_REPLY_BODY%", NOT_FOUND, was=404),
    Mapped("%ROUTE_NAME%", "%LOCAL_REPLY_BODY%", UNAVAILABLE, was=503, headers=LATER),
)
OTHERS = Mapped("RouterError", "the router cannot take this request", UNKNOWN)

AZURES = {504: 408}  # with errorStatuses: Azure; what a model answered is changed by AZURE_STATUSES
AZURE_STATUSES = f"""\
local function as_azure(status)
  if status == "429" then return "429" end
  if status == "504" then return "408" end
  return "424"
end
function envoy_on_response(answer)
  local status = answer:headers():get("{ERROR_STATUS}")
  if status then answer:headers():replace(":status", as_azure(status)) end
end
"""


def local_replies(statuses: Literal["Standard", "Azure"] = "Standard") -> Json:
    """Mappers only: a default format would rewrite the 200 of the health routes too."""
    changed = AZURES if statuses == "Azure" else {}
    mappers: list[Json] = []
    for answer in (*ANSWERS, OTHERS):
        status = changed.get(answer.status or 0, answer.status)
        mappers += [_of_call(answer), _mapper(replace(answer, status=status), _chosen(answer))]
    return {"mappers": mappers}


def azure_statuses() -> Json:
    """Azure's statuses for what a model answered. No other filter of Envoy's keeps the body (docs/decisions/0011)."""
    source = {"default_source_code": {"inline_string": AZURE_STATUSES}}
    return extension("azure-statuses", "envoy.extensions.filters.http.lua.v3.Lua", source)


def _mapper(answer: Mapped, chosen: Json) -> Json:
    error = {"code": answer.code, "message": answer.message, "requestId": REQUEST_ID}
    mapper: Json = {
        "filter": chosen,
        "headers_to_add": [header(key, value) for key, value in answer.headers],
        "body_format_override": {
            "json_format": {"error": error},
            "content_type": "application/json",
        },
    }
    if answer.status:
        mapper["status_code"] = answer.status
    return mapper


def _of_call(answer: Mapped) -> Json:
    """Envoy makes headers alone of it, with HTTP status 200."""
    is_call = {"header_filter": {"header": {"name": "content-type", "string_match": {"safe_regex": {"regex": GRPC}}}}}
    status = header("grpc-status", str(answer.grpc))
    return {
        "filter": {"and_filter": {"filters": [is_call, _chosen(answer)]}},
        "headers_to_add": [status, *(header(key, value) for key, value in answer.headers)],
        "body_format_override": {"text_format_source": {"inline_string": answer.message}},
    }


def _chosen(answer: Mapped) -> Json:
    if answer.flags:
        return {"response_flag_filter": {"flags": list(answer.flags)}}
    if answer.details:
        expression = {"expression": f"response.code_details.startsWith('{answer.details}')"}
        told = {"extension_filter": extension("details", CEL_FILTER, expression)}
        return {"and_filter": {"filters": [told, _status("EQ", answer.was)]}} if answer.was else told
    return _status("EQ", answer.was) if answer.was else _status("GE", 400)


def _status(comparison: str, status: int) -> Json:
    # the key is never set: Envoy wants one
    value = {"default_value": status, "runtime_key": "wye.unset"}
    return {"status_code_filter": {"comparison": {"op": comparison, "value": value}}}
