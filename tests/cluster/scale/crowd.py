"""Fake nodes whose pods are Ready at once and answer: kwok says so, and one stub listens on all their addresses.

kwok ── nodes `crowd-N`, each with a /24 of the pods' range that Kubernetes gives it
ip route add local <that /24> dev lo, in the cluster's network ── every address of it is the stub's
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cluster.harness.build import KWOK, build
from cluster.harness.places import HERE
from cluster.harness.say import Refusal
from cluster.kube import Cluster

PODS_PER_NODE = 110  # kwok draws anew at each attempt, and from the next node's /24 when a node's own is used up
ANNOTATION = "kwok.x-k8s.io/node"
LABEL = "wye.dev/crowd"
STAGES = HERE / "manifests" / "kwok.yaml"
STUB = Path(__file__).with_name("stub.py")
NO_STREAMED_LISTS = {"KUBE_FEATURE_WatchListClient": "false"}  # Debian's etcd cannot, and kwok asks again and again
# what a pod needs to get onto these nodes, and only onto them
POD = {
    "nodeSelector": {LABEL: "true"},
    "tolerations": [{"key": LABEL, "operator": "Exists", "effect": "NoSchedule"}],
}


@contextmanager
def crowd(cluster: Cluster, pods: int, logs: Path) -> Iterator[None]:
    """Room for so many pods, for as long as the block lasts; the nodes and the addresses go with the cluster."""
    if cluster.backend.name != "bare":
        raise Refusal("fake nodes need the back end `bare`: their pods' range has to be local to this machine")
    names = [f"crowd-{number}" for number in range(-(-pods // PODS_PER_NODE))]
    kwok = [str(build(KWOK) / "kwok"), "--kubeconfig", cluster.env["KUBECONFIG"], "--config", str(STAGES)]
    kwok += ["--manage-all-nodes=false", f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake"]
    kwok += ["--node-lease-duration-seconds=40"]  # else the nodes are lost after two minutes, and their pods not Ready
    with running(cluster, kwok, logs / "kwok.log", NO_STREAMED_LISTS):
        cluster.apply(*map(_node, names))
        for cidr in _ranges(cluster, names):
            cluster.run("ip", "route", "replace", "local", cidr, "dev", "lo")
        with running(cluster, [sys.executable, str(STUB)], logs / "stub.log"):
            yield


def _node(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {LABEL: "true"}, "annotations": {ANNOTATION: "fake"}},
        "spec": {"taints": [{"key": LABEL, "effect": "NoSchedule"}]},
    }


def _ranges(cluster: Cluster, names: Sequence[str], seconds: float = 60) -> list[str]:
    """The pods' addresses, as Kubernetes dealt them out; every node is Ready then."""
    cluster.kubectl("wait", "--for=jsonpath={.spec.podCIDR}", *(f"node/{n}" for n in names), f"--timeout={seconds}s")
    cluster.kubectl("wait", "--for=condition=Ready", *(f"node/{n}" for n in names), f"--timeout={seconds}s")
    return [cluster.json("get", "node", name)["spec"]["podCIDR"] for name in names]


@contextmanager
def running(
    cluster: Cluster, argv: Sequence[str], log: Path, env: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """A program of this machine in the cluster's network; it must outlive the block, and never this process."""
    words = ["setpriv", "--pdeathsig=TERM", *cluster.backend.run(argv)]
    with log.open("wb") as file:
        process = subprocess.Popen(words, env={**cluster.env, **env}, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
        assert process.poll() is None, f"{argv[0]} has ended: {log.read_text()[-2000:]}"
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes], seconds: float = 15) -> None:
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
