"""What the cluster refuses, objects and pods, is told in the cluster's own words, and what serves goes on."""

from __future__ import annotations

import pytest

from cluster.serving import Served, deployment, endpoint, waited

ESCALATES = {"containerSecurityContext": {"allowPrivilegeEscalation": True}}


def ready(served: Served, what: str) -> tuple[str, str]:
    """Reason and message of the condition Ready of the newest generation, "" before that was looked at."""
    body = served.namespace.json("get", what)
    status = body.get("status", {})
    found = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), None)
    if found is None or status["observedGeneration"] != body["metadata"]["generation"]:
        return "", ""
    return found["reason"], found["message"]


def is_told(served: Served, what: str, words: str) -> bool:
    reason, message = ready(served, what)
    return reason == "InvalidDeploymentSpec" and words in message


def test_pods_that_pod_security_refuses_are_told_and_what_serves_goes_on(served: Served):
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"))
    with served.load() as load:
        served.namespace.apply(deployment("blue", pod=ESCALATES))
        waited(lambda: is_told(served, "mld/fraud-blue", 'violates PodSecurity "restricted'))
        served.apply(deployment("blue"))
    served.lost_nothing(load)


@pytest.mark.parametrize(
    ("resource", "kind"), [("pods", "mle"), ("pods", "mld"), ("count/services", "mle"), ("count/secrets", "mle")]
)
def test_what_a_quota_refuses_is_told_and_comes_when_there_is_room(served: Served, resource: str, kind: str):
    """Of pods it is said to the Deployments of apps/v1, of objects to the operator, with 403."""
    spec = {"hard": {resource: "0"}}
    served.namespace.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": spec})
    served.namespace.wait("jsonpath={.status.hard}", "resourcequota/none")
    served.namespace.apply(endpoint(traffic={"blue": 100}), deployment("blue"))
    what = {"mle": "mle/fraud", "mld": "mld/fraud-blue"}[kind]
    waited(lambda: is_told(served, what, "exceeded quota: none"))
    served.namespace.kubectl("delete", "resourcequota", "none")
    served.ready()
    assert served.answered(served.key)[0] == 200
