"""The calls of the protocol over gRPC, and the one place where this runtime's errors become a grpc-status.

The router ends HTTP/2; what arrives here is HTTP/1.1 with the same frames. Only the short way answers calls: it can
write trailers. Where the runtime runs alone, `app/calls_port.py` hands on what comes by HTTP/2.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from wye_runtime import errors
from wye_runtime.codecs.calls import ENCODINGS, GRPC_TYPE, inflated, parsed
from wye_runtime.codecs.messages import CLASSES
from wye_runtime.endpoints import reflection
from wye_runtime.endpoints.answers import MAX_MESSAGE
from wye_runtime.errors import NotFound, RequestError, WyeError, shown
from wye_runtime.protocol import SERVER, RawRequest, RawResponse, TensorSpec, raw_request
from wye_runtime.service import Pending, Service, Ticket

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
INFER = f"/{SERVICE}/ModelInfer"
SMALL = 1 << 20  # bytes of a message that is no ModelInferRequest
PREFIX = 5  # bytes before a message: whether it is compressed, and its length
# gRPC's statuses, by its own names
INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED = 3, 4, 5, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14
STATUS: Mapping[type[WyeError], int] = {
    errors.NotFound: NOT_FOUND,
    errors.ModelNotFound: NOT_FOUND,
    errors.UploadTimeout: DEADLINE_EXCEEDED,
    errors.RequestTimeout: DEADLINE_EXCEEDED,
    errors.PayloadTooLarge: RESOURCE_EXHAUSTED,
    errors.TooManyRequests: RESOURCE_EXHAUSTED,
    errors.ModelError: INTERNAL,
    errors.ModelNotReady: UNAVAILABLE,
    errors.CallNotServed: UNIMPLEMENTED,
    errors.EncodingNotServed: UNIMPLEMENTED,
}
PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def unframed(raw: RawRequest) -> RawRequest:
    """With the one message of a unary call instead of its frame; `content_encoding` where it is compressed."""
    body = raw.body
    if len(body) < PREFIX:
        raise errors.BadRequest("the call has no message")
    if len(body) != PREFIX + length(body):
        raise errors.BadRequest("the call must have exactly one message, as long as it says")
    encoding = (raw.content_encoding or "identity") if body[0] else None
    _, named, model, version, kind, _, *rest = raw
    return raw_request((body[PREFIX:], named, model, version, kind, encoding, *rest))


def length(frame: bytes | bytearray) -> int:
    """How long the message of a frame is, by its own word."""
    return int.from_bytes(frame[1:PREFIX], "big")


def framed(message: bytes) -> bytes:
    """A message in a frame, not compressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def seconds_of(timeout: str) -> float | None:
    """The grpc-timeout header; None where there is none, or it is none."""
    digits, unit = timeout[:-1], timeout[-1:]
    if unit not in UNITS or not (digits.isascii() and digits.isdigit() and len(digits) <= 8):
        return None
    return int(digits) * UNITS[unit]


def refusal(error: RequestError, answer: RawResponse) -> RawResponse:
    """An error as headers alone, so that status and sentence arrive; `answer` is what it is in HTTP, for the ledger."""
    status = STATUS.get(type(error), INVALID_ARGUMENT)
    offered = {"grpc-accept-encoding": ",".join(ENCODINGS)} if isinstance(error, errors.EncodingNotServed) else {}
    headers = {**headers_of(status, error.message), **offered, **answer.headers}
    return RawResponse(b"", GRPC_TYPE, headers, answer.status)


def failure() -> RawResponse:
    """What nobody foresaw."""
    words = "an error inside the runtime; its log has more under this x-request-id"
    return RawResponse(b"", GRPC_TYPE, headers_of(INTERNAL, words), 500)


def headers_of(status: int, message: str) -> dict[str, str]:
    """The message as a header carries it: percent-encoded UTF-8."""
    return {"grpc-status": str(status), "grpc-message": quote(message[:MAX_MESSAGE], safe=PRINTABLE)}


def begun(service: Service, method: str, raw: RawRequest) -> RawResponse | Pending | Ticket:
    """The answer to a call, or what to wait for."""
    if method == INFER:
        service.current()
        return service.begin(raw)
    answer = ANSWERS.get(method)
    if answer is None:
        raise errors.CallNotServed(f"there is no call {shown(method)} here")
    encoding, message = raw.content_encoding, raw.body
    if encoding is not None:
        message = inflated(message, encoding, SMALL)
    return RawResponse(answer(service, message).SerializeToString(), GRPC_TYPE)


def live(_: Service, __: bytes) -> Any:
    """ServerLive."""
    return CLASSES["ServerLiveResponse"](live=True)


def ready(service: Service, _: bytes) -> Any:
    """ServerReady."""
    return CLASSES["ServerReadyResponse"](ready=service.not_ready is None)


def server(_: Service, __: bytes) -> Any:
    """ServerMetadata."""
    return CLASSES["ServerMetadataResponse"](**SERVER)


def model_ready(service: Service, message: bytes) -> Any:
    """ModelReady; NotFound for another model."""
    check_target(service, message)
    return CLASSES["ModelReadyResponse"](ready=service.not_ready is None)


def metadata(service: Service, message: bytes) -> Any:
    """ModelMetadata; NotFound for another model."""
    check_target(service, message)
    source, signature = service.config.model, service.current().model.signature
    answer = CLASSES["ModelMetadataResponse"](name=source.name, versions=[source.version], platform="onnxruntime_onnx")
    answer.inputs.extend(map(described, signature.inputs))
    answer.outputs.extend(map(described, signature.outputs))
    return answer


def described(spec: TensorSpec) -> Any:
    """One tensor, for ModelMetadata."""
    return CLASSES["ModelMetadataResponse.TensorMetadata"](name=spec.name, datatype=spec.datatype, shape=spec.shape)


def check_target(service: Service, message: bytes) -> None:
    """NotFound where a message names another model or version."""
    request = parsed("ModelReadyRequest", message)  # metadata is asked by the same fields
    if service.loaded:
        service.loaded.jobs.check_target(RawRequest(b"", "", request.name, request.version or None))


def check(service: Service, message: bytes) -> Any:
    """grpc.health.v1."""
    asked = parsed("HealthCheckRequest", message).service
    if asked not in ("", SERVICE):
        raise NotFound(f"there is no service {shown(asked)} here")
    return CLASSES["HealthCheckResponse"](status="NOT_SERVING" if service.not_ready else "SERVING")


def reflected(_: Service, message: bytes) -> Any:
    """One message of reflection."""
    return reflection.reflected(parsed("ServerReflectionRequest", message))


ANSWERS: Mapping[str, Callable[[Service, bytes], Any]] = {
    f"/{SERVICE}/ServerLive": live,
    f"/{SERVICE}/ServerReady": ready,
    f"/{SERVICE}/ServerMetadata": server,
    f"/{SERVICE}/ModelReady": model_ready,
    f"/{SERVICE}/ModelMetadata": metadata,
    f"/{HEALTH}/Check": check,
    **dict.fromkeys(reflection.METHODS, reflected),
}
STREAMS = reflection.METHODS
CALLS = frozenset({*ANSWERS, INFER})
