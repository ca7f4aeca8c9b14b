"""The keys of a cluster's Endpoint, from the Secret that it reads them from: for `wye keys` and `wye invoke`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from wye_operator.cli.kubeconfig import Api
from wye_operator.cluster.errors import NotFound
from wye_operator.cluster.kinds import SECRETS, Object
from wye_operator.errors import WyeError
from wye_operator.plan.keys import keys_in
from wye_operator.plan.names import PRIMARY_KEY, SECONDARY_KEY, keys_secret
from wye_operator.plan.world import Keys

NAMES = {"primary": PRIMARY_KEY, "secondary": SECONDARY_KEY}


def keys_of(api: Api, endpoint: Mapping[str, Any]) -> Keys | None:
    """The keys of a cluster's Endpoint; None: nobody needs any."""
    name = endpoint["metadata"]["name"]
    mode = (endpoint.get("spec") or {}).get("authMode") or "Key"
    if mode == "None":
        return None
    if mode != "Key":
        raise WyeError(f"Endpoint {name} has no keys: its authMode is {mode}")
    return keys_of_secret(secret_of(api, endpoint))


def secret_of(api: Api, endpoint: Mapping[str, Any]) -> Object:
    """The Secret that a cluster's Endpoint reads its keys from."""
    name = endpoint["metadata"]["name"]
    secret = str(((endpoint.get("spec") or {}).get("keys") or {}).get("secretName") or keys_secret(name))
    try:
        return api.get(SECRETS, api.namespace, secret)
    except NotFound:
        raise WyeError(
            f"there is no Secret {secret} in namespace {api.namespace} yet: wye status {name} says what is waited for"
        ) from None


def keys_of_secret(secret: Object) -> Keys:
    """The two keys in it."""
    entries = {entry: base64.b64decode(text) for entry, text in (secret.get("data") or {}).items()}
    keys, problem = keys_in(secret["metadata"]["name"], entries)
    if keys is None:
        raise WyeError(problem)
    return keys
