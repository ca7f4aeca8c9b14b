"""How instances are replaced, as a Deployment of Kubernetes does it with maxSurge 1 and maxUnavailable 0.

Pure: `instances.py` asks in each pass which steps may be taken now. A new instance has to be available (ready, and
known to the routers) before an old one goes; an old revision that works goes on serving while the new one does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SURGE = 1


@dataclass(frozen=True, slots=True)
class Standing:
    """One instance that is not leaving. `proven`: it was ready once. `available`: ready, and the routers use it."""

    name: str
    current: bool  # of the wanted revision
    proven: bool = False
    ready: bool = False
    available: bool = False


@dataclass(frozen=True, slots=True)
class Steps:
    """What may be done now."""

    start: int
    retire: tuple[str, ...]


def steps(standing: Sequence[Standing], wanted: int) -> Steps:
    """The steps towards `wanted` instances of the current revision that cost no ready one."""
    current = [s for s in standing if s.current]
    retire = [*_too_many(current, wanted), *_useless(standing, wanted)]
    staying = len(standing) - len(retire)
    missing = wanted - len(current)
    return Steps(max(0, min(missing, wanted + SURGE - staying)), tuple(s.name for s in retire))


def _too_many(current: list[Standing], wanted: int) -> list[Standing]:
    ordered = sorted(current, key=lambda s: (s.ready, s.available))  # the ready ones stay
    return ordered[: max(0, len(current) - wanted)]


def _useless(standing: Sequence[Standing], wanted: int) -> list[Standing]:
    """Old ones that never worked; that do not work while a new one does; or whose place is taken."""
    old = [s for s in standing if not s.current]
    if wanted == 0:
        return old
    new = sum(s.current and s.available for s in standing)
    broken = [s for s in old if not s.ready and (new or not s.proven)]
    serving = [s for s in old if s.ready]
    return broken + serving[: max(0, min(len(serving), new + len(serving) - wanted))]
