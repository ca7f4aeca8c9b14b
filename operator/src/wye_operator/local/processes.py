"""One process of the twin: started through `launch.py`, its output in a bounded log file, its end noticed at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wye_operator import settings
from wye_operator.local import launch
from wye_operator.plan.masking import masked

MOST_LOG_BYTES = 10 * 2**20
BACK_OFF_FIRST, BACK_OFF_MOST, PROVEN_AFTER = 0.5, 30.0, 10.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. The environment is added to the twin's own; `output` takes stdout where it is another log."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    output: Path | None = None
    folder: Path | None = None  # where it is started; None: where the twin was


class Process:
    """A child that runs, or has ended. `ended` is called once, from the event loop."""

    def __init__(self, child: asyncio.subprocess.Process, command: Command) -> None:
        self._child = child
        self.log = command.log
        self._hidden = tuple(command.environment.values())
        self._logs = {command.log, command.output or command.log}
        self._waiter: asyncio.Task[int] | None = None

    @classmethod
    async def start(cls, command: Command, ended: Callable[[], None]) -> Process:
        """Start it in a session of its own, so that Ctrl-C in the terminal reaches only the twin."""
        output = command.output or command.log
        for path in {command.log, output}:
            _rotate(path)
        launcher = (sys.executable, "-S", "-E", launch.__file__, str(os.getpid()))
        with command.log.open("ab") as log, output.open("ab") as out:
            child = await asyncio.create_subprocess_exec(
                *launcher,
                *command.argv,
                env=settings.inherited() | dict(command.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
                cwd=command.folder,
            )
        process = cls(child, command)
        process._waiter = asyncio.create_task(child.wait())
        process._waiter.add_done_callback(lambda _: ended())
        return process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._child.returncode

    def end(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    async def gone(self) -> None:
        """Wait until it has ended."""
        if self._waiter is not None:
            await asyncio.shield(self._waiter)

    def last_lines(self, count: int = 5, most_bytes: int = 1024) -> str:
        """The end of its output, without credentials."""
        with suppress(FileNotFoundError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 64 * most_bytes))
            text = masked(file.read().decode(errors="replace"), self._hidden)
            lines = text.splitlines()
            return "\n".join(lines[-count:])[-most_bytes:]
        return ""

    def trim_logs(self) -> None:
        """Keep the logs bounded while it runs: what is too long moves to `NAME.log.1`."""
        for log in self._logs:
            if log.exists() and log.stat().st_size > MOST_LOG_BYTES:
                log.with_suffix(".log.1").write_bytes(log.read_bytes())
                os.truncate(log, 0)  # the process appends, so it goes on at the beginning

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has just ended
            self._child.send_signal(number)


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))


@dataclass(slots=True)
class BackOff:
    """How long to wait before the next start: 0.5, 1, 2, 4 … 30 s, from the beginning after 10 good seconds.

    `free` deaths cost no wait at all.
    """

    free: int = 0
    deaths: int = 0
    not_before: float = 0.0

    def died(self, now: float, ready_for: float) -> None:
        """Count a death; `ready_for` says how long it had been ready."""
        if ready_for >= PROVEN_AFTER:
            self.deaths = 0
        delay = BACK_OFF_FIRST * 2.0 ** min(self.deaths - self.free, 16) if self.deaths >= self.free else 0.0
        self.deaths += 1
        self.not_before = now + min(delay, BACK_OFF_MOST)
