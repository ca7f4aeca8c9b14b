"""Whose trace a request belongs to (W3C Trace Context). The router decides which are sampled; others cost nothing."""

import re
from typing import NamedTuple

TRACEPARENT = "traceparent"
SAMPLED = 1  # the lowest bit of the flags
FORM = re.compile(rb"([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class Context(NamedTuple):
    """A sampled trace, and the span that the request was sent from."""

    trace: str
    parent: str


def context_of(traceparent: bytes) -> Context | None:
    """None where nobody wants to see it, or the header is none."""
    found = FORM.fullmatch(traceparent)
    if found is None or found[1] == b"ff" or (found[1] == b"00" and len(traceparent) != 55):
        return None
    return Context(found[2].decode(), found[3].decode()) if int(found[4], 16) & SAMPLED else None
