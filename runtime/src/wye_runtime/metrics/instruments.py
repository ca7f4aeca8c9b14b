"""The counters themselves."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from types import MappingProxyType
from typing import NamedTuple

# 100 us to 60 s, about three a decade
BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
AT_ONCE = 256  # observations that are sorted into buckets together, in less than a tenth of a millisecond
DROP_REASONS = ("client_gone", "timeout", "queue_wait", "queue_full")
LIVE, MIRROR, CHECK = "live", "mirror", "check"  # what callers wait for, copies of it, questions about health

Traces = Mapping[int, tuple[str, float]]  # the last request that was sampled, and how long it took, by bucket


class Reading(NamedTuple):
    """What a histogram says at one moment."""

    counts: list[int]  # by bucket, and behind the last one
    total: float  # seconds
    traces: Traces = MappingProxyType({})


class Tally:
    """A histogram that costs a tenth of the client library's: it is written with every request, by any thread.

    What is observed waits until there is more of it, or somebody reads: what sorting into buckets needs has left the
    processor's caches from one request to the next, and fetching it for each costs more than the sorting.
    """

    __slots__ = ("lock", "sorted", "total", "waiting")

    def __init__(self) -> None:
        self.waiting: list[float] = []
        self.sorted = [0] * (len(BUCKETS) + 1)
        self.total = 0.0
        self.lock = Lock()

    def observe(self, seconds: float) -> None:
        waiting = self.waiting
        waiting.append(seconds)
        if len(waiting) >= AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Others may observe meanwhile: only what was taken goes."""
        with self.lock:
            taken = self.waiting[:]
            del self.waiting[: len(taken)]
            for seconds in taken:
                self.sorted[bisect_left(BUCKETS, seconds)] += 1
            self.total += sum(taken)

    def read(self) -> Reading:
        self.settle()
        with self.lock:
            return Reading([*self.sorted], self.total)


class Requests:
    """How many requests were answered, and how long each took, by route and status; only the event loop writes it."""

    __slots__ = ("latest", "route", "status", "tallies", "traces", "waiting")

    def __init__(self) -> None:
        self.tallies: dict[str, dict[int, Tally]] = {}
        self.traces: dict[str, dict[int, tuple[str, float]]] = {}
        self.route, self.status = "", 0  # of the last one: mostly the next is like it
        self.latest = Tally()  # where it was counted
        self.waiting = self.latest.waiting  # the same list, which is emptied and never replaced

    def ended(self, route: str, status: int, seconds: float, trace: str = "") -> None:
        """One more, which was seen in a trace or not."""
        if route is not self.route or status != self.status:
            self.turn_to(route, status)
        waiting = self.waiting  # not `latest.observe`: a call more costs as much as all of this
        waiting.append(seconds)
        if len(waiting) >= AT_ONCE:
            self.latest.settle()
        if trace:  # whoever looks at this bucket can look at that trace
            self.traces.setdefault(route, {})[bisect_left(BUCKETS, seconds)] = trace, seconds

    def turn_to(self, route: str, status: int) -> None:
        """Others like it will follow."""
        by_status = self.tallies.setdefault(route, {})
        self.latest = by_status.get(status) or by_status.setdefault(status, Tally())
        self.waiting = self.latest.waiting
        self.route, self.status = route, status

    @property
    def counts(self) -> dict[tuple[int, str], int]:
        """How many, by status and route."""
        return {
            (status, route): sum(tally.read().counts)
            for route, by_status in self.tallies.items()
            for status, tally in by_status.items()
        }

    def durations(self) -> Iterator[tuple[str, Reading]]:
        """Of each route, whatever became of its requests."""
        for route, by_status in self.tallies.items():
            readings = [tally.read() for tally in by_status.values()]
            counts = [sum(same) for same in zip(*(each.counts for each in readings), strict=True)]
            yield route, Reading(counts, sum(each.total for each in readings), self.traces.get(route, {}))


class Metrics:
    """All instruments."""

    def __init__(self) -> None:
        self.requests, self.copies, self.checks = Requests(), Requests(), Requests()
        self.run_seconds = Tally()
        self.queue_depth = 0
        self.dropped = dict.fromkeys(DROP_REASONS, 0)
        self.load_seconds = 0.0
        self.model: tuple[str, ...] = ()  # the labels of wye_model_info, once there is one
        self.traces: Callable[[], Mapping[str, int]] | None = None  # the ends of those that were sampled
        self.page: Callable[[str], tuple[bytes, str]] | None = None

    def text(self, accepted: str = "") -> tuple[bytes, str]:
        """All of it as Prometheus reads it, with the content type; exemplars for who takes them."""
        if self.page is None:
            from wye_runtime.metrics.exposition import page_of

            self.page = page_of(self)
        return self.page(accepted)
