"""Other servers behind a real router: their path for /score, their readiness, and what may be sent again."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

import plain
from render import plans
from render.router import Running, wait_for
from render.upstream import Handler, Upstream
from wye_operator.plan.record import Cluster
from wye_operator.plan.wanted import Hosts, Pin, RouterPlan, Routes, Share
from wye_operator.plan.world import Address

KEY = {"api-key": "first-primary"}
PIN = "azureml-model-deployment"
OWN = Cluster("own", "default/fraud-own", readiness="/alive", scoring="/v1/models/fraud:predict")


class Alive(Handler):
    """Its readiness is asked at another port than it serves, and redirects as some do."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("x-wye-deployment")))
        self.send_response(302)
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()


@pytest.fixture(scope="module")
def alive() -> Upstream:
    server = Upstream("alive", Alive)
    server.asked = []
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own() -> Upstream:
    server = Upstream("own")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def plan(upstreams: dict[str, Upstream], own: Upstream, alive: Upstream) -> RouterPlan:
    """Half to ours, half to another server, and that one is a mirror, too, of what is pinned to nobody."""
    mirror = replace(OWN, name="own~mirror", mirror=True)
    return replace(
        plans.EMPTY,
        clusters=(plans.BLUE, OWN, mirror),
        hosts=(
            plans.at("blue", upstreams["blue"].port),
            Hosts("own", (Address("127.0.0.1", own.port, alive.port),), None),
        ),
        routes=Routes(
            "Split",
            (Share("blue", 10_000),),
            (Share("own~mirror", 10_000),),
            (Pin("blue", 5000), Pin("own", 5000, once=True)),
            5000,
            1000,
        ),
    )


@pytest.fixture
def caller(router: Running, own: Upstream) -> httpx.Client:
    router.wait_healthy("blue", "own", "own~mirror")
    own.seen.clear()
    with plain.Client(base_url=router.url, headers={**KEY, PIN: "own"}) as client:
        yield client


def test_it_is_ready_by_its_own_route_on_its_own_port(caller: httpx.Client, alive: Upstream, own: Upstream) -> None:
    assert set(alive.asked) == {("/alive", None)}
    assert [request.path for request in own.seen] == []


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("/score", "/v1/models/fraud:predict"),
        ("/score?a=1&b=%20%3F", "/v1/models/fraud:predict?a=1&b=%20%3F"),
        ("/scores", "/scores"),
        ("/v2/models/fraud/infer?x", "/v2/models/fraud/infer?x"),
        ("/openapi.json", "/openapi.json"),
    ],
)
def test_score_is_its_path_and_every_other_is_passed_on(caller, own, sent: str, arrives: str) -> None:
    answer = caller.post(sent, content=b"{}")
    assert (answer.status_code, answer.headers[PIN]) == (200, "own")
    [request] = own.seen
    assert request.path == arrives
    assert request.headers.get("x-envoy-original-path", sent) == sent


def test_the_log_has_the_callers_path(caller: httpx.Client, router: Running) -> None:
    caller.post("/score?secret=1", content=b"{}", headers={"x-request-id": "own-log"})
    assert router.record("own-log")["path"] == "/score"


def test_a_copy_takes_its_path_and_the_original_does_not(caller, own, upstreams) -> None:
    upstreams["blue"].seen.clear()
    assert caller.post("/score", content=b"{}", headers={PIN: ""}).status_code == 404
    del caller.headers[PIN]
    assert caller.post("/score", content=b"{}").headers[PIN] == "blue"
    wait_for(lambda: bool(own.seen), "the copy")
    assert [request.path for request in own.seen] == ["/v1/models/fraud:predict"]
    assert upstreams["blue"].seen[-1].path == "/score"


def test_what_may_have_begun_there_does_not_begin_again(caller: httpx.Client, own: Upstream) -> None:
    assert caller.post("/reset", content=b"{}").status_code == 503
    assert len(own.seen) == 1


def test_its_status_is_passed_on(caller: httpx.Client) -> None:
    answer = caller.post("/status/418", content=b"{}")
    assert (answer.status_code, answer.headers["ms-azureml-model-error-statuscode"]) == (418, "418")
