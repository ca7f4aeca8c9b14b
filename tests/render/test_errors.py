"""Every error of a real router is the error object of the API, with the right status, and nothing of the caller."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

import plain
from ports import free_port
from render import plans
from render.router import Running, wait_for
from render.upstream import Upstream
from wye_operator.plan.record import UNAVAILABLE, Cluster
from wye_operator.plan.wanted import Auth, Pin, RouterPlan, Routes, Share
from wye_operator.plan.world import Keys

EITHER_WAY = plans.EITHER_WAY

KEY = {"api-key": "key-one"}
PIN = "azureml-model-deployment"
NEEDED = "a valid key or token is needed: Authorization: Bearer KEY-OR-TOKEN, or api-key: KEY"


@pytest.fixture(scope="module")
def plan(upstreams: dict[str, Upstream]) -> RouterPlan:
    """`dead` has an address where nobody listens, `other` one that is another model's."""
    names = ("blue", "green", "red")
    return replace(
        plans.EMPTY,
        clusters=(
            *(Cluster(n, f"default/fraud-{n}") for n in names),
            Cluster("dead", "default/fraud-dead"),
            Cluster("other", "default/fraud-other"),
            plans.MIRROR,
        ),
        hosts=(
            *(plans.at(n, upstreams[n].port) for n in names),
            plans.at("dead", free_port()),
            plans.at("other", upstreams["blue"].port),
            plans.at("violet", upstreams["violet"].port),
        ),
        routes=Routes(
            "Split",
            (Share("blue", 10_000),),
            (),
            (
                *(Pin(n, 5000) for n in ("blue", "red", "dead", "other", "violet~mirror")),
                Pin("green", 100),
            ),
            5000,
            1000,
        ),
        auth=Auth(open=False, keys=Keys("key-one", "key-two"), version="a"),
    )


@pytest.fixture
def caller(router: Running) -> Iterator[httpx.Client]:
    router.wait_healthy("blue", "green", "red", "violet~mirror")
    with plain.Client(base_url=router.url, headers=KEY) as client:
        yield client


def error(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and sentence; the rest must be as it always is."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    told = body["error"]
    assert body == {"error": {"code": told["code"], "message": told["message"], "requestId": told["requestId"]}}
    assert told["requestId"] == answer.headers["x-request-id"]
    return answer.status_code, told["code"], told["message"]


ERRORS = {
    "an unknown deployment": (
        {"headers": {PIN: "nobody"}},
        (404, "DeploymentNotFound", "no deployment has the name in azureml-model-deployment"),
    ),
    "a body that says it is too large": (
        {"content": b"x" * 10_001},
        (413, "PayloadTooLarge", "the request body is larger than limits.maxRequestBytes"),
    ),
    "a body that turns out to be too large": (
        {"content": "chunked"},
        (413, "PayloadTooLarge", "the request body is larger than limits.maxRequestBytes"),
    ),
    "a model that is silent": (
        {"url": "/silent", "headers": {PIN: "green"}},
        (504, "RequestTimeout", "the deployment was silent for longer than its requestTimeoutMs"),
    ),
    "a request that takes as long as nothing may": (
        {"url": "/silent", "headers": {PIN: "red", "grpc-timeout": "200m"}},  # for the hour after which all are ended
        (504, "RequestTimeout", "the request took longer than one hour, or than its grpc-timeout"),
    ),
    "a model that breaks off every time": (
        {"url": "/reset", "headers": {PIN: "red"}},
        (503, "UpstreamFailure", "the deployment could not be reached, or broke off before its answer"),
    ),
    "no instance that listens": (
        {"headers": {PIN: "dead"}},
        (503, "NoReadyPod", "no ready instance of the deployment can answer; try again"),
    ),
    "an address that was given to another model": (
        {"headers": {PIN: "other"}},
        (503, "NoReadyPod", "no ready instance of the deployment can answer; try again"),
    ),
}


@pytest.mark.parametrize(("request_", "wanted"), ERRORS.values(), ids=ERRORS)
def test_what_goes_wrong_is_said(
    caller: httpx.Client, request_: dict[str, object], wanted: tuple[int, str, str]
) -> None:
    more = {"url": "/score", **request_}
    if more.get("content") == "chunked":
        more["content"] = iter([b"x" * 1000] * 11)
    assert error(caller.post(**more)) == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["PayloadTooLarge", "NoReadyPod", "DeploymentNotFound"])
def test_only_an_answer_that_came_from_a_deployment_names_it(caller: httpx.Client, code: str) -> None:
    sent = {"PayloadTooLarge": ("blue", 10_001), "NoReadyPod": ("dead", 1), "DeploymentNotFound": ("nobody", 1)}
    name, size = sent[code]
    answer = caller.post("/score", content=b"x" * size, headers={PIN: name})
    assert (error(answer)[1], PIN in answer.headers) == (code, False)


def test_a_deployment_that_was_silent_is_named(caller: httpx.Client) -> None:
    assert caller.post("/silent", headers={PIN: "green"}).headers[PIN] == "green"


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "anything/1"])
def test_who_asks_for_another_protocol_is_answered_in_this_one(
    router: Running, caller: httpx.Client, upstreams: dict[str, Upstream], protocol: str
) -> None:
    asks = {"connection": "upgrade", "upgrade": protocol, "x-request-id": "no id;"}
    assert plain.post(f"{router.url}/score", headers=asks).status_code == 401
    upstreams["blue"].seen.clear()
    answer = caller.post("/score", headers=asks)
    [seen] = upstreams["blue"].seen
    assert (answer.status_code, len(answer.headers["x-request-id"])) == (200, 36)
    assert not {"upgrade", "connection"} & set(seen.headers)


def test_a_models_own_error_is_passed_on_as_it_is(caller: httpx.Client) -> None:
    answer = caller.post("/error")
    assert (answer.status_code, answer.json()) == (500, {"error": {"code": "ModelError"}})
    assert answer.headers[PIN] == "blue"


CREDENTIALS = {
    "the primary key as bearer": ({"authorization": "Bearer key-one"}, 200),
    "the secondary key as bearer": ({"authorization": "Bearer key-two"}, 200),
    "the primary key as api-key": ({"api-key": "key-one"}, 200),
    "the secondary key as api-key": ({"api-key": "key-two"}, 200),
    "no key": ({}, 401),
    "an empty key": ({"api-key": ""}, 401),
    "a wrong key": ({"api-key": "key-three"}, 401),
    "the beginning of a key": ({"api-key": "key-on"}, 401),
    "a key with more after it": ({"api-key": "key-one1"}, 401),
    "a key in upper case": ({"api-key": "KEY-ONE"}, 401),
    "a key by another scheme": ({"authorization": "Basic key-one"}, 401),
    "a wrong bearer beside a right api-key": ({"authorization": "Bearer no", "api-key": "key-one"}, 401),
    "a key without the word Bearer": ({"authorization": "key-one"}, 200),
    "nothing as bearer beside a right api-key": ({"authorization": "", "api-key": "key-one"}, 200),
    "two api-keys, the first is right": ([("api-key", "key-one"), ("api-key", "no")], 200),
    "two api-keys, the second is right": ([("api-key", "no"), ("api-key", "key-one")], 401),
    "two bearers, both right": ([("authorization", "Bearer key-one"), ("authorization", "Bearer key-two")], 401),
    "the header that only the router writes": ({"x-client-id": "primary"}, 401),
}


@pytest.mark.parametrize(("headers", "status"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_who_may_call(router: Running, headers: dict[str, str] | list[tuple[str, str]], status: int) -> None:
    router.wait_healthy("blue")
    answer = plain.post(f"{router.url}/score", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert error(answer) == (401, "Unauthorized", NEEDED)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert PIN not in answer.headers


WITHOUT_KEY = {
    "the root": ("GET", "/", 200),
    "healthz": ("GET", "/healthz", 200),
    "healthz with a query": ("GET", "/healthz?x=1", 200),
    "a POST to the root": ("POST", "/", 401),
    "a HEAD of the root": ("HEAD", "/", 401),
    "a longer path": ("GET", "/healthz/", 401),
    "a path below": ("GET", "/healthz/x", 401),
    "another case": ("GET", "/Healthz", 401),
    "a path that climbs out": ("GET", "/healthz/../score", 401),
    "an encoded path that climbs out": ("GET", "/healthz/%2e%2e/score", 401),
    "an encoded slash": ("GET", "/healthz%2f..%2fscore", 401),
    "two slashes": ("GET", "//", 401),
    "a path with parameters": ("GET", "/healthz;x", 401),
    "the model's readiness": ("GET", "/v2/health/ready", 401),
    "a preflight request": ("OPTIONS", "/score", 401),
    "an unknown deployment is not given away": ("POST", "/pinned", 401),
}


@pytest.mark.parametrize(("method", "path", "status"), WITHOUT_KEY.values(), ids=WITHOUT_KEY)
def test_what_needs_no_key(
    router: Running, upstreams: dict[str, Upstream], method: str, path: str, status: int
) -> None:
    for upstream in upstreams.values():
        upstream.seen.clear()
    answer = plain.exactly(method, router.url, path, {PIN: "nobody"} if path == "/pinned" else {})
    assert answer.status_code == status
    assert status == 401 or (answer.text, answer.headers["content-type"]) == ("Healthy", "text/plain")
    assert [request for upstream in upstreams.values() for request in upstream.seen] == []


def talk(router: Running, request: bytes) -> tuple[str, bytes]:
    """The status line and the body of the answer to these bytes, read until the router closes."""
    with socket.create_connection((router.place.listen.host, router.place.listen.port), 15) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body


LINE = b"POST /score HTTP/1.1\r\nhost: a\r\napi-key: key-one\r\n"
MALFORMED = {
    "no HTTP at all": (b"nonsense\r\n\r\n", "400 Bad Request", "BadRequest"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", "400 Bad Request", "BadRequest"),
    "two lengths": (LINE + b"content-length: 1\r\ncontent-length: 2\r\n\r\n", "400 Bad Request", "BadRequest"),
    "a length and chunks": (
        LINE + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "400 Bad Request",
        "BadRequest",
    ),
    "a length that is none": (LINE + b"content-length: -1\r\n\r\n", "400 Bad Request", "BadRequest"),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", "426 Upgrade Required", "UpgradeRequired"),
    "headers without end": (
        LINE + b"x: " + b"y" * 61_440 + b"\r\n\r\n",
        "431 Request Header Fields Too Large",
        "HeadersTooLarge",
    ),
    "headers without number": (
        LINE + b"x: y\r\n" * 100 + b"\r\n",
        "431 Request Header Fields Too Large",
        "HeadersTooLarge",
    ),
    "a body that stops arriving": (
        LINE + b"azureml-model-deployment: green\r\ncontent-length: 5\r\n\r\nab",
        "408 Request Timeout",
        "UploadTimeout",
    ),
}


@pytest.mark.parametrize(("sent", "line", "code"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_requests_get_a_definite_answer(router: Running, sent: bytes, line: str, code: str) -> None:
    router.wait_healthy("green")
    status, body = talk(router, sent)
    assert (status, json.loads(body)["error"]["code"]) == (f"HTTP/1.1 {line}", code)


def test_more_requests_than_a_deployment_may_have_at_once(
    router: Running, caller: httpx.Client, upstreams: dict[str, Upstream]
) -> None:
    violet = upstreams["violet"]
    silent = b"POST /silent HTTP/1.1\r\nhost: a\r\napi-key: key-one\r\nazureml-model-deployment: violet~mirror\r\n"
    address = (router.place.listen.host, router.place.listen.port)
    held = [socket.create_connection(address) for _ in range(16)]
    for connection in held:
        connection.sendall(silent + b"content-length: 0\r\n\r\n")
    wait_for(lambda: len(violet.seen) == 16, "all are held")
    answer = caller.post("/score", headers={PIN: "violet~mirror"})
    violet.release.set()
    for connection in held:
        connection.close()
    sentence = "the router holds as many requests for the deployment as it may"
    assert error(answer) == (429, "TooManyRequests", sentence)
    assert answer.headers["retry-after"] == "1"


PLAIN = {
    "nobody has live traffic": (
        {"plain": "NoLiveTraffic"},
        (
            404,
            "NoLiveTraffic",
            "no deployment has live traffic here; name one in azureml-model-deployment, or set traffic",
        ),
        None,
    ),
    "nobody is ready": (
        {"plain": "NoReadyPod"},
        (503, "NoReadyPod", "no ready instance can answer; try again"),
        "2",
    ),
    "the share is lost": (
        {"shares": (Share(UNAVAILABLE, 10_000),)},
        (503, "NoReadyPod", "no ready instance of the deployment can answer; try again"),
        "2",
    ),
}


@pytest.mark.parametrize(("change", "wanted", "retry"), PLAIN.values(), ids=PLAIN)
def test_plain_requests_that_nobody_can_answer(
    router: Running,
    plan: RouterPlan,
    caller: httpx.Client,
    change: dict[str, object],
    wanted: tuple[int, str, str],
    retry: str | None,
) -> None:
    router.put(replace(plan, routes=replace(plan.routes, **change)))  # type: ignore[arg-type]
    answer = caller.post("/score")
    assert (error(answer), answer.headers.get("retry-after")) == (wanted, retry)
    assert PIN not in answer.headers
    assert caller.post("/score", headers={PIN: "blue"}).status_code == 200
    router.put(plan)


def test_no_error_repeats_what_the_caller_sent(caller: httpx.Client) -> None:
    secret = "s3cr3t"
    answer = caller.post(f"/{secret}?{secret}", content=secret, headers={PIN: secret, "x-other": secret})
    assert answer.status_code == 404
    assert not re.search(secret, answer.text)
