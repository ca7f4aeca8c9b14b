"""How callers reach an Endpoint: its certificate, and what leads to it from outside the cluster."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from wye_operator.api.base import OBJECT_NAME, Model, Rule, Text, Unique, one_of
from wye_operator.api.pod import Annotations

HOST = Text(
    pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    most=253,
    sentence="a host name: lower-case letters, digits, '-' and '.', at most 253 characters, no scheme, port or path",
)
SECTION = Text(
    pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
    most=253,
    sentence="the name of a Gateway's listener: lower-case letters, digits, '-' and '.', at most 253 characters",
)
HostName = Annotated[str, HOST]
ObjectName = Annotated[str, OBJECT_NAME]


class Tls(Model):
    """Callers speak HTTPS with the routers."""

    secret_name: ObjectName = Field(
        description="Secret with `tls.crt` (the certificate, then those of its issuers) and `tls.key`, in PEM; such as "
        "cert-manager makes. Another certificate is live without a restart.",
    )


class Ingress(Model):
    """An Ingress of the Endpoint's name."""

    host: HostName = Field(description="The host that callers use.")
    class_name: ObjectName | None = Field(
        default=None, description="Which Ingress controller serves it. Absent: the cluster's default class."
    )
    annotations: Annotations | None = Field(default=None, description="Of the Ingress, such as a controller's own.")
    tls_secret_name: ObjectName | None = Field(
        default=None, description="Secret with the certificate that the Ingress controller shows. Absent: HTTP."
    )


class ParentRef(Model):
    """A Gateway."""

    name: ObjectName = Field(description="The Gateway's name.")
    namespace: ObjectName | None = Field(default=None, description="Its namespace. Absent: the Endpoint's.")
    section_name: Annotated[str, SECTION] | None = Field(
        default=None, description="One of its listeners. Absent: every one that allows it."
    )
    port: int | None = Field(default=None, ge=1, le=65_535, description="Only its listeners on this port.")


class HttpRoute(Model):
    """An HTTPRoute of the Endpoint's name; the cluster must have the Gateway API."""

    parent_refs: Annotated[list[ParentRef], Field(min_length=1, max_length=32)] = Field(
        description="The Gateways that it hangs on."
    )
    hostnames: Annotated[list[HostName], Field(min_length=1, max_length=16), Unique()] = Field(
        description="The hosts that callers use; the first one is the Endpoint's URL."
    )


class Expose(Model):
    """What leads to the Endpoint from outside the cluster: one of the two."""

    ingress: Ingress | None = Field(default=None, description="By an Ingress.")
    http_route: HttpRoute | None = Field(default=None, description="By an HTTPRoute of the Gateway API.")

    RULES: ClassVar[tuple[Rule, ...]] = one_of("ingress", "httpRoute", "must have ingress or httpRoute")
