"""How callers reach an Endpoint: its URL, the certificate that it names, and its routers' files with secrets.

Secrets are read by name, and what the cluster does not have at all (the Gateway API) is told.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.cluster.base import Cluster
from wye_operator.cluster.kinds import HTTP_ROUTES, SECRETS, SERVICES, Object
from wye_operator.cluster.store import Key
from wye_operator.plan.certificates import certificate_in, no_certificate
from wye_operator.plan.exposure import exposed_url
from wye_operator.plan.names import router_name
from wye_operator.plan.world import TlsSeen
from wye_operator.render.tls import in_force


def has_gateway_api(cluster: Cluster) -> bool:
    """Whether the cluster knows HTTPRoutes."""
    return HTTP_ROUTES in cluster.store.listed


def url_of(cluster: Cluster, namespace: str, name: str, spec: EndpointSpec) -> str:
    """Where callers outside the cluster reach it, else those inside; "" while it has no Service."""
    exposed = exposed_url(spec, has_gateway_api=has_gateway_api(cluster))
    return exposed or _of_service(cluster.store.get(SERVICES, namespace, name))


def _of_service(service: Object | None) -> str:
    """Where callers inside the cluster reach it, "" while it has no Service."""
    ports = (service or {}).get("spec", {}).get("ports") or ()
    if service is None or not ports:
        return ""
    scheme = "https" if ports[0].get("name") == "https" else "http"
    port = ports[0]["port"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    return f"{scheme}://{host}" + ("" if port == {"http": 80, "https": 443}[scheme] else f":{port}")


async def router_secrets(cluster: Cluster, key: Key) -> dict[str, bytes]:
    """The files with secrets in them as the routers have them."""
    return entries_of(await cluster.reads.get(SECRETS, router_name(key.name), key))


async def tls_of(cluster: Cluster, key: Key, spec: EndpointSpec, files: Mapping[str, bytes]) -> TlsSeen:
    """What gather says of TLS; nothing is read where nobody asks for it."""
    if spec.tls is None:
        return TlsSeen()
    seen = await _named(cluster, key, spec.tls.secret_name)
    return replace(seen, in_force=in_force(files))


async def _named(cluster: Cluster, key: Key, name: str) -> TlsSeen:
    secret = await cluster.reads.get(SECRETS, name, key)
    if secret is None:
        return TlsSeen(obstacle=no_certificate(name, f"namespace {key.namespace}"))
    return TlsSeen(*certificate_in(name, entries_of(secret), cluster.now()))


def entries_of(secret: Object | None) -> dict[str, bytes]:
    """What a Secret holds; nothing where there is none."""
    return {entry: base64.b64decode(text) for entry, text in ((secret or {}).get("data") or {}).items()}
