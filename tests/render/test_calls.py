"""gRPC through a real router to models that answer by HTTP/1.1: who answers, and what goes wrong in words."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from scipy.stats import chisquare

import certs
from ports import free_port
from render import plans
from render.calls import OPTIONS, Calls, Told, by_hand, call, channel, refused
from render.router import Running, serving, wait_for
from wye_operator.api.environment import GRPC_HEALTH
from wye_operator.plan.record import UNAVAILABLE, Cluster
from wye_operator.plan.wanted import Auth, Listener, Pin, Rate, RouterPlan, Routes, Share, Sticky, Tls
from wye_operator.plan.world import Certificate, Keys

EITHER_WAY = plans.EITHER_WAY

PIN = "azureml_model_deployment"
KEY = {"api_key": "key-one"}
MOST = 64 << 20
NEEDED = "a valid key or token is needed: Authorization: Bearer KEY-OR-TOKEN, or api-key: KEY"
NAMES = ("blue", "green", "red", "violet")


@pytest.fixture(scope="module")
def models(traced: str) -> Iterator[dict[str, Calls]]:
    del traced  # others for each way
    running = {name: Calls(name) for name in NAMES}
    yield running
    for model in running.values():
        model.stop()


@pytest.fixture(scope="module")
def plan(models: dict[str, Calls]) -> RouterPlan:
    """`dead` has an address where nobody listens; green's time is 100 ms."""
    clusters = (*(Cluster(n, f"default/fraud-{n}") for n in NAMES), Cluster("dead", "default/fraud-dead"))
    addresses = (*(plans.at(n, models[n].port) for n in NAMES), plans.at("dead", free_port()))
    pins = (*(Pin(n, 5000) for n in ("blue", "dead", "red", "violet~mirror")), Pin("green", 100))
    return replace(
        plans.EMPTY,
        listener=Listener(most_request_bytes=MOST, access_log=True),
        clusters=(*clusters, plans.MIRROR),
        hosts=addresses,
        routes=Routes("Split", (Share("blue", 8000), Share("red", 2000)), (), pins, 5000, 1000),
        auth=Auth(open=False, keys=Keys("key-one", "key-two"), version="a"),
    )


@pytest.fixture
def to(router: Running, plan: RouterPlan) -> Iterator[grpc.Channel]:
    router.wait_healthy("blue", "green", "red", "violet~mirror")
    with channel(target(router)) as made:
        yield made


@pytest.fixture
def put(router: Running, plan: RouterPlan) -> Iterator[Callable[..., None]]:
    """Changes the module's routes; they are as they were afterwards."""
    yield lambda **change: router.put(replace(plan, routes=replace(plan.routes, **change)))
    router.put(plan)


def target(router: Running) -> str:
    return f"{router.place.listen.host}:{router.place.listen.port}"


def named(of: str) -> bytes:
    return b"\0" + len(of).to_bytes(4, "big") + of.encode()


def test_one_connection_is_split_by_the_weights(to: grpc.Channel) -> None:
    seen = Counter(call(to, "Name", **KEY) for _ in range(1000))
    assert chisquare([seen[b"blue"], seen[b"red"]], [800, 200]).pvalue > 0.001


def test_metadata_pins_and_the_answer_says_who_it_was(to: grpc.Channel) -> None:
    made = to.unary_unary("/test.Calls/Name").with_call
    answer, about = made(b"", timeout=60, metadata=[("api-key", "key-one"), (PIN.replace("_", "-"), "Red")])
    told = dict(about.initial_metadata())
    assert (answer, told["azureml-model-deployment"]) == (b"red", "red")
    assert told["x-request-id"]


def test_a_call_is_logged_with_its_grpc_status(router: Running, to: grpc.Channel) -> None:
    call(to, "Name", x_request_id="well", **KEY)
    refused(to, "Refuse", x_request_id="refused", **KEY)
    refused(to, "Name", x_request_id="nobody")
    told = {name: router.record(name) for name in ("well", "refused", "nobody")}
    assert {name: line["grpc_status"] for name, line in told.items()} == {"well": 0, "refused": 3, "nobody": 16}
    assert {line["status"] for line in told.values()} == {200}
    assert (told["well"]["path"], told["well"]["proto"]) == ("/test.Calls/Name", "HTTP/2")


ERRORS: dict[str, tuple[dict[str, object], Told]] = {
    "nobody": ({"api_key": ""}, ("UNAUTHENTICATED", NEEDED)),
    "a wrong key": ({"authorization": "Bearer wrong", "api_key": ""}, ("UNAUTHENTICATED", NEEDED)),
    "an unknown deployment": (
        {PIN: "nobody"},
        ("NOT_FOUND", "no deployment has the name in azureml-model-deployment"),
    ),
    "no instance that listens": (
        {PIN: "dead"},
        ("UNAVAILABLE", "no ready instance of the deployment can answer; try again"),
    ),
    "a model that is silent": (
        {"method": "Silent", PIN: "green"},
        ("DEADLINE_EXCEEDED", "the deployment was silent for longer than its requestTimeoutMs"),
    ),
    "a model that breaks off every time": (
        {"method": "Reset", PIN: "red"},
        ("UNAVAILABLE", "the deployment could not be reached, or broke off before its answer"),
    ),
    "a message that is too large": (
        {"message": b"x" * (MOST - 4)},
        ("RESOURCE_EXHAUSTED", "the request body is larger than limits.maxRequestBytes"),
    ),
    "a model's own refusal": ({"method": "Refuse"}, ("INVALID_ARGUMENT", "wrong: grün")),
    "a model that speaks no gRPC": (
        {"method": "Http"},
        ("UNAVAILABLE", "Received http2 header with status: 429"),
    ),
}


@pytest.mark.parametrize(("sent", "wanted"), ERRORS.values(), ids=ERRORS)
def test_what_goes_wrong_is_said(to: grpc.Channel, sent: dict[str, object], wanted: Told) -> None:
    assert refused(to, **{"method": "Name", **KEY, **sent}) == wanted  # type: ignore[arg-type]


def test_azures_statuses_are_nothing_for_calls(plan: RouterPlan, tmp_path: Path) -> None:
    azure = replace(plan, listener=replace(plan.listener, error_statuses="Azure"))
    with serving(azure, tmp_path, "blue", "green", "red") as running, channel(target(running)) as to:
        for name in ("nobody", "a model that is silent", "a model's own refusal"):
            sent, wanted = ERRORS[name]
            assert refused(to, **{"method": "Name", **KEY, **sent}) == wanted  # type: ignore[arg-type]
        assert call(to, "Name", **KEY) in (b"blue", b"red")


PLAIN: dict[str, tuple[dict[str, object], Told]] = {
    "nobody has live traffic": (
        {"plain": "NoLiveTraffic"},
        (
            "NOT_FOUND",
            "no deployment has live traffic here; name one in azureml-model-deployment, or set traffic",
        ),
    ),
    "nobody is ready": ({"plain": "NoReadyPod"}, ("UNAVAILABLE", "no ready instance can answer; try again")),
    "the share is lost": (
        {"shares": (Share(UNAVAILABLE, 10_000),)},
        ("UNAVAILABLE", "no ready instance of the deployment can answer; try again"),
    ),
}


@pytest.mark.parametrize(("change", "wanted"), PLAIN.values(), ids=PLAIN)
def test_plain_calls_that_nobody_can_answer(to: grpc.Channel, put: Callable[..., None], change, wanted) -> None:
    put(**change)
    assert refused(to, "Name", **KEY) == wanted
    assert call(to, "Name", **KEY, **{PIN: "blue"}) == b"blue"


def test_more_calls_than_the_rate_allows(to: grpc.Channel, put: Callable[..., None]) -> None:
    put(rate=Rate(1, 60))
    told = [refused(to, "Name", **KEY) for _ in range(3)]
    assert told[0] == ("OK", "")
    assert told[2] == ("RESOURCE_EXHAUSTED", "more requests came than limits.requestsPerSecond")


def test_more_calls_than_a_deployment_may_have_at_once(to: grpc.Channel, models: dict[str, Calls]) -> None:
    violet, pinned = models["violet"], {**KEY, PIN: "violet~mirror"}
    with ThreadPoolExecutor(16) as held:
        silent = [held.submit(refused, to, "Silent", **pinned) for _ in range(16)]
        wait_for(lambda: len(violet.seen) == 16, "all are held")
        told = refused(to, "Name", **pinned)
        violet.release.set()
        assert {each.result()[0] for each in silent} == {"UNAVAILABLE"}
    violet.release.clear()
    assert told == ("RESOURCE_EXHAUSTED", "the router holds as many requests for the deployment as it may")


def test_a_deadline_is_kept_by_the_router_too(router: Running, to: grpc.Channel) -> None:
    """Whatever the client does: this one keeps no time."""
    told = by_hand(router.url, "Silent", {"api-key": "key-one", "grpc-timeout": "200m"})
    assert told == ("4", "the request took longer than one hour, or than its grpc-timeout")


def test_a_caller_that_goes_is_gone_for_the_model_too(router: Running, to: grpc.Channel, models) -> None:
    assert refused(to, "Silent", **KEY, timeout=0.3, **{PIN: "red"})[0] == "DEADLINE_EXCEEDED"
    models["red"].release.set()
    wait_for(lambda: router.figure("envoy_cluster_upstream_rq_active", "red") == 0, "the request is given up")
    models["red"].release.clear()


def test_a_message_as_large_as_the_limit_arrives_whole(to: grpc.Channel) -> None:
    message = bytes(range(256)) * ((MOST - 256) // 256)
    assert call(to, "Echo", message, **KEY, timeout=60) == message


def test_calls_are_mirrored_whole_although_they_name_no_size(
    to: grpc.Channel, put: Callable[..., None], models: dict[str, Calls]
) -> None:
    models["violet"].seen.clear()
    put(mirrors=(Share("violet~mirror", 10_000),))
    sizes = [call(to, "Echo", b"x" * size, **KEY) and size + 5 for size in (0, 1, 100_000)]
    wait_for(lambda: len(models["violet"].seen) == 3, "all are copied")
    assert sorted(seen.size for seen in models["violet"].seen) == [each for each in (5, *sizes) if each]
    assert all(seen.headers["x-wye-mirrored"] == "true" for seen in models["violet"].seen)


def test_a_caller_with_the_same_metadata_stays(to: grpc.Channel, put: Callable[..., None]) -> None:
    put(sticky=Sticky(header="x-customer"), shares=(Share("blue", 5000), Share("red", 5000)))
    seen = {name: {call(to, "Name", x_customer=name, **KEY) for _ in range(5)} for name in map(str, range(40))}
    assert {len(each) for each in seen.values()} == {1}
    assert set().union(*seen.values()) == {b"blue", b"red"}


def test_trailers_of_callers_reach_no_model(router: Running, to: grpc.Channel, models: dict[str, Calls]) -> None:
    """What the headers may not say, they would say there."""
    wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    wire.initiate_connection()
    pseudo = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": "/test.Calls/Name"}
    wire.send_headers(1, [*pseudo.items(), ("api-key", "key-one"), ("te", "trailers"), ("x-request-id", "trailed")])
    wire.send_data(1, b"\0" * 5)
    wire.send_headers(1, [("x-client-id", "admin"), ("x-wye-mirrored", "true")], end_stream=True)
    assert answered(router, wire) == "200"
    assert [trailer for model in models.values() for trailer in model.trailers] == []
    assert any(seen.headers["x-request-id"] == "trailed" for model in models.values() for seen in model.seen)


def answered(router: Running, wire: h2.connection.H2Connection) -> str:
    """The status of the one answer."""
    with socket.create_connection((router.place.listen.host, router.place.listen.port), 60) as line:
        line.sendall(wire.data_to_send())
        while data := line.recv(65536):
            for event in wire.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    return dict(event.headers)[b":status"].decode()
    return "nothing"


def test_calls_by_tls(plan: RouterPlan, tmp_path: Path) -> None:
    pair = certs.pair("first.test")
    secure = replace(
        plan, listener=replace(plan.listener, tls=True), tls=Tls(Certificate(pair.chain, pair.key, 0), "certificate")
    )
    credentials = grpc.ssl_channel_credentials(pair.chain.encode())
    with (
        serving(secure, tmp_path, "blue", "red") as running,
        channel(f"localhost:{running.place.listen.port}", credentials) as to,
    ):
        assert call(to, "Name", **KEY) in (b"blue", b"red")
        assert refused(to, "Name") == ("UNAUTHENTICATED", NEEDED)


@contextmanager
def own_server() -> Iterator[tuple[int, list[bool]]]:
    """A server of grpcio's, with health and an echo of its own: its port, and for each echo whether it was a copy."""
    asked: list[str | None] = []
    copies: list[bool] = []

    def check(message: bytes, context: grpc.ServicerContext) -> bytes:
        asked.append(dict(context.invocation_metadata()).get("x-wye-deployment"))
        return b"\x08\x01"  # SERVING

    def echo(message: bytes, context: grpc.ServicerContext) -> bytes:
        copies.append("x-wye-mirrored" in dict(context.invocation_metadata()))
        return message

    def twice(messages: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        for message in messages:
            yield message * 2

    server = grpc.server(ThreadPoolExecutor(8), options=OPTIONS)
    unary = grpc.unary_unary_rpc_method_handler
    health, calls = "grpc.health.v1.Health", "test.Calls"
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(health, {"Check": unary(check)}),
            grpc.method_handlers_generic_handler(
                calls,
                {"Echo": unary(echo), "Twice": grpc.stream_stream_rpc_method_handler(twice)},
            ),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port, copies
        assert set(asked) == {None}
    finally:
        server.stop(None).wait(10)


def test_a_server_that_speaks_grpc_itself_beside_one_of_ours(
    router: Running, to: grpc.Channel, plan: RouterPlan
) -> None:
    """`protocol: h2c`: unary calls, streams both ways, trailers and large messages are its own."""
    with own_server() as (port, _):
        cluster = Cluster("own", "default/fraud-own", protocol="h2c", readiness=GRPC_HEALTH)
        shares = (Share("blue", 5000), Share("own", 5000))
        routes = replace(plan.routes, shares=shares, pins=(*plan.routes.pins, Pin("own", 5000)))
        hosts = (*plan.hosts, plans.at("own", port))
        router.put(
            replace(plan, clusters=(*plan.clusters, cluster), clusters_version="c-own", hosts=hosts, routes=routes)
        )
        router.wait_healthy("own", "blue")
        pinned = {**KEY, PIN: "own"}
        assert call(to, "Echo", b"x" * 5_000_000, **pinned) == b"x" * 5_000_000
        assert refused(to, "Nothing", **pinned)[0] == "UNIMPLEMENTED"
        metadata = [(name.replace("_", "-"), value) for name, value in pinned.items()]
        told = to.stream_stream("/test.Calls/Twice")(iter([b"a", b"b"]), timeout=60, metadata=metadata)
        assert list(told) == [b"aa", b"bb"]
        made = [to.unary_unary("/test.Calls/Echo").with_call(named("x"), metadata=metadata[:1]) for _ in range(40)]
        assert {answer for answer, _ in made} == {named("x")}
        assert {dict(about.initial_metadata())["azureml-model-deployment"] for _, about in made} == {"blue", "own"}
        router.put(plan)


def test_calls_are_copied_to_a_server_that_speaks_grpc_itself(
    router: Running, to: grpc.Channel, plan: RouterPlan
) -> None:
    with own_server() as (port, copies):
        cluster = Cluster("own~mirror", "default/fraud-own", mirror=True, protocol="h2c", readiness=GRPC_HEALTH)
        routes = replace(plan.routes, mirrors=(Share("own~mirror", 10_000),))
        hosts = (*plan.hosts, plans.at("own", port))
        router.put(
            replace(plan, clusters=(*plan.clusters, cluster), clusters_version="c-copy", hosts=hosts, routes=routes)
        )
        router.wait_healthy("own~mirror")
        for size in (0, 1, 100_000):
            assert call(to, "Echo", b"x" * size, **KEY) == b"x" * size
        wait_for(lambda: len(copies) == 3, "all are copied")
        assert copies == [True] * 3
        router.put(plan)
