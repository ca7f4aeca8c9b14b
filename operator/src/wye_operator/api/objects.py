"""The two kinds as whole objects, the way kubectl, Helm and the twin read them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from wye_operator.api.base import Model, Name, Rule, Text
from wye_operator.api.deployment import DeploymentSpec
from wye_operator.api.endpoint import EndpointSpec

API_VERSION = "wye.dev/v1alpha1"
SUFFIXES = ("-model", "-router", "-keys")
THEIRS = Field(default=None, exclude=True, repr=False)
WRITTEN_BY_WYE = {"status": "is written by Wye; remove it"}
NAMESPACE = Text(
    pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    most=63,
    sentence="lower-case letters, digits and '-', beginning and ending with a letter or digit, at most 63 characters",
)


class Metadata(Model):
    """The metadata Wye reads, and what else an API server knows, which is not Wye's to check."""

    name: Name = Field(description="The object's name.")
    namespace: Annotated[str, NAMESPACE] = Field(default="default", description="The object's namespace.")
    labels: dict[str, str] | None = Field(default=None, description="The user's own labels; nothing selects by them.")
    annotations: dict[str, str] | None = Field(default=None, description="The user's own annotations.")
    uid: Any = THEIRS
    creation_timestamp: Any = THEIRS
    deletion_timestamp: Any = THEIRS
    deletion_grace_period_seconds: Any = THEIRS
    finalizers: Any = THEIRS
    generate_name: Any = THEIRS
    generation: Any = THEIRS
    managed_fields: Any = THEIRS
    owner_references: Any = THEIRS
    resource_version: Any = THEIRS
    self_link: Any = THEIRS


class Endpoint(Model):
    """A stable URL with authentication in front of Deployments."""

    api_version: Literal["wye.dev/v1alpha1"] = Field(description="The version of this API.")
    kind: Literal["Endpoint"] = Field(description="The kind of object.")
    metadata: Metadata = Field(description="Name and namespace.")
    spec: EndpointSpec = Field(default=EndpointSpec(), description="What it should be.")

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "metadata.name",
            "!self.metadata.name.endsWith('-model') && !self.metadata.name.endsWith('-router') && "
            "!self.metadata.name.endsWith('-keys')",
            "must not end in -model, -router or -keys: these are the names of what Wye makes for it",
            lambda e: not e.metadata.name.endswith(SUFFIXES),
        ),
    )
    REFUSED: ClassVar[dict[str, str]] = WRITTEN_BY_WYE


class Deployment(Model):
    """One model behind an Endpoint."""

    api_version: Literal["wye.dev/v1alpha1"] = Field(description="The version of this API.")
    kind: Literal["Deployment"] = Field(description="The kind of object.")
    metadata: Metadata = Field(description="Name and namespace.")
    spec: DeploymentSpec = Field(description="What it should be.")

    REFUSED: ClassVar[dict[str, str]] = WRITTEN_BY_WYE

    @property
    def short_name(self) -> str:
        """Its name inside the endpoint, as `traffic` uses it."""
        return self.spec.name or self.metadata.name


KINDS: dict[str, type[Endpoint] | type[Deployment]] = {
    "Endpoint": Endpoint,
    "Deployment": Deployment,
}
