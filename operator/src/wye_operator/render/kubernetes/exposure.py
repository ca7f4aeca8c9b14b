"""The Ingress or HTTPRoute of an Endpoint; both lead to its Service."""

from __future__ import annotations

from collections.abc import Iterator

from wye_operator.plan.wanted import RouterPlan
from wye_operator.render.kubernetes.metadata import Owner, annotated, object_of
from wye_operator.render.resources import Json

GATEWAY_API = "gateway.networking.k8s.io"


def exposed(owner: Owner, router: RouterPlan, service: Json) -> Iterator[Json]:
    """None, or one of the two, under the Endpoint's own name."""
    [port] = service["spec"]["ports"]
    given = router.settings.expose
    if "ingress" in given:
        yield _ingress(owner, given["ingress"], port["name"])
    if "httpRoute" in given:
        yield _http_route(owner, given["httpRoute"], port["port"])


def _ingress(owner: Owner, given: Json, port: str) -> Json:
    backend = {"service": {"name": owner.name, "port": {"name": port}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec: Json = {"rules": [{"host": given["host"], "http": {"paths": paths}}]}
    if "className" in given:
        spec["ingressClassName"] = given["className"]
    if "tlsSecretName" in given:
        spec["tls"] = [{"hosts": [given["host"]], "secretName": given["tlsSecretName"]}]
    made = object_of(owner, ("networking.k8s.io/v1", "Ingress"), {"spec": spec}, name=owner.name)
    return annotated(made, given["annotations"]) if given.get("annotations") else made


def _http_route(owner: Owner, given: Json, port: int) -> Json:
    """With the defaults that the cluster would add, so that what is there is what is wanted."""
    gateway = {"group": GATEWAY_API, "kind": "Gateway"}
    backend = {"group": "", "kind": "Service", "name": owner.name, "port": port, "weight": 1}
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [backend]}
    spec = {
        "parentRefs": [{**gateway, **parent} for parent in given["parentRefs"]],
        "hostnames": list(given["hostnames"]),
        "rules": [rule],
    }
    return object_of(owner, (f"{GATEWAY_API}/v1", "HTTPRoute"), {"spec": spec}, name=owner.name)
