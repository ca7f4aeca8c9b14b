"""What the harness says while it works, and how it runs programs: each step, how long it usually takes and took."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 300  # seconds for what has to come: on a slow machine it comes late, and a shorter wait would prove no more


class Refusal(Exception):
    """The harness cannot do this here; the message says why and what would help."""


def say(text: str) -> None:
    """One line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(what: str, usually: str) -> Iterator[None]:
    """Say what begins and how long it usually takes, and at the end how long it took."""
    say(f"   {what} (usually {usually}) ...")
    begun = time.monotonic()
    yield
    say(f"   {what}: {time.monotonic() - begun:.1f} s")


def output(
    argv: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """What a program prints; its own words when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, cwd=cwd, env=env, input=stdin)
    if done.returncode:
        raise Refusal(f"{' '.join(argv)}\nended with {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise Refusal(f"waited {PATIENCE} s for {what}, in vain")
        time.sleep(0.1)
