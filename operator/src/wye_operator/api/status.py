"""What users read back: conditions by kstatus' rules, Azure's provisioning states, and what is in effect."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from wye_operator.api.base import ATOMIC


class Reason(StrEnum):
    """Every reason a condition can carry; the order inside each group decides which one is shown."""

    READY = "Ready"
    # needs an edit by a person
    NAME_TAKEN = "NameTaken"
    TRAFFIC_NOT_SET = "TrafficNotSet"
    UNKNOWN_DEPLOYMENT = "UnknownDeployment"
    MODEL_DIGEST_MISMATCH = "ModelDigestMismatch"
    MODEL_INVALID = "ModelInvalid"
    SIGNATURE_MISMATCH = "SignatureMismatch"
    MODEL_SOURCE_UNSUPPORTED = "ModelSourceUnsupported"
    ENVIRONMENT_UNSUPPORTED = "EnvironmentUnsupported"
    INVALID_DEPLOYMENT_SPEC = "InvalidDeploymentSpec"
    GATEWAY_API_MISSING = "GatewayApiMissing"
    CERTIFICATE_INVALID = "CertificateInvalid"
    ROUTER_REJECTED = "RouterRejected"
    SCRIPT_IMPORT = "UserScriptImportError"
    SCRIPT_FUNCTION = "UserScriptFunctionNotFound"
    SCRIPT_INIT = "UserScriptInitFailed"
    CRASH_LOOP = "DeploymentCrashLoopBackOff"
    IMAGE_PULL_LOOP = "ImagePullLoopBackOff"
    OUT_OF_MEMORY = "PodOutOfMemory"
    # answers, but not all as asked
    DEGRADED = "Degraded"
    MODEL_DIGESTS_DIFFER = "ModelDigestsDiffer"
    # waits for what may still come
    ENDPOINT_NOT_FOUND = "EndpointNotFound"
    WAITING_FOR_DEPLOYMENT = "WaitingForDeployment"
    KEYS_NOT_FOUND = "KeysNotFound"
    TOKEN_KEYS_NOT_FOUND = "TokenKeysNotFound"
    CERTIFICATE_NOT_FOUND = "CertificateNotFound"
    ROUTER_STARTING = "RouterStarting"
    ROUTER_BEHIND = "RouterBehind"
    INSTANCES_STARTING = "PodsStarting"
    IMAGE_PULL = "ImagePull"
    MODEL_FETCH = "ModelFetch"
    POD_UNSCHEDULABLE = "PodUnschedulable"
    OWNER_GOING = "OwnerGoing"
    # of the condition Serving
    SERVING = "Serving"
    NO_DEPLOYMENT = "NoDeployment"
    NO_LIVE_TRAFFIC = "NoLiveTraffic"
    NO_READY_POD = "NoReadyPod"


class StatusModel(BaseModel):
    """Base of what the operator writes: camelCase, frozen; reads leniently what an older version wrote."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Condition(StatusModel):
    """One condition as Kubernetes writes it."""

    type: Literal["Ready", "Reconciling", "Stalled", "Serving"] = Field(description="What it speaks of.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Reason = Field(description="Why, in one word; each has an entry in the docs.")
    message: str = Field(description="What is, what should be, and what to do.")
    observed_generation: int = Field(description="The generation of the object it speaks of.")
    last_transition_time: str = Field(description="When `status` last changed (RFC 3339).")


class Waiting(StatusModel):
    """The clock of the deadlines: since when this generation waits for this reason."""

    generation: int = Field(description="Generation that waits.")
    reason: Reason = Field(description="What it waits for.")
    since: float = Field(description="When that began (seconds since the epoch).")


class DeploymentShare(StatusModel):
    """One Deployment as its Endpoint sees it."""

    name: str = Field(description="Its name in `traffic`.")
    ready_replicas: int = Field(description="Instances that are ready.")
    replicas: int = Field(description="Instances that are wanted.")
    traffic: float = Field(description="Percent of live traffic the routers give it.")
    mirror: float = Field(description="Percent of requests copied to it.")
    mirror_dropped: int | None = Field(
        default=None,
        description="Copies that the routers did not make since they started: too large, of unnamed size, too many, "
        "or for nobody.",
    )


class RouterStatus(StatusModel):
    """The routers."""

    replicas: int = Field(description="Routers that run.")
    ready_replicas: int = Field(description="Routers that are ready.")
    version: str | None = Field(default=None, description="Routing that every ready router took.")
    auth_version: str | None = Field(
        default=None, description="Keys or token issuers that every ready router took: a fingerprint, no secret."
    )
    traces_dropped: int | None = Field(
        default=None,
        description="Messages with spans that the collector did not take since the routers started; absent where the "
        "Endpoint asks for no traces.",
    )


class EndpointStatus(StatusModel):
    """What an Endpoint is."""

    observed_generation: int = Field(description="Generation this status speaks of.")
    conditions: list[Condition] = Field(description="Ready, Reconciling, Stalled and Serving.")
    provisioning_state: str = Field(description="Azure's word for it.")
    scoring_uri: str | None = Field(default=None, description="Where to send requests.")
    openapi_uri: str | None = Field(default=None, description="Its OpenAPI document.")
    grpc_target: str | None = Field(default=None, description="Host and port for gRPC clients, which take no URL.")
    traffic: dict[str, float] | None = Field(
        default=None,
        json_schema_extra=ATOMIC,
        description="Live traffic as it is in effect, fail-over included.",
    )
    mirror_traffic: dict[str, float] | None = Field(
        default=None, json_schema_extra=ATOMIC, description="Mirrors as they are in effect."
    )
    traffic_text: str = Field(default="", description="`blue=90 green=10`, for the column.")
    mirror_text: str = Field(default="", description="`violet=50`, for the column.")
    deployments: list[DeploymentShare] = Field(default_factory=list, description="The Deployments behind it.")
    router: RouterStatus = Field(description="The routers.")
    waiting: Waiting | None = Field(default=None, description="What it waits for, and since when.")


class Tensor(StatusModel):
    """One input or output of a model."""

    name: str = Field(description="Its name.")
    datatype: str = Field(description="Open Inference Protocol datatype.")
    shape: list[int] = Field(description="Dimensions, -1 where dynamic.")


class ModelStatus(StatusModel):
    """The model as it runs."""

    uri: str = Field(description="Where it came from.")
    sha256: str | None = Field(default=None, description="Digest of its bytes.")
    size_bytes: int | None = Field(default=None, description="Its size.")
    inputs: list[Tensor] = Field(default_factory=list, description="Its inputs (the first 64).")
    outputs: list[Tensor] = Field(default_factory=list, description="Its outputs (the first 64).")


class LastFailure(StatusModel):
    """The last instance that ended by itself."""

    pod: str = Field(description="Which instance.")
    exit_code: int = Field(description="How it ended.")
    reason: str = Field(description="Its own word for why, where it had one.")
    restart_count: int = Field(description="How often it was started again.")
    log: str = Field(default="", description="Its last words (at most 5 lines and 1 KiB).")


class DeploymentStatus(StatusModel):
    """What a Deployment is."""

    observed_generation: int = Field(description="Generation this status speaks of.")
    conditions: list[Condition] = Field(description="Ready, Reconciling and Stalled.")
    provisioning_state: str = Field(description="Azure's word for it.")
    replicas: int = Field(description="Instances that run.")
    ready_replicas: int = Field(description="Instances that are ready.")
    selector: str | None = Field(default=None, description="Labels of its pods, for the scale subresource.")
    image: str | None = Field(default=None, description="The image that its pods run.")
    traffic: float = Field(default=0, description="Percent of live traffic in effect.")
    mirror: float = Field(default=0, description="Percent of requests copied to it.")
    traffic_text: str = Field(default="", description="`90` or `mirror 50`, for the column.")
    model: ModelStatus | None = Field(default=None, description="The model as it runs.")
    last_failure: LastFailure | None = Field(default=None, description="The last instance that ended by itself.")
    waiting: Waiting | None = Field(default=None, description="What it waits for, and since when.")
