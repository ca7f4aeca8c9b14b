"""What the Endpoint's status should say, and the events that go with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.api.status import DeploymentShare, EndpointStatus, Reason, RouterStatus
from wye_operator.plan.acknowledged import has_everything, has_taken, is_late
from wye_operator.plan.auth import keys_for
from wye_operator.plan.conditions import (
    Before,
    Now,
    Problem,
    State,
    clock,
    condition,
    remaining,
    sorted_problems,
    verdict,
)
from wye_operator.plan.exposure import exposure_problems
from wye_operator.plan.facts import Facts
from wye_operator.plan.issuers import issuer_problems
from wye_operator.plan.members import Member
from wye_operator.plan.names import mirror_cluster
from wye_operator.plan.record import UNAVAILABLE
from wye_operator.plan.shares import hundredths, percents, shares_text
from wye_operator.plan.wanted import Event
from wye_operator.plan.world import EndpointSeen, InForce, RouterSeen

LOST_TRACES = "they are dropped, and requests go on; status.router.tracesDropped counts such messages"
NOBODY_SERVED = "until there is one, nobody is served"
MEANWHILE: Mapping[InForce, str] = {
    "nothing": NOBODY_SERVED,
    "plain": "until there is one, routers go on without TLS",
    "placeholder": NOBODY_SERVED,
    "certificate": "the last good one stays in force",
}


def endpoint_status(facts: Facts, endpoint: EndpointSeen) -> tuple[EndpointStatus, float | None]:
    """(the Endpoint's status, seconds until its deadline strikes)."""
    before, now = _before(endpoint.status), _now(facts, endpoint)
    problems = sorted_problems(_endpoint_problems(facts, endpoint))
    waiting = clock(before, now, problems)
    left = remaining(waiting, now)
    if left is not None and left <= 0:
        problems = sorted_problems([*problems, *_unknown_names(facts, endpoint.spec)])
    result = verdict(before, now, problems, waiting)
    serving = condition(before, now, "Serving", _serving(facts))
    status = EndpointStatus(
        observed_generation=endpoint.generation,
        conditions=[*result.conditions, serving],
        provisioning_state=result.provisioning,
        scoring_uri=f"{endpoint.url}/score" if endpoint.url else None,
        openapi_uri=f"{endpoint.url}/openapi.json" if endpoint.url else None,
        grpc_target=_target(endpoint.url),
        traffic=percents(facts.weights),
        mirror_traffic=percents(facts.mirrors),
        traffic_text=shares_text(facts.weights),
        mirror_text=shares_text(facts.mirrors),
        deployments=[_share(facts, name, member) for name, member in facts.members.by_name.items()],
        router=_router_status(facts, endpoint.status),
        waiting=result.waiting,
    )
    return status, result.deadline_in


def _target(url: str) -> str | None:
    """What gRPC clients want of a URL: host and port."""
    scheme, _, host = url.partition("://")
    if not host or ":" in host:
        return host or None
    return f"{host}:{443 if scheme == 'https' else 80}"


def _before(old: EndpointStatus | None) -> Before:
    if old is None:
        return Before((), None, 0, "")
    ready = sum(share.ready_replicas for share in old.deployments)
    return Before(old.conditions, old.waiting, ready, old.provisioning_state)


def _now(facts: Facts, endpoint: EndpointSeen) -> Now:
    ready = sum(len(member.workload.ready) for member in facts.members.by_name.values())
    return Now(facts.world.now, endpoint.generation, ready, facts.world.deadlines.progress)


def _router_status(facts: Facts, old: EndpointStatus | None) -> RouterStatus:
    """The version moves only when every ready router took it."""
    ready = [router for router in facts.world.routers if router.ready]
    version, auth = (old.router.version, old.router.auth_version) if old else (None, None)
    if ready and not _behind(facts):
        version = facts.router.version
    if ready and all(router.taken.auth == facts.router.auth.version for router in ready):
        auth = facts.router.auth.version
    return RouterStatus(
        replicas=len(facts.world.routers),
        ready_replicas=len(ready),
        version=version,
        auth_version=auth,
        traces_dropped=_traces_dropped(facts),
    )


def _traces_dropped(facts: Facts) -> int | None:
    """None where routers send no traces."""
    if facts.router.listener.tracing is None:
        return None
    return sum(router.taken.traces_lost for router in facts.world.routers)


def _share(facts: Facts, name: str, member: Member) -> DeploymentShare:
    return DeploymentShare(
        name=name,
        ready_replicas=len(member.workload.ready),
        replicas=member.seen.spec.instance_count,
        traffic=facts.weights.get(name, 0) / 100,
        mirror=facts.mirrors.get(name, 0) / 100,
        mirror_dropped=_dropped(facts, name),
    )


def _dropped(facts: Facts, name: str) -> int | None:
    """Copies to `name` that routers did not make since they started; None where no router copies to it."""
    cluster = mirror_cluster(name)
    counts = [r.taken.left_out[cluster] for r in facts.world.routers if cluster in r.taken.left_out]
    return sum(counts) if counts else None


def _endpoint_problems(facts: Facts, endpoint: EndpointSeen) -> Iterator[Problem]:
    spec = endpoint.spec
    routing = facts.routing
    for obstacle in endpoint.obstacles:
        yield Problem(obstacle.reason, obstacle.message)
    if endpoint.misfit:
        yield Problem(Reason.INVALID_DEPLOYMENT_SPEC, endpoint.misfit)
    if routing.unset:
        names = [n for n in facts.members.by_name if n not in (spec.mirror_traffic or {})]
        yield Problem(
            Reason.TRAFFIC_NOT_SET,
            f"{len(names)} Deployments stand behind this Endpoint and spec.traffic does not say who gets what: "
            f"write for example {_example(names)}",
        )
    for sentence in routing.mismatched.values():
        yield Problem(Reason.SIGNATURE_MISMATCH, sentence)
    for sentence in routing.waiting.values():
        yield Problem(Reason.WAITING_FOR_DEPLOYMENT, sentence)
    if routing.lost:
        yield Problem(Reason.DEGRADED, _loss(facts, spec))
    yield from exposure_problems(facts.world, spec)
    yield from _secret_problems(facts, spec)
    yield from _router_problems(facts)


def _secret_problems(facts: Facts, spec: EndpointSpec) -> Iterator[Problem]:
    """What is wrong with the keys or the certificate, and what callers see meanwhile."""
    if spec.auth_mode == "Key" and keys_for(facts.world, spec) is None:
        yield Problem(Reason.KEYS_NOT_FOUND, facts.world.keys_problem or "the keys are not there")
    yield from issuer_problems(facts.world, spec)
    tls = facts.world.tls
    if tls.obstacle is not None:
        yield Problem(tls.obstacle.reason, f"{tls.obstacle.message}; {MEANWHILE[tls.in_force]}")


def _loss(facts: Facts, spec: EndpointSpec) -> str:
    lost = ", ".join(_absence(facts, name) for name in facts.routing.lost)
    able = {n: w for n, w in facts.routing.weights.items() if n not in (*facts.routing.lost, UNAVAILABLE)}
    if spec.failover == "Redistribute" and able:
        return f"{lost}: its share goes to {shares_text(able)}"
    return f"{lost}: its share is answered 503"


def _absence(facts: Facts, name: str) -> str:
    return (
        f"{name} has no ready instance" if name in facts.members.by_name else f"there is no Deployment {name} any more"
    )


def _router_problems(facts: Facts) -> Iterator[Problem]:
    ready = [router for router in facts.world.routers if router.ready]
    for sentence in _rejections(facts):
        yield Problem(Reason.ROUTER_REJECTED, sentence)
    if not ready:
        yield Problem(Reason.ROUTER_STARTING, "no router is ready yet")
    elif len(ready) < len(facts.world.routers):
        missing = ", ".join(r.name for r in facts.world.routers if not r.ready)
        yield Problem(Reason.DEGRADED, f"router {missing} is not ready")
    silent = ", ".join(router.name for router in ready if router.silent)
    if silent:
        yield Problem(
            Reason.ROUTER_BEHIND,
            f"router {silent} cannot be reached on its inner port: it goes on with what it took, which nobody knows",
        )
    behind = [router for router in _behind(facts) if not router.silent]
    if behind:
        late = [router.name for router in behind if is_late(facts.world, router)]
        who = f": {', '.join(late)}" if late else ""
        yield Problem(
            Reason.ROUTER_BEHIND,
            f"{len(behind)} of {len(ready)} routers have not taken version {facts.router.version} yet{who}",
        )


def _rejections(facts: Facts) -> list[str]:
    """In Envoy's words, by all routers or by some."""
    kept = "every router rejected the update and keeps the last good one, which routers that start begin with"
    by_all = [f"{kept}: {why}" for why in sorted(set(facts.router.refused.values()))]
    return by_all or [
        f"router {router.name} rejected the update and keeps the last good one: {router.rejected}"
        for router in facts.world.routers
        if router.rejected and not has_everything(router, facts.router)  # else it took it after all, when asked again
    ]


def _behind(facts: Facts) -> list[RouterSeen]:
    return [router for router in facts.world.routers if router.ready and not has_taken(router, facts.router)]


def _unknown_names(facts: Facts, spec: EndpointSpec) -> Iterator[Problem]:
    known = facts.members.by_name
    for name in sorted({*hundredths(spec.traffic), *hundredths(spec.mirror_traffic)} - set(known)):
        have = f"there are {', '.join(known)}" if known else "there is none yet"
        yield Problem(Reason.UNKNOWN_DEPLOYMENT, f"spec names {name}, and no Deployment has that name: {have}")


def _serving(facts: Facts) -> tuple[State, Reason, str]:
    routing, lost = facts.routing, set(facts.routing.lost)
    if not facts.members.by_name:
        return "False", Reason.NO_DEPLOYMENT, "no Deployment stands behind this Endpoint"
    if routing.plain == "NoLiveTraffic" and not facts.weights:
        return (
            "False",
            Reason.NO_LIVE_TRAFFIC,
            "no Deployment has live traffic: plain calls get 404",
        )
    if not set(routing.weights or facts.weights) - lost - {UNAVAILABLE}:
        return "False", Reason.NO_READY_POD, "no Deployment with live traffic has a ready instance"
    if facts.world.tls.obstacle is not None and MEANWHILE[facts.world.tls.in_force] == NOBODY_SERVED:
        return "False", Reason.CERTIFICATE_NOT_FOUND, "there is no certificate, so nobody is served"
    if not any(router.ready for router in facts.world.routers):
        return "False", Reason.NO_READY_POD, "no router is ready"
    if not facts.weights:
        return "False", Reason.NO_READY_POD, "no router has taken the first routes yet"
    return "True", Reason.SERVING, f"plain requests go to {shares_text(facts.weights)}"


def _example(names: list[str]) -> str:
    whole, *rest = names
    return "traffic: {" + ", ".join([f"{whole}: 100", *(f"{name}: 0" for name in rest)]) + "}"


def endpoint_events(facts: Facts, endpoint: EndpointSeen) -> Iterator[Event]:
    """What a person should hear of this pass; the same as long as nothing changes."""
    spec, routing, name = endpoint.spec, facts.routing, endpoint.name
    if spec.tracing is not None and _traces_dropped(facts):
        text = f"the collector at {spec.tracing.endpoint} did not take spans of the routers: {LOST_TRACES}"
        yield Event("Endpoint", name, "Warning", "TracesLost", text)
    if routing.lost:
        yield Event("Endpoint", name, "Warning", "FailedOver", _loss(facts, spec))
    elif facts.weights:
        text = f"traffic in effect: {shares_text(facts.weights)}"
        yield Event("Endpoint", name, "Normal", "TrafficInEffect", text)
    if spec.traffic is not None or routing.taken is None:
        return
    kept = shares_text(routing.taken) or "no live traffic"
    others = [n for n in facts.members.by_name if n not in routing.taken and n not in (spec.mirror_traffic or {})]
    if len(routing.taken) != 1:
        text = f"spec.traffic is not set any more: {kept} stays in effect"
        yield Event("Endpoint", name, "Normal", "TrafficKept", text)
    elif others and not routing.unset:
        text = f"{', '.join(others)} gets no traffic until spec.traffic names it ({kept} stays in effect)"
        yield Event(
            "Endpoint",
            name,
            "Normal",
            "TrafficKept",
            f"{text}: {_example([*routing.taken, *others])}",
        )
