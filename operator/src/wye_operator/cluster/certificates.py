"""The certificate that an Endpoint names, and the files of its routers: Secrets that are read by name."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.cluster.base import Cluster
from wye_operator.cluster.kinds import SECRETS, Object
from wye_operator.cluster.store import Key
from wye_operator.plan.certificates import certificate_in, no_certificate
from wye_operator.plan.names import router_name
from wye_operator.plan.world import TlsSeen
from wye_operator.render.tls import in_force


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
