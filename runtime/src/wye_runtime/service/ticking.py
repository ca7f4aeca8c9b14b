"""Short runs in the event loop, together: what arrived in one turn of the loop shares a run, and nobody waits for more.

request ──> ticket ─┐
request ──> ticket ─┼─ end of the turn ──> by kind ──> one run ──> an answer for each
request ──> ticket ─┘                                     └ fails ──> each runs alone
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol

from wye_runtime.batching import kind_of, rows_of
from wye_runtime.protocol import RawRequest, RawResponse
from wye_runtime.service.jobs import Job

log = logging.getLogger("wye")


class Ticket:
    """One request that will be answered at the end of this turn; a cancelled one is left out."""

    __slots__ = ("is_cancelled", "job", "outcome", "raw", "reply", "rows")

    def __init__(self, raw: RawRequest, job: Job) -> None:
        self.raw = raw
        self.job = job
        self.rows = rows_of(job.batches[0])
        self.outcome: RawResponse | Exception | None = None
        self.reply: Callable[[RawResponse | Exception], None] | None = None
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.reply = None

    async def answered(self) -> RawResponse:
        """The answer, for who waits in a task, which may begin after the answer is there."""
        if self.outcome is None:
            waiter: asyncio.Future[RawResponse | Exception] = asyncio.get_running_loop().create_future()
            self.reply = lambda outcome: None if waiter.done() else waiter.set_result(outcome)
            try:
                await waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
        if isinstance(self.outcome, RawResponse):
            return self.outcome
        assert self.outcome is not None
        raise self.outcome


class Host(Protocol):
    """Whoever runs the model: the service."""

    def run_alone(self, job: Job) -> RawResponse: ...
    def run_together(self, jobs: Sequence[Job], counts: Sequence[int]) -> list[RawResponse | Exception]: ...
    def sampled(self, raw: RawRequest, response: RawResponse) -> RawResponse: ...
    def dropped(self, reason: str) -> None: ...


class Tick:
    """Collects tickets of at most so many rows a run, and answers them."""

    def __init__(self, host: Host, most: int, delay: float) -> None:
        self.host = host
        self.most = most
        self.delay = delay
        self.tickets: list[Ticket] = []

    def add(self, ticket: Ticket) -> Ticket:
        self.tickets.append(ticket)
        if len(self.tickets) == 1:
            loop = asyncio.get_running_loop()
            if self.delay:
                loop.call_later(self.delay, self.flush)
            else:
                loop.call_soon(self.flush)
        return ticket

    def flush(self) -> None:
        """Answers all that are still wanted."""
        tickets, self.tickets = self.tickets, []
        wanted = [each for each in tickets if not each.is_cancelled]
        for _ in range(len(tickets) - len(wanted)):
            self.host.dropped("client_gone")
        for group in groups(wanted, self.most):
            for ticket, outcome in zip(group, self.outcomes(group), strict=True):
                self.tell(ticket, outcome)

    def outcomes(self, group: list[Ticket]) -> list[RawResponse | Exception]:
        """One run for all, or one for each where there is but one, or where the common one fails."""
        if len(group) > 1:
            try:
                return self.host.run_together([each.job for each in group], [each.rows for each in group])
            except Exception as error:  # noqa: BLE001 -- one bad item must fail alone, and then it is told
                log.debug("a common run failed", extra={"why": str(error)})
        return [self.outcome(each) for each in group]

    def outcome(self, ticket: Ticket) -> RawResponse | Exception:
        try:
            return self.host.run_alone(ticket.job)
        except Exception as error:  # noqa: BLE001 -- whoever asked is told; the others go on
            return error

    def tell(self, ticket: Ticket, outcome: RawResponse | Exception) -> None:
        """A caller that cannot be told harms nobody else."""
        ticket.outcome = outcome
        if isinstance(outcome, RawResponse):
            self.host.sampled(ticket.raw, outcome)
        try:
            if ticket.reply is not None:
                ticket.reply(outcome)
        except Exception:
            log.exception("an answer was lost", extra={"requestId": ticket.raw.request_id})


def groups(tickets: list[Ticket], most: int) -> Iterator[list[Ticket]]:
    """Tickets of one kind, at most so many rows together; who has no rows to join stands alone."""
    if len(tickets) == 1:
        yield tickets
        return
    open_groups: dict[Hashable, tuple[list[Ticket], int]] = {}
    for ticket in tickets:
        if not 0 < ticket.rows < most:
            yield [ticket]
            continue
        kind = kind_of(ticket.job.batches[0], ticket.job.outputs)
        group, rows = open_groups.get(kind, ([], 0))
        if rows + ticket.rows > most:
            yield group
            group, rows = [], 0
        group.append(ticket)
        open_groups[kind] = group, rows + ticket.rows
    yield from (group for group, _ in open_groups.values())
