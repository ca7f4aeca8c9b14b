"""All objects of one Endpoint's name, in the order in which they should be written."""

from __future__ import annotations

import base64

from wye_operator.plan.names import PRIMARY_KEY, SECONDARY_KEY, keys_secret
from wye_operator.plan.wanted import Plan
from wye_operator.render.kubernetes.metadata import endpoint_owner, hashed, object_of
from wye_operator.render.kubernetes.models import model_objects
from wye_operator.render.kubernetes.place import ClusterPlace
from wye_operator.render.kubernetes.routers import router_objects
from wye_operator.render.resources import Json


def objects_for(plan: Plan, place: ClusterPlace) -> tuple[Json, ...]:
    """What should be there: models first, then the routers that lead to them."""
    made = [found for workload in plan.workloads for found in model_objects(workload, place)]
    if plan.router is not None:
        made += router_objects(plan.router, plan.record, place)
    return tuple(hashed(found) for found in made)


def keys_object(plan: Plan, place: ClusterPlace) -> Json | None:
    """The Secret with the keys, to be created where a GET by name says 404; never compared and never written again."""
    if plan.keys is None:
        return None
    keys = {PRIMARY_KEY: plan.keys.primary, SECONDARY_KEY: plan.keys.secondary}
    data = {name: base64.b64encode(key.encode()).decode() for name, key in keys.items()}
    body = {"type": "Opaque", "data": data}
    return object_of(endpoint_owner(place), ("v1", "Secret"), body, name=keys_secret(place.name))
