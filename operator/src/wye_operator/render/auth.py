"""Who may call: the one filter with a file of its own, so that keys and mode change even on open connections."""

from __future__ import annotations

from wye_operator.plan.wanted import Auth
from wye_operator.plan.world import Keys
from wye_operator.render.resources import Json, typed, watched

NAME = "auth"
FILE = "auth.json"
EXTENSION = "envoy.config.core.v3.TypedExtensionConfig"
API_KEYS = "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth"
EVERYBODY = "envoy.extensions.filters.http.rbac.v3.RBAC"
CLIENT = "x-client-id"  # tells the model, and the access log, which key was used


def auth_filter(folder: str) -> Json:
    """The place in the listener that `auth.json` fills, with either of the two types."""
    urls = [f"type.googleapis.com/{message}" for message in (API_KEYS, EVERYBODY)]
    return {
        "name": NAME,
        "config_discovery": {"config_source": watched(folder, FILE), "type_urls": urls},
    }


def without_key() -> Json:
    """For a route that needs no key."""
    return {NAME: typed("envoy.config.route.v3.FilterConfig", {"disabled": True})}


def auth_extension(auth: Auth) -> Json:
    """What stands in `auth.json`."""
    config = _everybody() if auth.open else _api_keys(auth.keys)
    return typed(EXTENSION, {"name": NAME, "typed_config": config})


def _everybody() -> Json:
    policy = {"permissions": [{"any": True}], "principals": [{"any": True}]}
    return typed(EVERYBODY, {"rules": {"action": "ALLOW", "policies": {"everybody": policy}}})


def _api_keys(keys: Keys | None) -> Json:
    """Without any credential everybody is refused."""
    return typed(
        API_KEYS,
        {
            "credentials": _credentials(keys) if keys else [],
            "key_sources": [{"header": "Authorization"}, {"header": "api-key"}],
            "forwarding": {"header": CLIENT, "hide_credentials": True},
        },
    )


def _credentials(keys: Keys) -> list[Json]:
    """Both keys; an equal second one is left out, because Envoy rejects a list that says a key twice."""
    clients = {keys.secondary: "secondary", keys.primary: "primary"}
    return [{"key": key, "client": client} for key, client in sorted(clients.items()) if key]
