"""What runs for an Endpoint: the pods of its models and its routers, and what they say of themselves. For gather."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from wye_operator.cluster.base import Cluster, Memory, annotations_of, is_part, owner_of
from wye_operator.cluster.kinds import PODS, SERVICES, SLICES, WORKLOADS, Object
from wye_operator.cluster.pods import (
    address_of,
    answers_still,
    failure_of,
    identity_of,
    is_leaving,
    is_ready,
    ports_of,
)
from wye_operator.cluster.rejections import rejection_of
from wye_operator.cluster.store import Key
from wye_operator.plan.names import MODEL, ORIGIN, REVISION, ROUTER, model_name
from wye_operator.plan.record import Record
from wye_operator.plan.refusals import Counted, counted
from wye_operator.plan.world import (
    Address,
    Failure,
    FileSeen,
    InstanceSeen,
    RouterSeen,
    Signature,
    Taken,
    WorkloadSeen,
)
from wye_operator.render.kubernetes.place import SERVING


async def workloads_of(
    cluster: Cluster, key: Key, memory: Memory, deployments: Iterable[Object]
) -> dict[str, WorkloadSeen]:
    """What runs for each Deployment, by its object name."""
    pods: dict[str, list[Object]] = defaultdict(list)
    for pod in cluster.store.of(PODS, key):
        if is_part(pod, MODEL):
            pods[owner_of(pod)].append(pod)
    living = frozenset(identity_of(pod) for group in pods.values() for pod in group)
    cluster.asks.forget(memory.pods - living)
    memory.pods = living
    ready = _ready_pods(cluster, key)
    owners = sorted({*pods, *(d["metadata"]["name"] for d in deployments)} - {""})
    hidden = {d["metadata"]["name"]: (d["spec"].get("environmentVariables") or {}).values() for d in deployments}
    seen = await asyncio.gather(*(_workload(cluster, key, owner, (pods[owner], ready)) for owner in owners))
    failures = (_shown(cluster, failure_of(pods[owner], hidden.get(owner, ()))) for owner in owners)
    return {owner: replace(s, failure=f) for owner, s, f in zip(owners, seen, failures, strict=True)}


def _shown(cluster: Cluster, failure: Failure | None) -> Failure | None:
    """Without lines of its log, where the chart says so (`failureLog`); the model server's own words stay."""
    if failure is None or failure.reason or cluster.place.failure_log:
        return failure
    return replace(failure, message="its last lines are not shown (failureLog is off): kubectl logs --previous")


def _ready_pods(cluster: Cluster, key: Key) -> set[str]:
    """Names of the pods that the EndpointSlices call ready."""
    return {
        str(endpoint["targetRef"]["name"])
        for one in cluster.store.of(SLICES, key)
        for endpoint in one.get("endpoints") or ()
        if endpoint.get("targetRef") and _takes_requests(endpoint.get("conditions") or {})
    }


def _takes_requests(conditions: dict[str, Any]) -> bool:
    return bool(conditions.get("ready")) and not conditions.get("terminating")


async def _workload(cluster: Cluster, key: Key, owner: str, found: tuple[list[Object], set[str]]) -> WorkloadSeen:
    pods, ready = found
    staying = [pod for pod in pods if not is_leaving(pod)]
    instances = await asyncio.gather(*(_instance(cluster, pod, ready) for pod in staying))
    service = cluster.store.get(SERVICES, key.namespace, model_name(owner))
    origin, revision = _running(cluster.store.get(WORKLOADS, key.namespace, model_name(owner)))
    leaving = tuple(sorted(_listens_at(pod) for pod in pods if answers_still(pod)))
    return WorkloadSeen(tuple(instances), None, _fallback(service), origin, revision, leaving)


def _running(child: Object | None) -> tuple[str, str]:
    """(origin, revision) of the pods as the cluster is told to run them, "" where it was not told yet."""
    if child is None:
        return "", ""
    return str(annotations_of(child).get(ORIGIN, "")), str(annotations_of(child["spec"]["template"]).get(REVISION, ""))


async def _instance(cluster: Cluster, pod: Object, ready: set[str]) -> InstanceSeen:
    name, ports, address = pod["metadata"]["name"], ports_of(pod), _listens_at(pod)
    serves = name in ready and is_ready(pod)
    signature: Signature | str | None = "it is not ready"
    if serves:  # another server than our runtime has no inner port to be asked at
        asked = "inner" in ports or "http" not in ports
        signature = await cluster.asks.signature(identity_of(pod), address.host) if asked else None
    return InstanceSeen(
        name=name,
        address=address,
        ready=serves,
        signature=signature if isinstance(signature, Signature) else None,
        unread=signature if isinstance(signature, str) else "",
        revision=annotations_of(pod).get(REVISION, ""),
    )


def _listens_at(pod: Object) -> Address:
    ports = ports_of(pod)
    return Address(address_of(pod), ports.get("http", SERVING), ports.get("ready", 0))


def _fallback(service: Object | None) -> Address | None:
    spec = (service or {}).get("spec", {})
    host = spec.get("clusterIP")
    ports = {port.get("name"): int(port["port"]) for port in spec.get("ports") or ()}
    return Address(host, ports.get("http", SERVING), ports.get("ready", 0)) if host and host != "None" else None


Written = tuple[Record, Mapping[str, FileSeen]]  # the record, and the files beside it


async def routers_of(cluster: Cluster, key: Key, memory: Memory, written: Written) -> tuple[RouterSeen, ...]:
    """The routers, and what those that are ready have taken, or why not."""
    pods = [p for p in cluster.store.of(PODS, key) if is_part(p, ROUTER) and not is_leaving(p)]
    staying = {pod["metadata"]["name"] for pod in pods}
    memory.counted = {name: of for name, of in memory.counted.items() if name in staying}
    return tuple(await asyncio.gather(*(_router(cluster, key, pod, (memory, *written)) for pod in pods)))


async def _router(
    cluster: Cluster, key: Key, pod: Object, known: tuple[Memory, Record, Mapping[str, FileSeen]]
) -> RouterSeen:
    name, (memory, record, written) = pod["metadata"]["name"], known
    if not is_ready(pod):
        return RouterSeen(name, ready=False)
    taken = await cluster.asks.taken(address_of(pod))
    if taken is None:  # it is not known to have anything
        return RouterSeen(name, ready=True, silent=True)
    counts = memory.counted[name] = counted(memory.counted.get(name, Counted()), taken, written)
    rejected = await rejection_of(cluster, key, name, memory, _unanswered(record, taken, cluster.now()))
    return RouterSeen(name, ready=True, taken=taken, rejected=rejected, refused=counts.refused)


def _unanswered(record: Record, taken: Taken, now: float) -> float:
    """For how many seconds a router has lacked what stands in the record."""
    pairs = ((record.clusters, taken.clusters), (record.routes, taken.routes))
    return max((now - history[-1].since for history, has in pairs if history and history[-1].version != has), default=0)
