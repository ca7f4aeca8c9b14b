"""The two kinds as whole objects, the way kubectl, Helm and the twin read them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from wye_operator.api.base import Model, Name, Rule
from wye_operator.api.deployment import DeploymentSpec
from wye_operator.api.endpoint import EndpointSpec

API_VERSION = "wye.dev/v1alpha1"
SUFFIXES = ("-model", "-router", "-keys")


class Metadata(BaseModel):
    """The metadata Wye reads; whatever else users put there is theirs and left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    name: Name = Field(description="Name of the object.")
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)] = (
        "default"
    )


class Endpoint(Model):
    """A stable URL with authentication in front of Deployments."""

    api_version: Literal["wye.dev/v1alpha1"]
    kind: Literal["Endpoint"]
    metadata: Metadata
    spec: EndpointSpec = Field(default=EndpointSpec())

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "metadata.name",
            "!self.metadata.name.endsWith('-model') && !self.metadata.name.endsWith('-router') && "
            "!self.metadata.name.endsWith('-keys')",
            "must not end in -model, -router or -keys: these are the names of what Wye makes for it",
            lambda e: not e.metadata.name.endswith(SUFFIXES),
        ),
    )


class Deployment(Model):
    """One model behind an Endpoint."""

    api_version: Literal["wye.dev/v1alpha1"]
    kind: Literal["Deployment"]
    metadata: Metadata
    spec: DeploymentSpec

    @property
    def short_name(self) -> str:
        """Its name inside the Endpoint, as `traffic` uses it."""
        return self.spec.name or self.metadata.name
