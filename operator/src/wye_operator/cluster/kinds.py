"""The kinds the operator reads and writes, with their paths; nothing else spells an apiVersion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wye_operator.api.objects import API_VERSION

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the API server."""

    api_version: str
    name: str
    plural: str

    @property
    def group(self) -> str:
        """The API group, "" for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str | None, name: str = "", part: str = "") -> str:
        """The URL path of all objects (of a namespace), of one object, or of a part of it."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        parts = [root, *(("namespaces", namespace) if namespace else ()), self.plural, name, part]
        return "/".join(p for p in parts if p)


ENDPOINTS = Kind(API_VERSION, "Endpoint", "mlendpoints")
DEPLOYMENTS = Kind(API_VERSION, "Deployment", "mldeployments")
WORKLOADS = Kind("apps/v1", "Deployment", "deployments")
PODS = Kind("v1", "Pod", "pods")
SERVICES = Kind("v1", "Service", "services")
CONFIGMAPS = Kind("v1", "ConfigMap", "configmaps")
SECRETS = Kind("v1", "Secret", "secrets")
ACCOUNTS = Kind("v1", "ServiceAccount", "serviceaccounts")
SLICES = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
NETWORK_POLICIES = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
BUDGETS = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
INGRESSES = Kind("networking.k8s.io/v1", "Ingress", "ingresses")
HTTP_ROUTES = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
EVENTS = Kind("events.k8s.io/v1", "Event", "events")
LEASES = Kind("coordination.k8s.io/v1", "Lease", "leases")
PAGES = Kind("v1", "", "pages")  # of the server itself, no objects

OURS = (ENDPOINTS, DEPLOYMENTS)  # what users write
WATCHED = (ENDPOINTS, DEPLOYMENTS, WORKLOADS, PODS)  # through kopf
FOLLOWED = (SERVICES, CONFIGMAPS, ACCOUNTS, SLICES, NETWORK_POLICIES, BUDGETS, INGRESSES)  # more cheaply, by `follow`
OPTIONAL = (HTTP_ROUTES,)  # the same where the cluster knows them
READ_BY_NAME = (SECRETS,)  # by GET only, so that no list of all Secrets is needed
KINDS = (*WATCHED, *FOLLOWED, *OPTIONAL, *READ_BY_NAME, EVENTS, LEASES)
BY_TYPE: Mapping[tuple[str, str], Kind] = {(kind.api_version, kind.name): kind for kind in KINDS}


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The kind of a whole object."""
    return BY_TYPE[manifest["apiVersion"], manifest["kind"]]
