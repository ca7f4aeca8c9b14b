"""Headers: what a caller may not say, the ids that callers choose, and what every answer has.

CEL stands in Envoy's own format strings: `%CEL(…)%` is empty, and a header with an empty value is not added.
"""

from __future__ import annotations

from collections.abc import Sequence

from wye_operator.render.clusters import LABEL
from wye_operator.render.resources import COMPOSITE, EXECUTE, MATCHED, MUTATION, Json, extension, header
from wye_operator.render.routes import PIN

SKIP = "envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
FILTER_STATE = "envoy.extensions.filters.http.set_filter_state.v3.Config"
EARLY_MUTATION = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"

# What only the router may say; the underscore, because many servers read it as the dash.
RESERVED = "x[-_](client[-_]id|(wye|envoy)[-_].*)"
REQUEST_ID, CALLERS_ID = "x-request-id", "x-ms-client-request-id"
ID_LENGTHS = {REQUEST_ID: 128, CALLERS_ID: 40}
ID_FORMS = {REQUEST_ID: "[A-Za-z0-9_.:-]", CALLERS_ID: "[A-Za-z0-9_-]"}
ANYTHING = r"\C*"  # any bytes; `.` would be characters of UTF-8
SCRATCH = "x-wye-scratch"

ERROR = "ms-azureml-model-error-"
ERROR_STATUS, ERROR_REASON = f"{ERROR}statuscode", f"{ERROR}reason"
# A model's own answer, and not the router's; a model that is full says so by 429.
NOT_200 = "response.code_details == 'via_upstream' && response.code != 200"
REASON = "(response.code == 429 ? 'too_many_pending_request' : 'model_error')"


def clean_request(more: Sequence[Json] = ()) -> Json:
    """What happens to a request's headers before anything else looks at them."""
    matcher = {"safe_regex": {"regex": RESERVED}}
    mutations = [{"remove_on_match": {"key_matcher": matcher}}, {"append": _first_pin()}]
    return extension("clean-request", EARLY_MUTATION, {"mutations": [*mutations, *more]})


def callers_ids() -> Json:
    """The ids that callers choose: made well-formed where they are not, and the one of theirs given back.

    An expression costs as much as all filters together, so only a request that has something odd, or an id of its
    caller's to give back, ever meets one. With another request id the route is chosen anew: a caller without the cookie
    of `sticky` is told the new id and must come by it from the first request on.
    """
    has_own = _request_header(CALLERS_ID, ANYTHING)
    odd = {"not_matcher": _request_header(REQUEST_ID, f"{ID_FORMS[REQUEST_ID]}{{1,{ID_LENGTHS[REQUEST_ID]}}}")}
    fresh = {**header(REQUEST_ID, "%UNIQUE_ID%"), "append_action": "ADD_IF_ABSENT"}
    given_back = [{"append": header(CALLERS_ID, f"%REQ({CALLERS_ID})%")}]
    request_id = {"request_mutations": [*_well_formed(REQUEST_ID), {"append": fresh}]}
    own = _mutation(CALLERS_ID, {"request_mutations": _well_formed(CALLERS_ID), "response_mutations": given_back})
    listed = [
        {"predicate": odd, "on_match": _run(_mutation(REQUEST_ID, request_id), _route_anew(), own)},
        {"predicate": has_own, "on_match": _run(own)},
    ]
    return extension("callers-ids", COMPOSITE, {"matcher": {"matcher_list": {"matchers": listed}}})


def answer_headers() -> Json:
    """What an answer has, and what of Envoy's own it has not."""
    mutations = [
        {"append": header(PIN, f"%UPSTREAM_METADATA({LABEL}:deployment)%")},
        {"append": header("ms-azureml-model-time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%")},
        *({"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in ("x-envoy-", ERROR)),
    ]
    # a caller's trailers would reach the model past everything that looks at headers; no call has any
    trailers = [{"remove_on_match": {"key_matcher": {"safe_regex": {"regex": ".*"}}}}]
    fields = {"mutations": {"response_mutations": mutations, "request_trailers_mutations": trailers}}
    return extension("answer-headers", MUTATION, fields)


def error_headers() -> Json:
    """What an answer that is not 200 has besides; in effect after `answer_headers`, which removes a model's own."""
    mutations = [
        {"append": header(ERROR_STATUS, f"%CEL({NOT_200} ? response.code : '')%")},
        {"append": header(ERROR_REASON, f"%CEL({NOT_200} ? {REASON} : '')%")},
    ]
    status = extension("status", "envoy.type.matcher.v3.HttpResponseHeaderMatchInput", {"header_name": ":status"})
    skipped = {"action": extension("skip", SKIP)}
    fields = {
        "extension_config": extension("error-headers", MUTATION, {"mutations": {"response_mutations": mutations}}),
        "xds_matcher": {"matcher_tree": {"input": status, "exact_match_map": {"map": {"200": skipped}}}},
    }
    return extension("error-headers", MATCHED, fields)


def _mutation(name: str, mutations: Json) -> Json:
    return extension(name, MUTATION, {"mutations": mutations})


def _run(*filters: Json) -> Json:
    """What a match of the composite filter leads to."""
    return {"action": extension("mend-ids", EXECUTE, {"filter_chain": {"typed_config": list(filters)}})}


def _route_anew() -> Json:
    """Envoy's only filter that does this for any request wants to remember something, too."""
    text = {"text_format_source": {"inline_string": "anew"}}
    state = {"object_key": "wye.route", "factory_key": "envoy.string", "format_string": text}
    return extension("route-anew", FILTER_STATE, {"on_request_headers": [state], "clear_route_cache": True})


def _request_header(name: str, regex: str) -> Json:
    """All values of it, with commas between them."""
    seen = extension("header", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", {"header_name": name})
    return {"single_predicate": {"input": seen, "value_match": {"safe_regex": {"google_re2": {}, "regex": regex}}}}


def _first_pin() -> Json:
    # of several values the first one decides (matching would take any of them), and the model sees only that one
    once = {**header(PIN, f"%REQ({PIN})%"), "keep_empty_value": True}
    once["append_action"] = "OVERWRITE_IF_EXISTS"
    return once


def _well_formed(name: str) -> list[Json]:
    """One id of harmless characters, cut to its length; anything else, and several, are as if none was sent."""
    value = f"request.headers['{name}']"
    checked = f"%CEL({value}.matches('^{ID_FORMS[name]}+$') ? {value} : '')%"
    return [
        {"append": header(SCRATCH, checked)},
        {"remove": name},
        {"append": header(name, f"%REQ({SCRATCH}):{ID_LENGTHS[name]}%")},
        {"remove": SCRATCH},
    ]
