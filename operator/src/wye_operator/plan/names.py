"""Every name, label and identity that Wye makes up: no key is spelled twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

PRIMARY_KEY, SECONDARY_KEY = "primaryKey", "secondaryKey"
MIRROR_SUFFIX = "~mirror"


def mirror_cluster(name: str) -> str:
    """The bounded cluster through which copies reach a deployment."""
    return f"{name}{MIRROR_SUFFIX}"


def deployment_of(cluster: str) -> str:
    """The deployment that a cluster or its mirror leads to."""
    return cluster.removesuffix(MIRROR_SUFFIX)


def keys_secret(endpoint: str) -> str:
    """The Secret that is made for an Endpoint's keys."""
    return f"{endpoint}-keys"


def digest(value: Any) -> str:
    """Identity of a value: the first 12 hex digits of the SHA-256 of its canonical JSON."""
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
