"""The operator in the cluster: from `kubectl apply` to answers, edits under load, and what it leaves alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from cluster.serving import Served, deployment, endpoint, versions, waited

Figure = Callable[[str], None]
EDITS = 20


def test_from_apply_to_the_first_answer(served: Served, figure: Figure):
    begun = time.monotonic()
    served.namespace.apply(endpoint(), deployment("blue"))
    served.namespace.wait("create", "secret/fraud-keys", "service/fraud")
    key = served.key
    waited(lambda: served.ask(key)[0] == 200, 60)
    figure(f"apply to first 200: {time.monotonic() - begun:.1f} s (goal 8 s)")
    served.ready()
    assert '"probability"' in served.ask(key)[1]
    assert served.ask("")[0] == 401
    assert served.traffic() == {"blue": 100}


def test_edits_of_the_weights_under_load_lose_nothing(served: Served, figure: Figure):
    served.apply(endpoint(traffic={"blue": 50, "green": 50}), deployment("blue"), deployment("green"))
    took = []
    with served.load() as load:
        for number in range(EDITS):
            weights = {"blue": 20, "green": 80} if number % 2 else {"blue": 70, "green": 30}
            served.namespace.apply(endpoint(traffic=weights))
            took.append(waited(lambda weights=weights: served.traffic() == weights, 30))
    figure(f"weight edits: {EDITS}, in effect after {sum(took) / EDITS:.1f} s, at most {max(took):.1f} s (goal 2 s)")
    figure(f"  lost {load.lost} of {load.answers.total()}: {dict(load.answers)}")
    assert load.lost == 0
    with served.load() as steady:
        time.sleep(5)
    share = steady.served["green"] / steady.served.total()
    figure(f"  split afterwards: green {share:.1%} of {steady.served.total()}, 80% wanted")
    assert abs(share - 0.8) < 0.05


def test_a_new_model_under_load_loses_nothing(served: Served, figure: Figure):
    served.apply(endpoint(), deployment("blue"))
    before = served.namespace.json("get", "mld", "fraud-blue")["status"]["model"]["sha256"]
    with served.load() as load:
        served.apply(deployment("blue", model={"uri": "configmap://models/two.onnx"}))
        time.sleep(12)  # the old pod's preStop
    figure(f"new model version: lost {load.lost} of {load.answers.total()}: {dict(load.answers)}")
    assert load.lost == 0
    assert served.namespace.json("get", "mld", "fraud-blue")["status"]["model"]["sha256"] != before


def test_scaling_up_and_down_under_load_loses_nothing(served: Served, figure: Figure):
    served.apply(endpoint(), deployment("blue"))
    with served.load() as load:
        for count in (4, 1):
            served.namespace.kubectl("scale", "mld/fraud-blue", f"--replicas={count}")
            served.ready()
        time.sleep(12)
    figure(f"scale 1, 4, 1: lost {load.lost} of {load.answers.total()}: {dict(load.answers)}")
    assert load.lost == 0


def test_without_operator_kubelet_and_api_server_it_goes_on_serving(served: Served, operator: str, figure: Figure):
    cluster = served.namespace.cluster
    served.apply(endpoint(), deployment("blue"))
    with served.load() as load:
        cluster.kubectl("-n", operator, "delete", "pod", "--all", "--grace-period=0", "--force")
        if cluster.backend.name == "bare":
            cluster.backend.stop("kubelet")
            cluster.backend.stop("kube-apiserver")
            time.sleep(10)
            cluster.backend.up()
        served.ready()
    figure(f"operator, kubelet and API server killed: lost {load.lost} of {load.answers.total()}")
    assert load.lost == 0


def test_a_restart_of_the_operator_writes_nothing(served: Served, operator: str):
    served.apply(endpoint(), deployment("blue"))
    time.sleep(3)
    before = versions(served.namespace)
    cluster = served.namespace.cluster
    cluster.kubectl("-n", operator, "rollout", "restart", "deployment/wye")
    cluster.kubectl("-n", operator, "rollout", "status", "deployment/wye", "--timeout=60s")
    time.sleep(10)
    assert versions(served.namespace) == before


def test_a_deleted_namespace_goes_with_all_that_was_made(served: Served, figure: Figure):
    served.apply(endpoint(), deployment("blue"))
    begun = time.monotonic()
    served.namespace.cluster.kubectl("delete", "namespace", served.namespace.name, "--timeout=300s")
    figure(f"delete namespace with a serving endpoint: gone after {time.monotonic() - begun:.1f} s (goal 30 s)")
