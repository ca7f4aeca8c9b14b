"""Heads that came before: a client sends the same lines with every request, and what they say is known the second time.

The parser read such a head once and found nothing odd about it; the same bytes mean the same. Only what names a single
request differs, its id and its trace, which are cut out where they are plain. Anything else is a head of its own, and
for the parser.
"""

import re
from typing import Any, NamedTuple

from wye_runtime.endpoints.ledger import ID_LENGTH
from wye_runtime.fastlane.targets import CONTENT_LENGTH, COPY, REQUEST_ID, TRACE, Headers, Target, raw_request
from wye_runtime.tracing import PARENT_LENGTH, Context, context_of

END, CR, POST, MODERN = b"\r\n\r\n", b"\r", b"POST ", b" HTTP/1.1\r\n"
ID = b"\r\n%b: " % REQUEST_ID  # as proxies write it
AFTER_ID, VERSION = len(ID), MODERN.index(CR)
TRACED = b"\r\n%b: " % TRACE  # as proxies write it
STATE = b"tracestate"
STATED = b"\r\n%b: " % STATE  # as proxies write it; Envoy also where there is none
PRINTED = re.compile(rb"[ -~]*")
MOST = 2 << 10  # bytes of a head that is kept
LARGE = 16 << 10  # bytes of a request that are not copied for its trace
KEPT = 1024  # heads; one more, and all are forgotten
CONNECTION, CODING = b"connection", b"transfer-encoding"
CHUNKED = -1  # for the length of a body: it is one chunk, as routers send the message of a call
SIZE, LAST = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n"), b"\r\n0\r\n\r\n"


class Head(NamedTuple):
    """What a head says."""

    target: Target
    length: int  # of the body, or CHUNKED
    named: str | None  # the request's id, where it stands in a form that is not cut out
    rest: tuple[Any, ...]  # of a RawRequest, behind body and id
    is_copy: bool


Request = tuple[Head, str | None, bytes, Context | None]
NOBODYS = Head(Target(""), length=-2, named=None, rest=(), is_copy=False)  # no body is that long


class Heads:
    """Of all connections."""

    def __init__(self) -> None:
        self.heads: dict[bytes, Head] = {}
        self.last = b"", NOBODYS  # the last one without an id that was asked for

    def request(self, data: bytes) -> Request | None:
        """The one whole request that these bytes are: its head, id, body and trace, where somebody samples that; None
        where the parser must look.
        """
        return self.known(data) or self.of_trace(data)

    def of_trace(self, data: bytes) -> Request | None:
        """One that names a trace: its head came before with another one, or with none."""
        cut = without_trace(data)
        if cut is None:
            return None
        rest, parent = cut
        known = self.known(rest)
        if known is None:
            return None
        head, named, body, _ = known
        return head, named, body, context_of(parent)

    def known(self, data: bytes) -> Request | None:
        """One that names no trace."""
        key, head = self.last
        if data.startswith(key) and len(data) - len(key) == head.length:
            return head, head.named, data[len(key) :], None
        end = data.find(END) + len(END)
        at = data.find(ID, 0, end)
        if at < 0:
            key = data[:end]
            found = self.heads.get(key)
            body = None if found is None else body_in(data, end, found.length)
            if found is None or body is None:
                return None
            self.last = key, found
            return found, found.named, body, None
        at += AFTER_ID
        stop = data.find(CR, at, end)
        found = self.heads.get(data[:at] + data[stop:end])
        body = None if found is None else body_in(data, end, found.length)
        named = data[at:stop]
        if found is None or body is None or not named.replace(b"-", b"").isalnum():
            return None
        return found, named.decode()[:ID_LENGTH], body, None

    def learn(self, data: bytes, target: Target | None, headers: Headers) -> None:
        """Keeps the head of a request that the parser read just now, unless there is something about it."""
        plain = of_no_trace(data, headers)
        if plain is None:
            return
        data, headers = plain
        end = data.find(END) + len(END)
        line = data.find(MODERN, 0, end)
        if target is None or target.is_stream or end > MOST or data.find(CR) != line + VERSION:
            return
        length = length_in(headers)
        if length is None or CONNECTION in headers or not data.startswith(POST):
            return
        key, named = data[:end], headers.get(REQUEST_ID)
        at = data.find(ID, 0, end) + AFTER_ID
        if at >= AFTER_ID:
            if key.lower().count(REQUEST_ID) > 1:
                return
            key, named = data[:at] + data[data.find(CR, at, end) : end], None
        if len(self.heads) >= KEPT:
            self.heads.clear()
        text = None if not named else named.decode("latin-1")[:ID_LENGTH]
        rest = raw_request(b"", "", target, headers)[2:]
        self.heads[key] = Head(target, length, text, rest, COPY in headers)


def of_no_trace(data: bytes, headers: Headers) -> tuple[bytes, Headers] | None:
    """A request as if it named no trace; None where that is odd, or would be another head each time."""
    if TRACE not in headers:
        return None if STATE in headers else (data, headers)
    cut = without_trace(data)
    if cut is None:
        return None
    rest = cut[0]
    head = rest[: rest.find(END)].lower()
    if TRACE in head or STATE in head:
        return None
    return rest, {name: value for name, value in headers.items() if name not in (TRACE, STATE)}


def without_trace(data: bytes) -> tuple[bytes, bytes] | None:
    """A request without its `traceparent` and `tracestate`, and the former; None where they are not in a plain form."""
    if len(data) > LARGE:
        return None
    at = data.find(TRACED, 0, max(data.find(END), 0))
    if at < 0:
        return None
    begin = at + len(TRACED)
    stop = data.find(CR, begin)
    value = data[begin:stop]
    if len(value) != PARENT_LENGTH or not value.replace(b"-", b"").isalnum():
        return None
    rest = without_state(data[:at] + data[stop:])
    return None if rest is None else (rest, value)


def without_state(data: bytes) -> bytes | None:
    """A request without its `tracestate`, which no span of ours has; None where that is not in a plain form."""
    at = data.find(STATED, 0, max(data.find(END), 0))
    if at < 0:
        return data
    begin = at + len(STATED)
    stop = data.find(CR, begin)
    # routers write an empty one, and no expression is fetched for it
    return data[:at] + data[stop:] if begin == stop or PRINTED.fullmatch(data, begin, stop) else None


def length_in(headers: Headers) -> int | None:
    """How long a body is; None where it is framed in a way that only the parser reads."""
    if CODING in headers:
        return CHUNKED if headers[CODING] == b"chunked" and CONTENT_LENGTH not in headers else None
    return int(headers[CONTENT_LENGTH]) if CONTENT_LENGTH in headers else None


def body_in(data: bytes, begin: int, length: int) -> bytes | None:
    """The body behind a head, where it is whole and nothing follows it."""
    if length != CHUNKED:
        return data[begin:] if len(data) - begin == length else None
    size = SIZE.match(data, begin)
    end = begin if size is None else size.end() + int(size[1], 16)
    # a chunk of no bytes is the end of a body, and what follows another request
    return data[size.end() : end] if size is not None and end > size.end() and data[end:] == LAST else None
