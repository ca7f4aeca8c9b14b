"""What a pod's status says: whether it is ready, how its container failed, why there is none. Pure; called by gather.

A container that ends without last words has the end of its log there instead: kubelet puts it there, see
docs/decisions/0008-last-lines-by-kubelet.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from wye_operator.api.status import Reason
from wye_operator.cluster.kinds import Object
from wye_operator.plan.masking import masked
from wye_operator.plan.world import Failure

LAST_WORDS = (2, 3)  # exit codes of a runtime that leaves a JSON object as its termination message
WAITING = {  # kubelet's word -> ours
    "ErrImagePull": "ImagePull",
    "ImagePullBackOff": "ImagePullLoopBackOff",
    "InvalidImageName": "ImagePullLoopBackOff",
    "ErrImageNeverPull": "ImagePullLoopBackOff",
    "CreateContainerConfigError": "InvalidDeploymentSpec",
    "CreateContainerError": "InvalidDeploymentSpec",
}
AGAIN = "; asked again by the kubelet, in at most five minutes"  # its longest back-off
UNSCHEDULABLE = ("PodScheduled", "False", "Unschedulable")
IN_DETAIL = 1024  # characters of a message
LINES, BYTES = 5, 1024  # of a log
CUT = 2048  # bytes of a log that kubelet keeps: its beginning may be the rest of a word


def is_leaving(pod: Object) -> bool:
    """Whether it has been told to end, or has ended for good."""
    return bool(pod["metadata"].get("deletionTimestamp")) or _status(pod).get("phase") in ("Succeeded", "Failed")


def is_ready(pod: Object) -> bool:
    """Whether kubelet calls it ready, and it stays."""
    return _answers(pod) and not is_leaving(pod)


def answers_still(pod: Object) -> bool:
    """Whether it has been told to end, and kubelet, which goes on asking, calls it ready."""
    return _answers(pod) and bool(pod["metadata"].get("deletionTimestamp")) and _status(pod).get("phase") == "Running"


def _answers(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in _status(pod).get("conditions") or ())


def address_of(pod: Object) -> str:
    """Its IP, "" while it has none."""
    return str(_status(pod).get("podIP") or "")


def ports_of(pod: Object) -> dict[str, int]:
    """The ports of its containers by name: `http`, and `inner` of our runtime or `ready` of another server."""
    containers = (pod.get("spec") or {}).get("containers") or ()
    return {str(p.get("name")): int(p["containerPort"]) for c in containers for p in c.get("ports") or ()}


def identity_of(pod: Object) -> str:
    """The pod and its containers' lives: another one after each restart."""
    return f"{pod['metadata'].get('uid')}/{sum(_restarts(c) for c in _containers(pod))}"


def refusal_of(workload: Object | None) -> str:
    """Why the cluster makes no pods for an apps/v1 Deployment (a quota, pod security, a policy), "" where it does."""
    conditions = _status(workload or {}).get("conditions") or ()
    refused = (c for c in conditions if (c["type"], c.get("status")) == ("ReplicaFailure", "True"))
    return next((str(c.get("message") or c.get("reason")) for c in refused), "")


def failure_of(pods: Iterable[Object], hidden: Iterable[str] = ()) -> Failure | None:
    """How the pods of one Deployment fail now; the one that ended last speaks for all, without credentials.

    `hidden` are the values of its environment variables, as far as its manifest has them.
    """
    found = [failure for pod in pods if not is_leaving(pod) for failure in _failures(pod)]
    if not found:
        return None
    _, last = max(found, key=lambda f: (f[0], f[1].instance))
    message = masked(last.message, hidden)
    return replace(last, message=message[:IN_DETAIL] if last.reason else _last_lines(message))


def _failures(pod: Object) -> Iterator[tuple[str, Failure]]:
    """With the time it happened, as text that sorts."""
    name = pod["metadata"]["name"]
    if is_ready(pod):
        return
    for condition in _status(pod).get("conditions") or ():
        if (condition["type"], condition["status"], condition.get("reason")) == UNSCHEDULABLE:
            told = f"{name} cannot be scheduled: {condition.get('message', '')}"
            yield condition.get("lastTransitionTime", ""), Failure(name, 0, "PodUnschedulable", told, 0)
    for container in _containers(pod):
        yield from _waiting(name, container)
        yield from _ended(name, container)


def _waiting(pod: str, container: dict[str, Any]) -> Iterator[tuple[str, Failure]]:
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = WAITING.get(waiting.get("reason", ""))
    if reason:
        told = f"{pod}: {waiting.get('message') or waiting['reason']}"
        yield "", Failure(pod, 0, reason, told, _restarts(container))


def _ended(pod: str, container: dict[str, Any]) -> Iterator[tuple[str, Failure]]:
    states = (container.get("state") or {}, container.get("lastState") or {})
    ended = next((s["terminated"] for s in states if s.get("terminated")), None)
    if ended is None or (ended.get("exitCode") == 0 and ended.get("reason") == "Completed"):
        return
    code = int(ended.get("exitCode", 0))
    reason, message = _words(code, ended)
    yield str(ended.get("finishedAt") or ""), Failure(pod, code, reason, message, _restarts(container))


def _words(code: int, ended: dict[str, Any]) -> tuple[str, str]:
    message = str(ended.get("message") or "")
    if ended.get("reason") == "OOMKilled":
        return "PodOutOfMemory", "it used more memory than its limit: raise resources.limits.memory"
    if code in LAST_WORDS:
        try:
            words = json.loads(message)
            reason, message = str(words["reason"]), str(words["message"])
            return reason, f"{message}{AGAIN}" if reason == Reason.MODEL_FETCH else message
        except (ValueError, KeyError, TypeError):
            return "", _whole_words(message)
    return "", _whole_words(message)


def _whole_words(log: str) -> str:
    """Without what kubelet cut: the rest of a credential would not be known for one."""
    if len(log.encode()) < CUT:
        return log
    return log.partition("\n")[2] or log.partition(" ")[2]


def _last_lines(log: str) -> str:
    """What of a log is told."""
    return "\n".join(log.splitlines()[-LINES:]).encode()[-BYTES:].decode(errors="ignore")


def _containers(pod: Object) -> list[dict[str, Any]]:
    status = _status(pod)
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _restarts(container: dict[str, Any]) -> int:
    return int(container.get("restartCount") or 0)


def _status(pod: Object) -> dict[str, Any]:
    return pod.get("status") or {}
