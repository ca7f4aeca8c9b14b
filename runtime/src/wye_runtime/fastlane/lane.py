"""What the short ways of all connections share: which requests may take it, and what an answer's head looks like."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from wye_runtime.codecs.calls import GRPC_TYPE
from wye_runtime.endpoints import answers, calls
from wye_runtime.endpoints.ledger import Ledger
from wye_runtime.errors import RequestError
from wye_runtime.fastlane.heads import Heads
from wye_runtime.fastlane.targets import (
    CALL,
    CALL_TYPES,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    UPGRADE,
    Headers,
    Target,
    call_target,
    targets,
)
from wye_runtime.protocol import JSON_TYPE, NO_HEADERS, RawRequest, RawResponse
from wye_runtime.service import Pending, Service, Ticket

OK = 200
CHUNKED = -1  # for the length of a call's answer
FIRST = STATUS_LINE[OK].decode()
ENDED = b"\r\n0\r\ngrpc-status: 0\r\n\r\n"


class Lane:
    """Over one service."""

    def __init__(self, service: Service, ledger: Ledger) -> None:
        self.service = service
        self.ledger = ledger
        self.limit = service.config.max_request_bytes
        self.silence = service.config.request.timeout
        self.targets = targets(service.config.model)
        self.heads = Heads()
        self.digits = len(str(self.limit))
        self.common: tuple[object, str] = (None, "")
        self.usual: dict[int, bytes] = {}  # what stands before the id in the heads of usual answers, by their length

    def target(self, url: bytes, method: bytes, headers: Headers) -> Target | None:
        """What a request asks for; None where something is odd about it, and the ordinary application decides."""
        if method != b"POST":
            return None
        kind = headers.get(CONTENT_TYPE)
        if kind is not None and kind.startswith(CALL) and kind.split(b";")[0] in CALL_TYPES:
            return call_target(url.decode("latin-1"))
        found = self.targets.get(url)
        if found is None or self.service.loaded is None or EXPECT in headers or UPGRADE in headers:
            return None
        length = headers.get(CONTENT_LENGTH)
        if length is not None and len(length) >= self.digits and int(length) > self.limit:
            return None
        return found

    def begin(self, target: Target, raw: RawRequest) -> RawResponse | Pending | Ticket:
        if target.call is None:
            return self.service.begin(raw)
        return calls.begun(self.service, target.call, calls.unframed(raw))

    def step(self, target: Target, raw: RawRequest) -> RawResponse:
        """The answer to one of many messages."""
        answer = self.begin(target, raw)
        assert isinstance(answer, RawResponse)
        return answer

    def refusal(self, target: Target, error: RequestError, named: str) -> RawResponse:
        answer = answers.refusal(error, named)
        return answer if target.call is None else calls.refusal(error, answer)

    def failure(self, target: Target, named: str) -> RawResponse:
        return answers.failure(named) if target.call is None else calls.failure()

    def head(self, target: Target, answer: RawResponse, named: str, defaults: list[tuple[bytes, bytes]]) -> bytes:
        """Status line and headers, all but the last line: the same as through the ordinary application."""
        if self.common[0] is not defaults:  # uvicorn makes a new list every second, with the date
            self.common = defaults, b"".join(b"%b: %b\r\n" % pair for pair in defaults).decode("latin-1")
            self.usual = {}
        if answer.headers is NO_HEADERS and answer.status == OK:
            length = len(answer.body) if target.call is None else CHUNKED
            if length == CHUNKED or answer.content_type is JSON_TYPE:
                return (self.usual.get(length) or self.usual_head(length)) + named.encode("latin-1")
        own = "".join([f"{name}: {value}\r\n" for name, value in answer.headers.items()]) if answer.headers else ""
        size, status = f"content-length: {len(answer.body)}", answer.status
        if target.call is not None:  # an error is headers alone, and no error for HTTP
            size, status = size if status != OK else "transfer-encoding: chunked", OK
        first = FIRST if status == OK else STATUS_LINE[status].decode()
        kind = answer.content_type
        return f"{first}{self.common[1]}{own}{size}\r\ncontent-type: {kind}\r\nx-request-id: {named}".encode("latin-1")

    def usual_head(self, size: int) -> bytes:
        """Of what went well, JSON of this length or a call, all but the request's id."""
        framing, kind = f"content-length: {size}", JSON_TYPE
        if size == CHUNKED:
            framing, kind = "transfer-encoding: chunked", GRPC_TYPE
        written = f"{FIRST}{self.common[1]}{framing}\r\ncontent-type: {kind}\r\nx-request-id: "
        found = self.usual[size] = written.encode("latin-1")
        return found


def parts_of(target: Target, answer: RawResponse) -> tuple[bytes, ...]:
    """As it goes over the wire: a call's message in one chunk, with the trailer that says that all went well."""
    body = answer.body
    if target.call is None or answer.status != OK:
        return (body,)
    size = len(body)
    return b"%x\r\n\0%b" % (size + calls.PREFIX, size.to_bytes(4, "big")), body, ENDED
