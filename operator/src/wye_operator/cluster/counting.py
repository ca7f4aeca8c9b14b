"""Copies that routers did not make, spans that no collector took: no event tells of them, so routers are asked by the
clock.

A question is a tenth of a pass. Only an answer that the last pass has not seen is worth one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wye_operator.cluster.kinds import PODS
from wye_operator.cluster.passes import EndpointTarget
from wye_operator.cluster.pods import address_of
from wye_operator.cluster.store import Key
from wye_operator.plan.world import RouterSeen, Taken

EVERY = 60.0  # seconds between two questions for one Endpoint
IN_A_SECOND = 1.0  # Endpoints at most


@dataclass(slots=True)
class Counting:
    """Asks for all Endpoints that copy or trace requests, one after the other."""

    targets: Mapping[Key, EndpointTarget]
    wake: Callable[[Key], None]

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            keys = [key for key, target in self.targets.items() if target.memory.loses]
            if not keys:
                await asyncio.sleep(EVERY)
            for key in keys:
                await asyncio.sleep(pause(len(keys)))
                await self.look(key)

    async def look(self, key: Key) -> None:
        """Ask the ready routers of one; the last pass knew what they say, or there is another one."""
        target = self.targets.get(key)
        if target is not None and any([await _differs(target, r) for r in target.memory.routers if r.ready]):
            self.wake(key)


def pause(endpoints: int) -> float:
    """Seconds between the questions for two of so many Endpoints."""
    return max(EVERY / endpoints, 1 / IN_A_SECOND)


async def _differs(target: EndpointTarget, seen: RouterSeen) -> bool:
    pod = target.cluster.store.get(PODS, target.key.namespace, seen.name)
    if pod is None:  # its end is an event of its own
        return False
    taken = await target.cluster.asks.taken(address_of(pod))
    return (taken or Taken()) != seen.taken
