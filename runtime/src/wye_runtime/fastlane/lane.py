"""What the short ways of all connections share: which requests may take it, and what an answer's head looks like."""

import re
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from wye_runtime.endpoints.ledger import ID_LENGTH, Ledger, new_id
from wye_runtime.endpoints.serving import MODEL, VERSION
from wye_runtime.protocol import HEADER_LENGTH, RawRequest, RawResponse
from wye_runtime.service import Service
from wye_runtime.settings import ModelSource

CONTENT_TYPE, CONTENT_ENCODING = b"content-type", b"content-encoding"
CONTENT_LENGTH, FRAME, REQUEST_ID = b"content-length", HEADER_LENGTH.encode(), b"x-request-id"
ODD = frozenset({b"expect", b"upgrade"})
NOTICED = ODD | {CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH, FRAME, REQUEST_ID}
PLAIN_NAME = re.compile(r"[A-Za-z0-9._~-]+")
CLOSE = b"connection: close\r\n"
Headers = dict[bytes, bytes]


class Target(NamedTuple):
    """What a path asks for."""

    route: str
    model: str | None = None
    version: str | None = None


class Lane:
    """Over one service."""

    def __init__(self, service: Service, ledger: Ledger) -> None:
        self.service = service
        self.ledger = ledger
        self.limit = service.config.max_request_bytes
        self.silence = service.config.request.timeout
        self.targets = targets(service.config.model)
        self.common: tuple[object, bytes] = (None, b"")

    def target(self, url: bytes, method: bytes, version: str, headers: Headers) -> Target | None:
        """What the request asks for; None where something is odd about it, and the ordinary application decides."""
        found = self.targets.get(url)
        if found is None or method != b"POST" or version != "1.1" or self.service.loaded is None:
            return None
        if not ODD.isdisjoint(headers) or int(headers.get(CONTENT_LENGTH, b"0")) > self.limit:
            return None
        return found

    def head(self, answer: RawResponse, request_id: str, defaults: list[tuple[bytes, bytes]], *, closes: bool) -> bytes:
        """Status line and headers: the same, in the same order, as through the ordinary application."""
        if self.common[0] is not defaults:  # uvicorn makes a new list every second, with the date
            self.common = defaults, b"".join(b"%b: %b\r\n" % pair for pair in defaults)
        own = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        rest = f"{own}content-length: {len(answer.body)}\r\ncontent-type: {answer.content_type}\r\nx-request-id: "
        last = b"\r\nconnection: close\r\n\r\n" if closes else b"\r\n\r\n"
        return b"".join((STATUS_LINE[answer.status], self.common[1], (rest + request_id).encode("latin-1"), last))


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
    return headers.get(REQUEST_ID, b"").decode("latin-1")[:ID_LENGTH] or new_id()


def raw_request(body: bytes, named: str, target: Target, headers: Headers) -> RawRequest:
    return RawRequest(
        body,
        named,
        target.model,
        target.version,
        text(headers.get(CONTENT_TYPE)),
        text(headers.get(CONTENT_ENCODING)),
        text(headers.get(FRAME)),
    )


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
