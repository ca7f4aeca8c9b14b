"""Each way a request can fail, with Envoy's own word for it: what the caller is told, and what the log says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

import plain
from ports import free_port
from render import plans
from render.router import Running, wait_for
from render.upstream import Upstream
from wye_operator.plan.record import Cluster
from wye_operator.plan.wanted import Auth, Pin, RouterPlan, Routes, Share
from wye_operator.plan.world import Keys
from wye_operator.render.errors import ANSWERS

EITHER_WAY = plans.EITHER_WAY

PIN = "azureml-model-deployment"
KEY = {"api-key": "key-one"}


@pytest.fixture(scope="module")
def plan(upstreams: dict[str, Upstream]) -> RouterPlan:
    """`green` may be silent for 1 s; nobody listens at `dead`."""
    names = ("blue", "green", "red")
    return replace(
        plans.EMPTY,
        clusters=(*(Cluster(n, f"default/fraud-{n}") for n in names), Cluster("dead", "default/fraud-dead")),
        hosts=(*(plans.at(n, upstreams[n].port) for n in names), plans.at("dead", free_port())),
        routes=Routes(
            "Split",
            (Share("blue", 10_000),),
            (),
            (Pin("blue", 5000), Pin("dead", 5000), Pin("green", 1000), Pin("red", 5000)),
            5000,
            1000,
        ),
        auth=Auth(open=False, keys=Keys("key-one", "key-two"), version="a"),
    )


@pytest.fixture
def caller(router: Running) -> Iterator[httpx.Client]:
    router.wait_healthy("blue", "green", "red")
    with plain.Client(base_url=router.url, headers=KEY) as client:
        yield client


# what is asked: (status, code, retry-after), (Envoy's flags, the model's status) in the log
FAILURES = {
    "nobody listens": ("/score", "dead", (503, "NoReadyPod", "2"), ("UH", None)),
    "the connection breaks before the answer": ("/reset", "red", (503, "UpstreamFailure", "1"), ("URX,UC", None)),
    "what comes is no HTTP": ("/garbage", "blue", (503, "UpstreamFailure", "1"), ("URX,UPE", None)),
    "the model is silent": ("/silent", "green", (504, "RequestTimeout", None), ("SI", None)),
    "nobody has the name": ("/score", "nobody", (404, "DeploymentNotFound", None), ("-", None)),
    "the model's own error": ("/error", "blue", (500, "ModelError", None), ("-", "500")),
}


@pytest.mark.parametrize(("path", "pin", "told", "logged"), FAILURES.values(), ids=FAILURES)
def test_what_fails_is_told_and_logged(
    router: Running,
    caller: httpx.Client,
    path: str,
    pin: str,
    told: tuple[int, str, str | None],
    logged: tuple[str, str | None],
) -> None:
    ids = {"x-request-id": f"failing-{pin}-{path[1:]}", "x-ms-client-request-id": "run-7"}
    answer = caller.post(path, headers={PIN: pin, **ids})
    assert (answer.status_code, answer.json()["error"]["code"], answer.headers.get("retry-after")) == told
    assert {name: answer.headers[name] for name in ids} == ids
    assert ("ms-azureml-model-time" in answer.headers) == (logged[1] is not None)
    assert answer.headers.get("ms-azureml-model-error-statuscode") == logged[1]
    assert answer.headers.get("ms-azureml-model-error-reason") == ("model_error" if logged[1] else None)
    record = router.record(answer.headers["x-request-id"])
    assert (record["flags"], record["model_status"], record["status"]) == (*logged, told[0])
    assert record["client_request_id"] == "run-7"


def test_a_model_cannot_pretend_an_error_of_its_own(caller: httpx.Client) -> None:
    answer = caller.post("/pretends", headers={PIN: "blue"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("ms-azureml-model-error")]


def test_an_answer_flows_while_the_model_still_writes_it(caller: httpx.Client, upstreams: dict[str, Upstream]) -> None:
    with caller.stream("POST", "/held", headers={PIN: "blue"}) as answer:
        parts = answer.iter_bytes()
        assert next(parts) == b"data: first\n\n"  # while the test holds the model
        upstreams["blue"].release.set()
        assert b"".join(parts) == b"data: last\n\n"
    upstreams["blue"].release.clear()


def test_a_request_flows_while_the_caller_still_writes_it(caller: httpx.Client, upstreams: dict[str, Upstream]) -> None:
    begun, go_on = upstreams["blue"].begun, threading.Event()

    def parts() -> Iterator[bytes]:
        yield b"first"
        assert begun.wait(60), "the model sees the first part"
        go_on.set()
        yield b"last"

    begun.clear()
    assert caller.post("/score", content=parts(), headers={PIN: "blue"}).status_code == 200
    assert go_on.is_set()


def test_an_answer_that_falls_silent_is_cut_off(router: Running, caller: httpx.Client) -> None:
    with caller.stream("POST", "/held", headers={PIN: "green"}) as answer:
        parts = answer.iter_bytes()
        assert next(parts) == b"data: first\n\n"
        with pytest.raises(httpx.RemoteProtocolError):
            next(parts)
    record = router.record(answer.headers["x-request-id"])
    assert (record["status"], record["flags"]) == (200, "SI")


def test_an_answer_that_breaks_off_is_no_whole_answer(router: Running, caller: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        caller.post("/broken", headers={PIN: "red", "x-request-id": "breaks-off"})
    assert router.record("breaks-off")["flags"] == "UPE"


def test_a_caller_that_goes_away_is_logged(router: Running, upstreams: dict[str, Upstream]) -> None:
    upstreams["red"].seen.clear()
    head = b"POST /silent HTTP/1.1\r\nhost: a\r\napi-key: key-one\r\nx-request-id: went\r\n"
    with socket.create_connection((router.place.listen.host, router.place.listen.port)) as connection:
        connection.sendall(head + PIN.encode() + b": red\r\ncontent-length: 0\r\n\r\n")
        wait_for(lambda: bool(upstreams["red"].seen), "the model has it")
    record = router.record("went")
    assert (record["status"], record["flags"]) == (0, "DC")


# Every flag that a mapper may name.
ENVOYS_FLAGS = (
    *("LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI"),
    *("IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO"),
)
# Flags that nothing in our configuration can raise. What Envoy would answer then is RouterError.
IMPOSSIBLE = {
    "DI": "no fault filter",
    "FI": "no fault filter",
    "RL": "no rate limit service",
    "RLSE": "no rate limit service",
    "UAEX": "no external authorization",
    "IH": "no strictly checked headers: callers' x-envoy-* are removed",
    "RFCF": "no rate limit service",
}
# Flags of requests that nobody waits for any more, and of messages that are answered by their status.
BY_STATUS = {
    "DC": "the caller went away",
    "DR": "the caller took the request back",
    "DPE": "not HTTP: 400",
    "NFCF": "auth.json is there before the listener is",
    "UDO": "no address asks for fewer requests",
}
# Flags with an answer that nothing here has ever raised, and why.
UNSEEN = {
    "LH": "no health check filter",
    "UT": "silence ends a request (SI); our routes have no other time-out",
    "UMSDR": "only mirrors have a longest duration, and nobody waits for their answers",
    "DT": "one hour is told by its details (test_limits_of_time)",
    "OM": "what has no memory left is told by its details (test_greedy)",
    "DO": "no list of addresses says how much to drop",
    "DF": "no DNS",
    "UR": "no instance speaks HTTP/2, whose streams are reset one by one",
    "LR": "the same",
    "UF": "an instance that refuses is put aside by the first try, and the next ones find nobody (UH)",
}
SEEN = {
    **dict.fromkeys(("UH", "UC", "URX", "UPE", "SI"), "FAILURES"),
    **{"UO": "test_errors, 16 at a shadow", "NR": "test_errors, CONNECT", "NC": "test_limits_of_time"},
}


def test_every_flag_that_envoy_knows_has_its_place() -> None:
    mapped = [flag for answer in ANSWERS for flag in answer.flags]
    listed = [*mapped, *IMPOSSIBLE, *BY_STATUS]
    assert sorted(listed) == sorted(ENVOYS_FLAGS)
    assert sorted(mapped) == sorted([*SEEN, *UNSEEN])
