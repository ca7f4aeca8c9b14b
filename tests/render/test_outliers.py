"""Which instances a real router puts aside: those that cannot be reached, and never those that answer."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from render import plans
from render.model import Model, Way, fail, serve
from render.router import Running, serving, start, wait_for
from render.upstream import Upstream
from wye_operator.plan.wanted import Auth, Hosts, RouterPlan, Routes, Share
from wye_operator.plan.world import Address

CALLS = 60
EJECTED = "envoy_cluster_outlier_detection_ejections_enforced_total"
HEALTHY = "envoy_cluster_membership_healthy"


def plan_for(*models: Model) -> RouterPlan:
    return replace(
        plans.EMPTY,
        clusters=(plans.BLUE,),
        hosts=(plans.at("blue", *(model.port for model in models)),),
        routes=Routes("Split", (Share("blue", 10_000),), (), (), 5000, 1000),
        auth=Auth(open=True, keys=None, version="open"),
    )


@contextmanager
def served_by(folder: Path, one: Way, other: Way) -> Iterator[tuple[Running, Model, Model]]:
    """Two instances of blue."""
    models = Model("blue", way=one), Model("blue", way=other)
    with models[0].in_a_thread(), models[1].in_a_thread(), serving(plan_for(*models), folder) as router:
        wait_for(lambda: router.figure(HEALTHY, "blue") == 2, "both are healthy")
        yield router, *models


def statuses(router: Running, calls: int = CALLS) -> Counter[int]:
    connection = http.client.HTTPConnection("127.0.0.1", router.place.listen.port, timeout=60)
    with closing(connection):
        return Counter(status(connection) for _ in range(calls))


def status(connection: http.client.HTTPConnection) -> int:
    connection.request("POST", "/score", b"{}")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_model_that_fails_every_time_is_never_put_aside(tmp_path: Path) -> None:
    with served_by(tmp_path, fail, fail) as (router, one, other):
        assert statuses(router) == {500: CALLS}
        assert min(one.begun, other.begun) > 0
        assert (router.figure(EJECTED, "blue"), router.figure(HEALTHY, "blue")) == (0, 2)


def test_one_of_two_that_fails_keeps_its_part(tmp_path: Path) -> None:
    with served_by(tmp_path, fail, serve) as (router, one, other):
        assert statuses(router) == {500: one.begun, 200: other.begun}
        assert one.begun > 0
        assert (router.figure(EJECTED, "blue"), router.figure(HEALTHY, "blue")) == (0, 2)


def test_one_of_two_whose_port_refuses_is_put_aside_and_nobody_notices(tmp_path: Path) -> None:
    with served_by(tmp_path, serve, serve) as (router, one, other):
        one.die()
        assert statuses(router) == {200: CALLS}
        wait_for(lambda: router.figure(HEALTHY, "blue") == 1, "one is put aside")
        begun = other.begun
        assert statuses(router) == {200: CALLS}
        assert other.begun - begun == CALLS


def test_the_last_one_is_never_put_aside(tmp_path: Path) -> None:
    """It may only have had too many callers at once: who comes after them is answered."""
    health, model = Upstream("blue"), Model("blue")
    with model.in_a_thread():
        alone = Hosts("blue", (Address("127.0.0.1", model.port, check=health.port),), None)
        router = start(replace(plan_for(model), hosts=(alone,)), tmp_path)
        router.wait_healthy("blue")
    try:
        assert statuses(router, 5) == {503: 5}
        assert (router.figure(EJECTED, "blue"), router.figure(HEALTHY, "blue")) == (0, 1)
        with model.in_a_thread():
            assert statuses(router) == {200: CALLS}
    finally:
        router.stop()
        health.stop()
