"""The objects of one Endpoint: its routers with their files, and what stands around them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping

from wye_operator.plan.names import CONFIG, ORIGIN, digest
from wye_operator.plan.record import Record, from_json, to_json
from wye_operator.plan.wanted import ROUTER_MEMORY, RouterPlan
from wye_operator.render.envoy import auth_files, bootstrap, route_files
from wye_operator.render.kubernetes.around import disruption_budgets, network_policies, service_account
from wye_operator.render.kubernetes.drain import drain, most_seconds
from wye_operator.render.kubernetes.exposure import exposed
from wye_operator.render.kubernetes.metadata import Owner, annotated, endpoint_owner, object_of
from wye_operator.render.kubernetes.place import ADMIN, ROUTER_PLACE, ClusterPlace
from wye_operator.render.kubernetes.pods import PORTS, container, pod_spec, pod_template, probe
from wye_operator.render.kubernetes.quantities import canonical_resources
from wye_operator.render.last_good import standing, with_last_good
from wye_operator.render.process import router_argv
from wye_operator.render.resources import Json, canonical

BOOTSTRAP, RECORD, NONCE = "bootstrap.json", "in-effect.json", "nonce"
RESOURCES: Json = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": ROUTER_MEMORY}}
LIVENESS = {"period": 10, "timeout": 5, "failureThreshold": 3}
READINESS = {"period": 1, "timeout": 2, "failureThreshold": 3}
STARTUP = {"period": 1, "timeout": 2, "failureThreshold": 60}
# over nodes where there are several; one that is full does not keep a router from running
SPREAD = {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
ENDING_SECONDS = 10  # from the end of preStop to the end of the grace


def router_objects(router: RouterPlan, record: Record, place: ClusterPlace) -> Iterator[Json]:
    """Everything for one Endpoint but its keys; what others need comes first."""
    owner = endpoint_owner(place)
    start = bootstrap(router, ROUTER_PLACE)
    routes, auth = _routes(router, record, place), _auth(router, record, place)
    yield service_account(owner)
    yield object_of(owner, ("v1", "ConfigMap"), {"data": _files((routes, auth), record, place, start)})
    yield object_of(owner, ("v1", "Secret"), {"type": "Opaque", "data": _encoded(auth)})
    service = _service(owner, router)
    yield service
    yield from exposed(owner, router, service)
    yield from network_policies(owner, place)
    yield from disruption_budgets(owner, router.settings.replicas)
    yield _deployment(owner, router, _template(owner, router, place, digest(start.decode())))


def _routes(router: RouterPlan, record: Record, place: ClusterPlace) -> dict[str, bytes]:
    in_force = {name: content.encode() for name, content in place.routes_in_force.items()}
    return with_last_good(route_files(router, ROUTER_PLACE), in_force, place.routers, record.acknowledged, place.now)


def _auth(router: RouterPlan, record: Record, place: ClusterPlace) -> dict[str, bytes]:
    """Who may call, and the certificate. What is missing of them: what is in force, and where nothing is, nobody."""
    in_force = {name: base64.b64decode(content) for name, content in place.auth_in_force.items()}
    return with_last_good(auth_files(router, in_force), in_force, place.routers, record.acknowledged, place.now)


def _files(
    written: tuple[dict[str, bytes], dict[str, bytes]], record: Record, place: ClusterPlace, start: bytes
) -> dict[str, str]:
    """The routes, and what is beside them."""
    ended = standing(record, record_in(place.routes_in_force), *written)
    files = {
        BOOTSTRAP: start,
        RECORD: canonical(to_json(ended)),
        **written[0],
        **({NONCE: place.nonce.encode()} if place.nonce else {}),
    }
    return {name: content.decode() for name, content in sorted(files.items())}


def record_in(files: Mapping[str, str]) -> Record:
    """The record in the `data` of the routers' ConfigMap; an empty one where that has none."""
    try:
        return from_json(json.loads(files[RECORD]))
    except (KeyError, TypeError, ValueError):
        return Record()


def _encoded(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(content).decode() for name, content in files.items()}


def _service(owner: Owner, router: RouterPlan) -> Json:
    scheme, number = ("https", 443) if router.listener.tls else ("http", 80)
    given = {"type": "ClusterIP", "port": number, **router.settings.service}
    port = {"name": scheme, "port": given["port"], "protocol": "TCP", "targetPort": "http", "appProtocol": scheme}
    spec = {
        "type": given["type"],
        "ipFamilyPolicy": "PreferDualStack",
        "selector": owner.selector,
        "ports": [port],
    }
    made = object_of(owner, ("v1", "Service"), {"spec": spec}, name=owner.name)
    return annotated(made, given["annotations"]) if given.get("annotations") else made


def _deployment(owner: Owner, router: RouterPlan, template: Json) -> Json:
    spec = {
        "replicas": router.settings.replicas,
        "selector": {"matchLabels": owner.selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "revisionHistoryLimit": 2,
        "template": template,
    }
    return annotated(object_of(owner, ("apps/v1", "Deployment"), {"spec": spec}), {ORIGIN: router.settings.origin})


def _template(owner: Owner, router: RouterPlan, place: ClusterPlace, config: str) -> Json:
    pods, longest = router.settings.pods, most_seconds(router.settings.patience)
    more: Json = {
        "terminationGracePeriodSeconds": longest + ENDING_SECONDS,
        **({"topologySpreadConstraints": [SPREAD]} if router.settings.replicas > 1 else {}),
        "containers": [_envoy(router, place)],
        "volumes": [
            {"name": "wye-routes", "configMap": {"name": owner.objects}},
            {"name": "wye-auth", "secret": {"secretName": owner.objects}},
        ],
    }
    spec = pod_spec(owner, pods, place.images, more)
    if place.images.router_user is not None:
        spec["securityContext"] = {"runAsUser": place.images.router_user, **spec["securityContext"]}
    return pod_template(owner, pods, {CONFIG: config}, spec)


def _envoy(router: RouterPlan, place: ClusterPlace) -> Json:
    given = router.settings.pods.resources
    traced = router.listener.tracing is not None
    ending = ["bash", "-c", drain(ADMIN, most_seconds(router.settings.patience))]
    more: Json = {
        "image": place.images.router,
        "command": list(router_argv("envoy", f"{ROUTER_PLACE.routes}/{BOOTSTRAP}", traced=traced)),
        "ports": list(PORTS),
        "resources": canonical_resources(RESOURCES if given is None else given),
        "livenessProbe": probe("/ready", {}, LIVENESS),
        "readinessProbe": probe("/ready", {}, READINESS),
        "startupProbe": probe("/ready", {}, STARTUP),
        "lifecycle": {"preStop": {"exec": {"command": ending}}},
        "volumeMounts": [
            {"name": "wye-routes", "mountPath": ROUTER_PLACE.routes, "readOnly": True},
            {"name": "wye-auth", "mountPath": ROUTER_PLACE.auth, "readOnly": True},
        ],
    }
    return container("router", router.settings.pods, place.images, more)
