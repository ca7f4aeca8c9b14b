"""Endpoints and Deployments as figures: what users ask, and what is true of it. Read from the store at each scrape.

Statuses are read as they are written, so the figures say what `kubectl get mle,mld` says. Labels are names of objects
and reasons of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wye_operator import figures
from wye_operator.cluster.kinds import DEPLOYMENTS, ENDPOINTS, Object
from wye_operator.cluster.store import Store
from wye_operator.telemetry import Labels, Page

SHARES = ((figures.LIVE, "traffic"), (figures.MIRROR, "mirrorTraffic"))


def shown(store: Store) -> Page:
    """All of it."""
    page: Page = {}
    for body in store.every(ENDPOINTS):
        for name, labels, value in _endpoint(body):
            page.setdefault(name, {})[labels] = value
    for body in store.every(DEPLOYMENTS):
        for name, labels, value in _deployment(body):
            page.setdefault(name, {})[labels] = value
    return page


Sample = tuple[str, Labels, float]


def _endpoint(body: Object) -> Iterator[Sample]:
    spec, status = body["spec"], body.get("status") or {}
    its = {figures.NAMESPACE: body["metadata"]["namespace"], figures.ENDPOINT: body["metadata"]["name"]}
    yield _condition(figures.ENDPOINT_READY, its, status, "Ready")
    yield _condition(figures.ENDPOINT_SERVING, its, status, "Serving")
    for traffic, field in SHARES:
        for name, given in ((figures.PERCENT_ASKED, spec), (figures.PERCENT, status)):
            for deployment, percent in (given.get(field) or {}).items():
                of = {**its, figures.DEPLOYMENT: deployment, figures.TRAFFIC: traffic}
                yield name, labels_of(of), float(percent)


def _deployment(body: Object) -> Iterator[Sample]:
    spec, status = body["spec"], body.get("status") or {}
    its = {
        figures.NAMESPACE: body["metadata"]["namespace"],
        figures.ENDPOINT: spec["endpointName"],
        figures.DEPLOYMENT: spec.get("name") or body["metadata"]["name"],
    }
    yield _condition(figures.DEPLOYMENT_READY, its, status, "Ready")
    yield figures.REPLICAS, labels_of(its), float(spec.get("instanceCount", 1))
    yield figures.READY_REPLICAS, labels_of(its), float(status.get("readyReplicas") or 0)


def _condition(name: str, its: Mapping[str, str], status: Mapping[str, Any], of: str) -> Sample:
    """1 where it holds; what nobody looked at yet does not."""
    found: Mapping[str, Any] = next((c for c in status.get("conditions") or () if c["type"] == of), {})
    reason = str(found.get("reason") or "NotLookedAt")
    return name, labels_of({**its, figures.REASON: reason}), float(found.get("status") == "True")


def labels_of(given: Mapping[str, str]) -> Labels:
    """As the page of figures has them."""
    return tuple(sorted(given.items()))
