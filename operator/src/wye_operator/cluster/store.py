"""What the operator knows of the cluster: one LIST of each kind at start, kept by events, listed again now and then.

Called by the watches (`put`, `drop`, the lists) and by gather (`get`, `of`). Objects are slim: nobody here reads
managedFields. Each belongs to the Endpoint whose pass looks at it. What is kept is packed: as dicts the 30,000 objects
of 1,000 Endpoints are 290 MB, packed they are 40; whoever asks gets a copy of its own.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from wye_operator.cluster.kinds import DEPLOYMENTS, ENDPOINTS, PODS, Kind, Object
from wye_operator.plan.names import ENDPOINT, RENEWED

Place = tuple[str, str]  # namespace, name
APPLIED_BY_KUBECTL = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The name of an Endpoint, whether it is there or only spoken of."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def key_of(kind: Kind, body: Object) -> Key | None:
    """The Endpoint that an object belongs to; None: it is nobody's."""
    metadata = body["metadata"]
    if kind == ENDPOINTS:
        name = metadata["name"]
    elif kind == DEPLOYMENTS:
        name = body.get("spec", {}).get("endpointName")
    else:
        name = (metadata.get("labels") or {}).get(ENDPOINT)
    return Key(sys.intern(metadata["namespace"]), sys.intern(name)) if name else None


def slim(kind: Kind, body: Object) -> Object:
    """The object without what nobody here reads."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    annotations = metadata.get("annotations")
    if annotations and APPLIED_BY_KUBECTL in annotations:
        metadata["annotations"] = {k: v for k, v in annotations.items() if k != APPLIED_BY_KUBECTL}
    slimmed = {**body, "apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    if kind == PODS:
        spec = body.get("spec") or {}
        listening = [{"ports": ports} for each in spec.get("containers") or () if (ports := each.get("ports"))]
        slimmed["spec"] = {"nodeName": spec.get("nodeName"), "containers": listening}
    return slimmed


@dataclass(frozen=True, slots=True)
class Packed:
    """One object as it is kept: what every piece of news asks for, and the rest as compressed text."""

    version: int
    uid: str
    key: Key | None
    text: bytes

    @classmethod
    def of(cls, kind: Kind, body: Object) -> Packed:
        """An object, slim and packed."""
        text = json.dumps(slim(kind, body), separators=(",", ":"))
        return cls(version_of(body), _uid(body), key_of(kind, body), zlib.compress(text.encode(), 1))

    def body(self) -> Object:
        """The object."""
        unpacked: Object = json.loads(zlib.decompress(self.text))
        return unpacked


class Store:
    """Objects by kind, namespace and name, and by the Endpoint they belong to."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Place, Packed]] = {}
        self._by_key: dict[tuple[Kind, Key], tuple[Place, ...]] = {}  # sorted; a set is 200 bytes, most hold one
        self._graves: dict[Kind, dict[Place, int]] = {}  # deletions that a LIST under way may not know
        self._found: dict[Kind, set[Place]] = {}  # what a LIST under way has found
        self.listed: set[Kind] = set()  # kinds of which a LIST succeeded since start

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object."""
        found = self._objects.get(kind, {}).get((namespace, name))
        return found.body() if found is not None else None

    def of(self, kind: Kind, key: Key) -> list[Object]:
        """All objects of a kind that belong to an Endpoint, by name."""
        objects = self._objects.get(kind, {})
        return [objects[place].body() for place in self._by_key.get((kind, key), ())]

    def names(self, kind: Kind, key: Key) -> list[str]:
        """The names of all objects of a kind that belong to an Endpoint: cheaper than the objects."""
        return [name for _, name in self._by_key.get((kind, key), ())]

    def every(self, kind: Kind) -> Iterator[Object]:
        """All objects of a kind, one after the other: together they would be what packing saves."""
        return (packed.body() for packed in self._objects.get(kind, {}).values())

    def keys(self) -> set[Key]:
        """Every Endpoint that is there or spoken of."""
        return {key for _, key in self._by_key}

    def count(self, kind: Kind) -> int:
        """How many objects of a kind there are."""
        return len(self._objects.get(kind, {}))

    def put(self, kind: Kind, body: Object) -> set[Key]:
        """What is true of an object now; returns whom that concerns, nobody where it is no news."""
        place, version = _place(body), version_of(body)
        old = self._objects.get(kind, {}).get(place)
        if old is not None and (old.version, old.uid) == (version, _uid(body)):
            return set()
        if old is not None and version < old.version:  # what we wrote ourselves is newer than its echo
            return set()
        if version <= self._graves.get(kind, {}).get(place, -1):
            return set()
        return self._set(kind, place, Packed.of(kind, body))

    def answered(self, kind: Kind, body: Object, wrote: Literal["status", "spec", "metadata"]) -> bool:
        """Keep what a write of ours was answered; whether somebody else's change came with it.

        The event of that change is older than what is kept now, so it will be no news to anybody.
        """
        old = self.get(kind, *_place(body))
        self.put(kind, body)
        return old is not None and _theirs(old, wrote) != _theirs(body, wrote)

    def _set(self, kind: Kind, place: Place, packed: Packed) -> set[Key]:
        concerned = self._unset(kind, place)
        self._objects.setdefault(kind, {})[place] = packed
        if packed.key is not None:
            of = kind, packed.key
            self._by_key[of] = tuple(sorted((*self._by_key.get(of, ()), place)))
            concerned.add(packed.key)
        return concerned

    def _unset(self, kind: Kind, place: Place) -> set[Key]:
        old = self._objects.get(kind, {}).pop(place, None)
        if old is None or old.key is None:
            return set()
        of = kind, old.key
        self._by_key[of] = tuple(other for other in self._by_key[of] if other != place)
        if not self._by_key[of]:
            del self._by_key[of]
        return {old.key}

    def drop(self, kind: Kind, body: Object) -> set[Key]:
        """An object was deleted; one that was made anew since stays."""
        place = _place(body)
        if kind in self._graves:
            self._graves[kind][place] = max(version_of(body), self._graves[kind].get(place, -1))
        old = self._objects.get(kind, {}).get(place)
        if old is None or (old.uid != _uid(body) and old.version > version_of(body)):
            return set()
        return self._unset(kind, place)

    def begin_list(self, kind: Kind) -> None:
        """A LIST is under way: remember what is deleted meanwhile."""
        self._graves[kind], self._found[kind] = {}, set()

    def list_page(self, kind: Kind, items: Iterable[Object]) -> set[Key]:
        """Some of what a LIST found. Returns whom that concerns."""
        concerned: set[Key] = set()
        for body in items:
            self._found[kind].add(_place(body))
            concerned |= self.put(kind, body)
        return concerned

    def end_list(self, kind: Kind, version: str) -> set[Key]:
        """What the LIST did not find is gone, but for what came after it. Returns whom that concerns."""
        concerned: set[Key] = set()
        found, taken_at = self._found.pop(kind), _number(version)
        for place, packed in list(self._objects.get(kind, {}).items()):
            if place not in found and packed.version <= taken_at:
                concerned |= self._unset(kind, place)
        self._graves.pop(kind, None)
        self.listed.add(kind)
        return concerned


def _place(body: Object) -> Place:
    return sys.intern(body["metadata"]["namespace"]), body["metadata"]["name"]


def _number(version: str | None) -> int:
    """resourceVersions are numbers of one sequence (since Kubernetes 1.35 by contract, before that in fact)."""
    return int(version) if version and version.isdecimal() else 0


def version_of(body: Object) -> int:
    """Its resourceVersion; another one after each change."""
    return _number(body["metadata"].get("resourceVersion"))


def _uid(body: Object) -> str:
    return str(body["metadata"].get("uid") or "")


def _theirs(body: Object, wrote: str) -> list[object]:
    """What of an object changes only when others write it: neither our status nor we move a generation or `RENEWED`."""
    metadata = body["metadata"]
    theirs = [metadata.get("uid"), metadata.get("deletionTimestamp"), (metadata.get("annotations") or {}).get(RENEWED)]
    theirs += [] if wrote == "spec" else [metadata.get("generation")]
    return theirs if wrote == "status" else [*theirs, body.get("status")]
