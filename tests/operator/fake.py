"""An API server in memory, for the operator's tests: our own client's calls, and what a cluster does by itself.

Resource versions, generations, uids, owner garbage collection, watches with a history that can be forgotten, and
server-side apply as far as one manager needs it: what was applied before and is not any more is removed.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from wye_operator.cluster.client import Page
from wye_operator.cluster.errors import ApiError, Conflict, Gone, NotFound
from wye_operator.cluster.kinds import PAGES, Kind, Object, kind_of

WRITES = ("create", "replace", "apply", "status", "patch", "delete")
Where = tuple[Kind, str, str]


class FakeApi:
    """What a test asserts on: `calls` (verb, plural, name), `objects`."""

    def __init__(self) -> None:
        self.objects: dict[Where, Object] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.fail: Callable[[str, Kind, str], ApiError | None] = lambda verb, kind, name: None
        self.logs: dict[str, str] = {}
        self.pages: dict[str, bytes] = {}  # of the server itself, by path
        self.heard: list[Callable[[Kind, str, Object], None]] = []  # who is told of each change, as kopf would be
        self._applied: dict[Where, Object] = {}
        self._version = 100
        self._history: list[tuple[int, Kind, str, Object]] = []
        self._oldest = 0
        self._changed = asyncio.Event()

    # what a test does to the cluster

    def user(self, manifest: Mapping[str, Any]) -> Object:
        """Somebody else writes an object: not counted among our calls."""
        body = copy.deepcopy(dict(manifest))
        body["metadata"].setdefault("namespace", "default")
        where = _where(body)
        old = self.objects.get(where)
        if old is not None:
            body = {**copy.deepcopy(old), **body, "metadata": {**copy.deepcopy(old["metadata"]), **body["metadata"]}}
        return self._store(where, body)

    def remove(self, kind: Kind, name: str, namespace: str = "default", *, quietly: bool = False) -> None:
        """Somebody else deletes an object; `quietly`: no watch ever tells. Its dependents go with it."""
        body = self.objects.pop((kind, namespace, name))
        self._applied.pop((kind, namespace, name), None)
        body["metadata"]["resourceVersion"] = self._next()
        if not quietly:
            self._tell(kind, "DELETED", body)
        uid = body["metadata"]["uid"]
        for where, child in list(self.objects.items()):
            references = child["metadata"].get("ownerReferences") or ()
            if where in self.objects and any(r["uid"] == uid for r in references):
                self.remove(where[0], where[2], where[1], quietly=quietly)

    def forget_history(self) -> None:
        """Watches of today's versions are too old from now on."""
        self._history.clear()
        self._oldest = self._version + 1

    def find(self, kind: Kind, name: str, namespace: str = "default") -> Object:
        """An object as it is."""
        return self.objects[kind, namespace, name]

    def names(self, kind: Kind) -> list[str]:
        """The names of all objects of a kind."""
        return sorted(name for of, _, name in self.objects if of == kind)

    @property
    def writes(self) -> list[tuple[str, str, str]]:
        """Our calls that change something, Leases apart."""
        return [call for call in self.calls if call[0] in WRITES and call[1] != "leases"]

    # our client's calls

    async def list(self, kind: Kind, namespace: str | None = None, selector: str = "") -> AsyncIterator[Page]:
        self._call("list", kind, "")
        await asyncio.sleep(0)
        label, _, value = selector.partition("=")
        found = [
            copy.deepcopy(body)
            for (of, space, _), body in sorted(self.objects.items(), key=lambda i: i[0][1:])
            if of == kind
            and namespace in (None, space)
            and (not selector or (body["metadata"].get("labels") or {}).get(label) == value)
        ]
        version, half = str(self._version), len(found) // 2
        yield Page(found[:half], version)
        await asyncio.sleep(0)
        yield Page(found[half:], version)

    async def version(self, kind: Kind, namespace: str | None = None) -> str:
        self._call("list", kind, "")
        await asyncio.sleep(0)
        return str(self._version)

    async def watch(self, kind: Kind, namespace: str | None, selector: str, version: str) -> AsyncIterator[Object]:
        self._call("watch", kind, "")
        at = int(version)
        label, _, value = selector.partition("=")
        while True:
            if at + 1 < self._oldest:
                raise Gone("too old resource version", status=410)
            for number, of, event, body in list(self._history):
                chosen = not selector or (body["metadata"].get("labels") or {}).get(label) == value
                if number > at and of == kind and chosen and namespace in (None, body["metadata"]["namespace"]):
                    yield {"type": event, "object": copy.deepcopy(body)}
            at = max(at, self._version)
            self._changed.clear()
            await self._changed.wait()

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        self._call("get", kind, name)
        await asyncio.sleep(0)
        return copy.deepcopy(self._get(kind, namespace, name))

    async def create(self, manifest: Object) -> Object:
        where = _where(manifest)
        self._call("create", where[0], where[2])
        if where in self.objects:
            raise Conflict(f'{where[0].plural} "{where[2]}" already exists', status=409)
        return copy.deepcopy(self._store(where, copy.deepcopy(manifest)))

    async def replace(self, manifest: Object) -> Object:
        where = _where(manifest)
        self._call("replace", where[0], where[2])
        await asyncio.sleep(0)
        live = self._get(*where)
        if live["metadata"]["resourceVersion"] != manifest["metadata"].get("resourceVersion"):
            raise Conflict("the object has been modified", status=409)
        body = {**copy.deepcopy(manifest), "metadata": {**live["metadata"], **manifest["metadata"]}}
        return copy.deepcopy(self._store(where, body))

    async def apply(self, manifest: Object) -> Object:
        where = _where(manifest)
        self._call("apply", where[0], where[2])
        await asyncio.sleep(0)
        live = copy.deepcopy(self.objects.get(where, {}))
        version = manifest["metadata"].get("resourceVersion")
        if live and version and version != live["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified", status=409)
        before = self._applied.get(where, {})
        self._applied[where] = copy.deepcopy(manifest)
        wanted = _merged(_without(live, before, manifest), manifest)
        if where in self.objects and wanted == self.objects[where]:
            return copy.deepcopy(wanted)
        return copy.deepcopy(self._store(where, wanted))

    async def apply_status(self, manifest: Object) -> Object:
        where = _where(manifest)
        self._call("status", where[0], where[2])
        live = self._get(*where)
        return copy.deepcopy(self._store(where, {**copy.deepcopy(live), "status": copy.deepcopy(manifest["status"])}))

    async def patch(self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any]) -> Object:
        self._call("patch", kind, name)
        live = copy.deepcopy(self._get(kind, namespace, name))
        return copy.deepcopy(self._store((kind, namespace, name), _merged(live, change)))

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        self._call("delete", kind, name)
        live = self.objects.get((kind, namespace, name))
        if live is None:
            return
        if uid and live["metadata"]["uid"] != uid:
            raise Conflict("the uid in the precondition does not match", status=409)
        self.remove(kind, name, namespace)

    async def log(self, namespace: str, pod: str, since_seconds: int) -> str:
        self.calls.append(("log", "pods", pod))
        return self.logs.get(pod, "")

    async def page(self, path: str) -> bytes:
        self._call("get", PAGES, path)
        if path not in self.pages:
            raise NotFound(f"{path} not found", status=404)
        return self.pages[path]

    # inside

    def _call(self, verb: str, kind: Kind, name: str) -> None:
        self.calls.append((verb, kind.plural, name))
        error = self.fail(verb, kind, name)
        if error is not None:
            raise error

    def _get(self, kind: Kind, namespace: str, name: str) -> Object:
        try:
            return self.objects[kind, namespace, name]
        except KeyError:
            raise NotFound(f'{kind.plural}.{kind.group} "{name}" not found', status=404) from None

    def _store(self, where: Where, body: Object) -> Object:
        old, metadata = self.objects.get(where), body["metadata"]
        metadata["resourceVersion"] = self._next()
        if old is None:
            metadata |= {"uid": f"uid-{self._version}", "generation": 1}
            metadata.setdefault("creationTimestamp", f"2026-11-01T00:00:{self._version % 60:02d}Z")
        elif old.get("spec") != body.get("spec"):
            metadata["generation"] = old["metadata"]["generation"] + 1
        self.objects[where] = body
        self._tell(where[0], "ADDED" if old is None else "MODIFIED", body)
        return body

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _tell(self, kind: Kind, event: str, body: Object) -> None:
        self._history.append((self._version, kind, event, copy.deepcopy(body)))
        self._changed.set()
        for hear in self.heard:
            hear(kind, event, copy.deepcopy(body))


def _where(manifest: Object) -> Where:
    return kind_of(manifest), manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _merged(live: Any, change: Any) -> Any:
    if not isinstance(change, Mapping) or not isinstance(live, Mapping):
        return copy.deepcopy(change)
    return {**live, **{name: _merged(live.get(name, {}), value) for name, value in change.items()}}


def _without(live: Any, before: Any, after: Any) -> Any:
    """What is there, less what was applied before and is not any more."""
    if not all(isinstance(x, Mapping) for x in (live, before, after)):
        return live
    gone = before.keys() - after.keys()
    return {n: _without(v, before.get(n), after.get(n)) if n in after else v for n, v in live.items() if n not in gone}
