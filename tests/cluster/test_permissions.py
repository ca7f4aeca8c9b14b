"""What the operator may do: all of it is needed and no more; what is taken away touches no workload."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cluster.audit import asked, granted, now
from cluster.chart import install, uninstall
from cluster.faults import hide_files, without
from cluster.harness.machine import backend  # noqa: F401  (named by the mark BARE)
from cluster.kube import PATIENCE, Cluster, Namespace
from cluster.serving import API, Served, deployment, endpoint, waited
from wye_operator.cluster.apply import MOST_MADE

Figure = Callable[[str], None]
BARE = pytest.mark.skipif("backend().name != 'bare'", reason="the audit log is read on `bare` only")
OPERATOR = "wye-system"
SELECTOR = "app.kubernetes.io/name=wye-operator"
KINDS = ("mlendpoints.wye.dev", "mldeployments.wye.dev")
WORKLOADS = "deployments.apps,pods"
READY = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
except OSError as error:
    print(error)
"""


def pod(cluster: Cluster) -> dict:
    """The one pod of the operator that stays; a successor may take a moment to be there."""

    def staying() -> list[dict]:
        items = cluster.json("-n", OPERATOR, "get", "pods", "-l", SELECTOR)["items"]
        return [item for item in items if not item["metadata"].get("deletionTimestamp")]

    waited(lambda: len(staying()) == 1)
    return staying()[0]


def anew(cluster: Cluster) -> None:
    """Another process of the operator; it need not become ready."""
    old = pod(cluster)["metadata"]["name"]
    cluster.kubectl("-n", OPERATOR, "delete", "pod", old)
    waited(lambda: any(c.get("started") for c in pod(cluster)["status"].get("containerStatuses", ())))


def log(cluster: Cluster) -> str:
    return cluster.kubectl("-n", OPERATOR, "logs", pod(cluster)["metadata"]["name"])


def readiness(cluster: Cluster) -> str:
    """What the operator says of itself."""
    url = f"http://{pod(cluster)['status'].get('podIP')}:8080/readyz"
    return cluster.run(sys.executable, "-c", READY, url).strip()


def is_well(cluster: Cluster) -> None:
    """It became ready by itself, and never ended."""
    cluster.kubectl("-n", OPERATOR, "rollout", "status", "deployment/wye", f"--timeout={PATIENCE}s")
    assert [c["restartCount"] for c in pod(cluster)["status"]["containerStatuses"]] == [0]


def running(namespace: Namespace) -> dict[str, str]:
    """The workloads and their pods, by what changes when somebody edits or replaces them."""
    items = namespace.json("get", WORKLOADS)["items"]
    return {f"{i['kind']}/{i['metadata']['name']}": str(i["metadata"].get("generation", "")) for i in items}


@BARE
def test_without_a_permission_no_workload_is_touched_and_it_is_said(served: Served, operator: str, figure: Figure):
    cluster = served.namespace.cluster
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"))
    before = running(served.namespace)
    with served.load() as load:
        with without(cluster, "deployments"):
            served.namespace.apply(deployment("blue", instanceCount=2))
            waited(lambda: "deployments.apps" in log(cluster) and "forbidden" in log(cluster))
            anew(cluster)
            waited(lambda: "deployments cannot be followed: deployments.apps is forbidden" in readiness(cluster))
            time.sleep(3)
            assert running(served.namespace) == before
        served.ready()
    figure(f"permission for workloads taken away and given back: lost {load.lost} of {load.answers.total()}")
    assert load.lost == 0
    is_well(cluster)
    assert served.namespace.json("get", "deployment.apps", "fraud-blue-model")["spec"]["replicas"] == 2


def test_while_a_kind_is_missing_no_workload_is_touched_and_it_is_said(served: Served, operator: str, figure: Figure):
    """The API server answers 404 to everything of the kind, as while a CRD is installed anew; the objects are there."""
    cluster = served.namespace.cluster
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"), deployment("green"))
    before, children = running(served.namespace), made(served.namespace)
    with served.load() as load:
        with not_served(cluster):
            time.sleep(5)
            anew(cluster)
            waited(lambda: "mlendpoints cannot be followed" in readiness(cluster))
            time.sleep(3)
            assert (running(served.namespace), made(served.namespace)) == (before, children)
        served.ready()
        served.namespace.apply(endpoint(traffic={"blue": 20, "green": 80}))
        took = waited(lambda: served.traffic() == {"blue": 20, "green": 80})
        served.ready()
    figure(f"both kinds missing for a while: lost {load.lost} of {load.answers.total()}, then an edit {took:.1f} s")
    assert load.lost == 0
    is_well(cluster)


def made(namespace: Namespace) -> dict[str, str]:
    """Versions of what is made for users' objects; their own kind may be missing."""
    items = namespace.json("get", "services,configmaps,secrets,serviceaccounts,networkpolicies")["items"]
    return {f"{i['kind']}/{i['metadata']['name']}": i["metadata"]["resourceVersion"] for i in items}


@contextmanager
def not_served(cluster: Cluster) -> Iterator[None]:
    """Our kinds are there and not served."""
    try:
        serve(cluster, served=False)
        yield
    finally:
        serve(cluster, served=True)


def serve(cluster: Cluster, *, served: bool) -> None:
    """Whether the API server knows our kinds."""
    change = json.dumps([{"op": "replace", "path": "/spec/versions/0/served", "value": served}])
    for kind in KINDS:
        cluster.kubectl("patch", "crd", kind, "--type=json", "-p", change)
    waited(lambda: (cluster.attempt("get", "mle,mld", "-A").returncode == 0) == served)


def test_definitions_that_are_removed_take_their_objects_along_and_come_back(
    served: Served, operator: str, figure: Figure
):
    """Kubernetes deletes the objects of a kind with its definition, and what they own; the operator looks on."""
    cluster = served.namespace.cluster
    objects = (endpoint(traffic={"blue": 100}), deployment("blue"))
    served.apply(*objects)
    kept = [cluster.json("get", "crd", kind) for kind in KINDS]
    started = pod(cluster)["metadata"]["name"]
    is_collected(served.namespace)
    left = lambda: served.namespace.json("get", "services,deployments.apps")["items"]  # noqa: E731
    try:
        cluster.kubectl("delete", "crd", *KINDS, f"--timeout={PATIENCE}s")
        waited(lambda: not left())
        time.sleep(3)
        assert not left(), "nothing is made without its owner"
    finally:
        install_again(cluster, kept)
    begun = time.monotonic()
    waited(lambda: served.namespace.attempt("get", "wye").returncode == 0)
    served.apply(*objects)
    figure(f"definitions removed and installed again: Ready {time.monotonic() - begun:.1f} s after that")
    is_well(cluster)
    assert pod(cluster)["metadata"]["name"] == started


def is_collected(namespace: Namespace) -> None:
    """Until Kubernetes' garbage collector sees our kinds: it looks every 30 s for what is new, or back."""
    body = {
        "apiVersion": API,
        "kind": "Endpoint",
        "metadata": {"name": "short-lived"},
        "spec": {"router": {"replicas": 1}},
    }
    namespace.apply(body)
    waited(lambda: namespace.attempt("get", "service", "short-lived").returncode == 0)
    namespace.kubectl("delete", "mle", "short-lived")
    waited(lambda: namespace.attempt("get", "service", "short-lived").returncode == 1)


def install_again(cluster: Cluster, definitions: list[dict]) -> None:
    """The definitions as they were, so that the tests after this one have them whatever became of it."""
    for definition in definitions:
        metadata = {k: v for k, v in definition["metadata"].items() if k in ("name", "labels", "annotations")}
        body = {**definition, "metadata": metadata}
        cluster.kubectl("create", "-f", "-", stdin=json.dumps({k: v for k, v in body.items() if k != "status"}))
    cluster.kubectl("wait", "--for=condition=Established", *(f"crd/{kind}" for kind in KINDS), f"--timeout={PATIENCE}s")


def test_what_another_version_made_is_removed(served: Served):
    """Ours by label and owner, and in no plan: an earlier version's, or one of a name that is not used any more."""
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue", instanceCount=2))
    old = leftovers(served)
    served.namespace.apply(*old)
    kinds = "deployments.apps,services,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets,ingresses"
    waited(lambda: "fraud-blue-old" not in names(served.namespace, kinds))
    assert {"fraud-blue-model", "models"} <= names(served.namespace, kinds)
    served.apply(deployment("blue"))
    waited(lambda: names(served.namespace, "poddisruptionbudgets") == set())


def names(namespace: Namespace, kinds: str) -> set[str]:
    return {item["metadata"]["name"] for item in namespace.json("get", kinds)["items"]}


def leftovers(served: Served) -> list[dict]:
    """One object of each kind that Wye makes, as an earlier version of it might have made it."""
    live = served.namespace.json("get", "deployment.apps", "fraud-blue-model")
    return each_kind(
        {"name": "fraud-blue-old", **{name: live["metadata"][name] for name in ("labels", "ownerReferences")}}
    )


def each_kind(metadata: dict) -> list[dict]:
    """The smallest object of each kind that Wye makes."""
    selector = {"matchLabels": {"none": "none"}}
    nobody = {"name": "none", "port": {"number": 80}}
    container = {"name": "x", "image": "none"}
    pods = {"metadata": {"labels": {"none": "none"}}, "spec": {"containers": [container]}}
    return [
        {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
        for version, kind, rest in (
            ("v1", "ConfigMap", {"data": {"a": "b"}}),
            ("v1", "ServiceAccount", {}),
            ("v1", "Service", {"spec": {"ports": [{"port": 80}], "selector": {"none": "none"}}}),
            ("networking.k8s.io/v1", "NetworkPolicy", {"spec": {"podSelector": selector, "policyTypes": ["Ingress"]}}),
            ("networking.k8s.io/v1", "Ingress", {"spec": {"defaultBackend": {"service": nobody}}}),
            ("policy/v1", "PodDisruptionBudget", {"spec": {"selector": selector, "maxUnavailable": 1}}),
            ("apps/v1", "Deployment", {"spec": {"replicas": 0, "selector": selector, "template": pods}}),
        )
    ]


def test_what_is_somebody_elses_is_named_and_left_alone(served: Served):
    """Objects of each kind stand where Wye would write its own: each is asked for by name, and none is touched."""
    router, service = each_kind({"name": "fraud-router"}), each_kind({"name": "fraud"})[2]
    strangers = [*(each for each in router if each["kind"] not in ("Service", "Ingress")), service]
    served.namespace.apply(*strangers)
    before = [what_it_says(served, stranger) for stranger in strangers]
    served.namespace.apply(endpoint(traffic={"blue": 100}, router={"replicas": 2}), deployment("blue"))
    waited(lambda: served.reason() == "NameTaken")
    assert [what_it_says(served, stranger) for stranger in strangers] == before
    served.namespace.kubectl(
        "delete", "-f", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": strangers})
    )
    served.apply(endpoint(traffic={"blue": 100}, router={"replicas": 2}, description="the names are free"))


def what_it_says(served: Served, stranger: dict) -> dict:
    """All of an object but what the cluster itself notes in it."""
    live = served.namespace.json(
        "get",
        f"{stranger['kind']}.{stranger['apiVersion'].rpartition('/')[0]}".rstrip("."),
        stranger["metadata"]["name"],
    )
    kept = ("name", "uid", "generation", "labels", "ownerReferences")
    return {**{k: v for k, v in live.items() if k != "status"}, "metadata": {k: live["metadata"].get(k) for k in kept}}


def test_who_has_gone_is_asked_for_by_name(served: Served):
    """An Endpoint and a Deployment that are deleted while the other is there: a GET says so before anything ends."""
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"), deployment("green"))
    served.namespace.kubectl("delete", "mld/fraud-green", "--cascade=orphan")
    served.namespace.kubectl("delete", "mle/fraud")
    waited(lambda: served.reason("mld/fraud-blue") == "EndpointNotFound")
    served.apply(endpoint(traffic={"blue": 100}))


@BARE
def test_a_router_that_takes_nothing_is_named_and_replaced(served: Served, figure: Figure):
    """Its node cannot bring it files any more: here, kubelet writes them where the container does not look."""
    namespace = served.namespace
    served.apply(endpoint(traffic={"blue": 100}, router={"replicas": 2}), deployment("blue"), deployment("green"))
    stuck = namespace.json("get", "pods", "-l", "wye.dev/component=router")["items"][0]["metadata"]
    hide_files(stuck["uid"], "wye-routes")
    weights = {"blue": 50, "green": 50}
    with served.load() as load:
        namespace.apply(endpoint(traffic=weights, router={"replicas": 2}))
        message = ("get", "mle/fraud", "-o", "jsonpath={.status.conditions[0].message}")
        waited(lambda: stuck["name"] in namespace.kubectl(*message))
        assert served.reason() == "RouterBehind"
        took = waited(lambda: stuck["name"] not in names(namespace, "pods"))
        served.ready()
    figure(f"a router that takes nothing: replaced after {took:.1f} s (goal 60 s), lost {load.lost}")
    assert load.lost == 0
    assert served.traffic() == weights


@BARE
def test_an_operator_of_one_namespace_needs_no_clusterrole(served: Served, images: str, figure: Figure):
    """Roles alone; the one for all namespaces does not run meanwhile."""
    namespace, cluster = served.namespace, served.namespace.cluster
    since = now()
    cluster.kubectl("-n", OPERATOR, "scale", "deployment/wye", "--replicas=0")
    cluster.kubectl("-n", OPERATOR, "wait", "--for=delete", "pod", "-l", SELECTOR, f"--timeout={PATIENCE}s")
    try:
        install(
            cluster, images, namespace.name, f"namespace={namespace.name}", "crds.install=false", "nameOverride=one"
        )
        served.apply(endpoint(traffic={"blue": 100}), deployment("blue", instanceCount=2))
        served.apply(deployment("blue"), deployment("green"))
        served.apply(endpoint(traffic={"blue": 30, "green": 70}))
        assert served.answered(served.key)[0] == 200
        namespace.kubectl("delete", "mld/fraud-green")
        served.apply(endpoint(traffic={"blue": 100}))
        seen = list(asked(cluster.backend.audit(), f"{namespace.name}:wye-one", since))
        assert any(a.is_write for a in seen)
        assert [a for a in seen if not a.allowed] == []
        bound = cluster.json("get", "clusterrolebindings")["items"]
        assert not [b for b in bound for s in b.get("subjects", ()) if s.get("namespace") == namespace.name]
        uninstall(cluster, namespace.name)
    finally:
        cluster.kubectl("-n", OPERATOR, "scale", "deployment/wye", "--replicas=1")
        cluster.kubectl("-n", OPERATOR, "rollout", "status", "deployment/wye", f"--timeout={PATIENCE}s")


@BARE
def test_two_operators_of_one_namespace_say_so_and_do_not_fight(served: Served, images: str, figure: Figure):
    """One for all namespaces and one for this one: each wants its own namespace in the NetworkPolicies."""
    namespace, cluster = served.namespace, served.namespace.cluster
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"))
    mine = (f"namespace={namespace.name}", "crds.install=false", "nameOverride=one")
    with served.load() as load:
        since, begun = now(), time.monotonic()
        install(cluster, images, namespace.name, *mine)
        told = ("get", "events", "--field-selector=reason=TwoOperators", "-o", "jsonpath={.items[*].message}")
        waited(lambda: "another Wye operator writes NetworkPolicy" in namespace.kubectl(*told))
        time.sleep(3)  # a storm would be seen
        written = policies_written(cluster, namespace, since)
        minutes = (time.monotonic() - begun) // 60 + 1
        uninstall(cluster, namespace.name)
    figure(f"two operators of one namespace: {written} writes of its 2 NetworkPolicies, lost {load.lost}")
    assert written <= 2 * 2 * MOST_MADE * minutes, "each of the two writes each of them so often within a minute"
    served.lost_nothing(load)


def policies_written(cluster: Cluster, namespace: Namespace, since: str) -> int:
    """By both operators."""
    accounts = (f"{OPERATOR}:wye", f"{namespace.name}:wye-one")
    seen = (each for account in accounts for each in asked(cluster.backend.audit(), account, since))
    return sum(a.is_write and (a.namespace, a.permission.resource) == (namespace.name, "networkpolicies") for a in seen)


@BARE
@pytest.mark.last
def test_every_permission_is_used_and_nothing_else_was_asked_for(
    every_scenario: None, cluster: Cluster, operator: str, begun: str, figure: Figure
):
    """Over the whole run: so it is the last one, and only where all the others ran."""
    roles = [cluster.json("get", "clusterrole", "wye"), cluster.json("-n", operator, "get", "role", "wye-leader")]
    seen = list(asked(cluster.backend.audit(), f"{operator}:wye", begun))
    used = {need for one in seen if one.allowed for need in one.needs}
    # an API server that starts refuses all of them for a moment, and one test takes some away: those were granted
    beyond = {one.permission for one in seen if not one.allowed} - granted(roles)
    unused = granted(roles) - used
    figure(f"permissions: {len(granted(roles))} granted, {len(unused)} unused: {', '.join(map(str, sorted(unused)))}")
    assert sorted(map(str, unused)) == []
    assert sorted(map(str, beyond)) == []
