"""Places in which the model may run, and the bounded queue before them; whoever leaves the queue never runs."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from wye_runtime.engine.model import Run
from wye_runtime.errors import ModelNotReady, RequestTimeout, TooManyRequests
from wye_runtime.metrics import Metrics
from wye_runtime.service.tickets import Ticket

T = TypeVar("T")
Waiter = asyncio.Future[bool]
QUEUE_LIMIT = 256


class Slots:
    """A counting lock with a first-in, first-out queue that is bounded in length and in time."""

    def __init__(self, capacity: int, wait: float, metrics: Metrics, limit: int = QUEUE_LIMIT) -> None:
        self.capacity = capacity
        self.wait = wait
        self.limit = limit
        self.metrics = metrics
        self.active = 0
        self.waiters: deque[Waiter] = deque()
        self.tickets: dict[Waiter, Ticket] = {}  # of those who may be taken along

    async def acquire(self, deadline: float, ticket: Ticket | None = None) -> bool:
        """Takes a slot, at once or within the queue's time; False: another's slot took the ticket along."""
        if self.active < self.capacity and not self.waiters:
            self.active += 1
            return True
        if len(self.waiters) >= self.limit:
            self.drop("queue_full")
            raise TooManyRequests(f"{self.limit} requests are waiting already")
        waiter: Waiter = asyncio.get_running_loop().create_future()
        if ticket is not None:
            self.tickets[waiter] = ticket
        try:
            return await self.queue(waiter, deadline)
        finally:
            self.tickets.pop(waiter, None)

    async def queue(self, waiter: Waiter, deadline: float) -> bool:
        loop = asyncio.get_running_loop()
        self.enter(waiter)
        left = deadline - loop.time()
        try:
            await asyncio.wait([waiter], timeout=max(0.0, min(self.wait, left)))
        except asyncio.CancelledError:
            self.leave(waiter, "client_gone")
            raise
        if waiter.done():
            return waiter.result()
        if left <= self.wait:
            self.leave(waiter, "timeout")
            raise RequestTimeout("the request's time was up while it waited for a slot")
        self.leave(waiter, "queue_wait")
        raise TooManyRequests(f"no slot became free within {self.wait * 1000:.0f} ms")

    def enter(self, waiter: Waiter) -> None:
        self.waiters.append(waiter)
        self.metrics.queue_depth = len(self.waiters)

    def leave(self, waiter: Waiter, reason: str) -> None:
        """Ends a wait; a slot that was handed over in the same moment goes on to the next."""
        self.drop(reason)
        if waiter.done():
            self.hand_on(waiter)
            return
        self.waiters.remove(waiter)
        self.metrics.queue_depth = len(self.waiters)

    def drop(self, reason: str) -> None:
        self.metrics.dropped[reason] += 1

    def hand_on(self, waiter: Waiter) -> None:
        if waiter.result():
            self.release()
        elif waiter in self.tickets:
            self.tickets[waiter].cancel()  # whoever took it along leaves it out

    def release(self) -> None:
        """Gives the slot to the first who waits, else back."""
        if not self.waiters:
            self.active -= 1
            return
        self.waiters.popleft().set_result(True)
        self.metrics.queue_depth = len(self.waiters)

    def taken(self, most: int) -> list[Ticket]:
        """The tickets of those who wait, the first ones first; they need no slot of their own any more."""
        found: list[Ticket] = []
        while self.waiters and len(found) < most:
            waiter = self.waiters.popleft()
            found.append(self.tickets[waiter])
            waiter.set_result(False)
        self.metrics.queue_depth = len(self.waiters)
        return found


class Workers:
    """The threads behind the slots."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.pool = ThreadPoolExecutor(slots.capacity, thread_name_prefix="run")
        self.runs: set[Run] = set()

    async def do(self, job: Callable[[Run], T], deadline: float) -> T:
        """Runs a job in a slot; when its time is up or its caller is gone, the run is told to end."""
        await self.slots.acquire(deadline)
        run = Run()
        future = self.started(job, run)
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait([future], timeout=max(0.0, deadline - loop.time()))
        except asyncio.CancelledError:
            self.give_up(run, "client_gone")
            raise
        if future.done():
            return future.result()
        self.give_up(run, "timeout")
        raise RequestTimeout("the model did not answer in time")

    def started(self, job: Callable[[Run], T], run: Run) -> "asyncio.Future[T]":
        """Hands over to a thread; the slot is free when the thread is, whoever still waits for it."""
        try:
            future = asyncio.get_running_loop().run_in_executor(self.pool, job, run)
        except RuntimeError as error:
            self.slots.release()
            raise ModelNotReady("this process is ending") from error
        self.runs.add(run)
        future.add_done_callback(lambda done: self.ended(done, run))
        return future

    def ended(self, future: "asyncio.Future[T]", run: Run) -> None:
        self.runs.discard(run)
        self.slots.release()
        if not future.cancelled():
            future.exception()  # seen, also where nobody waits any more

    def give_up(self, run: Run, reason: str) -> None:
        self.slots.drop(reason)
        run.terminate()

    def close(self) -> None:
        """Ends what still runs."""
        for run in self.runs:
            run.terminate()
        self.pool.shutdown(wait=False, cancel_futures=True)
