"""The counters themselves."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from threading import Lock

# 100 us to 60 s, about three a decade
BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
DROP_REASONS = ("client_gone", "timeout", "queue_wait", "queue_full")
LIVE, MIRROR, CHECK = "live", "mirror", "check"  # what callers wait for, copies of it, questions about health


class Tally:
    """A histogram that costs a tenth of the client library's: it is written with every request, by one thread."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0
        self.traces: dict[int, tuple[str, float]] = {}  # the last one that was sampled, by bucket

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def seen_in(self, trace: str, seconds: float) -> None:
        """Whoever looks at this bucket can look at that trace."""
        self.traces[bisect_left(BUCKETS, seconds)] = trace, seconds


class SharedTally(Tally):
    """Written by several threads."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()

    def observe(self, seconds: float) -> None:
        with self.lock:
            super().observe(seconds)


class Requests:
    """How many requests were answered, and how long each took, by route."""

    def __init__(self) -> None:
        self.counts: dict[tuple[int, str], int] = {}
        self.seconds: dict[str, Tally] = {}

    def ended(self, route: str, status: int, seconds: float, trace: str = "") -> None:
        """One more, which was seen in a trace or not; only the event loop calls this."""
        key = status, route
        self.counts[key] = self.counts.get(key, 0) + 1
        tally = self.seconds.get(route)
        if tally is None:
            tally = self.seconds[route] = Tally()
        tally.counts[bisect_left(BUCKETS, seconds)] += 1
        tally.total += seconds
        if trace:
            tally.seen_in(trace, seconds)


class Metrics:
    """All instruments."""

    def __init__(self) -> None:
        self.requests, self.copies, self.checks = Requests(), Requests(), Requests()
        self.run_seconds = SharedTally()
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
