"""What a caller may write about traces: W3C's form, as routes match it and as a filter does."""

from __future__ import annotations

from wye_operator.render.resources import ANYTHING, Json, request_header

PARENT, PARENTS_STATE = "traceparent", "tracestate"
# W3C's form, of the one version that there is; a second matcher refuses what nobody's trace or span is.
FORM = "00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]"
SAMPLED, UNSAMPLED = (f"{FORM}[{last}]" for last in ("13579bdf", "02468ace"))
NOBODY = ".*-0+-.*"
STATE = "[ -~]{0,512}"


def _is(name: str, regex: str) -> Json:
    return {"name": name, "string_match": {"safe_regex": {"regex": regex}}, "treat_missing_header_as_empty": True}


def _is_not(name: str, regex: str) -> Json:
    return {**_is(name, regex), "invert_match": True}


# Of routes.
FOLLOWED = [_is(PARENT, SAMPLED), _is_not(PARENT, NOBODY), _is(PARENTS_STATE, STATE)]
NOT_UNSAMPLED = [_is_not(PARENT, UNSAMPLED)]


def odd_trace() -> Json:
    """A predicate of a `traceparent`: all but a caller's word that it is not sampled, which is handed on untraced."""
    stated = request_header(PARENTS_STATE, ANYTHING)
    odd_state = {"and_matcher": {"predicate": [stated, {"not_matcher": request_header(PARENTS_STATE, STATE)}]}}
    handed_on = [
        request_header(PARENT, UNSAMPLED),
        {"not_matcher": request_header(PARENT, NOBODY)},
        {"not_matcher": odd_state},
    ]
    return {"not_matcher": {"and_matcher": {"predicate": handed_on}}}
