"""Heads that came before: what is known of them is what the parser would tell, or nothing."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wye_runtime.fastlane.heads import KEPT, LARGE, MOST, Heads
from wye_runtime.fastlane.targets import Target, context_in, request_id
from wye_runtime.tracing import Context

TARGET = Target("/score")
BODY = b'{"data":[]}'
LENGTH = b"content-length: %d" % len(BODY)


class Told:
    """What the parser tells."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.events: list[str] = []
        self.body = b""

    def on_message_begin(self) -> None:
        self.events.append("begin")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        self.events.append("head")

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.events.append("end")


def told(data: bytes) -> Told:
    found = Told()
    httptools.HttpRequestParser(found).feed_data(data)
    return found


def request(*lines: bytes, body=BODY, line=b"POST /score HTTP/1.1") -> bytes:
    return b"\r\n".join((line, *(lines or (b"host: a", LENGTH)), b"", body))


def learned(data: bytes) -> Heads:
    heads = Heads()
    heads.learn(data, TARGET, told(data).headers)
    return heads


def with_id(value: bytes) -> bytes:
    return request(b"host: a", b"x-request-id: " + value, LENGTH)


def chunked(*parts: bytes, last=b"0\r\n\r\n", coding=b"chunked") -> bytes:
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return request(b"host: a", b"x-request-id: 7", b"transfer-encoding: " + coding, body=pieces + last)


@pytest.mark.parametrize("body", [BODY, BODY * 500, b"\r\n0\r\n\r\n"])
def test_a_body_of_one_chunk_is_taken_out_of_it(body) -> None:
    known = learned(chunked(BODY)).request(chunked(body))
    assert known is not None
    assert known[1:] == ("7", body, None)


IN_OTHER_CHUNKS = {
    "two chunks": chunked(b"a", b"b"),
    "no chunk": chunked(),
    "an empty one": chunked(b"", b"", last=b""),
    "an extension": chunked(b"a").replace(b"1\r\n", b"1;a\r\n"),
    "a trailer": chunked(b"a", last=b"0\r\na: b\r\n\r\n"),
    "another request behind it": chunked(b"a") + request(),
    "its end missing": chunked(b"a")[:-1],
    "a size with a sign": chunked(b"a").replace(b"\r\n1\r\n", b"\r\n+1\r\n"),
    "a size that is too small": chunked(b"ab").replace(b"\r\n2\r\n", b"\r\n1\r\n"),
    "a size that is too large": chunked(b"ab").replace(b"\r\n2\r\n", b"\r\nfffffff\r\n"),
    "spaces": chunked(b"a").replace(b"\r\n1\r\n", b"\r\n1 \r\n"),
}


@pytest.mark.parametrize("case", IN_OTHER_CHUNKS)
def test_other_chunks_are_for_the_parser(case) -> None:
    assert learned(chunked(BODY)).request(IN_OTHER_CHUNKS[case]) is None


SAME = {
    "no id": (request(), None),
    "another id": (with_id(b"2c0d5c8f-6a45"), "2c0d5c8f-6a45"),
    "a long id": (with_id(b"a" * 300), "a" * 128),
    "an id in capitals": (request(b"X-Request-Id: mine", LENGTH), "mine"),
    "an empty id in capitals": (request(b"X-Request-Id: ", LENGTH), None),
    "an id that stands last": (request(LENGTH, b"x-request-id: 7"), "7"),
    "an id within another header": (request(b"a: x-request-id: 7", LENGTH), None),
    "another body": (request(body=BODY[::-1]), None),
}


@pytest.mark.parametrize("case", SAME)
def test_a_head_that_came_before_is_known(case) -> None:
    data, named = SAME[case]
    found = learned(with_id(b"first") if b"\r\nx-request-id: " in data and LENGTH + b"\r\nx" not in data else data)
    known = found.request(data)
    assert known is not None
    head, identity, body, context = known
    assert (head.target, head.length, identity, body, context) == (TARGET, len(BODY), named, data[-len(BODY) :], None)


UNKNOWN = {
    "an id with a space": with_id(b"a b"),
    "an id that is no ASCII": with_id(b"\xe9"),
    "an id with a control character": with_id(b"a\x00b"),
    "no id at all": with_id(b""),
    "another header": request(b"host: a", b"x-request-id: 7", b"accept: */*", LENGTH),
    "an id twice": request(b"host: a", b"x-request-id: 7", b"x-request-id: 8", LENGTH),
    "a body too long": with_id(b"7") + b" ",
    "a body too short": with_id(b"7")[:-1],
    "two requests": with_id(b"7") * 2,
    "half a head": with_id(b"7")[:40],
    "a line before it": b"\r\n" + with_id(b"7"),
    "nothing": b"",
}


LIKE_THE_LAST = {
    "another id": with_id(b"7"),
    "another header": request(b"host: a", b"accept: */*", LENGTH),
    "a body too long": request() + b" ",
    "a body too short": request()[:-1],
    "no body": request(body=b""),
    "two requests": request() * 2,
    "half a head": request()[:30],
    "nothing": b"",
}


@pytest.mark.parametrize("case", LIKE_THE_LAST)
def test_what_begins_like_the_last_one_is_looked_at_to_its_end(case) -> None:
    heads = learned(request())
    for data in (request(), request()):
        assert heads.request(data) is not None
        assert heads.request(LIKE_THE_LAST[case]) is None


def test_of_two_heads_each_is_known_beside_the_other() -> None:
    heads = learned(request())
    other = request(b"host: b", LENGTH)
    heads.learn(other, TARGET, told(other).headers)
    for data in (request(), other, other, request()):
        known = heads.request(data)
        assert known is not None
        assert (known[0].length, known[2]) == (len(BODY), BODY)


@pytest.mark.parametrize("case", UNKNOWN)
def test_whatever_differs_is_for_the_parser(case) -> None:
    heads = learned(with_id(b"first"))
    assert heads.request(with_id(b"second")) is not None
    assert heads.request(UNKNOWN[case]) is None


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}".encode()


def of_trace(parent: bytes, *, name=b"traceparent: ", more=(), body=BODY) -> bytes:
    return request(b"host: a", b"x-request-id: 7", name + parent, *more, b"content-length: %d" % len(body), body=body)


AT_ENDS = [request(b"traceparent: " + PARENT + b"-01", LENGTH), request(LENGTH, b"traceparent: " + PARENT + b"-01")]

FOLLOWED = {
    "not sampled": (PARENT + b"-00", None),
    "another trace": (PARENT.replace(b"a", b"e") + b"-00", None),
    "sampled": (PARENT + b"-01", Context(TRACE, SPAN)),
    "sampled, and its id is random": (PARENT + b"-03", Context(TRACE, SPAN)),
    "of a later version": (b"01" + PARENT[2:] + b"-01", Context(TRACE, SPAN)),
    "malformed": (PARENT.upper() + b"-01", None),
    "of no version": (b"ff" + PARENT[2:] + b"-01", None),
}


@pytest.mark.parametrize("case", FOLLOWED)
@pytest.mark.parametrize("first", [of_trace(PARENT + b"-01"), request(b"host: a", b"x-request-id: 7", LENGTH)])
def test_a_head_is_known_again_in_another_trace(case, first) -> None:
    parent, context = FOLLOWED[case]
    known = learned(first).request(of_trace(parent))
    assert known is not None
    head, named, body, sampled = known
    assert (head.target, sampled, named, body) == (TARGET, context, "7", BODY)


STATE = b"tracestate: "
WITH_A_STATE = {
    "empty, as routers write it": of_trace(PARENT + b"-01", more=[STATE]),
    "of one vendor": of_trace(PARENT + b"-01", more=[STATE + b"a=1"]),
    "of two": of_trace(PARENT + b"-01", more=[STATE + b'a=1 , b@c=~!"#']),
    "before it": request(b"host: a", b"x-request-id: 7", STATE + b"a=1", b"traceparent: " + PARENT + b"-01", LENGTH),
    "at the end": request(b"host: a", b"x-request-id: 7", b"traceparent: " + PARENT + b"-01", LENGTH, STATE),
}


@pytest.mark.parametrize("case", WITH_A_STATE)
@pytest.mark.parametrize("first", [*WITH_A_STATE, "none"])
def test_the_state_of_a_trace_makes_no_other_head(case, first) -> None:
    heads = learned(WITH_A_STATE.get(first, request(b"host: a", b"x-request-id: 7", LENGTH)))
    assert len(heads.heads) == 1
    known = heads.request(WITH_A_STATE[case])
    assert known is not None
    assert known[1:] == ("7", BODY, Context(TRACE, SPAN))


def test_a_head_is_known_again_without_a_trace() -> None:
    heads = learned(of_trace(PARENT + b"-01"))
    assert heads.request(of_trace(PARENT + b"-01")) is not None
    known = heads.request(request(b"host: a", b"x-request-id: 7", LENGTH))
    assert known is not None
    assert known[3] is None


IN_ANOTHER_FORM = {
    "too long": of_trace(PARENT + b"-01-"),
    "too short": of_trace(PARENT + b"-0"),
    "in capitals": of_trace(PARENT + b"-01", name=b"Traceparent: "),
    "with a control character": of_trace(PARENT.replace(b"0a", b"\0a") + b"-00"),
    "no ASCII": of_trace(PARENT.replace(b"0a", b"\xe9a") + b"-00"),
    "twice": of_trace(PARENT + b"-01", more=[b"traceparent: " + PARENT + b"-01"]),
    "twice, once in capitals": of_trace(PARENT + b"-01", more=[b"Traceparent: " + PARENT + b"-01"]),
    "in a large request": of_trace(PARENT + b"-01", body=b"a" * LARGE),
    "with two states": of_trace(PARENT + b"-01", more=[STATE + b"a=1", STATE]),
    "with a state in capitals": of_trace(PARENT + b"-01", more=[b"Tracestate: a=1"]),
    "with two states, one in capitals": of_trace(PARENT + b"-01", more=[STATE, b"Tracestate: a=1"]),
    "with a control character in its state": of_trace(PARENT + b"-01", more=[STATE + b"a=\0"]),
    "with a state over two lines": of_trace(PARENT + b"-01", more=[STATE + b"a=1,", b" b=2"]),
    "with a state that is no ASCII": of_trace(PARENT + b"-01", more=[STATE + b"a=\xe9"]),
    "with the state of no trace": request(b"host: a", b"x-request-id: 7", STATE, LENGTH),
}


@pytest.mark.parametrize("data", AT_ENDS)
def test_a_trace_may_stand_first_and_last(data) -> None:
    known = learned(data).request(data)
    assert known is not None
    assert known[1:] == (None, BODY, Context(TRACE, SPAN))


@pytest.mark.parametrize("case", IN_ANOTHER_FORM)
def test_a_trace_in_another_form_is_for_the_parser(case) -> None:
    data = IN_ANOTHER_FORM[case]
    heads = learned(of_trace(PARENT + b"-01"))
    assert heads.request(data) is None


NO_HTTP = [case for case in IN_ANOTHER_FORM if "control character" in case or "two lines" in case]


@pytest.mark.parametrize("case", [case for case in IN_ANOTHER_FORM if case not in (*NO_HTTP, "too short", "no ASCII")])
def test_a_head_with_such_a_trace_is_not_kept(case) -> None:
    assert learned(IN_ANOTHER_FORM[case]).heads == {}


def test_a_large_request_is_not_copied_for_its_trace() -> None:
    """The length of a chunked body is not said in the head."""
    heads, traced = learned(chunked(BODY)), b"x-request-id: 7\r\ntraceparent: " + PARENT + b"-00"
    small, large = (chunked(body).replace(b"x-request-id: 7", traced, 1) for body in (BODY, b"a" * LARGE))
    assert heads.request(chunked(b"a" * LARGE)) is not None
    assert heads.request(small) is not None
    assert heads.request(large) is None


WITHIN = b"\r\ntraceparent: " + PARENT + b"-00"
IN_A_BODY = {
    "behind a head of its length": request(b"host: a", LENGTH, body=BODY[:2] + WITHIN + b"\r" + BODY[3:]),
    "over the head's end": request(
        b"host: a", b"traceparent: 00", body=b"a" * 49 + b"\r\n" + LENGTH + b"\r\n" * 2 + BODY
    ),
}


@pytest.mark.parametrize("case", IN_A_BODY)
def test_what_looks_like_a_trace_in_a_body_stays_there(case) -> None:
    heads = learned(request())
    assert heads.request(request()) is not None
    assert heads.request(IN_A_BODY[case]) is None


NEVER = {
    "GET": request(line=b"GET /score HTTP/1.1"),
    "HTTP/1.0": request(line=b"POST /score HTTP/1.0"),
    "a path like a version": request(b"x: HTTP/1.1", LENGTH, line=b"POST /score?a HTTP/1.0"),
    "a connection header": request(b"connection: keep-alive", LENGTH),
    "a last request": request(b"Connection: close", LENGTH),
    "another coding": chunked(BODY, coding=b"gzip, chunked"),
    "no length": request(b"host: a", body=b""),
    "two ids": request(b"X-Request-Id: a", b"x-request-id: b", LENGTH),
    "a large head": request(b"a: " + b"a" * MOST, LENGTH),
}


@pytest.mark.parametrize("case", NEVER)
def test_an_odd_head_is_not_kept(case) -> None:
    assert learned(NEVER[case]).heads == {}


def test_no_more_heads_are_kept_than_so_many() -> None:
    heads = Heads()
    for at in range(KEPT + 1):
        data = request(b"a: %d" % at, LENGTH)
        heads.learn(data, TARGET, told(data).headers)
    assert len(heads.heads) == 1


def test_the_parser_says_at_once_that_a_request_begins() -> None:
    """So that it is known whether it stands between two: a head is looked up only there."""
    assert told(request()).events == ["begin", "head", "end"]
    assert told(request() + b"P").events == ["begin", "head", "end", "begin"]
    assert told(request() + b"\r\n\r\n").events == ["begin", "head", "end"]


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\n", b"\r\r\n", b"\n\r\n"])
def test_the_parser_ends_a_head_at_nothing_else(end) -> None:
    with pytest.raises(httptools.HttpParserError):
        told(b"POST /score HTTP/1.1\r\n" + LENGTH + end + BODY + b"\r\n\r\n")


PIECES = [
    *(b"\r\n", b"\r", b"\r\n\r\n", b" ", b"", b"a", b"\x00", b"\xe9", BODY, LENGTH, b"content-length: 0", request()),
    *(b"x-request-id: 7", b"x-request-id: ", b"traceparent: ", b"Traceparent: ", PARENT, b"-00", b"-01", WITHIN),
    *(STATE, b"\r\n" + STATE, b"Tracestate: ", b"a=1", b"\x7f", b"\t"),
    *(b"host: a", b"transfer-encoding: chunked", b"b\r\n", b"0\r\n\r\n", b"POST /score HTTP/1.1\r\n"),
]
TRACES = [of_trace(PARENT + b"-00"), of_trace(PARENT + b"-01"), *AT_ENDS, *WITH_A_STATE.values()]
BASES = [request(), with_id(b"7"), chunked(BODY), *TRACES]


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """A request with pieces in places where they are not expected, or without some of its own."""
    data = draw(st.sampled_from(BASES))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.sampled_from([0, 0, 1, 2, 11, 55, 70]))
        data = data[:at] + draw(st.sampled_from(PIECES)) + data[at + gone :]
    return data


@given(mutilated())
@settings(max_examples=max(1000, settings().max_examples))
def test_what_is_known_is_what_the_parser_tells(data) -> None:
    heads = Heads()
    for each in BASES:
        heads.learn(each, TARGET, told(each).headers)
    known = heads.request(data)
    if known is None:
        return
    parsed = told(data)
    _, named, body, context = known
    assert parsed.events == ["begin", "head", "end"]
    assert body == parsed.body
    assert named == (request_id(parsed.headers) if b"x-request-id" in parsed.headers else None)
    assert context == context_in(parsed.headers)
