"""What a folder's manifests say of one name: its Endpoint, its Deployments, its keys, and where a model comes from.

The twin, `wye plan` and `wye invoke` ask here, so that they cannot answer differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.api.endpoint import Keys as NamedKeys
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.api.uris import FETCHED
from wye_operator.local.fetching import Wanted
from wye_operator.local.manifests import DataObject, Manifests, Placed
from wye_operator.local.state import label
from wye_operator.plan.certificates import certificate_in, no_certificate
from wye_operator.plan.keys import keys_in
from wye_operator.plan.names import keys_secret
from wye_operator.plan.world import Keys, KeySet, TlsSeen

NO_CLUSTER = KeySet(problem="there is no cluster on this machine; token.issuers works here")
FILE, CONFIGMAP = "file://", "configmap://"


@dataclass(frozen=True, slots=True)
class Secret:
    """The user's own Secret with an Endpoint's keys, or why it cannot be used."""

    name: str
    keys: Keys | None
    problem: str = ""


def names_of(manifests: Manifests) -> list[tuple[str, str]]:
    """Namespace and name of every Endpoint: those that are there, then those that only Deployments speak of."""
    there = {(p.value.metadata.namespace, p.value.metadata.name) for p in manifests.endpoints}
    spoken_of = {(p.value.metadata.namespace, p.value.spec.endpoint_name) for p in manifests.deployments}
    return [*sorted(there), *sorted(spoken_of - there)]


def endpoint_of(manifests: Manifests, namespace: str, name: str) -> Endpoint | None:
    """The Endpoint of that name."""
    objects = (p.value for p in manifests.endpoints)
    return next((e for e in objects if (e.metadata.namespace, e.metadata.name) == (namespace, name)), None)


def deployments_of(manifests: Manifests, namespace: str, name: str) -> list[Placed[Deployment]]:
    """The Deployments of an Endpoint's name."""
    wanted = namespace, name
    return [p for p in manifests.deployments if (p.value.metadata.namespace, p.value.spec.endpoint_name) == wanted]


def secret_of(manifests: Manifests, endpoint: Endpoint | None) -> Secret | None:
    """The Secret with the keys of an Endpoint; None when the twin keeps them."""
    if endpoint is None or endpoint.spec.auth_mode != "Key":
        return None
    named = endpoint.spec.keys.secret_name if endpoint.spec.keys else None
    return secret_for(manifests, endpoint.metadata.namespace, endpoint.metadata.name, named)


def secret_for(manifests: Manifests, namespace: str, endpoint: str, named: str | None) -> Secret | None:
    """The Secret that an Endpoint names, else the one of the default name if there is one: it is the user's too."""
    name = named or keys_secret(endpoint)
    entries = _entries(manifests.secrets, namespace, name)
    if entries is not None:
        return Secret(name, *keys_in(name, entries))
    return Secret(name, None, f"there is no Secret {name} in the folder") if named else None


def tls_of(manifests: Manifests, endpoint: Endpoint | None, now: float) -> TlsSeen:
    """The certificate that an Endpoint names, or what is wrong with it."""
    if endpoint is None or endpoint.spec.tls is None:
        return TlsSeen()
    return tls_for(manifests, endpoint.metadata.namespace, endpoint.spec.tls.secret_name, now)


def tls_for(manifests: Manifests, namespace: str, name: str, now: float) -> TlsSeen:
    """The certificate of a Secret, or what is wrong with it."""
    entries = _entries(manifests.secrets, namespace, name)
    if entries is None:
        return TlsSeen(obstacle=no_certificate(name, "the folder"))
    return TlsSeen(*certificate_in(name, entries, now))


def spec_here(secret: Secret | None, spec: EndpointSpec) -> EndpointSpec:
    """The spec as the planner should see it on this machine.

    The user's Secret is named, also where it has the default name. ServiceAccounts, which only a cluster has, are left
    out where other issuers stand beside them.
    """
    if secret is not None:
        spec = spec.model_copy(update={"keys": NamedKeys.model_validate({"secretName": secret.name})})
    if spec.token is not None and spec.token.issuers and spec.token.service_accounts:
        spec = spec.model_copy(update={"token": spec.token.model_copy(update={"service_accounts": None})})
    return spec


def source_of(placed: Placed[Deployment], uri: str) -> Path | None:
    """The file or folder that a URI of a Deployment names; None where it stands in a ConfigMap."""
    return placed.file.parent / uri.removeprefix(FILE) if uri.startswith(FILE) else None


def wanted_of(manifests: Manifests, placed: Placed[Deployment], uri: str) -> Wanted | str:
    """What has to be fetched of a Deployment's URI, with the entries of its Secret; or why that cannot begin."""
    metadata, model, code = placed.value.metadata, placed.value.spec.model, placed.value.spec.code_configuration
    is_code = bool(code and code.code == uri)
    secret = ((code and code.secret_name) if is_code else (model and model.secret_name)) or ""
    entries = _entries(manifests.secrets, metadata.namespace, secret) if secret else {}
    if entries is None:
        return f"there is no Secret {secret} in the folder"
    texts = {name: value.decode(errors="replace") for name, value in entries.items()}
    name = label(metadata.namespace, metadata.name)
    if is_code:
        return Wanted(f"{name}-code", uri, "", texts)
    return Wanted(name, uri, (model and model.sha256) or "", texts)


def is_fetched(uri: str) -> bool:
    """Whether it comes over the network."""
    return uri.partition("://")[0] in FETCHED


def in_configmap(manifests: Manifests, namespace: str, uri: str) -> dict[str, bytes] | str:
    """What a URI names of a ConfigMap, by keys: one entry, or all of them. Or why it is not there."""
    name, _, key = uri.removeprefix(CONFIGMAP).partition("/")
    entries = _entries(manifests.configmaps, namespace, name)
    if entries is None:
        return f"there is no ConfigMap {name} in the folder"
    if key and key not in entries:
        return f"ConfigMap {name} has no key {key}"
    return {key: entries[key]} if key else entries


def _entries(objects: tuple[DataObject, ...], namespace: str, name: str) -> dict[str, bytes] | None:
    found = next((o for o in objects if (o.namespace, o.name) == (namespace, name)), None)
    return None if found is None else dict(found.entries)
