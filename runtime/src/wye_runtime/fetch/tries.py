"""How long a fetch waits, how often it comes back, and what it says meanwhile."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from wye_runtime.errors import ModelFetch
from wye_runtime.fetch.source import Interrupted

log = logging.getLogger("wye")
LONGEST_PAUSE = 60.0
TOLD_EVERY = 5.0  # seconds between two lines about progress
WINDOW = 60.0  # seconds in which a transfer must move
LEAST = 64 << 10  # bytes in a window; less is as good as silence

Clock = Callable[[], float]
T = TypeVar("T")


class GaveUp(ModelFetch):
    """The source may come back, and then what came so far is worth keeping."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server, and how often to come back."""

    silence: float = 30.0  # seconds without a byte
    retries: int = 5  # in a row that brought nothing new
    pause: float = 1.0  # before the first retry; doubled for each more


def patiently(attempt: Callable[[], T], shown: str, patience: Patience, came: Callable[[], int] = lambda: 0) -> T:
    """Tries until it works; what interrupts is tried again while each try brings something new."""
    failures, most = 0, 0
    while True:
        try:
            return attempt()
        except Interrupted as why:
            size = came()
            failures = failures + 1 if size <= most else 1
            most = max(most, size)
            if failures > patience.retries:
                raise GaveUp(f"{shown}: {why} ({failures} tries, {size} bytes came)") from why
            pause = why.after or min(patience.pause * 2 ** (failures - 1), LONGEST_PAUSE)
            log.warning("interrupted", extra={"uri": shown, "why": str(why), "bytes": size, "retryIn": pause})
            time.sleep(pause)


class Progress:
    """Says how far it is, and when it is too slow to be called alive."""

    def __init__(self, shown: str, total: int | None, size: int, clock: Clock = time.monotonic) -> None:
        self.shown, self.total, self.clock = shown, total, clock
        self.told = self.window = clock()
        self.size_then = size

    def note(self, size: int) -> None:
        now = self.clock()
        if now - self.told >= TOLD_EVERY:
            self.told = now
            log.info("fetching", extra={"uri": self.shown, "bytes": size, "of": self.total})
        if now - self.window >= WINDOW:
            if size - self.size_then < LEAST:
                raise Interrupted(f"only {size - self.size_then} bytes came in {WINDOW:.0f} s")
            self.window, self.size_then = now, size
