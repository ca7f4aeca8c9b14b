"""The counters as Prometheus' client library writes them, with what it finds out about the process itself."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.utils import floatToGoString

from wye_runtime.metrics.instruments import BUCKETS, CHECK, LIVE, MIRROR, Metrics, Reading

BOUNDS = tuple(floatToGoString(bound) for bound in (*BUCKETS, float("inf")))  # type: ignore[no-untyped-call]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text"  # the form that has room for exemplars
Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class Collector:
    """Our own instruments as the client library reads them."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def collect(self) -> Iterator[Metric]:
        metrics = self.metrics
        yield from self.requests()
        yield histogram("wye_run_duration_seconds", "One run of the model", (), [((), metrics.run_seconds.read())])
        yield GaugeMetricFamily("wye_queue_depth", "Requests that wait for a slot", metrics.queue_depth)
        told = "Requests that left the queue, or their run, without an answer of the model"
        dropped = CounterMetricFamily("wye_requests_dropped", told, labels=("reason",))
        for reason, count in metrics.dropped.items():
            dropped.add_metric((reason,), count)
        yield dropped
        told = "Reading, checking and warming up the model"
        yield GaugeMetricFamily("wye_model_load_seconds", told, metrics.load_seconds)
        labels = ("model", "version", "sha256", "provider", "mode")
        info = GaugeMetricFamily("wye_model_info", "Always 1; the labels say what is served", labels=labels)
        if metrics.model:
            info.add_metric(metrics.model, 1)
        yield info
        if metrics.traces is not None:
            told = "Sampled requests, by what became of them"
            traced = CounterMetricFamily("wye_traced_requests", told, labels=("end",))
            for end, count in metrics.traces().items():
                traced.add_metric((end,), count)
            yield traced

    def requests(self) -> Iterator[Metric]:
        """How many, and how long."""
        counted = {LIVE: self.metrics.requests, MIRROR: self.metrics.copies, CHECK: self.metrics.checks}
        answered = CounterMetricFamily("wye_requests", "Requests answered", labels=("code", "route", "traffic"))
        for traffic, requests in counted.items():
            for (status, route), count in requests.counts.items():
                answered.add_metric((str(status), route, traffic), count)
        yield answered
        told = "From the request's headers to the end of its answer"
        readings = (
            ((route, traffic), reading)
            for traffic, requests in counted.items()
            for route, reading in requests.durations()
        )
        yield histogram("wye_request_duration_seconds", told, ("route", "traffic"), readings)


def histogram(
    name: str, told: str, labels: tuple[str, ...], readings: Iterable[tuple[tuple[str, ...], Reading]]
) -> HistogramMetricFamily:
    """A family of one histogram, as the client library writes it."""
    family = HistogramMetricFamily(name, told, labels=labels)
    for values, reading in readings:
        family.add_metric(values, buckets(reading), reading.total)
    return family


def buckets(reading: Reading) -> list[Bucket]:
    """Each bound with how many were at most that long, and the trace of one of them."""
    pairs = zip(BOUNDS, map(float, accumulate(reading.counts)), strict=True)
    return [(*pair, exemplar(*reading.traces[at])) if at in reading.traces else pair for at, pair in enumerate(pairs)]


def exemplar(trace: str, seconds: float) -> Exemplar:
    """A trace as a bucket names it."""
    return Exemplar({"trace_id": trace}, seconds)


def page_of(metrics: Metrics) -> Callable[[str], tuple[bytes, str]]:
    """Gives the page, in the form that is accepted, with its content type."""
    registry = CollectorRegistry()
    registry.register(Collector(metrics))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return partial(written, registry)


def written(registry: CollectorRegistry, accepted: str) -> tuple[bytes, str]:
    """In one of two forms."""
    if OPENMETRICS in accepted:
        text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE
