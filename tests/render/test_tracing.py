"""A router that traces: whom it follows, what its spans say, and that a collector can do nothing to requests."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import plain
from collecting import Collector, collecting
from ports import free_port
from render import plans
from render.router import Running, serving, wait_for
from render.upstream import Upstream
from wye_operator.plan.wanted import Auth, RouterPlan, Tracing
from wye_operator.render import envoy, tracing

PARENT = "00f067aa0ba902b7"
OPEN = Auth(open=True, keys=None, version="open")


def traced(port: int, upstream: int, share: int, callers: int) -> RouterPlan:
    plan = plans.to_blue(upstream, OPEN)
    to = Tracing("127.0.0.1", port, share, callers, "fraud", "default")
    return replace(plan, listener=replace(plan.listener, tracing=to))


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def blue() -> Iterator[Upstream]:
    with Upstream("blue") as running:
        yield running


@pytest.fixture(scope="module")
def router(collector: Collector, blue: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """It follows every caller, and samples nobody else."""
    plan = traced(collector.server_address[1], blue.port, 0, 10_000)
    with serving(plan, tmp_path_factory.mktemp("traced"), "blue") as running:
        yield running


def traceparent(number: int, flags: str = "01") -> str:
    return f"00-{number:032x}-{PARENT}-{flags}"


def ask(router: Running, path: str = "/score", **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    assert plain.post(f"{router.url}{path}", content=b"{}", headers=named).status_code == 200


def test_a_caller_is_followed(router: Running, blue: Upstream, collector: Collector) -> None:
    ask(
        router, "/score?secret=1", traceparent=traceparent(1), tracestate="a=b", x_request_id="mine", user_agent="spy/1"
    )
    [span] = collector.trace(f"{1:032x}")
    assert (span["parentSpanId"], span["kind"], span["name"]) == (PARENT, 2, "route split")
    assert span["resource"]["service.name"] == "fraud-router"
    assert span["resource"]["wye.endpoint"] == "fraud"
    assert span["said"]["wye.deployment"] == "blue"
    assert span["traceState"] == "a=b"
    told = blue.seen[-1].headers
    assert told["traceparent"] == f"00-{1:032x}-{span['spanId']}-01"
    assert told["tracestate"] == "a=b"
    assert not [name for name in told if name.startswith("x-wye")]
    text = json.dumps(span)
    assert "secret" not in text
    assert "spy" not in text
    assert lost(router) == 0


def test_what_is_not_sampled_is_only_handed_on(router: Running, blue: Upstream, collector: Collector) -> None:
    ask(router, traceparent=traceparent(2, "00"))
    assert blue.seen[-1].headers["traceparent"].startswith(f"00-{2:032x}-")
    assert blue.seen[-1].headers["traceparent"].endswith("-00")
    ask(router)
    assert blue.seen[-1].headers["traceparent"].endswith("-00")


MALFORMED = {
    "no form": "odd",
    "another version": f"cc-{3:032x}-{PARENT}-01",
    "nobody's trace": f"00-{0:032x}-{PARENT}-01",
    "nobody's span": f"00-{3:032x}-{'0' * 16}-01",
    "upper case": f"00-{'A' * 32}-{PARENT}-01",
    "too long": f"{traceparent(3)}-more",
    "empty": "",
    "bytes": "\xff\xfe",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_is_as_if_none_was_sent(case: str, router: Running, blue: Upstream) -> None:
    headers = {"traceparent": MALFORMED[case].encode("latin-1"), "tracestate": b"a=b"}
    assert plain.post(f"{router.url}/score", content=b"{}", headers=headers).status_code == 200
    told = blue.seen[-1].headers
    assert not told["traceparent"].startswith(f"00-{3:032x}")
    assert told["traceparent"].endswith("-00")
    assert not told.get("tracestate")


def test_a_malformed_tracestate_ends_the_trace(router: Running, blue: Upstream) -> None:
    for state in (b"\xff\xfe", b"a=" + b"b" * 600):
        headers = {"traceparent": traceparent(4).encode(), "tracestate": state}
        assert plain.post(f"{router.url}/score", content=b"{}", headers=headers).status_code == 200
        assert not blue.seen[-1].headers["traceparent"].startswith(f"00-{4:032x}")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-client-trace-id": "1"},
        {"x-envoy-force-trace": "true"},
        {"x-request-id": "00000000-0000-9000-8000-000000000000"},
        {"x-request-id": "00000000-0000-a000-8000-000000000000"},
        {"x-wye-draw": "0", "x-wye-kept": traceparent(5)},
        {"b3": f"{5:032x}-{PARENT}-1"},
    ],
)
def test_nobody_is_sampled_for_another_header(headers: dict[str, str], router: Running, blue: Upstream) -> None:
    ask(router, **headers)
    assert blue.seen[-1].headers["traceparent"].endswith("-00")
    assert not blue.seen[-1].headers["traceparent"].startswith(f"00-{5:032x}")


def test_a_caller_cannot_be_sampled_more_often_than_is_set(
    collector: Collector, blue: Upstream, tmp_path: Path
) -> None:
    """10 % of those that callers sample, and 5 % of all others: those that are not followed are like these."""
    plan = traced(collector.server_address[1], blue.port, 500, 1000)
    asked = 1000
    with serving(plan, tmp_path, "blue") as running, plain.Client(base_url=running.url) as client:
        blue.seen.clear()
        for _ in range(asked):
            # a trace id that a sampler by ratio would always take
            client.post("/score", content=b"{}", headers={"traceparent": traceparent(1), "x-request-id": "0"})
        followed = [r for r in blue.seen if r.headers["traceparent"].startswith(f"00-{1:032x}-")]
        sampled = [r for r in blue.seen if r.headers["traceparent"].endswith("-01")]
    assert abs(len(followed) / asked - 0.1) < 5 * math.sqrt(0.1 * 0.9 / asked)
    assert abs(len(sampled) / asked - 0.145) < 5 * math.sqrt(0.145 * 0.855 / asked)


def test_a_draw_is_won_as_often_as_it_says() -> None:
    assert (tracing._bound(0), tracing._bound(5000), tracing._bound(10_000)) == ("00000000", "80000000", "g")
    assert tracing._bound(1) > "0" * 8


def test_without_traces_nothing_of_them_is_in_the_bootstrap(tmp_path: Path) -> None:
    place = envoy.Place("r", "a", *(plans.at("x", n).instances[0] for n in (1, 2, 3)))
    off = envoy.bootstrap(plans.SPLIT, place).decode()
    assert "opentelemetry" not in off.replace(r"tracing\\.opentelemetry", "")
    assert "traceparent" not in off


BAD = ("nobody", "no name", "fails", "hangs", "closes")
ASKED = 200


@pytest.mark.parametrize("behaviour", BAD)
def test_no_collector_can_harm_requests(
    behaviour: str, blue: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many requests as there is room for spans, ten times over: the room is made small."""
    monkeypatch.setattr(tracing, "MOST_SPANS", ASKED // 10)
    monkeypatch.setattr(tracing, "PATIENCE", "0.5s")
    monkeypatch.setitem(tracing.FLUSH, "tracing.opentelemetry.min_flush_spans", 4)
    with collecting() as bad:
        bad.behaviour = behaviour
        port = free_port() if behaviour == "nobody" else bad.server_address[1]
        plan = traced(port, blue.port, 10_000, 10_000)
        if behaviour == "no name":
            named = replace(plan.listener.tracing, host="collector.invalid")  # type: ignore[type-var]
            plan = replace(plan, listener=replace(plan.listener, tracing=named))
        with serving(plan, tmp_path, "blue") as running, plain.Client(base_url=running.url) as client:
            for _ in range(ASKED):
                assert client.post("/score", content=b"{}").status_code == 200
            wait_for(lambda: lost(running) > 0, "what is lost is counted")
            assert len(running.log().splitlines()) < 5, running.log()


def lost(router: Running) -> int:
    """Messages that the collector did not take, as the operator and the twin read them."""
    return envoy.taken(plain.get(f"{router.inner}{envoy.TAKEN_PATH}").text).traces_lost
