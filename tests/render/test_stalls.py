"""An instance that is silent for a while, as all are on a starved machine: who asks waits, and nobody is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import plain
from render import plans
from render.router import Running, serving, wait_for
from render.upstream import Upstream
from wye_operator.plan.wanted import Auth

STALL = 3.0  # seconds: three checks without an answer; requests may wait for five


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream("blue") as running:
        yield running


@pytest.fixture
def router(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """One instance, and an address that leads to the same one, as a Service does."""
    plan = plans.to_blue(upstream.port, Auth(open=True, keys=None, version="open"))
    plan = replace(plan, hosts=(plans.at("blue", upstream.port, fallback=upstream.port),))
    with serving(plan, tmp_path, "blue") as running:
        yield running


def test_requests_wait_for_a_stalled_instance(router: Running, upstream: Upstream) -> None:
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(plain.post(f"{router.url}/score", content=b"{}").status_code)

    ask()  # from the first request on, checks are a second apart
    upstream.flowing.clear()
    time.sleep(STALL)
    late = threading.Thread(target=ask)
    late.start()
    active = "envoy_cluster_upstream_rq_active"
    wait_for(lambda: router.figure(active, "blue") == 1 or not late.is_alive(), "it is sent, or refused")
    upstream.flowing.set()
    late.join()
    assert statuses == [200, 200]


def test_an_instance_that_stays_silent_is_put_aside(router: Running, upstream: Upstream) -> None:
    upstream.flowing.clear()
    wait_for(lambda: router.figure("envoy_cluster_membership_healthy", "blue") == 0, "nobody is healthy")
    assert plain.post(f"{router.url}/score", content=b"{}").json()["error"]["code"] == "NoReadyPod"
    upstream.flowing.set()
    router.wait_healthy("blue")
    assert plain.post(f"{router.url}/score", content=b"{}").status_code == 200
