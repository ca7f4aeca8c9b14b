"""Traces that are sent: what a request's spans say on every way through the server; no collector can harm it."""

from __future__ import annotations

import asyncio
import json
import math
import time

import httpx
import pytest

import toys
from collecting import collecting
from ports import free_port
from wire import conversed, post
from wye_runtime import settings
from wye_runtime.errors import ConfigError
from wye_runtime.tracing import Context, Tracer
from wye_runtime.tracing.exporting import MOST_WAITING, Exporter
from wye_runtime.tracing.spans import message
from wye_runtime.tracing.tracer import MOST_A_SECOND
from wye_runtime.tracing.watch import Ended, Watch, share

PARENT = "00f067aa0ba902b7"
ROWS = {"data": [[1, 2, 3]]}
RESOURCE = {"service.name": "fraud-blue", "wye.endpoint": "fraud"}


def trace(number):
    return f"{number:032x}"


def sampled(number, flags="01"):
    return {"traceparent": f"00-{trace(number)}-{PARENT}-{flags}"}


def tracing(url):
    return {"endpoint": url, "resource": RESOURCE}


@pytest.fixture(scope="module")
def collector():
    with collecting() as made:
        yield made


@pytest.fixture(scope="module", params=["1", "0"])
def server(request, servers, collector):
    return servers.start(toys.linear(3), {"WYE_FAST_LANE": request.param}, tracing=tracing(collector.url)).ready()


@pytest.fixture(scope="module")
def threaded(servers, collector):
    """A model that runs in threads, where requests that wait share a run."""
    company = {"mode": "Always", "maxBatchSize": 16, "maxDelayMs": 30}
    patient = {"requestTimeoutMs": 60_000}
    made = servers.start(toys.linear(3), tracing=tracing(collector.url), batching=company, requestSettings=patient)
    return made.ready()


def named(spans, name):
    return next(span for span in spans if span["name"] == name)


def times(span):
    return int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])


def test_a_sampled_request_is_seen_whole(server, collector):
    number = server.port << 8
    before = time.time_ns()
    answer = server.http.post("/score", json=ROWS, headers=sampled(number) | {"x-request-id": "mine"})
    assert answer.status_code == 200
    spans = collector.trace(trace(number), 4)
    own = named(spans, "/score")
    assert (own["parentSpanId"], own["kind"], own["resource"]["service.name"]) == (PARENT, 2, "fraud-blue")
    assert own["said"] == {"http.route": "/score", "http.response.status_code": "200", "wye.request_id": "mine"}
    assert before <= times(own)[0] <= times(own)[1] <= time.time_ns()
    for span in spans:
        assert times(own)[0] <= times(span)[0] <= times(span)[1] <= times(own)[1]
    parents = {span["name"]: span["parentSpanId"] for span in spans}
    assert parents.keys() == {"/score", "decode", "queue", "batch", "run"} or parents.keys() == {
        "/score",
        "decode",
        "queue",
        "run",
    }
    assert {parents["decode"], parents["queue"]} == {own["spanId"]}


def test_heads_that_came_before_belong_to_traces_of_their_own(server, collector):
    body, numbers = json.dumps(ROWS).encode(), [server.port << 8 | n for n in range(16, 20)]
    parents = [f"traceparent: 00-{trace(number)}-{number:016x}-01" for number in numbers]
    for answer in conversed(server.port, [post("/score", body, parent) for parent in parents]):
        assert answer.startswith(b"HTTP/1.1 200 ")
    for number in numbers:
        spans = collector.trace(trace(number), 4)
        own = named(spans, "/score")
        assert own["parentSpanId"] == f"{number:016x}"
        assert {span["parentSpanId"] for span in spans if span["name"] in ("decode", "queue")} == {own["spanId"]}
        assert named(spans, "run")


def test_a_copy_is_marked_and_a_failure_is_one(server, collector):
    number = server.port << 8 | 1
    headers = sampled(number) | {"x-wye-mirrored": "true"}
    assert server.http.post("/score", json={"other": 1}, headers=headers).status_code == 422
    [own] = [span for span in collector.trace(trace(number)) if span["name"] == "/score"]
    assert own["said"]["wye.mirrored"] is True
    assert "status" not in own  # the caller's fault is no failure of this server


def test_requests_that_nobody_samples_leave_nothing(server, collector):
    number = server.port << 8 | 2
    for flags in ("00", "02", "00"):
        assert server.http.post("/score", json=ROWS, headers=sampled(number, flags)).status_code == 200
    for odd in ("", "odd", f"00-{trace(number)}-{PARENT}-01-more", f"00-{'0' * 32}-{PARENT}-01"):
        assert server.http.post("/score", json=ROWS, headers={"traceparent": odd}).status_code == 200
    last = number + 1
    server.http.post("/score", json=ROWS, headers=sampled(last))
    collector.trace(trace(last))
    assert not [span for span in collector.spans() if span["traceId"] == trace(number)]


def test_gRPC_is_seen_too(server, collector):
    number = server.port << 8 | 4
    body = b"\0\0\0\0\0"
    headers = sampled(number) | {"content-type": "application/grpc"}
    server.http.post("/inference.GRPCInferenceService/ModelInfer", content=body, headers=headers)
    collector.trace(trace(number))


async def together(server, number):
    """Two sampled requests among five at once."""
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=60) as client:
        asked = [client.post("/score", json=ROWS, headers=sampled(number + n)) for n in range(2)]
        asked += [client.post("/score", json=ROWS) for _ in range(3)]
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}


def sharing(server, collector):
    """(number, spans of the first, of the second), once both ran together: on a busy machine one may come too late."""
    for number in range(1000, 1100, 2):
        asyncio.run(together(server, number))
        found = [collector.trace(trace(number + n), 4) for n in range(2)]  # all spans of a request come at once
        if all(any(span.get("links") for span in spans) for spans in found):
            return number, *found
    raise AssertionError("no two of five requests at once ran together")


def test_requests_that_share_a_run_point_at_each_other(threaded, collector):
    number, first, second = sharing(threaded, collector)
    mine, other = named(first, "batch"), named(second, "batch")
    assert mine["links"][0]["spanId"] == other["spanId"]
    assert other["links"][0]["traceId"] == trace(number)
    assert int(mine["said"]["wye.batch.requests"]) >= 2
    assert int(mine["said"]["wye.batch.rows"]) >= 2
    assert named(first, "run")["parentSpanId"] == mine["spanId"]
    assert mine["parentSpanId"] == named(first, "/score")["spanId"]
    assert times(named(first, "queue"))[1] <= times(mine)[0]


BAD = {"refuses": None, "fails": "fails", "closes": "closes", "hangs": "hangs"}


@pytest.mark.parametrize("behaviour", BAD)
def test_no_collector_can_harm_requests(behaviour, servers, wait_until):
    with collecting() as bad:
        bad.behaviour = BAD[behaviour] or ""
        url = bad.url if BAD[behaviour] else f"http://127.0.0.1:{free_port()}"
        server = servers.start(toys.linear(3), tracing=tracing(url)).ready()
        for n in range(60):
            assert server.http.post("/score", json=ROWS, headers=sampled(2000 + n)).status_code == 200
        wait_until(
            lambda: server.line("traces cannot be sent: they are dropped, and requests go on"), "nothing is said"
        )
        for n in range(60):
            assert server.http.post("/score", json=ROWS, headers=sampled(3000 + n)).status_code == 200
        wait_until(lambda: server.metric('wye_traced_requests_total{end="dropped"}') >= 1, "nothing is counted")
        said = [line for line in server.lines() if line["message"].startswith("traces cannot")]
        assert len(said) == 1
        if behaviour == "fails":
            bad.behaviour = ""
            server.http.post("/score", json=ROWS, headers=sampled(4000))
            bad.trace(trace(4000), 2)
            wait_until(lambda: server.line("traces are sent again"), "nothing is said of its return")


def written(*requests):
    [resource] = json.loads(message({}, requests))["resourceSpans"]
    [scope] = resource["scopeSpans"]
    return scope["spans"]


def over(watch, status=200):
    return Ended(watch, "/score", 1.0, 5.0, 9_000_000_000, status, "1", is_copy=False)


def nanoseconds(seconds):
    """What `over` makes of a time."""
    return str(int((seconds + 4) * 1e9))


def test_a_request_with_several_runs_has_one_span_for_them() -> None:
    watch = Watch(Context(trace(1), PARENT))
    watch.arrived(1.5)
    watch.decoded(1.5, 2.0)
    watch.ran([(2.5, 3.0), (3.0, 4.0)])
    spans = written(over(watch))
    assert [span["name"] for span in spans] == ["/score", "queue", "decode", "run"]
    own, queue, _, run = spans
    assert (queue["startTimeUnixNano"], queue["endTimeUnixNano"]) == (nanoseconds(2.0), nanoseconds(2.5))
    assert (run["startTimeUnixNano"], run["endTimeUnixNano"]) == (nanoseconds(2.5), nanoseconds(4.0))
    assert run["attributes"] == [{"key": "wye.runs", "value": {"intValue": "2"}}]
    assert {span["parentSpanId"] for span in spans[1:]} == {own["spanId"]}
    assert (own["startTimeUnixNano"], own["endTimeUnixNano"]) == (nanoseconds(1.0), "9000000000")
    assert "status" not in own


def test_a_run_in_company_that_failed_is_seen_beside_the_one_alone() -> None:
    watch = Watch(Context(trace(1), PARENT))
    watch.arrived(1.5)
    share([watch], (2.0, 3.0), [1, 4], [(2.0, 2.5)])
    watch.ran([(3.5, 4.0)])
    own, queue, alone, batch, run = written(over(watch, 500))
    assert [each["name"] for each in (queue, alone, batch, run)] == ["queue", "run", "batch", "run"]
    assert queue["endTimeUnixNano"] == nanoseconds(2.0)  # it was taken up then
    assert (alone["parentSpanId"], batch["parentSpanId"], run["parentSpanId"]) == (
        own["spanId"],
        own["spanId"],
        batch["spanId"],
    )
    assert own["status"] == {"code": 2}
    said = {each["key"]: each["value"]["intValue"] for each in batch["attributes"]}
    assert said == {"wye.batch.requests": "2", "wye.batch.rows": "5"}
    assert "links" not in batch  # the other request was not sampled


@pytest.mark.parametrize("at_once", [True, False])
def test_each_of_three_points_at_the_other_two(at_once) -> None:
    """However they come to be written: in one message, or each in one of its own."""
    watches = [Watch(Context(trace(n), PARENT)) for n in (1, 2, 3)]
    share(watches, (2.0, 3.0), [1, 1, 1], [(2.0, 2.5)])
    ended = [over(watch) for watch in watches]
    spans = written(*ended) if at_once else [span for each in ended for span in written(each)]
    batches = {span["traceId"]: span for span in spans if span["name"] == "batch"}
    assert len({span["spanId"] for span in batches.values()}) == 3
    for number, own in batches.items():
        links = {link["traceId"]: link["spanId"] for link in own["links"]}
        assert links == {other: span["spanId"] for other, span in batches.items() if other != number}


def test_a_collector_that_is_behind_is_not_waited_for() -> None:
    exporter = Exporter("127.0.0.1", 1, {})
    for _ in range(MOST_WAITING + 5):
        exporter.add(object())
    assert (len(exporter.waiting), exporter.dropped) == (MOST_WAITING, 5)


def test_a_collector_whose_name_is_none_is_one_that_is_away() -> None:
    exporter = Exporter("collector..observability", 4318, {})
    assert "label" in exporter.posted(b"{}")


def test_no_more_requests_are_watched_than_a_second_has_room_for() -> None:
    tracer = Tracer(Exporter("127.0.0.1", 1, {}))
    tracer.second = math.inf  # no other second begins meanwhile
    seen = [tracer.watch(Context(trace(1), PARENT)) for _ in range(MOST_A_SECOND + 10)]
    assert [bool(each) for each in seen] == [True] * MOST_A_SECOND + [False] * 10
    assert tracer.passed_over == 10
    tracer.second = -math.inf
    assert tracer.watch(Context(trace(1), PARENT)), "the next second has room again"


def test_what_became_of_a_request_that_is_over_is_forgotten() -> None:
    tracer = Tracer(Exporter("127.0.0.1", 1, {}))
    watch, job = Watch(Context(trace(1), PARENT)), object()
    tracer.ended(over(watch))
    tracer.became(watch, job)  # by a thread, after its caller left
    assert not tracer.jobs


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"endpoint": "collector:4318"}, "tracing.endpoint is"),
        ({"endpoint": "http://collector:70000"}, "want http://HOST:PORT"),
        ({"endpoint": "http://collector:4318/v1/traces"}, "want http://HOST:PORT"),
        ({}, "want http://HOST:PORT"),
        ({"endpoint": "http://a:1", "resource": {"a": 1}}, "tracing.resource"),
        ({"endpoint": "http://a:1", "headers": {}}, "unknown keys headers"),
    ],
)
def test_a_wrong_setting_is_named(said, words) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        settings.parse_config({"model": {"path": "m"}, "tracing": said})
