"""The Deployment: one model behind an Endpoint, with its own instances and settings."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from wye_operator.api.base import Model, Name, Rule
from wye_operator.api.contract import Contract

URI_PATTERN = r"^(file://.+|configmap://[a-z0-9]([-.a-z0-9]*[a-z0-9])?/[-._a-zA-Z0-9]+)$"
URI_SENTENCE = (
    "file://PATH (a path beside the manifest, or file:///absolute/path) or configmap://NAME/KEY"
)


class ModelSource(Model):
    """Where the model is and what it is called."""

    uri: Annotated[str, Field(pattern=URI_PATTERN, max_length=2048)] = Field(
        description="`file://PATH` (the local twin only; relative to the manifest's folder) or `configmap://NAME/KEY`. A file or a folder."
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="Digest of the model file; other bytes never start."
    )
    name: (
        Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$", max_length=63)]
        | None
    ) = Field(
        default=None, description="The name in `/v2/models/NAME`. Default: the Endpoint's name."
    )
    version: (
        Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[-._A-Za-z0-9]+$")]
        | Annotated[int, Field(ge=0)]
    ) = Field(default="1", description="The model's version, a number or a string.")


class Engine(Model):
    """How ONNX Runtime runs the model."""

    provider: Literal["Auto", "CPU"] = Field(
        default="Auto",
        description="Execution provider. One that was asked for and is not there is an error, never a silent fall-back.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Threads of one run. Default: the processors the instance may use.",
    )


class RequestSettings(Model):
    """How long and how many requests an instance takes."""

    request_timeout_ms: int = Field(
        default=5000,
        ge=1,
        le=300_000,
        description="A request that is silent for that long is answered 504 (milliseconds).",
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


class Warmup(Model):
    """What runs before an instance is ready."""

    requests: int = Field(default=3, ge=0, le=1000, description="How many requests.")
    input: dict[str, Any] | None = Field(
        default=None,
        description="A body of `/score`. Default: made from the contract or the model's inputs.",
    )


class DeploymentSpec(Model):
    """What a Deployment should be."""

    description: str | None = Field(default=None, description="Free text.")
    tags: dict[str, str] | None = Field(
        default=None, description="Free labels for people; nothing selects by them."
    )
    endpoint_name: Name = Field(
        description="The Endpoint it stands behind, in the same namespace; may be created later. Immutable."
    )
    name: Name | None = Field(
        default=None, description="Its name in `traffic`. Default: `metadata.name`. Immutable."
    )
    model: ModelSource = Field(description="The model.")
    instance_count: int = Field(default=1, ge=0, le=1000, description="How many instances run.")
    engine: Engine = Field(default=Engine(), description="How ONNX Runtime runs the model.")
    request_settings: RequestSettings = Field(
        default=RequestSettings(), description="Time-outs and limits."
    )
    contract: Contract | None = Field(
        default=None,
        description="How this model carries the contract's fields, or the whole contract.",
    )
    warmup: Warmup = Field(default=Warmup(), description="What runs before an instance is ready.")
    environment_variables: (
        dict[Annotated[str, Field(pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")], str] | None
    ) = Field(default=None, description="Environment of the model server.")

    RULES: ClassVar[tuple[Rule, ...]] = ()
