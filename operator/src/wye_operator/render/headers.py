"""Headers: what a caller may not say, the ids that callers choose, and what every answer has.

CEL stands in Envoy's own format strings: `%CEL(…)%` is empty, and a header with an empty value is not added.
"""

from __future__ import annotations

from collections.abc import Sequence

from wye_operator.render import inside
from wye_operator.render.clusters import LABEL
from wye_operator.render.resources import (
    ANYTHING,
    COMPOSITE,
    EARLY_MUTATION,
    EXECUTE,
    MATCHED,
    MUTATION,
    PIN,
    Json,
    extension,
    header,
    request_header,
)
from wye_operator.render.traceparent import PARENT, PARENTS_STATE, odd_trace

SKIP = "envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
FILTER_STATE = "envoy.extensions.filters.http.set_filter_state.v3.Config"

# What only the router may say; the underscore, because many servers read it as the dash.
RESERVED = "x[-_](client[-_]id|(wye|envoy)[-_].*)"
REQUEST_ID, CALLERS_ID = "x-request-id", "x-ms-client-request-id"
ID_LENGTHS = {REQUEST_ID: 128, CALLERS_ID: 40}
ID_FORMS = {REQUEST_ID: "[A-Za-z0-9_.:-]", CALLERS_ID: "[A-Za-z0-9_-]"}
SCRATCH = "x-wye-scratch"

ERROR = "ms-azureml-model-error-"
ERROR_STATUS, ERROR_REASON = f"{ERROR}statuscode", f"{ERROR}reason"
# A model's own answer, and not the router's; a model that is full says so by 429.
NOT_200 = "response.code_details == 'via_upstream' && response.code != 200"
REASON = "(response.code == 429 ? 'too_many_pending_request' : 'model_error')"


def clean_request() -> Json:
    """What happens to a request's headers before anything else looks at them."""
    matcher = {"safe_regex": {"regex": RESERVED}}
    mutations = [{"remove_on_match": {"key_matcher": matcher}}, {"append": _first_pin()}]
    return extension("clean-request", EARLY_MUTATION, {"mutations": mutations})


def callers_ids(*, traced: bool = False) -> Json:
    """What callers write by which a request is known: their ids, and `traceparent` where requests are traced.

    An id is made well-formed where it is not, and the one of theirs given back. An expression costs as much as all
    filters together, so only a request that has something odd, or an id of its caller's to give back, ever meets one.
    With another request id the route is chosen anew: a caller without the cookie of `sticky` is told the new id and
    must come by it from the first request on.
    """
    # asked first, so that who writes no `traceparent` pays for one look
    told = {"predicate": request_header(PARENT, ANYTHING), "on_match": {"matcher": _listed(_ids(odd_traces=True))}}
    return extension(inside.IDS, COMPOSITE, {"matcher": _listed([*([told] if traced else []), *_ids()])})


def ids_of_traced() -> Json:
    """In its place for what goes inside: the routes there take out what is not followed, and were chosen by it."""
    return {**extension(inside.IDS_OF_TRACED, COMPOSITE, {"matcher": _listed(_ids())}), "disabled": True}


def _listed(matchers: Sequence[Json]) -> Json:
    return {"matcher_list": {"matchers": list(matchers)}}


def _ids(*, odd_traces: bool = False) -> list[Json]:
    has_own = request_header(CALLERS_ID, ANYTHING)
    odd = {"not_matcher": request_header(REQUEST_ID, f"{ID_FORMS[REQUEST_ID]}{{1,{ID_LENGTHS[REQUEST_ID]}}}")}
    fresh = {**header(REQUEST_ID, "%UNIQUE_ID%"), "append_action": "ADD_IF_ABSENT"}
    given_back = [{"append": header(CALLERS_ID, f"%REQ({CALLERS_ID})%")}]
    request_id = {"request_mutations": [*_well_formed(REQUEST_ID), {"append": fresh}]}
    own = _mutation(CALLERS_ID, {"request_mutations": _well_formed(CALLERS_ID), "response_mutations": given_back})
    mended = [_mutation(REQUEST_ID, request_id), _route_anew(), own]
    untraced, its_odd = [_untraced()], odd_trace()
    both = {"and_matcher": {"predicate": [its_odd, odd]}}
    traces = [
        {"predicate": both, "on_match": _run(*mended, *untraced)},
        {"predicate": its_odd, "on_match": _run(own, *untraced)},
    ]
    return [
        *(traces if odd_traces else []),
        {"predicate": odd, "on_match": _run(*mended)},
        {"predicate": has_own, "on_match": _run(own)},
    ]


def _untraced() -> Json:
    return _mutation("untraced", {"request_mutations": [{"remove": PARENT}, {"remove": PARENTS_STATE}]})


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
