"""The router's preStop, run as it stands against a real Envoy: it waits for requests in flight, and not for ever."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import plain
from render import plans
from render.router import Running, serving, wait_for
from render.upstream import Upstream
from wye_operator.plan.wanted import Auth, Pin
from wye_operator.render.kubernetes.drain import drain

HALF_A_MINUTE = 30_000


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream("blue") as running:
        yield running


@pytest.fixture
def router(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    plan = plans.to_blue(upstream.port, Auth(open=True, keys=None, version="open"))
    pins = (Pin("blue", HALF_A_MINUTE),)
    plan = replace(plan, routes=replace(plan.routes, pins=pins, timeout_ms=HALF_A_MINUTE))
    with serving(plan, tmp_path, "blue") as running:
        yield running


def ending(router: Running, least: int, most: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", "-c", drain(router.place.admin.port, most, least)])


def test_it_waits_for_a_request_in_flight_and_new_ones_are_served(router: Running, upstream: Upstream) -> None:
    answers: list[httpx.Response] = []
    slow = threading.Thread(target=lambda: answers.append(plain.get(f"{router.url}/silent", timeout=20)))
    slow.start()
    wait_for(lambda: any(request.path == "/silent" for request in upstream.seen), "the slow request arrived")
    script = ending(router, least=1, most=20)
    time.sleep(3)
    assert script.poll() is None
    new = plain.get(f"{router.url}/v2")
    assert (new.status_code, new.headers["connection"]) == (200, "close")
    assert script.poll() is None
    upstream.release.set()
    assert script.wait(5) == 0
    slow.join()
    assert len(answers) == 1


def test_without_requests_it_ends_when_every_node_forgot_the_pod(router: Running) -> None:
    began = time.monotonic()
    assert ending(router, least=1, most=20).wait(5) == 0
    assert time.monotonic() - began >= 1


def test_it_does_not_wait_for_ever(router: Running, upstream: Upstream) -> None:
    slow = threading.Thread(target=lambda: plain.get(f"{router.url}/silent", timeout=20))
    slow.start()
    wait_for(lambda: any(request.path == "/silent" for request in upstream.seen), "the slow request arrived")
    assert ending(router, least=1, most=3).wait(10) == 0
    assert slow.is_alive()
    upstream.release.set()
    slow.join()


def test_a_router_that_is_gone_is_not_waited_for(router: Running) -> None:
    router.stop()
    assert ending(router, least=1, most=20).wait(5) == 0
