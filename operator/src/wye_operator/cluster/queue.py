"""The work queue: which Endpoint to look at next. Each stands in it once, however many events name it.

             add ──> due later ──(time)──> due ──take──> running ──done──> out, or due again if added meanwhile
                                                            └─failed──> due later, and later each time

What a person has edited goes before the rest for a while, so that a thousand others at a start are not in its way. So
does what was begun: of a thousand that are applied at once the first are Ready before the last are looked at.
`Schedule` is pure: the time is an argument. `Workers` runs it, a bounded number of passes at once.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from wye_operator.cluster.errors import ApiError, Unavailable
from wye_operator.errors import WyeError
from wye_operator.telemetry import Metrics

log = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)
FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.5, 60.0
LONGEST_ABSENCE = (
    8.0  # back-off while nobody answers: that is no Endpoint's fault, and when it ends all is to be looked at
)
FIRST = 10.0  # seconds for which an edited key goes first: an edit is several passes
BEGUN = 30.0  # the same of one that is looked at for the first time: it is not Ready before several more
GAP = 0.2  # seconds between two passes over one Endpoint, so that a burst of events is one pass


def back_off(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** min(failures - 1, 10))


@dataclass(slots=True)
class Schedule(Generic[K]):
    """When each key is due. A key is due once, and never while it runs."""

    gap: float = GAP
    _due: dict[K, float] = field(default_factory=dict)
    _heap: list[tuple[float, int, K]] = field(default_factory=list)
    _urgent: list[tuple[float, int, K]] = field(default_factory=list)  # what goes first stands in here as well
    _first: dict[K, float] = field(default_factory=dict)  # until when it does
    _number: int = 0
    _running: dict[K, float | None] = field(default_factory=dict)  # value: when it is due again
    _started: dict[K, float] = field(default_factory=dict)
    _failures: dict[K, int] = field(default_factory=dict)
    _not_before: dict[K, float] = field(default_factory=dict)
    _moved_at: float = float("-inf")  # when work began, or a key was last taken

    def first(self, key: K, now: float) -> None:
        """Take the key before all others that are due, for a while; what failed may be mended now."""
        self._first[key] = max(now + FIRST, self._first.get(key, 0.0))
        self._failures.pop(key, None)
        self._not_before.pop(key, None)
        if key in self._due:
            self._push(key, self._due[key])

    def add(self, key: K, now: float, delay: float = 0.0) -> None:
        """Look at the key after `delay`; of two times the sooner one counts, but no failed key before its time."""
        since_last = self._started.get(key, now - self.gap) + self.gap
        when = max(now + delay, since_last, self._not_before.get(key, now))
        if key in self._running:
            again = self._running[key]
            self._running[key] = when if again is None else min(again, when)
        elif when < self._due.get(key, float("inf")):
            self._push(key, when)

    def _push(self, key: K, when: float) -> None:
        self._due[key] = when
        self._number += 1
        heapq.heappush(self._heap, (when, self._number, key))
        if key in self._first:
            heapq.heappush(self._urgent, (when, self._number, key))

    def take(self, now: float) -> tuple[K, float] | None:
        """The key that has been due for longest, and for how long; None: nothing is due. What goes first does."""
        self._skip_stale()
        for heap in (self._urgent, self._heap):
            if heap and heap[0][0] <= now:
                when, _, key = heapq.heappop(heap)
                break
        else:
            return None
        del self._due[key]
        if key not in self._started:
            self._first[key] = now + BEGUN
        self._running[key] = None
        self._started[key] = self._moved_at = now
        if self._first.get(key, now) < now:
            del self._first[key]
        return key, now - when

    def _skip_stale(self) -> None:
        for heap in (self._urgent, self._heap):
            while heap and self._due.get(heap[0][2]) != heap[0][0]:
                heapq.heappop(heap)

    def done(self, key: K, now: float, look_again: float | None = None) -> None:
        """A pass went well; `look_again`: seconds until the next one, None: when something changes."""
        self._failures.pop(key, None)
        self._not_before.pop(key, None)
        again = self._running.pop(key)
        if look_again is not None:
            again = min(now + max(look_again, self.gap), again or float("inf"))
        if again is not None:
            self._push(key, max(again, now))

    def failed(self, key: K, now: float, at_least: float = 0.0, longest: float = LONGEST_BACK_OFF) -> float:
        """A pass failed: it is tried again after a while, whatever happens meanwhile. Returns the seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        wait = max(min(back_off(self._failures[key]), longest), at_least)
        self._running.pop(key)
        self._not_before[key] = now + wait
        self._push(key, now + wait)
        return wait

    def left(self, key: K, now: float) -> None:
        """A pass was cut off: whoever works next does it anew."""
        self._running.pop(key)
        self._push(key, now)

    def forget(self, key: K) -> None:
        """Nothing is behind the key any more: what has its name later is another one."""
        self._started.pop(key, None)
        self._first.pop(key, None)

    def next_at(self) -> float | None:
        """When the next key is due."""
        self._skip_stale()
        return self._heap[0][0] if self._heap else None

    def waiting(self, now: float) -> int:
        """How many keys are due and not taken."""
        return sum(when <= now for when in self._due.values())

    def begin(self, now: float) -> None:
        """Somebody works from now on: what has been due before could not be taken."""
        self._moved_at = now

    def overdue(self, now: float) -> float:
        """For how long a key has been due and none was taken, 0 where none is due."""
        return max(0.0, now - max(self._moved_at, min(self._due.values(), default=now)))

    @property
    def running(self) -> int:
        """How many passes run."""
        return len(self._running)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing is planned."""
        return not self._running and not self._due


class Workers(Generic[K]):
    """Runs what is due, at most `most` passes at once; `work` returns seconds until it wants to be called again."""

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        metrics: Metrics,
        clock: Callable[[], float],
        most: int = 8,
    ) -> None:
        self.schedule: Schedule[K] = Schedule()
        self._work, self._metrics, self._clock, self._most = work, metrics, clock, most
        self._changed = asyncio.Event()
        metrics.gauge("wye_endpoints_waiting", lambda: {(): self.schedule.waiting(clock())})
        metrics.gauge("wye_passes_running", lambda: {(): self.schedule.running})

    def add(self, key: K, delay: float = 0.0) -> None:
        """Look at the key soon, or after a delay."""
        self.schedule.add(key, self._clock(), delay)
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled; what runs then is cancelled with it."""
        self.schedule.begin(self._clock())
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                while self.schedule.running < self._most and (taken := self.schedule.take(self._clock())):
                    self._metrics.observe("wye_wait_seconds", taken[1])
                    tasks.create_task(self._one(taken[0]))
                await self._sleep()

    async def _sleep(self) -> None:
        due = self.schedule.next_at()
        full = self.schedule.running >= self._most
        try:
            async with asyncio.timeout(None if due is None or full else max(0.0, due - self._clock())):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _one(self, key: K) -> None:
        began = self._clock()
        try:
            look_again = await self._work(key)
        except WyeError as error:
            self._failed(key, error)
        except Exception as error:  # one Endpoint's trouble is its own; this is the outermost loop
            log.exception("a pass broke", extra={"key": str(key)})
            self._failed(key, error)
        except asyncio.CancelledError:
            self.schedule.left(key, self._clock())
            raise
        else:
            self._metrics.count("wye_passes_total", result="done")
            self.schedule.done(key, self._clock(), look_again)
        finally:
            self._metrics.observe("wye_pass_seconds", self._clock() - began)
            self._changed.set()

    def _failed(self, key: K, error: Exception) -> None:
        self._metrics.count("wye_passes_total", result="failed")
        at_least = error.retry_after if isinstance(error, ApiError) else 0.0
        longest = LONGEST_ABSENCE if isinstance(error, Unavailable) else LONGEST_BACK_OFF
        wait = self.schedule.failed(key, self._clock(), at_least, longest)
        why = str(error) if isinstance(error, WyeError) else repr(error)
        log.warning("a pass failed", extra={"key": str(key), "why": why, "again_in": round(wait, 1)})
