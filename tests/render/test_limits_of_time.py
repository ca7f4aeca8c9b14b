"""What ends a request after one hour, and what happens where a cluster goes before its routes: flags seldom seen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import httpx
import pytest

from render import plans
from render.router import Running, start, wait_for
from render.upstream import Upstream
from wye_operator.plan.auth import OPEN
from wye_operator.render import envoy, listener
from wye_operator.render.errors import TOO_LONG


@pytest.fixture
def upstream(upstreams: dict[str, Upstream]) -> Upstream:
    return upstreams["blue"]


@pytest.fixture
def router(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its hour has half a second."""
    monkeypatch.setattr(listener, "LONGEST_SECONDS", 0.5)
    running = start(plans.to_blue(upstream.port, OPEN), tmp_path)
    running.wait_healthy("blue")
    yield running
    running.stop()


def test_a_request_without_an_answer_within_the_hour_is_told_so(router: Running) -> None:
    answer = httpx.post(f"{router.url}/silent", timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "RequestTimeout")
    assert answer.json()["error"]["message"] == TOO_LONG
    assert router.record(answer.headers["x-request-id"])["details"] == "max_duration_timeout"


def test_a_stream_of_an_hour_is_cut_and_never_looks_whole(router: Running) -> None:
    with httpx.stream("POST", f"{router.url}/stream", timeout=60) as answer, pytest.raises(httpx.RemoteProtocolError):
        for _ in answer.iter_bytes():  # it is lively all the time
            pass
    record = router.record(answer.headers["x-request-id"])
    assert (record["status"], record["details"]) == (200, "max_duration_timeout")


def test_a_cluster_that_left_before_its_routes_is_a_failure_of_the_router(router: Running, upstream: Upstream) -> None:
    files = envoy.route_files(plans.to_blue(upstream.port, OPEN), router.place)
    without = envoy.route_files(dataclasses.replace(plans.EMPTY, clusters_version="c-none"), router.place)
    router.write_routes({**files, "cds.json": without["cds.json"]})
    wait_for(lambda: router.taken().clusters == "c-none", "the cluster is gone")
    answer = httpx.post(f"{router.url}/score", timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UpstreamFailure")
    assert router.record(answer.headers["x-request-id"])["flags"] == "NC"
