"""What all of Wye's pods have in common: restricted, without a token, with what the manifest says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wye_operator.plan.wanted import PodSettings
from wye_operator.render.kubernetes.metadata import Owner
from wye_operator.render.kubernetes.place import INNER, SERVING, Images
from wye_operator.render.resources import Json

POD_SECURITY: Json = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_SECURITY: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
PORTS = (
    {"name": "http", "containerPort": SERVING, "protocol": "TCP"},
    {"name": "inner", "containerPort": INNER, "protocol": "TCP"},
)
TEMPORARY = {"name": "wye-tmp", "emptyDir": {}}
TEMPORARY_MOUNT = {"name": "wye-tmp", "mountPath": "/tmp"}
NO_MORE: Mapping[str, str] = {}
PASSED_ON = (  # from the manifest to the pod as they are
    *("nodeSelector", "tolerations", "affinity", "priorityClassName"),
    *("schedulerName", "runtimeClassName"),
)
PROBE_FIELDS = {
    "initialDelay": "initialDelaySeconds",
    "period": "periodSeconds",
    "timeout": "timeoutSeconds",
    "successThreshold": "successThreshold",
    "failureThreshold": "failureThreshold",
}


def pod_template(
    owner: Owner, pods: PodSettings, annotations: Mapping[str, str], spec: Json, labels: Mapping[str, str] = NO_MORE
) -> Json:
    """The template of a pod; ours win over the user's labels and annotations. `labels`: more than its owner's."""
    given = pods.pod
    metadata = {
        "labels": {**given.get("labels", {}), **owner.labels, **labels},
        "annotations": {**given.get("annotations", {}), **annotations},
    }
    return {"metadata": metadata, "spec": spec}


def pod_spec(owner: Owner, pods: PodSettings, images: Images, more: Json) -> Json:
    """A pod; `more` has its containers, its own volumes and how long it may take to end."""
    given = pods.pod
    pull_secrets = given.get("imagePullSecrets") or [{"name": name} for name in images.pull_secrets]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": given.get("serviceAccountName", owner.objects),
        "securityContext": {**POD_SECURITY, **given.get("securityContext", {})},
        **({"imagePullSecrets": pull_secrets} if pull_secrets else {}),
        **{name: given[name] for name in PASSED_ON if name in given},
        **more,
        **spread(owner, given.get("topologySpreadConstraints", more.get("topologySpreadConstraints", []))),
        "volumes": [TEMPORARY, *more["volumes"], *given.get("volumes", [])],
    }


def spread(owner: Owner, rules: Sequence[Mapping[str, Any]]) -> Json:
    """Spreading counts the pods of the same owner, where a rule does not say which."""
    counted = {"labelSelector": {"matchLabels": owner.selector}}
    return {"topologySpreadConstraints": [{**counted, **rule} for rule in rules]} if rules else {}


def container(name: str, pods: PodSettings, images: Images, more: Json) -> Json:
    """A container; `more` has its image, command and own mounts."""
    given = pods.pod
    return {
        "name": name,
        "imagePullPolicy": images.pull_policy,
        "securityContext": {**CONTAINER_SECURITY, **given.get("containerSecurityContext", {})},
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the end of its log, where it leaves no last words
        **more,
        "volumeMounts": [TEMPORARY_MOUNT, *more["volumeMounts"], *given.get("volumeMounts", [])],
    }


def probe(path: str, given: Mapping[str, Any], defaults: Mapping[str, int]) -> Json:
    """A question to the inner port."""
    return {"httpGet": {"path": path, "port": "inner", "scheme": "HTTP"}, **probe_times(given, defaults)}


def probe_times(given: Mapping[str, Any], defaults: Mapping[str, int]) -> Json:
    """How often, how long and how many times; what the manifest says wins."""
    return {PROBE_FIELDS[name]: value for name, value in {**defaults, **given}.items()}
