"""The ways in which a gRPC call can be odd: its method, what it says it is, and where its message ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sweep.odd import CHUNKED, Header, Odd
from wye_runtime.codecs.messages import CLASSES

SERVICE = "/inference.GRPCInferenceService"
INFER = f"{SERVICE}/ModelInfer"
METHODS = (
    *(f"{SERVICE}/{name}" for name in ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata")),
    *(f"{SERVICE}/{name}" for name in ("ModelStreamInfer", "RepositoryIndex", "ModelConfig", "modelinfer", "")),
    *(f"/grpc.health.v1.Health/{name}" for name in ("Watch", "List")),
    *(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")),
    *("/grpc.channelz.v1.Channelz/GetServers", "/", "/healthz", "/score", "/v2/models/fraud/infer"),
    *(f"/healthz/..{INFER}", f"/{INFER}", f"{INFER}/", f"{INFER}?api-key=x", f"/healthz;{INFER}", f"/healthz#{INFER}"),
    *(INFER.replace("/", "%2f"), INFER.upper(), f"/.{INFER}", f"/a/..{INFER}", f"{INFER}/../Check"),
)
KINDS = (
    *("application/grpc+proto", "application/grpc+json", "application/grpc;charset=utf-8", "application/grpc+proto; a"),
    *("application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text", "APPLICATION/GRPC"),
    *("application/grpc ", " application/grpc", "application/grpc,application/json", "application/grpcx", "text/plain"),
    "",
)
SAID: dict[str, tuple[Header, ...]] = {
    "no te": (),
    "a deadline": (("grpc-timeout", "1S"),),
    "a deadline of nothing": (("grpc-timeout", "0n"),),
    "a deadline that is none": (("grpc-timeout", "soon"),),
    "two deadlines": (("grpc-timeout", "1S"), ("grpc-timeout", "99999999H")),
    "a compression": (("grpc-encoding", "gzip"),),
    "a status": (("grpc-status", "0"), ("grpc-message", "fine")),
    "a method of another kind": (("x-http-method-override", "GET"),),
    "binary metadata": (("authorization-bin", "QmVhcmVyIHg="), ("api-key-bin", "eA==")),
    "a pin": (("azureml-model-deployment", "violet"),),
    "a pin on nobody": (("azureml-model-deployment", "nobody"),),
    "two content types": (("content-type", "application/json"),),
    "an authority of its own": (("x-forwarded-host", "localhost:8081"), (":path", "/healthz")),
    "a caller's name": (("x-client-id", "primary"), ("x-wye-mirrored", "true")),
}


def infer() -> bytes:
    made = CLASSES["ModelInferRequest"](model_name="fraud", raw_input_contents=[np.zeros(7, np.float32).tobytes()])
    made.inputs.add(name="x", datatype="FP32", shape=[1, 7])
    return bytes(made.SerializeToString())


def framed(message: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


FRAMES = {
    "no message": b"",
    "half a frame": framed(infer())[:4],
    "half a message": framed(infer())[:-3],
    "a message that is longer than it says": framed(infer()) + b"x",
    "two messages": framed(infer()) * 2,
    "a length of 4 GB": b"\0\xff\xff\xff\xff",
    "an unknown flag": framed(infer(), 255),
    "JSON": b'{"instances": []}',
}


def call_odds() -> list[Odd]:
    """Every single way; the first two are plain."""
    found = [call("plain call", INFER), call("plain check", "/grpc.health.v1.Health/Check", message=b"")]
    found += [call(f"call of {method[:60]!r}", method) for method in METHODS]
    found += [call(f"call by {method}", INFER, method=method) for method in ("GET", "PUT", "OPTIONS", "HEAD")]
    found += [call(f"call as {kind!r}", INFER, kind=kind) for kind in KINDS]
    found += [call(f"call with {name}", INFER, *headers) for name, headers in SAID.items()]
    return found + [call(f"call, {name}", INFER, frame=frame) for name, frame in FRAMES.items()]


def call(
    name: str,
    target: str,
    *headers: Header,
    kind: str = "application/grpc",
    message: bytes | None = None,
    frame: bytes | None = None,
    method: str = "POST",
) -> Odd:
    body = framed(infer() if message is None else message) if frame is None else frame
    said = (("content-type", kind), *(() if name == "call with no te" else (("te", "trailers"),)), *headers)
    return Odd(name, headers=said, method=method, target=target, framing=chunks_of(body), body=body)


def chunks_of(body: bytes) -> Callable[[str], tuple[tuple[Header, ...], bytes]]:
    data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    return lambda _: ((CHUNKED,), data)
