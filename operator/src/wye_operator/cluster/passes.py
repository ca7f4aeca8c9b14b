"""One pass over one Endpoint of a cluster, as the work queue calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from wye_operator.cluster.apply import Fought, apply
from wye_operator.cluster.base import Cluster, Memory
from wye_operator.cluster.gather import gather
from wye_operator.cluster.kinds import PODS
from wye_operator.cluster.report import report, report_fight
from wye_operator.cluster.store import Key
from wye_operator.plan.planner import ASK_AGAIN
from wye_operator.plan.wanted import Plan
from wye_operator.plan.world import World
from wye_operator.reconcile import reconcile

SOON, LATER = 0.2, 5.0  # seconds until the next look at what stood in the way: at first, then
SLOW, SELDOM = 10.0, 1.0  # seconds after which a router is slow, and between questions then
NOBODY = 15.0  # between looks while no router is ready


@dataclass(slots=True)
class EndpointTarget:
    """An Endpoint's name in a namespace."""

    cluster: Cluster
    key: Key
    memory: Memory = field(default_factory=Memory)

    async def gather(self, name: str) -> World:
        """Everything there is to know about it."""
        return await gather(self.cluster, self.key, self.memory)

    async def apply(self, wanted: Plan) -> None:
        """Write and remove what differs."""
        try:
            await apply(self.cluster, self.key, wanted, self.memory)
        except Fought as error:
            await report_fight(self.cluster, self.key, error, self.memory)
            raise

    async def report(self, name: str, wanted: Plan) -> None:
        """Status, then events; the next pass tells what this one could not see yet."""
        if not self.memory.rolls:
            await report(self.cluster, self.key, wanted, self.memory)


@dataclass(slots=True)
class Passes:
    """What each Endpoint's passes remember, while there is anything behind its name."""

    cluster: Cluster
    forgotten: Callable[[Key], None]  # who else remembers something of a key
    targets: dict[Key, EndpointTarget] = field(default_factory=dict)

    async def run(self, key: Key) -> float | None:
        """One pass; seconds until the next look."""
        target = self.targets.setdefault(key, EndpointTarget(self.cluster, key))
        before, target.memory.overtaken, target.memory.rolls = target.memory.obstacles, False, False
        wanted = await self._reconcile(key, target)
        if not target.memory.uids and not self.cluster.store.of(PODS, key):
            self._forget(key)
            return wanted.look_again
        target.memory.loses = wanted.router is not None and wanted.router.may_lose
        asking = _asking(wanted.look_again, target.memory, self.cluster.clock())
        again = 0.0 if target.memory.overtaken or target.memory.rolls or _offers_anew(wanted, target.memory) else None
        waiting = self.cluster.upgrades.look_again(key)
        return _soonest(again, asking, waiting, _for_obstacles(before, target.memory))

    async def _reconcile(self, key: Key, target: EndpointTarget) -> Plan:
        """A pass that ends, or fails, gives the turn to whose upgrade is next."""
        failed = True
        self.cluster.upgrades.begin(key)
        try:
            wanted = await reconcile(key.name, target)
            failed = False
        finally:
            self.cluster.upgrades.end(key, failed=failed)
        return wanted

    def _forget(self, key: Key) -> None:
        """Nothing is behind the name any more."""
        memory = self.targets.pop(key).memory
        self.cluster.asks.forget(memory.pods)
        self.cluster.reads.forget(key)
        self.cluster.key_sets.of(key, (), {})
        self.forgotten(key)


def _offers_anew(wanted: Plan, memory: Memory) -> bool:
    """What routers refused may not be what stands there now, and the event of our own write is no news to us."""
    return memory.changed and wanted.router is not None and bool(wanted.router.refused)


def _asking(look_again: float | None, memory: Memory, now: float) -> float | None:
    """The planner asks routers again and again; where none is ready, events tell, and a slow one need not hurry us."""
    if look_again != ASK_AGAIN:
        return look_again
    if not any(router.ready for router in memory.routers):
        return NOBODY
    slow = any(now - bump.since > SLOW for bump in memory.bumps.values())
    return SELDOM if slow else look_again


def _for_obstacles(before: object, memory: Memory) -> float | None:
    """What is foreign sends no events; that it is in the way is first told by the next pass."""
    if memory.obstacles == before:
        return LATER if memory.obstacles else None
    return SOON


def _soonest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)
