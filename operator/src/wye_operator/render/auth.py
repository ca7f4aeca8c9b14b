"""Who may call: the one filter with a file of its own, so that a new key counts on open connections too."""

from __future__ import annotations

import json
from collections.abc import Mapping

from wye_operator.plan.wanted import Auth
from wye_operator.plan.world import Keys, KeySet, WrittenKey
from wye_operator.render.resources import MATCHED, Json, canonical, discovery, typed, watched
from wye_operator.render.tokens import token_filters

NAME = "auth"
FILE = "auth.json"
ISSUERS_FILE = "issuers.json"  # beside it, for the operator: the key sets as they were last read, by source
EXTENSION = "envoy.config.core.v3.TypedExtensionConfig"
API_KEYS = "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth"
EVERYBODY = "envoy.extensions.filters.http.rbac.v3.RBAC"
CLIENT = "x-client-id"  # tells the model, and the access log, which key was used, or whose token


def auth_filter(folder: str) -> Json:
    """The place in the listener that `auth.json` fills, with any of the three types."""
    urls = [f"type.googleapis.com/{message}" for message in (API_KEYS, EVERYBODY, MATCHED)]
    return {
        "name": NAME,
        "config_discovery": {"config_source": watched(folder, FILE), "type_urls": urls},
    }


def without_key() -> Json:
    """For a route that needs no key."""
    return {NAME: typed("envoy.config.route.v3.FilterConfig", {"disabled": True})}


def auth_files(auth: Auth) -> dict[str, bytes]:
    """The one file with keys in it, and the key sets of issuers, so that a restart need not read them first."""
    read = {of.source: {"issuer": of.issuer, "keys": of.keys} for of in auth.issuers if of.source}
    written = {FILE: discovery(auth.version, _extension(auth))}
    return {**written, ISSUERS_FILE: canonical(read)} if read else written


def written_keys(files: Mapping[str, bytes]) -> tuple[WrittenKey, ...]:
    """The keys in the files of some plan; none where they are not what Wye writes."""
    try:
        listed = _written(files).get("credentials", ())
        return tuple(sorted(WrittenKey(str(of["key"]), str(of["client"])) for of in listed))
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()


def written_open(files: Mapping[str, bytes]) -> bool:
    """Whether these files let everybody in."""
    try:
        return bool(_written(files)["@type"] == _everybody()["@type"])
    except (KeyError, TypeError, ValueError):
        return False


def _written(files: Mapping[str, bytes]) -> Json:
    (filter_,) = json.loads(files[FILE])["resources"]
    return dict(filter_["typed_config"])


def written_key_sets(files: Mapping[str, bytes]) -> dict[str, KeySet]:
    """The key sets of issuers as they were last good."""
    try:
        listed = json.loads(files[ISSUERS_FILE])
        return {str(at): KeySet(keys=str(of["keys"]), issuer=str(of["issuer"])) for at, of in listed.items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _extension(auth: Auth) -> Json:
    if auth.issuers:
        return typed(EXTENSION, {"name": NAME, "typed_config": token_filters(auth.issuers, CLIENT)})
    config = _everybody() if auth.open else _api_keys(auth.keys, auth.retiring)
    return typed(EXTENSION, {"name": NAME, "typed_config": config})


def _everybody() -> Json:
    """Without rules, not with one that fits everybody: that would be asked of each request."""
    return typed(EVERYBODY)


def _api_keys(keys: Keys | None, retiring: tuple[WrittenKey, ...]) -> Json:
    """Without any credential everybody is refused."""
    return typed(
        API_KEYS,
        {
            "credentials": _credentials(keys, retiring) if keys else [],
            "key_sources": [{"header": "Authorization"}, {"header": "api-key"}],
            "forwarding": {"header": CLIENT, "hide_credentials": True},
        },
    )


def _credentials(keys: Keys, retiring: tuple[WrittenKey, ...]) -> list[Json]:
    """Every valid key once, because Envoy rejects a list that says a key twice."""
    clients = {old.key: old.client for old in retiring} | {keys.secondary: "secondary", keys.primary: "primary"}
    return [{"key": key, "client": client} for key, client in sorted(clients.items()) if key]
