"""The keys of an Endpoint as a Secret has them: one reader for both back ends. Pure; called by gather."""

from __future__ import annotations

from collections.abc import Mapping

from wye_operator.plan.names import PRIMARY_KEY, SECONDARY_KEY
from wye_operator.plan.world import Keys

LONGEST = 48 * 1024  # bytes of a key; a router takes 60 KiB for all headers of a request


def keys_in(secret: str, entries: Mapping[str, bytes]) -> tuple[Keys | None, str]:
    """The two keys of a Secret of that name, or why it has none; a key is never in a sentence."""
    try:
        primary, secondary = (entries[name].decode() for name in (PRIMARY_KEY, SECONDARY_KEY))
    except KeyError as missing:
        return None, f"Secret {secret} has no {missing.args[0]}"
    except UnicodeDecodeError:
        return None, f"a key in Secret {secret} is not text"
    if not primary or not secondary:
        return None, f"a key in Secret {secret} is empty"
    if not all(key.isprintable() and key == key.strip() for key in (primary, secondary)):
        ends = "a space or a line end at an end, or a control character"
        return None, f"a key in Secret {secret} has {ends}: no header can carry it"
    if any(len(key.encode()) > LONGEST for key in (primary, secondary)):
        return None, f"a key in Secret {secret} is longer than {LONGEST // 1024} KiB: no request can carry it"
    return Keys(primary, secondary), ""
