"""The Endpoint: a stable URL with authentication, and how its traffic is split and mirrored."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wye_operator.api.base import ByteQuantity, Model, Name, Percent, Rule, byte_count
from wye_operator.api.contract import Contract

MOST_REQUEST_BYTES = 2**30


def _sum(shares: dict[str, float] | None) -> float:
    return round(sum(shares.values()), 2) if shares else 0


def _sums_up(spec: EndpointSpec) -> bool:
    return round(_sum(spec.traffic) * 100) in (0, 10_000)


def _apart(spec: EndpointSpec) -> bool:
    live = {name for name, share in (spec.traffic or {}).items() if share > 0}
    return not live & set(spec.mirror_traffic or {})


class Keys(Model):
    """Where the two keys of `authMode: Key` are kept."""

    secret_name: (
        Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)] | None
    ) = Field(
        default=None,
        description="Secret with `primaryKey` and `secondaryKey`. Default: `<name>-keys`, made when it is missing.",
    )


class Limits(Model):
    """How much a caller may send, and how much of it is copied to mirrors."""

    max_request_bytes: ByteQuantity = Field(
        default="64Mi",
        description="Largest request body; a larger one is answered 413. At most `1Gi`.",
    )
    max_mirror_bytes: ByteQuantity = Field(
        default="1Mi",
        description="Larger bodies, and bodies of unnamed size, are not mirrored (and counted).",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "maxRequestBytes",
            "!has(self.maxRequestBytes) || quantity(string(self.maxRequestBytes)).compareTo(quantity('1Gi')) <= 0",
            "must be at most 1Gi",
            lambda limits: byte_count(limits.max_request_bytes) <= MOST_REQUEST_BYTES,
        ),
    )


class Router(Model):
    """Settings of the router in front of the Deployments."""

    access_log: bool = Field(
        default=True, description="One JSON line for each request, without bodies or query strings."
    )


class EndpointSpec(Model):
    """What an Endpoint should be."""

    description: str | None = Field(default=None, description="Free text.")
    tags: dict[str, str] | None = Field(
        default=None, description="Free labels for people; nothing selects by them."
    )
    auth_mode: Literal["Key", "None"] = Field(
        default="Key",
        description="`Key`: a primary and a secondary key. `None`: open, for callers the network already limits.",
    )
    keys: Keys | None = Field(default=None, description="Where the keys are kept.")
    traffic: dict[Name, Percent] | None = Field(
        default=None,
        max_length=20,
        description="Percent of live traffic for each Deployment's name; adds up to 100, or to 0 for no live traffic. "
        "Absent: the first Deployment that is ready alone gets 100.",
    )
    mirror_traffic: dict[Name, Percent] | None = Field(
        default=None,
        max_length=5,
        description="Percent of requests that are copied to each named Deployment; its answers are never returned.",
    )
    failover: Literal["Redistribute", "Fail"] = Field(
        default="Redistribute",
        description="When a Deployment in effect lost its last ready instance: its share goes to the others in proportion, or is answered 503.",
    )
    contract: Contract | None = Field(default=None, description="The fields that callers see.")
    limits: Limits = Field(default=Limits(), description="How much a caller may send.")
    router: Router = Field(default=Router(), description="Settings of the router.")

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "traffic",
            "!has(self.traffic) || int(self.traffic.map(k, int(self.traffic[k] * 100.0 + 0.5)).sum()) in [0, 10000]",
            "adds up to {:g}; it must be 100, or 0 for no live traffic",
            _sums_up,
            lambda spec: _sum(spec.traffic),
        ),
        Rule(
            "mirrorTraffic",
            "!has(self.mirrorTraffic) || !has(self.traffic) || "
            "self.mirrorTraffic.all(k, !(k in self.traffic) || self.traffic[k] == 0.0)",
            "must not name a Deployment that has live traffic: a name is in traffic (above 0) or in mirrorTraffic",
            _apart,
        ),
    )
