"""What stands around pods: service account, network policy, disruption budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wye_operator.plan.names import ROUTER, selector_of
from wye_operator.render.kubernetes.metadata import Owner, object_of
from wye_operator.render.kubernetes.place import INNER, SERVING, ClusterPlace
from wye_operator.render.resources import Json

NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def service_account(owner: Owner) -> Json:
    """An account that nothing is granted to, so that no pod runs as the namespace's default."""
    return object_of(owner, ("v1", "ServiceAccount"), {"automountServiceAccountToken": False})


def network_policies(owner: Owner, place: ClusterPlace, own_ports: Sequence[int] = ()) -> Iterator[Json]:
    """Who may reach the pods: the data port as its component asks, the inner port for the operator and metrics.

    `own_ports` are those of another server than our runtime, which has no inner port.
    """
    if not place.network_policies:
        return
    routers = {"podSelector": {"matchLabels": selector_of(ROUTER, owner.endpoint)}}
    data = _ingress(own_ports or [SERVING], [] if owner.component == ROUTER else [routers])
    operator = {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: place.operator_namespace}}}
    inner = _ingress([INNER], [operator, *map(dict, place.metrics_from)])
    spec = {
        "podSelector": {"matchLabels": owner.selector},
        "policyTypes": ["Ingress"],
        "ingress": [data] if own_ports else [data, inner],
    }
    yield object_of(owner, ("networking.k8s.io/v1", "NetworkPolicy"), {"spec": spec})


def _ingress(ports: Sequence[int], peers: list[Json]) -> Json:
    """Without peers everybody may."""
    return {"ports": [{"port": port, "protocol": "TCP"} for port in ports], **({"from": peers} if peers else {})}


def disruption_budgets(owner: Owner, replicas: int) -> Iterator[Json]:
    """One pod at a time, where there are several; a single one never blocks a drain."""
    if replicas > 1:
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": owner.selector}}
        yield object_of(owner, ("policy/v1", "PodDisruptionBudget"), {"spec": spec})
