"""The Plan: what should run, what the routers should say, and what the objects' status should be.

`render` writes it down, for a cluster or for this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from wye_operator.api.status import DeploymentStatus, EndpointStatus
from wye_operator.plan.names import LATER, digest
from wye_operator.plan.record import Cluster, Record
from wye_operator.plan.shares import WHOLE
from wye_operator.plan.world import KINDS, Address, Certificate, Keys, WrittenKey

ROUTER_MEMORY = "512Mi"  # of a router whose Endpoint names no resources


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What only a cluster has a use for, as the manifest writes it; empty where it says nothing."""

    resources: Mapping[str, Any] | None = None
    pod: Mapping[str, Any] = field(default_factory=dict)
    probes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # by liveness, readiness, startup
    environment_from: tuple[Mapping[str, Any], ...] = ()
    fetch_secret: str = ""
    code_secret: str = field(default="", metadata={LATER: True})  # the same of a script's code


@dataclass(frozen=True, slots=True)
class Route:
    """Where a server answers one question."""

    path: str
    port: int


@dataclass(frozen=True, slots=True)
class OwnServer:
    """Another server than our runtime, as `environment` describes it."""

    image: str
    command: tuple[str, ...]  # empty: the image's own
    args: tuple[str, ...]
    liveness: Route
    readiness: Route
    scoring: Route
    protocol: Literal["http1", "h2c"]
    mount: str
    shared_memory: str | int

    @property
    def ports(self) -> tuple[int, ...]:
        """Those that routers use, each once: requests first, then readiness."""
        return tuple(dict.fromkeys((self.scoring.port, self.readiness.port)))

    @property
    def check(self) -> int:
        """The port of readiness, 0 where it is that of requests."""
        return 0 if self.readiness.port == self.scoring.port else self.readiness.port

    def speaks_grpc(self, route: Route) -> bool:
        """Whether a question is asked by gRPC: nothing else is understood on that port."""
        return self.protocol == "h2c" and route.port == self.scoring.port


@dataclass(frozen=True, slots=True)
class Workload:
    """What runs for one Deployment.

    `settings` is the runtime's configuration but for the model's path (docs/concepts/wire.md).
    """

    deployment: str  # metadata.name: "fraud-blue"
    namespace: str
    instances: int
    uri: str
    content: str
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    grace_seconds: float  # how long a request may still take when an instance is told to end
    endpoint: str = ""
    pods: PodSettings = PodSettings()
    strategy: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""  # changes with every edit of the Deployment, of its Endpoint's contract or of the model's bytes
    server: OwnServer | None = None
    code: str = ""  # URI of the folder with a scoring script, "" where none answers
    name: str = ""  # in `traffic`: "blue"

    @property
    def revision(self) -> str:
        """Changes exactly when running instances have to be replaced."""
        own = [each for each in (self.server, self.code) if each]
        return digest([self.uri, self.content, self.settings, self.environment, self.pods, *own])


@dataclass(frozen=True, slots=True)
class Share:
    """A cluster's part of the live traffic, in hundredths of a percent (10,000 is all)."""

    cluster: str
    weight: int


@dataclass(frozen=True, slots=True)
class Pin:
    """Requests that name a deployment go there whatever the weights."""

    cluster: str
    timeout_ms: int
    once: bool = field(default=False, metadata={LATER: True})  # what was begun is not sent again


@dataclass(frozen=True, slots=True)
class Sticky:
    """By what a caller is known again: a header, or a cookie that the answer sets where there is none."""

    header: str = ""
    cookie: str = ""
    secure: bool = False  # browsers send the cookie by HTTPS only


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages may call from a browser, and what they may send besides the API's own headers."""

    origins: tuple[str, ...]
    headers: tuple[str, ...]
    max_age_seconds: int


@dataclass(frozen=True, slots=True)
class Rate:
    """How many requests one router takes: `requests` in every `seconds`."""

    requests: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """Of which requests routers send spans, in hundredths of a percent."""

    share: int  # of what has no trace of its own
    callers: int  # of what its caller sampled

    @property
    def either(self) -> int:
        """Of what its caller sampled, in its trace or in a new one."""
        return self.callers + round((WHOLE - self.callers) * self.share / WHOLE)


@dataclass(frozen=True, slots=True)
class Routes:
    """What the routers do with a request. Every list is sorted by cluster.

    `plain` is what happens to a request without a pin: `Split` by `shares`; `NoLiveTraffic`: 404; `NoReadyPod`: 503.
    A share on the cluster `UNAVAILABLE` is answered 503 (failover: Fail, for a deployment that is gone).
    """

    plain: Literal["Split", "NoLiveTraffic", "NoReadyPod"]
    shares: tuple[Share, ...]
    mirrors: tuple[Share, ...]  # weight: hundredths of a percent of requests that are copied
    pins: tuple[Pin, ...]
    timeout_ms: int  # of plain requests: the longest among the shares
    most_mirror_bytes: int
    sticky: Sticky | None = None
    cors: Cors | None = None
    rate: Rate | None = None
    once: bool = field(default=False, metadata={LATER: True})  # of plain requests: what was begun is not sent again

    sampling: Sampling | None = field(default=None, metadata={LATER: True})  # None: no request is traced

    @property
    def version(self) -> str:
        """Identity of these routes, as routers acknowledge it."""
        return digest(self)


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where routers send spans, and what these say of them."""

    host: str
    port: int
    most: int  # of whatever callers write, so many hundredths of a percent of their requests are sampled
    endpoint: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Listener:
    """What stands in the bootstrap: a change here starts routers anew."""

    most_request_bytes: int
    access_log: bool
    error_statuses: Literal["Standard", "Azure"] = "Standard"
    most_memory_bytes: int | None = None  # of the router; None: as much as there is
    tls: bool = False
    tracing: Tracing | None = None


@dataclass(frozen=True, slots=True)
class Hosts:
    """The addresses of one cluster: ready instances first, then the address that finds instances by itself."""

    cluster: str
    instances: tuple[Address, ...]
    fallback: Address | None

    @property
    def version(self) -> str:
        """Identity of these addresses, as routers acknowledge it."""
        return digest(self)


@dataclass(frozen=True, slots=True)
class Trusted:
    """An issuer whose tokens are taken, with the public keys to check them with."""

    source: str  # where its keys are read, "" where they stand in the manifest
    issuer: str
    audiences: tuple[str, ...]
    keys: str  # a JSON Web Key Set
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Auth:
    """Who may call: everybody, or whoever has a key or a token.

    No keys, no issuers and not open: what is in force stays in force, and where nothing is, nobody may call.
    """

    open: bool
    keys: Keys | None
    version: str
    retiring: tuple[WrittenKey, ...] = ()  # old keys, valid until every router has the new ones
    issuers: tuple[Trusted, ...] = ()


@dataclass(frozen=True, slots=True)
class Tls:
    """What routers show to callers."""

    certificate: Certificate | None  # None: what is in force stays in force, and where nothing is, nobody is served
    version: str


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """How many routers run, and what only a cluster has a use for."""

    replicas: int = 1
    patience: int = 10  # seconds for which a router that ends waits for requests; one of two, so that it hardly changes
    service: Mapping[str, Any] = field(default_factory=dict)
    pods: PodSettings = PodSettings()
    origin: str = ""  # changes with every edit of the Endpoint
    expose: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """Everything one Endpoint's routers should have."""

    listener: Listener
    clusters: tuple[Cluster, ...]
    clusters_version: str
    hosts: tuple[Hosts, ...]
    routes: Routes
    auth: Auth
    version: str  # of clusters, routes, auth and certificate together: `status.router.version`
    settings: RouterSettings = RouterSettings()
    tls: Tls | None = None  # None: routers listen without it
    refused: Mapping[str, str] = field(default_factory=dict)  # what every router refused of this, and why, by kind

    @property
    def versions(self) -> dict[str, str]:
        """What a router should say that it has, by kind of file; addresses are not among them."""
        certificate = self.tls.version if self.tls else ""
        named = (self.clusters_version, self.routes.version, self.auth.version, certificate)
        return {kind: version for kind, version in zip(KINDS, named, strict=True) if version}

    @property
    def may_lose(self) -> bool:
        """Whether there is something that routers leave out without a word: copies of requests, spans."""
        return bool(self.routes.mirrors) or self.listener.tracing is not None


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling a person once; told again only when reason or message changes."""

    kind: Literal["Endpoint", "Deployment"]
    name: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What should be true. `held` names workloads that are left exactly as they are (their Endpoint has just gone)."""

    workloads: tuple[Workload, ...]
    held: tuple[str, ...]
    router: RouterPlan | None
    keys: Keys | None  # the keys to keep under the default name; None where the user keeps them or nobody needs any
    record: Record
    endpoint_status: EndpointStatus | None
    deployment_statuses: Mapping[str, DeploymentStatus]
    events: tuple[Event, ...]
    look_again: float | None  # seconds from now; None: only when something changes
    status_only: bool = False  # the Endpoint's spec is not understood: nothing is written or removed by a guess at it
