"""The short way and the ordinary one answer the same: status, headers and bytes, whatever comes over a connection."""

from __future__ import annotations

import json
import re
import socket

import pytest

import toys
from wire import conversed

INFER, SCORE = "/v2/models/toy/infer", "/score"
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2.5, 3]}
GOOD = json.dumps({"inputs": [TENSOR], "id": "7"}).encode()
ROWS = b'{"data":[[1,2,3],[4,5,6]]}'
LAST = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-request-id: last\r\nconnection: close\r\n\r\n"
ID = "x-request-id: mine"
LIMIT = 200_000


def request(body=GOOD, path=INFER, *headers, method="POST", version="1.1", length=True) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: a", *(headers or (ID,))]
    lines += [f"content-length: {len(body)}"] if length else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*parts: bytes, trailer: bytes = b"") -> bytes:
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return request(pieces + b"0\r\n" + trailer + b"\r\n", INFER, ID, "transfer-encoding: chunked", length=False)


def binary() -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return request(head + b"\0" * 12, INFER, ID, f"Inference-Header-Content-Length: {len(head)}")


def large(count=30_000, last="1") -> bytes:
    values = ",".join(["1.5"] * (count - 1) + [last])
    tensor = f'"name":"x","datatype":"FP32","shape":[{count // 3},3],"data":[{values}]'
    return request(b'{"inputs":[{%b}]}' % tensor.encode())


GET = request(b"", "/v2", ID, method="GET", length=False)
CASES: dict[str, list[bytes]] = {
    "tensors": [request()],
    "tensors, by version": [request(path="/v2/models/toy/versions/1/infer")],
    "tensors in binary": [binary()],
    "rows": [request(ROWS, SCORE)],
    "no id": [request(GOOD, INFER, "accept: */*")],
    "an empty id": [request(GOOD, INFER, "x-request-id: ")],
    "a long id": [request(GOOD, INFER, "x-request-id: " + "i" * 300)],
    "an id that is no ASCII": [request(GOOD, INFER, "x-request-id: é")],
    "two ids": [request(GOOD, INFER, "x-request-id: one", "X-Request-Id: two")],
    "two content types": [request(ROWS, SCORE, ID, "content-type: text/csv", "content-type: application/json")],
    "a type that is not read": [request(ROWS, SCORE, ID, "content-type: text/plain")],
    "a compressed body": [request(ROWS, SCORE, ID, "content-encoding: gzip")],
    "a chunked body": [chunked(GOOD[:10], GOOD[10:])],
    "a chunked body with a trailer": [chunked(GOOD, trailer=b"x-request-id: late\r\n")],
    "a body in pieces": [request()[:40], request()[40:90], request()[90:-5], request()[-5:]],
    "two requests": [request(), request(ROWS, SCORE)],
    "two requests in one piece": [request() + request(ROWS, SCORE)],
    "many requests in one piece": [request() * 200],
    "both ways in turn, in one piece": [request() + GET + request(ROWS, SCORE) + GET + request()],
    "large ones among small ones": [large() + request() + large() + request(ROWS, SCORE) + GET + large()],
    "a large body with a wrong value": [large(last='"x"')],
    "no JSON": [request(b"{")],
    "no body": [request(b"")],
    "an unknown key": [request(b'{"inputs":[],"outpts":[]}')],
    "a wrong value": [request(b'{"data":[[1,2,"x"]]}', SCORE)],
    "a failing request among others": [request() + request(b"{") + request()],
    "another model": [request(path="/v2/models/other/infer")],
    "another version": [request(path="/v2/models/toy/versions/2/infer")],
    "a query": [request(path=INFER + "?x=1")],
    "a quoted path": [request(path="/v2/models/t%6Fy/infer")],
    "a slash too many": [request(path=INFER + "/")],
    "another method": [request(b"", SCORE, ID, method="GET", length=False)],
    "PUT": [request(method="PUT")],
    "a body that is announced": [request(GOOD, INFER, ID, "expect: 100-continue")],
    "too large, and says so": [request(b" " * (LIMIT + 1))],
    "too large, in pieces": [chunked(*[b" " * 50_000] * 5), request()],
    "a wrong frame": [request(GOOD, INFER, ID, "inference-header-content-length: 9999")],
    "a frame that is no number": [request(GOOD, INFER, ID, "inference-header-content-length: x")],
}
# these end their connection
CLOSING: dict[str, list[bytes]] = {
    "HTTP/1.0, kept alive": [request(GOOD, INFER, ID, "connection: keep-alive", version="1.0")],
    "the last request": [request(GOOD, INFER, ID, "connection: close")],
    "the last of several": [request() + request(GOOD, INFER, ID, "connection: close") + request()],
    "HTTP/1.0": [request(version="1.0")],
    "an upgrade": [request(GOOD, INFER, ID, "connection: upgrade", "upgrade: h2c")],
    "garbage": [b"\x16\x03\x01\r\n\r\n"],
    "two lengths": [request(GOOD, INFER, ID, "content-length: 3")],
    "a length and chunks": [request(GOOD, INFER, ID, "transfer-encoding: chunked")],
    "broken chunks": [request(b"zz\r\n", INFER, ID, "transfer-encoding: chunked", length=False)],
    "a huge head": [request(GOOD, INFER, ID, *(f"h{at}: {'v' * 1000}" for at in range(100)))],
}


@pytest.fixture(scope="module")
def lanes(servers):
    """The same server twice: with the short way, and without."""
    made = toys.passing()
    both = [servers.start(made, {"WYE_FAST_LANE": lane}, maxRequestBytes=LIMIT) for lane in "10"]
    return [server.ready() for server in both]


def exchanged(server, pieces: list[bytes], last=LAST) -> bytes:
    """All that comes back until the server closes, which the last request asks for."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), 30) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in [*pieces, last]:
                wire.sendall(piece)
            while part := wire.recv(65536):
                answer += part
        except (ConnectionResetError, BrokenPipeError):
            pass
    return answer


def plainly(answer: bytes) -> bytes:
    """Without what differs from one moment to the next."""
    answer = re.sub(rb"date: [^\r]*", b"date: now", answer)
    return re.sub(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", b"NEW-ID", answer)


@pytest.mark.parametrize("case", CASES)
def test_both_ways_answer_the_same(lanes, case) -> None:
    short, ordinary = (plainly(exchanged(server, CASES[case])) for server in lanes)
    assert short == ordinary
    assert short.endswith(b"\r\n\r\nHealthy")


@pytest.mark.parametrize("case", CLOSING)
def test_both_ways_end_the_same(lanes, case) -> None:
    short, ordinary = (plainly(exchanged(server, CLOSING[case], b"")) for server in lanes)
    assert short == ordinary
    assert b"\r\nconnection: close\r\n" in short


@pytest.mark.parametrize("first", [request(), large(), GET], ids=["a short one", "a long one", "an ordinary one"])
def test_garbage_behind_a_request_is_not_answered_before_it(lanes, first) -> None:
    """Whether it is answered at all depends on the moment: an answer that is owed closes the connection."""
    alone = plainly(exchanged(lanes[1], [first])).removesuffix(plainly(exchanged(lanes[1], [])))
    for server in lanes:
        answer = plainly(exchanged(server, [first + b"\x00\x01garbage\r\n\r\n"], b""))
        assert answer.replace(b"connection: close\r\n", b"", 1).startswith(alone)
        assert answer.count(b"HTTP/1.1 200 ") == 1
        assert answer.count(b"HTTP/1.1 ") == 1 + answer.count(b"HTTP/1.1 400 ")


def again(server, requests: list[bytes]) -> list[bytes]:
    """What is answered over one connection."""
    return [plainly(answer) for answer in conversed(server.port, requests)]


OTHER = GOOD.replace(b"2.5", b"7.5")
AGAIN: dict[str, list[bytes]] = {
    "the same": [request()] * 3,
    "another body": [request(), request(OTHER), request(ROWS), request(ROWS[:-1] + b"]", SCORE)],
    "another id": [
        request(GOOD, INFER, f"x-request-id: {each}") for each in ("a", "b", "c-d", "e f", "", "é", "g" * 200)
    ],
    "two ids": [
        request(GOOD, INFER, *ids) for ids in (["x-request-id: a"], ["x-request-id: b", "x-request-id: c"]) * 2
    ],
    "both ways in turn": [request(), GET, request(), GET, request(ROWS, SCORE), request(ROWS, SCORE)],
    "large ones": [large(), request(), large(), request()],
    "wrong ones": [request(b"{"), request(), request(b"["), request()],
    "traces": [
        request(GOOD, INFER, ID, f"traceparent: {each}")
        for each in (*(f"00-{number * 32}-{number * 16}-0{flag}" for number in "12" for flag in (0, 1, 0)), "odd", "")
    ],
    "a length that is another's": [request(), request(GOOD + b" "), request()],
}


@pytest.mark.parametrize("case", AGAIN)
def test_both_ways_answer_the_same_again(lanes, case) -> None:
    short, ordinary = (again(server, AGAIN[case]) for server in lanes)
    assert short == ordinary


def test_a_request_behind_a_known_one_is_read_where_it_begins(lanes) -> None:
    """Some bytes of it come with the one before: what is known of heads says nothing about them."""
    short, ordinary = lanes
    for at in (1, 4, 30, -1):
        pieces = [request(), request() + request(OTHER)[:at], request(OTHER)[at:] + request()]
        for server in lanes:
            again(server, [request(), request()])
        assert plainly(exchanged(short, pieces)) == plainly(exchanged(ordinary, pieces))


OURS = ("wye_requests_total", "wye_requests_dropped", "wye_request_duration_seconds_count", "wye_run_duration")
COUNTED = ("tensors", "rows", "no JSON", "large ones among small ones", "another model", "too large, in pieces")


def counted(server) -> list[str]:
    lines = server.inner.get("/metrics").text.splitlines()
    return sorted(line for line in lines if line.startswith(OURS) and "_bucket" not in line and "_sum" not in line)


def test_both_ways_count_the_same(servers, wait_until) -> None:
    made = toys.passing()
    both = [servers.start(made, {"WYE_FAST_LANE": lane}, maxRequestBytes=LIMIT).ready() for lane in "10"]
    for case in COUNTED:
        for server in both:
            exchanged(server, CASES[case])
    short, ordinary = both
    wait_until(lambda: counted(short) == counted(ordinary), (counted(short), counted(ordinary)))
    assert any('code="413",route="/v2/models/{model}/infer"' in line for line in counted(short))
    assert short.load() == ordinary.load()
    assert [server.stop() for server in both] == [0, 0]


def test_both_ways_fail_the_same(servers, wait_until) -> None:
    made = toys.raising()
    body = json.dumps({"inputs": [{"name": "index", "datatype": "INT64", "shape": [1], "data": [7]}]}).encode()
    both = [servers.start(made, {"WYE_FAST_LANE": lane}).ready() for lane in "10"]
    short, ordinary = (plainly(exchanged(server, [request(body) + request(body)])) for server in both)
    assert short == ordinary
    assert short.count(b"HTTP/1.1 500 ") == 2
    lines = [wait_until(lambda server=server: server.line("request failed")) for server in both]
    assert [(line["requestId"], line["route"], line["status"]) for line in lines] == [
        ("mine", "/v2/models/{model}/infer", 500)
    ] * 2
    for server in both:
        server.stop()


def test_the_switch_says_what_it_takes(servers) -> None:
    server = servers.start(toys.passing(), {"WYE_FAST_LANE": "off"})
    assert server.ended() == 2
    assert server.last_words()["message"] == 'WYE_FAST_LANE is "off", want 1 or 0'
