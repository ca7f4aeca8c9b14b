"""Callers of a real router: who stays with whom, which pages may call, how many are taken; Azure's statuses."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import plain
from render import plans
from render.router import Running, serving, wait_for
from render.upstream import Upstream
from wye_operator.plan.record import Cluster
from wye_operator.plan.wanted import Auth, Cors, Listener, Pin, Rate, RouterPlan, Routes, Share, Sticky
from wye_operator.plan.world import Keys
from wye_operator.render import envoy, memory

PIN = "azureml-model-deployment"
KEY = {"api-key": "key-one"}
CALLERS = 1000
BY_HEADER, BY_COOKIE = Sticky(header="x-customer"), Sticky(cookie="fraud-caller")


@pytest.fixture(scope="module")
def plan(upstreams: dict[str, Upstream]) -> RouterPlan:
    names = ("blue", "green", "red")
    return replace(
        plans.EMPTY,
        clusters=tuple(Cluster(n, f"default/fraud-{n}") for n in names),
        hosts=tuple(plans.at(n, upstreams[n].port) for n in names),
        routes=Routes(
            "Split",
            (Share("blue", 9000), Share("green", 1000)),
            (),
            (Pin("blue", 5000), Pin("green", 100), Pin("red", 5000)),
            5000,
            1000,
        ),
        auth=Auth(open=False, keys=Keys("key-one", "key-two"), version="a"),
    )


def with_routes(plan: RouterPlan, **change: object) -> RouterPlan:
    return replace(plan, routes=replace(plan.routes, **change))  # type: ignore[arg-type]


@pytest.fixture
def put(router: Running, plan: RouterPlan) -> Iterator[Callable[..., None]]:
    """Changes the module's routes; they are as they were afterwards."""
    router.wait_healthy("blue", "green", "red")
    yield lambda **change: router.put(with_routes(plan, **change))
    router.put(plan)


class Kept:
    """One connection, which says who answered and which cookie it set."""

    def __init__(self, router: Running) -> None:
        self.connection = http.client.HTTPConnection(router.place.listen.host, router.place.listen.port, timeout=60)

    def get(self, **headers: str) -> tuple[str, str]:
        self.connection.request("GET", "/v2", None, {**KEY, **headers})
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status == 200
        return answer.headers[PIN], answer.headers.get("set-cookie", "")


@pytest.fixture
def kept(router: Running) -> Iterator[Kept]:
    opened = Kept(router)
    yield opened
    opened.connection.close()


def by_header(kept: Kept) -> list[dict[str, str]]:
    return [{"x-customer": f"customer {n}"} for n in range(CALLERS)]


def by_cookie(kept: Kept) -> list[dict[str, str]]:
    """Each comes once without a cookie, keeps the one that it gets, and has an id that does not count, or none."""
    callers = []
    for number in range(CALLERS):
        name, cookie = kept.get(**({"x-request-id": f"no id: {number}"} if number % 2 else {}))
        pair, *attributes = cookie.split("; ")
        assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax"]
        assert not [deployment for deployment in ("blue", "green") if deployment in pair]
        callers.append({"cookie": pair, "was": name})
    return callers


WAYS = {"header": (BY_HEADER, by_header), "cookie": (BY_COOKIE, by_cookie)}


@pytest.mark.parametrize(("sticky", "callers"), WAYS.values(), ids=WAYS)
def test_callers_stay_while_shares_stand_and_move_only_to_the_growing_share(
    kept: Kept, put: Callable[..., None], sticky: Sticky, callers: Callable[[Kept], list[dict[str, str]]]
) -> None:
    put(sticky=sticky)
    sent = callers(kept)
    first = [caller.pop("was", "") for caller in sent]
    answers = [kept.get(**caller) for caller in sent]
    assert {cookie for _, cookie in answers} == {""}
    before = [name for name, _ in answers]
    assert all(was in ("", now) for was, now in zip(first, before, strict=True))
    assert [kept.get(**caller)[0] for caller in sent] == before
    put(sticky=sticky, shares=(Share("blue", 8000), Share("green", 2000)))
    after = [kept.get(**caller)[0] for caller in sent]
    moved = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
    print(f"green {before.count('green')}, then {after.count('green')} of {CALLERS}")
    assert moved == {("blue", "green")}
    assert 60 < before.count("green") < 140  # 100 wanted, four standard deviations either way
    assert 149 < after.count("green") < 251


def test_without_the_header_the_weight_decides(kept: Kept, put: Callable[..., None]) -> None:
    put(sticky=BY_HEADER, shares=(Share("blue", 5000), Share("green", 5000)))
    assert {kept.get()[0] for _ in range(100)} == {"blue", "green"}


def test_a_pin_is_stronger_and_sets_no_cookie(kept: Kept, put: Callable[..., None]) -> None:
    put(sticky=BY_COOKIE)
    assert kept.get(**{PIN: "red"}) == ("red", "")


def test_other_cookies_go_to_the_model_and_an_empty_one_counts_as_none(
    kept: Kept, put: Callable[..., None], upstreams: dict[str, Upstream]
) -> None:
    put(sticky=BY_COOKIE, shares=(Share("blue", 10_000),))
    upstreams["blue"].seen.clear()
    _, cookie = kept.get(cookie="own=1; fraud-caller=")
    assert cookie.startswith("fraud-caller=")
    assert upstreams["blue"].seen[0].headers["cookie"] == "own=1; fraud-caller="


def test_a_rate_is_kept_by_who_has_a_key(router: Running, put: Callable[..., None]) -> None:
    """One a minute, so that a slow machine changes nothing."""
    put(rate=Rate(10, 2))
    with plain.Client(base_url=router.url) as client:
        assert [client.get("/v2", headers=KEY).status_code for _ in range(5)] == [200] * 5
    put(rate=Rate(1, 60))
    with plain.Client(base_url=router.url) as client:
        refused = [client.post("/score").status_code for _ in range(20)]
        first, last = (client.get("/v2", headers=KEY) for _ in range(2))
        health = [client.get("/healthz").status_code for _ in range(10)]
    assert (set(refused), set(health), first.status_code) == ({401}, {200}, 200)
    assert (last.status_code, last.json()["error"]["code"], last.headers["retry-after"]) == (429, "RateLimited", "1")
    assert last.json()["error"]["message"] == "more requests came than limits.requestsPerSecond"
    assert not [name for name in last.headers if name.startswith("x-ratelimit")]


ORIGINS = Cors(("https://shop.example",), ("x-own",), 60)
ASKS = {"origin": "https://shop.example", "access-control-request-method": "POST"}
PREFLIGHTS = {
    "a page that may": ({}, 200),
    "a page from elsewhere": ({"origin": "https://evil.example"}, 401),
    "a page without TLS": ({"origin": "http://shop.example"}, 401),
    "a page with a longer name": ({"origin": "https://shop.example.evil"}, 401),
    "no origin": ({"origin": None}, 401),
    "not asking for a method": ({"access-control-request-method": None}, 401),
}


@pytest.mark.parametrize(("change", "status"), PREFLIGHTS.values(), ids=PREFLIGHTS)
def test_preflights(router: Running, put: Callable[..., None], change: dict[str, str | None], status: int) -> None:
    put(cors=ORIGINS)
    sent = {name: value for name, value in {**ASKS, **change}.items() if value is not None}
    answer = plain.options(f"{router.url}/score", headers=sent)
    assert answer.status_code == status
    allowed = {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}
    assert (allowed.get("access-control-allow-origin") == "https://shop.example") == (
        status == 200 or "origin" not in change
    )
    if status == 200:
        assert allowed["access-control-allow-headers"].endswith("x-request-id, x-own")
        assert allowed["access-control-allow-methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE"
        assert allowed["access-control-max-age"] == "60"
        assert "access-control-allow-credentials" not in allowed


def test_a_page_can_read_answers_and_errors(router: Running, put: Callable[..., None]) -> None:
    put(cors=Cors(("*",), (), 60))
    origin = {"origin": "https://any.example"}
    for headers, status in ((KEY, 200), ({}, 401)):
        answer = plain.get(f"{router.url}/v2", headers={**origin, **headers})
        allowed = answer.headers.get("access-control-allow-origin")
        assert (answer.status_code, allowed) == (status, origin["origin"])
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_without_cors_no_page_may(router: Running, put: Callable[..., None]) -> None:
    put()
    answer = plain.options(f"{router.url}/score", headers=ASKS)
    assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (401, False)


@pytest.fixture(scope="module")
def azure(plan: RouterPlan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    listener = Listener(10_000, access_log=True, error_statuses="Azure")
    with serving(replace(plan, listener=listener), tmp_path_factory.mktemp("azure"), "blue", "green", "red") as running:
        yield running


AZURES = {
    "200 stays": ("/score", "blue", 200, None),
    "500 is 424": ("/error", "blue", 424, ("500", "model_error")),
    "201 is 424": ("/status/201", "blue", 424, ("201", "model_error")),
    "422 is 424": ("/status/422", "blue", 424, ("422", "model_error")),
    "a full model is 429": ("/status/429", "blue", 429, ("429", "too_many_pending_request")),
    "a model's own time-out is 408": ("/status/504", "blue", 408, ("504", "model_error")),
    "a silent model is 408": ("/silent", "green", 408, None),
    "an unknown name stays 404": ("/score", "nobody", 404, None),
    "a model that breaks off stays 503": ("/reset", "red", 503, None),
}


@pytest.mark.parametrize(("path", "pin", "status", "model"), AZURES.values(), ids=AZURES)
def test_azures_statuses(azure: Running, path: str, pin: str, status: int, model: tuple[str, str] | None) -> None:
    answer = plain.post(f"{azure.url}{path}", headers={**KEY, PIN: pin})
    names = ("ms-azureml-model-error-statuscode", "ms-azureml-model-error-reason")
    assert (answer.status_code, tuple(answer.headers.get(n) for n in names)) == (status, model or (None, None))
    if path == "/error":
        assert answer.json() == {"error": {"code": "ModelError"}}  # the model's body stays
    record = azure.record(answer.headers["x-request-id"])
    assert (record["status"], record["model_status"]) == (status, model[0] if model else None)


def test_a_router_that_is_short_of_memory_says_so_and_stays_alive(
    plan: RouterPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 80 % on; this one is above 90 %, too, and does what it does below."""
    monkeypatch.setattr(envoy, "overload", lambda *of: {**memory.overload(*of), "loadshed_points": []})
    small = replace(plan, listener=Listener(10_000, access_log=True, most_memory_bytes=2**20))
    with serving(small, tmp_path) as running:  # ready: the inner port answers, however short the memory
        wait_for(lambda: plain.post(f"{running.url}/score").status_code == 503, "the memory was looked at")
        answer = plain.post(f"{running.url}/score", headers=KEY)
        taken = running.taken().routes
    assert (answer.status_code, answer.json()["error"]["code"], answer.headers["retry-after"]) == (
        503,
        "Overloaded",
        "1",
    )
    assert taken == plan.routes.version


@pytest.mark.parametrize("http2", [False, True])
def test_a_router_with_hardly_any_memory_left_closes_connections_and_stays_alive(
    plan: RouterPlan, tmp_path: Path, *, http2: bool
) -> None:
    """Its refusals would be held, too, where their callers read none. The inner port answers."""
    small = replace(plan, listener=Listener(10_000, access_log=True, most_memory_bytes=2**20))

    def closed() -> bool:
        with plain.Client(http1=not http2, http2=http2) as client:
            try:
                client.post(f"{running.url}/score", headers=KEY)
            except httpx.RemoteProtocolError:
                return True
            return False

    with serving(small, tmp_path) as running:
        wait_for(closed, "the memory was looked at")
        assert running.taken().routes == plan.routes.version
