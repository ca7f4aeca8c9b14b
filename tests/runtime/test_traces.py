"""Copies are counted apart, and who looks at a figure finds a trace: on both ways through the server."""

from __future__ import annotations

import json

import pytest

import toys
from wire import conversed, post
from wye_runtime.tracing import context_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROWS = {"data": [[1, 2, 3]]}
LABELS = 'code="200",route="/score"'


@pytest.mark.parametrize("lane", ["1", "0"])
def test_copies_are_counted_apart(servers, lane):
    server = servers.start(toys.linear(3), {"WYE_FAST_LANE": lane}).ready()
    for headers in [{"x-wye-mirrored": "true"}, {}] * 3 + [{}]:  # heads that came before are known again
        assert server.http.post("/score", json=ROWS, headers=headers).status_code == 200
    assert server.metric(f'wye_requests_total{{{LABELS},traffic="mirror"}}') == 3
    assert server.metric(f'wye_requests_total{{{LABELS},traffic="live"}}') == 4


@pytest.mark.parametrize("lane", ["1", "0"])
def test_questions_about_health_are_counted_apart(servers, lane):
    """A router asks each second: beside few requests of callers they would be most of the figures."""
    server = servers.start(toys.linear(3), {"WYE_FAST_LANE": lane}).ready()
    for path in ("/v2/health/ready", "/v2/health/live", "/healthz", "/"):
        assert server.http.get(path).status_code == 200
    told = {
        line.partition(" ")[0]
        for line in server.inner.get("/metrics").text.splitlines()
        if line.startswith("wye_requests_total")
    }
    checks = {each for each in told if 'traffic="check"' in each}
    assert len(checks) == 3  # `/` is another word for `/healthz`
    assert told == checks


@pytest.mark.parametrize("lane", ["1", "0"])
def test_a_figure_leads_to_the_last_trace_that_was_sampled(servers, lane):
    server = servers.start(toys.linear(3), {"WYE_FAST_LANE": lane}).ready()
    body = json.dumps(ROWS).encode()
    not_sampled = f"00-{TRACE[::-1]}-{PARENT}-00"
    traces = [not_sampled, f"00-{TRACE}-{PARENT}-01", not_sampled]  # heads that came before, all but the first
    for answer in conversed(server.port, [post("/score", body, f"traceparent: {each}") for each in traces]):
        assert answer.startswith(b"HTTP/1.1 200 ")
    answer = server.inner.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    [line] = [line for line in answer.text.splitlines() if "trace_id" in line]
    assert line.startswith("wye_request_duration_seconds_bucket")
    assert f'# {{trace_id="{TRACE}"}}' in line
    assert "trace_id" not in server.inner.get("/metrics").text  # the older form has no place for it


@pytest.mark.parametrize(
    "header",
    [
        "",
        "odd",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-00",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-0g",
    ],
)
def test_what_is_no_sampled_trace_is_none(header):
    assert context_of(header.encode()) is None


def test_a_later_version_may_say_more():
    assert context_of(f"cc-{TRACE}-{PARENT}-03-more".encode()) == (TRACE, PARENT)
