"""An API server over HTTP, for the real `kubernetes` client: objects, selectors, logs that go on, port-forwards.

It runs in a thread with a loop of its own. A test writes what it knows (`add`, `logs`, `forbidden` …) at any time.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web

TOKEN = "the-token"


def at(second: int) -> str:
    """A time stamp of a log line."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")


class Log:
    """What one life of a container wrote; `ended` lets those go who follow it."""

    def __init__(self, *lines: tuple[int, str], ended: bool = True) -> None:
        self.lines = list(lines)
        self.ended = ended
        self.cut = False  # break off a stream that follows, once


class ApiServer:
    """What a test sets, and `asked`: the paths with their queries."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}  # (namespace, plural) -> name -> object
        self.logs: dict[tuple[str, str], Log] = {}  # (pod, container), or (pod, "container/previous")
        self.kinds = {"mlendpoints", "mldeployments", "pods", "secrets", "configmaps"}
        self.forbidden: set[str] = set()  # resources, such as "pods/log", or with a verb: "patch secrets"
        self.written: Callable[[str, dict[str, Any]], None] = lambda plural, change: None  # hears of each PATCH
        self.broken = False  # a proxy before it answers in its place
        self.target: tuple[str, int] | None = None  # where port-forwards lead
        self.lost: set[str] = set()  # pods whose node is gone: nothing is said of a port-forward to them …
        self.late: set[str] = set()  # … and others, of which something is said when all of them were asked for
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.tokens: set[str] = {TOKEN}

    def add(self, plural: str, *bodies: dict[str, Any]) -> None:
        for body in bodies:
            namespace = body["metadata"].setdefault("namespace", "team")
            self.objects.setdefault((namespace, plural), {})[body["metadata"]["name"]] = body

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve; the URL."""
        loop, runner = asyncio.new_event_loop(), web.AppRunner(self._app(), shutdown_timeout=0.2)
        loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        loop.run_until_complete(site.start())
        port = site._server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            asyncio.run_coroutine_threadsafe(self._end(runner), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _end(self, runner: web.AppRunner) -> None:
        await runner.cleanup()
        if handlers := asyncio.all_tasks() - {asyncio.current_task()}:  # their callers are gone
            await asyncio.wait(handlers, timeout=5)
        await asyncio.sleep(0.01)  # closed connections are taken away in the next turn of the loop

    def _app(self) -> web.Application:
        app = web.Application()
        for root in ("/api/v1", "/apis/wye.dev/v1alpha1"):
            app.router.add_get(f"{root}/{{plural}}", self._list)
            app.router.add_get(f"{root}/namespaces/{{namespace}}/{{plural}}", self._list)
            app.router.add_get(f"{root}/namespaces/{{namespace}}/{{plural}}/{{name}}", self._get)
            app.router.add_patch(f"{root}/namespaces/{{namespace}}/{{plural}}/{{name}}", self._patch)
            app.router.add_get(f"{root}/namespaces/{{namespace}}/{{plural}}/{{name}}/log", self._log)
            app.router.add_get(f"{root}/namespaces/{{namespace}}/{{plural}}/{{name}}/portforward", self._forward)
        return app

    def _refused(self, request: web.Request, verb: str, resource: str) -> web.Response | None:
        self.asked.append((request.path, dict(request.query)))
        plural, _, _ = resource.partition("/")
        if self.broken:
            return web.Response(status=503, text="<html>no healthy upstream</html>")
        if request.headers.get("authorization") not in {f"Bearer {token}" for token in self.tokens}:
            return _status(401, "Unauthorized", "Unauthorized")
        if resource in self.forbidden or f"{verb} {resource}" in self.forbidden:
            name, namespace = request.match_info.get("name", ""), request.match_info.get("namespace")
            where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
            group = "wye.dev" if plural.startswith("ml") else ""
            head = f"{resource}{'.' + group if group else ''}{f' {json.dumps(name)}' if name else ''} is forbidden"
            told = f'User "me" cannot {verb} resource "{resource}" in API group "{group}" {where}'
            return _status(403, "Forbidden", f"{head}: {told}")
        if plural not in self.kinds:
            return web.Response(status=404, text="404 page not found\n")
        return None

    async def _list(self, request: web.Request) -> web.Response:
        plural, namespace = request.match_info["plural"], request.match_info.get("namespace")
        if refused := self._refused(request, "list", plural):
            return refused
        found = [
            b
            for (n, p), bodies in self.objects.items()
            if p == plural and namespace in (None, n)
            for b in bodies.values()
        ]
        found = [body for body in found if _selected(body, request.query)]
        begin, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        more = str(begin + limit) if len(found) > begin + limit else ""
        return web.json_response({"items": found[begin : begin + limit], "metadata": {"continue": more}})

    async def _get(self, request: web.Request) -> web.Response:
        plural, namespace, name = (request.match_info[n] for n in ("plural", "namespace", "name"))
        if refused := self._refused(request, "get", plural):
            return refused
        body = self.objects.get((namespace, plural), {}).get(name)
        return web.json_response(body) if body else _status(404, "NotFound", f'{plural} "{name}" not found')

    async def _patch(self, request: web.Request) -> web.Response:
        plural, namespace, name = (request.match_info[n] for n in ("plural", "namespace", "name"))
        if refused := self._refused(request, "patch", plural):
            return refused
        body = self.objects.get((namespace, plural), {}).get(name)
        if body is None:
            return _status(404, "NotFound", f'{plural} "{name}" not found')
        assert request.content_type == "application/merge-patch+json"
        change = await request.json()
        version = change.get("metadata", {}).pop("resourceVersion", None)
        if version not in (None, body["metadata"].get("resourceVersion")):
            return _status(409, "Conflict", "the object has been modified")
        _merge(body, change)
        body["metadata"]["resourceVersion"] = str(int(body["metadata"].get("resourceVersion") or 1) + 1)
        self.written(plural, change)
        return web.json_response(body)

    async def _log(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refused(request, "get", "pods/log"):
            return refused
        name, container = request.match_info["name"], request.query["container"]
        which = f"{container}/previous" if request.query.get("previous") else container
        log = self.logs.get((name, which))
        if log is None:
            told = f'container "{container}" in pod "{name}" is waiting to start: PodInitializing'
            return _status(400, "BadRequest", told)
        answer = web.StreamResponse()
        await answer.prepare(request)
        since = request.query.get("sinceTime")
        begin = datetime.fromisoformat(since).timestamp() if since else 0
        lines = [line for line in log.lines if line[0] >= begin][-int(request.query.get("tailLines", 1000)) or 9999 :]
        sent = len(log.lines)
        with suppress(ConnectionError):
            await answer.write(_text(lines))
            while request.query.get("follow") and not log.ended and not log.cut:
                await asyncio.sleep(0.01)
                new, sent = log.lines[sent:], len(log.lines)
                await answer.write(_text(new))
            if log.cut:
                log.cut = False
                request.transport.abort()
            await answer.write_eof()
        return answer

    async def _unheard(self, request: web.Request) -> web.Response | None:
        """Whoever asks for a pod of a lost node gives up some day."""
        name = request.match_info["name"]
        if name not in self.lost | self.late:
            return None
        self.late.discard(name)
        while request.transport and not request.transport.is_closing():
            await asyncio.sleep(0.02)
            if name not in self.lost and not self.late:
                break
        return _status(504, "Timeout", "the node does not answer")

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refused(request, "create", "pods/portforward") or await self._unheard(request):
            return refused
        line = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await line.prepare(request)
        port = int(request.query["ports"]).to_bytes(2, "little")
        for channel in (b"\0", b"\1"):
            await line.send_bytes(channel + port)
        if self.target is None:
            await line.send_bytes(b"\1failed to connect to localhost:8080 inside namespace: connection refused")
            await line.close()
            return line
        reader, writer = await asyncio.open_connection(*self.target)

        async def back() -> None:
            while data := await reader.read(65536):
                await line.send_bytes(b"\0" + data)
            await line.close()

        answers = asyncio.create_task(back())
        async for message in line:
            if message.type is WSMsgType.BINARY:
                writer.write(message.data[1:])
                await writer.drain()
        answers.cancel()
        writer.close()
        return line


def _merge(into: dict[str, Any], change: dict[str, Any]) -> None:
    for name, value in change.items():
        if isinstance(value, dict):
            _merge(into.setdefault(name, {}), value)
        else:
            into[name] = value


def _text(lines: list[tuple[int, str]]) -> bytes:
    return "".join(f"{at(second)} {text}\n" for second, text in lines).encode()


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code)


def _selected(body: dict[str, Any], query: Any) -> bool:
    labels = body["metadata"].get("labels", {})
    wanted = [pair.partition("=") for pair in query.get("labelSelector", "").split(",") if pair]
    path, _, value = query.get("fieldSelector", "").partition("=")
    if path and body["spec"].get(path.removeprefix("spec.")) != value:
        return False
    return all(labels.get(name) == value for name, _, value in wanted)
