"""The Endpoint: a stable URL with authentication, and how its traffic is split and mirrored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wye_operator.api.base import (
    ATOMIC,
    NOT_BUILT,
    OBJECT_NAME,
    ByteQuantity,
    Description,
    Model,
    Name,
    Percent,
    Rule,
    Tags,
    byte_count,
)
from wye_operator.api.contract import Contract
from wye_operator.api.flow import Cors, Sticky
from wye_operator.api.pod import Annotations, Pod, Resources
from wye_operator.api.reach import Expose, Tls
from wye_operator.api.token import Token
from wye_operator.api.tracing import Tracing

MOST_REQUEST_BYTES = 2**30
HUNDREDTHS = "self.traffic.map(k, int(self.traffic[k] * 100.0 + 0.5)).sum()"


def _sum(shares: dict[str, float] | None) -> float:
    return round(sum(shares.values()), 2) if shares else 0


def _sums_up(spec: EndpointSpec) -> bool:
    return round(_sum(spec.traffic) * 100) in (0, 10_000)


def _apart(spec: EndpointSpec) -> bool:
    live = {name for name, share in (spec.traffic or {}).items() if share > 0}
    return not live & set(spec.mirror_traffic or {})


class Keys(Model):
    """Where the two keys of `authMode: Key` are kept."""

    secret_name: Annotated[str, OBJECT_NAME] | None = Field(
        default=None,
        description="Secret with `primaryKey` and `secondaryKey`. Default: `<name>-keys`, made when it is missing.",
    )


def _at_most_1gi(field: str, bytes_of: Callable[[Limits], str | int]) -> Rule:
    return Rule(
        field,
        f"!has(self.{field}) || (type(self.{field}) == int "
        f"? self.{field} <= 1073741824 "
        f": quantity(self.{field}).compareTo(quantity('1Gi')) <= 0)",
        "must be at most 1Gi",
        lambda limits: byte_count(bytes_of(limits)) <= MOST_REQUEST_BYTES,
    )


class Limits(Model):
    """How much a caller may send, and how much of it is copied to mirrors."""

    max_request_bytes: ByteQuantity = Field(
        default="64Mi",
        description="Largest request body; a larger one is answered 413. At most `1Gi`.",
    )
    max_mirror_bytes: ByteQuantity = Field(
        default="1Mi",
        description="Larger bodies, and bodies of unnamed size, are not mirrored (and counted). At most `1Gi`.",
    )
    requests_per_second: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="More are answered 429 with `Retry-After`. Each router takes its part. Absent: as many as come.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        _at_most_1gi("maxRequestBytes", lambda limits: limits.max_request_bytes),
        _at_most_1gi("maxMirrorBytes", lambda limits: limits.max_mirror_bytes),
    )


class RouterService(Model):
    """How callers reach the routers."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="As of a Kubernetes Service."
    )
    port: int | None = Field(
        default=None, ge=1, le=65_535, description="The port that callers use. Absent: 80, or 443 with `tls`."
    )
    annotations: Annotations | None = Field(default=None, description="Of the Service, such as a cloud's own.")


class Router(Model):
    """Settings of the router in front of the Deployments."""

    replicas: int = Field(
        default=1,
        ge=1,
        le=100,
        description="How many routers run (cluster only). Above 1 they are spread, and a node drain leaves one.",
    )
    resources: Resources | None = Field(
        default=None,
        description="Of each router (cluster only). Absent as a whole: requests 100m and 128Mi, limit 512Mi memory.",
    )
    access_log: bool = Field(
        default=True, description="One JSON line for each request, without bodies or query strings."
    )
    service: RouterService = Field(default=RouterService(), description="How callers reach it (cluster only).")
    pod: Pod | None = Field(default=None, description="The rest of its pods (cluster only).")


class EndpointSpec(Model):
    """What an Endpoint should be."""

    description: Description | None = Field(default=None, description="Free text.")
    tags: Tags | None = Field(default=None, description="Free labels for people; nothing selects by them.")
    auth_mode: Literal["Key", "Token", "None"] = Field(
        default="Key",
        description="`Key`: a primary and a secondary key. `Token`: JWTs of OIDC providers or of this cluster's "
        "service accounts. `None`: open, for callers the network already limits.",
    )
    keys: Keys | None = Field(default=None, description="Where the keys are kept.")
    token: Token | None = Field(default=None, description="Whose tokens are taken, with `authMode: Token`.")
    traffic: Annotated[dict[Name, Percent], Field(max_length=20)] | None = Field(
        default=None,
        json_schema_extra=ATOMIC,
        description="Percent of live traffic for each Deployment's name; adds up to 100, or to 0 for "
        "no live traffic. Absent: the first Deployment that is ready alone gets 100.",
    )
    mirror_traffic: Annotated[dict[Name, Percent], Field(max_length=5)] | None = Field(
        default=None,
        json_schema_extra=ATOMIC,
        description="Percent of requests that are copied to each named Deployment; its answers are never returned.",
    )
    failover: Literal["Redistribute", "Fail"] = Field(
        default="Redistribute",
        description="When a Deployment in effect lost its last ready instance: its share goes to the "
        "others in proportion, or is answered 503.",
    )
    contract: Contract | None = Field(default=None, description="The fields that callers see.")
    sticky: Sticky | None = Field(
        default=None,
        description="The same caller stays with the same Deployment while shares stand. Absent: each request anew.",
    )
    limits: Limits = Field(default=Limits(), description="How much a caller may send.")
    cors: Cors | None = Field(default=None, description="Which pages may call from a browser. Absent: none.")
    error_statuses: Literal["Standard", "Azure"] = Field(
        default="Standard",
        description="`Standard`: the model's own status, and 504 for a time-out. `Azure`: 424 and 408, as its managed "
        "endpoints have it.",
    )
    tracing: Tracing | None = Field(
        default=None, description="Traces of sampled requests for an OpenTelemetry collector. Absent: none."
    )
    tls: Tls | None = Field(default=None, description="HTTPS with this certificate. Absent: HTTP.")
    expose: Expose | None = Field(
        default=None,
        description="What leads to it from outside the cluster (cluster only). Absent: the Service alone.",
    )
    router: Router = Field(default=Router(), description="Settings of the router.")

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "keys.secretName",
            "!has(self.authMode) || self.authMode == 'Key' || !has(self.keys) || !has(self.keys.secretName)",
            "must not be set with authMode None or Token, which ask for no key: remove one of the two",
            lambda spec: spec.auth_mode == "Key" or spec.keys is None or spec.keys.secret_name is None,
        ),
        Rule(
            "token",
            "(has(self.authMode) && self.authMode == 'Token') == has(self.token)",
            "and authMode Token belong together: set both, or neither",
            lambda spec: (spec.auth_mode == "Token") == (spec.token is not None),
        ),
        Rule(
            "traffic",
            f"!has(self.traffic) || {HUNDREDTHS} in [0, 10000]",
            "adds up to {}; it must be 100, or 0 for no live traffic",
            _sums_up,
            figure=lambda spec: f"{_sum(spec.traffic):g}",
            figure_cel=f"double({HUNDREDTHS}) / 100.0",
        ),
        Rule(
            "mirrorTraffic",
            "!has(self.mirrorTraffic) || !has(self.traffic) || "
            "self.mirrorTraffic.all(k, !(k in self.traffic) || self.traffic[k] == 0.0)",
            "must not name a Deployment that has live traffic: a name stands in traffic (above 0) or in mirrorTraffic",
            _apart,
        ),
    )
    REFUSED: ClassVar[dict[str, str]] = dict.fromkeys(
        ("rollout", "stopped", "type"),
        NOT_BUILT,
    )
