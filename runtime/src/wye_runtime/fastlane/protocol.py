"""The short way: what wants a run is read, answered and written without ASGI; every other request goes to Starlette.

    llhttp ──headers──> plain? ──yes──> body ──whole──> turn: waits ──> runs ──> answered ──> written, in order
                          │                                    (pipelined, or the caller does not read)
                          └──no──> uvicorn's scope, task and events ──> Starlette

A connection answers in the order of its requests, whichever way each of them takes.
"""

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wye_runtime.codecs.calls import GRPC_TYPE
from wye_runtime.endpoints.body import stalled, too_large
from wye_runtime.endpoints.ledger import CLIENT_GONE, new_id
from wye_runtime.errors import RequestError
from wye_runtime.fastlane.answering import AT_ONCE, BURST, AnsweringProtocol
from wye_runtime.fastlane.bounded import MAX_HEAD
from wye_runtime.fastlane.heads import Request
from wye_runtime.fastlane.lane import Lane
from wye_runtime.fastlane.streaming import Stream
from wye_runtime.fastlane.targets import COPY, Headers, context_in, raw_request, request_id
from wye_runtime.fastlane.turn import Turn
from wye_runtime.protocol import RawResponse
from wye_runtime.protocol import raw_request as raw_of

ORDINARY, SHORT, REFUSED, STREAMED = range(4)  # ways of what is being read; REFUSED: its body is skipped
CALLED = RawResponse(b"", GRPC_TYPE)  # a call that ended well
TRIES = 64  # unknown heads in a row, after which this connection is no longer asked for known ones


class FastProtocol(AnsweringProtocol):
    """One connection."""

    def __init__(self, lane: Lane, **given: Any) -> None:
        super().__init__(lane, **given)
        self.way = ORDINARY
        self.noticed: Headers = {}
        self.turn: Turn | None = None  # of the request that is being read
        self.parts: list[bytes] = []
        self.size = 0
        self.burst = 0  # requests of the bytes that came last
        self.chunk = 0  # how many bytes that were
        self.stream: Stream | None = None  # of the call that is being read, where it is answered meanwhile
        self.alarm: asyncio.TimerHandle | None = None
        self.is_between = True  # whether the parser stands between two requests
        self.messages = 0  # that began with the bytes that came last
        self.tries = TRIES

    # what the parser tells

    def data_received(self, data: bytes) -> None:
        self.burst = 0
        self.latest = self.loop.time()
        is_free = self.cycle is None or self.cycle.response_complete
        may_be_known = is_free and self.is_between and self.tries and not (self.turns or self.transport.is_closing())
        known = self.lane.heads.request(data) if may_be_known else None
        if known is not None and len(known[2]) <= self.lane.limit:
            self.take(known)
            return
        if self.unparsed > MAX_HEAD:
            self.refuse(431)
            return
        self.chunk = size = len(data)
        self.unparsed += size
        self.messages = 0
        HttpToolsProtocol.data_received(self, data)
        if self.turn is not None and self.alarm is None:
            self.alarm = self.loop.call_later(self.lane.silence, self.stall)
        if may_be_known and self.is_between and self.messages == 1:
            self.tries -= 1
            self.lane.heads.learn(data, self.lane.target(self.url, b"POST", self.noticed), self.noticed)

    def take(self, known: Request) -> None:
        """A whole request with a head that came before: what the parser would tell about it is known."""
        head, named, body, context = known
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self.tries = TRIES
        turn = Turn(self.lane.ledger.came(), named or new_id(), head.target, keeps_alive=True)
        turn.is_copy = head.is_copy
        turn.raw = raw_of((body, turn.id, *head.rest))
        if context is not None:
            turn.context = self.lane.ledger.watched(context)
            turn.arrived()
        self.turns.append(turn)
        self.begin(turn)
        if turn.answer is not None:
            self.pump()

    def on_message_begin(self) -> None:
        """uvicorn's own would make a scope, for which the short way has no use."""
        self.is_between = False
        self.messages += 1
        self.head_began = self.latest
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.unparsed + self.chunk > MAX_HEAD:  # its bytes came in these, with what stood before it
            self.head = 0
            self.count(len(self.url) + sum(len(name) + len(value) for name, value in self.headers))
        if self.transport.is_closing():
            self.way = REFUSED
            return
        self.noticed = headers = dict(reversed(self.headers))  # the first one counts, as in the ordinary application
        keeps_alive = self.parser.should_keep_alive()
        target = None
        # only HTTP/1.1 stays open without being told to; the parser is slow to say it
        is_modern = (keeps_alive and b"connection" not in headers) or self.parser.get_http_version() == "1.1"
        if is_modern and (self.cycle is None or self.cycle.response_complete):
            target = self.lane.target(self.url, self.parser.get_method(), headers)
        if target is None:
            self.take_ordinary_way()
            return
        self.unparsed = 0
        self.head_began = None
        self.way, self.size = SHORT, 0
        turn = self.turn = Turn(self.lane.ledger.came(), request_id(headers), target, keeps_alive=keeps_alive)
        turn.is_copy, turn.context = COPY in headers, self.lane.ledger.watched(context_in(headers))
        if target.is_stream and not self.turns:
            self.begin_stream(self.turn)

    def take_ordinary_way(self) -> None:
        """uvicorn's callbacks, one after the other, with what was kept for them."""
        self.way = ORDINARY
        url, headers = self.url, self.headers
        HttpToolsProtocol.on_message_begin(self)
        self.url = url
        self.headers.extend(headers)
        expected = [value.lower() for name, value in headers if name == b"expect"]
        self.expect_100_continue = b"100-continue" in expected
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.way == ORDINARY:
            super().on_body(body)
            return
        self.unparsed = 0
        if self.way == SHORT:
            self.size += len(body)
            self.parts.append(body)
            if self.size > self.lane.limit:
                self.refuse_body(too_large(self.lane.limit))
        elif self.stream is not None:
            self.stream_on(self.stream, body)

    def on_message_complete(self) -> None:
        self.is_between = True
        if self.way == ORDINARY:
            super().on_message_complete()
            return
        self.unparsed = 0
        if self.way == SHORT:
            self.read()
        elif self.stream is not None:
            self.end_stream(self.stream.lacks())
        self.way = ORDINARY

    def read(self) -> None:
        """The request is whole."""
        turn, parts = self.turn, self.parts
        assert turn is not None
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self.parts = []
        self.turn = None
        turn.raw = raw_request(body, turn.id, turn.target, self.noticed)
        if turn.context is not None:
            turn.arrived()
        self.turns.append(turn)
        self.burst += 1
        if self.burst > BURST:
            self.pump_soon()
        elif len(self.turns) == 1:
            self.begin(turn)
            if turn.answer is not None:
                self.pump()
        elif len(self.turns) <= AT_ONCE:
            self.begin(turn)
        if len(self.turns) > AT_ONCE:
            self.flow.pause_reading()

    def stall(self) -> None:
        """Refuses a body of which nothing came for too long."""
        self.alarm = None
        if self.turn is None:
            return
        left = self.latest + self.lane.silence - self.loop.time()
        if left > 0:
            self.alarm = self.loop.call_later(left, self.stall)
        else:
            self.refuse_body(stalled(self.lane.silence))

    def refuse_body(self, error: RequestError) -> None:
        if self.stream is not None:
            self.end_stream(error)
            return
        turn = self.turn
        assert turn is not None
        self.way, self.turn, self.parts = REFUSED, None, []
        turn.answer = self.lane.refusal(turn.target, error, turn.id)
        self.turns.append(turn)
        self.pump()

    # a call that is answered while it is being made

    def begin_stream(self, turn: Turn) -> None:
        """What comes is answered at once."""

        def answer(frame: bytes) -> RawResponse:
            return self.lane.step(turn.target, raw_request(frame, turn.id, turn.target, self.noticed))

        self.way = STREAMED
        self.stream = Stream(answer, partial(self.head_of, turn), self.transport.write)

    def stream_on(self, stream: Stream, data: bytes) -> None:
        try:
            stream.feed(data)
        except Exception as error:  # noqa: BLE001 -- the outermost loop; the ledger logs it
            self.end_stream(error)

    def end_stream(self, error: Exception | None = None) -> None:
        stream, turn = self.stream, self.turn
        assert stream is not None
        assert turn is not None
        self.stream, self.turn, self.way = None, None, REFUSED
        turn.answer = CALLED
        if error is not None:
            self.fail(turn, error)
        stream.end(turn.answer)
        self.wrote(turn, turn.answer, closes=self.closes(turn))

    # its own end

    @property
    def is_busy(self) -> bool:
        return self.turn is not None or super().is_busy

    def shutdown(self) -> None:
        """uvicorn's: the process ends, and this connection with its last answer."""
        if self.turn is None:
            super().shutdown()
        else:
            self.turn.keeps_alive = False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
        super().connection_lost(exc)

    def leave(self) -> None:
        super().leave()
        turn, self.turn, self.way = self.turn, None, REFUSED
        if turn is not None:
            self.lane.ledger.ended(turn, CLIENT_GONE)
