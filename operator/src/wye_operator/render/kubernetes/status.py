"""A status as the body of a server-side apply of the subresource."""

from __future__ import annotations

import json

from wye_operator.api.objects import API_VERSION
from wye_operator.api.status import DeploymentStatus, EndpointStatus
from wye_operator.plan.names import MODEL, selector_of
from wye_operator.render.resources import Json


def status_body(namespace: str, name: str, status: EndpointStatus | DeploymentStatus, image: str = "") -> Json:
    """The object with its status alone; `image` is what a Deployment's pods run."""
    kind = "Endpoint" if isinstance(status, EndpointStatus) else "Deployment"
    said: Json = json.loads(status.model_dump_json(by_alias=True, exclude_none=True))
    if kind == "Deployment":
        labels = selector_of(MODEL, name)
        said["selector"] = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        said |= {"image": image} if image else {}
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "status": said,
    }
