"""What is seen of one sampled request on its way: where it waited, when it was decoded, with whom it ran.

arrived ── decode ── queue ── batch [ run ] ── ended        decoded in the event loop
arrived ── queue ── decode ── batch [ run ] ── ended        decoded by the thread that runs it
"""

import random
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from wye_runtime.tracing.context import Context

Attributes = dict[str, str | int | bool]
NOTHING: Attributes = {}


def new_span() -> str:
    """The id of a span."""
    return f"{random.getrandbits(64) or 1:016x}"


class Part(NamedTuple):
    """One part of a request's time; `parent` is the part that it lies in, "" where that is the request itself."""

    span: str
    name: str
    began: float
    ended: float
    parent: str = ""
    attributes: Attributes = NOTHING
    links: tuple[Context, ...] = ()


class Watch:
    """One sampled request; the times are `perf_counter`'s. Threads write to it one after the other."""

    __slots__ = ("home", "is_over", "job", "parent", "parts", "since", "span", "trace", "until")

    def __init__(self, context: Context) -> None:
        self.trace, self.parent = context
        self.span = new_span()
        self.parts: list[Part] = []
        self.home = threading.get_ident()  # the event loop's thread
        self.since = 0.0  # since when it waits; 0: not yet
        self.until = 0.0  # when somebody took it up; 0: nobody did
        self.job: object = None  # what it became
        self.is_over = False

    def arrived(self, now: float) -> None:
        """It is whole."""
        self.since = now

    def decoded(self, began: float, ended: float) -> None:
        """In the event loop the wait comes after it, in a thread it came before."""
        if threading.get_ident() == self.home:
            self.since = ended
        else:
            self.until = self.until or began
        self.parts.append(Part(new_span(), "decode", began, ended))

    def ran(self, runs: list[tuple[float, float]]) -> None:
        """By itself: once, or as often as it has instances."""
        if runs:
            self.until = self.until or runs[0][0]
            more: Attributes = {"wye.runs": len(runs)} if len(runs) > 1 else NOTHING
            self.parts.append(Part(new_span(), "run", runs[0][0], runs[-1][1], attributes=more))

    def ran_among(self, batch: "Batch", others: tuple[Context, ...]) -> None:
        """In company; a run that failed was begun once more alone."""
        self.until = self.until or batch.began
        about: Attributes = {"wye.batch.requests": batch.requests, "wye.batch.rows": batch.rows}
        part = Part(batch.spans[self.span], "batch", batch.began, batch.ended, "", about, others)
        self.parts.append(part)
        self.parts.extend(Part(new_span(), "run", began, ended, part.span) for began, ended in batch.runs)

    def waited(self) -> Part | None:
        """The time in which nothing was done for it."""
        if not self.since or self.until <= self.since:
            return None
        return Part(new_span(), "queue", self.since, self.until)


class Batch(NamedTuple):
    """One run for several requests; `spans` are those that the sampled ones among them see it by."""

    began: float
    ended: float
    requests: int
    rows: int
    runs: list[tuple[float, float]]
    spans: dict[str, str]


def share(
    watches: list[Watch], times: tuple[float, float], counts: Iterable[int], runs: list[tuple[float, float]]
) -> None:
    """Tells each of them that they ran together, and in which other traces the same run is seen."""
    rows = list(counts)
    batch = Batch(*times, len(rows), sum(rows), runs, {watch.span: new_span() for watch in watches})
    for watch in watches:
        others = tuple(Context(each.trace, batch.spans[each.span]) for each in watches if each is not watch)
        watch.ran_among(batch, others)


class Ended(NamedTuple):
    """A sampled request that has its answer."""

    watch: Watch
    name: str
    began: float
    ended: float
    attributes: Attributes
    failed: bool
    epoch: int  # what to add to these times, in nanoseconds


def ended(watch: Watch, name: str, began: float, attributes: Attributes, *, failed: bool) -> Ended:
    """Now."""
    now = time.perf_counter()
    return Ended(watch, name, began, now, attributes, failed, time.time_ns() - int(now * 1e9))
