"""What the routers are known to have, so that nothing is routed to a cluster that some router lacks.

    add clusters ──> every waited-for router took them ──> routes name them
    routes stop naming ──> every ready router took those routes ──> clusters are removed

A router that has not taken what was written within the deadline no longer holds up what is new (it is named
instead), but it always holds up removals.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wye_operator.plan.names import mirror_cluster
from wye_operator.plan.record import Cluster, Published
from wye_operator.plan.wanted import Hosts, RouterPlan
from wye_operator.plan.world import KINDS, RouterSeen, WorkloadSeen, World

PASSED = "passed"  # all versions that no router says it has, and some router may have had meanwhile, as one


@dataclass(frozen=True, slots=True)
class Known:
    """Clusters that a route may name; `starved` are those of which routers know nobody, or who leaves."""

    clusters: frozenset[str]
    starved: frozenset[str]

    def obstacle(self, name: str) -> str:
        """Why a route may not lead to `name` yet, "" when it may."""
        if name not in self.clusters:
            return f"the routers are still taking {name}"
        if name in self.starved:
            return f"the routers are still taking the addresses of {name}"
        return ""

    def has_mirror(self, name: str) -> bool:
        """Whether copies may be sent to `name`."""
        return mirror_cluster(name) in self.clusters and not self.obstacle(name)


def has_taken(router: RouterSeen, wanted: RouterPlan) -> bool:
    """Whether a router has the clusters, the routes, the keys and the certificate."""
    return not _lacking(router, wanted)


def has_everything(router: RouterSeen, wanted: RouterPlan) -> bool:
    """Whether it has the addresses, too."""
    return has_taken(router, wanted) and _has_hosts(router, wanted)


def is_behind(router: RouterSeen, wanted: RouterPlan) -> bool:
    """Whether it may still take something: it lacks more than what every router has refused."""
    return bool(_lacking(router, wanted) - wanted.refused.keys()) or not _has_hosts(router, wanted)


def _lacking(router: RouterSeen, wanted: RouterPlan) -> frozenset[str]:
    has = router.taken.versions
    return frozenset(kind for kind, version in wanted.versions.items() if has[kind] != version)


def _has_hosts(router: RouterSeen, wanted: RouterPlan) -> bool:
    known = router.taken.endpoints
    return all(known.get(h.cluster, h.version) == h.version for h in wanted.hosts)


def acknowledged(world: World) -> dict[str, str]:
    """The version that all ready routers had last, by kind of file."""
    ready = [router.taken.versions for router in world.routers if router.ready]
    told = {kind: {has[kind] for has in ready} for kind in KINDS}
    everywhere = {kind: version for kind, (version, *others) in told.items() if version and not others} if ready else {}
    return {**world.record.acknowledged, **everywhere}


def known_to(world: World) -> Known:
    """What every waited-for router has, and what the routes that are written already name."""
    waited = [router for router in world.routers if router.ready and not is_late(world, router)]
    written = world.record.clusters[-1].clusters if world.record.clusters else ()
    everywhere = {cluster.name for cluster in written}
    for router in waited:
        everywhere &= {c.name for c in _by_version(world.record.clusters, router.taken.clusters)}
    named = world.record.routes[-1].clusters if world.record.routes else ()
    everywhere |= {cluster.name for cluster in named}
    starved = {c.name for c in {*written, *named} if c.name in everywhere and _is_starved(world, waited, c)}
    return Known(frozenset(everywhere), frozenset(starved))


def is_late(world: World, router: RouterSeen) -> bool:
    """Whether a router had its time to take the clusters or routes that are written, and did not."""
    pairs = (
        (world.record.clusters, router.taken.clusters),
        (world.record.routes, router.taken.routes),
    )
    return any(
        history and history[-1].version != taken and world.now - history[-1].since >= world.deadlines.acknowledge
        for history, taken in pairs
    )


def _is_starved(world: World, routers: Iterable[RouterSeen], cluster: Cluster) -> bool:
    """Evidence is needed: a router that says nothing of a cluster does not starve it."""
    fed_since = world.record.hosts.get(cluster.name, world.now)
    if world.now - fed_since >= world.deadlines.acknowledge:
        return False
    workload = world.workloads.get(cluster.deployment.partition("/")[2], WorkloadSeen())
    unfed = {
        Hosts(cluster.name, instances, fallback).version
        for instances in ((), workload.leaving)
        for fallback in (workload.fallback, None)
    }
    return any(router.taken.endpoints.get(cluster.name) in unfed for router in routers)


def _by_version(history: tuple[Published, ...], version: str) -> tuple[Cluster, ...]:
    return next((p.clusters for p in history if p.version == version), ())


def still_named(world: World) -> tuple[Cluster, ...]:
    """Clusters that the last acknowledged routes of some ready router may name: they must not leave.

    A router whose routes nobody remembers may name every cluster that is written. Routes hold only names: whose name it
    is now, the clusters say that are written.
    """
    record, named = (
        world.record,
        set(world.record.routes[-1].clusters if world.record.routes else ()),
    )
    for router in world.routers:
        if not router.ready:
            continue
        if any(p.version == router.taken.routes for p in record.routes):
            named |= set(_since(record.routes, router.taken.routes))
        elif record.clusters:
            named |= set(record.clusters[-1].clusters)
    written = {cluster.name: cluster for cluster in record.clusters[-1].clusters} if record.clusters else {}
    return tuple(sorted({written.get(cluster.name, cluster) for cluster in named}))


def _since(history: tuple[Published, ...], version: str) -> Iterable[Cluster]:
    start = next(i for i, p in enumerate(history) if p.version == version)
    return (cluster for published in history[start:] for cluster in published.clusters)


def extended(history: tuple[Published, ...], written: Published, held: frozenset[str]) -> tuple[Published, ...]:
    """The history with what is written now at its end; older versions stay while a ready router may have them."""
    if history and history[-1].version == written.version:
        written = history[-1]
    older = [p for p in history if p.version != written.version]
    forgotten = held - {p.version for p in (*older, written)}  # a router that could not be read may have any of them
    oldest = 0 if forgotten else next((i for i, p in enumerate(older) if p.version in held), len(older))
    kept = [p for p in older[oldest:] if p.version in held]
    passed = {cluster for p in older[oldest:] if p.version not in held for cluster in p.clusters}
    between = (Published(PASSED, tuple(sorted(passed)), written.since),) if passed else ()
    return (*kept, *between, written)


def held_versions(world: World, kind: str) -> frozenset[str]:
    """The versions of "clusters" or "routes" that ready routers say they have."""
    return frozenset(getattr(r.taken, kind) for r in world.routers if r.ready)
