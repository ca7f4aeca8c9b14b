"""An Endpoint with its Deployments in a test's namespace, and a caller of it."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import toys
from cluster.kube import PATIENCE, KubectlFailed, Namespace
from cluster.load import Load, Request

API = "wye.dev/v1alpha1"
# what a router keeps (render/stats.py) of its pods' health; zeros say nothing
TELLING = re.compile(
    r"envoy_cluster_(membership_\w+|outlier_detection_ejections_\w+|upstream_cx_(none_healthy|connect_fail|overflow)"
    r"|upstream_rq_(retry|rx_reset|timeout|per_try_timeout|max_duration_reached|pending_failure_eject)){.*} [1-9]"
)
STILL = 4  # seconds
SLOW = {"requestSettings": {"requestTimeoutMs": 10_000}}  # twice the default: a busy machine is no lost request
BODY = json.dumps({"x": [[1, 2, 3, 4, 5, 6, 7]]})


def endpoint(**spec) -> dict:
    return {"apiVersion": API, "kind": "Endpoint", "metadata": {"name": "fraud"}, "spec": spec}


def deployment(called: str, **spec) -> dict:
    """`fraud-CALLED`, with the model `one.onnx` of the ConfigMap `models`."""
    base = {"endpointName": "fraud", "name": called, "model": {"uri": "configmap://models/one.onnx"}, **SLOW}
    metadata = {"name": f"fraud-{called}"}
    return {"apiVersion": API, "kind": "Deployment", "metadata": metadata, "spec": base | spec}


@dataclass(frozen=True)
class Served:
    """The Endpoint `fraud`, or another one, of a namespace."""

    namespace: Namespace
    name: str = "fraud"

    @classmethod
    def prepare(cls, namespace: Namespace, folder: Path) -> Served:
        """The models, in a ConfigMap; nothing is applied yet."""
        for name, width in (("one", 7), ("two", 7)):
            toys.saved(toys.linear(width), folder / f"{name}.onnx")
        (folder / "two.onnx").write_bytes((folder / "two.onnx").read_bytes() + b"\x32\x01t")  # other bytes, same model
        namespace.kubectl("create", "configmap", "models", f"--from-file={folder}")
        return cls(namespace)

    def apply(self, *objects: dict) -> None:
        """Apply, and wait until the Endpoint is Ready as asked."""
        self.namespace.apply(*objects)
        self.ready()

    def ready(self) -> None:
        """The Endpoint and all its Deployments are Ready, in their newest generation."""
        found = lambda: self.namespace.json("get", "wye")["items"]  # noqa: E731
        waited(lambda: all(map(_is_ready, found())), lambda: self.namespace.kubectl("get", "wye", "-o", "wide"))

    def reason(self, what: str = "mle/fraud") -> str:
        """Of the condition Ready; "" before the operator has looked."""
        conditions = self.namespace.json("get", what)["status"].get("conditions", ())
        return next((c["reason"] for c in conditions if c["type"] == "Ready"), "")

    @property
    def key(self) -> str:
        return base64.b64decode(
            self.namespace.json("get", "secret", f"{self.name}-keys")["data"]["primaryKey"]
        ).decode()

    @property
    def url(self) -> str:
        spec = self.namespace.json("get", "service", self.name)["spec"]
        return f"{spec['ports'][0]['name']}://{spec['clusterIP']}/score"

    def ask(self, key: str) -> tuple[int, str]:
        """One call from inside the cluster's network: status and body; 0 when there was no answer."""
        return self.namespace.cluster.asker.ask(self.url, key, BODY)

    def answered(self, key: str) -> tuple[int, str]:
        """The first answer: a Service of a moment ago may not be known to the node yet."""
        told = [(0, "")]
        waited(lambda: told.append(self.ask(key)) or told[-1][0] != 0)
        return told[-1]

    def load(self, key: str = "", body: str = BODY) -> Load:
        """16 callers, from the moment on at which the node knows the Service: until then it refuses connections."""
        self.answered(key or self.key)
        headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
        return Load(self.namespace.cluster.backend.run, Request(self.url, body, headers))

    def pods(self, component: str) -> list[str]:
        """Names of the pods of the `router` or of the models (`model`) that stay, the oldest first."""
        selector = f"wye.dev/component={component}"
        found = [pod["metadata"] for pod in self.namespace.json("get", "pods", "-l", selector)["items"]]
        staying = [metadata for metadata in found if not metadata.get("deletionTimestamp")]
        return [metadata["name"] for metadata in sorted(staying, key=lambda m: (m["creationTimestamp"], m["name"]))]

    def are_ready(self, component: str, count: int, without: Collection[str] = ()) -> bool:
        """Whether that many pods stay, all of them ready and none of them one of those."""
        names = self.pods(component)
        return len(names) == count and not {*names} & {*without} and all(map(self.is_ready, names))

    def is_ready(self, pod: str) -> bool:
        """By the pod's own condition: that of its workload comes later."""
        conditions = self.namespace.json("get", "pod", pod)["status"].get("conditions", ())
        return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)

    def lost_nothing(self, load: Load) -> None:
        """Fails with all that is known of the losses when there are any."""
        assert load.lost == 0, "\n".join([f"lost {load.lost}", *load.losses[:40], *self.evidence()])

    def evidence(self) -> list[str]:
        """Of each router that is there: the last answers but 200 in its log, and what it thinks of its pods."""
        lines: list[str] = []
        for router in self.pods("router"):
            log = self.namespace.attempt("logs", router).stdout.splitlines()
            failed = [line for line in log if '"status":' in line and '"status":200' not in line.replace(" ", "")]
            rejected = [line for line in log if "rejected" in line]
            page = self.namespace.attempt("get", "--raw", self._figures_of(router)).stdout.splitlines()
            lines += [f"== {router}", *failed[-20:], *rejected[-5:], *filter(TELLING.match, page)]
        return lines

    def _figures_of(self, router: str) -> str:
        return f"/api/v1/namespaces/{self.namespace.name}/pods/{router}:8081/proxy/stats/prometheus"

    def traffic(self) -> dict[str, float]:
        """The weights in effect."""
        return self.namespace.json("get", "mle", self.name)["status"].get("traffic", {})


def _is_ready(item: dict) -> bool:
    status = item.get("status", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
    return status.get("observedGeneration") == item["metadata"]["generation"] and conditions.get("Ready") == "True"


def waited(holds: Callable[[], bool], said: Callable[[], str] = str) -> float:
    """How long it took until it holds. What kubectl is refused meanwhile, by a server that starts anew, is not yet."""
    begun, refused = time.monotonic(), ""
    while True:
        try:
            if holds():
                return time.monotonic() - begun
        except KubectlFailed as failure:
            refused = f"; at last {failure}"
        assert time.monotonic() < begun + PATIENCE, f"not within {PATIENCE} s{refused}\n{said()}"
        time.sleep(0.05)


def versions(namespace: Namespace) -> dict[str, str]:
    """What changes with every write of ours, of our objects and of all that was made for them."""
    kinds = "mle,mld,deployments.apps,services,configmaps,secrets,serviceaccounts,networkpolicies"
    items = namespace.json("get", kinds)["items"]
    return {f"{item['kind']} {item['apiVersion']} {item['metadata']['name']}": _version(item) for item in items}


def _version(item: dict) -> str:
    """Of workloads all but what Kubernetes writes there itself: their status, whenever a probe finds them busy."""
    if item["apiVersion"] != "apps/v1":
        return item["metadata"]["resourceVersion"]
    kept = {name: value for name, value in item["metadata"].items() if name not in ("resourceVersion", "managedFields")}
    return json.dumps([kept, item["spec"]], sort_keys=True)


def settled(namespace: Namespace) -> dict[str, str]:
    """The versions, when nothing was written for some seconds: what follows on Ready is done."""
    seen, since = versions(namespace), time.monotonic()

    def stands() -> bool:
        nonlocal seen, since
        if (now := versions(namespace)) != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > STILL

    waited(stands)
    return seen
