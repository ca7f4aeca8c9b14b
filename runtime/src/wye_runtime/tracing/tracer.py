"""Which sampled requests are seen, and what they became: one for the process, and none where traces are off."""

import time
from typing import Protocol

from wye_runtime.tracing.context import Context
from wye_runtime.tracing.watch import Ended, Watch

MOST_A_SECOND = 100  # requests that are seen, whatever routers or callers ask for


class Sink(Protocol):
    """Whoever sends what was seen: an Exporter, which is imported only where traces are on."""

    sent: int
    dropped: int

    def add(self, request: Ended) -> None: ...
    def close(self) -> None: ...


class Tracer:
    """Only the event loop begins and ends a watch."""

    def __init__(self, exporter: Sink) -> None:
        self.exporter = exporter
        self.jobs: dict[int, Watch] = {}  # by what the requests became, as long as they are under way
        self.passed_over = 0
        self.second = 0.0
        self.left = MOST_A_SECOND

    def watch(self, context: Context) -> Watch | None:
        """None beyond what is seen in a second: nobody can make this process spend its time on traces."""
        now = time.perf_counter()
        if now - self.second >= 1:
            self.second, self.left = now, MOST_A_SECOND
        if not self.left:
            self.passed_over += 1
            return None
        self.left -= 1
        return Watch(context)

    def became(self, watch: Watch, job: object) -> None:
        """The watch keeps the job, so that no other has its number meanwhile."""
        watch.job = job
        self.jobs[id(job)] = watch
        if watch.is_over:  # its caller left while a thread decoded it
            self.forget(watch)

    def of(self, job: object) -> Watch | None:
        """Who watches what became of a request."""
        return self.jobs.get(id(job))

    def ended(self, request: Ended) -> None:
        """The request has its answer."""
        request.watch.is_over = True
        self.forget(request.watch)
        self.exporter.add(request)

    def forget(self, watch: Watch) -> None:
        self.jobs.pop(id(watch.job), None)
        watch.job = None

    def close(self) -> None:
        """Sends what is left, for a second at most."""
        self.exporter.close()

    def counts(self) -> dict[str, int]:
        """Requests whose spans were sent, and those of which nobody will see any."""
        exporter = self.exporter
        return {"sent": exporter.sent, "dropped": exporter.dropped, "passed_over": self.passed_over}
