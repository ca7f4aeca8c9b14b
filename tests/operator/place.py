"""A whole cluster in memory: the fake API server, what controllers and kubelet do, routers that read files, a clock.

`settle()` runs passes as the work queue would until nothing is due within the horizon; time is a number.
"""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import replace
from typing import Any

from wye_operator.cluster.base import Cluster
from wye_operator.cluster.follow import selector_of
from wye_operator.cluster.identity import reader
from wye_operator.cluster.kinds import CONFIGMAPS, FOLLOWED, PODS, SECRETS, SERVICES, SLICES, WATCHED, WORKLOADS
from wye_operator.cluster.passes import Passes
from wye_operator.cluster.queue import Schedule
from wye_operator.cluster.reads import Reads
from wye_operator.cluster.store import Key, Store
from wye_operator.cluster.terms import Terms
from wye_operator.cluster.upgrades import Upgrades
from wye_operator.errors import WyeError
from wye_operator.issuers import KeySets, Unread
from wye_operator.plan.names import BUMPED, COMPONENT, ENDPOINT, MANAGED_BY, ROUTER, digest
from wye_operator.plan.world import THIS_CLUSTER, Deadlines, KeySet, Signature, Taken, TensorSeen
from wye_operator.render.kubernetes import ClusterPlace, Images
from wye_operator.telemetry import Metrics

from .fake import FakeApi

KEPT = (*WATCHED, *FOLLOWED)
MODEL = Signature(
    "fraud", "1", "ab" * 32, 100, (TensorSeen("x", "FP32", (-1, 3)),), (TensorSeen("y", "FP32", (-1, 1)),)
)
NOWHERE = ClusterPlace("", "", "", {}, Images("wye-runtime:1", "wye-runtime-gpu:1", "envoy:1"), "wye-system")


def endpoint(name="fraud", **spec) -> dict[str, Any]:
    return {
        "apiVersion": "wye.dev/v1alpha1",
        "kind": "Endpoint",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def deployment(name="fraud-blue", of="fraud", **spec) -> dict[str, Any]:
    short = name.removeprefix(f"{of}-")
    body = {"endpointName": of, "name": short, "model": {"uri": "https://models.test/model.onnx"}, **spec}
    return {
        "apiVersion": "wye.dev/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": body,
    }


class Pods:
    """Answers for the pods' inner ports: a router has what it read when it started or was last bumped."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.has: dict[str, tuple[str, Taken]] = {}
        self.asleep: set[str] = set()  # routers that read nothing
        self.silent: set[str] = set()  # routers that do not answer
        self.refuses = ""  # no router takes routes that have this in them
        self.left_out: dict[str, int] = {}  # copies that a router did not make
        self.traces_lost = 0  # messages with spans that no collector took
        self.signatures: dict[str, Signature | str] = {}  # by owner
        self.asked = 0

    async def signature(self, pod: str, host: str) -> Signature | str:
        self.asked += 1
        return self.signatures.get(self._at(host)["metadata"]["labels"]["wye.dev/owner"], MODEL)

    async def taken(self, host: str) -> Taken | None:
        pod = self._at(host)
        name, metadata = pod["metadata"]["name"], pod["metadata"]
        if name in self.silent:
            return None
        bump = (metadata.get("annotations") or {}).get(BUMPED, "")
        if name not in self.has or (self.has[name][0] != bump and name not in self.asleep):
            before = self.has[name][1] if name in self.has else Taken()
            self.has[name] = (bump, self._read(metadata["labels"][ENDPOINT], before))
        return replace(self.has[name][1], left_out=self.left_out, traces_lost=self.traces_lost)

    def forget(self, pods: Any) -> None:
        pass

    def _at(self, host: str) -> dict[str, Any]:
        return next(o for (k, _, _), o in self.api.objects.items() if k == PODS and o["status"]["podIP"] == host)

    def _read(self, name: str, before: Taken) -> Taken:
        files = self.api.find(CONFIGMAPS, f"{name}-router")["data"]
        kept = self.api.find(SECRETS, f"{name}-router")["data"]
        auth, tls = (json.loads(base64.b64decode(kept.get(f, "e30="))) for f in ("auth.json", "tls.json"))
        versions = {file: json.loads(files[file])["version_info"] for file in files if "ds" in file[:4]}
        hosts = {
            body["resources"][0]["cluster_name"]: body["version_info"]
            for file, text in files.items()
            if file.startswith("eds-")
            for body in [json.loads(text)]
        }
        shown = tls.get("version_info", "")
        taken = Taken(versions["cds.json"], versions["rds.json"], auth["version_info"], hosts, certificate=shown)
        if not self.refuses or self.refuses not in files["rds.json"]:
            return replace(taken, refusals=before.refusals)
        return replace(taken, routes=before.routes, refusals={"routes": before.refusals.get("routes", 0) + 1})


class Machinery:
    """Deployment controller, kubelet and EndpointSlice controller, all at once."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.addresses = itertools.count(1)
        self.broken: dict[str, dict[str, Any]] = {}  # by owner: the status its new pods have instead
        self.uids = itertools.count(1)
        self.slow: set[str] = set()  # Deployments of apps/v1 whose pods are not replaced now
        self.given_up: set[str] = set()  # those of which the cluster says that their rollout does not get on
        self.refused: dict[str, str] = {}  # those whose pods the cluster does not make, and what it says

    def run(self) -> None:
        for kind, _, name in list(self.api.objects):
            if kind == WORKLOADS:
                self._pods(name)
        for kind, _, name in list(self.api.objects):
            if kind == SERVICES:
                self._service(name)

    def _pods(self, name: str) -> None:
        of = self.api.find(WORKLOADS, name)
        template, labels = of["spec"]["template"], of["spec"]["template"]["metadata"]["labels"]
        version, replicas = digest(template), of["spec"]["replicas"]
        there = self._there(name)
        if name in self.slow and there and replicas:
            self._progress(name, f"{name}-{version}-")
            return
        wanted = {f"{name}-{version}-{n}" for n in range(replicas)}
        if name in self.refused:
            self._progress(name, f"{name}-{version}-")
            return
        for gone in there - wanted:
            self.api.remove(PODS, gone)
        for new in sorted(wanted - there):
            metadata = {**template["metadata"], "name": new, "namespace": "default"}
            metadata["ownerReferences"] = [{"kind": "Deployment", "name": name, "uid": of["metadata"]["uid"]}]
            self.api.user(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": metadata,
                    "spec": {"nodeName": "n"},
                    "status": self._status(labels["wye.dev/owner"] if labels[COMPONENT] != ROUTER else ""),
                }
            )
        self._progress(name, f"{name}-{version}-")

    def _there(self, name: str) -> set[str]:
        return {p for p in self.api.names(PODS) if p.rpartition("-")[0].rpartition("-")[0] == name}

    def _progress(self, name: str, newest: str) -> None:
        of, pods = self.api.find(WORKLOADS, name), self._there(name)
        status_of = {p: self.api.find(PODS, p)["status"] for p in pods}
        ready = [p for p in pods if any(c["type"] == "Ready" for c in status_of[p].get("conditions") or ())]
        updated = [p for p in pods if p.startswith(newest)]
        complete = len(ready) == len(updated) == len(pods)
        waits = "ProgressDeadlineExceeded" if name in self.given_up else "ReplicaSetUpdated"
        status = {
            "observedGeneration": of["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(updated),
            "availableReplicas": len(ready),
            "conditions": [{"type": "Progressing", "reason": "NewReplicaSetAvailable" if complete else waits}],
        }
        if name in self.refused:
            failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
            status["conditions"].append({**failure, "message": self.refused[name]})
        if of.get("status") != status:
            self.api.user({**of, "status": status})

    def _status(self, owner: str) -> dict[str, Any]:
        ip = f"10.0.0.{next(self.addresses)}"
        if owner in self.broken:
            return {"podIP": ip, "phase": "Pending", **self.broken[owner]}
        return {"podIP": ip, "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}

    def _service(self, name: str) -> None:
        service = self.api.find(SERVICES, name)
        if "clusterIP" not in service["spec"]:
            address = f"10.96.0.{next(self.addresses)}"
            self.api.user({**service, "spec": {**service["spec"], "clusterIP": address}})
        chosen = service["spec"]["selector"].items() or {("nobody", "")}
        pods = [
            o for (k, _, _), o in self.api.objects.items() if k == PODS and chosen <= o["metadata"]["labels"].items()
        ]
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": any(c["type"] == "Ready" for c in pod["status"].get("conditions", ()))},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"]},
            }
            for pod in sorted(pods, key=lambda p: p["metadata"]["name"])
        ]
        body = {
            "apiVersion": SLICES.api_version,
            "kind": SLICES.name,
            "metadata": {
                "name": f"{name}-1",
                "namespace": "default",
                "labels": service["metadata"].get("labels", {}),
                "ownerReferences": [{"kind": "Service", "name": name, "uid": service["metadata"]["uid"]}],
            },
            "endpoints": endpoints,
        }
        old = self.api.objects.get((SLICES, "default", f"{name}-1"))
        if old is None or old["endpoints"] != endpoints:
            self.api.user(body)


class Place:
    """The cluster and one operator in it."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.machinery = Machinery(self.api)
        self.pods = Pods(self.api)
        self.time = 1_000.0
        self.failures: list[Exception] = []
        self.where, self.terms = NOWHERE, Terms()  # what the next operator is told
        self.issuers: dict[str, KeySet | str] = {}  # by jwksUri: the key set, or why there is none
        self.restart()

    def restart(self) -> None:
        """A new operator process: it knows nothing but what a LIST says."""
        self.store, self.schedule = Store(), Schedule[Key](gap=0)
        self.metrics = Metrics()
        self.reads = Reads(self.api, self.wake, lambda: self.time)
        self.key_sets = KeySets(self.read_key_set, self.wake, lambda: self.time)
        keys = itertools.count(1)
        cluster = Cluster(
            api=self.api,
            store=self.store,
            reads=self.reads,
            asks=self.pods,
            key_sets=self.key_sets,
            metrics=self.metrics,
            upgrades=Upgrades(self.store, self.wake, self.metrics, self.terms, lambda: self.time),
            place=self.where,
            now=lambda: self.time,
            clock=lambda: self.time,
            fresh_key=lambda: f"key-{next(keys)}",
            deadlines=Deadlines(),
        )
        self.passes = Passes(cluster, self.schedule.forget)
        self.api.heard = [self._hear]

    async def read_key_set(self, source: str) -> KeySet:
        """What an issuer answers: of this cluster the real reader asks the API server."""
        if source == THIS_CLUSTER:
            return await reader(self.api, None)(source)  # type: ignore[arg-type]
        found = self.issuers.get(source, "it does not answer")
        if isinstance(found, str):
            raise Unread(found)
        return found

    def wake(self, key: Key) -> None:
        self.schedule.add(key, self.time)

    def _hear(self, kind: Any, event: str, body: Any) -> None:
        ours = not selector_of(kind) or (body["metadata"].get("labels") or {}).get(MANAGED_BY) == "wye"
        if kind in KEPT and ours:
            for key in self.store.drop(kind, body) if event == "DELETED" else self.store.put(kind, body):
                self.wake(key)

    async def list(self) -> None:
        """As at start, and after kopf lost something."""
        for kind in KEPT:
            self.store.begin_list(kind)
            concerned = set()
            async for page in self.api.list(kind, None, selector_of(kind)):
                concerned |= self.store.list_page(kind, page.items)
            for key in concerned | self.store.end_list(kind, page.version):
                self.wake(key)

    async def settle(self, horizon: float = 5.0, seconds: float = 3600) -> int:
        """Run passes until nothing is due within the horizon, or the seconds are over; returns how many there were."""
        end = self.time + seconds
        if not self.store.listed:
            await self.list()
        passes = 0
        while passes < 300:
            self.machinery.run()
            due = self.schedule.next_at()
            if due is None or due > min(self.time + horizon, end):
                return passes
            self.time = max(self.time, due) + 0.01
            key, _ = self.schedule.take(self.time) or (None, 0)
            if key is not None:
                passes += 1
                await self._pass(key)
        raise AssertionError(f"it never settles: {self.api.calls[-30:]}")

    async def _pass(self, key: Key) -> None:
        try:
            look_again = await self.passes.run(key)
        except WyeError as error:
            self.failures.append(error)
            self.schedule.failed(key, self.time, getattr(error, "retry_after", 0.0))
        else:
            self.schedule.done(key, self.time, look_again)

    def status(self, kind: Any, name: str) -> dict[str, Any]:
        return self.api.find(kind, name).get("status") or {}

    def ready(self, kind: Any, name: str) -> tuple[str, str]:
        """(status, reason) of the condition Ready."""
        found = next(c for c in self.status(kind, name)["conditions"] if c["type"] == "Ready")
        return found["status"], found["reason"]
