"""What a write would be to the pods, and when an upgrade of them is over: two tables."""

from __future__ import annotations

import copy

import pytest

from wye_operator.cluster.templates import Change, change_of, held, held_files, is_rolling, notes_for
from wye_operator.plan.names import digest

CONTAINER = {"name": "model", "image": "wye-runtime:1", "env": [{"name": "A", "value": "1"}]}


def child(container=CONTAINER, *, origin="1.aa", applied="x", uid="u1", notes=None, **more):
    annotations = {"wye.dev/rendered-from": origin, "wye.dev/applied": applied, **(notes or {})}
    metadata = {"name": "fraud-blue-model", "annotations": annotations, "ownerReferences": [{"uid": uid}], **more}
    template = {"metadata": {"annotations": {"wye.dev/config": "c"}}, "spec": {"containers": [container]}}
    return {"metadata": metadata, "spec": {"replicas": 1, "template": template}}


def live(container=CONTAINER, **more):
    """As the API server gives it back: with its defaults."""
    body = copy.deepcopy(child(container, **{"applied": "earlier", **more}))
    pod = body["spec"]["template"]["spec"]
    pod |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    pod["containers"][0] |= {"terminationMessagePath": "/dev/termination-log", "resources": {}}
    body["spec"]["template"]["metadata"]["creationTimestamp"] = None
    return body


OLD_IMAGE = {**CONTAINER, "image": "wye-runtime:0"}
NOTED = {"wye.dev/template": digest(child()["spec"]["template"])}
OTHER = {"wye.dev/template": "another"}
CHANGES = {
    "nothing is there": (None, Change.NEW),
    "it is of an earlier life": (live(OLD_IMAGE, uid="u0"), Change.NEW),
    "it is being deleted": (live(OLD_IMAGE, deletionTimestamp="2026-11-01T00:00:00Z"), Change.NEW),
    "another image": (live(OLD_IMAGE), Change.UPGRADE),
    "another image, and an edit": (live(OLD_IMAGE, origin="0.aa"), Change.EDIT),
    "another image, and a contract": (live(OLD_IMAGE, origin="1.bb"), Change.EDIT),
    "an edit that changes no pod": (live(origin="0.aa"), Change.EDIT),
    "of a version that noted nothing, the same but for defaults": (live(), Change.SAME),
    "of a version that noted nothing, with a field that we dropped": (
        live({**CONTAINER, "tty": True}),
        Change.UPGRADE,
    ),
    "of a version that noted nothing, with a variable that we dropped": (
        live({**CONTAINER, "env": [*CONTAINER["env"], {"name": "B"}]}),
        Change.UPGRADE,
    ),
    "of a version that said less of where it comes from": (live(OLD_IMAGE, origin="1"), Change.UPGRADE),
    "of a version that said less, and an edit": (live(OLD_IMAGE, origin="0"), Change.EDIT),
    "of a version that did not even say from what": (live(OLD_IMAGE, origin=None), Change.UPGRADE),
    "noted, the same": (live(notes=NOTED), Change.SAME),
    "noted, the same, and somebody changed the pods by hand": (live(OLD_IMAGE, notes=NOTED), Change.SAME),
    "noted, another one that looks the same": (live(notes=OTHER), Change.UPGRADE),
    "applied as it is wanted, with what a webhook added": (
        live({**CONTAINER, "stdin": True}, applied="x"),
        Change.SAME,
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_a_write_would_be(case):
    body, expected = CHANGES[case]
    if body and body["metadata"]["annotations"]["wye.dev/rendered-from"] is None:
        del body["metadata"]["annotations"]["wye.dev/rendered-from"]
    assert change_of(body, child()) is expected


def counts(replicas, updated, available, *, reason="ReplicaSetUpdated", observed=2):
    return {
        "observedGeneration": observed,
        "replicas": replicas,
        "updatedReplicas": updated,
        "availableReplicas": available,
        "conditions": [{"type": "Available", "status": "True"}, {"type": "Progressing", "reason": reason}],
    }


DEADLINE, COMPLETE = "ProgressDeadlineExceeded", "NewReplicaSetAvailable"
ROLLOUTS = {
    "nobody's upgrade": ("", 1, counts(2, 1, 1), False),
    "not seen by the cluster yet": ("was-ready", 1, counts(1, 1, 1, observed=1), True),
    "seen, complete once, and no new pod yet": ("was-ready", 1, counts(1, 0, 1, reason=COMPLETE), True),
    "a new pod starts": ("was-ready", 1, counts(2, 1, 1), True),
    "the old pod ends": ("was-ready", 1, counts(2, 1, 2), True),
    "complete": ("was-ready", 1, counts(1, 1, 1), False),
    "complete, and then a pod failed": ("was-ready", 2, counts(2, 2, 1, reason=COMPLETE), False),
    "complete, while it is scaled up": ("was-ready", 3, counts(1, 1, 1, reason=COMPLETE), False),
    "no pods at all": ("was-ready", 0, {"observedGeneration": 2}, False),
    "no status yet": ("was-ready", 1, {}, True),
    "it does not get on": ("was-ready", 1, counts(2, 1, 1, reason=DEADLINE), True),
    "it does not get on, and was not ready before": ("was-not-ready", 1, counts(2, 1, 0, reason=DEADLINE), False),
    "it was not ready before, and may still become it": ("was-not-ready", 1, counts(2, 1, 0), True),
}


@pytest.mark.parametrize("case", ROLLOUTS)
def test_when_an_upgrade_is_over(case):
    before, replicas, status, expected = ROLLOUTS[case]
    body = live(generation=2, notes={"wye.dev/upgraded": before} if before else {})
    body["spec"]["replicas"], body["status"] = replicas, status
    assert is_rolling(body) is expected


READY = {**live(OLD_IMAGE), "status": counts(1, 1, 1)}
BROKEN = {**live(OLD_IMAGE, notes={"wye.dev/upgraded": "was-ready"}), "status": counts(1, 1, 0)}


@pytest.mark.parametrize(
    ("change", "body", "in_upgrade", "expected"),
    [
        (Change.UPGRADE, READY, False, "was-ready"),
        (Change.UPGRADE, BROKEN, False, "was-not-ready"),
        (Change.UPGRADE, BROKEN, True, "was-ready"),
        (Change.SAME, BROKEN, True, "was-ready"),
        (Change.SAME, READY, False, None),
        (Change.EDIT, BROKEN, True, None),
        (Change.NEW, None, False, None),
    ],
)
def test_what_is_noted(change, body, in_upgrade, expected):
    notes = notes_for(change, body, child(), in_upgrade=in_upgrade)
    assert notes["wye.dev/template"] == NOTED["wye.dev/template"]
    assert notes.get("wye.dev/upgraded") == expected


def test_held_is_all_that_is_wanted_but_the_pods():
    wanted, runs = child(origin="1.aa"), live(OLD_IMAGE)
    wanted["spec"] |= {"replicas": 0, "strategy": {"type": "Recreate"}}
    made = held(wanted, runs)
    assert (made["spec"]["replicas"], made["spec"]["strategy"]) == (0, {"type": "Recreate"})
    template = made["spec"]["template"]
    assert template["spec"] == runs["spec"]["template"]["spec"]
    assert "creationTimestamp" not in template["metadata"]
    assert made["metadata"]["annotations"]["wye.dev/applied"] not in ("x", "earlier")


def files(component, **data):
    return {"metadata": {"name": "n", "labels": {"wye.dev/component": component}, "annotations": {}}, "data": data}


FILES = {
    "a model's are the pods'": (
        files("model", **{"runtime.json": "new", "more.json": "new"}),
        files("model", **{"runtime.json": "old"}),
        {"runtime.json": "old"},
    ),
    "of a router's, only the bootstrap is": (
        files("router", **{"bootstrap.json": "new", "rds.json": "new"}),
        files("router", **{"bootstrap.json": "old", "rds.json": "old", "gone.json": "old"}),
        {"bootstrap.json": "old", "rds.json": "new"},
    ),
    "what is not there cannot be kept": (files("router", **{"bootstrap.json": "new"}), None, {"bootstrap.json": "new"}),
    "a model's neither": (files("model", **{"runtime.json": "new"}), None, {"runtime.json": "new"}),
}


@pytest.mark.parametrize("case", FILES)
def test_files_of_pods_that_are_held(case):
    wanted, runs, expected = FILES[case]
    assert held_files(wanted, runs)["data"] == expected
