"""Every name, label and identity that Wye makes up: no key is spelled twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

PRIMARY_KEY, SECONDARY_KEY = "primaryKey", "secondaryKey"
MIRROR_SUFFIX = "~mirror"

# Labels of everything that Wye makes in a cluster. Selectors use these keys alone, with names of objects.
MANAGED_BY, MANAGER = "app.kubernetes.io/managed-by", "wye"
OWNER, COMPONENT, ENDPOINT = "wye.dev/owner", "wye.dev/component", "wye.dev/endpoint"
ROUTER, MODEL = "router", "model"
DEPLOYMENT = "wye.dev/deployment"  # of a model's pods alone, in no selector: the name in `traffic`, for metrics

# Annotations. The first two are hashes: of the whole wanted object, and of what a pod is restarted for.
APPLIED, CONFIG = "wye.dev/applied", "wye.dev/config"
REVISION = "wye.dev/revision"  # of a pod: the Workload's, which gather hands to the planner as `InstanceSeen.revision`
ORIGIN = "wye.dev/rendered-from"  # of an apps/v1 Deployment: changes with every edit that may restart its pods
TEMPLATE = "wye.dev/template"  # beside it: the hash of the pod template as it was written
UPGRADED = "wye.dev/upgraded"  # beside it, from an upgrade on: whether the pods were ready before
BUMPED = "wye.dev/bumped"  # of a router's pod: kubelet reads its files at once when this changes; no manifest has it
RENEWED = (
    "wye.dev/keys-renewed"  # of routers' ConfigMap, by `wye keys regenerate`: when it changes, keys are read at once
)


def mirror_cluster(name: str) -> str:
    """The bounded cluster through which copies reach a deployment."""
    return f"{name}{MIRROR_SUFFIX}"


def deployment_of(cluster: str) -> str:
    """The deployment that a cluster or its mirror leads to."""
    return cluster.removesuffix(MIRROR_SUFFIX)


def keys_secret(endpoint: str) -> str:
    """The Secret that is made for an Endpoint's keys."""
    return f"{endpoint}-keys"


def router_name(endpoint: str) -> str:
    """What all objects of an Endpoint's routers are called."""
    return f"{endpoint}-router"


def model_name(deployment: str) -> str:
    """What all objects of a Deployment's pods are called."""
    return f"{deployment}-model"


def labels_of(component: str, owner: str, endpoint: str) -> dict[str, str]:
    """The labels of an object that is made for `owner`, a Deployment (`model`) or an Endpoint (`router`)."""
    return {MANAGED_BY: MANAGER, OWNER: owner, COMPONENT: component, ENDPOINT: endpoint}


def selector_of(component: str, owner: str) -> dict[str, str]:
    """The labels that pick the pods of one owner, and nobody else's."""
    return {OWNER: owner, COMPONENT: component}


def is_edited(before: str, now: str) -> bool:
    """Whether edits are between two origins (`ORIGIN`). A part that only one version knows of is nobody's edit."""
    return bool(before) and any(was != part for was, part in zip(before.split("."), now.split("."), strict=False))


LATER = "later"  # in the metadata of a field that an earlier version did not have


def digest(value: Any) -> str:
    """Identity of a value: the first 12 hex digits of the SHA-256 of its canonical JSON."""
    text = json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    """What JSON has no word for, one level of it."""
    if is_dataclass(value) and not isinstance(value, type):
        said = {f.name: getattr(value, f.name) for f in fields(value)}
        # what came later says nothing where it has its default: an upgrade is no other version of the same thing
        return {f.name: said[f.name] for f in fields(value) if LATER not in f.metadata or said[f.name] != f.default}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} has no canonical form")
