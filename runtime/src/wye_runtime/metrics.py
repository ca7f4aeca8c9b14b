"""The counters of the inner port. Every label comes from a fixed set of ours, never from a request."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from threading import Lock

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, Exemplar, HistogramMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.utils import floatToGoString

# 100 us to 60 s, about three a decade
BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
BOUNDS = tuple(floatToGoString(bound) for bound in (*BUCKETS, float("inf")))  # type: ignore[no-untyped-call]
DROP_REASONS = ("client_gone", "timeout", "queue_wait", "queue_full")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text"  # the form that has room for exemplars
LIVE, MIRROR, CHECK = "live", "mirror", "check"  # what callers wait for, copies of it, questions about health
Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class Tally:
    """A histogram that costs a tenth of the client library's: it is written with every request, by one thread."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0
        self.traces: dict[int, Exemplar] = {}  # the last one that was sampled, by bucket

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def seen_in(self, trace: str, seconds: float) -> None:
        """Whoever looks at this bucket can look at that trace."""
        self.traces[bisect_left(BUCKETS, seconds)] = Exemplar({"trace_id": trace}, seconds)

    def buckets(self) -> list[Bucket]:
        """Each bound with how many were at most that long, and the trace of one of them."""
        pairs = list(zip(BOUNDS, map(float, accumulate(self.counts)), strict=True))
        return [(*pair, self.traces[i]) if i in self.traces else pair for i, pair in enumerate(pairs)]


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


class Collector:
    """Our own instruments as the client library reads them."""

    def __init__(self, requests: Mapping[str, Requests], runs: Tally) -> None:
        self.requests = requests
        self.runs = runs

    def collect(self) -> Iterator[Metric]:
        answered = CounterMetricFamily("wye_requests", "Requests answered", labels=("code", "route", "traffic"))
        for traffic, requests in self.requests.items():
            for (status, route), count in requests.counts.items():
                answered.add_metric((str(status), route, traffic), count)
        yield answered
        told = "From the request's headers to the end of its answer"
        tallies = (
            ((route, traffic), tally)
            for traffic, requests in self.requests.items()
            for route, tally in requests.seconds.items()
        )
        yield histogram("wye_request_duration_seconds", told, ("route", "traffic"), tallies)
        yield histogram("wye_run_duration_seconds", "One run of the model", (), [((), self.runs)])


def histogram(
    name: str, told: str, labels: tuple[str, ...], tallies: Iterable[tuple[tuple[str, ...], Tally]]
) -> HistogramMetricFamily:
    """A family of one histogram, as the client library writes it."""
    family = HistogramMetricFamily(name, told, labels=labels)
    for values, tally in tallies:
        family.add_metric(values, tally.buckets(), tally.total)
    return family


class TraceCounts:
    """What became of the requests that were sampled."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self.counts = counts

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily("wye_traced_requests", "Sampled requests, by what became of them", labels=("end",))
        for end, count in self.counts().items():
            family.add_metric((end,), count)
        yield family


class Metrics:
    """All instruments over one registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time that nobody reads
        registry = self.registry = CollectorRegistry()
        self.requests, self.copies, self.checks = Requests(), Requests(), Requests()
        self.run_seconds = SharedTally()
        counted = {LIVE: self.requests, MIRROR: self.copies, CHECK: self.checks}
        registry.register(Collector(counted, self.run_seconds))
        self.queue_depth = Gauge("wye_queue_depth", "Requests that wait for a slot", registry=registry)
        self.dropped = Counter(
            "wye_requests_dropped_total",
            "Requests that left the queue, or their run, without an answer of the model",
            ("reason",),
            registry=registry,
        )
        self.load_seconds = Gauge(
            "wye_model_load_seconds",
            "Reading, checking and warming up the model",
            registry=registry,
        )
        self.model_info = Gauge(
            "wye_model_info",
            "Always 1; the labels say what is served",
            ("model", "version", "sha256", "provider", "mode"),
            registry=registry,
        )
        for reason in DROP_REASONS:
            self.dropped.labels(reason)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def count_traces(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Only where traces are on."""
        self.registry.register(TraceCounts(counts))

    def text(self, accepted: str = "") -> tuple[bytes, str]:
        """All of it as Prometheus reads it, with the content type; exemplars for who takes them."""
        if OPENMETRICS in accepted:
            text: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]
            return text, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self.registry), CONTENT_TYPE
