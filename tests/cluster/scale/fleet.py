"""Many Endpoints with three Deployments each, and what their status says as it changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cluster.kube import Cluster
from cluster.scale.crowd import POD
from cluster.scale.stub import SELECTOR, connected
from wye_operator.cluster.client import Client
from wye_operator.cluster.errors import ApiError
from wye_operator.cluster.kinds import (
    ACCOUNTS,
    CONFIGMAPS,
    DEPLOYMENTS,
    ENDPOINTS,
    NETWORK_POLICIES,
    SECRETS,
    SERVICES,
    WORKLOADS,
    Kind,
    Object,
)
from wye_operator.telemetry import Metrics

API = "wye.dev/v1alpha1"
NAMES = ("blue", "green", "violet")
AT_ONCE = 8
TELL = 30.0  # seconds between two lines that say how far it is
TRAFFIC = {"blue": 60, "green": 40}
CHILDREN = (WORKLOADS, SERVICES, CONFIGMAPS, ACCOUNTS, NETWORK_POLICIES, SECRETS)  # that the operator makes


def manifests(namespace: str, name: str) -> list[Object]:
    """One Endpoint that splits between two Deployments and mirrors to a third."""
    spec = {"traffic": TRAFFIC, "mirrorTraffic": {"violet": 10}, "router": {"pod": POD}}
    endpoint = {"apiVersion": API, "kind": "Endpoint", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    return [endpoint, *(_deployment(namespace, name, each) for each in NAMES)]


def _deployment(namespace: str, endpoint: str, name: str) -> Object:
    model = {"uri": f"https://models.test/{endpoint}/{name}/model.onnx", "sha256": "ab" * 32, "name": "fraud"}
    spec = {"endpointName": endpoint, "name": name, "model": model, "pod": POD}
    metadata = {"name": f"{endpoint}-{name}", "namespace": namespace}
    return {"apiVersion": API, "kind": "Deployment", "metadata": metadata, "spec": spec}


@dataclass
class Fleet:
    """The Endpoints, as a watch tells of them."""

    client: Client
    names: Sequence[tuple[str, str]]  # namespace, name
    seen: dict[Kind, dict[tuple[str, str], Object]] = field(default_factory=lambda: {ENDPOINTS: {}, DEPLOYMENTS: {}})
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def create(self) -> float:
        """Apply everything; how long that took."""
        begun = time.monotonic()
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(namespace: str, name: str) -> None:
            async with slots:
                for body in manifests(namespace, name):
                    await self.client.apply(body)

        await asyncio.gather(*(one(*each) for each in self.names))
        return time.monotonic() - begun

    async def edit(self, which: tuple[str, str], traffic: dict[str, int]) -> float:
        """Seconds until new weights are in effect."""
        begun = time.monotonic()
        namespace, name = which
        await self.client.patch(ENDPOINTS, namespace, name, {"spec": {"traffic": traffic}})
        await self.until(
            lambda: self._status(which).get("traffic") == traffic and self._is_ready(ENDPOINTS, which), 120
        )
        return time.monotonic() - begun

    def _status(self, which: tuple[str, str]) -> Object:
        return self.seen[ENDPOINTS].get(which, {}).get("status") or {}

    def ready(self) -> int:
        """How many Endpoints are Ready as they are asked for, with all their Deployments."""
        return sum(self._is_whole(each) for each in self.names)

    def _is_whole(self, which: tuple[str, str]) -> bool:
        namespace, name = which
        return self._is_ready(ENDPOINTS, which) and all(
            self._is_ready(DEPLOYMENTS, (namespace, f"{name}-{each}")) for each in NAMES
        )

    def _is_ready(self, kind: Kind, which: tuple[str, str]) -> bool:
        body = self.seen[kind].get(which)
        status = (body or {}).get("status") or {}
        states = {c["type"]: c["status"] for c in status.get("conditions") or ()}
        return bool(
            body
            and status.get("observedGeneration") == body["metadata"]["generation"]
            and states.get("Ready") == "True"
        )

    async def until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait for news that make it so."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(holds)

    async def all_ready(self, seconds: float) -> None:
        """Every Endpoint is Ready; looks once a second, which costs less than at each piece of news."""
        begun = told = time.monotonic()
        while (count := self.ready()) < len(self.names):
            now = time.monotonic()
            assert now < begun + seconds, f"{count} of {len(self.names)} Endpoints are Ready after {seconds} s"
            if now > told + TELL:
                told = now
                print(f"   {count} of {len(self.names)} Ready after {now - begun:.0f} s", flush=True)
            await asyncio.sleep(1)

    async def follow(self, kind: Kind) -> None:
        """Know what becomes of them, until cancelled."""
        while True:
            try:
                async for page in self.client.list(kind):
                    for body in page.items:
                        await self._keep(kind, body)
                async for event in self.client.watch(kind, None, "", page.version):
                    if event["type"] != "BOOKMARK":
                        await self._keep(kind, event["object"])
            except ApiError:  # a new kind is not served at once
                await asyncio.sleep(0.5)

    async def _keep(self, kind: Kind, body: Object) -> None:
        metadata = body["metadata"]
        self.seen[kind][metadata["namespace"], metadata["name"]] = body
        async with self._changed:
            self._changed.notify_all()

    async def children(self) -> int:
        """How many objects the operator has made."""
        return sum([1 for kind in CHILDREN async for _ in self._mine(kind, SELECTOR)])

    async def _mine(self, kind: Kind, selector: str) -> AsyncIterator[Object]:
        mine = {namespace for namespace, _ in self.names}
        async for page in self.client.list(kind, None, selector):
            for body in page.items:
                if body["metadata"]["namespace"] in mine:
                    yield body["metadata"]

    async def versions(self) -> dict[str, str]:
        """What every write changes, of the Endpoints and of all that was made for them."""
        return {
            f"{kind.plural} {of['namespace']}/{of['name']}": of["resourceVersion"]
            for kind, selector in (*((k, "") for k in self.seen), *((k, SELECTOR) for k in CHILDREN))
            async for of in self._mine(kind, selector)
        }


@asynccontextmanager
async def fleet(cluster: Cluster, names: Sequence[tuple[str, str]]) -> AsyncIterator[Fleet]:
    """The Endpoints of these names, followed for as long as the block lasts; nothing is created yet."""
    connection = connected(cluster.env["KUBECONFIG"])
    own = Fleet(Client(connection, Metrics()), names)
    tasks = [asyncio.create_task(own.follow(kind)) for kind in own.seen]
    try:
        yield own
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await connection.session.close()
