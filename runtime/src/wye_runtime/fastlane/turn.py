"""One request on the short way, from its headers to its answer."""

import asyncio
import time

from wye_runtime.endpoints.ledger import Entry
from wye_runtime.fastlane.targets import Target
from wye_runtime.protocol import RawRequest, RawResponse
from wye_runtime.protocol import raw_request as raw_of
from wye_runtime.service import Ticket
from wye_runtime.tracing import Watch


class Turn(Entry):
    """A connection answers its turns in their order."""

    __slots__ = ("answer", "keeps_alive", "raw", "target", "unforeseen", "work")

    def __init__(self, began: float, request_id: str, target: Target, *, keeps_alive: bool) -> None:
        self.began = began
        self.id = request_id
        self.is_copy, self.context = False, None
        self.route = target.route
        self.target = target
        self.keeps_alive = keeps_alive
        self.raw: RawRequest | None = None  # until it begins to run
        self.answer: RawResponse | None = None
        self.work: asyncio.Task[RawResponse] | Ticket | None = None  # what is cancelled when the caller goes
        self.unforeseen: Exception | None = None

    def arrived(self) -> None:
        """It is whole: whoever watches it hears of it."""
        if self.raw is not None and isinstance(self.context, Watch):
            self.context.arrived(time.perf_counter())
            self.raw = raw_of((*self.raw[:-1], self.context))  # `watch` is the last
