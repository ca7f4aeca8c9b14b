"""What kstatus makes of an object, and the rules that its conditions keep at every moment.

`computed` is the verdict of `sigs.k8s.io/cli-utils/pkg/kstatus` (Flux, `kpt`) on an object with these conditions, by
its documented rules; `broken` judges all versions of one object, in the order in which a watch told of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Version = Mapping[str, Any]
THREE = ("Ready", "Reconciling", "Stalled")
ALLOWED = {("True", "False", "False"), ("False", "True", "False"), ("False", "False", "True")}


def computed(version: Version) -> str:
    """Terminating, InProgress, Failed or Current."""
    if version["metadata"].get("deletionTimestamp"):
        return "Terminating"
    status = version.get("status") or {}
    if status.get("observedGeneration", version["metadata"]["generation"]) != version["metadata"]["generation"]:
        return "InProgress"
    conditions = status.get("conditions") or ()
    for condition in conditions:  # the first one that is True decides
        if condition["status"] == "True" and condition["type"] in ("Reconciling", "Stalled"):
            return {"Reconciling": "InProgress", "Stalled": "Failed"}[condition["type"]]
    ready = [c["status"] for c in conditions if c["type"] == "Ready"]
    return "InProgress" if ready and ready[0] != "True" else "Current"


def broken(versions: Sequence[Version], *, may_stall: bool = False) -> list[str]:
    """Every rule that is broken, with the version that breaks it."""
    found: list[str] = []
    before: Version | None = None
    for version in versions:
        rules = [*_alone(version), *_asked(version)]
        if not may_stall and computed(version) == "Failed":
            rules.append("it is Stalled, and nothing needs a person")
        if before is not None and before["metadata"]["uid"] == version["metadata"]["uid"]:
            rules += _after(before, version)
        found += [f"{_named(version)}: {rule}" for rule in rules]
        before = version
    return found


def _alone(version: Version) -> Iterator[str]:
    """What one version says by itself."""
    status, generation = version.get("status") or {}, version["metadata"]["generation"]
    observed = status.get("observedGeneration")
    if observed is None:
        yield "it has no observedGeneration: kstatus takes it for Current"
        return
    if observed > generation:
        yield f"observedGeneration {observed} is ahead of the generation, {generation}"
    conditions = status.get("conditions") or []
    if conditions:
        yield from _conditions(version, conditions, observed)
    elif observed > 0:
        yield "it was looked at and has no conditions"


def _conditions(version: Version, conditions: Sequence[Version], observed: int) -> Iterator[str]:
    kinds = [c["type"] for c in conditions]
    if len(kinds) != len(set(kinds)):
        yield f"a condition stands there twice: {kinds}"
    for condition in conditions:
        if condition["observedGeneration"] != observed:
            yield f"{condition['type']} speaks of {condition['observedGeneration']}, the status of {observed}"
    states = tuple(_states(version).get(kind, ("absent", ""))[0] for kind in THREE)
    if states not in ALLOWED:
        yield f"Ready, Reconciling, Stalled are {', '.join(states)}"


def _asked(version: Version) -> Iterator[str]:
    """What is Current is as its own spec asks, as far as the object itself can tell."""
    status, spec = version.get("status") or {}, version.get("spec") or {}
    if computed(version) != "Current" or not status.get("conditions"):
        return
    if version["kind"] == "Deployment" and status.get("readyReplicas") != spec.get("instanceCount", 1):
        yield f"it is Current with {status.get('readyReplicas')} of {spec.get('instanceCount', 1)} instances"
    for name in ("traffic", "mirrorTraffic"):
        if version["kind"] == "Endpoint" and name in spec and _shares(spec, name) != _shares(status, name):
            yield f"it is Current with {name} {_shares(status, name)}, and asked is {_shares(spec, name)}"


def _after(before: Version, version: Version) -> Iterator[str]:
    """What one version says after another."""
    then, now = ((v.get("status") or {}).get("observedGeneration", -1) for v in (before, version))
    if now < then:
        yield f"observedGeneration goes back from {then} to {now}"
    old, new = _states(before), _states(version)
    for kind in old.keys() & new.keys():
        flips = old[kind][0] != new[kind][0]
        if not flips and old[kind][1] != new[kind][1]:
            yield f"the transition time of {kind} moves, and its status does not"
        if flips and new[kind][1] < old[kind][1]:
            yield f"the transition time of {kind} goes back"


def _states(version: Version) -> dict[str, tuple[str, str]]:
    conditions: Iterable[Mapping[str, str]] = (version.get("status") or {}).get("conditions") or ()
    return {c["type"]: (c["status"], c["lastTransitionTime"]) for c in conditions}


def _shares(part: Version, name: str) -> dict[str, float]:
    return {who: float(share) for who, share in (part.get(name) or {}).items() if share}


def _named(version: Version) -> str:
    metadata = version["metadata"]
    return (
        f"{version['kind']} {metadata['name']} at {metadata['resourceVersion']} (generation {metadata['generation']})"
    )
