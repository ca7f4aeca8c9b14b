"""What every object has: names, labels, its owner, and the hash of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wye_operator.api.objects import API_VERSION
from wye_operator.plan.names import APPLIED, MODEL, ROUTER, digest, labels_of, model_name, router_name, selector_of
from wye_operator.render.kubernetes.place import ClusterPlace
from wye_operator.render.resources import Json


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose objects these are: an Endpoint's (its routers') or a Deployment's (its model's)."""

    kind: str
    name: str
    uid: str
    endpoint: str
    namespace: str

    @property
    def component(self) -> str:
        """`router` or `model`."""
        return ROUTER if self.kind == "Endpoint" else MODEL

    @property
    def objects(self) -> str:
        """What most of its objects are called."""
        return router_name(self.name) if self.kind == "Endpoint" else model_name(self.name)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its objects and pods."""
        return labels_of(self.component, self.name, self.endpoint)

    @property
    def selector(self) -> dict[str, str]:
        """The labels that pick its pods."""
        return selector_of(self.component, self.name)


def endpoint_owner(place: ClusterPlace) -> Owner:
    """The Endpoint."""
    return Owner("Endpoint", place.name, place.endpoint_uid, place.name, place.namespace)


def deployment_owner(place: ClusterPlace, name: str) -> Owner:
    """One of its Deployments."""
    return Owner("Deployment", name, place.deployment_uids[name], place.name, place.namespace)


def object_of(owner: Owner, kind: tuple[str, str], body: Json, *, name: str = "") -> Json:
    """An object that goes with its owner; `kind` is apiVersion and kind."""
    metadata = {
        "name": name or owner.objects,
        "namespace": owner.namespace,
        "labels": owner.labels,
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": owner.kind,
                "name": owner.name,
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, **body}


def annotated(made: Json, annotations: Mapping[str, str]) -> Json:
    """The object with more annotations."""
    metadata = {**made["metadata"], "annotations": {**made["metadata"].get("annotations", {}), **annotations}}
    return {**made, "metadata": metadata}


def hashed(made: Json) -> Json:
    """The object with the hash of all that is wanted of it."""
    return annotated(made, {APPLIED: digest(made)})
