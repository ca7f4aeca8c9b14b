"""The counters of the inner port. Every label comes from a fixed set of ours, never from a request."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

# 100 us to 60 s, about three a decade
BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
DROP_REASONS = ("client_gone", "timeout", "queue_wait", "queue_full")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """All instruments over one registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time that nobody reads
        registry = self.registry = CollectorRegistry()
        self.requests = Counter("wye_requests_total", "Requests answered", ("code", "route"), registry=registry)
        self.request_seconds = Histogram(
            "wye_request_duration_seconds",
            "From the request's headers to the end of its answer",
            ("route",),
            buckets=BUCKETS,
            registry=registry,
        )
        self.run_seconds = Histogram(
            "wye_run_duration_seconds", "One run of the model", buckets=BUCKETS, registry=registry
        )
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

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
