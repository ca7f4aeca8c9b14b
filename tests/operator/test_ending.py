"""How the process ends, against an API server over HTTP that has every kind and no object but the Lease."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from ports import free_port
from wye_operator.cluster.kinds import KINDS

KUBECONFIG = """\
{apiVersion: v1, kind: Config, current-context: it, clusters: [{name: it, cluster: {server: "%s"}}],
 users: [{name: it, user: {token: it}}], contexts: [{name: it, context: {cluster: it, user: it}}]}
"""
LEASE = "/apis/coordination.k8s.io/v1/namespaces/wye-system/leases"
SOON = 60  # seconds, on a busy machine; it was 84 on an idle one
NO_MORE = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd said no"}}


class Server:
    """What the operator reads of it and writes to it. `pods`: what the watch of pods says next."""

    def __init__(self) -> None:
        self.lease: dict = {}
        self.pods: asyncio.Queue[dict | None] = asyncio.Queue()
        self.over = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith(LEASE):
            return await self.leased(request)
        if request.query.get("watch"):
            return await self.watched(request)
        return web.json_response(discovered(request.path))

    async def leased(self, request: web.Request) -> web.Response:
        if request.method != "GET":
            version = int(self.lease.get("metadata", {}).get("resourceVersion", 0)) + 1
            self.lease = await request.json()
            self.lease["metadata"]["resourceVersion"] = str(version)
        return web.json_response(self.lease, status=200 if self.lease else 404)

    async def watched(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        if request.path.endswith("/pods") and (said := await self.pods.get()):
            await stream.write(json.dumps(said).encode() + b"\n")
        await self.over.wait()
        return stream

    @property
    def leader(self) -> str:
        return self.lease.get("spec", {}).get("holderIdentity", "")


def discovered(path: str) -> dict:
    """Groups, kinds, and lists with nothing in them."""
    named = [(k.group, k.version, k.plural, k.name) for k in KINDS]
    named += [("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")]
    named += [("", "v1", "namespaces", "Namespace"), ("", "v1", "events", "Event")]
    versions = {group: version for group, version, _, _ in named}
    if path == "/api":
        return {"versions": ["v1"]}
    if path == "/apis":
        entries = [(g, {"version": v, "groupVersion": f"{g}/{v}"}) for g, v in versions.items() if g]
        return {"groups": [{"name": g, "versions": [v], "preferredVersion": v} for g, v in entries]}
    kinds = [(p, k) for g, v, p, k in named if path == (f"/apis/{g}/{v}" if g else f"/api/{v}")]
    if kinds:
        form = {"singularName": "", "namespaced": True, "verbs": ["list", "watch"]}
        return {"resources": [{"name": plural, "kind": kind, **form} for plural, kind in kinds]}
    return {"metadata": {"resourceVersion": "1"}, "items": []}


@asynccontextmanager
async def leading(folder, *words):
    """(an API server, the process that leads there)."""
    server, application = Server(), web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (folder / "config").write_text(KUBECONFIG % f"http://127.0.0.1:{runner.addresses[0][1]}")
    images = ("--runtime-image=one", "--router-image=two", "--operator-namespace=wye-system")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wye_operator.cli.main", "operator", f"--port={free_port()}", *images, *words),
        env={"KUBECONFIG": str(folder / "config")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(120):
            while not server.leader:
                assert process.returncode is None, await process.stderr.read()
                await asyncio.sleep(0.02)
        yield server, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
        server.over.set()
        server.pods.put_nowait(None)
        await runner.cleanup()


@pytest.mark.parametrize("words", [(), ("--namespace=default",)], ids=["all namespaces", "one namespace"])
async def test_when_watching_breaks_the_process_ends_and_says_why(tmp_path, words):
    """kopf waited for itself: 84 s without an operator, until its health said so."""
    async with leading(tmp_path, *words) as (server, process), asyncio.timeout(SOON):
        server.pods.put_nowait(NO_MORE)
        _, said = await process.communicate()
        assert (process.returncode, server.leader) == (1, "")
        assert said.decode().splitlines()[-1].startswith("wye: it cannot watch the cluster any more: ")
        assert "etcd said no" in said.decode()


async def test_told_to_end_it_hands_its_lease_back(tmp_path):
    async with leading(tmp_path) as (server, process), asyncio.timeout(SOON):
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        assert (process.returncode, server.leader) == (0, "")
