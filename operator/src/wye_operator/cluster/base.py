"""What all passes share, and what one Endpoint's passes remember of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wye_operator.cluster.client import Api
from wye_operator.cluster.inner import Asks
from wye_operator.cluster.kinds import DEPLOYMENTS, ENDPOINTS, Object
from wye_operator.cluster.reads import Reads
from wye_operator.cluster.store import Key, Store
from wye_operator.issuers import KeySets
from wye_operator.plan.names import COMPONENT, OWNER
from wye_operator.plan.refusals import Counted
from wye_operator.plan.world import Deadlines, Obstacle, RouterSeen, Taken
from wye_operator.render.kubernetes import ClusterPlace
from wye_operator.telemetry import Metrics

if TYPE_CHECKING:
    from wye_operator.cluster.upgrades import Upgrades

Owner = tuple[str, str]  # kind and name


@dataclass(frozen=True, slots=True)
class Cluster:
    """One operator's view of a cluster."""

    api: Api
    store: Store
    reads: Reads
    asks: Asks
    key_sets: KeySets[Key]
    metrics: Metrics
    upgrades: Upgrades
    place: ClusterPlace  # of nobody yet: images, namespaces and flags
    now: Callable[[], float]  # seconds since the epoch
    clock: Callable[[], float]  # of the event loop
    fresh_key: Callable[[], str]
    deadlines: Deadlines = Deadlines()
    identity: str = "wye"


@dataclass(slots=True)
class Bump:
    """How often a router's pod was asked to read its files for one target, since when, and since when it has `has`."""

    target: str
    since: float
    has: Taken = Taken()
    stands_since: float = 0.0
    count: int = 0


@dataclass(slots=True)
class Rejection:
    """Why a router refuses one target, as far as its log said so until now."""

    target: str
    reason: str = ""
    looked: int = 0


@dataclass(slots=True)
class Memory:
    """What one pass leaves for the next; nothing is wrong when a restart forgets it."""

    obstacles: dict[Owner, tuple[Obstacle, ...]] = field(default_factory=dict)
    bumps: dict[str, Bump] = field(default_factory=dict)
    rejections: dict[str, Rejection] = field(default_factory=dict)  # by router
    counted: dict[str, Counted] = field(default_factory=dict)  # the same
    routers: tuple[RouterSeen, ...] = ()
    uids: dict[Owner, str] = field(default_factory=dict)  # of whoever stands behind the name, as the pass saw them
    pods: frozenset[str] = frozenset()  # identities of those whose signatures are kept
    made: dict[str, list[float]] = field(default_factory=dict)  # when a child was missing and made
    wrote: dict[str, str] = field(default_factory=dict)  # the hash that each child was last written with
    fought: dict[str, list[float]] = field(default_factory=dict)  # when another operator had written a child
    keys_asked: str = ""  # what the annotation `RENEWED` of the routers' ConfigMap said when the keys were read
    told: dict[tuple[str, str, str], str] = field(default_factory=dict)  # kind, name, reason of events -> message
    renewed: str = ""  # when keys that had been there were made anew, until an event has told it
    rolls: bool = False  # whether this pass changed the routers' Deployment: what it saw says nothing of the new pods
    overtaken: bool = False  # whether a write of this pass was answered with a change that the pass had not seen
    loses: bool = False  # whether routers may lose what no event tells of: copies of requests, spans
    changed: bool = False  # whether the last apply wrote anything


def uid_of(body: Object) -> str:
    """The identity of one object's life."""
    return str(body["metadata"].get("uid") or "")


def is_going(body: Object) -> bool:
    """Whether it is being deleted."""
    return bool(body["metadata"].get("deletionTimestamp"))


def label_of(body: Object, label: str) -> str:
    """One label, "" where there is none."""
    return str((body["metadata"].get("labels") or {}).get(label, ""))


def annotations_of(body: Object) -> Mapping[str, Any]:
    """The annotations of an object."""
    return body["metadata"].get("annotations") or {}


def owner_of(body: Object) -> str:
    """The name of whom it is made for."""
    return label_of(body, OWNER)


def is_part(body: Object, component: str) -> bool:
    """Whether it is of a model, or of a router."""
    return label_of(body, COMPONENT) == component


def place_of(cluster: Cluster, key: Key, memory: Memory) -> ClusterPlace:
    """The place of one Endpoint's objects."""
    deployments = {name: uid for (kind, name), uid in memory.uids.items() if kind == DEPLOYMENTS.name}
    return replace(
        cluster.place,
        name=key.name,
        namespace=key.namespace,
        endpoint_uid=memory.uids.get((ENDPOINTS.name, key.name), ""),
        deployment_uids=deployments,
    )
