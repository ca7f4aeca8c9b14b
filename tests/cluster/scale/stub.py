"""The one process behind all pods of kwok's nodes: it answers each of their addresses on the inner port.

    KUBECONFIG=FILE python stub.py      in the cluster's network, where the pods' range is local

A model server says its signature. A router says the versions of the files as it read them: when it started, and again
whenever its pod was bumped, as kubelet reads a volume again; never what the operator has merely written since.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
from collections.abc import Mapping

import kopf
from aiohttp import ClientSession, TCPConnector, web

from wye_operator.cluster.client import Client, Connection
from wye_operator.cluster.errors import ApiError, NotFound
from wye_operator.cluster.kinds import CONFIGMAPS, PODS, SECRETS, Object
from wye_operator.plan.names import BUMPED, COMPONENT, ENDPOINT, MANAGED_BY, MANAGER, ROUTER, router_name
from wye_operator.telemetry import Metrics

PORTS = (8080, 8081)
SELECTOR = f"{MANAGED_BY}={MANAGER}"
TENSORS = [{"name": "x", "datatype": "FP32", "shape": [-1, 7]}], [{"name": "p", "datatype": "FP32", "shape": [-1, 1]}]
SIGNATURE = {
    "model": {
        "name": "fraud",
        "version": "1",
        "sha256": "ab" * 32,
        "sizeBytes": 1000,
        "inputs": TENSORS[0],
        "outputs": TENSORS[1],
    }
}
GAUGE = 'envoy_{metric}_version_text{{{label}text_value="{version}"}} 0'


class Stub:
    """What each address answers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pods: dict[str, Object] = {}  # by address
        self._said: dict[str, tuple[str, str]] = {}  # router's address -> (its pod and bump, the page)

    async def follow(self) -> None:
        """Know all pods, until cancelled."""
        while True:
            try:
                async for listed in self._client.list(PODS, None, SELECTOR):
                    for pod in listed.items:
                        self._heard("ADDED", pod)
                async for event in self._client.watch(PODS, None, SELECTOR, listed.version):
                    self._heard(event["type"], event["object"])
            except ApiError as error:
                logging.warning("the watch of the pods: %s", error)
                await asyncio.sleep(1)

    def _heard(self, kind: str, pod: Object) -> None:
        address = pod.get("status", {}).get("podIP")
        if kind in ("ADDED", "MODIFIED") and address:
            slim = {name: pod["metadata"].get(name) for name in ("name", "namespace", "uid", "labels", "annotations")}
            self._pods[address] = {"metadata": slim}
        elif kind == "DELETED" and self._uid(address) == pod["metadata"]["uid"]:
            del self._pods[address]

    def _uid(self, address: str | None) -> str:
        return self._pods[address]["metadata"]["uid"] if address in self._pods else ""

    async def answer(self, request: web.Request) -> web.Response:
        """Whoever is asked is told by the address that was called."""
        address = request.transport.get_extra_info("sockname")[0]
        pod = self._pods.get(address)
        if pod is None:
            return web.Response(status=503, text="no pod has this address yet")
        if pod["metadata"]["labels"][COMPONENT] == ROUTER:
            return web.Response(text=await self._router(address, pod["metadata"]))
        return web.json_response(SIGNATURE)

    async def _router(self, address: str, metadata: Object) -> str:
        state = f"{metadata['uid']} {(metadata.get('annotations') or {}).get(BUMPED, '')}"
        if self._said.get(address, ("", ""))[0] != state:
            self._said[address] = (state, await self._read(metadata))
        return self._said[address][1]

    async def _read(self, metadata: Object) -> str:
        where = metadata["namespace"], router_name(metadata["labels"][ENDPOINT])
        try:
            files = (await self._client.get(CONFIGMAPS, *where))["data"]
            auth = (await self._client.get(SECRETS, *where))["data"]["auth.json"]
        except NotFound:
            return ""
        return page(files, base64.b64decode(auth).decode())


def page(files: Mapping[str, str], auth: str) -> str:
    """What a router says that has read these files: the version of each."""
    lines = [
        line("cluster_manager_cds", files["cds.json"]),
        line("http_rds", files["rds.json"]),
        line("extension_config_discovery_http_filter_auth", auth),
    ]
    for name, text in sorted(files.items()):
        if name.startswith("eds-"):
            cluster = json.loads(text)["resources"][0]["cluster_name"]
            lines.append(line("cluster", text, f'envoy_cluster_name="{cluster}",'))
    return "\n".join(lines) + "\n"


def line(metric: str, file: str, label: str = "") -> str:
    """One version as Envoy says it."""
    return GAUGE.format(metric=metric, label=label, version=json.loads(file)["version_info"])


def connected(kubeconfig: str) -> Connection:
    """The API server of a kubeconfig."""
    os.environ["KUBECONFIG"] = kubeconfig  # where kopf looks
    found = kopf.login_with_kubeconfig(settings=kopf.OperatorSettings())
    connection = Connection()
    connector = TCPConnector(ssl=found.as_ssl_context(), limit=64)
    connection.use(ClientSession(connector=connector, headers=found.as_http_headers()), found.server)
    return connection


async def serve() -> None:
    connection = connected(os.environ["KUBECONFIG"])
    stub = Stub(Client(connection, Metrics()))
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", stub.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    for port in PORTS:
        await web.TCPSite(runner, "0.0.0.0", port, backlog=1024).start()
    try:
        await stub.follow()
    finally:
        await runner.cleanup()
        await connection.session.close()


if __name__ == "__main__":
    asyncio.run(serve())
