"""Slots, queue, time-outs and drain: seen through events and counters, never through clocks."""

import asyncio
import contextlib
import os
import signal
import socket
import threading

import pytest

import plain
import toys
from wye_runtime.errors import RequestTimeout, TooManyRequests
from wye_runtime.metrics import Metrics
from wye_runtime.service import Slots, Workers

FOREVER = 2_000_000_000


def trips(count):
    return [{"name": "trips", "datatype": "INT64", "shape": [], "data": [count]}]


@contextlib.contextmanager
def occupied(server, wait_until, count=FOREVER):
    """A request whose run does not end; its client leaves at the end."""
    body = b'{"inputs":[{"name":"trips","datatype":"INT64","shape":[],"data":[%d]}]}' % count
    head = b"POST /v2/models/toy/infer HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body)
    before = server.load()
    with socket.create_connection(("127.0.0.1", server.port), 30) as wire:
        wire.sendall(head + body)
        wait_until(lambda: sum_of(server.load()) > sum_of(before))
        yield wire


def sum_of(load):
    return load["active"] + load["queued"]


@pytest.fixture(scope="module")
def server(servers):
    settings = {"requestTimeoutMs": 60_000, "maxConcurrentRequestsPerInstance": 1, "maxQueueWaitMs": 50_000}
    return servers.start(toys.slow(), requestSettings=settings).ready()


@pytest.fixture(scope="module")
def hasty(servers):
    settings = {"requestTimeoutMs": 400, "maxConcurrentRequestsPerInstance": 1, "maxQueueWaitMs": 30}
    return servers.start(toys.slow(), requestSettings=settings).ready()


def is_idle(server):
    return sum_of(server.load()) == 0


def test_health_answers_while_a_run_is_on(server, wait_until):
    with occupied(server, wait_until):
        assert server.http.get("/v2/health/ready").status_code == 200
        assert server.inner.get("/livez").status_code == 200
        assert server.score({"trips": "x"}).status_code == 422
        assert server.load() == {**server.load(), "active": 1, "queued": 0, "capacity": 1}
    wait_until(lambda: is_idle(server))


def test_who_leaves_the_queue_never_runs(server, wait_until):
    left = 'wye_requests_dropped_total{reason="client_gone"}'
    with occupied(server, wait_until):
        runs, gone = server.metric("wye_run_duration_seconds_count"), server.metric(left)
        with occupied(server, wait_until, count=1):
            assert server.load()["queued"] == 1
            assert server.metric("wye_queue_depth") == 1
        wait_until(lambda: server.load()["queued"] == 0)
        assert server.metric(left) == gone + 1
        assert server.load()["active"] == 1
    wait_until(lambda: is_idle(server))
    assert server.metric(left) == gone + 2
    assert server.metric("wye_run_duration_seconds_count") == runs
    assert server.metric('wye_requests_total{code="499",route="/v2/models/{model}/infer",traffic="live"}') >= 2


def test_a_slot_is_free_again_after_its_client_left(server, wait_until):
    with occupied(server, wait_until):
        pass
    assert server.infer(trips(1)).json()["outputs"][0]["data"] == [1.0]


def test_out_of_time_is_504_and_the_run_is_ended(hasty, wait_until):
    response = hasty.infer(trips(FOREVER))
    assert (response.status_code, response.json()["error"]["code"]) == (504, "RequestTimeout")
    wait_until(lambda: is_idle(hasty))
    assert hasty.metric('wye_requests_dropped_total{reason="timeout"}') >= 1
    assert hasty.infer(trips(1)).status_code == 200


def test_a_full_queue_is_429_with_retry_after(servers, wait_until):
    settings = {"requestTimeoutMs": 60_000, "maxConcurrentRequestsPerInstance": 1, "maxQueueWaitMs": 30}
    server = servers.start(toys.slow(), requestSettings=settings).ready()
    with occupied(server, wait_until):
        response = server.infer(trips(1))
        assert (response.status_code, response.json()["error"]["code"]) == (429, "TooManyRequests")
        assert response.headers["retry-after"] == "1"
    assert server.metric('wye_requests_dropped_total{reason="queue_wait"}') == 1
    server.stop()


def test_a_body_that_stops_coming_is_408(hasty):
    with socket.create_connection(("127.0.0.1", hasty.port), 30) as wire:
        wire.sendall(b"POST /score HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{")
        assert wire.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_large_bodies_are_decoded_in_the_worker(servers):
    server = servers.one("grid", lambda: toys.passing("FP32", ["N", "M"]))
    data = [float(each) for each in range(30_000)]
    response = server.infer([{"name": "x", "datatype": "FP32", "shape": [100, 300], "data": data}])
    assert response.status_code == 200, response.text[:500]
    assert response.json()["outputs"][0]["data"] == data
    wrong = server.infer([{"name": "x", "datatype": "FP32", "shape": [100, 300], "data": [*data[:-1], "x"]}])
    assert wrong.json()["error"]["details"][0]["position"] == 29_999


def infer_until_told(server, counts, started):
    """One client on one connection: asks until an answer closes it."""
    with plain.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
        while True:
            response = client.post("/v2/models/toy/infer", json={"inputs": trips(50)})
            counts.append(response.status_code)
            started.set()
            if response.headers.get("connection") == "close":
                return


def test_a_drain_under_load_loses_nothing(servers, wait_until):
    server = servers.start(toys.slow()).ready()
    counts, started = [], threading.Event()
    clients = [threading.Thread(target=infer_until_told, args=(server, counts, started)) for _ in range(6)]
    for client in clients:
        client.start()
    assert started.wait(30)
    server.tell()
    for client in clients:
        client.join(30)
    assert server.ended() == 0
    assert set(counts) == {200}
    assert server.line("ended")["exitCode"] == 0


def test_a_drain_is_told_on_both_ports_and_waits_for_the_last_run(servers, wait_until):
    settings = {"requestTimeoutMs": 60_000, "maxConcurrentRequestsPerInstance": 1}
    server = servers.start(toys.slow(), requestSettings=settings).ready()
    with occupied(server, wait_until):
        server.tell()
        wait_until(lambda: server.inner.get("/readyz").status_code == 503)
        ready = server.http.get("/v2/health/ready")
        assert (ready.status_code, ready.json()["reason"]) == (503, "draining")
        assert ready.headers["connection"] == "close"
        assert server.inner.get("/livez").status_code == 200
        assert server.process.poll() is None
    assert server.ended() == 0


def test_the_second_signal_ends_at_once(servers, wait_until):
    settings = {"requestTimeoutMs": 60_000}
    server = servers.start(toys.slow(), requestSettings=settings).ready()
    with occupied(server, wait_until):
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: server.inner.get("/readyz").status_code == 503)
        server.process.send_signal(signal.SIGINT)
        assert server.ended() == 1


def test_both_ports_answer_while_the_model_loads(servers, tmp_path, wait_until):
    path = tmp_path / "toy.onnx"
    os.mkfifo(path)  # reading waits until somebody writes: a load as long as we like
    server = servers.start(path).listening()
    assert server.inner.get("/livez").status_code == 200
    assert server.inner.get("/readyz").json() == {"ready": False, "reason": "loading"}
    assert server.inner.get("/signature").status_code == 503
    assert server.http.get("/v2/health/live").status_code == 200
    assert server.http.get("/v2/health/ready").status_code == 503
    for path_ in ("/score", "/v2/models/toy/infer"):
        response = server.http.post(path_, json={})
        assert (response.status_code, response.json()["error"]["code"]) == (503, "ModelNotReady")
        assert response.headers["retry-after"] == "1"
    server.tell()
    assert server.ended() == 0


def test_readiness_is_for_the_deployment_that_was_meant(servers):
    server = servers.one("named", toys.linear, deployment="default/fraud-blue")
    ready = "/v2/health/ready"
    assert server.http.get(ready).status_code == 200
    assert server.http.get(ready, headers={"x-wye-deployment": "default/fraud-blue"}).status_code == 200
    assert server.http.get(ready, headers={"x-wye-deployment": "default/other"}).status_code == 503


@pytest.fixture
def slots():
    return Slots(capacity=1, wait=30.0, metrics=Metrics(), limit=2)


def soon():
    return asyncio.get_running_loop().time() + 60


async def test_the_queue_is_first_in_first_out_and_bounded(slots):
    await slots.acquire(soon())
    order = []

    async def wait(name):
        await slots.acquire(soon())
        order.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name in ("first", "second"):
            tasks.create_task(wait(name))
            await asyncio.sleep(0)
        with pytest.raises(TooManyRequests, match="2 requests are waiting already"):
            await slots.acquire(soon())
        for _ in range(2):
            slots.release()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert order == ["first", "second"]
    slots.release()
    assert (slots.active, len(slots.waiters)) == (0, 0)


async def test_a_slot_that_is_handed_to_one_who_left_goes_to_the_next(slots):
    await slots.acquire(soon())
    leaving, staying = (asyncio.ensure_future(slots.acquire(soon())) for _ in range(2))
    await asyncio.sleep(0)
    slots.release()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await staying
    slots.release()
    assert slots.active == 0


async def test_whose_time_is_up_in_the_queue_never_runs(slots):
    workers = Workers(slots)
    await slots.acquire(soon())
    with pytest.raises(RequestTimeout):
        await workers.do(lambda _: pytest.fail("it ran"), asyncio.get_running_loop().time())
    slots.release()
    assert await workers.do(lambda _: 7, soon()) == 7
    workers.close()
