"""gRPC as a router hands it on: HTTP/1.1 with the frames of gRPC, then a trailer; an error is headers alone."""

from __future__ import annotations

import gzip
import socket
import struct
import zlib
from urllib.parse import unquote

import numpy as np
import pytest

import toys
from wye_runtime.codecs.messages import CLASSES
from wye_runtime.endpoints.calls import seconds_of

SERVICE = "/inference.GRPCInferenceService"
INFER = f"{SERVICE}/ModelInfer"
LIMIT = 200_000


class Answer:
    """What came back: HTTP's status, headers, the trailer, and the message."""

    def __init__(self, raw: bytes) -> None:
        head, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.http = int(first.split()[1])
        self.headers = dict(line.split(": ", 1) for line in lines)
        self.message = b""
        if "transfer-encoding" in self.headers:
            size, _, rest = rest.partition(b"\r\n")
            chunk, rest = rest[: int(size, 16)], rest[int(size, 16) :]
            assert rest == b"\r\n0\r\ngrpc-status: 0\r\n\r\n"
            assert chunk[0] == 0
            assert int.from_bytes(chunk[1:5], "big") == len(chunk) - 5
            self.message = chunk[5:]
        self.status = int(self.headers.get("grpc-status", "0"))
        self.words = unquote(self.headers.get("grpc-message", ""))

    def read(self, name: str):
        assert (self.http, self.status) == (200, 0), (self.status, self.words)
        return CLASSES[name].FromString(self.message)


def framed(message: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(message)) + message


def head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: a", "content-type: application/grpc", "te: trailers"]
    return "\r\n".join([*lines, *headers, "transfer-encoding: chunked", "", ""]).encode()


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"


def exchanged(server, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), 30) as wire:
        wire.sendall(content)
        answer = b""
        while part := wire.recv(65536):
            answer += part
        return answer


def called(server, path: str, message=b"", *headers: str, frame=framed) -> Answer:
    body = frame(message if isinstance(message, bytes) else message.SerializeToString())
    return Answer(exchanged(server, head(path, "connection: close", *headers) + chunked(body)))


def request(*tensors: dict, raw=(), **more):
    made = CLASSES["ModelInferRequest"](model_name="toy", **more)
    for tensor in tensors:
        made.inputs.add(**tensor)
    made.raw_input_contents.extend(raw)
    return made


X = {"name": "x", "datatype": "FP32", "shape": [1, 3]}
ROW = np.array([1, 2.5, -3], np.float32)


@pytest.fixture
def server(servers):
    return servers.one("calls", toys.passing, maxRequestBytes=LIMIT)


def test_raw_tensors_are_answered_raw(server) -> None:
    answer = called(server, INFER, request(X, raw=[ROW.tobytes()], id="7")).read("ModelInferResponse")
    assert (answer.model_name, answer.model_version, answer.id) == ("toy", "1", "7")
    [output] = answer.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y", "FP32", [1, 3])
    assert answer.raw_output_contents == [ROW.tobytes()]


def test_typed_contents_are_answered_typed(server) -> None:
    tensor = {**X, "contents": CLASSES["InferTensorContents"](fp32_contents=ROW)}
    answer = called(server, INFER, request(tensor)).read("ModelInferResponse")
    assert not answer.raw_output_contents
    assert list(answer.outputs[0].contents.fp32_contents) == ROW.tolist()


VALUES = {
    "BOOL": ("bool_contents", [True, False]),
    "INT8": ("int_contents", [-128, 127]),
    "INT64": ("int64_contents", [2**53 + 1, -(2**63)]),
    "UINT16": ("uint_contents", [0, 65535]),
    "UINT64": ("uint64_contents", [2**64 - 1]),
    "FP64": ("fp64_contents", [0.1, float("inf")]),
    "BYTES": ("bytes_contents", ["grüße".encode(), b""]),
}


@pytest.mark.parametrize("datatype", VALUES)
def test_every_type_comes_back_as_it_was(servers, datatype) -> None:
    server = servers.one(f"call-{datatype}", lambda: toys.echo(datatype))
    field, values = VALUES[datatype]
    contents = CLASSES["InferTensorContents"](**{field: values})
    tensor = {"name": f"in_{datatype}", "datatype": datatype, "shape": [len(values)], "contents": contents}
    answer = called(server, INFER, request(tensor)).read("ModelInferResponse")
    assert list(getattr(answer.outputs[0].contents, field)) == values


def test_a_large_message_is_decoded_in_the_worker(servers) -> None:
    server = servers.one("call-grid", lambda: toys.passing("FP32", ["N", "M"]))
    rows = np.arange(600_000, dtype=np.float32).reshape(1000, 600)
    message = request({"name": "x", "datatype": "FP32", "shape": rows.shape}, raw=[rows.tobytes()])
    assert called(server, INFER, message).read("ModelInferResponse").raw_output_contents == [rows.tobytes()]


def conversed(server, *messages) -> list[Answer]:
    """Calls with the same head over one connection, each behind the answer to the one before."""
    found = []
    with socket.create_connection(("127.0.0.1", server.port), 30) as wire:
        for message in messages:
            wire.sendall(head(INFER, "x-request-id: 7") + chunked(framed(message.SerializeToString())))
            answer = b""
            while not (answer.endswith(b"grpc-status: 0\r\n\r\n") or b"content-length: 0\r\n" in answer):
                assert (piece := wire.recv(65536)), f"it hung up behind {answer!r}"
                answer += piece
            found.append(Answer(answer))
    return found


def test_the_same_call_again_has_its_own_answer(server) -> None:
    """Its head is known then, and all of its message but the tensor."""
    rows = [ROW, ROW, ROW + 1, np.repeat(ROW[None], 4, 0), ROW + 2]
    calls = [request({**X, "shape": [each.size // 3, 3]}, raw=[each.tobytes()]) for each in rows]
    wrong = request(X, raw=[ROW.tobytes()[1:]])
    large = request(X, raw=[b"a" * LIMIT])
    first, *told = conversed(server, *calls, wrong, calls[2], large)
    answers = [each.read("ModelInferResponse").raw_output_contents for each in (first, *told[:4], told[5])]
    assert answers == [[each.tobytes()] for each in (*rows, rows[2])]
    assert [each.status for each in (told[4], told[6])] == [3, 8]
    assert {each.headers["x-request-id"] for each in told} == {"7"}


def test_health_readiness_and_metadata(server) -> None:
    service = SERVICE
    named = CLASSES["ModelReadyRequest"](name="toy")
    assert called(server, f"{service}/ServerLive").read("ServerLiveResponse").live
    assert called(server, f"{service}/ServerReady").read("ServerReadyResponse").ready
    assert called(server, f"{service}/ServerMetadata").read("ServerMetadataResponse").name == "wye-runtime"
    assert called(server, f"{service}/ModelReady", named).read("ModelReadyResponse").ready
    told = called(server, f"{service}/ModelMetadata", named).read("ModelMetadataResponse")
    assert (told.name, list(told.versions), told.platform) == ("toy", ["1"], "onnxruntime_onnx")
    assert [(each.name, each.datatype, list(each.shape)) for each in told.inputs] == [("x", "FP32", [-1, 3])]
    for asked in ("", "inference.GRPCInferenceService"):
        check = CLASSES["HealthCheckRequest"](service=asked)
        assert called(server, "/grpc.health.v1.Health/Check", check).read("HealthCheckResponse").status == 1


COMPRESSED = lambda message: b"\1" + framed(message)[1:]  # noqa: E731


@pytest.mark.parametrize(("encoding", "compressed"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_messages_are_read(server, encoding, compressed) -> None:
    message = compressed(request(X, raw=[ROW.tobytes()]).SerializeToString())
    answer = called(server, INFER, message, f"grpc-encoding: {encoding}", frame=COMPRESSED)
    assert answer.read("ModelInferResponse").raw_output_contents == [ROW.tobytes()]
    named = compressed(CLASSES["ModelReadyRequest"](name="toy").SerializeToString())
    ready = called(server, f"{SERVICE}/ModelReady", named, f"grpc-encoding: {encoding}", frame=COMPRESSED)
    assert ready.read("ModelReadyResponse").ready


COMPRESSION = {
    "unknown": ("snappy", b"x", 12, 'compressed by "snappy"'),
    "unnamed": ("identity", b"x", 12, 'compressed by "identity"'),
    "no gzip": ("gzip", b"no gzip at all", 3, "the message is no gzip"),
    "half of it": ("gzip", gzip.compress(b"x" * 100)[:-9], 3, "no whole gzip"),
    "a bomb": ("gzip", gzip.compress(b"\0" * (LIMIT + 1)), 8, "larger than"),
}


@pytest.mark.parametrize("case", COMPRESSION)
def test_what_cannot_be_read_is_said(server, case) -> None:
    encoding, message, status, words = COMPRESSION[case]
    for path in (INFER, f"{SERVICE}/ModelReady") if case != "a bomb" else (INFER,):
        answer = called(server, path, message, f"grpc-encoding: {encoding}", frame=COMPRESSED)
        assert (answer.http, answer.status) == (200, status), answer.words
        assert words in answer.words
        assert answer.headers.get("grpc-accept-encoding", "") == ("identity,deflate,gzip" if status == 12 else "")


ERRORS = {
    "an unknown call": ("/inference.GRPCInferenceService/ModelStream", b"", framed, 12, "there is no call"),
    "an unknown service": ("/grpc.health.v1.Health/Check", b"\n\1x", framed, 5, 'there is no service "x"'),
    "another model": (INFER, CLASSES["ModelInferRequest"](model_name="grün"), framed, 5, 'no model "grün"'),
    "another version": (INFER, request(X, model_version="2"), framed, 5, "has the version 1 here"),
    "no input": (INFER, request(), framed, 3, 'wrong inputs: "x" is missing'),
    "a wrong shape": (INFER, request({**X, "shape": [1, 4]}, raw=[b"\0" * 16]), framed, 3, "the model wants [-1, 3]"),
    "too few bytes": (INFER, request(X, raw=[b"\0" * 8]), framed, 3, "wants 12 bytes, got 8"),
    "too few values": (INFER, request(X), framed, 3, "wants 3 values in fp32_contents, got 0"),
    "both forms": (
        INFER,
        request({**X, "contents": CLASSES["InferTensorContents"](fp32_contents=ROW)}, raw=[ROW.tobytes()]),
        framed,
        3,
        "has both contents and raw_input_contents",
    ),
    "a raw tensor too many": (INFER, request(X, raw=[b"", b""]), framed, 3, "2 raw_input_contents for 1 inputs"),
    "an unknown output": (INFER, request(X, raw=[ROW.tobytes()], outputs=[{"name": "z"}]), framed, 3, "which has y"),
    "no message": (INFER, b"", lambda _: b"", 3, "the call has no message"),
    "half a message": (INFER, b"\0" * 9, lambda message: framed(message)[:-1], 3, "exactly one message"),
    "two messages": (INFER, b"\0" * 9, lambda message: framed(message) * 2, 3, "exactly one message"),
    "nonsense": (INFER, b"\xff\xff\xff", framed, 3, "the message is no ModelInferRequest"),
    "too large": (INFER, b"\0" * (LIMIT + 1), framed, 8, "the body is larger than"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_headers_alone(server, case) -> None:
    path, message, frame, status, words = ERRORS[case]
    answer = called(server, path, message, frame=frame)
    assert (answer.http, answer.status) == (200, status), answer.words
    assert words in answer.words
    assert answer.headers["content-type"] == "application/grpc"
    assert answer.headers["content-length"] == "0"


def test_a_failing_run_is_internal(servers) -> None:
    server = servers.one("raising", toys.raising)
    contents = CLASSES["InferTensorContents"](int64_contents=[7])
    answer = called(server, INFER, request({"name": "index", "datatype": "INT64", "shape": [1], "contents": contents}))
    assert answer.status == 13
    assert "the model failed" in answer.words


def test_a_callers_deadline_ends_its_run(servers, wait_until) -> None:
    server = servers.one("call-slow", toys.slow, requestSettings={"requestTimeoutMs": 60_000})
    contents = CLASSES["InferTensorContents"](int64_contents=[2_000_000_000])
    message = request({"name": "trips", "datatype": "INT64", "shape": [], "contents": contents})
    answer = called(server, INFER, message, "grpc-timeout: 100m")
    assert (answer.status, answer.words) == (4, "the model did not answer in time")
    wait_until(lambda: server.load()["active"] == 0)


def test_calls_and_requests_share_a_connection(server) -> None:
    call = head(INFER) + chunked(framed(request(X, raw=[ROW.tobytes()]).SerializeToString()))
    plain = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    answer = exchanged(server, call + plain + call.replace(b"te: trailers", b"connection: close"))
    assert answer.count(b"grpc-status: 0\r\n\r\n") == 1  # behind an ordinary request everything is ordinary
    assert (answer.count(b"HTTP/1.1 200 OK"), answer.count(b"grpc-status: 12")) == (3, 1)
    alone = exchanged(server, call * 2 + call.replace(b"te: trailers", b"connection: close"))
    assert alone.count(b"grpc-status: 0\r\n\r\n") == 3


def test_a_model_that_loads_is_unavailable(servers, tmp_path) -> None:
    import os

    path = tmp_path / "toy.onnx"
    os.mkfifo(path)
    server = servers.start(path).listening()
    assert called(server, INFER, request(X, raw=[ROW.tobytes()])).status == 14
    assert not called(server, "/inference.GRPCInferenceService/ServerReady").read("ServerReadyResponse").ready
    assert called(server, "/grpc.health.v1.Health/Check").read("HealthCheckResponse").status == 2
    server.tell()
    assert server.ended() == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("100m", 0.1), ("5S", 5), ("1H", 3600), ("20u", 2e-5), ("", None), ("m", None), ("5", None), ("123456789S", None)],
)
def test_the_deadline_is_read_as_grpc_writes_it(header, seconds) -> None:
    assert seconds_of(header) == pytest.approx(seconds)


ODD = {
    "no protobuf": (b"application/grpc+json", b"HTTP/1.1", {}),
    "HTTP/1.0": (b"application/grpc", b"HTTP/1.0", {}),
    "no short way": (b"application/grpc", b"HTTP/1.1", {"WYE_FAST_LANE": "0"}),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_call_is_refused_in_the_words_of_grpc(servers, server, case) -> None:
    kind, version, environment = ODD[case]
    if environment:
        server = servers.one(f"call-{case}", toys.passing, environment=environment)
    sent = head(INFER, "connection: close").replace(b"application/grpc", kind).replace(b"HTTP/1.1", version)
    answer = Answer(exchanged(server, sent + chunked(framed(b""))))
    assert (answer.http, answer.status, answer.headers["content-type"]) == (200, 12, "application/grpc")
    assert "calls are served as POST of application/grpc by HTTP/1.1" in answer.words
