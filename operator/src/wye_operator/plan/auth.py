"""Who may call an Endpoint: the keys in force, and how one key follows another.

    written: old          new keys are seen          written: new + old
    every router took those, or had its time  ──>    written: new

So no caller is refused for its new key by a router that is behind, and an old key ends for all at once.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.plan.issuers import trusted_issuers
from wye_operator.plan.names import digest
from wye_operator.plan.wanted import Auth
from wye_operator.plan.world import Keys, World, WrittenKey

OPEN = Auth(open=True, keys=None, version="open")
CLOSED = Auth(open=False, keys=None, version="closed")
NOBODY = Auth(open=False, keys=None, version="")  # nobody else: what is in force stays


def auth_for(world: World, spec: EndpointSpec) -> Auth:
    """What the routers should ask of callers."""
    if spec.auth_mode == "None":
        return OPEN
    nobody = CLOSED if world.written_open else NOBODY  # a door that was open does not wait for its first key
    if spec.auth_mode == "Token":
        issuers = trusted_issuers(world, spec)
        return Auth(open=False, keys=None, version=digest(issuers), issuers=issuers) if issuers else nobody
    keys = keys_for(world, spec)
    return _keyed(world, keys) if keys else nobody


def keys_for(world: World, spec: EndpointSpec) -> Keys | None:
    """The keys in force: those that were seen, else fresh ones under the default name; named ones are the user's."""
    if spec.auth_mode != "Key":
        return None
    named = spec.keys is not None and spec.keys.secret_name is not None
    return world.keys if named else world.keys or world.fresh_keys


def keys_version(keys: Keys, name: str, retiring: tuple[WrittenKey, ...] = ()) -> str:
    """Identity of an Endpoint's keys, as routers acknowledge it; it may be shown."""
    return _fingerprint((keys.primary, keys.secondary, *(old.key for old in retiring)), name)


def _keyed(world: World, keys: Keys) -> Auth:
    retiring = _retiring(world, keys)
    return Auth(open=False, keys=keys, version=keys_version(keys, world.name, retiring), retiring=retiring)


def _retiring(world: World, keys: Keys) -> tuple[WrittenKey, ...]:
    """Old keys that callers may still use, because some router may have nothing newer."""
    new, written = {keys.primary, keys.secondary}, {known.key for known in world.written_keys}
    old = tuple(sorted(known for known in world.written_keys if known.key not in new))
    done = new <= written and _is_everywhere(world, keys_version(keys, world.name, old))
    return () if done else old


def _is_everywhere(world: World, version: str) -> bool:
    """Whether every ready router has it, or had its time to take it."""
    written = world.record.auth
    if written and written.version == version and world.now - written.since >= world.deadlines.acknowledge:
        return True
    return all(router.taken.auth == version for router in world.routers if router.ready)


@lru_cache(maxsize=4096)
def _fingerprint(keys: tuple[str, ...], salt: str) -> str:
    """A slow hash of keys, so that a weak key cannot be tried against it."""
    text = "\n".join(keys).encode()
    return hashlib.scrypt(text, salt=salt.encode(), n=2**12, r=8, p=1, dklen=6).hex()
