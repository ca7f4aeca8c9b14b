"""Endpoints, Deployments and pods as `wye status` sees them: read leniently, as the operator may be newer than we are.

Pure: objects of the API server go in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wye_operator.cluster.kinds import Object
from wye_operator.cluster.pods import failure_of, is_ready
from wye_operator.local.age import age
from wye_operator.plan.names import COMPONENT, ENDPOINT, MODEL, OWNER, ROUTER

NOT_LOOKED_AT = "NotLookedAt"
STARTING = ("ContainerCreating", "PodInitializing")  # no reason, only a moment


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod; `why` is "" for one that is ready."""

    name: str
    state: str
    ready: bool
    restarts: int
    age: str
    node: str
    why: str


@dataclass(frozen=True, slots=True)
class Failure:
    """`status.lastFailure`."""

    pod: str
    exit_code: int
    reason: str
    restarts: int
    log: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The condition Ready, as far as it speaks of the newest generation."""

    ready: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Share:
    """Percent in effect, and what the Endpoint asks; None where it does not say."""

    effect: float = 0
    asked: float | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """One Deployment, by its name in `traffic` and its own."""

    name: str
    resource: str
    verdict: Verdict
    ready_replicas: int
    replicas: int
    traffic: Share
    mirror: Share
    model: str
    sha256: str
    failure: Failure | None
    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """A name in `traffic` or `mirrorTraffic` that is no Deployment's."""

    name: str
    traffic: Share
    mirror: Share


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One Endpoint with all that stands behind it. `exists` False: only Deployments speak of it."""

    namespace: str
    name: str
    exists: bool
    verdict: Verdict
    serving: str
    url: str
    routers: tuple[Pod, ...]
    router_replicas: int
    traces_dropped: int  # messages with spans that the collector did not take
    deployments: tuple[Deployment, ...]
    missing: tuple[Missing, ...]

    @property
    def ready(self) -> bool:
        """Whether it and everything behind it is as asked."""
        return self.exists and self.verdict.ready and all(d.verdict.ready for d in self.deployments)


def seen(
    endpoints: Sequence[Object], deployments: Sequence[Object], pods: Sequence[Object], now: float
) -> tuple[Endpoint, ...]:
    """Every Endpoint that is there or that a Deployment names, in order of their names."""
    there = {_key(body): body for body in endpoints}
    names = {*there, *((d["metadata"]["namespace"], d["spec"]["endpointName"]) for d in deployments)}
    found = []
    for namespace, name in sorted(names):
        own = [d for d in deployments if (d["metadata"]["namespace"], d["spec"]["endpointName"]) == (namespace, name)]
        its = [p for p in pods if (p["metadata"]["namespace"], label_of(p, ENDPOINT)) == (namespace, name)]
        body = there.get((namespace, name))
        found.append(_endpoint((namespace, name), body, own, _pods(its, now)))
    return tuple(found)


def label_of(body: Object, label: str) -> str:
    """One label, "" where there is none (that of `cluster.base` would load the operator's own client)."""
    return str((body["metadata"].get("labels") or {}).get(label, ""))


def is_going(body: Object) -> bool:
    """Whether it is being deleted."""
    return bool(body["metadata"].get("deletionTimestamp"))


Pods = Mapping[tuple[str, str], tuple[Pod, ...]]  # by component and owner


def _endpoint(key: tuple[str, str], body: Object | None, deployments: Sequence[Object], pods: Pods) -> Endpoint:
    spec, status = (body or {}).get("spec") or {}, (body or {}).get("status") or {}
    router = status.get("router") or {}
    shares = {
        kind: _shares(spec.get(kind), status.get(kind) or {}, known=body is not None)
        for kind in ("traffic", "mirrorTraffic")
    }
    behind = tuple(sorted((_deployment(d, shares, pods) for d in deployments), key=lambda d: (d.name, d.resource)))
    return Endpoint(
        namespace=key[0],
        name=key[1],
        exists=body is not None,
        verdict=verdict_of(body) if body else Verdict(ready=False, reason="EndpointNotFound", message=""),
        serving=_serving(status),
        url=str(status.get("scoringUri") or ""),
        routers=pods.get((ROUTER, key[1]), ()),
        router_replicas=int(router.get("replicas") or 0),
        traces_dropped=int(router.get("tracesDropped") or 0),
        deployments=behind,
        missing=tuple(_missing(shares, {d.name for d in behind})),
    )


def _missing(shares: Mapping[str, Mapping[str, Share]], known: set[str]) -> Iterator[Missing]:
    traffic, mirrors = shares["traffic"], shares["mirrorTraffic"]
    for name in sorted({*traffic, *mirrors} - known):
        missing = Missing(name, traffic.get(name, Share()), mirrors.get(name, Share()))
        if any((missing.traffic.effect, missing.traffic.asked, missing.mirror.effect, missing.mirror.asked)):
            yield missing


def verdict_of(body: Object) -> Verdict:
    """Ready, its reason and message; what speaks of an older generation says nothing."""
    status = body.get("status") or {}
    ready = _condition(status, "Ready")
    if ready is None or status.get("observedGeneration") != body["metadata"].get("generation"):
        told = "the operator has not looked at it yet: if that lasts, does it run? kubectl get pods -n wye-system"
        return Verdict(ready=False, reason=NOT_LOOKED_AT, message=told)
    return Verdict(ready["status"] == "True", str(ready.get("reason") or ""), str(ready.get("message") or ""))


def short_name(body: Object) -> str:
    """A Deployment's name in `traffic`."""
    return str(body["spec"].get("name") or body["metadata"]["name"])


def _deployment(body: Object, shares: Mapping[str, Mapping[str, Share]], pods: Pods) -> Deployment:
    status, spec, name = body.get("status") or {}, body["spec"], short_name(body)
    model = status.get("model") or {}
    resource = body["metadata"]["name"]
    return Deployment(
        name=name,
        resource=resource,
        verdict=verdict_of(body),
        ready_replicas=int(status.get("readyReplicas") or 0),
        replicas=int(spec.get("instanceCount", 1)),
        traffic=shares["traffic"].get(name, Share()),
        mirror=shares["mirrorTraffic"].get(name, Share()),
        model=str((spec.get("model") or {}).get("uri") or ""),
        sha256=str(model.get("sha256") or (spec.get("model") or {}).get("sha256") or ""),
        failure=_failure(status.get("lastFailure")),
        pods=pods.get((MODEL, resource), ()),
    )


def _shares(asked: Mapping[str, float] | None, effect: Mapping[str, float], *, known: bool) -> dict[str, Share]:
    names = {*(asked or ()), *effect}
    said = known and asked is not None
    return {n: Share(float(effect.get(n) or 0), float((asked or {}).get(n) or 0) if said else None) for n in names}


def _failure(told: Mapping[str, Any] | None) -> Failure | None:
    if not told:
        return None
    numbers = (int(told.get(name) or 0) for name in ("exitCode", "restartCount"))
    code, restarts = numbers
    return Failure(
        str(told.get("pod") or ""), code, str(told.get("reason") or ""), restarts, str(told.get("log") or "")
    )


def _serving(status: Mapping[str, Any]) -> str:
    """The reason of the condition Serving; `Serving` where it holds."""
    found = _condition(status, "Serving")
    return str(found.get("reason") or "") if found else ""


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    return next((c for c in status.get("conditions") or () if c["type"] == kind), None)


def _pods(bodies: Iterable[Object], now: float) -> Pods:
    found: dict[tuple[str, str], tuple[Pod, ...]] = {}
    for body in sorted(bodies, key=lambda b: str(b["metadata"]["name"])):
        key = label_of(body, COMPONENT), label_of(body, OWNER)
        found[key] = (*found.get(key, ()), _pod(body, now))
    return found


def _pod(body: Object, now: float) -> Pod:
    ready = is_ready(body)
    status = body.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return Pod(
        name=body["metadata"]["name"],
        state=_state(body, containers),
        ready=ready,
        restarts=sum(int(c.get("restartCount") or 0) for c in containers),
        age=age(body["metadata"]["creationTimestamp"], now),
        node=str(body["spec"].get("nodeName") or ""),
        why="" if ready else _why(body, containers),
    )


def _state(body: Object, containers: Sequence[Mapping[str, Any]]) -> str:
    """As kubectl's STATUS: the first thing that is not as it should be, else the phase."""
    if is_going(body):
        return "Terminating"
    for container in containers:
        state = container.get("state") or {}
        word = (state.get("waiting") or {}).get("reason")
        if word and word not in STARTING:
            return str(word)
    status = body.get("status") or {}
    return str(status.get("reason") or status.get("phase") or "Unknown")


def _why(body: Object, containers: Sequence[Mapping[str, Any]]) -> str:
    """Why a pod is not ready: what the operator says of it, else what kubelet says, else which container is not."""
    if is_going(body):
        return ""
    failure = failure_of([body])
    if failure is not None:
        told = f"ended with exit code {failure.exit_code}" if failure.exit_code else failure.reason
        words = failure.message.removeprefix(f"{failure.instance} ").removeprefix(f"{failure.instance}: ")
        return f"{told}: {words}" if words and words != told else told
    waiting = next((w for c in containers if (w := (c.get("state") or {}).get("waiting")) and w.get("message")), None)
    if waiting:
        return " ".join(str(waiting["message"]).split())
    condition = _condition(body.get("status") or {}, "Ready") or {}
    return str(condition.get("message") or "")


def _key(body: Object) -> tuple[str, str]:
    return body["metadata"]["namespace"], body["metadata"]["name"]
