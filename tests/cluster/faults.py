"""Faults that tests plant: rights taken away, files that do not come, processes that stand still or are killed."""

from __future__ import annotations

import copy
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cluster.harness import owner, room
from cluster.harness.say import output
from cluster.killing import processes
from cluster.kube import Cluster
from cluster.serving import waited

ACCOUNT = "system:serviceaccount:wye-system:wye"


@contextmanager
def without(cluster: Cluster, resource: str) -> Iterator[None]:
    """The operator's role without the rule for a resource; put back as it was."""
    role = cluster.json("get", "clusterrole", "wye")
    role["metadata"] = {k: v for k, v in role["metadata"].items() if k in ("name", "labels", "annotations")}
    less = copy.deepcopy(role)
    less["rules"] = [rule for rule in role["rules"] if resource not in rule.get("resources", ())]
    assert less["rules"] != role["rules"]
    try:
        _replace(cluster, less, resource, "no")
        yield
    finally:
        _replace(cluster, role, resource, "yes")


def _replace(cluster: Cluster, role: dict, resource: str, may: str) -> None:
    manager = ("--field-manager=helm", "--force-conflicts")  # so that the chart can be upgraded afterwards
    cluster.kubectl("apply", "--server-side", *manager, "-f", "-", stdin=json.dumps(role))
    group = next((r["apiGroups"][0] for r in role["rules"] if resource in r.get("resources", ())), "apps")
    words = ("auth", "can-i", "patch", f"{resource}.{group}".rstrip("."), "--as", ACCOUNT, "-n", "default")
    waited(lambda: cluster.attempt(*words).stdout.strip() == may)


def hide_files(pod: str, volume: str) -> str:
    """Kubelet writes a pod's files where its container does not look, as on a node that cannot bring it any.

    Returns what was mounted for it.
    """
    held = owner.recorded()
    folder = str(held.state.root / "kubelet" / "pods" / pod / "volumes" / "kubernetes.io~configmap" / volume)
    output(room.inside(held.room, ["mount", "-t", "tmpfs", "tmpfs", folder]))
    return folder


@contextmanager
def hidden_files(pod: str, volume: str) -> Iterator[None]:
    """For as long as the block lasts: else kubelet could not remove them with their pod."""
    folder = hide_files(pod, volume)
    try:
        yield
    finally:
        output(room.inside(owner.recorded().room, ["umount", folder]))


@contextmanager
def standing_still(cluster: Cluster, namespace: str, pod: str) -> Iterator[None]:
    """The processes of a pod's containers go on with the end of the block, where kubelet has not ended them before."""
    stopped = processes(cluster, namespace, pod)
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)
