"""How many series a router has, which ones, and that no caller can make more."""

from __future__ import annotations

from dataclasses import replace

import pytest

import plain
from render import plans
from render.router import Running, wait_for
from render.upstream import Upstream
from wye_operator import figures
from wye_operator.plan.record import Cluster
from wye_operator.plan.wanted import Listener, Pin, RouterPlan, Routes, Share

MOST = 3_000
NAMES = [f"d{number:02}" for number in range(20)]
MIRRORS = [f"{name}~mirror" for name in NAMES[15:]]
STATUSES = (200, 201, 302, 400, 404, 422, 429, 500, 502, 504)
ROUTERS = [
    *(figures.REQUESTS, figures.REQUESTS_BY_CLASS, figures.ACTIVE, figures.RETRIES, figures.TIMEOUTS),
    *(figures.CONNECT_FAILED, figures.HEALTHY, figures.MEMBERS, figures.EJECTED, *figures.NOT_MADE, figures.UNCOPIED),
    *(figures.ASKED_BY_CLASS, figures.ASKED_ACTIVE, figures.CONNECTIONS, figures.NEW_CONNECTIONS, figures.BYTES_IN),
    *(figures.BYTES_OUT, figures.RATE_LIMITED, *figures.REJECTED, figures.UPTIME, figures.MEMORY, figures.PRESSURE),
    *(name + part for name in (figures.TIME, figures.ASKED_TIME) for part in figures.PARTS),
]


@pytest.fixture(scope="module")
def plan(upstreams: dict[str, Upstream]) -> RouterPlan:
    """All that an Endpoint may have: 20 Deployments and five mirrors. One server is behind all."""
    blue = upstreams["blue"]
    clusters = [Cluster(name, blue.deployment, mirror="~" in name) for name in (*NAMES, *MIRRORS)]
    shares = tuple(Share(name, 1_000) for name in NAMES[:10])
    mirrors = tuple(Share(name, 10_000) for name in MIRRORS)
    pins = tuple(Pin(name, 5000) for name in NAMES)
    return replace(
        plans.EMPTY,
        listener=Listener(10_000, access_log=False, most_memory_bytes=512 * 2**20),
        clusters=tuple(clusters),
        clusters_version="c-all",
        hosts=tuple(plans.at(name, blue.port) for name in NAMES),
        routes=Routes("Split", shares, mirrors, pins, 5000, 1_000),
    )


def series(router: Running) -> set[str]:
    """What Prometheus would keep: each name with its labels."""
    lines = plain.get(f"{router.inner}/stats/prometheus").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if line and not line.startswith("#")}


@pytest.fixture(scope="module")
def busy(router: Running) -> Running:
    """Every Deployment has answered with every status, and has been copied to; the histograms are there."""
    router.wait_healthy(*NAMES, *MIRRORS)
    key = {"authorization": "Bearer first-primary"}
    with plain.Client(base_url=router.url, headers=key) as client:
        for status in STATUSES:
            client.post(f"/status/{status}", content=b"{}")
            client.post(f"/status/{status}", content=b"x" * 2_000)  # too large for a copy
            for name in NAMES:
                client.post(f"/status/{status}", headers={"azureml-model-deployment": name})
    wait_for(
        lambda: all(any(f'"{name}"' in s and "rq_time_count" in s for s in series(router)) for name in MIRRORS), ""
    )
    return router


def test_twenty_deployments_with_mirrors_stay_below_three_thousand_series(busy: Running) -> None:
    assert len(series(busy)) < MOST


def test_every_name_that_somebody_reads_is_there(busy: Running) -> None:
    named = {each.partition("{")[0] for each in series(busy)}
    assert set(ROUTERS) - named == set()


def test_what_the_models_answered_is_counted_by_deployment_and_copies_apart(busy: Running) -> None:
    for name in NAMES:
        of = f'envoy_response_code="422",envoy_cluster_name="{name}"'
        assert f"{figures.REQUESTS}{{{of}}}" in series(busy)
    copies = [each for each in series(busy) if each.startswith(f"{figures.REQUESTS}{{") and "~mirror" in each]
    assert copies


def test_no_caller_can_make_a_series(busy: Running) -> None:
    """Whatever stands in paths, methods and headers: only statuses, classes and Deployments become labels."""
    before = series(busy)
    key = {"authorization": "Bearer first-primary"}
    with plain.Client(base_url=busy.url) as client:
        for number in range(20):
            odd = {f"x-odd-{number}": "1", "host": f"h{number}.example", "user-agent": f"a{number}"}
            client.post(f"/status/200?n={number}", headers={**key, **odd})
            client.request(f"ODD{number}", f"/odd/{number}", headers=key)
            client.get("/", headers={**key, "azureml-model-deployment": f"odd-{number}", "traceparent": "odd"})
            client.get("/", headers={"authorization": f"Bearer odd-{number}"})
    fresh = series(busy) - before
    assert [each for each in fresh if "odd" in each.lower() or "example" in each] == []
    assert len(fresh) < 10, fresh  # a status or a class that was not there before
