"""Ours or not, current or not: two tables."""

from __future__ import annotations

import pytest

from wye_operator.cluster.apply import is_current, obstacle_of
from wye_operator.cluster.base import Bump
from wye_operator.cluster.routers import is_due
from wye_operator.cluster.templates import contains
from wye_operator.cluster.upgrades import Step

OWNER = {"apiVersion": "wye.dev/v1alpha1", "kind": "Endpoint", "name": "fraud", "uid": "u2"}
LABELS = {"app.kubernetes.io/managed-by": "wye"}


def service(labels=LABELS, owners=(OWNER,), **metadata):
    found = {"name": "fraud", "labels": labels, "ownerReferences": list(owners), **metadata}
    return {"apiVersion": "v1", "kind": "Service", "metadata": found}


STANDINGS = {
    "ours": (service(), None),
    "ours, of an older version of the API": (service(owners=[{**OWNER, "apiVersion": "wye.dev/v1"}]), None),
    "of an earlier life": (service(owners=[{**OWNER, "uid": "u1"}]), "OwnerGoing"),
    "ours, and being deleted": (service(deletionTimestamp="2026-11-01T00:00:00Z"), "OwnerGoing"),
    "without our label": (service(labels={}), "NameTaken"),
    "without an owner": (service(owners=()), "NameTaken"),
    "another object's": (service(owners=[{**OWNER, "name": "spam"}]), "NameTaken"),
    "another kind's": (service(owners=[{**OWNER, "kind": "Deployment"}]), "NameTaken"),
    "another group's": (service(owners=[{**OWNER, "apiVersion": "apps/v1"}]), "NameTaken"),
}


@pytest.mark.parametrize("case", STANDINGS)
def test_ours_or_not(case):
    live, expected = STANDINGS[case]
    obstacle = obstacle_of(live, service())
    assert (obstacle and obstacle.reason) == expected


CONTAINED = {
    "the same": ({"a": 1}, {"a": 1}, True),
    "defaults were added": ({"a": 1, "b": {"c": 2}}, {"a": 1}, True),
    "a value was changed": ({"a": 2}, {"a": 1}, False),
    "a value was removed": ({}, {"a": 1}, False),
    "an empty map that the server leaves out": ({}, {"a": {}}, True),
    "an empty list that the server leaves out": ({}, {"a": []}, True),
    "defaults inside a list": ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}, True),
    "one more in a list": ({"a": [1, 2]}, {"a": [1]}, False),
    "a map where a text was": ({"a": {}}, {"a": "x"}, False),
    "whole numbers with and without a point": ({"a": 90}, {"a": 90.0}, True),
}


@pytest.mark.parametrize("case", CONTAINED)
def test_contained(case):
    live, wanted, expected = CONTAINED[case]
    assert contains(live, wanted) is expected


def test_a_field_that_is_not_wanted_any_more_is_seen_by_the_hash():
    live = {"metadata": {"annotations": {"wye.dev/applied": "1"}}, "spec": {"a": 1, "b": 2}}
    assert is_current(live, Step({"metadata": {"annotations": {"wye.dev/applied": "1"}}, "spec": {"a": 1}}))
    assert not is_current(live, Step({"metadata": {"annotations": {"wye.dev/applied": "2"}}, "spec": {"a": 1}}))


def test_bumps_come_at_0_05_1_2_and_4_seconds_and_then_seldom():
    bump, asked = Bump("target", since=0.0), []
    for tick in range(0, 400):
        if is_due(bump, tick / 10):
            bump.count += 1
            asked.append(tick / 10)
    assert asked == [0.0, 0.5, 1.0, 2.0, 4.0, 19.0, 34.0]
