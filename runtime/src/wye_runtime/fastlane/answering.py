"""The short way's second half: whole requests of one connection run, and are answered in their order.

whole ──> turn: waits ──> runs ──> answered ──> written, in order
           (pipelined, or the caller does not read)
"""

import asyncio
from collections import deque
from functools import partial
from itertools import islice
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from wye_runtime.endpoints.ledger import CLIENT_GONE
from wye_runtime.errors import RequestError
from wye_runtime.fastlane.bounded import BoundedProtocol
from wye_runtime.fastlane.lane import Lane, parts_of
from wye_runtime.fastlane.turn import Turn
from wye_runtime.protocol import RawResponse
from wye_runtime.service import Ticket

AT_ONCE = 16  # requests of one connection that run at a time; more than that are not read on purpose
BURST = 64  # answers of one connection after which the others have their turn
STAYS, CLOSES = b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"
JOINED = 16 << 10  # bytes up to which head and body are one string


class AnsweringProtocol(BoundedProtocol):
    """What becomes of one connection's requests once they are whole."""

    def __init__(self, lane: Lane, **given: Any) -> None:
        super().__init__(**given)
        self.lane = lane
        self.turns: deque[Turn] = deque()
        self.is_due = False  # whether a pump is scheduled

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
        if type(begun) is Ticket:  # the end of this turn of the loop: a task would cost more than the run
            turn.work = begun
            begun.reply = partial(self.told, turn)
            return
        if isinstance(begun, RawResponse):
            turn.answer = begun
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
        turns, flow = self.turns, self.flow
        is_only = len(turns) == 1 and turns[0] is turn
        return is_only and not (self.pipeline or flow.read_paused or flow.write_paused)

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
        closes, lane, transport = self.closes(turn), self.lane, self.transport
        if not transport.is_closing():
            target, body = turn.target, answer.body
            head = lane.head(target, answer, turn.id, self.server_state.default_headers)
            end = CLOSES if closes else STAYS
            if len(body) > JOINED:
                transport.writelines((head, end, *parts_of(target, answer)))
            elif target.call is None:
                transport.write(b"".join((head, end, body)))
            else:
                transport.write(b"".join((head, end, *parts_of(target, answer))))
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
        return bool(self.turns) or super().is_busy

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
        if self.turns:
            self.turns[-1].keeps_alive = False
        else:
            super().shutdown()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        super().connection_lost(exc)

    def leave(self) -> None:
        """Nobody reads what is not written yet."""
        left = [*self.turns]
        self.turns.clear()
        for turn in left:
            if turn.work is not None:
                turn.work.cancel()
            self.lane.ledger.ended(turn, CLIENT_GONE)
