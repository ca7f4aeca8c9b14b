"""What a request asks for, read from its head."""

import re
from typing import NamedTuple

from wye_runtime.endpoints import calls
from wye_runtime.endpoints.ledger import COPIED, ID_LENGTH, new_id
from wye_runtime.endpoints.serving import MODEL, VERSION
from wye_runtime.protocol import HEADER_LENGTH, RawRequest
from wye_runtime.settings import ModelSource
from wye_runtime.tracing import TRACEPARENT, Context, context_of

CONTENT_TYPE, CONTENT_ENCODING = b"content-type", b"content-encoding"
CONTENT_LENGTH, FRAME, REQUEST_ID = b"content-length", HEADER_LENGTH.encode(), b"x-request-id"
COPY, TRACE = COPIED.encode(), TRACEPARENT.encode()
TIMEOUT, ENCODING = b"grpc-timeout", b"grpc-encoding"
CALL_TYPES = frozenset({b"application/grpc", b"application/grpc+proto"})
EXPECT, UPGRADE, CALL = b"expect", b"upgrade", b"application/grpc"
PLAIN_NAME = re.compile(r"[A-Za-z0-9._~-]+")
Headers = dict[bytes, bytes]


class Target(NamedTuple):
    """What a request asks for."""

    route: str
    model: str | None = None
    version: str | None = None
    call: str | None = None  # the path of a gRPC call
    is_stream: bool = False  # whether its messages are answered one by one


def call_target(path: str) -> Target:
    """What a gRPC call asks for; the counters know only the calls that there are."""
    return Target(path if path in calls.CALLS else "other", call=path, is_stream=path in calls.STREAMS)


def targets(source: ModelSource) -> dict[bytes, Target]:
    """The paths of the short way; names that a path would have to quote are left to the ordinary application."""
    found = {b"/score": Target("/score")}
    name, version = source.name, source.version
    if not PLAIN_NAME.fullmatch(name):
        return found
    found[f"/v2/models/{name}/infer".encode()] = Target(f"{MODEL}/infer", name)
    if PLAIN_NAME.fullmatch(version):
        found[f"/v2/models/{name}/versions/{version}/infer".encode()] = Target(f"{VERSION}/infer", name, version)
    return found


def request_id(headers: Headers) -> str:
    """The caller's own, else a new one."""
    given = headers.get(REQUEST_ID)
    return given.decode("latin-1")[:ID_LENGTH] if given else new_id()


def context_in(headers: Headers) -> Context | None:
    """Whose trace a request belongs to."""
    return context_of(headers[TRACE]) if TRACE in headers else None


def raw_request(body: bytes, named: str, target: Target, headers: Headers) -> RawRequest:
    """A request of the short way as the service takes it."""
    if target.call is not None:
        timeout = headers.get(TIMEOUT, b"").decode("latin-1")
        coding = headers.get(ENCODING, b"").decode("latin-1") if ENCODING in headers else None
        return RawRequest(body, named, content_encoding=coding, is_call=True, timeout=calls.seconds_of(timeout))
    kind, encoding, frame = headers.get(CONTENT_TYPE), headers.get(CONTENT_ENCODING), headers.get(FRAME)
    return RawRequest(
        body,
        named,
        target.model,
        target.version,
        None if kind is None else kind.decode("latin-1"),
        None if encoding is None else encoding.decode("latin-1"),
        None if frame is None else frame.decode("latin-1"),
    )
