"""The record beside the routes (`in-effect.json`): what a restart must not forget.

It holds the last `traffic` that was taken (before any fail-over), and which versions of clusters and routes may
still be in some router, so that no cluster leaves a router whose routes name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from wye_operator.plan.names import LATER, deployment_of

UNAVAILABLE = "wye~unavailable"  # a static cluster without hosts: whoever is sent there gets 503


@dataclass(frozen=True, slots=True, order=True)
class Cluster:
    """One deployment as routers know it. `mirror` is the bounded twin of a shadow, named `violet~mirror`."""

    name: str
    deployment: str  # NAMESPACE/NAME, what a health check asks for
    mirror: bool = False
    # h2c: a server that speaks gRPC, and its health, by itself
    protocol: Literal["http1", "h2c"] = field(default="http1", metadata={LATER: True})
    readiness: str = field(default="", metadata={LATER: True})  # the path that says so; "": it is our runtime
    scoring: str = field(default="", metadata={LATER: True})  # what /score becomes on its way; "": nothing else

    @property
    def hosts(self) -> str:
        """Whose addresses it uses: a mirror's are those of its deployment."""
        return deployment_of(self.name)


@dataclass(frozen=True, slots=True)
class Published:
    """One version that was written for the routers, the clusters it has or names, and when it was first written."""

    version: str
    clusters: tuple[Cluster, ...]
    since: float


@dataclass(frozen=True, slots=True)
class Record:
    """What is in effect; `traffic` and `mirrors` in hundredths of a percent, None: nothing was taken yet."""

    traffic: Mapping[str, int] | None = None
    mirrors: Mapping[str, int] | None = None
    clusters: tuple[Published, ...] = ()  # oldest first; the last one is what is written now
    routes: tuple[Published, ...] = ()
    hosts: Mapping[str, float] = field(default_factory=dict)  # since when a cluster has had addresses
    auth: Published | None = None  # of the file with keys or issuers; None: an earlier version wrote it
    acknowledged: Mapping[str, str] = field(default_factory=dict)  # the version that all routers had last, by kind


def to_json(record: Record) -> dict[str, Any]:
    """The record as JSON values."""
    return {
        "traffic": None if record.traffic is None else dict(sorted(record.traffic.items())),
        "mirrorTraffic": None if record.mirrors is None else dict(sorted(record.mirrors.items())),
        "clusters": [_published_to_json(p) for p in record.clusters],
        "routes": [_published_to_json(p) for p in record.routes],
        "hosts": dict(sorted(record.hosts.items())),
        "auth": None if record.auth is None else _published_to_json(record.auth),
        "acknowledged": dict(sorted(record.acknowledged.items())),
    }


def from_json(data: Mapping[str, Any]) -> Record:
    """The record from JSON values. Raises KeyError, TypeError or ValueError when they are no record."""
    return Record(
        traffic=_shares(data["traffic"]),
        mirrors=_shares(data["mirrorTraffic"]),
        clusters=tuple(_published_from_json(p) for p in data["clusters"]),
        routes=tuple(_published_from_json(p) for p in data["routes"]),
        hosts={str(name): float(since) for name, since in _mapping(data["hosts"]).items()},
        auth=None if data.get("auth") is None else _published_from_json(data["auth"]),
        acknowledged={str(kind): str(version) for kind, version in _mapping(data.get("acknowledged", {})).items()},
    )


def _shares(data: Any) -> dict[str, int] | None:
    return None if data is None else {str(name): int(share) for name, share in _mapping(data).items()}


def _mapping(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise TypeError(f"{data!r} is not an object")
    return data


def _published_to_json(published: Published) -> dict[str, Any]:
    clusters = [_cluster_to_json(c) for c in published.clusters]
    return {"version": published.version, "since": published.since, "clusters": clusters}


def _cluster_to_json(cluster: Cluster) -> dict[str, Any]:
    """Without what earlier versions do not know, where that is not asked for."""
    own = {name: getattr(cluster, name) for name in ("readiness", "scoring") if getattr(cluster, name)}
    spoken = {"protocol": "h2c"} if cluster.protocol == "h2c" else {}
    return {"name": cluster.name, "deployment": cluster.deployment, "mirror": cluster.mirror, **spoken, **own}


def _cluster_from_json(data: Mapping[str, Any]) -> Cluster:
    protocol: Literal["http1", "h2c"] = "h2c" if data.get("protocol") == "h2c" else "http1"
    own = (str(data.get("readiness", "")), str(data.get("scoring", "")))
    return Cluster(str(data["name"]), str(data["deployment"]), bool(data["mirror"]), protocol, *own)


def _published_from_json(data: Mapping[str, Any]) -> Published:
    clusters = tuple(_cluster_from_json(each) for each in data["clusters"])
    return Published(str(data["version"]), clusters, float(data["since"]))
