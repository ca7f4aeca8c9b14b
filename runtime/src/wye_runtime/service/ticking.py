"""Short runs in the event loop, together: what is there shares a run, and nobody waits for more.

request ──> ticket ─┐
request ──> ticket ─┼─ a turn of the loop brought nobody ──> by kind ──> one run ──> an answer for each
request ──> ticket ─┘                                                       └ fails ──> each runs alone

While some requests are read, others arrive: to look once more at the sockets costs far less than another run.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from wye_runtime.errors import RequestTimeout
from wye_runtime.protocol import RawRequest, RawResponse
from wye_runtime.service.jobs import Job
from wye_runtime.service.tickets import Outcome, Ticket, groups, outcomes


class Host(Protocol):
    """Whoever runs the model: the service."""

    def run_alone(self, job: Job) -> RawResponse: ...
    def run_together(self, jobs: Sequence[Job], counts: Sequence[int]) -> Sequence[Outcome]: ...
    def sampled(self, raw: RawRequest, response: RawResponse) -> RawResponse: ...
    def dropped(self, reason: str) -> None: ...


class LoopBatches:
    """Collects tickets of at most so many rows a run, and answers them."""

    def __init__(self, host: Host, most: int, delay: float, *, samples: bool) -> None:
        self.host = host
        self.most = most
        self.delay = delay
        self.samples = samples
        self.tickets: list[Ticket] = []
        self.seen = 0  # tickets at the last look

    def add(self, ticket: Ticket) -> Ticket:
        self.tickets.append(ticket)
        if len(self.tickets) == 1:
            loop = asyncio.get_running_loop()
            if self.delay:
                loop.call_later(self.delay, self.flush)
            else:
                loop.call_soon(self.look)
        return ticket

    def look(self) -> None:
        """Once more where the last turn brought somebody, and there is room for others."""
        came = len(self.tickets)
        if self.seen < came < self.most:
            self.seen = came
            asyncio.get_running_loop().call_soon(self.look)
        else:
            self.flush()

    def flush(self) -> None:
        """Answers all that are still wanted."""
        host = self.host
        tickets, self.tickets, self.seen = self.tickets, [], 0
        now = asyncio.get_running_loop().time()
        wanted = [each for each in tickets if not each.is_cancelled and each.deadline >= now]
        if len(wanted) < len(tickets):
            self.drop(tickets, now)
        for group in groups(wanted, self.most):
            for ticket, outcome in zip(group, outcomes(group, host.run_alone, host.run_together), strict=True):
                if self.samples and isinstance(outcome, RawResponse):
                    host.sampled(ticket.raw, outcome)
                ticket.tell(outcome)

    def drop(self, tickets: list[Ticket], now: float) -> None:
        """Who has left, or has no time left, never runs."""
        for ticket in tickets:
            if ticket.is_cancelled:
                self.host.dropped("client_gone")
            elif now > ticket.deadline:
                self.host.dropped("timeout")
                ticket.tell(RequestTimeout("the request's time was up before its run"))
