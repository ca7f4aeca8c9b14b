"""What the control plane loses is found again: operator, leader, API server, kubelet and etcd, all under load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cluster.audit import asked, now
from cluster.harness.machine import backend  # noqa: F401  (named by the mark BARE)
from cluster.killing import kill
from cluster.kube import PATIENCE, Cluster
from cluster.serving import Served, deployment, endpoint, settled, versions, waited

Figure = Callable[[str], None]
BARE = pytest.mark.skipif("backend().name != 'bare'", reason="processes are killed from outside on `bare` only")
TERMS = "goal 29 s: the lease's 15, two retries of 2, 10"


@contextmanager
def replicas(cluster: Cluster, namespace: str, count: int) -> Iterator[None]:
    """So many operators, all of them ready."""
    try:
        scale(cluster, namespace, count)
        yield
    finally:
        scale(cluster, namespace, 1)


def scale(cluster: Cluster, namespace: str, count: int) -> None:
    cluster.kubectl("-n", namespace, "scale", "deployment/wye", f"--replicas={count}")
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/wye", f"--timeout={PATIENCE}s")
    waited(lambda: len(pods(cluster, namespace)) == count)  # fewer is no rollout: its status is what it was


def pods(cluster: Cluster, namespace: str) -> dict[str, int]:
    """The operator's pods that stay, and how often each was started anew."""
    items = cluster.json("-n", namespace, "get", "pods", "-l", "app.kubernetes.io/name=wye-operator")["items"]
    return {
        item["metadata"]["name"]: sum(c["restartCount"] for c in item["status"].get("containerStatuses", []))
        for item in items
        if not item["metadata"].get("deletionTimestamp")
    }


def leader(cluster: Cluster, namespace: str) -> str:
    """Who holds the Lease: the pod's name and, after `_`, which of its lives."""
    return cluster.json("-n", namespace, "get", "lease", "wye-operator")["spec"].get("holderIdentity", "")


def writes(served: Served, since: str) -> list[str]:
    """What the operator wrote since then; elsewhere it may have to do with the namespaces of tests that ended."""
    seen = asked(served.namespace.cluster.backend.audit(), "wye-system:wye", since)
    there = served.namespace.name
    return [f"{a.permission} {a.name}: {a.code}" for a in seen if a.is_write and a.namespace == there]


def serve(served: Served) -> None:
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"), deployment("green"))
    settled(served.namespace)


def edit(served: Served) -> float:
    """An edit takes effect; seconds."""
    weights = {"blue": 30, "green": 70}
    served.namespace.apply(endpoint(traffic=weights))
    took = waited(lambda: served.traffic() == weights)
    served.ready()
    return took


@BARE
def test_an_operator_that_is_killed_is_back_by_itself_and_writes_nothing(served: Served, operator: str, figure: Figure):
    cluster = served.namespace.cluster
    serve(served)
    ((pod, before),) = pods(cluster, operator).items()
    at_rest, since, was = versions(served.namespace), now(), leader(cluster, operator)
    with served.load() as load:
        kill(cluster, operator, pod)
        waited(lambda: pods(cluster, operator) == {pod: before + 1})
        cluster.kubectl("-n", operator, "wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={PATIENCE}s")
        waited(lambda: leader(cluster, operator) not in ("", was))
        time.sleep(3)  # what the new one finds to do, it does now
        written, then = writes(served, since), versions(served.namespace)
        took = edit(served)
    figure(
        f"kill -9 of the operator: lost {load.lost} of {load.answers.total()}; an edit afterwards after {took:.1f} s"
    )
    assert (written, load.lost) == ([], 0)
    assert then == at_rest
    assert pods(cluster, operator) == {pod: before + 1}


@BARE
def test_when_the_leader_is_killed_the_other_one_leads(served: Served, operator: str, figure: Figure):
    cluster = served.namespace.cluster
    serve(served)
    with replicas(cluster, operator, 2), served.load() as load:
        was = leader(cluster, operator)
        pod = was.rpartition("_")[0]
        kill(cluster, operator, pod)  # first: what is deleted is told to end, and hands the Lease back
        cluster.kubectl("-n", operator, "delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
        took = waited(lambda: leader(cluster, operator) not in ("", was))
        assert leader(cluster, operator).rpartition("_")[0] != pod, "it was deleted"
        edited = edit(served)
    figure(
        f"kill -9 of the leader: the other one leads after {took:.1f} s ({TERMS}), an edit after {edited:.1f} s more"
    )
    figure(f"  lost {load.lost} of {load.answers.total()}")
    assert load.lost == 0


def test_a_leader_that_ends_hands_over_at_once(served: Served, operator: str, figure: Figure):
    cluster = served.namespace.cluster
    serve(served)
    with replicas(cluster, operator, 2), served.load() as load:
        was = leader(cluster, operator)
        cluster.kubectl("-n", operator, "delete", "pod", was.rpartition("_")[0], "--wait=false")
        took = waited(lambda: leader(cluster, operator) not in ("", was))
        edited = edit(served)
    figure(f"SIGTERM of the leader: the other one leads after {took:.1f} s (goal: a retry, 2.4 s)")
    figure(f"  an edit after {edited:.1f} s more; lost {load.lost} of {load.answers.total()}")
    assert load.lost == 0


@BARE
@pytest.mark.parametrize(("component", "seconds"), [("kube-apiserver", 30), ("kubelet", 10), ("etcd", 5)])
def test_a_component_that_was_away_is_not_missed(
    served: Served, operator: str, figure: Figure, component: str, seconds: int
):
    cluster = served.namespace.cluster
    serve(served)
    before, at_rest, since = pods(cluster, operator), versions(served.namespace), now()
    with served.load() as load:
        cluster.backend.stop(component)
        time.sleep(seconds)
        cluster.backend.start(component)
        cluster.backend.up()  # and until it answers
        back = now()
        found = waited(lambda: leader(cluster, operator) != "" and renewed(cluster, operator) > back)
        time.sleep(3)  # what it finds to do, it does now
        written, then = writes(served, since), versions(served.namespace)
        took = edit(served)
    figure(f"{component} away for {seconds} s: lost {load.lost} of {load.answers.total()}")
    figure(f"  the operator leads again after {found:.1f} s, an edit is in effect after {took:.1f} s")
    assert (written, load.lost) == ([], 0)
    assert then == at_rest
    assert pods(cluster, operator) == before, "the operator goes on; it does not start anew"


def renewed(cluster: Cluster, namespace: str) -> str:
    """When the leader last renewed its Lease."""
    return cluster.json("-n", namespace, "get", "lease", "wye-operator")["spec"]["renewTime"]
