"""Routers that have not taken yet what is written: their pods are asked to read, again and again, then replaced.

written ──> bump 0, 0.5, 1, 2, 4 s ──> clusters taken, routes not, for 3 s: a nonce, so that all files are read
                                  ├──> 60 s without any change: the pod is deleted, never the last ready one
                                  └──> it refuses what is written: it stays, for what it has is the last good one
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from wye_operator.cluster.base import Bump, Cluster, Memory
from wye_operator.cluster.errors import NotFound
from wye_operator.cluster.kinds import PODS, Object
from wye_operator.cluster.store import Key
from wye_operator.plan.acknowledged import is_behind
from wye_operator.plan.names import BUMPED, digest
from wye_operator.plan.record import Record
from wye_operator.plan.wanted import RouterPlan
from wye_operator.plan.world import RouterSeen, Taken
from wye_operator.render.kubernetes.routers import NONCE

log = logging.getLogger(__name__)
BUMPS = (0.0, 0.5, 1.0, 2.0, 4.0)  # seconds after the first; then every AGAIN
AGAIN = 15.0
STUCK, HOPELESS = 3.0, 60.0


def is_due(bump: Bump, now: float) -> bool:
    """Whether it is time to ask once more."""
    extra = bump.count - len(BUMPS)
    after = BUMPS[bump.count] if extra < 0 else BUMPS[-1] + AGAIN * (extra + 1)
    return now - bump.since >= after


async def refresh_routers(cluster: Cluster, key: Key, wanted: RouterPlan, memory: Memory) -> None:
    """Ask each ready router that lacks something to read its files now."""
    target = digest([wanted.version, [h.version for h in wanted.hosts]])
    behind = [router for router in memory.routers if router.ready and is_behind(router, wanted)]
    memory.bumps = {r.name: _next(memory.bumps.get(r.name), r.taken, target, cluster.clock()) for r in behind}
    for name, bump in memory.bumps.items():
        if is_due(bump, cluster.clock()):
            await _bump(cluster, key, name, memory)
    await _replace_hopeless(cluster, key, memory)


def _next(before: Bump | None, has: Taken, target: str, now: float) -> Bump:
    """A new target is asked for anew; how long a router has stood still does not begin again with it."""
    bump = before if before is not None and before.target == target else Bump(target, now)
    stands_since = before.stands_since if before is not None and _versions(before.has) == _versions(has) else now
    return replace(bump, has=has, stands_since=stands_since)


def _versions(taken: Taken) -> Taken:
    return replace(taken, left_out={}, refusals={})


async def _bump(cluster: Cluster, key: Key, pod: str, memory: Memory) -> None:
    bump = memory.bumps[pod]
    bump.count += 1
    change = {"metadata": {"annotations": {BUMPED: f"{bump.target}.{bump.count}"}}}
    try:
        patched = await cluster.api.patch(PODS, key.namespace, pod, change)
    except NotFound:  # it has just gone
        return
    memory.overtaken |= cluster.store.answered(PODS, patched, "metadata")
    cluster.metrics.count("wye_writes_total", verb="patch", resource=PODS.plural)


async def _replace_hopeless(cluster: Cluster, key: Key, memory: Memory) -> None:
    ready = [router.name for router in memory.routers if router.ready]
    refusing = {router.name for router in memory.routers if router.rejected}
    for name, bump in memory.bumps.items():
        if name in refusing:  # its successor would begin with what is refused
            continue
        if cluster.clock() - bump.stands_since >= HOPELESS and set(ready) - set(memory.bumps):
            log.warning("a router takes nothing: its pod is replaced", extra={"key": str(key), "pod": name})
            await cluster.api.delete(PODS, key.namespace, name)
            bump.stands_since = cluster.clock()
            return


def nonce_for(files: Object | None, routers: Sequence[RouterSeen], record: Record, now: float) -> str:
    """What stands in the routers' ConfigMap, or another one where a router took the clusters and not the routes."""
    standing = str(((files or {}).get("data") or {}).get(NONCE, ""))
    if not record.routes or not record.clusters or now - record.routes[-1].since < STUCK:
        return standing
    clusters, routes = record.clusters[-1].version, record.routes[-1].version
    stuck = any(r.ready and r.taken.clusters == clusters and r.taken.routes != routes for r in routers)
    return routes if stuck else standing
