"""Tell people: the status of each object, once per pass, last and only where it differs; then the events."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from wye_operator.api.status import Condition, DeploymentStatus, EndpointStatus, Reason
from wye_operator.cluster.apply import Fought
from wye_operator.cluster.base import Cluster, Memory
from wye_operator.cluster.errors import ApiError, Conflict, NotFound
from wye_operator.cluster.kinds import DEPLOYMENTS, ENDPOINTS, EVENTS, WORKLOADS, Kind, Object
from wye_operator.cluster.store import Key
from wye_operator.plan.names import digest, keys_secret, model_name
from wye_operator.plan.wanted import Event, Plan
from wye_operator.render.kubernetes import status_body

log = logging.getLogger(__name__)
CONTROLLER = "wye.dev/operator"
LONGEST_NOTE = 1000  # of an event; Kubernetes has 1,024


async def report(cluster: Cluster, key: Key, wanted: Plan, memory: Memory) -> None:
    """Write what differs; an object whose status did not change has no news either."""
    changed: set[tuple[str, str]] = set()
    transitions: list[Event] = []
    if wanted.endpoint_status is not None:
        body = status_body(key.namespace, key.name, wanted.endpoint_status)
        old = await _write(cluster, key, (ENDPOINTS, body), memory)
        if old is not None:
            changed.add((ENDPOINTS.name, key.name))
            transitions += _transitions("Endpoint", key.name, old, wanted.endpoint_status)
    for name, status in sorted(wanted.deployment_statuses.items()):
        body = status_body(key.namespace, name, status, _image(cluster, key, name))
        old = await _write(cluster, key, (DEPLOYMENTS, body), memory)
        if old is not None:
            changed.add((DEPLOYMENTS.name, name))
            transitions += _transitions("Deployment", name, old, status)
    for event in (*wanted.events, *transitions):
        if (event.kind, event.name) in changed:
            await _tell(cluster, key, event, memory)
    if memory.renewed:
        await _tell(cluster, key, _renewal(key, memory.renewed), memory)
        memory.renewed = ""


async def report_fight(cluster: Cluster, key: Key, error: Fought, memory: Memory) -> None:
    """An event alone: the other operator writes the status, too, and two sentences in turn would be no news at all."""
    await _tell(cluster, key, Event("Endpoint", key.name, "Warning", "TwoOperators", str(error)), memory)


def _renewal(key: Key, made_at: str) -> Event:
    words = f"Secret {keys_secret(key.name)} was gone and was made anew at {made_at}: only its two new keys are valid"
    return Event("Endpoint", key.name, "Warning", "KeysRenewed", words)


async def _write(cluster: Cluster, key: Key, told: tuple[Kind, Object], memory: Memory) -> Object | None:
    """The status before, when it was written; None: there was nothing to write.

    An empty map is left out: where the last one had entries, server-side apply would make a null of it.
    """
    kind, whole = told
    body = {**whole, "status": {name: value for name, value in whole["status"].items() if value != {}}}
    live = cluster.store.get(kind, key.namespace, body["metadata"]["name"])
    if live is None or live.get("status") == body["status"]:
        return None
    try:
        written = await cluster.api.apply_status(body)
    except NotFound:  # it has just been deleted
        return None
    if written["metadata"].get("uid") == live["metadata"].get("uid"):
        memory.overtaken |= cluster.store.answered(kind, written, "status")
    cluster.metrics.count("wye_writes_total", verb="status", resource=kind.plural)
    return dict(live.get("status") or {})


def _image(cluster: Cluster, key: Key, name: str) -> str:
    """What a Deployment's pods run, as the cluster has it."""
    live = cluster.store.get(WORKLOADS, key.namespace, model_name(name))
    containers = live["spec"]["template"]["spec"]["containers"] if live else []
    return str(containers[0]["image"]) if containers else ""


def _transitions(kind: Any, name: str, old: Object, status: EndpointStatus | DeploymentStatus) -> Iterator[Event]:
    """An event where the reason of Ready changed to one that a person should hear of."""
    ready, stalled = _condition(status, "Ready"), _condition(status, "Stalled")
    before = [c.get("reason") for c in old.get("conditions") or () if c["type"] == "Ready"]
    if ready.reason in before:
        return
    if ready.reason == Reason.READY:
        yield Event(kind, name, "Normal", ready.reason, ready.message)
    elif stalled.status == "True" or ready.reason == Reason.DEGRADED:
        yield Event(kind, name, "Warning", ready.reason, ready.message)


def _condition(status: EndpointStatus | DeploymentStatus, kind: str) -> Condition:
    return next(c for c in status.conditions if c.type == kind)


async def _tell(cluster: Cluster, key: Key, event: Event, memory: Memory) -> None:
    """Once, until reason or message changes. Its name is made of what it says, so that a restart cannot repeat it."""
    told = (event.kind, event.name, event.reason)
    if memory.told.get(told) == event.message:
        return
    kind = ENDPOINTS if event.kind == "Endpoint" else DEPLOYMENTS
    live = cluster.store.get(kind, key.namespace, event.name)
    if live is None:
        return
    try:
        await cluster.api.create(_event_body(cluster, key, event, live))
    except Conflict:  # it was told before
        pass
    except ApiError as error:  # an event is not worth a second pass
        log.warning("an event could not be written", extra={"key": str(key), "why": str(error)})
        return
    memory.told[told] = event.message


def _event_body(cluster: Cluster, key: Key, event: Event, live: Object) -> Object:
    metadata = live["metadata"]
    identity = digest([event.kind, metadata["uid"], metadata.get("generation"), event.reason, event.message])
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.name,
        "metadata": {"name": f"{event.name}.{identity}", "namespace": key.namespace},
        "eventTime": datetime.fromtimestamp(cluster.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": cluster.identity[:128],
        "action": "Reconcile",
        "type": event.type,
        "reason": str(event.reason),
        "note": event.message[:LONGEST_NOTE],
        "regarding": {
            "apiVersion": live["apiVersion"],
            "kind": live["kind"],
            "name": event.name,
            "namespace": key.namespace,
            "uid": metadata["uid"],
        },
    }
