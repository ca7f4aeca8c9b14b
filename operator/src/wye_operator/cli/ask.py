"""What the commands ask of a cluster: Endpoints, Deployments and pods, and who is there when a name is not."""

from __future__ import annotations

import argparse

from wye_operator.cli.kubeconfig import Access, Api, names_a_kind
from wye_operator.cluster.errors import NotFound
from wye_operator.cluster.kinds import DEPLOYMENTS, ENDPOINTS, PODS, Kind, Object
from wye_operator.errors import WyeError
from wye_operator.plan.names import ENDPOINT, MANAGED_BY, MANAGER

OURS = f"{MANAGED_BY}={MANAGER}"


def access_of(args: argparse.Namespace) -> Access:
    """What the options say of where to go."""
    return Access(args.kubeconfig, args.context, args.namespace, args.twin)


def endpoint_of(api: Api, name: str) -> Object:
    """An Endpoint of the namespace; the others are named where it is not there."""
    found = look_up(api, ENDPOINTS, name)
    if found is None:
        raise WyeError(absent(api, name))
    return found


def look_up(api: Api, kind: Kind, name: str) -> Object | None:
    """One of our objects, None where there is none of the name. Raises where the cluster does not know the kind."""
    try:
        return api.get(kind, api.namespace, name)
    except NotFound as error:
        if names_a_kind(error):
            raise
        return None


def absent(api: Api, name: str) -> str:
    """The sentence for an Endpoint that is not there."""
    names = sorted(body["metadata"]["name"] for body in api.find(ENDPOINTS, api.namespace))
    there = f"there is: {', '.join(names)}" if names else "there is none; -n names another one"
    return f"there is no Endpoint {name} in namespace {api.namespace} of {api.place}; {there}"


def nobody(api: Api, *, everywhere: bool) -> str:
    """The sentence for a namespace, or a cluster, where there is none at all."""
    there = "in any namespace" if everywhere else f"in namespace {api.namespace}; -A looks in all"
    return f"there is no Endpoint {there} ({api.place})"


def deployments_of(api: Api, endpoint: str) -> list[Object]:
    """The Deployments of an Endpoint."""
    return api.find(DEPLOYMENTS, api.namespace, fields=f"spec.endpointName={endpoint}")


def resources_of(api: Api, name: str = "", *, everywhere: bool = False) -> tuple[list[Object], list[Object]]:
    """(Endpoints, Deployments): of one name, where either may be missing, of a namespace, or all."""
    if not name:
        namespace = None if everywhere else api.namespace
        return api.find(ENDPOINTS, namespace), api.find(DEPLOYMENTS, namespace)
    found, deployments = look_up(api, ENDPOINTS, name), deployments_of(api, name)
    if found is None and not deployments:
        raise WyeError(absent(api, name))
    return [found] if found else [], deployments


def pods_of(api: Api, endpoint: str = "", *, everywhere: bool = False) -> list[Object]:
    """The pods that Wye made: for one Endpoint, for all of a namespace, or for all."""
    labels = f"{OURS},{ENDPOINT}={endpoint}" if endpoint else OURS
    return api.find(PODS, None if everywhere else api.namespace, labels=labels)
