"""Objects as an API server shows them, for a namespace `team` at the moment `NOW`."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
BORN = "2026-11-21T11:55:00Z"
API = "wye.dev/v1alpha1"


def _metadata(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "team", "uid": f"uid-{name}", "creationTimestamp": BORN, "generation": 1, **more}


def _ready(reason: str, message: str) -> dict[str, Any]:
    return {"type": "Ready", "status": "True" if reason == "Ready" else "False", "reason": reason, "message": message}


def endpoint(name: str = "fraud", reason: str = "Ready", message: str = "", *, serving: str = "Serving", **more: Any):
    """`more`: `spec`, `status` beside the conditions, `generation`."""
    conditions = [_ready(reason, message), {"type": "Serving", "status": "True", "reason": serving}]
    status = {
        "observedGeneration": 1,
        "conditions": conditions,
        "scoringUri": f"http://{name}.team.svc/score",
        "router": {"replicas": 1, "readyReplicas": 1},
        "trafficText": "blue=100",
    }
    return {
        "apiVersion": API,
        "kind": "Endpoint",
        "metadata": _metadata(name, generation=more.get("generation", 1)),
        "spec": more.get("spec", {}),
        "status": status | more.get("status", {}),
    }


def deployment(name: str = "fraud-blue", reason: str = "Ready", message: str = "", *, of: str = "fraud", **more: Any):
    """`more`: `spec` and `status` beside the usual."""
    ready = 1 if reason == "Ready" else 0
    spec = {"endpointName": of, "name": name.removeprefix(f"{of}-"), "model": {"uri": "configmap://models/one.onnx"}}
    status = {"observedGeneration": 1, "conditions": [_ready(reason, message)], "readyReplicas": ready, "replicas": 1}
    return {
        "apiVersion": API,
        "kind": "Deployment",
        "metadata": _metadata(name),
        "spec": spec | more.get("spec", {}),
        "status": status | more.get("status", {}),
    }


def pod(owner: str, suffix: str = "1", *, ready: bool = True, component: str = "model", of: str = "fraud", **more: Any):
    """A pod of a Deployment, or of an Endpoint's routers; `more`: `status`, `node`, `metadata`."""
    name = f"{owner}-{component}-{suffix}"
    labels = {
        "app.kubernetes.io/managed-by": "wye",
        "wye.dev/owner": owner,
        "wye.dev/component": component,
        "wye.dev/endpoint": of,
    }
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [container(component, ready=ready, life=name)],
    }
    return {
        "metadata": _metadata(name, labels=labels, **more.get("metadata", {})),
        "spec": {"nodeName": more.get("node", "node-1")},
        "status": status | more.get("status", {}),
    }


def router(of: str = "fraud", suffix: str = "1", **more: Any):
    return pod(of, suffix, component="router", of=of, **more)


def container(name: str, *, ready: bool = True, life: str = "1", **more: Any) -> dict[str, Any]:
    """A container's status; `more`: `state`, `lastState`, `restartCount`."""
    running = {"running": {"startedAt": BORN}}
    return {
        "name": name,
        "ready": ready,
        "restartCount": 0,
        "state": running,
        "containerID": f"c://{life}/{name}",
        **more,
    }


def secret(name: str = "fraud-keys", primary: str = "first-key", secondary: str = "second-key") -> dict[str, Any]:
    data = {"primaryKey": primary, "secondaryKey": secondary}
    return {
        "metadata": _metadata(name),
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


UNSCHEDULABLE = {
    "phase": "Pending",
    "containerStatuses": [],
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient cpu.",
        }
    ],
}
CRASHING = {
    "containerStatuses": [
        container(
            "model",
            ready=False,
            life="9",
            restartCount=4,
            state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
            lastState={
                "terminated": {
                    "exitCode": 3,
                    "reason": "Error",
                    "finishedAt": BORN,
                    "message": '{"reason": "ModelInvalid", "message": "model.onnx is truncated"}',
                }
            },
        )
    ]
}
