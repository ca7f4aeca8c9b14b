"""Who stays with whom, which pages may call, and how many requests are taken: all in the routes, so all is live."""

from __future__ import annotations

import math

from wye_operator.plan.wanted import Cors, Rate, Routes, Sticky
from wye_operator.render.resources import Json, extension, typed

CORS, RATE = "cors", "rate"  # the filters' names in the listener
CORS_MESSAGE = "envoy.extensions.filters.http.cors.v3"
RATE_MESSAGE = "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
TICK_SECONDS = 0.1  # tokens come back this often, or as they are whole

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = (
    "authorization",
    "api-key",
    "content-type",
    "azureml-model-deployment",
    "x-ms-client-request-id",
    "x-request-id",
)
EXPOSED_HEADERS = (
    *("azureml-model-deployment", "x-request-id", "x-ms-client-request-id", "retry-after"),
    *("ms-azureml-model-time", "ms-azureml-model-error-statuscode", "ms-azureml-model-error-reason"),
)


def cors_filter() -> Json:
    """Costs nothing until the routes say who may call."""
    return {**extension(CORS, f"{CORS_MESSAGE}.Cors"), "disabled": True}


def rate_filter() -> Json:
    """Costs nothing until the routes have a rate."""
    return {**extension(RATE, RATE_MESSAGE, {"stat_prefix": RATE}), "disabled": True}


def without_rate() -> Json:
    """For a route that is not counted."""
    return {RATE: typed("envoy.config.route.v3.FilterConfig", {"disabled": True})}


def for_all_routes(routes: Routes) -> Json:
    """What these two filters are to do."""
    settings: Json = {}
    if routes.cors:
        settings[CORS] = _cors(routes.cors)
    if routes.rate:
        settings[RATE] = _rate(routes.rate)
    return {"typed_per_filter_config": settings} if settings else {}


def _cors(cors: Cors) -> Json:
    return typed(
        f"{CORS_MESSAGE}.CorsPolicy",
        {
            "allow_origin_string_match": [_origin(origin) for origin in sorted(cors.origins)],
            "allow_methods": METHODS,
            "allow_headers": ", ".join((*ALLOWED_HEADERS, *sorted(cors.headers))),
            "expose_headers": ", ".join(EXPOSED_HEADERS),
            "max_age": str(cors.max_age_seconds),
        },
    )


def _origin(origin: str) -> Json:
    return {"safe_regex": {"regex": ".*"}} if origin == "*" else {"exact": origin}


def _rate(rate: Rate) -> Json:
    """A bucket with one second's requests; it fills in steps of whole requests."""
    per_second = rate.requests / rate.seconds
    step = max(1, math.ceil(per_second * TICK_SECONDS))
    whole = {"default_value": {"numerator": 100}}
    bucket = {
        "max_tokens": max(1, math.ceil(per_second)),
        "tokens_per_fill": step,
        "fill_interval": f"{step / per_second:.6f}s",
    }
    on = {"filter_enabled": whole, "filter_enforced": whole}
    return typed(RATE_MESSAGE, {"stat_prefix": RATE, "token_bucket": bucket, **on})


def sticking(split: Json, sticky: Sticky | None) -> list[Json]:
    """The route, or with a cookie two.

    Shares are stretches of one line in the order of the names, and a caller is a point on it: when one share grows,
    nobody leaves it.
    """
    if sticky is None:
        return [split]
    if sticky.header:
        return [_hashed(split, {"header": {"header_name": sticky.header}})]
    known = {"name": sticky.cookie, "string_match": {"safe_regex": {"regex": ".+"}}}
    again = _hashed(split, {"cookie": {"name": sticky.cookie}})
    # the same value hashes to the same point, whether it comes as an id or, the next time, as the cookie
    first = _hashed(split, {"header": {"header_name": "x-request-id"}})
    return [
        {**again, "match": {**split["match"], "cookies": [known]}},
        {**first, "response_headers_to_add": [_cookie(sticky)]},
    ]


def _hashed(split: Json, policy: Json) -> Json:
    clusters = {**split["route"]["weighted_clusters"], "use_hash_policy": True}
    return {**split, "route": {**split["route"], "weighted_clusters": clusters, "hash_policy": [policy]}}


def _cookie(sticky: Sticky) -> Json:
    attributes = ("Path=/", "HttpOnly", "SameSite=Lax", *(("Secure",) if sticky.secure else ()))
    value = "; ".join((f"{sticky.cookie}=%REQ(X-REQUEST-ID)%", *attributes))
    return {"header": {"key": "set-cookie", "value": value}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
