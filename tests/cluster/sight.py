"""A scene to look at: Endpoints that are well, that will hurt, that will be lost, and a Prometheus that sees them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import toys
from cluster import prometheus
from cluster.kube import Namespace
from cluster.load import PAUSE, Load, Request
from cluster.serving import API, BODY, Served, waited
from wye_operator import figures as f

CODE = """
import time


def init():
    pass


def run(data):
    time.sleep(1.2)
    raise ValueError("planted")
"""
SLOW = {
    "codeConfiguration": {"code": "configmap://slow", "scoringScript": "score.py"},
    "requestSettings": {"maxConcurrentRequestsPerInstance": 4, "maxQueueWaitMs": 1100},
}
PATIENT = {"requestSettings": {"requestTimeoutMs": 30_000}}  # with greedy callers, too, who may be slow to come


def endpoint(name: str, **spec) -> dict:
    return {"apiVersion": API, "kind": "Endpoint", "metadata": {"name": name}, "spec": spec}


def deployment(of: str, called: str, **spec) -> dict:
    model = {} if "codeConfiguration" in spec else {"model": {"uri": "configmap://models/one.onnx"}}
    base = {"endpointName": of, "name": called, **model}
    return {"apiVersion": API, "kind": "Deployment", "metadata": {"name": f"{of}-{called}"}, "spec": base | spec}


FRAUD = endpoint(
    "fraud",
    traffic={"blue": 70, "green": 30},
    mirrorTraffic={"violet": 100},
    limits={"requestsPerSecond": 100_000},
    router={"resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "192Mi"}}},
)
SCENE = [
    *(FRAUD, *(deployment("fraud", name, **PATIENT) for name in ("blue", "green", "violet"))),
    *(endpoint("hurt", traffic={"fast": 100}), deployment("hurt", "fast"), deployment("hurt", "slow", **SLOW)),
    *(endpoint("lost"), deployment("lost", "gone")),
]
EVERYBODY = len(SCENE) + 1  # who is scraped: a pod for each of them, and the operator


def mirrored(percent: float) -> dict:
    """Copies to a shadow that is too slow for them."""
    return endpoint("hurt", traffic={"fast": 100}, mirrorTraffic={"slow": percent})


@dataclass(frozen=True)
class Sight:
    """The scene, and who looks at it."""

    namespace: Namespace
    seen: prometheus.Prometheus

    def of(self, name: str) -> Served:
        """An Endpoint."""
        return Served(self.namespace, name)

    def pod(self, name: str, deployment: str = "") -> str:
        """The router of an Endpoint, or the instance of one of its Deployments."""
        of = f"wye.dev/deployment={deployment}" if deployment else "wye.dev/component=router"
        items = self.namespace.json("get", "pods", "-l", f"wye.dev/endpoint={name},{of}")["items"]
        [found] = [each["metadata"]["name"] for each in items if not each["metadata"].get("deletionTimestamp")]
        return found

    def uid(self, name: str) -> str:
        """Of the router of an Endpoint."""
        return self.namespace.json("get", "pod", self.pod(name))["metadata"]["uid"]

    def load(self, name: str, connections: int, pause: float = PAUSE, **headers: str) -> Load:
        served = self.of(name)
        given = {"Authorization": f"Bearer {served.key}", "Content-Type": "application/json", **headers}
        return Load(self.namespace.cluster.backend.run, Request(served.url, BODY, given, connections, pause))

    def sum(self, metric: str, by: str = f.DEPLOYMENT, **labels: str) -> Counter[str]:
        """What a counter of the Endpoint that is well stands at, by one of its labels."""
        chosen = {f.NAMESPACE: self.namespace.name, f.ENDPOINT: "fraud", **labels}
        braces = ",".join(f'{key}="{value}"' for key, value in chosen.items())
        found = self.seen.query(f"sum by ({by}) ({metric}{{{braces}}})")
        return Counter({each["metric"].get(by, ""): int(each["value"][1]) for each in found})


def prepare(own: Namespace, folder: Path) -> None:
    toys.saved(toys.linear(7), folder / "one.onnx")
    own.kubectl("create", "configmap", "models", f"--from-file={folder / 'one.onnx'}")
    own.kubectl("create", "configmap", "slow", f"--from-literal=score.py={CODE}")
    own.apply(*SCENE)
    Served(own).ready()
    for name in ("fraud", "hurt", "lost"):
        served = Served(own, name)
        waited(lambda served=served: served.ask(served.key)[0] == 200)


def counted(sight: Sight) -> dict[str, Counter[str]]:
    """As Prometheus has it now."""
    live, mirror = {f.TRAFFIC: f.LIVE}, {f.TRAFFIC: f.MIRROR}
    return {
        "routers, of callers": sight.sum(f.ASKED_BY_CLASS, f.CLASS),
        "routers, of models": sight.sum(f.REQUESTS_BY_CLASS, **live),
        "models": sight.sum(f.ANSWERED, **live),
        "routers, of copies": sight.sum(f.REQUESTS_BY_CLASS, **mirror),  # with those that were not made
        "copies at models": sight.sum(f.ANSWERED, **mirror),
    }


def access_log(sight: Sight) -> Counter[str]:
    """The router's lines of requests that were answered, by who did."""
    lines = sight.namespace.kubectl("logs", sight.pod("fraud")).splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{") and '"deployment"' in line]
    return Counter(each["deployment"] for each in records if each["path"] == "/score" and each["status"] == 200)


def every_series(sight: Sight) -> set[str]:
    """Of the router and of the models, as their pages have them."""
    pods = {sight.pod("fraud"): "stats/prometheus"}
    pods |= {sight.pod("fraud", each): "metrics" for each in ("blue", "green", "violet")}
    found = set()
    for pod, page in pods.items():
        path = f"/api/v1/namespaces/{sight.namespace.name}/pods/{pod}:8081/proxy/{page}"
        lines = sight.namespace.kubectl("get", "--raw", path).splitlines()
        found |= {f"{pod} {line.rpartition(' ')[0]}" for line in lines if line and not line.startswith("#")}
    return found


def has_data(samples: list[dict]) -> bool:
    return any(not math.isnan(float(each["value"][1])) for each in samples)


def panels(sight: Sight, operator: str, rate: str) -> Iterator[str]:
    """Each query, with what Grafana would fill in."""
    chosen = {"$__rate_interval": rate, "$namespace": sight.namespace.name, "$endpoint": "fraud"}
    boards = sight.namespace.cluster.json("-n", operator, "get", "configmaps", "-l", "grafana_dashboard=1")["items"]
    assert len(boards) == 3
    for board in (json.loads(text) for each in boards for text in each["data"].values()):
        for target in (target for panel in board["panels"] for target in panel.get("targets", ())):
            query = target["expr"]
            for word, value in chosen.items():
                query = query.replace(word, value)
            yield query
