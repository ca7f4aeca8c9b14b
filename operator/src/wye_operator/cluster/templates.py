"""Whether a write would start pods anew that no edit asks for, and what is written while that has to wait. Pure.

    nothing of this owner is there ──────────> NEW
    rendered from something else ────────────> EDIT      somebody asked for it: at once
    the same pod template ───────────────────> SAME
    another template, and no edit ───────────> UPGRADE   an image, a flag, a default of this operator: in turn

`Upgrades` calls this for each child before it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from wye_operator.cluster.base import annotations_of, is_going, label_of
from wye_operator.cluster.kinds import Object
from wye_operator.plan.names import APPLIED, COMPONENT, MODEL, ORIGIN, TEMPLATE, UPGRADED, digest, is_edited
from wye_operator.render.kubernetes.metadata import annotated, hashed
from wye_operator.render.kubernetes.routers import BOOTSTRAP

READY, NOT_READY = "was-ready", "was-not-ready"  # what UPGRADED says
# what the API server adds to a template of ours: where no hash was noted, everything else there was wanted once
DEFAULTED = (
    *("apiVersion", "creationTimestamp", "defaultMode", "divisor", "dnsPolicy", "failureThreshold", "periodSeconds"),
    *("protocol", "pullPolicy", "restartPolicy", "schedulerName", "scheme", "serviceAccount", "successThreshold"),
    *("terminationMessagePath", "terminationMessagePolicy", "timeoutSeconds"),
)


class Change(Enum):
    """What a write would be to the pods."""

    NEW = auto()
    SAME = auto()
    EDIT = auto()
    UPGRADE = auto()


def change_of(live: Object | None, wanted: Object) -> Change:
    """What it would be to write an apps/v1 Deployment."""
    if live is None or is_going(live) or not _is_of_one_owner(live, wanted):
        return Change.NEW
    there, asked = annotations_of(live), annotations_of(wanted)
    if is_edited(there.get(ORIGIN, ""), asked[ORIGIN]):
        return Change.EDIT
    unchanged = there.get(APPLIED) == asked[APPLIED] or _keeps_template(live, wanted)
    return Change.SAME if unchanged else Change.UPGRADE


def _is_of_one_owner(live: Object, wanted: Object) -> bool:
    owners = [{r["uid"] for r in body["metadata"].get("ownerReferences") or ()} for body in (live, wanted)]
    return bool(owners[0] & owners[1])


def _keeps_template(live: Object, wanted: Object) -> bool:
    """By the hash that was noted; without one, by what stands there."""
    runs, asked = live["spec"]["template"], wanted["spec"]["template"]
    noted = annotations_of(live).get(TEMPLATE)
    if noted is not None:
        return bool(noted == digest(asked))
    return contains(runs, asked) and _adds_defaults_only(runs, asked)


def contains(live: Any, wanted: Any) -> bool:
    """Whether all that is wanted is in what is there; the cluster may have added defaults."""
    if isinstance(wanted, dict):
        if live is None:
            return not wanted
        return isinstance(live, dict) and all(contains(live.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(live, list):
            return live is None and not wanted
        return len(live) == len(wanted) and all(map(contains, live, wanted))
    return bool(live == wanted)


def _adds_defaults_only(live: Any, wanted: Any) -> bool:
    if isinstance(live, dict) and isinstance(wanted, dict):
        return all(
            _adds_defaults_only(value, wanted[name]) if name in wanted else name in DEFAULTED or not value
            for name, value in live.items()
        )
    if isinstance(live, list) and isinstance(wanted, list):
        return all(map(_adds_defaults_only, live, wanted))
    return True


def notes_for(change: Change, live: Object | None, wanted: Object, *, in_upgrade: bool = False) -> Mapping[str, str]:
    """What is noted on a child with a write; no part of what is wanted of it, so a missing note is no reason to write.

    `in_upgrade`: it has a slot already, and what it was before the upgrade stays noted.
    """
    noted = annotations_of(live) if live else {}
    notes = {TEMPLATE: digest(wanted["spec"]["template"])}
    if change is Change.UPGRADE and live is not None:
        before = READY if is_ready(live) else NOT_READY
        return {**notes, UPGRADED: noted.get(UPGRADED, before) if in_upgrade else before}
    return {**notes, UPGRADED: noted[UPGRADED]} if change is Change.SAME and UPGRADED in noted else notes


def held(wanted: Object, live: Object) -> Object:
    """The child as wanted, but for the pods that it runs: their template stays as it is."""
    spec = {**wanted["spec"], "template": _without_nulls(live["spec"]["template"])}
    origin = annotations_of(live).get(ORIGIN, annotations_of(wanted)[ORIGIN])
    return _rehashed(annotated({**wanted, "spec": spec}, {ORIGIN: origin}))


def held_notes(live: Object) -> Mapping[str, str]:
    """What is noted on a child that is held: what was noted before."""
    return {name: value for name, value in annotations_of(live).items() if name in (TEMPLATE, UPGRADED)}


def held_files(wanted: Object, live: Object | None) -> Object:
    """The ConfigMap of a child that is held: a pod of the old template that starts anew reads what it always read.

    A model has only such files; of a router's, the bootstrap is one, and the watched files are live.
    """
    files = (live or {}).get("data") or {}
    if label_of(wanted, COMPONENT) == MODEL:
        return _rehashed({**wanted, "data": files}) if files else wanted
    kept = {BOOTSTRAP: files[BOOTSTRAP]} if BOOTSTRAP in files else {}
    return _rehashed({**wanted, "data": {**wanted["data"], **kept}})


def _rehashed(made: Object) -> Object:
    annotations = {name: value for name, value in annotations_of(made).items() if name != APPLIED}
    metadata = {**made["metadata"], "annotations": annotations}
    if not annotations:
        del metadata["annotations"]
    return hashed({**made, "metadata": metadata})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def is_rolling(live: Object) -> bool:
    """Whether an upgrade of its pods is under way. One that was broken before waits for its deadline, not longer."""
    before = annotations_of(live).get(UPGRADED)
    if before is None or is_complete(live):
        return False
    return before == READY or not has_given_up(live)


def is_complete(live: Object) -> bool:
    """Whether the rollout of its template has come to its end; what breaks later does not undo that."""
    status = live.get("status") or {}
    at_its_end = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    latched = at_its_end and _progress(status) == "NewReplicaSetAvailable"
    return is_ready(live) or (_is_observed(live) and latched)


def is_ready(live: Object) -> bool:
    """Whether all pods it wants run its newest template and are available."""
    status, wanted = live.get("status") or {}, live["spec"].get("replicas", 1)
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return _is_observed(live) and counts == {wanted}


def has_its_pods(live: Object) -> bool:
    """Whether as many pods as it wants are there, and all of its newest template; ready or not."""
    status, wanted = live.get("status") or {}, live["spec"].get("replicas", 1)
    return _is_observed(live) and {status.get(name, 0) for name in ("replicas", "updatedReplicas")} == {wanted}


def has_given_up(live: Object) -> bool:
    """Whether the cluster says that its rollout does not get on (after ten minutes)."""
    return _is_observed(live) and _progress(live.get("status") or {}) == "ProgressDeadlineExceeded"


def _is_observed(live: Object) -> bool:
    observed = (live.get("status") or {}).get("observedGeneration", 0)
    return bool(observed >= live["metadata"].get("generation", 1))


def _progress(status: Mapping[str, Any]) -> str:
    reasons = [c.get("reason") for c in status.get("conditions") or () if c["type"] == "Progressing"]
    return str(reasons[0] or "") if reasons else ""
