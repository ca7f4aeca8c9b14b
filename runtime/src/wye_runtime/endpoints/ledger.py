"""What is written down of every request, whichever way it took: counters, the log, and who is active."""

import logging
import random
import time
from functools import cache
from itertools import count
from uuid import uuid4

from wye_runtime.metrics import Metrics
from wye_runtime.tracing import Context, Ended, Tracer, Watch

log = logging.getLogger("wye")
CLIENT_GONE = 499
COPIED = "x-wye-mirrored"  # said by the router, which takes it from callers
ID_LENGTH = 128
SLOW_SHARE = 0.5  # of the request's time-out
PROCESS = str(uuid4())[:24]
COUNT = count(random.getrandbits(48))


class Ledger:
    """`active` and `latest` are what a drain waits for."""

    def __init__(self, metrics: Metrics, timeout: float) -> None:
        self.metrics = metrics
        self.slow = timeout * SLOW_SHARE
        self.active = 0
        self.latest = 0.0
        self.tracer: Tracer | None = None

    def came(self) -> float:
        """One more request has its headers; gives the time that `ended` wants."""
        self.active += 1
        return time.perf_counter()

    def ended(self, entry: "Entry", status: int, unforeseen: Exception | None = None) -> None:
        """Counts and, where it is worth a line, logs."""
        self.active -= 1
        now = time.perf_counter()
        seconds = now - entry.began
        if wants_run(entry.route):
            self.latest = now
        requests = self.metrics.copies if entry.is_copy else self.metrics.requests
        if is_check(entry.route):
            requests = self.metrics.checks
        requests.ended(entry.route, status, seconds, "" if entry.context is None else self.seen(entry, status))
        if seconds > self.slow or status >= 500 or unforeseen:
            self.log(entry, status, seconds, unforeseen)

    def watched(self, context: Context | None) -> "Context | Watch | None":
        """What is to be seen of a request of that trace."""
        return context if self.tracer is None or context is None else self.tracer.watch(context) or context

    def seen(self, entry: "Entry", status: int) -> str:
        """The trace of a sampled request, which has its answer."""
        context = entry.context
        if self.tracer is not None and isinstance(context, Watch):
            now = time.perf_counter(), time.time_ns()
            self.tracer.ended(Ended(context, entry.route, entry.began, *now, status, entry.id, is_copy=entry.is_copy))
        return context.trace if context else ""

    def log(self, entry: "Entry", status: int, seconds: float, unforeseen: Exception | None) -> None:
        extra = {"requestId": entry.id, "route": entry.route, "status": status, "ms": round(seconds * 1000, 1)}
        # not being ready is neither the runtime's nor the model's fault
        if unforeseen is not None or (status >= 500 and status != 503):
            log.error("request failed", extra=extra, exc_info=unforeseen)
        elif seconds > self.slow:
            log.warning("slow request", extra=extra)


class Entry:
    """One request in the ledger."""

    __slots__ = ("began", "context", "id", "is_copy", "route")

    def __init__(self, began: float, request_id: str, route: str) -> None:
        self.began = began
        self.id = request_id
        self.route = route
        self.is_copy = False  # made by the router; nobody waits for its answer
        self.context: Context | Watch | None = None  # of a trace that is sampled


@cache
def wants_run(route: str) -> bool:
    """Routes are a fixed set."""
    return route == "/score" or "{model}" in route or route.endswith("/ModelInfer")


@cache
def is_check(route: str) -> bool:
    """Whether somebody asks how the server is: each router does once a second, and would be most of what is counted."""
    return route in ("/", "/healthz") or "health" in route.lower() or route.endswith(("/ServerLive", "/ServerReady"))


def new_id() -> str:
    """In the form of a UUID, in a tenth of its time: it names requests, it guards nothing.

    What is random is drawn once a process; the last part counts.
    """
    return f"{PROCESS}{next(COUNT) & 0xFFFFFFFFFFFF:012x}"
