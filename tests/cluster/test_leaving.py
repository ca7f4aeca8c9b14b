"""`kubectl delete namespace` with ten idle endpoints in it: all is gone, with the operator and without it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from cluster.kube import PATIENCE
from cluster.serving import API, Served
from cluster.test_traffic import away

COUNT = 10
SMALL = {"requests": {"cpu": "10m", "memory": "32Mi"}}  # so that all of them fit on a small node


def pair(number: int) -> tuple[dict, dict]:
    """An Endpoint with one Deployment."""
    name = f"e{number}"
    router = {"resources": SMALL | {"limits": {"memory": "512Mi"}}}
    model = {"endpointName": name, "model": {"uri": "configmap://models/one.onnx"}}
    resources = {"resources": SMALL | {"limits": {"memory": "1Gi"}}}
    return (
        {"apiVersion": API, "kind": "Endpoint", "metadata": {"name": name}, "spec": {"router": router}},
        {"apiVersion": API, "kind": "Deployment", "metadata": {"name": f"{name}-a"}, "spec": model | resources},
    )


@pytest.mark.parametrize("operators", [1, 0], ids=["operator running", "operator at zero"])
def test_a_namespace_with_ten_idle_endpoints_goes(
    served: Served, operator: str, operators: int, figure: Callable[[str], None]
):
    served.apply(*(each for number in range(COUNT) for each in pair(number)))
    cluster, name = served.namespace.cluster, served.namespace.name
    with nullcontext() if operators else away(served, operator):
        begun = time.monotonic()
        cluster.kubectl("delete", "namespace", name, f"--timeout={PATIENCE}s")
        took = time.monotonic() - begun
    figure(f"delete namespace, {COUNT} idle endpoints, {operators} operators: {took:.1f} s (goal 30 s)")
    assert cluster.attempt("get", "namespace", name).returncode == 1
