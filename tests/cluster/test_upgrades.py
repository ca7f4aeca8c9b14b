"""The chart upgraded, uninstalled and installed again, while what it looks after serves."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import history
from cluster.chart import CHART, install, uninstall
from cluster.harness.say import output
from cluster.kube import Cluster, Namespace
from cluster.serving import Served, deployment, endpoint, waited

Figure = Callable[[str], None]
BEFORE = "e2e-before"  # the tag under which the same images are others
MOST, DEPLOYMENTS = 3, 20
SMALL = {"requests": {"cpu": "20m", "memory": "32Mi"}}
ENDPOINT = {"router": {"resources": SMALL}}


@pytest.fixture(scope="module")
def earlier(cluster: Cluster, images: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart of the previous commit; the images of routers and models are there under another name, too."""
    tool = shutil.which("buildah") or shutil.which("docker")
    for name in ("runtime", "router"):
        image = f"localhost/wye-{name}"
        output([tool, "tag", f"{image}:{images}", f"{image}:{BEFORE}"], env={"STORAGE_DRIVER": "overlay"} | os.environ)
        cluster.load(f"{image}:{BEFORE}")
    folder = tmp_path_factory.mktemp("earlier")
    try:
        with tarfile.open(fileobj=io.BytesIO(history.before("charts/wye"))) as archive:
            archive.extractall(folder, filter="data")
    except history.NoHistory:
        return CHART  # a clone of one commit: then only the images are others
    return folder / "charts" / "wye"


@pytest.fixture
def before(cluster: Cluster, operator: str, images: str, earlier: Path) -> Iterator[str]:
    """The operator's namespace, with the previous commit's chart; the tests after this one get today's again."""
    install(cluster, BEFORE, operator, f"images.operator=localhost/wye-operator:{images}", chart=earlier)
    yield operator
    install(cluster, images, operator)


class Rolls:
    """What the API server tells of a namespace's workloads while the block lasts: which roll, and at most how many."""

    def __init__(self, namespace: Namespace, tag: str) -> None:
        self._namespace, self._tag = namespace, tag
        self.rolling: set[str] = set()
        self.done: list[str] = []
        self.most = 0

    def __enter__(self) -> Rolls:
        words = ["kubectl", "-n", self._namespace.name, "get", "deployments.apps", "--watch", "-o", "json"]
        self._watch = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=self._namespace.cluster.env)
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.terminate()
        self._thread.join()
        self._watch.wait()
        self._watch.stdout.close()

    def _follow(self) -> None:
        text, decoder = "", json.JSONDecoder()
        for line in self._watch.stdout:
            text += line
            if line == "}\n":
                self._see(decoder.decode(text))
                text = ""

    def _see(self, workload: dict) -> None:
        name, spec, status = workload["metadata"]["name"], workload["spec"], workload.get("status", {})
        image = spec["template"]["spec"]["containers"][0]["image"]
        if name in self.done or not image.endswith(f":{self._tag}"):
            return
        counts = {status.get(count) for count in ("replicas", "updatedReplicas", "availableReplicas")}
        seen = status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
        if seen and counts == {spec["replicas"]}:
            self.done.append(name)
            self.rolling.discard(name)
        else:
            self.rolling.add(name)
            self.most = max(self.most, len(self.rolling))


def pods(namespace: Namespace) -> dict[str, tuple[str, int]]:
    """Every pod's life: its uid, and how often its containers were started anew."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(each["restartCount"] for each in pod["status"].get("containerStatuses", [])),
        )
        for pod in namespace.json("get", "pods")["items"]
        if not pod["metadata"].get("deletionTimestamp")
    }


def image_of(namespace: Namespace, name: str) -> str:
    return namespace.json("get", "deployment.apps", name)["spec"]["template"]["spec"]["containers"][0]["image"]


def said_to_stay(cluster: Cluster, operator: str, namespace: Namespace) -> set[str]:
    """Whose pods stay, by the operator's log."""
    lines = cluster.attempt("-n", operator, "logs", "deployment/wye").stdout.splitlines()
    said = [json.loads(line) for line in lines if "keeps its pods until it is edited" in line]
    places = [each["object"].split("/") for each in said]
    return {name for where, name in places if where == namespace.name}


def test_an_upgrade_and_a_reinstallation_under_load_lose_nothing(
    before: str, served: Served, images: str, figure: Figure
):
    namespace, cluster = served.namespace, served.namespace.cluster
    names = [f"m{number:02d}" for number in range(DEPLOYMENTS)]
    traffic = dict.fromkeys(names, 100 // DEPLOYMENTS)
    served.apply(endpoint(traffic=traffic, **ENDPOINT), *(deployment(name, resources=SMALL) for name in names))
    assert image_of(namespace, "fraud-m00-model") == f"localhost/wye-runtime:{BEFORE}"
    begun = time.monotonic()
    with served.load() as load, Rolls(namespace, images) as rolls:
        install(cluster, images, before, f"upgrade.maxConcurrent={MOST}")
        for count in range(1, DEPLOYMENTS + 2):  # one after the other, on whatever cores there are
            waited(lambda count=count: len(rolls.done) >= count)
        served.ready()
    figure(f"upgrade of {DEPLOYMENTS} Deployments and their router: {time.monotonic() - begun:.0f} s")
    figure(
        f"  at most {rolls.most} at a time (upgrade.maxConcurrent: {MOST}); lost {load.lost} of {load.answers.total()}"
    )
    served.lost_nothing(load)
    assert 0 < rolls.most <= MOST

    waited(lambda: len(pods(namespace)) == DEPLOYMENTS + 1)
    there, begun = pods(namespace), time.monotonic()
    with served.load() as load:
        uninstall(cluster, before)
        assert len(namespace.json("get", "mld")["items"]) == DEPLOYMENTS
        install(cluster, images, before, f"upgrade.maxConcurrent={MOST}")
        served.ready()
    figure(f"uninstalled and installed again: {time.monotonic() - begun:.0f} s")
    figure(f"  lost {load.lost} of {load.answers.total()}; pods that were replaced or started anew: 0 of {len(there)}")
    served.lost_nothing(load)
    assert pods(namespace) == there


def test_on_spec_change_pods_stay_until_an_edit(before: str, served: Served, images: str, figure: Figure):
    namespace, cluster = served.namespace, served.namespace.cluster
    served.apply(endpoint(**ENDPOINT), deployment("blue", resources=SMALL))
    there = pods(namespace)
    install(cluster, images, before, "upgrade.policy=OnSpecChange", "deadlines.endpointGraceSeconds=0")
    waited(lambda: said_to_stay(cluster, before, namespace) == {"fraud-blue-model", "fraud-router"})
    served.ready()
    assert pods(namespace) == there
    assert namespace.json("get", "mld", "fraud-blue")["status"]["image"] == f"localhost/wye-runtime:{BEFORE}"

    template = namespace.json("get", "deployment.apps", "fraud-blue-model")["spec"]["template"]
    namespace.kubectl("delete", "mle", "fraud")
    waited(lambda: namespace.json("get", "deployment.apps", "fraud-blue-model")["spec"]["replicas"] == 0)
    namespace.apply(endpoint(**ENDPOINT))
    waited(lambda: namespace.json("get", "deployment.apps", "fraud-blue-model")["spec"]["replicas"] == 1)
    served.ready()
    assert namespace.json("get", "deployment.apps", "fraud-blue-model")["spec"]["template"] == template
    assert image_of(namespace, "fraud-router").endswith(f":{images}"), "a new Endpoint has new routers"

    served.apply(deployment("blue", resources=SMALL, environmentVariables={"MODE": "fast"}))
    assert image_of(namespace, "fraud-blue-model") == f"localhost/wye-runtime:{images}"
    figure("upgrade.policy OnSpecChange: no pod was replaced before its edit")
