"""Runs in worker threads, together: who gets a slot takes along those who wait for one, and nobody waits for more.

request ──> a free slot? ──yes──> leads ──> takes along who waits ──> a thread: decode, by kind, one run, answers
                └──no──> waits ──> is taken along, or leads when a slot is free
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from wye_runtime.engine.model import Run
from wye_runtime.errors import ModelNotReady, RequestTimeout
from wye_runtime.protocol import RawResponse
from wye_runtime.service.slots import Workers
from wye_runtime.service.tickets import Outcome, Ticket

Work = Callable[[Sequence[Ticket], Run], Sequence[Outcome]]  # in a thread; an outcome for each ticket


@dataclass(slots=True, eq=False)
class Batch:
    """Tickets that share a slot and its run."""

    tickets: list[Ticket] = field(default_factory=list)
    run: Run = field(default_factory=Run)

    def leave_out_who_left(self) -> None:
        self.tickets = [each for each in self.tickets if not each.is_cancelled]


class ThreadBatches:
    """Shares slots among at most so many tickets each."""

    def __init__(self, workers: Workers, work: Work, most: int, delay: float) -> None:
        self.workers = workers
        self.work = work
        self.most = most
        self.delay = delay
        self.open: Batch | None = None  # has a slot, and waits for more until its delay is over
        self.batches: dict[Ticket, Batch] = {}

    async def do(self, ticket: Ticket) -> RawResponse:
        """The ticket's answer; when its time is up or its caller is gone, the others go on without it."""
        if self.open is not None and len(self.open.tickets) < self.most:
            self.join(ticket, self.open)
        elif await self.workers.slots.acquire(ticket.deadline, ticket):
            self.lead(ticket)
        try:
            async with asyncio.timeout_at(ticket.deadline):
                return await ticket.answered()
        except TimeoutError:
            self.leave(ticket, "timeout")
            raise RequestTimeout("the model did not answer in time") from None
        except asyncio.CancelledError:
            self.leave(ticket, "client_gone")
            raise

    def join(self, ticket: Ticket, batch: Batch) -> None:
        batch.tickets.append(ticket)
        self.batches[ticket] = batch

    def lead(self, ticket: Ticket) -> None:
        batch = Batch()
        self.join(ticket, batch)
        if not self.delay:
            self.start(batch)
            return
        self.open = batch
        asyncio.get_running_loop().call_later(self.delay, self.start, batch)

    def start(self, batch: Batch) -> None:
        """Hands over to a thread, with all who wait and fit."""
        if self.open is batch:
            self.open = None
        batch.leave_out_who_left()
        for ticket in self.workers.slots.taken(self.most - len(batch.tickets)):
            self.join(ticket, batch)
        if not batch.tickets:
            self.workers.slots.release()
            return
        tickets = tuple(batch.tickets)
        try:
            future = self.workers.started(lambda run: self.work(tickets, run), batch.run)
        except ModelNotReady as error:
            self.tell(tickets, [error] * len(tickets))
        else:
            future.add_done_callback(partial(self.ended, tickets))

    def ended(self, tickets: Sequence[Ticket], future: "asyncio.Future[Sequence[Outcome]]") -> None:
        if future.cancelled():
            self.tell(tickets, [ModelNotReady("this process is ending")] * len(tickets))
            return
        error = future.exception()
        if isinstance(error, Exception):
            self.tell(tickets, [error] * len(tickets))
        else:
            self.tell(tickets, future.result())

    def tell(self, tickets: Sequence[Ticket], outcomes: Sequence[Outcome]) -> None:
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            self.batches.pop(ticket, None)
            ticket.tell(outcome)

    def leave(self, ticket: Ticket, reason: str) -> None:
        """A run that nobody waits for any more is told to end."""
        ticket.cancel()
        self.workers.slots.drop(reason)
        batch = self.batches.pop(ticket, None)
        if batch is not None and all(each.is_cancelled for each in batch.tickets):
            batch.run.terminate()
