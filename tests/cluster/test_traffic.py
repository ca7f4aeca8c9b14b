"""The data path under constant load while everything behind it changes: an answer but 200 is a loss, and counted."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cluster.harness.machine import backend  # noqa: F401  (named by the mark BARE)
from cluster.killing import kill
from cluster.kube import PATIENCE
from cluster.load import CONNECTIONS, Load
from cluster.serving import Served, deployment, endpoint, waited

Figure = Callable[[str], None]
BARE = pytest.mark.skipif("backend().name != 'bare'", reason="processes are killed from outside on `bare` only")
EDITS = 50
LEAVING = 12  # seconds: the preStop of a model's pod, and its end


def told(what: str, load: Load) -> str:
    return f"{what}: lost {load.lost} of {load.answers.total()}: {dict(load.answers)}"


def test_edits_of_the_weights(served: Served, figure: Figure):
    served.apply(endpoint(traffic={"blue": 50, "green": 50}), deployment("blue"), deployment("green"))
    took = []
    with served.load() as load:
        for number in range(EDITS):
            weights = {"blue": 20, "green": 80} if number % 2 else {"blue": 70, "green": 30}
            served.namespace.apply(endpoint(traffic=weights))
            took.append(waited(lambda weights=weights: served.traffic() == weights))
    figure(told(f"{EDITS} weight edits", load))
    figure(f"  in effect after {sum(took) / EDITS:.1f} s, at most {max(took):.1f} s (goal 2 s)")
    served.lost_nothing(load)
    with served.load() as steady:
        time.sleep(5)
    count = steady.served.total()
    share = steady.served["green"] / count
    figure(f"  split afterwards: green {share:.1%} of {count}, 80% wanted")
    assert abs(share - 0.8) < 6 * (0.8 * 0.2 / count) ** 0.5, "a slow machine has fewer answers, and so a wider chance"


def test_a_new_model(served: Served, figure: Figure):
    served.apply(endpoint(), deployment("blue"))
    before = served.namespace.json("get", "mld", "fraud-blue")["status"]["model"]["sha256"]
    with served.load() as load:
        served.apply(deployment("blue", model={"uri": "configmap://models/two.onnx"}))
        time.sleep(LEAVING)
    figure(told("new model version", load))
    served.lost_nothing(load)
    assert served.namespace.json("get", "mld", "fraud-blue")["status"]["model"]["sha256"] != before


def test_scaling_up_and_down(served: Served, figure: Figure):
    served.apply(endpoint(), deployment("blue"))
    with served.load() as load:
        for count in (4, 1):
            served.namespace.kubectl("scale", "mld/fraud-blue", f"--replicas={count}")
            served.ready()
        time.sleep(LEAVING)
    figure(told("scale 1, 4, 1", load))
    served.lost_nothing(load)


def test_a_deployment_comes_gets_traffic_and_is_deleted_with_it(served: Served, figure: Figure):
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"))
    with served.load() as load:
        served.apply(deployment("green"), endpoint(traffic={"blue": 50, "green": 50}))
        time.sleep(1)
        served.namespace.kubectl("delete", "mld", "fraud-green", "--wait=false")
        waited(lambda: served.traffic() == {"blue": 100})
        time.sleep(LEAVING)
    figure(told("Deployment added, and deleted with half of the traffic", load))
    served.lost_nothing(load)
    assert load.served["green"] > 0
    served.apply(endpoint(traffic={"blue": 100}))


def test_the_endpoint_is_edited_while_its_deployment_rolls(served: Served, figure: Figure):
    served.apply(endpoint(), deployment("blue"))
    with served.load() as load:
        served.namespace.apply(deployment("blue", model={"uri": "configmap://models/two.onnx"}))
        served.namespace.apply(endpoint(limits={"maxRequestBytes": "2Mi"}, traffic={"blue": 100}))  # new routers
        served.ready()
        time.sleep(LEAVING)
    figure(told("Endpoint edited (new routers) while its Deployment rolls", load))
    served.lost_nothing(load)


def test_every_pod_is_evicted(served: Served, figure: Figure):
    served.apply(endpoint(router={"replicas": 2}), deployment("blue", instanceCount=2))
    evicted = [*served.pods("router"), *served.pods("model")]
    assert len(evicted) == 4
    with served.load() as load:
        for pod in evicted:
            waited(lambda pod=pod: is_evicted(served, pod))
        waited(lambda: not set(evicted) & set(pod_names(served)))
    figure(told("2 routers and 2 models evicted one after the other", load))
    served.lost_nothing(load)
    served.ready()


def is_evicted(served: Served, pod: str) -> bool:
    """Asks for it by the Eviction API, which refuses while the budget of the pod's group is used up."""
    path = f"/api/v1/namespaces/{served.namespace.name}/pods/{pod}/eviction"
    asked = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    done = served.namespace.attempt("create", "--raw", path, "-f", "-", stdin=json.dumps(asked))
    assert done.returncode == 0 or "disruption budget" in done.stderr, done.stderr
    return done.returncode == 0


def pod_names(served: Served) -> list[str]:
    """All of them, those included that are on their way out."""
    return served.namespace.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}").split()


@BARE
def test_a_killed_model_process_of_two(served: Served, figure: Figure):
    served.apply(endpoint(), deployment("blue", instanceCount=2))
    [first, _] = served.pods("model")
    with served.load() as load:
        time.sleep(1)
        kill(served.namespace.cluster, served.namespace.name, first)
        time.sleep(8)
    figure(told("kill -9 of a model's process, 2 instances", load))
    assert load.lost <= CONNECTIONS, load.losses  # what was in flight in it
    waited(lambda: restarts(served, first) > 0 and served.are_ready("model", 2))
    served.ready()


@BARE
def test_a_killed_router_of_two(served: Served, figure: Figure):
    served.apply(endpoint(router={"replicas": 2}), deployment("blue"))
    [first, _] = served.pods("router")
    with served.load() as load:
        time.sleep(1)
        kill(served.namespace.cluster, served.namespace.name, first)
        time.sleep(8)
    figure(told("kill -9 of one router of two", load))
    # what was in flight (an answer may be cut), once on a connection at most; besides, connections that are refused
    # until the Service forgets its address: nobody took a request there
    fine = ("200", "ConnectionRefusedError")
    broken = Counter({key: count for key, count in load.answers.items() if key not in fine})
    cut = {"RemoteDisconnected", "IncompleteRead", "ConnectionResetError", "BrokenPipeError"}
    assert set(broken) <= cut, load.losses
    assert broken.total() <= CONNECTIONS, load.losses
    waited(lambda: restarts(served, first) > 0 and served.are_ready("router", 2))
    served.ready()
    with served.load() as after:
        time.sleep(2)
    served.lost_nothing(after)


def test_a_rolling_restart_of_two_routers(served: Served, figure: Figure):
    served.apply(endpoint(router={"replicas": 2}), deployment("blue"))
    before = set(served.pods("router"))
    with served.load() as load:
        served.namespace.kubectl("rollout", "restart", "deployment/fraud-router")
        served.namespace.kubectl("rollout", "status", "deployment/fraud-router", f"--timeout={PATIENCE}s")
        waited(lambda: not before & set(pod_names(served)))
    figure(told("rolling restart of 2 routers", load))
    served.lost_nothing(load)
    assert len(served.pods("router")) == 2
    served.ready()


@BARE
def test_without_a_second_replica_the_503s_end_by_failover(served: Served, figure: Figure):
    served.apply(endpoint(traffic={"blue": 50, "green": 50}), deployment("blue"), deployment("green"))
    [blue] = [pod for pod in served.pods("model") if pod.startswith("fraud-blue-")]
    cluster, name = served.namespace.cluster, served.namespace.name
    with served.load() as load:
        time.sleep(1)
        begun = time.monotonic()
        killed = set()  # which of its lives: kubelet starts it again at once, then after 10 s, 20 s, 40 s

        def fails_over() -> bool:
            life = restarts(served, blue)
            if life not in killed and is_running(served, blue):
                kill(cluster, name, blue)
                killed.add(life)
            return backs_off(served, blue) and served.traffic() == {"green": 100}

        waited(fails_over)
        took = time.monotonic() - begun
        time.sleep(1)
    figure(told("one replica of blue (50%) killed twice", load))
    figure(f"  all to green {took:.1f} s after the first kill")
    assert set(load.answers) == {"200", "503"}
    with served.load() as after:
        waited(lambda: served.traffic() == {"blue": 50, "green": 50})
        time.sleep(2)
    figure(told("  until blue has its share again, and 2 s more", after))
    served.lost_nothing(after)
    served.ready()


def restarts(served: Served, pod: str) -> int:
    statuses = served.namespace.json("get", "pod", pod)["status"]["containerStatuses"]
    return sum(each["restartCount"] for each in statuses)


def backs_off(served: Served, pod: str) -> bool:
    """Kubelet knows that it ended, and waits: until then its last start may still be counted as ready."""
    [status] = served.namespace.json("get", "pod", pod)["status"]["containerStatuses"]
    return status["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"


def is_running(served: Served, pod: str) -> bool:
    return all("running" in s["state"] for s in served.namespace.json("get", "pod", pod)["status"]["containerStatuses"])


def test_models_are_replaced_one_by_one_without_the_operator(served: Served, operator: str, figure: Figure):
    served.apply(endpoint(), deployment("blue", instanceCount=2))
    with served.load() as load, away(served, operator):
        for pod in served.pods("model"):
            served.namespace.kubectl("delete", "pod", pod, "--wait=false")
            waited(lambda pod=pod: served.are_ready("model", 2, without=[pod]))
        time.sleep(LEAVING)
    figure(told("operator at zero, both model pods replaced", load))
    served.lost_nothing(load)
    served.ready()


@contextmanager
def away(served: Served, operator: str) -> Iterator[None]:
    """The operator is scaled to zero for as long as the block lasts."""
    kubectl = served.namespace.cluster.kubectl
    kubectl("-n", operator, "scale", "deployment/wye", "--replicas=0")
    kubectl(
        "-n",
        operator,
        "wait",
        "--for=delete",
        "pod",
        "-l",
        "app.kubernetes.io/name=wye-operator",
        f"--timeout={PATIENCE}s",
    )
    try:
        yield
    finally:
        kubectl("-n", operator, "scale", "deployment/wye", "--replicas=1")
        kubectl("-n", operator, "rollout", "status", "deployment/wye", f"--timeout={PATIENCE}s")
