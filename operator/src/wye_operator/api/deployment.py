"""The Deployment: one model behind an Endpoint, with its own instances and settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from wye_operator.api.base import (
    NOT_BUILT,
    Description,
    Model,
    Name,
    Rule,
    Tags,
    Text,
    TextOrNumber,
)
from wye_operator.api.contract import Contract
from wye_operator.api.engine import Engine
from wye_operator.api.environment import SHARED, Environment
from wye_operator.api.pod import EnvironmentFrom, ObjectName, Pod, Probe, Resources, Strategy
from wye_operator.api.script import SCRIPT_RULES, CodeConfiguration
from wye_operator.api.uris import FETCHED, FETCHED_FROM, URI

SHA256 = Text(
    pattern=r"^[0-9a-f]{64}$",
    most=64,
    sentence="64 hexadecimal digits in lower case, as sha256sum prints them",
    hint=lambda text: "write it in lower case" if text != text.lower() else "",
)
MODEL_NAME = Text(
    pattern=r"^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$",
    most=63,
    sentence="letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, at most 63 characters",
)
MODEL_VERSION = TextOrNumber(
    Text(
        pattern=r"^[-._A-Za-z0-9]+$",
        most=63,
        sentence="a whole number from 0, or a string of letters, digits, '-', '_' and '.' of at most 63 characters",
    ),
    least=0,
)
ENVIRONMENT_NAME = Text(
    pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$",
    most=253,
    sentence="letters, digits, '_', '-' and '.', not beginning with a digit",
)
EnvironmentVariables = Annotated[
    dict[Annotated[str, ENVIRONMENT_NAME], Annotated[str, Field(max_length=32_768)]],
    Field(max_length=200),
]


class ModelSource(Model):
    """Where the model is and what it is called."""

    uri: Annotated[str, URI] = Field(
        description="Where the model is, a file or a folder. `file://PATH` (the local twin only; relative to the "
        "manifest's folder), `configmap://NAME/KEY`, `pvc://CLAIM/PATH` (a cluster only; mounted read-only); or "
        "fetched before an instance starts: `https://HOST/PATH` (a file), `s3://BUCKET/PATH`, `gs://BUCKET/PATH`, "
        "`az://CONTAINER/PATH`, `hf://ORG/REPO/FILE@REVISION`, `oci://HOST/NAME:TAG`."
    )
    sha256: Annotated[str, SHA256] | None = Field(
        default=None,
        description="Digest of the model file, or of a folder's `sha256sum` list; other bytes never start.",
    )
    name: Annotated[str, MODEL_NAME] | None = Field(
        default=None, description="The name in `/v2/models/NAME`. Default: the Endpoint's name."
    )
    version: Annotated[str | int, MODEL_VERSION] = Field(
        default="1", description="The model's version, a number or a string."
    )
    secret_name: ObjectName | None = Field(
        default=None,
        description="Secret whose entries are environment variables of the fetch: its credentials. Only where "
        "something is fetched.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "uri",
            "!self.uri.matches('^(pvc|s3|gs|az|hf)://') || !self.uri.contains('..')",
            "must not contain '..': the path is one inside the claim, the bucket or the repository",
            lambda model: not re.match("(pvc|s3|gs|az|hf)://", model.uri) or ".." not in model.uri,
        ),
        Rule(
            "secretName",
            f"!has(self.secretName) || self.uri.matches('{FETCHED_FROM}')",
            f"must not be set where nothing is fetched: it serves {', '.join(f'{each}://' for each in FETCHED)}",
            lambda model: model.secret_name is None or bool(re.match(FETCHED_FROM, model.uri)),
        ),
    )


class RequestSettings(Model):
    """How long and how many requests an instance takes."""

    request_timeout_ms: int = Field(
        default=5000,
        ge=1,
        le=300_000,
        description="A request that is silent for that long is answered 504 (milliseconds). Above 10000 the Endpoint's "
        "routers get a grace of 320 s instead of 30 s, in which requests and streams may end.",
    )
    max_concurrent_requests_per_instance: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Requests that run at once. Default: the runtime's own choice.",
    )
    max_queue_wait_ms: int = Field(
        default=500,
        ge=0,
        le=300_000,
        description="A request that waits longer for its turn is answered 429 (milliseconds).",
    )


class Batching(Model):
    """Whether requests that come together share a run of the model."""

    mode: Literal["Auto", "Never", "Always"] = Field(
        default="Auto",
        description="`Auto`: where the instance measured at load that rows of several requests come out the same "
        "together, and more of them a second. `Always`: whatever it measured, where the first dimensions of all "
        "inputs and outputs are dynamic.",
    )
    max_batch_size: int | None = Field(
        default=None, ge=1, le=10_000, description="Rows of one run at most. Default: what was measured, at most 64."
    )
    max_delay_ms: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="How long a request waits for company (milliseconds). 0: it goes with those that came with it.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "maxBatchSize",
            "!has(self.maxBatchSize) || !has(self.mode) || self.mode != 'Never'",
            "must not be set where mode is Never",
            lambda batching: batching.max_batch_size is None or batching.mode != "Never",
        ),
        Rule(
            "maxDelayMs",
            "!has(self.maxDelayMs) || self.maxDelayMs == 0 || !has(self.mode) || self.mode != 'Never'",
            "must be 0 where mode is Never",
            lambda batching: not batching.max_delay_ms or batching.mode != "Never",
        ),
    )


class Warmup(Model):
    """What runs before an instance is ready."""

    requests: int = Field(default=3, ge=0, le=1000, description="How many requests; 0: no warm-up.")
    input: dict[str, Any] | None = Field(
        default=None,
        description="A body of `/score`. Default: made from the contract or the model's inputs.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "requests",
            "!has(self.input) || !has(self.requests) || self.requests > 0",
            "must be at least 1 where an input is given",
            lambda warmup: warmup.input is None or warmup.requests > 0,
        ),
    )


def _once_is_enough(name: str, probe: Callable[[Any], Probe | None]) -> Rule:
    """Kubernetes takes no other number there, and says so only of the pod."""

    def holds(spec: Any) -> bool:
        found = probe(spec)
        return found is None or found.success_threshold in (None, 1)

    return Rule(
        f"{name}.successThreshold",
        f"!has(self.{name}) || !has(self.{name}.successThreshold) || self.{name}.successThreshold == 1",
        "must be 1: only readiness is asked more than once",
        holds,
    )


OF_OUR_RUNTIME = {"engine": "engine", "batching": "batching", "warmup": "warmup", "contract": "contract"}
MOUNTED = ("file://", "configmap://", "pvc://")  # nothing of ours reads these before another server does


def _of_our_runtime(name: str, field: str) -> Rule:
    return Rule(
        name,
        f"!has(self.environment) || !has(self.{name})",
        "must not be set beside environment: Wye's own runtime does that, and another server runs here",
        lambda spec: spec.environment is None or field not in spec.model_fields_set,
    )


def _queues(spec: DeploymentSpec) -> bool:
    settings = spec.request_settings
    return settings.max_concurrent_requests_per_instance is not None or settings.max_queue_wait_ms != 500


def _mounts(spec: DeploymentSpec) -> bool:
    """Whether a mount of the user's is where another server finds its model or its shared memory."""
    environment, pod = spec.environment, spec.pod
    taken = (SHARED, environment.model_mount_path) if environment else ()
    return any(mount["mountPath"] in taken for mount in (pod and pod.volume_mounts) or ())


OF_OTHER_SERVERS = (
    Rule(
        "requestSettings",
        "!has(self.environment) || !has(self.requestSettings) || "
        "(!has(self.requestSettings.maxConcurrentRequestsPerInstance) && "
        "(!has(self.requestSettings.maxQueueWaitMs) || self.requestSettings.maxQueueWaitMs == 500))",
        "must not set maxConcurrentRequestsPerInstance or maxQueueWaitMs beside environment: the queue is its own",
        lambda spec: spec.environment is None or not _queues(spec),
    ),
    Rule(
        "model.sha256",
        "!has(self.environment) || !has(self.model) || !has(self.model.sha256) || "
        f"!{list(MOUNTED)}.exists(s, self.model.uri.startsWith(s))",
        "must not be set beside environment where the model is mounted: nothing would compare it; it is checked where "
        "the model is fetched",
        lambda spec: not (spec.environment and spec.model and spec.model.sha256 and spec.model.uri.startswith(MOUNTED)),
    ),
    Rule(
        "pod.volumeMounts",
        "!has(self.environment) || !has(self.pod) || !has(self.pod.volumeMounts) || self.pod.volumeMounts.all(m, "
        f"m.mountPath != '{SHARED}' && "
        "m.mountPath != (has(self.environment.modelMountPath) ? self.environment.modelMountPath : '/model'))",
        f"must not be at environment.modelMountPath or {SHARED}: there Wye mounts its own",
        lambda spec: not _mounts(spec),
    ),
)


class DeploymentSpec(Model):
    """What a Deployment should be."""

    description: Description | None = Field(default=None, description="Free text.")
    tags: Tags | None = Field(default=None, description="Free labels for people; nothing selects by them.")
    endpoint_name: Name = Field(
        description="The Endpoint it stands behind, in the same namespace; may be created later. Immutable."
    )
    name: Name | None = Field(default=None, description="Its name in `traffic`. Default: `metadata.name`. Immutable.")
    model: ModelSource | None = Field(
        default=None,
        description="Where the model is, and what it is called. Required, unless `environment` or `codeConfiguration` "
        "does without.",
    )
    code_configuration: CodeConfiguration | None = Field(
        default=None,
        description="An Azure scoring script, which answers by itself; `model`, of any kind, lies in its "
        "`AZUREML_MODEL_DIR`. It runs one request at a time, or `maxConcurrentRequestsPerInstance`.",
    )
    instance_count: int = Field(default=1, ge=0, le=1000, description="How many instances run.")
    engine: Engine = Field(default=Engine(), description="How ONNX Runtime runs the model.")
    batching: Batching = Field(default=Batching(), description="Whether requests share a run of the model.")
    request_settings: RequestSettings = Field(default=RequestSettings(), description="Time-outs and limits.")
    contract: Contract | None = Field(
        default=None,
        description="How this model carries the contract's fields, or the whole contract.",
    )
    warmup: Warmup = Field(default=Warmup(), description="What runs before an instance is ready.")
    environment: Environment | None = Field(
        default=None, description="Another server than Wye's runtime, by its image and its three routes."
    )
    environment_variables: EnvironmentVariables | None = Field(
        default=None, description="Environment of the model server."
    )
    environment_from: Annotated[list[EnvironmentFrom], Field(max_length=32)] | None = Field(
        default=None,
        description="Secrets and ConfigMaps whose entries are environment variables too (cluster only).",
    )
    resources: Resources | None = Field(
        default=None,
        description="Of each instance (cluster only). Absent as a whole: requests 100m and 256Mi, limit 1Gi memory.",
    )
    liveness_probe: Probe | None = Field(
        default=None,
        description="When an instance starts anew (cluster only). Default: each 10 s, timeout 5, failureThreshold 3.",
    )
    readiness_probe: Probe | None = Field(
        default=None,
        description="When an instance gets requests (cluster only). Default: each 1 s, timeout 2, failureThreshold 3.",
    )
    startup_probe: Probe | None = Field(
        default=None,
        description="How long a model may load (cluster only). Default: each 1 s, timeout 2, failureThreshold 600.",
    )
    pod: Pod | None = Field(default=None, description="The rest of its pods (cluster only).")
    strategy: Strategy = Field(
        default=Strategy(), description="How instances are replaced (cluster only; the twin starts one, ends one)."
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "model",
            "has(self.model) || has(self.environment) || has(self.codeConfiguration)",
            "is required, unless environment or codeConfiguration does without",
            lambda spec: any((spec.model, spec.environment, spec.code_configuration)),
        ),
        *SCRIPT_RULES,
        *(_of_our_runtime(name, field) for name, field in OF_OUR_RUNTIME.items()),
        *OF_OTHER_SERVERS,
        _once_is_enough("livenessProbe", lambda spec: spec.liveness_probe),
        _once_is_enough("startupProbe", lambda spec: spec.startup_probe),
    )
    IMMUTABLE: ClassVar[dict[str, str]] = dict.fromkeys(
        ("endpointName", "name"), "give the Deployment another metadata.name"
    )
    REFUSED: ClassVar[dict[str, str]] = dict.fromkeys(("scaleSettings", "tests", "dataCollector"), NOT_BUILT)

    @property
    def uri(self) -> str:
        """Where the model is, "" where another server brings its own, or a script does without."""
        return self.model.uri if self.model else ""

    @property
    def places(self) -> dict[str, str]:
        """What has to be brought to an instance: URIs by their fields."""
        code = {"codeConfiguration.code": self.code_configuration.code} if self.code_configuration else {}
        return {**({"model.uri": self.model.uri} if self.model else {}), **code}
