"""The e2e tests' reader of the API server's audit log."""

from __future__ import annotations

import json

from cluster.audit import Permission, asked, granted


def event(verb="patch", *, user="wye-system:wye", at="2026-11-01T00:00:01Z", code=200, allowed=True, **what):
    decision = "allow" if allowed else "forbid"
    return {
        "user": {"username": f"system:serviceaccount:{user}"},
        "verb": verb,
        "requestReceivedTimestamp": at,
        "requestURI": "/version?timeout=32s",
        "objectRef": what or None,
        "responseStatus": {"code": code},
        "annotations": {"authorization.k8s.io/decision": decision},
    }


def written(tmp_path, *events, rest=""):
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in events) + rest)
    return file


def test_what_one_account_asked(tmp_path):
    pod = {"resource": "pods", "namespace": "a", "name": "p"}
    log = written(
        tmp_path,
        event(**pod),
        event(user="wye-system:wye-other", **pod),
        event("get", apiGroup="wye.dev", resource="mlendpoints", subresource="status", allowed=False),
        event("get"),  # what is no resource stands in it by its path
        event(**pod, at="2026-10-01T00:00:01Z"),
        rest='{"user": {"username": "system:serviceaccount:wye-system:wye"',
    )
    found = list(asked(log, "wye-system:wye", since="2026-10-02"))
    assert [(str(one.permission), one.allowed) for one in found] == [
        ("patch pods", True),
        ("get mlendpoints/status.wye.dev", False),
        ("get /version", True),
    ]
    assert [one.is_write for one in found] == [True, False, False]


def test_a_server_side_apply_that_makes_an_object_is_asked_for_create_too(tmp_path):
    (made,) = asked(written(tmp_path, event(code=201, apiGroup="apps", resource="deployments")), "wye-system:wye")
    assert set(made.needs) == {Permission("apps", "deployments", "patch"), Permission("apps", "deployments", "create")}


def test_the_lease_is_no_write_of_the_clusters(tmp_path):
    log = written(tmp_path, event("update", apiGroup="coordination.k8s.io", resource="leases"))
    assert [one.is_write for one in asked(log, "wye-system:wye")] == [False]


def test_what_a_role_grants():
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}]
    assert sorted(map(str, granted([{"rules": rules}]))) == ["get deployments.apps", "list deployments.apps"]
