"""The network policies by a pure evaluator of what Kubernetes documents: every needed flow passes, no forbidden one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

from make import PLACE, deployment, settle, world
from wye_operator.plan.names import MODEL, ROUTER, labels_of
from wye_operator.plan.world import CLUSTER_SOURCES
from wye_operator.render.kubernetes import ClusterPlace, objects_for

PROMETHEUS = {"namespaceSelector": {"matchLabels": {"team": "monitoring"}}, "podSelector": {"matchLabels": {"p": "1"}}}


@dataclass(frozen=True)
class Pod:
    """One end of a flow."""

    labels: dict[str, str]
    namespace: str = "default"
    namespace_labels: dict[str, str] = field(default_factory=dict)

    @property
    def of_namespace(self) -> dict[str, str]:
        return {"kubernetes.io/metadata.name": self.namespace, **self.namespace_labels}


BLUE = Pod(labels_of(MODEL, "fraud-blue", "fraud"))
ROUTERS = Pod(labels_of(ROUTER, "fraud", "fraud"))
OTHER_ROUTERS = Pod(labels_of(ROUTER, "phishing", "phishing"))
GREEN = Pod(labels_of(MODEL, "fraud-green", "fraud"))
CALLER = Pod({"app": "shop"})
FAR_CALLER = Pod({"app": "shop"}, "shop")
IMPOSTOR = Pod(ROUTERS.labels, "shop")
OPERATOR = Pod({}, "wye-system")
MONITORING = Pod({"p": "1"}, "monitoring", {"team": "monitoring"})
OTHER_MONITORING = Pod({"p": "2"}, "monitoring", {"team": "monitoring"})


def policies(place: ClusterPlace) -> list[dict[str, Any]]:
    found = deployment("blue", model={"uri": "pvc://models/fraud.onnx"})
    made = settle(dataclasses.replace(world(found), sources=CLUSTER_SOURCES))[1]
    return [o for o in objects_for(made, place) if o["kind"] == "NetworkPolicy"]


def selects(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    wanted = (selector or {}).get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items())


def is_peer(peer: dict[str, Any], source: Pod, namespace: str) -> bool:
    if "namespaceSelector" in peer:
        inside = selects(peer["namespaceSelector"], source.of_namespace)
    else:
        inside = source.namespace == namespace
    return inside and selects(peer.get("podSelector"), source.labels)


def passes(listed: list[dict[str, Any]], source: Pod, target: Pod, port: int) -> bool:
    """A pod that some policy selects takes only what some rule of such a policy lets in."""
    applying = [
        policy
        for policy in listed
        if policy["metadata"]["namespace"] == target.namespace and selects(policy["spec"]["podSelector"], target.labels)
    ]
    return not applying or any(
        any(entry["port"] == port for entry in rule["ports"])
        and ("from" not in rule or any(is_peer(peer, source, target.namespace) for peer in rule["from"]))
        for policy in applying
        for rule in policy["spec"]["ingress"]
    )


FLOWS = [
    ("a caller reaches the routers", CALLER, ROUTERS, 8080, True),
    ("a caller of another namespace reaches the routers", FAR_CALLER, ROUTERS, 8080, True),
    ("the routers reach their model", ROUTERS, BLUE, 8080, True),
    ("the operator asks a model", OPERATOR, BLUE, 8081, True),
    ("the operator asks a router", OPERATOR, ROUTERS, 8081, True),
    ("figures are read from a model", MONITORING, BLUE, 8081, True),
    ("figures are read from a router", MONITORING, ROUTERS, 8081, True),
    ("a caller does not reach a model past the router and its keys", CALLER, BLUE, 8080, False),
    ("nor from another namespace", FAR_CALLER, BLUE, 8080, False),
    ("a router of another endpoint does not reach it", OTHER_ROUTERS, BLUE, 8080, False),
    ("nor a pod of another namespace with a router's labels", IMPOSTOR, BLUE, 8080, False),
    ("a model does not reach another model", GREEN, BLUE, 8080, False),
    ("a caller does not read a model's inner port", CALLER, BLUE, 8081, False),
    ("nor a router's", CALLER, ROUTERS, 8081, False),
    ("the routers do not read a model's inner port", ROUTERS, BLUE, 8081, False),
    ("the operator has no business on a model's data port", OPERATOR, BLUE, 8080, False),
    ("monitoring has no business on a model's data port", MONITORING, BLUE, 8080, False),
    ("another pod of monitoring reads no figures", OTHER_MONITORING, BLUE, 8081, False),
    ("nobody reaches the admin port", CALLER, ROUTERS, 9901, False),
    ("not even the operator", OPERATOR, ROUTERS, 9901, False),
]


@pytest.mark.parametrize(("source", "target", "port", "expected"), [f[1:] for f in FLOWS], ids=[f[0] for f in FLOWS])
def test_flow(source: Pod, target: Pod, port: int, *, expected: bool) -> None:
    listed = policies(dataclasses.replace(PLACE, metrics_from=(PROMETHEUS,)))
    assert passes(listed, source, target, port) is expected


def test_nothing_but_ingress_is_restricted() -> None:
    assert [policy["spec"]["policyTypes"] for policy in policies(PLACE)] == [["Ingress"], ["Ingress"]]


def test_a_chart_can_switch_them_off() -> None:
    assert policies(dataclasses.replace(PLACE, network_policies=False)) == []
