"""What the routers should have: clusters, addresses, routes and keys, written in the order that loses nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from wye_operator.api.base import byte_count
from wye_operator.api.endpoint import EndpointSpec
from wye_operator.api.pod import amount, plain
from wye_operator.plan.acknowledged import Known, still_named
from wye_operator.plan.auth import auth_for
from wye_operator.plan.callers import callers_of
from wye_operator.plan.exposure import exposure_for
from wye_operator.plan.members import Member, Members
from wye_operator.plan.names import digest, mirror_cluster
from wye_operator.plan.record import UNAVAILABLE, Cluster
from wye_operator.plan.routing import Routing
from wye_operator.plan.security import tls_for
from wye_operator.plan.tracing import sampling_of, tracing_of
from wye_operator.plan.wanted import (
    ROUTER_MEMORY,
    Hosts,
    Listener,
    Pin,
    PodSettings,
    RouterPlan,
    RouterSettings,
    Routes,
    Share,
)
from wye_operator.plan.workloads import server_of, workload_of
from wye_operator.plan.world import WorkloadSeen, World

DEFAULT_TIMEOUT_MS = 5000
SCORE = "/score"  # where callers send requests, whatever a server calls it
# How long a router that ends waits for requests (docs/decisions/0007): the first that no Deployment's time-out exceeds.
PATIENCE = (10, 300)


def router_for(world: World, spec: EndpointSpec, members: Members, routing: Routing, known: Known) -> RouterPlan:
    """Everything the Endpoint's routers should have after this pass."""
    clusters = _clusters(world, spec, members)
    version = digest(clusters)
    tls = tls_for(world, spec)
    routes = replace(_routes(spec, members, routing, known), **callers_of(world, spec, secure=tls is not None))
    auth = auth_for(world, spec)
    router = RouterPlan(
        listener=_listener(world, spec, secure=tls is not None),
        clusters=clusters,
        clusters_version=version,
        hosts=hosts_of(world, _watched(world, clusters)),
        routes=routes,
        auth=auth,
        version=digest([version, routes.version, auth.version, *([tls.version] if tls else [])]),
        settings=_settings(world, spec, _patience(members)),
        tls=tls,
    )
    return replace(router, refused=_refused(world, router))


def _refused(world: World, router: RouterPlan) -> dict[str, str]:
    """What routers refused of this and of nothing else, and why."""
    wanted = router.versions
    return {kind: of.why for kind, of in sorted(world.refused.items()) if wanted.get(kind) == of.version}


def _listener(world: World, spec: EndpointSpec, *, secure: bool) -> Listener:
    resources = plain(spec.router.resources)
    memory = ROUTER_MEMORY if resources is None else resources.get("limits", {}).get("memory")
    return Listener(
        byte_count(spec.limits.max_request_bytes),
        spec.router.access_log,
        spec.error_statuses,
        int(amount(memory)) or None if memory is not None else None,  # a limit of 0 is none
        tls=secure,
        tracing=tracing_of(world, spec),
    )


def _patience(members: Members) -> int:
    timeouts = [member.seen.spec.request_settings.request_timeout_ms for member in members.by_name.values()]
    return next((seconds for seconds in PATIENCE if max(timeouts, default=0) <= seconds * 1000), PATIENCE[-1])


def _settings(world: World, spec: EndpointSpec, patience: int) -> RouterSettings:
    router = spec.router
    generation = str(world.endpoint.generation) if world.endpoint else ""
    return RouterSettings(
        replicas=router.replicas,
        patience=patience,
        service=plain(router.service) or {},
        pods=PodSettings(resources=plain(router.resources), pod=plain(router.pod) or {}),
        # a Deployment's time-out is an edit, too
        origin=f"{generation}.{patience}",
        expose=exposure_for(world, spec),
    )


def _clusters(world: World, spec: EndpointSpec, members: Members) -> tuple[Cluster, ...]:
    """Those of today's Deployments, and those that some router's routes may still name."""
    clusters = {cluster.name: cluster for cluster in still_named(world)}
    for name, member in members.by_name.items():
        clusters[name] = cluster = _cluster(world, name, member)
        if name in (spec.mirror_traffic or {}):
            clusters[mirror_cluster(name)] = replace(cluster, name=mirror_cluster(name), mirror=True)
    return tuple(sorted(clusters.values()))


def _cluster(world: World, name: str, member: Member) -> Cluster:
    """How routers speak with a Deployment: as its ready instances want it, also while an edit replaces them."""
    owner, server = f"{member.seen.namespace}/{member.seen.object_name}", member.seen.spec.environment
    wanted = Cluster(name, owner)
    if server is not None:
        own = server_of(server)
        scoring = own.scoring.path if own.scoring.path != SCORE else ""
        readiness = own.readiness.path
        wanted = replace(wanted, protocol=own.protocol, readiness=readiness, scoring=scoring)
    before = world.record.clusters[-1].clusters if world.record.clusters else ()
    had = next((c for c in before if (c.name, c.deployment) == (name, owner)), wanted)
    return had if had != wanted and _is_of_before(member) else wanted


def _is_of_before(member: Member) -> bool:
    """Whether all instances that are ready, or else who still answers, were started before the last edit."""
    if member.misfit:
        return True
    asked = workload_of(member)
    return bool(member.ready or member.workload.leaving) and not any(
        member.workload.is_asked(instance, asked.origin, asked.revision) for instance in member.workload.ready
    )


def _watched(world: World, clusters: tuple[Cluster, ...]) -> tuple[Cluster, ...]:
    """Also what some router has not removed yet: until then it watches the file with their addresses.

    Today's are the last of them, and copies before what they are of: a name that passed to another Deployment has that
    one's addresses, also while copies go to the one before.
    """
    before = {cluster for published in world.record.clusters for cluster in published.clusters}
    return (*sorted(before - set(clusters)), *sorted(clusters, key=lambda c: (not c.mirror, c)))


def hosts_of(world: World, clusters: tuple[Cluster, ...]) -> tuple[Hosts, ...]:
    """One list of addresses for each deployment, its mirror's included; the last cluster of a name says whose it is."""
    owners = {cluster.hosts: cluster.deployment.partition("/")[2] for cluster in clusters}
    return tuple(_hosts(name, world.workloads.get(owner, WorkloadSeen())) for name, owner in sorted(owners.items()))


def _hosts(name: str, workload: WorkloadSeen) -> Hosts:
    return Hosts(name, workload.addresses, workload.fallback)


def _routes(spec: EndpointSpec, members: Members, routing: Routing, known: Known) -> Routes:
    return Routes(
        plain=routing.plain,
        shares=tuple(Share(name, weight) for name, weight in sorted(routing.weights.items())),
        mirrors=tuple(Share(mirror_cluster(n), share) for n, share in sorted(routing.mirrors.items())),
        pins=tuple(
            Pin(name, member.seen.spec.request_settings.request_timeout_ms, once=_once(member))
            for name, member in sorted(members.by_name.items())
            if name in known.clusters
        ),
        timeout_ms=_longest_timeout(members.by_name, routing),
        once=any(_once(members.by_name[name]) for name in routing.weights if name in members.by_name),
        most_mirror_bytes=byte_count(spec.limits.max_mirror_bytes),
        sampling=sampling_of(spec),
    )


def _once(member: Member) -> bool:
    """Whether a request that may have begun there must not begin again: of a model of ours nothing else remains."""
    return member.own


def _longest_timeout(members: Mapping[str, Member], routing: Routing) -> int:
    """A split route has one time-out: the longest; the runtimes keep to their own."""
    timeouts = [
        members[name].seen.spec.request_settings.request_timeout_ms for name in routing.weights if name in members
    ]
    return max(timeouts, default=DEFAULT_TIMEOUT_MS)


def named_by(routes: Routes, clusters: tuple[Cluster, ...]) -> tuple[Cluster, ...]:
    """The clusters that these routes name."""
    names = {share.cluster for share in (*routes.shares, *routes.mirrors)} | {p.cluster for p in routes.pins}
    return tuple(c for c in clusters if c.name in names - {UNAVAILABLE})
