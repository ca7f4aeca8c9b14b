"""A router that traces: whom it follows, what its spans say, and that a collector can do nothing to requests."""

from __future__ import annotations

import json
import math
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

import plain
from collecting import Collector, collecting
from ports import free_port
from render import plans
from render.router import Running, serving, wait_for
from render.upstream import Upstream
from wye_operator.plan.wanted import Auth, RouterPlan, Sampling, Share
from wye_operator.render import envoy, inside, tracing
from wye_operator.render.routes import route_configuration
from wye_runtime.fastlane.heads import Heads
from wye_runtime.fastlane.targets import Target
from wye_runtime.tracing import Context

PARENT = "00f067aa0ba902b7"
OPEN = Auth(open=True, keys=None, version="open")


def traced(port: int, upstream: int, share: int, callers: int) -> RouterPlan:
    plan = plans.to_blue(upstream, OPEN)
    return plans.traced(plan, port, share, callers)


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
    assert span["said"]["guid:x-request-id"] == "mine"
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


MADE = "[0-9a-f-]{36}"


@pytest.mark.parametrize(("sent", "form"), [("mine", "mine"), (None, MADE), ("of two words", MADE)])
def test_a_sampled_request_has_one_id_for_all(
    sent: str | None, form: str, router: Running, blue: Upstream, collector: Collector
) -> None:
    number = 40 + len(sent or "")
    headers = {"traceparent": traceparent(number), **({"x-request-id": sent} if sent else {})}
    answer = plain.post(f"{router.url}/score", content=b"{}", headers=headers)
    [span] = collector.trace(f"{number:032x}")
    [told] = answer.headers.get_list("x-request-id")
    assert re.fullmatch(form, told)
    assert blue.seen[-1].headers["x-request-id"] == span["said"]["guid:x-request-id"] == told


def test_what_is_not_sampled_is_only_handed_on(router: Running, blue: Upstream, collector: Collector) -> None:
    ask(router, traceparent=traceparent(2, "00"))
    assert blue.seen[-1].headers["traceparent"] == traceparent(2, "00")
    ask(router)
    assert "traceparent" not in blue.seen[-1].headers


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
    assert "traceparent" not in told
    assert "tracestate" not in told


def test_who_is_not_followed_is_sampled_like_all_others(collector: Collector, blue: Upstream, tmp_path: Path) -> None:
    """Everybody is sampled, and nobody followed: in a new trace, but for who says that it is not sampled."""
    with serving(traced(collector.server_address[1], blue.port, 10_000, 0), tmp_path, "blue") as running:
        for case in (*MALFORMED.values(), traceparent(7)):
            headers = {"traceparent": case.encode("latin-1"), "tracestate": b"a=b"}
            assert plain.post(f"{running.url}/score", content=b"{}", headers=headers).status_code == 200
            told = blue.seen[-1].headers
            assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", told["traceparent"]), case
            assert f"{7:032x}" not in told["traceparent"]
            assert not told.get("tracestate")
        ask(running, traceparent=traceparent(7, "00"))
        assert blue.seen[-1].headers["traceparent"] == traceparent(7, "00")


@pytest.mark.parametrize("state", [{}, {"tracestate": "a=b"}], ids=["no state", "a state"])
def test_the_runtime_knows_a_sampled_request_of_the_router_again(router: Running, blue: Upstream, state) -> None:
    """Envoy writes the state of a trace also where there is none."""
    heads = Heads()
    for number in (21, 22):
        ask(router, traceparent=traceparent(number), user_agent="spy/1", **state)
        told = blue.seen[-1].headers
        lines = ["POST /score HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", "{}"]
        data = "\r\n".join(lines).encode()
        known = heads.request(data)
        heads.learn(data, Target("/score"), {name.encode(): value.encode() for name, value in told.items()})
    assert known is not None
    assert known[3] == Context(f"{22:032x}", told["traceparent"][36:52])


def test_a_malformed_tracestate_ends_the_trace(router: Running, blue: Upstream) -> None:
    for state in (b"\xff\xfe", b"a=" + b"b" * 600):
        headers = {"traceparent": traceparent(4).encode(), "tracestate": state}
        assert plain.post(f"{router.url}/score", content=b"{}", headers=headers).status_code == 200
        assert "traceparent" not in blue.seen[-1].headers


@pytest.mark.parametrize(
    "headers",
    [
        {"x-client-trace-id": "1"},
        {"x-envoy-force-trace": "true"},
        {"x-request-id": "00000000-0000-9000-8000-000000000000"},
        {"x-request-id": "00000000-0000-a000-8000-000000000000"},
        {inside.MARK: "true"},
        {inside.MARK.replace("-", "_"): "true"},
        {"b3": f"{5:032x}-{PARENT}-1"},
    ],
)
def test_nobody_is_sampled_for_another_header(headers: dict[str, str], router: Running, blue: Upstream) -> None:
    told = {"x-request-id": uuid4().hex, **headers}
    assert plain.post(f"{router.url}/score", content=b"{}", headers=told).status_code == 200
    assert "traceparent" not in blue.seen[-1].headers
    assert router.record(told["x-request-id"])["deployment"] == "blue"  # which the mark of those inside would hide


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
        sampled = [r.headers["traceparent"] for r in blue.seen if "traceparent" in r.headers]
        followed = [told for told in sampled if told.startswith(f"00-{1:032x}-")]
        assert all(told.endswith("-01") for told in sampled)
    assert abs(len(followed) / asked - 0.1) < 5 * math.sqrt(0.1 * 0.9 / asked)
    assert abs(len(sampled) / asked - 0.145) < 5 * math.sqrt(0.145 * 0.855 / asked)


def test_who_goes_away_at_once_has_a_line(collector: Collector, blue: Upstream, tmp_path: Path) -> None:
    """One, wherever the request was: still at the data port, on its way inside, or there."""
    asked = 300
    with serving(traced(collector.server_address[1], blue.port, 10_000, 10_000), tmp_path, "blue") as running:
        for number in range(asked):
            with socket.create_connection(("127.0.0.1", running.place.listen.port)) as caller:
                caller.sendall(
                    b"POST /score HTTP/1.1\r\nhost: x\r\nx-request-id: %d\r\ncontent-length: 2\r\n\r\n{}" % number
                )
        wait_for(lambda: len(running.records()) >= asked, "each has its line")
        ids = [line["request_id"] for line in running.records()]
        assert sorted(ids, key=int) == [str(number) for number in range(asked)]


def test_another_server_is_told_that_nobody_samples(collector: Collector, blue: Upstream, tmp_path: Path) -> None:
    plan = traced(collector.server_address[1], blue.port, 0, 0)
    with serving(replace(plan, routes=replace(plan.routes, once=True)), tmp_path, "blue") as running:
        for headers in ({}, {"traceparent": "odd"}, {"traceparent": traceparent(6)}):
            ask(running, **headers)
            told = blue.seen[-1].headers["traceparent"]
            assert re.fullmatch("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00", told), told
            assert f"{6:032x}" not in told


@pytest.mark.parametrize("share", [0, 1, 50, 100, 1000, 5000, 10_000])
@pytest.mark.parametrize("weight", [1, 10, 50, 100, 150, 2500, 9999, 10_000])
def test_a_mirror_copies_its_share_of_all_requests(share: int, weight: int) -> None:
    """What is drawn to be traced has the lowest of each 10,000, and inside any number."""
    below = inside.beside_draws(weight, Sampling(share, share))
    whole, rest = divmod(below, 10_000)
    untraced = whole * (10_000 - share) + max(0, rest - share)
    assert (untraced + share / 10_000 * below) / 1_000_000 == pytest.approx(weight / 10_000, abs=1e-6)


def test_weights_have_nothing_in_common_with_other_draws() -> None:
    shares = (Share("blue", 100), Share("green", 9899), Share("violet", 1))
    routes = replace(plans.SPLIT.routes, shares=shares, sampling=Sampling(100, 100))
    [split] = [r for r in route_configuration(routes)["virtual_hosts"][0]["routes"] if r["name"] == "split"]
    weights = {each["name"]: each["weight"] for each in split["route"]["weighted_clusters"]["clusters"]}
    assert math.gcd(sum(weights.values()), 1_000_000) == 1
    for share in shares:
        assert weights[share.cluster] / sum(weights.values()) == pytest.approx(share.weight / 10_000, abs=2e-6)


def test_a_router_of_before_takes_routes_of_one_that_traces(blue: Upstream, tmp_path: Path) -> None:
    """While pods roll, the same file is read by processes that have no listener inside."""
    with serving(plans.to_blue(blue.port, OPEN), tmp_path, "blue") as running:
        running.put(traced(9, blue.port, 10_000, 10_000))
        ask(running)
        assert "traceparent" not in blue.seen[-1].headers
        assert running.rejected() == 0


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
