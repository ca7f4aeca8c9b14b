"""What is seen of one sampled request on its way: where it waited, when it was decoded, with whom it ran.

arrived ── decode ── queue ── batch [ run ] ── ended        decoded in the event loop
arrived ── queue ── decode ── batch [ run ] ── ended        decoded by the thread that runs it

Times and no more: this code runs for one request of a hundred, so none of it is in the processor's caches, and each
line costs what ten cost elsewhere. Names, ids and all that is said of them come later, of many at once (spans.py).
"""

import threading
from collections.abc import Sequence
from typing import NamedTuple

from wye_runtime.tracing.context import Context

Times = tuple[float, float]  # from, until


class Batch(NamedTuple):
    """One run for several requests, some of them sampled."""

    times: Times
    counts: list[int]  # rows of each request
    runs: list[Times]
    traces: list[str]  # of the sampled ones,
    spans: list[str]  # and what each sees this batch by, once that is written down


class Watch:
    """One sampled request; the times are `perf_counter`'s.

    Threads write to it one after the other, but where its caller left, or waited no longer, one may still write when it
    is read: so each writes once, and a whole thing.
    """

    __slots__ = ("batches", "decoding", "home", "is_over", "job", "parent", "runs", "since", "trace", "until")

    def __init__(self, context: Context) -> None:
        self.trace, self.parent = context
        self.home = threading.get_ident()  # the event loop's thread
        self.since = 0.0  # since when it waits; 0: not yet
        self.until = 0.0  # when somebody took it up; 0: nobody did
        self.decoding: Times | None = None
        self.runs: list[Times] = []  # by itself
        self.batches: tuple[tuple[Batch, int], ...] = ()  # in company, and its place among the sampled ones
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
        self.decoding = began, ended

    def ran(self, runs: list[Times]) -> None:
        """By itself: once, or as often as it has instances."""
        if runs:
            self.until = self.until or runs[0][0]
            self.runs = runs

    def ran_among(self, batch: Batch, place: int) -> None:
        """In company; a run that failed was begun once more alone."""
        self.until = self.until or batch.times[0]
        self.batches += ((batch, place),)


def share(watches: list[Watch], times: Times, counts: Sequence[int], runs: list[Times]) -> None:
    """Tells each of them that they ran together."""
    batch = Batch(times, [*counts], runs, [watch.trace for watch in watches], [])
    for place, watch in enumerate(watches):
        watch.ran_among(batch, place)


class Ended(NamedTuple):
    """A sampled request that has its answer."""

    watch: Watch
    route: str
    began: float
    ended: float
    clock: int  # what the clock said then, in nanoseconds since 1970
    status: int
    id: str
    is_copy: bool
