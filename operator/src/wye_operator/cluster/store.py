"""What the operator knows of the cluster: one LIST of each kind at start, kept by events, listed again now and then.

Called by the watches (`put`, `drop`, `replace`) and by gather (`get`, `of`). Objects are slim: nobody here reads
managedFields. Each belongs to the Endpoint whose pass looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from wye_operator.cluster.kinds import DEPLOYMENTS, ENDPOINTS, PODS, Kind, Object
from wye_operator.plan.names import ENDPOINT

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
    return Key(metadata["namespace"], name) if name else None


def slim(kind: Kind, body: Object) -> Object:
    """The object without what nobody here reads."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    annotations = metadata.get("annotations")
    if annotations and APPLIED_BY_KUBECTL in annotations:
        metadata["annotations"] = {k: v for k, v in annotations.items() if k != APPLIED_BY_KUBECTL}
    slimmed = {**body, "apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    if kind == PODS:
        slimmed["spec"] = {"nodeName": (body.get("spec") or {}).get("nodeName")}
    return slimmed


class Store:
    """Objects by kind, namespace and name, and by the Endpoint they belong to."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Place, Object]] = {}
        self._by_key: dict[tuple[Kind, Key], set[Place]] = {}
        self._graves: dict[Kind, dict[Place, int]] = {}  # deletions that a LIST under way may not know
        self.listed: set[Kind] = set()  # kinds of which a LIST succeeded since start

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object."""
        return self._objects.get(kind, {}).get((namespace, name))

    def of(self, kind: Kind, key: Key) -> list[Object]:
        """All objects of a kind that belong to an Endpoint, by name."""
        objects = self._objects.get(kind, {})
        return [objects[place] for place in sorted(self._by_key.get((kind, key), ()))]

    def every(self, kind: Kind) -> list[Object]:
        """All objects of a kind."""
        return list(self._objects.get(kind, {}).values())

    def keys(self) -> set[Key]:
        """Every Endpoint that is there or spoken of."""
        return {key for _, key in self._by_key}

    def count(self, kind: Kind) -> int:
        """How many objects of a kind there are."""
        return len(self._objects.get(kind, {}))

    def put(self, kind: Kind, body: Object) -> set[Key]:
        """What is true of an object now; returns whom that concerns, nobody where it is no news."""
        place = _place(body)
        old = self._objects.get(kind, {}).get(place)
        if old is not None and _same(old, body):
            return set()
        if old is not None and _version(body) < _version(old):  # what we wrote ourselves is newer than its echo
            return set()
        if _version(body) <= self._graves.get(kind, {}).get(place, -1):
            return set()
        return self._set(kind, place, slim(kind, body))

    def answered(self, kind: Kind, body: Object, wrote: Literal["status", "spec", "metadata"]) -> bool:
        """Keep what a write of ours was answered; whether somebody else's change came with it.

        The event of that change is older than what is kept now, so it will be no news to anybody.
        """
        old = self.get(kind, *_place(body))
        self.put(kind, body)
        return old is not None and _theirs(old, wrote) != _theirs(body, wrote)

    def _set(self, kind: Kind, place: Place, body: Object) -> set[Key]:
        concerned = self._unset(kind, place)
        self._objects.setdefault(kind, {})[place] = body
        key = key_of(kind, body)
        if key is not None:
            self._by_key.setdefault((kind, key), set()).add(place)
            concerned.add(key)
        return concerned

    def _unset(self, kind: Kind, place: Place) -> set[Key]:
        old = self._objects.get(kind, {}).pop(place, None)
        key = key_of(kind, old) if old is not None else None
        if key is None:
            return set()
        places = self._by_key[kind, key]
        places.discard(place)
        if not places:
            del self._by_key[kind, key]
        return {key}

    def drop(self, kind: Kind, body: Object) -> set[Key]:
        """An object was deleted; one that was made anew since stays."""
        place = _place(body)
        if kind in self._graves:
            self._graves[kind][place] = max(_version(body), self._graves[kind].get(place, -1))
        old = self._objects.get(kind, {}).get(place)
        if old is None or (
            old["metadata"].get("uid") != body["metadata"].get("uid") and _version(old) > _version(body)
        ):
            return set()
        return self._unset(kind, place)

    def begin_list(self, kind: Kind) -> None:
        """A LIST is under way: remember what is deleted meanwhile."""
        self._graves[kind] = {}

    def replace(self, kind: Kind, items: Iterable[Object], version: str) -> set[Key]:
        """What a LIST found: the rest is gone, but for what came after it. Returns whom that concerns."""
        concerned: set[Key] = set()
        found = set()
        for body in items:
            found.add(_place(body))
            concerned |= self.put(kind, body)
        taken_at = _number(version)
        for place, body in list(self._objects.get(kind, {}).items()):
            if place not in found and _version(body) <= taken_at:
                concerned |= self._unset(kind, place)
        self._graves.pop(kind, None)
        self.listed.add(kind)
        return concerned


def _place(body: Object) -> Place:
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _number(version: str | None) -> int:
    """resourceVersions are numbers of one sequence (since Kubernetes 1.35 by contract, before that in fact)."""
    return int(version) if version and version.isdecimal() else 0


def _version(body: Object) -> int:
    return _number(body["metadata"].get("resourceVersion"))


def _uid(body: Object) -> str:
    return str(body["metadata"].get("uid") or "")


def _theirs(body: Object, wrote: str) -> list[object]:
    """What of an object changes only when others write it: a status of ours does not move the generation."""
    metadata = body["metadata"]
    theirs = [metadata.get("uid"), metadata.get("deletionTimestamp")]
    theirs += [] if wrote == "spec" else [metadata.get("generation")]
    return theirs if wrote == "status" else [*theirs, body.get("status")]


def _same(old: Object, new: Object) -> bool:
    versions = [body["metadata"].get("resourceVersion") for body in (old, new)]
    return bool(versions[0] == versions[1] and _uid(old) == _uid(new))
