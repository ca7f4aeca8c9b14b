"""The operator's client of the API server: a few calls over the one aiohttp session that it shares with kopf.

The session is read at each call, because kopf closes it on a 401 and our login handler makes a new one. Nothing is
tried again here: every failure is a typed error, and the work queue knows when to come back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from wye_operator.cluster.errors import ApiError, NotFound, Unavailable, error_for
from wye_operator.cluster.kinds import PAGES, PODS, Kind, Object, kind_of
from wye_operator.telemetry import Metrics

MANAGER = "wye"
PAGE = 50
MOST_LOG_BYTES = 8 * 2**20  # kubelet keeps 10 MiB in one file
PATIENCE = aiohttp.ClientTimeout(total=30, connect=5)
APPLY, MERGE, JSON = "application/apply-patch+yaml", "application/merge-patch+json", "application/json"
SILENCE = aiohttp.ClientTimeout(total=None, connect=5, sock_read=90)  # of a watch: most servers send bookmarks
WATCH_SECONDS = 600  # then the follower lists again


@dataclass(slots=True)
class Connection:
    """Where the API server is, and the session of the last login."""

    session: aiohttp.ClientSession | None = None
    server: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def use(self, session: aiohttp.ClientSession, server: str) -> None:
        """Calls from now on go through this session."""
        self.session, self.server = session, server
        self.ready.set()


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the objects of a kind, as all of them stood at one resourceVersion."""

    items: list[Object]
    version: str


class Api(Protocol):
    """What the rest of the operator asks of a client; tests have one in memory."""

    def list(self, kind: Kind, namespace: str | None = None, selector: str = "") -> AsyncIterator[Page]:
        """All objects of a kind, page by page. Raises Gone when that took too long."""

    async def version(self, kind: Kind, namespace: str | None = None) -> str:
        """The version that a watch may begin at, without all objects."""

    def watch(self, kind: Kind, namespace: str | None, selector: str, version: str) -> AsyncIterator[Object]:
        """The changes since a version, as watch events."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object. Raises NotFound."""

    async def create(self, manifest: Object) -> Object:
        """Make an object that is not there. Raises Conflict."""

    async def replace(self, manifest: Object) -> Object:
        """Write an object as it was read. Raises Conflict when it changed since."""

    async def apply(self, manifest: Object) -> Object:
        """Server-side apply."""

    async def apply_status(self, manifest: Object) -> Object:
        """Server-side apply of the status."""

    async def patch(self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any]) -> Object:
        """Merge patch."""

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        """Delete an object, only that one with the uid. What is not there any more is no error."""

    async def log(self, namespace: str, pod: str, since_seconds: int) -> str:
        """What a pod wrote since then."""

    async def page(self, path: str) -> bytes:
        """What stands at a path of the server itself."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: str
    kind: Kind
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    media: str = JSON
    accept: str = JSON
    timeout: aiohttp.ClientTimeout = PATIENCE


class Client:
    """The client of a real API server."""

    def __init__(self, connection: Connection, metrics: Metrics) -> None:
        self._connection = connection
        self._metrics = metrics

    async def list(self, kind: Kind, namespace: str | None = None, selector: str = "") -> AsyncIterator[Page]:
        """All objects of a kind, page by page, so that all of them are never in memory at once. Raises Gone."""
        query = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
        while True:
            page = await self._json(Call("GET", kind, kind.path(namespace), dict(query)))
            for item in page["items"]:  # a list leaves both out of its items
                item["apiVersion"], item["kind"] = kind.api_version, kind.name
            yield Page(page["items"], page["metadata"]["resourceVersion"])
            follow = page["metadata"].get("continue")
            if not follow:
                return
            query["continue"] = follow

    async def version(self, kind: Kind, namespace: str | None = None) -> str:
        """The version that a watch may begin at: a list of one object."""
        page = await self._json(Call("GET", kind, kind.path(namespace), {"limit": "1"}))
        return str(page["metadata"]["resourceVersion"])

    async def watch(self, kind: Kind, namespace: str | None, selector: str, version: str) -> AsyncIterator[Object]:
        """The changes since a version, until the server ends the stream or is silent. Raises Gone when that is too old.

        Of a kind that nobody touches some servers say nothing for hours, not even where they are: that is no failure.
        """
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS)}
        query |= {"resourceVersion": version, **({"labelSelector": selector} if selector else {})}
        async with self._answer(Call("GET", kind, kind.path(namespace), query, timeout=SILENCE)) as response:
            lines = _lines(response.content)
            while line := await _next(lines):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _from_status(event["object"].get("code", 0), event["object"], kind)
                yield event

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object. Raises NotFound."""
        return await self._json(Call("GET", kind, kind.path(namespace, name)))

    async def create(self, manifest: Object) -> Object:
        """Make an object that is not there. Raises Conflict."""
        kind = kind_of(manifest)
        path = kind.path(manifest["metadata"]["namespace"])
        return await self._json(Call("POST", kind, path, {"fieldManager": MANAGER}, manifest))

    async def replace(self, manifest: Object) -> Object:
        """Write an object as it was read. Raises Conflict when it changed since."""
        return await self._json(Call("PUT", kind_of(manifest), _path(manifest), {"fieldManager": MANAGER}, manifest))

    async def apply(self, manifest: Object) -> Object:
        """Server-side apply; what another manager set of our own object becomes ours again."""
        return await self._apply(manifest, "")

    async def apply_status(self, manifest: Object) -> Object:
        """Server-side apply of the status."""
        return await self._apply(manifest, "status")

    async def _apply(self, manifest: Object, part: str) -> Object:
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._json(Call("PATCH", kind_of(manifest), _path(manifest, part), query, manifest, APPLY))

    async def patch(self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any]) -> Object:
        """Merge patch."""
        query = {"fieldManager": MANAGER}
        return await self._json(Call("PATCH", kind, kind.path(namespace, name), query, change, MERGE))

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        """Delete an object, only that one with the uid. What is not there any more is no error."""
        body = {"preconditions": {"uid": uid}} if uid else {}
        try:
            await self._json(Call("DELETE", kind, kind.path(namespace, name), body=body))
        except NotFound:
            return

    async def log(self, namespace: str, pod: str, since_seconds: int) -> str:
        """What a pod wrote since then, from the beginning: its end may be the requests of the last second only."""
        query = {"limitBytes": str(MOST_LOG_BYTES), "sinceSeconds": str(max(1, since_seconds))}
        async with self._answer(Call("GET", PODS, PODS.path(namespace, pod, "log"), query)) as response:
            return (await response.read()).decode(errors="replace")

    async def page(self, path: str) -> bytes:
        """What stands at a path of the server itself."""
        async with self._answer(Call("GET", PAGES, path, accept="*/*")) as response:
            return await response.read()

    async def _json(self, call: Call) -> Object:
        async with self._answer(call) as response:
            answer: Object = json.loads(await response.read())
            return answer

    @asynccontextmanager
    async def _answer(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer; everything else, also on the way through it, is a typed error."""
        session = self._connection.session
        if session is None or session.closed:
            raise Unavailable("there is no session with the API server yet")
        self._metrics.count("wye_api_calls_total", verb=call.method, resource=call.kind.plural)
        try:
            async with session.request(
                call.method,
                self._connection.server.rstrip("/") + call.path,
                params=dict(call.query),
                data=None if call.body is None else json.dumps(call.body),
                headers={"Content-Type": call.media, "Accept": call.accept},
                timeout=call.timeout,
            ) as response:
                if response.status >= 400:
                    raise await self._failure(response, call)
                yield response
        except TimeoutError as error:
            raise Unavailable(f"the API server did not answer {call.method} {call.path} in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"the API server cannot be reached: {error!r}") from error
        except RuntimeError as error:  # what aiohttp raises when the session was closed meanwhile
            if not session.closed:
                raise
            raise Unavailable("the session with the API server was closed for a new one") from error

    async def _failure(self, response: aiohttp.ClientResponse, call: Call) -> ApiError:
        self._metrics.count("wye_api_errors_total", verb=call.method, status=str(response.status))
        text = await response.text(errors="replace")
        try:
            status = json.loads(text)
        except ValueError:
            status = {"message": text[:500]}
        wait = response.headers.get("Retry-After", "")
        return _from_status(response.status, status, call.kind, float(wait) if wait.isdecimal() else 0.0)


def _from_status(code: int, status: Any, kind: Kind, wait: float = 0.0) -> ApiError:
    known = status if isinstance(status, dict) else {}
    message = str(known.get("message") or f"{kind.plural}: the API server answers {code}")
    return error_for(code, message, str(known.get("reason") or ""), wait)


def _path(manifest: Object, part: str = "") -> str:
    metadata = manifest["metadata"]
    return kind_of(manifest).path(metadata["namespace"], metadata["name"], part)


async def _next(lines: AsyncIterator[bytes]) -> bytes:
    """The next line; nothing at the end, or after a silence."""
    try:
        return await anext(lines, b"")
    except TimeoutError:
        return b""


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines of any length: an object may be a megabyte."""
    pending: list[bytes] = []
    async for chunk in content.iter_any():
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join((*pending, line))
            pending.clear()
        pending.append(rest)
