"""Requests that may share a run: each with its job, who is told of its outcome, and which of them go together."""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from wye_runtime.protocol import RawRequest, RawResponse
from wye_runtime.service.jobs import Job

log = logging.getLogger("wye")
Outcome = RawResponse | Exception
Alone = Callable[[Job], RawResponse]
Together = Callable[[Sequence[Job], Sequence[int]], Sequence[Outcome]]


class Ticket:
    """One request that waits for its turn; a cancelled one is left out."""

    __slots__ = ("deadline", "is_cancelled", "job", "kind", "outcome", "raw", "reply", "rows")

    def __init__(self, raw: RawRequest, job: Job | None, deadline: float, kind: Hashable = None, rows: int = 0) -> None:
        self.raw = raw
        self.job = job  # None until a thread has decoded it
        self.deadline = deadline
        self.kind = kind  # tickets of one kind may share a run
        self.rows = rows  # 0: none to be joined with others'
        self.outcome: Outcome | None = None
        self.reply: Callable[[Outcome], None] | None = None
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.reply = None

    def tell(self, outcome: Outcome) -> None:
        """A caller that cannot be told harms nobody else."""
        self.outcome = outcome
        reply, self.reply = self.reply, None  # whoever is told has the ticket: together they would be garbage
        try:
            if reply is not None:
                reply(outcome)
        except Exception:
            log.exception("an answer was lost", extra={"requestId": self.raw.request_id})

    async def answered(self) -> RawResponse:
        """The answer, for who waits in a task, which may begin after the answer is there."""
        if self.outcome is None:
            waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
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


@dataclass(slots=True)
class Group:
    """Tickets that share a run."""

    tickets: list[Ticket] = field(default_factory=list)
    rows: int = 0


def groups(tickets: list[Ticket], most: int) -> Iterator[list[Ticket]]:
    """Tickets of one kind, at most so many rows together; who has no rows to join stands alone."""
    if len(tickets) == 1:
        yield tickets
        return
    collected: dict[Hashable, Group] = {}
    for ticket in tickets:
        rows = ticket.rows
        if not 0 < rows < most:
            yield [ticket]
            continue
        group = collected.get(ticket.kind)
        if group is None or group.rows + rows > most:
            if group is not None:
                yield group.tickets
            group = collected[ticket.kind] = Group()
        group.tickets.append(ticket)
        group.rows += rows
    yield from (group.tickets for group in collected.values())


def job_of(ticket: Ticket) -> Job:
    """The ticket's job, which is there by now."""
    assert ticket.job is not None
    return ticket.job


def outcomes(group: list[Ticket], alone: Alone, together: Together) -> Sequence[Outcome]:
    """One run for all, or one for each where there is but one, or where the common one fails."""
    if len(group) > 1:
        try:
            return together([job_of(each) for each in group], [each.rows for each in group])
        except Exception as error:  # noqa: BLE001 -- one bad item must fail alone, and then it is told
            log.debug("a common run failed", extra={"why": str(error)})
    return [outcome(job_of(each), alone) for each in group]


def outcome(job: Job, alone: Alone) -> Outcome:
    """The answer of a run of its own, or what it raised."""
    try:
        return alone(job)
    except Exception as error:  # noqa: BLE001 -- whoever asked is told; the others go on
        return error
