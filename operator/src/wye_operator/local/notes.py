"""What stands in a manifest and has no use on one machine: accepted, so that one file serves both, and said once."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from wye_operator.api.deployment import DeploymentSpec
from wye_operator.local.manifests import Manifests

OF_A_DEPLOYMENT = (
    *("environment_from", "resources", "liveness_probe", "readiness_probe", "startup_probe"),
    *("pod", "strategy"),
)
OF_AN_ENVIRONMENT = ("image", "model_mount_path", "shared_memory")
PORT = "WYE_SCORING_PORT"
OF_A_TOKEN = ("service_accounts",)
OF_A_ROUTER = ("replicas", "resources", "service", "pod")


def notes_of(manifests: Manifests) -> Iterator[str]:
    """One line for each object with fields that only a cluster uses."""
    for endpoint in manifests.endpoints:
        yield from _note(endpoint.value.metadata.name, "spec.router.", endpoint.value.spec.router, OF_A_ROUTER)
        if endpoint.value.spec.token is not None:
            yield from _note(endpoint.value.metadata.name, "spec.token.", endpoint.value.spec.token, OF_A_TOKEN)
    for deployment in manifests.deployments:
        name, spec = deployment.value.metadata.name, deployment.value.spec
        yield from _note(name, "spec.", spec, OF_A_DEPLOYMENT)
        if spec.environment is not None:
            yield from _note(name, "spec.environment.", spec.environment, OF_AN_ENVIRONMENT)
            yield from _note_on_ports(name, spec)


def _note_on_ports(name: str, spec: DeploymentSpec) -> Iterator[str]:
    """Several servers on one machine cannot have one port."""
    environment, variables = spec.environment, spec.environment_variables or {}
    words = (*(environment.command or ()), *(environment.args or ())) if environment else ()
    if not any(PORT in text for text in (*words, *variables.values())):
        yield f"{name}: on this machine its server has to listen on the port in {PORT}: pass it on by $({PORT})"


def _note(name: str, above: str, written: BaseModel, fields: tuple[str, ...]) -> Iterator[str]:
    known = type(written).model_fields
    said = [f"{above}{known[field].alias}" for field in fields if field in written.model_fields_set]
    if said:
        yield f"{name}: on this machine without effect: {', '.join(said)}"
