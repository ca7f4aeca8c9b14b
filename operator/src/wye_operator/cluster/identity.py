"""Who this cluster is as an issuer of ServiceAccount tokens, and the keys it signs with: the API server says both."""

from __future__ import annotations

import json

import aiohttp

from wye_operator.cluster.client import Api
from wye_operator.cluster.errors import ApiError
from wye_operator.issuers import Read, Unread, key_set, read_key_set
from wye_operator.plan.world import THIS_CLUSTER, KeySet

DISCOVERY, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"


def reader(api: Api, session: aiohttp.ClientSession) -> Read:
    """How the operator reads a key set: addresses without the API server's credentials, its own from the API server."""

    async def read(source: str) -> KeySet:
        return await _own(api) if source == THIS_CLUSTER else await read_key_set(session, source)

    return read


async def _own(api: Api) -> KeySet:
    try:
        known, keys = json.loads(await api.page(DISCOVERY)), await api.page(KEYS)
        issuer = str(known["issuer"])
    except ApiError as error:
        raise Unread(
            f"the API server does not give them out ({error}): the operator may have to be bound to the ClusterRole "
            "system:service-account-issuer-discovery"
        ) from error
    except (ValueError, KeyError, TypeError):
        raise Unread(f"the API server's {DISCOVERY} names no issuer") from None
    return key_set(keys, f"the API server's {KEYS}", issuer)
