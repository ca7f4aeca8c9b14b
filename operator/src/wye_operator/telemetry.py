"""What the operator says of itself: metrics in Prometheus' text form, and its log as JSON lines."""

from __future__ import annotations

import json
import logging
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import gmtime

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
HELP = {
    "wye_api_calls_total": ("counter", "Calls of the API server."),
    "wye_api_errors_total": ("counter", "Calls that the API server refused."),
    "wye_passes_total": ("counter", "Passes over one Endpoint, by how they ended."),
    "wye_writes_total": ("counter", "Objects written, by kind and verb."),
    "wye_pass_seconds": ("histogram", "How long a pass takes."),
    "wye_wait_seconds": ("histogram", "How long an Endpoint waits until a worker takes it."),
    "wye_endpoints_waiting": ("gauge", "Endpoints that are due and wait for a worker."),
    "wye_passes_running": ("gauge", "Passes that run now."),
    "wye_objects": ("gauge", "Objects in the store, by resource."),
    "wye_leader": ("gauge", "1 in the replica that leads."),
    "wye_endpoint_ready": (
        "gauge",
        "1 where an Endpoint is as asked; why, or why not (leader only, like the next six).",
    ),
    "wye_endpoint_serving": ("gauge", "1 where a plain request gets an answer."),
    "wye_deployment_ready": ("gauge", "1 where a Deployment is as asked."),
    "wye_deployment_replicas": ("gauge", "Instances that a Deployment asks for."),
    "wye_deployment_ready_replicas": ("gauge", "Instances that are ready."),
    "wye_traffic_asked_percent": ("gauge", "Percent that an Endpoint asks for a Deployment: live, and as a mirror."),
    "wye_traffic_percent": ("gauge", "Percent in effect, fail-over included."),
    "wye_upgrades_running": ("gauge", "Routers and models whose pods are replaced for an upgrade now."),
    "wye_upgrades_waiting": ("gauge", "Those that keep older pods: for a slot, or for an edit (upgrade.policy)."),
    "wye_relists_total": ("counter", "Lists of everything, by why."),
    "wye_inner_errors_total": ("counter", "Questions to pods that were not answered."),
}
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

Labels = tuple[tuple[str, str], ...]
Page = dict[str, dict[Labels, float]]  # samples by the name of their metric


class Metrics:
    """Counters, gauges and histograms; a figure that is cheap to ask for is asked for when it is read."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, Labels], float] = defaultdict(float)
        self._histograms: dict[str, list[float]] = {}
        self._sums: dict[str, float] = defaultdict(float)
        self._gauges: dict[str, Callable[[], dict[Labels, float]]] = {}
        self._pages: list[Callable[[], Page]] = []

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Add to a counter."""
        self._counters[name, tuple(sorted(labels.items()))] += by

    def value(self, name: str, **labels: str) -> float:
        """What a counter stands at."""
        return self._counters.get((name, tuple(sorted(labels.items()))), 0.0)

    def total(self, name: str) -> float:
        """What all series of a counter stand at together."""
        return sum(value for (of, _), value in self._counters.items() if of == name)

    def observe(self, name: str, seconds: float) -> None:
        """Add to a histogram."""
        counts = self._histograms.setdefault(name, [0.0] * (len(BUCKETS) + 1))
        counts[bisect_left(BUCKETS, seconds)] += 1
        self._sums[name] += seconds

    def gauge(self, name: str, read: Callable[[], dict[Labels, float]]) -> None:
        """Ask `read` whenever the figures are read."""
        self._gauges[name] = read

    def page(self, read: Callable[[], Page]) -> None:
        """The same for several gauges that are dear to ask for one by one."""
        self._pages.append(read)

    def text(self) -> str:
        """Everything, as Prometheus reads it."""
        pages = [read() for read in self._pages]
        return "\n".join(self._lines(pages)) + "\n"

    def _lines(self, pages: Sequence[Page]) -> Iterator[str]:
        for name, (kind, words) in HELP.items():
            told = [line for page in pages for line in _samples(name, page.get(name, {}))]
            lines = [*self._simple(name), *told, *self._buckets(name)]
            if lines:
                yield from (f"# HELP {name} {words}", f"# TYPE {name} {kind}", *lines)

    def _simple(self, name: str) -> Iterator[str]:
        values = {labels: value for (of, labels), value in self._counters.items() if of == name}
        values |= self._gauges[name]() if name in self._gauges else {}
        yield from _samples(name, values)

    def _buckets(self, name: str) -> Iterator[str]:
        counts = self._histograms.get(name)
        if counts is None:
            return
        total = 0.0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total:g}'
        yield from (f"{name}_sum {self._sums[name]:g}", f"{name}_count {total:g}")


def _samples(name: str, values: Mapping[Labels, float]) -> Iterator[str]:
    return (f"{name}{_braces(labels)} {value:g}" for labels, value in sorted(values.items()))


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    quoted = ((key, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for key, value in labels)
    return "{" + ",".join(f'{key}="{value}"' for key, value in quoted) + "}"


class JsonLines(logging.Formatter):
    """One JSON object a line: what was decided, with its key-values."""

    converter = staticmethod(gmtime)  # UTC, as Kubernetes has it

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said = {key: value for key, value in vars(record).items() if key not in STANDARD}
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **said,
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json(*, verbose: bool = False) -> None:
    """Send everything that is logged to stdout, a JSON object a line."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for name in ("kopf", "aiohttp.access", "asyncio"):  # kopf tells each event and each reconnection
        logging.getLogger(name).setLevel(logging.WARNING)
