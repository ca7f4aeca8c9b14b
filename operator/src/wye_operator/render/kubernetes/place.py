"""What a cluster adds to a Plan: who owns the objects, which images run, and what the chart was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wye_operator.plan.world import Address, RouterSeen
from wye_operator.render.envoy import Place

SERVING, INNER, ADMIN = 8080, 8081, 9901
ROUTER_PLACE = Place(
    routes="/etc/wye/routes",
    auth="/etc/wye/auth",
    listen=Address("0.0.0.0", SERVING),
    inner=Address("0.0.0.0", INNER),
    admin=Address("127.0.0.1", ADMIN),
)


@dataclass(frozen=True, slots=True)
class Images:
    """What the pods run. `router_user`: a uid, for a router image that would start as root."""

    runtime: str
    runtime_gpu: str
    router: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    router_user: int | None = None


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """Where the objects of one Endpoint's name live. `nonce` makes routers read all files again.

    `auth_in_force` is the `data` of the routers' Secret as it is: it stays while a plan has no keys to put there. So is
    `routes_in_force` of their ConfigMap: what all routers had last is kept while they may refuse what is new.
    """

    name: str
    namespace: str
    endpoint_uid: str
    deployment_uids: Mapping[str, str]
    images: Images
    operator_namespace: str
    auth_in_force: Mapping[str, str] = field(default_factory=dict)
    routes_in_force: Mapping[str, str] = field(default_factory=dict)
    routers: tuple[RouterSeen, ...] = ()  # what they say of the files in force
    now: float = 0.0  # Unix seconds
    nonce: str = ""
    network_policies: bool = True
    metrics_from: tuple[Mapping[str, Any], ...] = ()  # peers of a NetworkPolicy
    failure_log: bool = True  # whether the last lines of a container that failed are shown
    image_volumes: bool = False  # whether pods may have images as volumes (Kubernetes 1.35)
