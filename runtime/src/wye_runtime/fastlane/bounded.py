"""uvicorn's HTTP protocol with bounds: on a request's head, on idle connections, on callers that do not read."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wye_runtime.codecs import dumps
from wye_runtime.endpoints.answers import CODES, error_body
from wye_runtime.endpoints.ledger import new_id

MAX_HEAD = 64 << 10  # bytes of request line and headers


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds."""

    head: float = 20.0  # from a request's first byte to the end of its headers
    idle: float = 75.0  # longer than the router keeps idle connections (60), so that it is the one to close
    unread: float = 60.0  # in which a caller took nothing of its answer
    tick: float = 5.0  # how often all this is looked at


class HeadTooLarge(Exception):
    pass


class BoundedProtocol(HttpToolsProtocol):
    """The parser keeps an unfinished header itself, so bytes are counted before they reach it, too.

    One timer a connection looks at all that may take too long: a timer for each request would cost more than the rest.
    """

    limits = Limits()
    head = 0  # bytes of the head so far
    unparsed = 0  # bytes since the parser last told anything
    refusal = 400
    head_began: float | None = None  # while a head is not complete
    latest = 0.0  # when something last came or went
    unread = 0  # bytes that the caller had not taken at the last look
    watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.latest = self.loop.time()
        self.watch = self.loop.call_later(self.limits.tick, self.look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.watch is not None:
            self.watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.latest = self.loop.time()
        if self.unparsed > MAX_HEAD:
            self.refuse(431)
            return
        self.unparsed += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self.head = 0
        self.head_began = self.latest
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self.count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.unparsed = 0
        self.head_began = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.unparsed = 0
        super().on_message_complete()

    def count(self, size: int) -> None:
        self.head += size
        if self.head > MAX_HEAD:
            self.refusal = 431
            raise HeadTooLarge

    def on_response_complete(self) -> None:
        self.latest = self.loop.time()
        super().on_response_complete()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being read or answered whose headers are complete."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def waits_for_head(self) -> bool:
        """Whether a request has begun to come; the parser says nothing before it knows the method."""
        return self.head_began is not None or (self.unparsed > 0 and not self.is_busy)

    @property
    def owes(self) -> bool:
        """Whether an answer is owed to a request that arrived whole."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        return bool(self.pipeline) or cycle.response_started or not cycle.more_body

    def _unsupported_upgrade_warning(self) -> None:
        """uvicorn's; its parser reads nothing more on this connection, so that the refusal is the last answer."""
        self.cycle.keep_alive = False

    def look(self) -> None:
        """Ends a connection that takes too long."""
        self.watch = self.loop.call_later(self.limits.tick, self.look)
        now = self.loop.time()
        if self.transport.is_closing() or self.flow.write_paused:
            self.end_unread(now)
        elif self.waits_for_head and now - (self.head_began or self.latest) > self.limits.head:
            self.refuse(408)
        elif not self.is_busy and now - self.latest > self.limits.idle:
            self.transport.close()

    def end_unread(self, now: float) -> None:
        """Cuts off who takes nothing of what is written, so that it is not kept for ever."""
        unread = self.transport.get_write_buffer_size()
        if unread != self.unread:
            self.unread, self.latest = unread, now
        elif now - self.latest > self.limits.unread:
            self.transport.abort()

    def refuse(self, status: int) -> None:
        self.refusal = status
        self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """The last answer on this connection; `msg` is uvicorn's, ours is a body like every other error.

        While an answer is owed, this one would be taken for it: the connection ends behind that answer, without a word.
        """
        if not self.owes:
            self.transport.write(last_answer(self.refusal, self.limits.head))
            self.transport.close()
            return
        self.flow.pause_reading()
        self.end_behind_answers()

    def end_behind_answers(self) -> None:
        self.cycle.keep_alive = False


def last_answer(code: int, patience: float) -> bytes:
    """The whole answer that a connection ends with."""
    status = HTTPStatus(code)
    messages = {
        400: "this is not HTTP",
        408: f"the headers were not complete within {patience:g} s",
        431: f"the headers are larger than {MAX_HEAD} bytes",
    }
    body = dumps(error_body(CODES[code], messages[code], new_id()))
    head = (
        f"HTTP/1.1 {code} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
