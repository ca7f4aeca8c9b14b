"""`--grpc-port`: gRPC by HTTP/2 from the runtime itself, for an unmodified client and no router between."""

from __future__ import annotations

import os
import subprocess
import sys
from queue import SimpleQueue

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # these tests start processes, none of which makes calls

import grpc
import grpc.aio
import numpy as np
import pytest

import toys
from wye_runtime.app.calls_port import MOST_CALLS
from wye_runtime.codecs.messages import CLASSES

SERVICE = "/inference.GRPCInferenceService"
ROW = np.array([1, 2.5, -3], np.float32)
LIMIT = 8_000_000


@pytest.fixture
def server(servers):
    return servers.one("calls-port", toys.passing, more=("--grpc-port", "0"), maxRequestBytes=LIMIT)


@pytest.fixture
def channel(server):
    limits = [(f"grpc.max_{way}_message_length", 2 * LIMIT) for way in ("send", "receive")]
    with grpc.insecure_channel(f"127.0.0.1:{server.line('listening')['grpcPort']}", limits) as made:
        yield made


def call(channel, name: str, request=b"", answer: str | None = None, **more):
    message = request if isinstance(request, bytes) else request.SerializeToString()
    told = channel.unary_unary(f"{SERVICE}/{name}")(message, timeout=20, **more)
    return CLASSES[answer or f"{name}Response"].FromString(told)


def infer(rows: np.ndarray = ROW, shape=(1, 3)):
    made = CLASSES["ModelInferRequest"](model_name="toy", raw_input_contents=[rows.tobytes()])
    made.inputs.add(name="x", datatype="FP32", shape=shape)
    return made


def test_calls_are_answered(channel) -> None:
    assert call(channel, "ModelInfer", infer()).raw_output_contents == [ROW.tobytes()]
    assert call(channel, "ServerLive").live
    assert call(channel, "ServerReady").ready
    assert call(channel, "ModelReady", CLASSES["ModelReadyRequest"](name="toy")).ready
    assert call(channel, "ServerMetadata").name == "wye-runtime"
    assert call(channel, "ModelMetadata", CLASSES["ModelMetadataRequest"](name="toy")).inputs[0].name == "x"
    assert call(channel, "ModelInfer", infer(), compression=grpc.Compression.Gzip).raw_output_contents
    checked = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
    assert CLASSES["HealthCheckResponse"].FromString(checked).status == 1


def test_reflection_answers_while_the_call_is_open(channel) -> None:
    asked = CLASSES["ServerReflectionRequest"](list_services="").SerializeToString()
    method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    questions: SimpleQueue[bytes | None] = SimpleQueue()
    answers = channel.stream_stream(method)(iter(questions.get, None), timeout=20)
    for _ in range(2):  # the next question is not there before this one is answered
        questions.put(asked)
        answer = CLASSES["ServerReflectionResponse"].FromString(next(answers))
        assert len(answer.list_services_response.service) == 4
    questions.put(None)
    assert list(answers) == []


ERRORS = {
    "another model": ("ModelInfer", CLASSES["ModelInferRequest"](model_name="grün"), "NOT_FOUND", 'no model "grün"'),
    "a wrong shape": ("ModelInfer", infer(shape=(1, 4)), "INVALID_ARGUMENT", "the model wants [-1, 3]"),
    "an unknown call": ("ModelStream", b"", "UNIMPLEMENTED", "there is no call"),
    "nonsense": ("ModelInfer", b"\xff\xff", "INVALID_ARGUMENT", "the message is no ModelInferRequest"),
    "too large": ("ModelInfer", b"\0" * (LIMIT + 1), "RESOURCE_EXHAUSTED", "larger"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_has_status_and_sentence(channel, case) -> None:
    name, request, status, words = ERRORS[case]
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, name, request, "ModelInferResponse", metadata=[("x-request-id", "mine")])
    assert (caught.value.code().name, words in caught.value.details()) == (status, True), caught.value.details()
    if case != "too large":  # that one grpcio refuses by itself
        assert dict(caught.value.trailing_metadata())["x-request-id"] == "mine"


async def test_no_more_calls_are_open_than_so_many(server) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.line('listening')['grpcPort']}") as channel:
        method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        asked = CLASSES["ServerReflectionRequest"](list_services="").SerializeToString()
        held = [channel.stream_stream(method)(timeout=60) for _ in range(MOST_CALLS)]
        for each in held:
            await each.write(asked)
            await each.read()
        live = channel.unary_unary(f"{SERVICE}/ServerLive")
        with pytest.raises(grpc.RpcError) as caught:
            await live(b"", timeout=20)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await held[0].done_writing()
        await held[0].code()
        assert await live(b"", timeout=20)
        for each in held:
            each.cancel()


def test_a_large_message_comes_back(servers) -> None:
    server = servers.one(
        "calls-port-grid", lambda: toys.passing("FP32", ["N", "M"]), more=("--grpc-port", "0"), maxRequestBytes=LIMIT
    )
    rows = np.arange(600_000, dtype=np.float32).reshape(1000, 600)
    with grpc.insecure_channel(f"127.0.0.1:{server.line('listening')['grpcPort']}") as channel:
        assert call(channel, "ModelInfer", infer(rows, rows.shape)).raw_output_contents == [rows.tobytes()]


def test_calls_are_counted_and_a_drain_ends_them(servers) -> None:
    server = servers.start(toys.passing(), more=("--grpc-port", "0")).ready()
    with grpc.insecure_channel(f"127.0.0.1:{server.line('listening')['grpcPort']}") as channel:
        call(channel, "ModelInfer", infer())
        assert server.metric(f'wye_requests_total{{code="200",route="{SERVICE}/ModelInfer",traffic="live"}}') == 1
        assert server.stop() == 0


def test_a_port_that_is_taken_and_a_missing_library_are_sentences(servers, tmp_path) -> None:
    taken = servers.one("calls-port", toys.passing, more=("--grpc-port", "0"), maxRequestBytes=LIMIT)
    port = str(taken.line("listening")["grpcPort"])
    server = servers.start(toys.passing(), more=("--grpc-port", port))
    assert server.ended() == 2
    assert f"127.0.0.1:{port} is in use, or not of this machine" in server.out.read_text()
    (tmp_path / "grpc.py").write_text("raise ImportError")
    server = servers.start(
        toys.passing(), more=("--grpc-port", "0"), environment={"PYTHONPATH": str(tmp_path), **os.environ}
    )
    assert server.ended() == 2
    assert "--grpc-port needs grpcio: pip install 'wye-runtime[grpc]'" in server.out.read_text()


def test_without_the_port_nothing_of_it_is_loaded() -> None:
    script = "import sys, wye_runtime.app; print('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"
