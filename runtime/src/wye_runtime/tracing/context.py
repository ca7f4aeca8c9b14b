"""Whose trace a request belongs to (W3C Trace Context). The router decides which are sampled; others cost nothing."""

from typing import NamedTuple

TRACEPARENT = "traceparent"
PARENT_LENGTH = len("00-") + 32 + len("-") + 16 + len("-00")  # of a `traceparent` of the one version that there is
HEX, DASH = b"0123456789abcdef", b"-"
NO_TRACE, NO_SPAN = b"0" * 32, b"0" * 16
NOT_SAMPLED = frozenset(b"02468ace")  # the last digit of the flags


class Context(NamedTuple):
    """A sampled trace, and the span that the request was sent from."""

    trace: str
    parent: str


def context_of(traceparent: bytes) -> Context | None:
    """None where nobody wants to see it, or the header is none.

    Without a regular expression: for one request of a hundred its machine is never in the processor's caches.
    """
    if len(traceparent) < PARENT_LENGTH or traceparent[PARENT_LENGTH - 1] in NOT_SAMPLED:
        return None
    plain, more = traceparent[:PARENT_LENGTH], traceparent[PARENT_LENGTH:]
    if plain.translate(None, HEX) != b"---":
        return None
    version, trace, span, _ = plain.split(DASH)
    if (len(version), len(trace), len(span)) != (2, 32, 16) or version == b"ff":
        return None
    if trace == NO_TRACE or span == NO_SPAN or (more and (version == b"00" or not more.startswith(DASH))):
        return None
    return Context(trace.decode(), span.decode())
