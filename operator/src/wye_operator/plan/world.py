"""The World: everything a pass has observed, gathered by the cluster or by the twin, and the only input of `plan`.

Mode is data here: an instance has an address, whether it is a pod or a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wye_operator.api.deployment import DeploymentSpec
from wye_operator.api.endpoint import EndpointSpec
from wye_operator.api.status import DeploymentStatus, EndpointStatus, Reason
from wye_operator.api.uris import FETCHED
from wye_operator.plan.names import LATER, is_edited
from wye_operator.plan.record import Record

# What routers' files say of TLS: there are none yet; no TLS; TLS without a certificate; a certificate.
InForce = Literal["nothing", "plain", "placeholder", "certificate"]
LOCAL_SOURCES = ("configmap", "file", *FETCHED)  # of models: the schemes that the twin reads,
CLUSTER_SOURCES = ("configmap", "pvc", *FETCHED)  # and those that a pod can have
KINDS = ("clusters", "routes", "auth", "certificate")  # of files that a router says the version of
THIS_CLUSTER = "cluster"  # where the keys of its ServiceAccount tokens come from


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where an instance listens."""

    host: str
    port: int
    check: int = field(default=0, metadata={LATER: True})  # the port of its readiness, where that is another one


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys of an Endpoint; both are always valid."""

    primary: str
    secondary: str

    def __repr__(self) -> str:
        return "Keys(…)"  # never in a log or an error


@dataclass(frozen=True, slots=True, order=True)
class WrittenKey:
    """A key as the routers' file has it; `client` is what the model is told of its bearer."""

    key: str
    client: str

    def __repr__(self) -> str:
        return f"WrittenKey(…, {self.client})"


@dataclass(frozen=True, slots=True)
class KeySet:
    """The public keys of a token issuer as they were last good, and what is wrong now.

    Only this cluster says by itself who it is as an issuer; of others the Endpoint says it.
    """

    keys: str = ""  # canonical JSON, "" while none was ever read
    problem: str = ""
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What routers show, and the key to it, in PEM; `until` is when it expires."""

    chain: str
    key: str
    until: float

    def __repr__(self) -> str:
        return "Certificate(…)"  # its key is never in a log or an error


@dataclass(frozen=True, slots=True)
class TensorSeen:
    """One tensor of a signature; dimensions are -1 where dynamic."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a running model says of itself on its inner port."""

    name: str
    version: str
    sha256: str
    size_bytes: int
    inputs: tuple[TensorSeen, ...]
    outputs: tuple[TensorSeen, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """How an instance ended by itself: `reason` is its own word for it where it left one, else ""."""

    instance: str
    exit_code: int
    reason: str
    message: str
    restarts: int


@dataclass(frozen=True, slots=True)
class InstanceSeen:
    """One pod or process of a Deployment. A leaving one is never ready."""

    name: str
    address: Address
    ready: bool
    signature: Signature | None = None
    unread: str = ""  # why the signature could not be read yet
    revision: str = ""  # of the Workload it was started from


@dataclass(frozen=True, slots=True)
class WorkloadSeen:
    """What runs for one Deployment."""

    instances: tuple[InstanceSeen, ...] = ()
    failure: Failure | None = None
    fallback: Address | None = None  # an address that finds ready instances by itself (a Service)
    origin: str = ""  # of the Workload that is being run, where that may be an earlier one than is wanted
    revision: str = ""  # the same
    leaving: tuple[Address, ...] = ()  # of instances that were told to end and still answer

    def is_asked(self, instance: InstanceSeen, origin: str, revision: str) -> bool:
        """Whether an instance is of the revision that users ask for.

        What nobody's edit has changed may be held (an upgrade that waits): then what runs is what was asked.
        """
        held = revision if not self.origin or is_edited(self.origin, origin) else self.revision
        return instance.revision in ("", revision, held)

    @property
    def ready(self) -> tuple[InstanceSeen, ...]:
        """The instances that answer."""
        return tuple(i for i in self.instances if i.ready)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where requests can go: while nobody is ready that is who still answers on the way out, as for kube-proxy.

        Routers take addresses and routes one after the other: the last addresses must not go with the routes.
        """
        return tuple(sorted(i.address for i in self.ready)) or self.leaving


@dataclass(frozen=True, slots=True)
class Taken:
    """What a router says of itself: the versions that it has, and the copies that it did not make.

    `endpoints` is by cluster. Empty strings before the first file was taken. `refusals`: how many updates it refused
    since it started, by kind of file.
    """

    clusters: str = ""
    routes: str = ""
    auth: str = ""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)  # by mirror cluster
    certificate: str = ""
    refusals: Mapping[str, int] = field(default_factory=dict)
    traces_lost: int = 0  # messages with spans that the collector did not take

    @property
    def versions(self) -> dict[str, str]:
        """By kind of file; addresses are not among them."""
        return {kind: str(getattr(self, kind)) for kind in KINDS}


@dataclass(frozen=True, slots=True)
class RouterSeen:
    """One router; `rejected` is its own reason for the last update it refused, `silent` that nobody could ask it.

    `refused`: which of the files it refused as they are written now.
    """

    name: str
    ready: bool
    taken: Taken = Taken()
    rejected: str = ""
    silent: bool = False
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FileSeen:
    """What stands in one of the routers' files: the same version may be written in another way, by another operator."""

    version: str
    content: str  # its digest


OFFERED_AGAIN = 600.0  # seconds after which what every router refused is written once more


@dataclass(frozen=True, slots=True)
class Refused(FileSeen):
    """What every ready router refused, so that their files hold what they took before it; `since` in Unix seconds."""

    why: str
    since: float


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What kept an object from being made as the last pass wanted it, such as a name that is taken."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class TlsSeen:
    """The certificate that the Endpoint names, or what is wrong with it, and what the routers' files have."""

    certificate: Certificate | None = None
    obstacle: Obstacle | None = None
    in_force: InForce = "nothing"


@dataclass(frozen=True, slots=True)
class EndpointSeen:
    """The Endpoint as it stands."""

    name: str
    namespace: str
    generation: int
    spec: EndpointSpec
    status: EndpointStatus | None = None
    url: str = ""  # where callers reach it, as far as it is known
    obstacles: tuple[Obstacle, ...] = ()
    misfit: str = ""  # what of the spec is wrong and was left out of it, because no API server could refuse it


@dataclass(frozen=True, slots=True)
class DeploymentSeen:
    """A Deployment as it stands. `created` orders two that want one name (seconds, then object name)."""

    object_name: str
    namespace: str
    generation: int
    created: float
    spec: DeploymentSpec
    status: DeploymentStatus | None = None
    content: str = ""  # digest of what model.uri leads to, where that is known; another digest is another revision
    content_problem: str = ""  # why model.uri leads nowhere ("configmap models has no key model.onnx")
    content_reason: Reason = Reason.MODEL_FETCH  # of that problem
    obstacles: tuple[Obstacle, ...] = ()
    misfit: str = ""  # what of the spec is wrong and was left out of it, because no API server could refuse it

    @property
    def name(self) -> str:
        """Its name inside the Endpoint."""
        return self.spec.name or self.object_name


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long things may take, in seconds."""

    progress: float = 600
    endpoint_grace: float = 300
    acknowledge: float = 10


@dataclass(frozen=True, slots=True)
class World:
    """One Endpoint (or the gap where one was) with everything that stands behind its name.

    `workloads` is by the Deployment's object name and also holds what runs for Deployments that are gone.
    """

    name: str
    namespace: str
    endpoint: EndpointSeen | None
    deployments: tuple[DeploymentSeen, ...]
    workloads: Mapping[str, WorkloadSeen]
    routers: tuple[RouterSeen, ...]
    record: Record
    keys: Keys | None
    keys_problem: str  # why named keys cannot be used, else ""
    fresh_keys: Keys
    now: float
    written_keys: tuple[WrittenKey, ...] = ()  # those that the routers' file holds now, of whatever plan
    written_open: bool = False  # whether that file lets everybody in
    refused: Mapping[str, Refused] = field(default_factory=dict)  # by kind of file
    key_sets: Mapping[str, KeySet] = field(default_factory=dict)  # of token issuers, by jwksUri or THIS_CLUSTER
    deadlines: Deadlines = Deadlines()
    sources: tuple[str, ...] = LOCAL_SOURCES
    tls: TlsSeen = TlsSeen()
    has_gateway_api: bool | None = None  # None: there is no cluster
    most_routers: int | None = None  # that can run here; None: as many as the Endpoint asks for
