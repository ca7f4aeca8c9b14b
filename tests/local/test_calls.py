"""gRPC through a twin by grpcio as it comes, sync and aio, to the real runtime: nothing is lost while all is edited."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import asynccontextmanager, contextmanager

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # these tests start processes, none of which makes calls

import grpc
import grpc.aio
import numpy as np
import pytest

import certs
import toys
from cluster.calls import RIGHT, Calls
from cluster.load import Request
from wye_runtime.codecs.messages import CLASSES

SERVICE = "/inference.GRPCInferenceService"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
LIST = CLASSES["ServerReflectionRequest"](list_services="").SerializeToString()
WIDTH = 7
LARGE = (2_000_000, WIDTH)  # 56 MB
SIZES = [(f"grpc.max_{way}_message_length", 1 << 28) for way in ("send", "receive")]


class Folder:
    """Real models in a folder of a twin."""

    def __init__(self, manifests) -> None:
        self.manifests = manifests
        self.model()

    def model(self, more: bytes = b"") -> None:
        made = self.manifests.folder / ".new"
        made.write_bytes(toys.linear(WIDTH).SerializeToString() + more)
        made.rename(self.manifests.folder / "model.onnx")

    def deployment(self, name: str, **spec) -> None:
        base = {"endpointName": "fraud", "name": name, "model": {"uri": "file://model.onnx"}}
        self.manifests.write(f"{name}.yaml", self.manifests.object("Deployment", f"fraud-{name}", base | spec))


@pytest.fixture
def folder(manifests) -> Folder:
    return Folder(manifests)


def request(rows: np.ndarray | None = None, model: str = "fraud"):
    rows = np.arange(1, WIDTH + 1, dtype=np.float32).reshape(1, WIDTH) if rows is None else rows
    made = CLASSES["ModelInferRequest"](model_name=model, raw_input_contents=[rows.tobytes()])
    made.inputs.add(name="x", datatype="FP32", shape=rows.shape)
    return made


def of(answer) -> np.ndarray:
    [raw] = answer.raw_output_contents
    return np.frombuffer(raw, np.float32)


def call(channel, name: str, message=None, metadata: Sequence[tuple[str, str]] = (), answer: str = "", **more):
    sent = b"" if message is None else message.SerializeToString()
    path = f"{SERVICE}/{name}" if "/" not in name else name
    told = channel.unary_unary(path)(sent, timeout=60, metadata=metadata, **more)
    return CLASSES[answer or f"{name}Response"].FromString(told)


@contextmanager
def load(run):
    """Calls for as long as the block takes; at its end none may have been lost."""
    request = Request(f"127.0.0.1:{run.port}", "", run.key)
    with Calls(list, request) as made:
        yield made
    assert made.lost == 0, made.losses
    assert made.answers.total() > 100


async def test_edits_rolls_and_routers_lose_no_call(folder, manifests, up, capsys) -> None:
    manifests.endpoint(traffic={"blue": 50, "green": 50})
    for name in ("blue", "green"):
        folder.deployment(name, instanceCount=2)
    async with up(program=None) as run:
        await run.traffic("blue=50 green=50")
        with load(run) as calls:
            for edit in range(10):
                share = 2 * edit + 1
                manifests.endpoint(traffic={"blue": 100 - share, "green": share})
                await run.traffic(f"blue={100 - share} green={share}")
            before = {p.pid for p in run.processes("fraud-blue")}
            folder.model(b"\x32\x01t")  # other bytes, the same model: all instances are replaced
            await run.until(lambda s: s.settled and not before & {p.pid for p in run.processes("fraud-blue")})
            was = run.target().router.envoys[0].process.pid
            manifests.endpoint(traffic={"blue": 81, "green": 19}, router={"accessLog": False})
            await run.until(lambda s: s.settled and run.target().router.envoys[0].process.pid != was)
            await run.traffic("blue=81 green=19")
    with capsys.disabled():
        print(
            f"\n10 edits, all models and the router anew: lost {calls.lost} of {calls.answers.total()} calls by grpcio"
        )
    assert set(calls.served) == {"blue", "green"}


@asynccontextmanager
async def served(folder, manifests, up, *names: str):
    """A twin that runs, and what its callers say to be let in."""
    manifests.endpoint(traffic={names[0]: 100})
    for name in names:
        folder.deployment(name, requestSettings={"requestTimeoutMs": 60_000})  # 56 MB on a busy machine
    async with up(program=None) as run:
        await run.traffic(f"{names[0]}=100")
        yield f"127.0.0.1:{run.port}", list(run.key.items())


async def test_every_call_by_sync(folder, manifests, up) -> None:
    named = CLASSES["ModelReadyRequest"](name="fraud")
    async with served(folder, manifests, up, "blue") as (target, metadata):
        with grpc.insecure_channel(target, SIZES) as channel:
            assert call(channel, "ServerLive", None, metadata).live
            assert call(channel, "ServerReady", None, metadata).ready
            assert call(channel, "ModelReady", named, metadata).ready
            assert call(channel, "ServerMetadata", None, metadata).name == "wye-runtime"
            assert call(channel, "ModelMetadata", named, metadata).inputs[0].name == "x"
            check = call(channel, "/grpc.health.v1.Health/Check", None, metadata, "HealthCheckResponse")
            assert check.status == 1
            told = call(channel, "ModelInfer", request(), metadata, compression=grpc.Compression.Gzip)
            assert of(told).round(4) == np.float32(RIGHT)
            rows = np.random.default_rng(7).normal(size=LARGE).astype(np.float32)
            answer = of(call(channel, "ModelInfer", request(rows), metadata))
            np.testing.assert_allclose(answer, 1 / (1 + np.exp(-0.01 * rows.sum(axis=1))), rtol=1e-4)
            told = list(channel.stream_stream(REFLECTION)(iter([LIST, LIST]), timeout=60, metadata=metadata))
            assert len(told) == 2


async def test_a_pinned_call_and_an_open_one_by_aio(folder, manifests, up) -> None:
    async with (
        served(folder, manifests, up, "blue", "green") as (target, metadata),
        grpc.aio.insecure_channel(target) as channel,
    ):
        pin = ("azureml-model-deployment", "green")
        infer = channel.unary_unary(f"{SERVICE}/ModelInfer")
        pinned = infer(request().SerializeToString(), metadata=[*metadata, pin], timeout=60)
        assert of(CLASSES["ModelInferResponse"].FromString(await pinned)).round(4) == np.float32(RIGHT)
        assert dict(await pinned.initial_metadata())[pin[0]] == "green"
        open_call = channel.stream_stream(REFLECTION)(metadata=metadata, timeout=60)
        for _ in range(3):  # each is answered while the call is open
            await open_call.write(LIST)
            answer = CLASSES["ServerReflectionResponse"].FromString(await open_call.read())
            assert len(answer.list_services_response.service) == 4
        await open_call.done_writing()
        assert await open_call.code() == grpc.StatusCode.OK


NEEDED = "a valid key or token is needed"
ERRORS = {
    "no key": ((), request(), "UNAUTHENTICATED", NEEDED),
    "a wrong key": ((("api-key", "wrong"),), request(), "UNAUTHENTICATED", NEEDED),
    "another deployment": (
        (("azureml-model-deployment", "red"),),
        request(),
        "NOT_FOUND",
        "no deployment has the name",
    ),
    "another model": (None, request(model="other"), "NOT_FOUND", 'there is no model "other" here'),
    "a wrong shape": (None, request(np.zeros((1, 3), np.float32)), "INVALID_ARGUMENT", "the model wants [-1, 7]"),
    "too large": (None, request(np.zeros((5000, WIDTH), np.float32)), "RESOURCE_EXHAUSTED", "limits.maxRequestBytes"),
}


async def test_errors_of_router_and_runtime_have_status_and_sentence(folder, manifests, up) -> None:
    manifests.endpoint(traffic={"blue": 100}, limits={"maxRequestBytes": "64Ki"}, errorStatuses="Azure")
    folder.deployment("blue")
    async with up(program=None) as run:
        await run.traffic("blue=100")
        keyed = tuple(run.key.items())
        for name, (metadata, message, status, words) in ERRORS.items():
            given = {None: keyed}.get(metadata, metadata if "key" in name else (*keyed, *(metadata or ())))
            async with grpc.aio.insecure_channel(f"127.0.0.1:{run.port}") as channel:
                infer = channel.unary_unary(f"{SERVICE}/ModelInfer")
                with pytest.raises(grpc.RpcError) as caught:
                    await infer(message.SerializeToString(), timeout=60, metadata=given)
            with grpc.insecure_channel(f"127.0.0.1:{run.port}") as channel, pytest.raises(grpc.RpcError) as again:
                call(channel, "ModelInfer", message, given)
            for error in (caught.value, again.value):
                assert (error.code().name, words in error.details()) == (status, True), (name, error.details())
        with grpc.insecure_channel(f"127.0.0.1:{run.port}") as channel, pytest.raises(grpc.RpcError) as caught:
            call(channel, "ModelStreamInfer", None, keyed)
        assert caught.value.code().name == "UNIMPLEMENTED"


async def test_calls_by_tls(folder, manifests, up) -> None:
    pair = certs.pair()
    manifests.write("tls.yaml", pair.secret())
    manifests.endpoint(tls={"secretName": "fraud-tls"})
    folder.deployment("blue")
    async with up(program=None) as run:
        await run.traffic("blue=100")
        credentials = grpc.ssl_channel_credentials(pair.chain.encode())
        async with grpc.aio.secure_channel(f"localhost:{run.port}", credentials) as channel:
            infer = channel.unary_unary(f"{SERVICE}/ModelInfer")
            told = await infer(request().SerializeToString(), metadata=list(run.key.items()), timeout=60)
            assert of(CLASSES["ModelInferResponse"].FromString(told)).round(4) == np.float32(RIGHT)
