"""What a pod's status says, as a table."""

from __future__ import annotations

import json

import pytest

from wye_operator.cluster.pods import answers_still, failure_of, is_ready

LAST_WORDS = json.dumps({"reason": "ModelInvalid", "message": "model.onnx is cut off"})


def pod(name="blue-1", *, ready=False, containers=(), init=(), conditions=(), **metadata):
    found = [{"type": "Ready", "status": "True" if ready else "False"}, *conditions]
    status = {"conditions": found, "containerStatuses": list(containers), "initContainerStatuses": list(init)}
    return {"metadata": {"name": name, "uid": f"u-{name}", **metadata}, "status": status}


def waiting(reason, message=""):
    return {"restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}}


def ended(code, message="", reason="Error", at="2026-11-01T00:00:00Z", restarts=1):
    last = {"exitCode": code, "reason": reason, "message": message, "finishedAt": at}
    return {
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": last},
    }


UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient memory.",
}

CASES = {
    "nothing is wrong": (pod(ready=True), None),
    "it is starting": (pod(containers=[waiting("ContainerCreating")]), None),
    "an image is being pulled and fails": (pod(containers=[waiting("ErrImagePull", "not found")]), (0, "ImagePull")),
    "an image cannot be pulled": (pod(containers=[waiting("ImagePullBackOff")]), (0, "ImagePullLoopBackOff")),
    "a Secret is missing": (pod(containers=[waiting("CreateContainerConfigError")]), (0, "InvalidDeploymentSpec")),
    "no node has room": (pod(conditions=[UNSCHEDULABLE]), (0, "PodUnschedulable")),
    "too much memory": (pod(containers=[ended(137, reason="OOMKilled")]), (137, "PodOutOfMemory")),
    "last words": (pod(containers=[ended(3, LAST_WORDS)]), (3, "ModelInvalid")),
    "the fetch leaves last words": (pod(init=[ended(3, LAST_WORDS)]), (3, "ModelInvalid")),
    "a wrong configuration leaves last words": (pod(containers=[ended(2, LAST_WORDS)]), (2, "ModelInvalid")),
    "exit 3 without words": (pod(containers=[ended(3, "x")]), (3, "")),
    "a crash of its own": (pod(containers=[ended(1, "Traceback")]), (1, "")),
    "it recovered": (pod(ready=True, containers=[ended(1)]), None),
    "the init container is done": (
        pod(init=[{"restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]),
        None,
    ),
    "it is leaving": (pod(containers=[ended(1)], deletionTimestamp="2026-11-01T00:00:00Z"), None),
}


@pytest.mark.parametrize("case", CASES)
def test_failures(case):
    body, expected = CASES[case]
    failure = failure_of([body])
    assert (failure and (failure.exit_code, failure.reason)) == expected


ENDING = "2026-11-01T00:00:00Z"


@pytest.mark.parametrize(
    ("body", "phase", "expected"),
    [
        pytest.param(pod(ready=True), "Running", False, id="it stays"),
        pytest.param(pod(ready=True, deletionTimestamp=ENDING), "Running", True, id="it is on its way out"),
        pytest.param(pod(deletionTimestamp=ENDING), "Running", False, id="it answers no more"),
        pytest.param(pod(ready=True, deletionTimestamp=ENDING), "Failed", False, id="it was evicted"),
    ],
)
def test_who_still_answers(body, phase, expected):
    body["status"]["phase"] = phase
    assert answers_still(body) is expected


def test_the_pod_that_ended_last_speaks_for_all():
    old = pod("blue-1", containers=[ended(1, "old", at="2026-11-01T00:00:00Z")])
    new = pod("blue-2", containers=[ended(3, LAST_WORDS, at="2026-11-01T00:05:00Z")])
    assert failure_of([new, old]).instance == "blue-2"


LONG = "x" * 2000


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        pytest.param((1, "one\ntwo\n"), "one\ntwo", id="the end of its log"),
        pytest.param((1, "\n".join("abcdefg")), "c\nd\ne\nf\ng", id="five lines of it"),
        pytest.param((1, LONG), LONG[:1024], id="1 KiB of it"),
        pytest.param((1, "é" * 1000), "é" * 512, id="1 KiB is bytes"),
        pytest.param((1, "PASSWORD=hunter2 is wrong"), "PASSWORD=… is wrong", id="a credential by its form"),
        pytest.param((1, "no user hunter3"), "no user …", id="a value of the Deployment's environment"),
        pytest.param((1, "f.tok\n" + "y" * 2042), "y" * 1024, id="kubelet cut its first line"),
        pytest.param((1, "f.tok" + "y" * 2043), "", id="kubelet cut its only word: it may be a credential's end"),
        pytest.param(
            (3, json.dumps({"reason": "ModelFetch", "message": "403 for https://me:hunter2@store/m"})),
            "403 for https://…@store/m; asked again by the kubelet, in at most five minutes",
            id="its own last words",
        ),
    ],
)
def test_what_is_told_of_an_end(ends, told):
    assert failure_of([pod(containers=[ended(*ends)])], hidden=["hunter3"]).message == told


def test_a_message_of_the_clusters_is_told_without_credentials():
    pull = pod(containers=[waiting("ErrImagePull", "GET https://me:hunter2@registry.test/v2: 401")])
    assert failure_of([pull]).message == "blue-1: GET https://…@registry.test/v2: 401"


def test_a_leaving_pod_is_not_ready():
    assert is_ready(pod(ready=True))
    assert not is_ready(pod(ready=True, deletionTimestamp="2026-11-01T00:00:00Z"))
