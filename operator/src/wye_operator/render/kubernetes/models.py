"""The objects of one Deployment: its pods with their settings, and what stands around them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from wye_operator.plan.names import CONFIG, DEPLOYMENT, ORIGIN, REVISION, digest
from wye_operator.plan.wanted import OwnServer, Workload
from wye_operator.plan.world import Address
from wye_operator.render.kubernetes.around import disruption_budgets, network_policies, service_account
from wye_operator.render.kubernetes.metadata import Owner, annotated, deployment_owner, object_of
from wye_operator.render.kubernetes.place import INNER, SERVING, ClusterPlace
from wye_operator.render.kubernetes.pods import PORTS, container, pod_spec, pod_template, probe
from wye_operator.render.kubernetes.quantities import canonical_resources, cores
from wye_operator.render.kubernetes.servers import named_ports, server_container, server_probe, shared_memory
from wye_operator.render.kubernetes.sources import Source, code_of, source_of
from wye_operator.render.process import runtime_argv, runtime_config, runtime_environment
from wye_operator.render.resources import Json

CONFIG_FOLDER, CONFIG_FILE = "/etc/wye/model", "runtime.json"
CONFIG_VOLUME = "wye-config"
RESOURCES: Json = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
GPU = "nvidia.com/"
LEAVING_SECONDS = 10  # until every router knows that a pod goes
PROBES = {
    "liveness": ("/livez", {"period": 10, "timeout": 5, "failureThreshold": 3}),
    "readiness": ("/readyz", {"period": 1, "timeout": 2, "failureThreshold": 3}),
    "startup": ("/readyz", {"period": 1, "timeout": 2, "failureThreshold": 600}),
}


def model_objects(workload: Workload, place: ClusterPlace) -> Iterator[Json]:
    """Everything for one Deployment; what others need comes first."""
    owner = deployment_owner(place, workload.deployment)
    server, config = workload.server, ""
    yield service_account(owner)
    if server is None:
        config = runtime_config(_with_engine(workload), *_paths(workload, place)).decode()
        yield object_of(owner, ("v1", "ConfigMap"), {"data": {CONFIG_FILE: config}})
    yield _service(owner, server)
    yield from network_policies(owner, place, server.ports if server else ())
    yield from disruption_budgets(owner, workload.instances)
    known = [config, workload.content] if server is None else [workload.revision]
    yield _deployment(owner, workload, _template(owner, workload, place, digest(known)))


def image_of(workload: Workload, place: ClusterPlace) -> str:
    """Another server's own, else the runtime for processors, or the one for GPUs where the limits name one."""
    if workload.server is not None:
        return workload.server.image
    return place.images.runtime_gpu if _has_gpu(workload) else place.images.runtime


def _has_gpu(workload: Workload) -> bool:
    return any(name.startswith(GPU) for name in _resources(workload).get("limits", {}))


def _resources(workload: Workload) -> Mapping[str, Any]:
    """The manifest's; only where it says nothing at all, ours."""
    given = workload.pods.resources
    return RESOURCES if given is None else given


def _paths(workload: Workload, place: ClusterPlace) -> tuple[str, str]:
    """Of the model and of the code, "" for what there is not."""
    model = _source(workload, place).path if workload.uri else ""
    return model, "".join(code.path for code in _code(workload))


def _with_engine(workload: Workload) -> Workload:
    """The engine as these resources want it: with as many threads as processors, and a GPU that must be there."""
    if "engine" not in workload.settings:  # a script has its own
        return workload
    engine = dict(workload.settings["engine"])
    if engine.get("threads") is None:
        engine["threads"] = cores(_resources(workload))
    if engine.get("provider") == "Auto" and _has_gpu(workload):
        engine["provider"] = "CUDA"
    return replace(workload, settings={**workload.settings, "engine": engine})


def _service(owner: Owner, server: OwnServer | None) -> Json:
    """The address that finds ready pods by itself: routers fall back to it. Another server keeps its ports."""
    ports = list(named_ports(server)) if server else [("http", SERVING)]
    spoken = {"http": "kubernetes.io/h2c" if server and server.protocol == "h2c" else "http"}
    listed = [
        {"name": n, "port": p, "protocol": "TCP", "targetPort": n, "appProtocol": spoken.get(n, "http")}
        for n, p in ports
    ]
    spec = {"type": "ClusterIP", "selector": owner.selector, "ports": listed}
    return object_of(owner, ("v1", "Service"), {"spec": spec})


def _deployment(owner: Owner, workload: Workload, template: Json) -> Json:
    spec = {
        "replicas": workload.instances,
        "selector": {"matchLabels": owner.selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": dict(workload.strategy)},
        "revisionHistoryLimit": 2,
        "template": template,
    }
    return annotated(object_of(owner, ("apps/v1", "Deployment"), {"spec": spec}), {ORIGIN: workload.origin})


def _template(owner: Owner, workload: Workload, place: ClusterPlace, config: str) -> Json:
    server = workload.server
    source = _source(workload, place) if workload.uri else None
    code = [found.volume for found in _code(workload)]
    fetches = list(_fetches(workload, place, source))
    first = shared_memory(server) if server else {"name": CONFIG_VOLUME, "configMap": {"name": owner.objects}}
    more: Json = {
        "terminationGracePeriodSeconds": LEAVING_SECONDS + math.ceil(workload.grace_seconds),
        **({"initContainers": fetches} if fetches else {}),
        "containers": [_server(workload, place, source)],
        "volumes": [first, *([source.volume] if source else []), *code],
    }
    if workload.pods.fetch_secret and source and not source.fetched_to:  # the kubelet pulls it, with the pod's secrets
        workload = _pulling(workload, place)
    annotations = {CONFIG: config, REVISION: workload.revision}
    spec = pod_spec(owner, workload.pods, place.images, more)
    return pod_template(owner, workload.pods, annotations, spec, {DEPLOYMENT: workload.name})


def _server(workload: Workload, place: ClusterPlace, source: Source | None) -> Json:
    server, given = workload.server, workload.pods
    common: Json = {
        **({"envFrom": list(given.environment_from)} if given.environment_from else {}),
        "resources": canonical_resources(_resources(workload)),
        "lifecycle": {"preStop": {"sleep": {"seconds": LEAVING_SECONDS}}},
    }
    if server is None:
        return _runtime(workload, place, common)
    probes = {f"{n}Probe": server_probe(server, n, given.probes.get(n, {}), d) for n, (_, d) in PROBES.items()}
    return server_container(workload, server, source, {**common, **probes}, place.images)


def _runtime(workload: Workload, place: ClusterPlace, common: Json) -> Json:
    model = [_source(workload, place).mount] if workload.uri else []
    code = [found.mount for found in _code(workload)]
    addresses = (Address("0.0.0.0", SERVING), Address("0.0.0.0", INNER))
    environment = runtime_environment(workload)
    more: Json = {
        **common,
        "image": image_of(workload, place),
        "command": list(runtime_argv(("wye-runtime",), f"{CONFIG_FOLDER}/{CONFIG_FILE}", *addresses)),
        "env": [{"name": name, "value": value} for name, value in sorted(environment.items())],
        "ports": list(PORTS),
        **{f"{name}Probe": probe(path, workload.pods.probes.get(name, {}), d) for name, (path, d) in PROBES.items()},
        "volumeMounts": [{"name": CONFIG_VOLUME, "mountPath": CONFIG_FOLDER, "readOnly": True}, *model, *code],
    }
    return container("model", workload.pods, place.images, more)


def _source(workload: Workload, place: ClusterPlace) -> Source:
    """As an image volume only where somebody checks its digest: our server does, another one does not."""
    checked = workload.server is None or not workload.settings["model"].get("sha256")
    return source_of(workload.uri, image_volumes=place.image_volumes and checked)


def _pulling(workload: Workload, place: ClusterPlace) -> Workload:
    given = workload.pods.pod
    others = given.get("imagePullSecrets") or [{"name": name} for name in place.images.pull_secrets]
    secrets = [*others, {"name": workload.pods.fetch_secret}]
    return replace(workload, pods=replace(workload.pods, pod={**given, "imagePullSecrets": secrets}))


def _code(workload: Workload) -> list[Source]:
    return [code_of(workload.code, workload.settings["script"]["file"])] if workload.code else []


def _fetches(workload: Workload, place: ClusterPlace, model: Source | None) -> Iterator[Json]:
    """The init containers that bring the model and a script's code."""
    if model and model.fetched_to:
        yield _fetch("fetch", workload, place, model)
    for code in _code(workload):
        if code.fetched_to:
            pods = replace(workload.pods, fetch_secret=workload.pods.code_secret)
            unchecked = {**workload.settings, "model": {}}
            yield _fetch("code", replace(workload, uri=workload.code, pods=pods, settings=unchecked), place, code)


def _fetch(called: str, workload: Workload, place: ClusterPlace, source: Source) -> Json:
    sha256 = workload.settings["model"].get("sha256")
    secret = workload.pods.fetch_secret
    registry = secret and workload.uri.startswith("oci://")
    more: Json = {
        "image": place.images.runtime if workload.server else image_of(workload, place),
        "command": [
            *("wye-runtime", "fetch", "--uri", workload.uri, "--to", source.fetched_to),
            *(("--sha256", sha256) if sha256 else ()),
        ],
        **({"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}),
        **({"env": [_docker_config(secret)]} if registry else {}),
        "resources": canonical_resources(_resources(workload)),
        "volumeMounts": [source.writable_mount],
    }
    return container(called, workload.pods, place.images, more)


def _docker_config(secret: str) -> Json:
    """The one entry of a docker-registry Secret: its name is no variable's, so that `envFrom` may leave it out."""
    entry = {"name": secret, "key": ".dockerconfigjson", "optional": True}
    return {"name": "WYE_FETCH_DOCKERCONFIG", "valueFrom": {"secretKeyRef": entry}}
