"""The chart, installed as users install it."""

from __future__ import annotations

from pathlib import Path

from cluster.harness.places import CHECKOUT
from cluster.harness.say import output
from cluster.kube import PATIENCE, Cluster

CHART = CHECKOUT / "charts" / "wye"


def install(cluster: Cluster, tag: str, namespace: str, *values: str, chart: Path = CHART) -> None:
    """With our images, as the release `wye` of a namespace; definitions that kubectl applied become its own."""
    words = ["--namespace", namespace, "--create-namespace", "--take-ownership", "--wait", f"--timeout={PATIENCE}s"]
    values = (f"images.tag={tag}", f"images.router=localhost/wye-router:{tag}", *values)
    helm(cluster, "upgrade", "--install", "wye", str(chart), *words, f"--set={','.join(values)}")


def uninstall(cluster: Cluster, namespace: str) -> None:
    """Without the release; the definitions stay."""
    helm(cluster, "uninstall", "wye", "--namespace", namespace, "--wait")


def helm(cluster: Cluster, *words: str) -> str:
    """What helm prints."""
    return output(["helm", *words], env=cluster.env)
