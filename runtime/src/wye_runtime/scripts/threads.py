"""The threads that `run` is called in, as many as there are slots; one whose time is up is told so where it stands."""

import asyncio
import ctypes
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from wye_runtime.errors import ModelNotReady, RequestTimeout
from wye_runtime.metrics import Metrics
from wye_runtime.service import Slots

T = TypeVar("T")
LATE = "the scoring script did not answer in time"


class TimeUp(BaseException):
    """Raised in the thread of a `run`; not an Exception, for many scripts catch those and go on."""


class Turn:
    """One call in a thread, which another thread may end as soon as it is back in Python."""

    def __init__(self) -> None:
        self.thread: int | None = None
        self.lock = threading.Lock()

    def do(self, call: Callable[[], T]) -> T:
        """In the thread."""
        try:
            self.thread = threading.get_ident()
            try:
                return call()
            finally:
                with self.lock:
                    self.thread = None
        except TimeUp:
            raise RequestTimeout(LATE) from None
        except SystemExit as error:  # it would end the event loop
            raise RuntimeError("the scoring script called sys.exit()") from error

    def end(self) -> None:
        """In any other thread."""
        with self.lock:
            if self.thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread), ctypes.py_object(TimeUp))


class Seat:
    """A slot that somebody has: calls in it, one after the other."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.latest: asyncio.Future[Any] | None = None

    async def do(self, call: Callable[[], T], patience: float) -> T:
        """The result of a call; asyncio's TimeoutError when it takes longer, and the call is ended.

        A call whose caller is gone is not: it goes on to its end, as in Azure.
        """
        turn = Turn()
        try:
            future = asyncio.get_running_loop().run_in_executor(self.pool, turn.do, call)
        except RuntimeError as error:
            raise ModelNotReady("this process is ending") from error
        self.latest = future
        await asyncio.wait([future], timeout=max(0.0, patience))
        if future.done():
            return future.result()
        turn.end()
        raise TimeoutError


class Threads:
    """A slot is free when its thread is, whoever still waits for it."""

    def __init__(self, count: int, queue_wait: float, metrics: Metrics) -> None:
        self.slots = Slots(count, queue_wait, metrics)
        self.pool = ThreadPoolExecutor(count, thread_name_prefix="run")

    @asynccontextmanager
    async def seat(self, deadline: float) -> AsyncIterator[Seat]:
        """A slot, at once or within the queue's time."""
        await self.slots.acquire(deadline)
        seat = Seat(self.pool)
        try:
            yield seat
        except TimeoutError:
            self.slots.drop("timeout")
            raise
        except asyncio.CancelledError:
            self.slots.drop("client_gone")
            raise
        finally:
            if seat.latest is None or seat.latest.done():
                self.slots.release()
            else:
                seat.latest.add_done_callback(self.left)

    def left(self, call: "asyncio.Future[object]") -> None:
        """At the end of a call that nobody waits for."""
        self.slots.release()
        if not call.cancelled():
            call.exception()  # seen

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
