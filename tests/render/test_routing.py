"""What a real router does with requests: who gets them, what is copied, which headers go where."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import httpx
import pytest

import plain
from render import plans
from render.router import Running, wait_for
from render.upstream import Upstream
from wye_operator.plan.record import Cluster
from wye_operator.plan.wanted import Auth, Pin, RouterPlan, Routes, Share
from wye_operator.plan.world import Keys

EITHER_WAY = plans.EITHER_WAY

KEY = {"api-key": "key-one"}
PIN = "azureml-model-deployment"


@pytest.fixture(scope="module")
def plan(upstreams: dict[str, Upstream]) -> RouterPlan:
    """75/25, and everything that is small enough is copied."""
    names = ("blue", "green", "red", "violet")
    return replace(
        plans.EMPTY,
        clusters=(*(Cluster(n, f"default/fraud-{n}") for n in names), plans.MIRROR),
        hosts=tuple(plans.at(n, upstreams[n].port) for n in names),
        routes=Routes(
            "Split",
            (Share("blue", 7500), Share("green", 2500)),
            (Share("violet~mirror", 10_000),),
            (Pin("blue", 5000), Pin("green", 1000), Pin("red", 5000), Pin("violet", 5000)),
            5000,
            1000,
        ),
        auth=Auth(open=False, keys=Keys("key-one", "key-two"), version="a"),
    )


@pytest.fixture
def caller(router: Running, upstreams: dict[str, Upstream]) -> httpx.Client:
    router.wait_healthy("blue", "green", "red", "violet", "violet~mirror")
    for upstream in upstreams.values():
        upstream.seen.clear()
    return plain.Client(base_url=router.url, headers=KEY)


def test_requests_are_split_by_weight(caller: httpx.Client) -> None:
    with caller:
        answers = [caller.get("/score") for _ in range(400)]
    assert {a.status_code for a in answers} == {200}
    assert all(a.json()["name"] == a.headers[PIN] for a in answers)
    blue = Counter(a.headers[PIN] for a in answers)["blue"]
    print(f"blue {blue} of 400")
    assert 230 < blue < 370  # 300 wanted, eight standard deviations either way


PINS = {
    "the weights do not matter": ({PIN: "green"}, "green"),
    "upper and lower case are the same": ({PIN: "GrEEn"}, "green"),
    "a shadow can be called by name": ({PIN: "violet"}, "violet"),
}


@pytest.mark.parametrize(("headers", "name"), PINS.values(), ids=PINS)
def test_a_pinned_request_goes_to_its_deployment(caller: httpx.Client, headers: dict[str, str], name: str) -> None:
    with caller:
        answer = caller.post("/score", headers=headers)
    assert (answer.status_code, answer.json()["name"], answer.headers[PIN]) == (200, name, name)


TWO_PINS = {
    "of two names the first decides": (("green", "blue"), (200, "green")),
    "a known second name does not save an unknown first": (("nobody", "blue"), (404, None)),
    "an unknown second name does no harm": (("blue", "nobody"), (200, "blue")),
    "an empty first name is a name": (("", "blue"), (404, None)),
    "two in one header are one unknown name": (("blue,green",), (404, None)),
    "an empty name": (("",), (404, None)),
    "the name of a mirror's cluster": (("violet~mirror",), (404, None)),
}


@pytest.mark.parametrize(("names", "wanted"), TWO_PINS.values(), ids=TWO_PINS)
def test_doubtful_pins(caller: httpx.Client, names: tuple[str, ...], wanted: tuple[int, str | None]) -> None:
    with caller:
        answer = caller.post("/score", headers=[*KEY.items(), *((PIN, name) for name in names)])
    assert (answer.status_code, answer.headers.get(PIN)) == wanted


def chunks(size: int) -> list[bytes]:
    return [b"x" * size]


MIRRORED = {
    "a body of the largest size is copied": ("POST", "/score", b"x" * 1000, {}, True),
    "an empty body is copied": ("POST", "/score", b"", {}, True),
    "a body one byte larger is not": ("POST", "/score", b"x" * 1001, {}, False),
    "a body of unnamed size is not": ("POST", "/score", "chunked", {}, False),
    "a GET is not": ("GET", "/v2", None, {}, False),
    "a DELETE is not": ("DELETE", "/thing", None, {}, False),
    "a pinned request is not": ("POST", "/score", b"{}", {PIN: "blue"}, False),
}


@pytest.mark.parametrize(("method", "path", "body", "headers", "copied"), MIRRORED.values(), ids=MIRRORED)
def test_what_is_mirrored(
    caller: httpx.Client,
    router: Running,
    upstreams: dict[str, Upstream],
    method: str,
    path: str,
    body: bytes | str | None,
    headers: dict[str, str],
    copied: bool,  # noqa: FBT001
) -> None:
    before = router.figure("envoy_cluster_upstream_rq_total", "violet~mirror")
    content = iter(chunks(10)) if body == "chunked" else body
    with caller:
        answer = caller.request(method, path, content=content, headers=headers)  # type: ignore[arg-type]
        caller.post("/marker", content=b"{}")
    assert answer.status_code == 200
    violet = upstreams["violet"].seen
    wait_for(lambda: "/marker" in {r.path for r in violet}, "the copy of the marker arrives")
    wait_for(lambda: len(violet) >= 1 + copied, "the copies arrive")
    made = router.figure("envoy_cluster_upstream_rq_total", "violet~mirror") - before
    assert (made, len(violet)) == (1 + copied, 1 + copied)


def test_what_was_too_large_to_copy_is_counted_and_what_has_no_body_is_not(
    caller: httpx.Client, router: Running
) -> None:
    before = router.left_out()["violet~mirror"]
    with caller:
        caller.post("/score", content=b"x" * 1001)
        caller.post("/score", content=iter(chunks(10)))
        caller.post("/score", content=b"x")
        caller.get("/score")
        caller.post("/score", content=b"x" * 1001, headers={PIN: "blue"})
    assert router.left_out()["violet~mirror"] - before == 2


def test_a_copy_says_that_it_is_one_and_has_the_same_id(
    caller: httpx.Client, router: Running, upstreams: dict[str, Upstream]
) -> None:
    with caller:
        answer = caller.post("/score", content=b"abc", headers={"x-wye-mirrored": "no"})
    wait_for(lambda: bool(upstreams["violet"].seen), "the copy arrives")
    [copy] = upstreams["violet"].seen
    [request] = upstreams[answer.headers[PIN]].seen
    assert copy.headers["x-wye-mirrored"] == "true"
    assert "x-wye-mirrored" not in request.headers
    assert copy.headers["x-request-id"] == answer.headers["x-request-id"]
    assert copy.headers["host"] == f"127.0.0.1:{router.place.listen.port}"
    assert copy.size == 3


def test_a_mirror_of_half_samples_every_deployments_requests(
    router: Running, plan: RouterPlan, upstreams: dict[str, Upstream], caller: httpx.Client
) -> None:
    routes = replace(
        plan.routes,
        shares=(Share("blue", 5000), Share("green", 5000)),
        mirrors=(Share("violet~mirror", 5000),),
    )
    router.put(replace(plan, routes=routes))
    before = router.figure("envoy_cluster_upstream_rq_total", "violet~mirror")
    with caller:
        served = {
            a.headers["x-request-id"]: a.headers[PIN]
            for a in (caller.post("/score", content=b"{}") for _ in range(200))
        }
    made = router.figure("envoy_cluster_upstream_rq_total", "violet~mirror") - before
    wait_for(lambda: len(upstreams["violet"].seen) == made, "the copies arrive")
    copied = Counter(served[r.headers["x-request-id"]] for r in upstreams["violet"].seen)
    print(f"served {Counter(served.values())}, copied {copied}")
    assert copied["blue"] > 10
    assert copied["green"] > 10
    router.put(plan)


def test_which_headers_reach_a_model(caller: httpx.Client, upstreams: dict[str, Upstream]) -> None:
    sent = {
        PIN: "blue",
        "authorization": "Bearer key-two",
        "x-client-id": "evil",
        "x_client_id": "evil",
        "x-wye-mirrored": "true",
        "x-wye-anything": "evil",
        "x-envoy-max-retries": "100",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-own": "kept",
        "x-request-id": "mine",
    }
    with caller:
        answer = caller.post("/score", headers=sent)
    [seen] = upstreams["blue"].seen
    assert answer.status_code == 200
    assert seen.headers["x-client-id"] == "secondary"
    assert seen.headers["x-own"] == "kept"
    assert seen.headers["x-request-id"] == "mine"
    gone = {*sent, "api-key"} - {PIN, "x-client-id", "x-own", "x-request-id"}
    assert not gone & set(seen.headers)


IDS = {
    "a caller's id is cut to 40 characters": ("x-ms-client-request-id", ["a" * 41], "a" * 40),
    "letters, digits, dashes and underscores": ("x-ms-client-request-id", ["Run_7-b"], "Run_7-b"),
    "an id with other characters is dropped": ("x-ms-client-request-id", ["run 7"], None),
    "an id with quotes is dropped": ("x-ms-client-request-id", ['"},{"x":"'], None),
    "of two ids none is taken": ("x-ms-client-request-id", ["one", "two"], None),
    "an empty id is none": ("x-ms-client-request-id", [""], None),
    "a request id stays as it is": ("x-request-id", ["00-af.7_x:1"], "00-af.7_x:1"),
    "a request id is cut to 128 characters": ("x-request-id", ["a" * 129], "a" * 128),
}


@pytest.mark.parametrize(("name", "sent", "wanted"), IDS.values(), ids=IDS)
def test_the_ids_that_callers_choose(
    caller: httpx.Client, upstreams: dict[str, Upstream], name: str, sent: list[str], wanted: str | None
) -> None:
    with caller:
        answer = caller.post("/score", headers=[*KEY.items(), (PIN, "blue"), *((name, value) for value in sent)])
    [seen] = upstreams["blue"].seen
    assert (answer.status_code, answer.headers.get(name), seen.headers.get(name)) == (200, wanted, wanted)


@pytest.mark.parametrize("sent", [["a;b"], ["a", "b"], [""], ["ä".encode()]], ids=["characters", "two", "none", "byte"])
def test_a_malformed_request_id_is_replaced(
    caller: httpx.Client, upstreams: dict[str, Upstream], sent: list[str]
) -> None:
    more = [(b"x-request-id", value if isinstance(value, bytes) else value.encode()) for value in sent]
    with caller:
        answer = caller.post("/score", headers=[(b"api-key", b"key-one"), (PIN.encode(), b"blue"), *more])
    [seen] = upstreams["blue"].seen
    assert len(answer.headers["x-request-id"]) == 36
    assert seen.headers["x-request-id"] == answer.headers["x-request-id"]


def test_which_headers_an_answer_has(caller: httpx.Client) -> None:
    sent = {PIN: "blue", "x-ms-client-request-id": "a" * 41, "x-request-id": "mine"}
    with caller:
        answer = caller.post("/score", headers=sent)
        plain = caller.post("/score")
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["x-ms-client-request-id"] == "a" * 40
    assert answer.headers["ms-azureml-model-time"].isdigit()
    assert not [name for name in answer.headers if name.startswith("x-envoy-")]
    assert len(plain.headers["x-request-id"]) == 36
    assert "x-ms-client-request-id" not in plain.headers


def test_a_stream_may_last_longer_than_the_time_out_while_it_is_not_silent(
    caller: httpx.Client,
) -> None:
    with caller:
        answer = caller.post("/stream", headers={PIN: "green"})
    assert answer.text.split() == ["data:", "first", *(word for n in range(8) for word in ("data:", str(n)))]


def test_a_request_whose_connection_is_reset_is_sent_again(
    caller: httpx.Client, upstreams: dict[str, Upstream]
) -> None:
    with caller:
        answer = caller.post("/reset-once", content=b"body", headers={PIN: "red"})
    assert answer.status_code == 200
    assert [r.size for r in upstreams["red"].seen] == [4, 4]


def test_both_versions_of_http_on_one_port(router: Running, caller: httpx.Client) -> None:
    caller.close()
    with plain.Client(base_url=router.url, headers=KEY, http1=False, http2=True) as second:
        answer = second.post("/score", content=b"{}")
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)


def test_the_access_log_has_neither_query_nor_key(router: Running, caller: httpx.Client) -> None:
    sent = {PIN: "blue", "x-ms-client-request-id": "b" * 41, "x-request-id": "logged"}
    with caller:
        caller.post("/score?patient=smith", content=b"secret-body", headers=sent)
    record = router.record("logged")
    changing = {"time": "", "upstream": "", "ms": 0, "request_ms": 0, "model_ms": 0, "response_ms": 0}
    assert record | changing == changing | {
        "method": "POST",
        "path": "/score",
        "proto": "HTTP/1.1",
        "status": 200,
        "grpc_status": None,
        "flags": "-",
        "details": "via_upstream",
        "deployment": "blue",
        "route": "pin-blue",
        "model_status": None,
        "model_reason": None,
        "bytes_in": 11,
        "bytes_out": 16,
        "request_id": "logged",
        "client_request_id": "b" * 40,
        "client": "primary",
        "attempts": 1,
    }
    assert all(isinstance(record[name], int) for name in ("ms", "request_ms", "model_ms", "response_ms"))
    assert json.dumps(record).count("smith") == 0
    assert not [word for word in ("smith", "key-one", "secret-body") if word in router.log()]


INNER = {
    "readiness": ("GET", "/ready", 200),
    "figures": ("GET", "/stats/prometheus", 200),
    "figures with a query": ("GET", "/stats/prometheus?usedonly", 200),
    "all figures": ("GET", "/stats", 404),
    "the configuration, which has the keys' names": ("GET", "/config_dump", 404),
    "the end of the process": ("POST", "/quitquitquit", 404),
    "readiness by POST": ("POST", "/ready", 404),
    "a path that climbs": ("GET", "/stats/prometheus/../../config_dump", 404),
    "an encoded path that climbs": ("GET", "/stats/prometheus/%2e%2e/%2e%2e/config_dump", 404),
    "a longer path": ("GET", "/ready/x", 404),
}


@pytest.mark.parametrize(("method", "path", "status"), INNER.values(), ids=INNER)
def test_the_inner_port_gives_out_two_pages(router: Running, method: str, path: str, status: int) -> None:
    assert plain.exactly(method, router.inner, path).status_code == status


def test_the_data_port_leads_to_a_model_and_never_to_the_admin_port(caller: httpx.Client) -> None:
    with caller:
        pages = [caller.get(path) for path in ("/ready", "/stats/prometheus", "/config_dump")]
        named = caller.get("/stats", headers={PIN: "wye~admin", "host": "wye~admin"})
    assert [page.json()["name"] in ("blue", "green") for page in pages] == [True, True, True]
    assert named.status_code == 404
