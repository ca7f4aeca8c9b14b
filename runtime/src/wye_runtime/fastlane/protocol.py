"""The short way: what wants a run is read, answered and written without ASGI; every other request goes to Starlette.

    llhttp ──headers──> plain? ──yes──> body ──whole──> turn: waits ──> runs ──> answered ──> written, in order
                          │                                    (pipelined, or the caller does not read)
                          └──no──> uvicorn's scope, task and events ──> Starlette

A connection answers in the order of its requests, whichever way each of them takes.
"""

import asyncio
from collections import deque
from functools import partial
from itertools import islice
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from wye_runtime.codecs.calls import GRPC_TYPE
from wye_runtime.endpoints.body import stalled, too_large
from wye_runtime.endpoints.ledger import CLIENT_GONE, Entry
from wye_runtime.errors import RequestError
from wye_runtime.fastlane.bounded import MAX_HEAD, BoundedProtocol
from wye_runtime.fastlane.lane import Headers, Lane, Target, parts_of, raw_request, request_id
from wye_runtime.fastlane.streaming import Stream
from wye_runtime.protocol import RawRequest, RawResponse
from wye_runtime.service import Ticket

ORDINARY, SHORT, REFUSED, STREAMED = range(4)  # ways of what is being read; REFUSED: its body is skipped
AT_ONCE = 16  # requests of one connection that run at a time; more than that are not read on purpose
BURST = 64  # answers of one connection after which the others have their turn
CALLED = RawResponse(b"", GRPC_TYPE)  # a call that ended well
STAYS, CLOSES = b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"
JOINED = 16 << 10  # bytes up to which head and body are one string


class Turn(Entry):
    """One request on the short way, from its headers to its answer."""

    __slots__ = ("answer", "keeps_alive", "raw", "target", "unforeseen", "work")

    def __init__(self, began: float, request_id: str, target: Target, *, keeps_alive: bool) -> None:
        self.began = began
        self.id = request_id
        self.route = target.route
        self.target = target
        self.keeps_alive = keeps_alive
        self.raw: RawRequest | None = None  # until it begins to run
        self.answer: RawResponse | None = None
        self.work: asyncio.Task[RawResponse] | Ticket | None = None  # what is cancelled when the caller goes
        self.unforeseen: Exception | None = None


class FastProtocol(BoundedProtocol):
    """One connection."""

    def __init__(self, lane: Lane, **given: Any) -> None:
        super().__init__(**given)
        self.lane = lane
        self.way = ORDINARY
        self.noticed: Headers = {}
        self.turn: Turn | None = None  # of the request that is being read
        self.parts: list[bytes] = []
        self.size = 0
        self.turns: deque[Turn] = deque()
        self.burst = 0  # requests of the bytes that came last
        self.chunk = 0  # how many bytes that were
        self.stream: Stream | None = None  # of the call that is being read, where it is answered meanwhile
        self.is_due = False  # whether a pump is scheduled
        self.alarm: asyncio.TimerHandle | None = None

    # what the parser tells

    def data_received(self, data: bytes) -> None:
        self.burst = 0
        self.latest = self.loop.time()
        if self.unparsed > MAX_HEAD:
            self.refuse(431)
            return
        self.chunk = size = len(data)
        self.unparsed += size
        HttpToolsProtocol.data_received(self, data)
        if self.turn is not None and self.alarm is None:
            self.alarm = self.loop.call_later(self.lane.silence, self.stall)

    def on_message_begin(self) -> None:
        """uvicorn's own would make a scope, for which the short way has no use."""
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
        self.turn = Turn(self.lane.ledger.came(), request_id(headers), target, keeps_alive=keeps_alive)
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

    # from a whole request to its answer

    def begin(self, turn: Turn) -> None:
        """Runs it at once, or leaves it to a task; its answer waits for those before it."""
        raw, turn.raw = turn.raw, None
        if raw is None or self.flow.write_paused:
            turn.raw = raw
            return
        try:
            begun = self.lane.begin(turn.target, raw)
        except Exception as error:  # noqa: BLE001 -- the outermost loop; the ledger logs it
            self.fail(turn, error)
            return
        if isinstance(begun, RawResponse):
            turn.answer = begun
            return
        if isinstance(begun, Ticket):  # the end of this turn of the loop: a task would cost more than the run
            turn.work = begun
            begun.reply = partial(self.told, turn)
            return
        task = turn.work = self.loop.create_task(self.lane.service.finish(begun))
        task.add_done_callback(partial(self.finished, turn))

    def finished(self, turn: Turn, task: "asyncio.Task[RawResponse]") -> None:
        if not task.cancelled():
            error = task.exception()
            self.told(turn, task.result() if error is None else error)

    def told(self, turn: Turn, outcome: RawResponse | BaseException) -> None:
        turn.work = None
        if not isinstance(outcome, RawResponse):
            self.fail(turn, outcome)
        elif self.is_all_there_is(turn):
            self.turns.clear()
            self.write(turn, outcome)
            return
        else:
            turn.answer = outcome
        self.pump()

    def is_all_there_is(self, turn: Turn) -> bool:
        """Whether nothing waits before, behind or beside this request, so that its answer can be written as it is."""
        flow = self.flow
        return (
            len(self.turns) == 1
            and self.turns[0] is turn
            and not (self.pipeline or flow.read_paused or flow.write_paused)
        )

    def fail(self, turn: Turn, error: BaseException) -> None:
        if isinstance(error, RequestError):
            turn.answer = self.lane.refusal(turn.target, error, turn.id)
        elif isinstance(error, Exception):
            turn.unforeseen = error
            turn.answer = self.lane.failure(turn.target, turn.id)
        else:
            raise error

    def pump(self) -> None:
        """Writes what is answered, in order, and begins what may begin."""
        self.is_due = False
        for _ in range(BURST):
            turn = self.turns[0] if self.turns else None
            if turn is None or self.flow.write_paused:
                break
            if turn.answer is None:
                self.begin(turn)
                if turn.answer is None:
                    break
            self.turns.popleft()
            self.write(turn, turn.answer)
        else:
            self.pump_soon()
            return
        if len(self.turns) > 1:
            for turn in islice(self.turns, AT_ONCE):
                self.begin(turn)
        if self.pipeline or self.flow.read_paused:
            self.read_on()

    def pump_soon(self) -> None:
        """Later, when other connections have had their turn."""
        if not self.is_due:
            self.is_due = True
            self.loop.call_soon(self.pump)

    def read_on(self) -> None:
        """What was held up behind these requests."""
        if self.pipeline:
            if not self.turns:
                cycle, app = self.pipeline.pop()
                super()._start_asgi_task(cycle, app)
        elif len(self.turns) < AT_ONCE and not self.transport.is_closing():
            self.flow.resume_reading()

    def head_of(self, turn: Turn, answer: RawResponse) -> bytes:
        head = self.lane.head(turn.target, answer, turn.id, self.server_state.default_headers)
        return head + (CLOSES if self.closes(turn) else STAYS)

    def closes(self, turn: Turn) -> bool:
        return self.lane.service.is_draining or not turn.keeps_alive

    def write(self, turn: Turn, answer: RawResponse) -> None:
        closes = self.closes(turn)
        if not self.transport.is_closing():
            head, body = self.lane.head(turn.target, answer, turn.id, self.server_state.default_headers), answer.body
            head += CLOSES if closes else STAYS
            if turn.target.call is None and len(body) <= JOINED:
                self.transport.write(head + body)
            elif len(body) <= JOINED:
                self.transport.write(b"".join((head, *parts_of(turn.target, answer))))
            else:
                self.transport.writelines((head, *parts_of(turn.target, answer)))
        self.wrote(turn, answer, closes=closes)

    def wrote(self, turn: Turn, answer: RawResponse, *, closes: bool) -> None:
        self.latest = self.loop.time()
        self.lane.ledger.ended(turn, answer.status, turn.unforeseen)
        if closes:
            self.transport.close()
            self.leave()

    # beside the ordinary way

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """uvicorn's; the ordinary way waits for the answers before it."""
        if self.turns:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))
        else:
            super()._start_asgi_task(cycle, app)

    @property
    def is_busy(self) -> bool:
        return bool(self.turns) or self.turn is not None or super().is_busy

    @property
    def owes(self) -> bool:
        return bool(self.turns) or super().owes

    def end_behind_answers(self) -> None:
        if self.turns:
            self.turns[-1].keeps_alive = False
        else:
            super().end_behind_answers()

    def shutdown(self) -> None:
        """uvicorn's: the process ends, and this connection with its last answer."""
        last = self.turn or (self.turns[-1] if self.turns else None)
        if last is None:
            super().shutdown()
        else:
            last.keeps_alive = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
        self.leave()
        super().connection_lost(exc)

    def leave(self) -> None:
        """Nobody reads what is not written yet."""
        left = [*self.turns, self.turn] if self.turn else [*self.turns]
        self.turns.clear()
        self.turn, self.way = None, REFUSED
        for turn in left:
            if turn.work is not None:
                turn.work.cancel()
            self.lane.ledger.ended(turn, CLIENT_GONE)
