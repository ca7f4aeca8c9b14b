"""`plan`: the table of contents of every decision Wye makes. Called once per pass by `reconcile`."""

from __future__ import annotations

from wye_operator.api.status import DeploymentStatus
from wye_operator.plan.acknowledged import acknowledged, extended, held_versions, is_behind, known_to
from wye_operator.plan.auth import NOBODY, keys_for
from wye_operator.plan.deployment_status import deployment_status
from wye_operator.plan.endpoint_status import endpoint_events, endpoint_status
from wye_operator.plan.facts import Facts
from wye_operator.plan.members import Members, members_of, reference_for, standing_of
from wye_operator.plan.record import Published, Record
from wye_operator.plan.routes import named_by, router_for
from wye_operator.plan.routing import Routing, routing_for
from wye_operator.plan.wanted import Listener, Plan, RouterPlan, Routes
from wye_operator.plan.workloads import grace_left, workloads_for
from wye_operator.plan.world import OFFERED_AGAIN, EndpointSeen, World

ASK_AGAIN, ASK_LATER = 0.25, 4.0  # seconds, while routers have not taken everything; once they are late

NOWHERE = Routing("NoLiveTraffic", None, {}, {}, {}, {}, unset=False, lost=())
NO_ROUTER = RouterPlan(
    Listener(0, access_log=False),
    (),
    "",
    (),
    Routes("NoLiveTraffic", (), (), (), 0, 0),
    NOBODY,
    "",
)


def plan(world: World) -> Plan:
    """What should be true of everything that stands behind one Endpoint's name."""
    members = members_of(world)
    if world.endpoint is None:
        return _plan_without_endpoint(world, members)
    return _plan_for(world, world.endpoint, members)


def _plan_for(world: World, endpoint: EndpointSeen, members: Members) -> Plan:
    spec = endpoint.spec
    known = known_to(world)
    reference = reference_for(world, members)
    names = {*members.by_name, *(spec.traffic or {}), *(spec.mirror_traffic or {})}
    standings = {n: standing_of(n, members, known, reference) for n in sorted(names)}
    routing = routing_for(spec, world.record, members, standings, known)
    router = router_for(world, spec, members, routing, known)
    workloads, held = workloads_for(world, members)
    facts = Facts(world, members, routing, router)
    status, deadline = endpoint_status(facts, endpoint)
    statuses, deadlines = _deployment_statuses(facts)
    record = _record(world, routing, router)
    own_keys = spec.keys is None or spec.keys.secret_name is None
    return Plan(
        workloads=workloads,
        held=held,
        router=router,
        keys=keys_for(world, spec) if own_keys else None,
        record=record,
        endpoint_status=status,
        deployment_statuses=statuses,
        events=tuple(endpoint_events(facts, endpoint)),
        look_again=_soonest(_asking(world, router, record), _offer(world), _expiry(world), deadline, *deadlines),
        status_only=bool(endpoint.misfit),
    )


def _plan_without_endpoint(world: World, members: Members) -> Plan:
    workloads, held = workloads_for(world, members)
    statuses, deadlines = _deployment_statuses(Facts(world, members, NOWHERE, NO_ROUTER))
    graces = [grace_left(world, m) for m in members.by_name.values() if m.seen.object_name in held]
    return Plan(
        workloads=workloads,
        held=held,
        router=None,
        keys=None,
        record=world.record,
        endpoint_status=None,
        deployment_statuses=statuses,
        events=(),
        look_again=_soonest(*graces, *deadlines),
    )


def _deployment_statuses(facts: Facts) -> tuple[dict[str, DeploymentStatus], list[float | None]]:
    statuses: dict[str, DeploymentStatus] = {}
    deadlines: list[float | None] = []
    for seen in sorted(facts.world.deployments, key=lambda d: d.object_name):
        crowded = seen.object_name in facts.members.crowded
        member = None if crowded else facts.members.by_name[seen.name]
        statuses[seen.object_name], deadline = deployment_status(facts, seen, member)
        deadlines.append(deadline)
    return statuses, deadlines


def _record(world: World, routing: Routing, router: RouterPlan) -> Record:
    """What this pass leaves for the next one, and for a restart."""
    clusters = Published(router.clusters_version, router.clusters, world.now)
    routes = Published(router.routes.version, named_by(router.routes, router.clusters), world.now)
    leaving = {address for workload in world.workloads.values() for address in workload.leaving}
    fed = {hosts.cluster for hosts in router.hosts if not leaving.issuperset(hosts.instances)}
    return Record(
        traffic=routing.taken,
        mirrors=_taken_mirrors(world, routing),
        clusters=extended(world.record.clusters, clusters, held_versions(world, "clusters")),
        routes=extended(world.record.routes, routes, held_versions(world, "routes")),
        hosts={name: world.record.hosts.get(name, world.now) for name in sorted(fed)},
        auth=_auth_record(world, router),
        acknowledged=acknowledged(world),
    )


def _auth_record(world: World, router: RouterPlan) -> Published | None:
    before = world.record.auth
    same = before is not None and before.version == router.auth.version
    return before if same or not router.auth.version else Published(router.auth.version, (), world.now)


def _taken_mirrors(world: World, routing: Routing) -> dict[str, int]:
    """Mirrors that have begun and are still asked for; one that pauses is one of them."""
    asked = world.endpoint.spec.mirror_traffic or {} if world.endpoint else {}
    before = {name: share for name, share in (world.record.mirrors or {}).items() if name in asked}
    return dict(sorted({**before, **routing.mirrors}.items()))


def _asking(world: World, router: RouterPlan, record: Record) -> float | None:
    """Routers are asked again while one of them has not taken what is written."""
    behind = [r for r in world.routers if r.ready and is_behind(r, router)]
    if world.routers and not behind:
        return ASK_AGAIN if router.auth.retiring else None  # old keys end in the next pass
    has_routing = (router.clusters_version, router.routes.version)
    if any((r.taken.clusters, r.taken.routes) == has_routing for r in behind):
        return ASK_AGAIN  # it lacks keys or addresses, and no record says when those were written
    written = max((history[-1].since for history in (record.clusters, record.routes) if history), default=world.now)
    return ASK_AGAIN if world.now - written < world.deadlines.acknowledge else ASK_LATER


def _offer(world: World) -> float | None:
    """When routers are offered again what all of them refused."""
    return min((max(of.since + OFFERED_AGAIN - world.now, ASK_LATER) for of in world.refused.values()), default=None)


def _expiry(world: World) -> float | None:
    certificate = world.tls.certificate
    return certificate.until - world.now if certificate else None


def _soonest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)
