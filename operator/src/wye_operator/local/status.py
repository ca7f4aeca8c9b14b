"""What `.wye/status.json` holds and `wye local status` prints: the objects as kubectl would show them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from wye_operator.api.objects import API_VERSION, Deployment, Endpoint
from wye_operator.api.status import DeploymentStatus, EndpointStatus
from wye_operator.local.age import age
from wye_operator.local.state import Known
from wye_operator.local.target import EndpointTarget, Found
from wye_operator.plan.masking import HIDDEN
from wye_operator.plan.names import MODEL, ROUTER

Item = dict[str, Any]


def items_of(target: EndpointTarget, found: Found) -> list[Item]:
    """The Endpoint and its Deployments, each with metadata, spec and status."""
    items = []
    if found.endpoint:
        endpoint, known = found.endpoint
        items.append(_item(endpoint, known, target.status))
    for deployment, known, _ in found.deployments:
        status = target.statuses.get(deployment.metadata.name)
        items.append(_item(deployment, known, status))
    return items


def processes_of(target: EndpointTarget) -> Iterator[dict[str, str]]:
    """The router and the model servers that run, with where they give out their figures: for `wye top`."""
    its = {"namespace": target.namespace, "endpoint": target.name}
    for envoy in target.router.envoys if target.router else ():
        if envoy.process:
            inner = f"{envoy.inner.host}:{envoy.inner.port}"
            yield {**its, "component": ROUTER, "owner": target.name, "name": envoy.name, "inner": inner}
    for owner, group in sorted(target.groups.items()):
        for each in group.instances:
            if each.process:
                inner = f"{each.inner.host}:{each.inner.port}"
                yield {**its, "component": MODEL, "owner": owner, "name": each.name, "inner": inner}


def _item(of: Endpoint | Deployment, known: Known, status: EndpointStatus | DeploymentStatus | None) -> Item:
    created = datetime.fromtimestamp(known.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": API_VERSION,
        "kind": of.kind,
        "metadata": {
            "name": of.metadata.name,
            "namespace": of.metadata.namespace,
            "generation": known.generation,
            "creationTimestamp": created,
        },
        "spec": _shown(of.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)),
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True) if status else {},
    }


def _shown(spec: Item) -> Item:
    """Of environment variables only the names: a value may be a credential."""
    variables = spec.get("environmentVariables")
    return spec | {"environmentVariables": dict.fromkeys(variables, HIDDEN)} if variables else spec


def statuses(items: Iterable[Item]) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """Status by kind, namespace and name, to begin with after a restart."""
    return {
        (item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]): item["status"]
        for item in items
        if item["status"]
    }


ENDPOINT_COLUMNS = ("NAME", "READY", "SERVING", "TRAFFIC", "MIRROR", "URL", "AGE")
DEPLOYMENT_COLUMNS = ("NAME", "ENDPOINT", "READY", "REPLICAS", "TRAFFIC", "MODEL", "AGE")


def tables(items: Sequence[Item], now: float, *, wide: bool = False) -> str:
    """Two tables with the columns of `kubectl get mle` and `kubectl get mld`."""
    spaced = len({item["metadata"]["namespace"] for item in items}) > 1
    endpoints = [i for i in items if i["kind"] == "Endpoint"]
    deployments = [i for i in items if i["kind"] == "Deployment"]
    parts = []
    for columns, rows in (
        (ENDPOINT_COLUMNS, [_endpoint_row(i, now) for i in endpoints]),
        (DEPLOYMENT_COLUMNS, [_deployment_row(i, now) for i in deployments]),
    ):
        more = ["REASON"] if wide else []
        head = [*(["NAMESPACE"] if spaced else []), *columns, *more]
        lines = [
            [*([i["metadata"]["namespace"]] if spaced else []), *row, *([_ready(i, "reason")] if wide else [])]
            for i, row in zip(endpoints if columns is ENDPOINT_COLUMNS else deployments, rows, strict=True)
        ]
        parts.append(_table(head, lines))
    return "\n\n".join(parts)


def _endpoint_row(item: Item, now: float) -> list[str]:
    status = item["status"]
    return [
        item["metadata"]["name"],
        _ready(item, "status"),
        _condition(item, "Serving", "status"),
        status.get("trafficText", ""),
        status.get("mirrorText", ""),
        status.get("scoringUri", ""),
        age(item["metadata"]["creationTimestamp"], now),
    ]


def _deployment_row(item: Item, now: float) -> list[str]:
    status, spec = item["status"], item["spec"]
    return [
        item["metadata"]["name"],
        spec["endpointName"],
        _ready(item, "status"),
        str(status.get("readyReplicas", 0)),
        status.get("trafficText", ""),
        (spec.get("model") or {}).get("uri", ""),  # a script or another server may do without
        age(item["metadata"]["creationTimestamp"], now),
    ]


def _ready(item: Item, what: str) -> str:
    return _condition(item, "Ready", what)


def _condition(item: Item, kind: str, what: str) -> str:
    found = [c for c in item["status"].get("conditions", ()) if c["type"] == kind]
    return str(found[0][what]) if found else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join("   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (head, *rows))
