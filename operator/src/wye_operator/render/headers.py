"""Headers: what a caller may not say, the ids that callers choose, and what every answer has.

CEL stands in Envoy's own format strings: `%CEL(…)%` is empty, and a header with an empty value is not added.
"""

from __future__ import annotations

from wye_operator.render.clusters import LABEL
from wye_operator.render.resources import Json, extension, header
from wye_operator.render.routes import PIN

MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
EARLY_MUTATION = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"

# What only the router may say; the underscore, because many servers read it as the dash.
RESERVED = "x[-_](client[-_]id|(wye|envoy)[-_].*)"
REQUEST_ID, CALLERS_ID = "x-request-id", "x-ms-client-request-id"
ID_LENGTHS = {REQUEST_ID: 128, CALLERS_ID: 40}
ID_FORMS = {REQUEST_ID: "[A-Za-z0-9_.:-]+", CALLERS_ID: "[A-Za-z0-9_-]+"}
SCRATCH = "x-wye-scratch"

ERROR_STATUS, ERROR_REASON = "ms-azureml-model-error-statuscode", "ms-azureml-model-error-reason"
# A model's own answer, and not the router's; a model that is full says so by 429.
NOT_200 = "response.code_details == 'via_upstream' && response.code != 200"
REASON = "(response.code == 429 ? 'too_many_pending_request' : 'model_error')"


def clean_request() -> Json:
    """What happens to a request's headers before anything else looks at them."""
    matcher = {"safe_regex": {"regex": RESERVED}}
    mutations = [
        {"remove_on_match": {"key_matcher": matcher}},
        {"append": _first_pin()},
        *_well_formed(REQUEST_ID),
        *_well_formed(CALLERS_ID),
    ]
    return extension("clean-request", EARLY_MUTATION, {"mutations": mutations})


def answer_headers() -> Json:
    """What an answer has, and what of Envoy's own it has not."""
    mutations = [
        {"append": header(PIN, f"%UPSTREAM_METADATA({LABEL}:deployment)%")},
        {"append": header("ms-azureml-model-time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%")},
        {"append": header(CALLERS_ID, f"%REQ({CALLERS_ID})%")},
        {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": "x-envoy-.*|ms-azureml-model-error-.*"}}}},
        {"append": header(ERROR_STATUS, f"%CEL({NOT_200} ? response.code : '')%")},
        {"append": header(ERROR_REASON, f"%CEL({NOT_200} ? {REASON} : '')%")},
    ]
    # a caller's trailers would reach the model past everything that looks at headers; no call has any
    trailers = [{"remove_on_match": {"key_matcher": {"safe_regex": {"regex": ".*"}}}}]
    fields = {"mutations": {"response_mutations": mutations, "request_trailers_mutations": trailers}}
    return extension("answer-headers", MUTATION, fields)


def _first_pin() -> Json:
    # of several values the first one decides (matching would take any of them), and the model sees only that one
    once = {**header(PIN, f"%REQ({PIN})%"), "keep_empty_value": True}
    once["append_action"] = "OVERWRITE_IF_EXISTS"
    return once


def _well_formed(name: str) -> list[Json]:
    """One id of harmless characters, cut to its length; anything else, and several, are as if none was sent."""
    value = f"request.headers['{name}']"
    checked = f"%CEL({value}.matches('^{ID_FORMS[name]}$') ? {value} : '')%"
    return [
        {"append": header(SCRATCH, checked)},
        {"remove": name},
        {"append": header(name, f"%REQ({SCRATCH}):{ID_LENGTHS[name]}%")},
        {"remove": SCRATCH},
    ]
