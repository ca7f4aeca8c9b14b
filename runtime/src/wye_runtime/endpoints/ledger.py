"""What is written down of every request, whichever way it took: counters, the log, and who is active."""

import logging
import random
import time

from wye_runtime.metrics import Metrics

log = logging.getLogger("wye")
CLIENT_GONE = 499
ID_LENGTH = 128
SLOW_SHARE = 0.5  # of the request's time-out


class Ledger:
    """`active` and `latest` are what a drain waits for."""

    def __init__(self, metrics: Metrics, timeout: float) -> None:
        self.metrics = metrics
        self.slow = timeout * SLOW_SHARE
        self.active = 0
        self.latest = 0.0

    def came(self) -> float:
        """One more request has its headers; gives the time that `ended` wants."""
        self.active += 1
        return time.perf_counter()

    def ended(self, entry: "Entry", status: int, unforeseen: Exception | None = None) -> None:
        """Counts and, where it is worth a line, logs."""
        self.active -= 1
        seconds = time.perf_counter() - entry.began
        if entry.wants_run:
            self.latest = entry.began + seconds
        self.metrics.requests.ended(entry.route, status, seconds)
        if seconds > self.slow or status >= 500 or unforeseen:
            self.log(entry, status, seconds, unforeseen)

    def log(self, entry: "Entry", status: int, seconds: float, unforeseen: Exception | None) -> None:
        extra = {"requestId": entry.id, "route": entry.route, "status": status, "ms": round(seconds * 1000, 1)}
        # not being ready is neither the runtime's nor the model's fault
        if unforeseen is not None or (status >= 500 and status != 503):
            log.error("request failed", extra=extra, exc_info=unforeseen)
        elif seconds > self.slow:
            log.warning("slow request", extra=extra)


class Entry:
    """One request in the ledger."""

    __slots__ = ("began", "id", "route")

    def __init__(self, began: float, request_id: str, route: str) -> None:
        self.began = began
        self.id = request_id
        self.route = route

    @property
    def wants_run(self) -> bool:
        return self.route == "/score" or "{model}" in self.route or self.route.endswith("/ModelInfer")


def new_id() -> str:
    """A UUID of version 4, in a third of the time that `uuid` takes: it names requests, it guards nothing."""
    text = f"{random.getrandbits(128):032x}"
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
