"""uvicorn's HTTP protocol with two things more: a bound on a request's head, and errors in our own form."""

import uuid
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wye_runtime.codecs import dumps
from wye_runtime.endpoints.answers import CODES, error_body

MAX_HEAD = 64 << 10  # bytes of request line and headers
MESSAGES = {400: "this is not HTTP", 431: f"the headers are larger than {MAX_HEAD} bytes"}


class HeadTooLarge(Exception):
    pass


class BoundedProtocol(HttpToolsProtocol):
    """The parser keeps an unfinished header itself, so bytes are counted before they reach it, too."""

    head = 0  # bytes of the head so far
    unparsed = 0  # bytes since the parser last told anything
    refusal = 400

    def data_received(self, data: bytes) -> None:
        if self.unparsed > MAX_HEAD:
            self.refusal = 431
            self.send_400_response("")
            return
        self.unparsed += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self.head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self.count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count(name)
        self.count(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.unparsed = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.unparsed = 0
        super().on_message_complete()

    def count(self, part: bytes) -> None:
        self.head += len(part)
        if self.head > MAX_HEAD:
            self.refusal = 431
            raise HeadTooLarge

    def send_400_response(self, msg: str) -> None:
        """The last answer on this connection; `msg` is uvicorn's, ours is a body like every other error."""
        status = HTTPStatus(self.refusal)
        body = dumps(error_body(CODES[status], MESSAGES[status], str(uuid.uuid4())))
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
