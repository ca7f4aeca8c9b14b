"""Something to look at: a cluster under load in which things go wrong, and a real Prometheus that watches it.

`python tests/sight/scene.py FOLDER`, with a cluster that is up (`make cluster-up`), leaves Prometheus' data and
scene.json, the time that it is of, in FOLDER; `draw.py` makes pictures of it. Models are scoring scripts that sleep, so
that two cores are enough; who fails, and when, is planted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster.chart import install
from cluster.harness.machine import backend
from cluster.harness.places import CHECKOUT, TAG
from cluster.harness.say import output, step
from cluster.killing import kill
from cluster.kube import Cluster, Namespace
from cluster.load import Load, Request
from cluster.prometheus import definitions, running
from cluster.serving import API, Served

LASTS = 330  # seconds
INTERVAL = "5s"
SCRIPT = """
import os, random, time

def init():
    global begun
    begun = time.monotonic()

def run(data):
    time.sleep(random.lognormvariate(0, 0.5) * float(os.environ["MILLISECONDS"]) / 1000)
    bad_from = float(os.environ.get("BAD_FROM", "inf"))
    if bad_from < time.monotonic() - begun < bad_from + 90 and random.random() < 0.3:
        raise ValueError("planted")
    return [0.5]
"""


def deployment(endpoint: str, name: str, milliseconds: int, **spec: Any) -> dict[str, Any]:
    """A script that takes so long."""
    more = {"MILLISECONDS": str(milliseconds), **spec.pop("variables", {})}
    made = {
        "endpointName": endpoint,
        "name": name,
        "codeConfiguration": {"code": "configmap://code", "scoringScript": "score.py"},
        "environmentVariables": more,
        "requestSettings": {"maxConcurrentRequestsPerInstance": 8},
        "resources": {"requests": {"cpu": "20m"}, "limits": {"memory": "256Mi"}},
    }
    metadata = {"name": f"{endpoint}-{name}"}
    return {"apiVersion": API, "kind": "Deployment", "metadata": metadata, "spec": made | spec}


def endpoint(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": "Endpoint", "metadata": {"name": name}, "spec": spec}


def objects() -> Iterator[dict[str, Any]]:
    """Three Endpoints: one with a split and a mirror, one with too little of everything, and one that never serves."""
    tight = {"maxConcurrentRequestsPerInstance": 1, "maxQueueWaitMs": 30}
    yield endpoint("fraud", traffic={"blue": 90, "green": 10}, mirrorTraffic={"violet": 50})
    yield deployment("fraud", "blue", 20, instanceCount=2)
    yield deployment("fraud", "green", 35, variables={"BAD_FROM": "120"})
    yield deployment("fraud", "violet", 60)
    yield endpoint("ranking", limits={"requestsPerSecond": 20})
    yield deployment("ranking", "only", 40, requestSettings=tight)
    yield endpoint("search", traffic={"new": 100})
    yield deployment("search", "new", 10, codeConfiguration={"code": "configmap://none", "scoringScript": "score.py"})


def events(cluster: Cluster, own: Namespace) -> list[tuple[int, str, Callable[[], Any]]]:
    """What happens, and after how many seconds."""

    def edit(what: str, spec: dict[str, Any]) -> Callable[[], Any]:
        return lambda: own.kubectl("patch", what, "--type=merge", "-p", json.dumps({"spec": spec}))

    return [
        (70, "the split is 60:40", edit("mle/fraud", {"traffic": {"blue": 60, "green": 40}})),
        (
            150,
            "an instance of blue is killed",
            lambda: kill(cluster, own.name, _pods(own, "wye.dev/owner=fraud-blue")[0]),
        ),
        (210, "green goes", edit("mle/fraud", {"traffic": {"blue": 100, "green": 0}})),
        (
            240,
            "gold is asked for, and never ready",
            edit("mle/fraud", {"traffic": {"blue": 80, "green": 0, "gold": 20}}),
        ),
        (270, "blue has three instances", edit("mld/fraud-blue", {"instanceCount": 3})),
    ]


def _pods(own: Namespace, selector: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in own.json("get", "pods", "-l", selector)["items"]]


def begin(cluster: Cluster, own: Namespace) -> None:
    """The chart with its monitors and rules, and all objects; the two that can serve do."""
    for definition in definitions():
        cluster.kubectl("apply", "--server-side", "-f", str(definition))
    monitors, rules = (f"monitoring.{each}.enabled=true" for each in ("podMonitors", "rules"))
    install(cluster, TAG, "wye-system", monitors, rules, f"monitoring.podMonitors.interval={INTERVAL}")
    code = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"score.py": SCRIPT}}
    own.apply(code, *objects())
    own.wait("condition=Ready", "mle/fraud", "mle/ranking", seconds=120)


def requests(own: Namespace) -> Iterator[Request]:
    """Constant load, by callers that nobody slows down; some of their copies are too large for the mirror."""
    for name, connections, pause, body in (
        ("fraud", 6, 0.05, "{}"),
        ("fraud", 1, 1.0, json.dumps({"filler": "x" * 1_100_000})),
        ("ranking", 3, 0.06, "{}"),
    ):
        served = Served(own, name)
        headers = {"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"}
        yield Request(served.url, body, headers, connections, pause)


def watch(cluster: Cluster, own: Namespace, folder: Path) -> None:
    """Let it happen."""
    with running(cluster, folder, interval=INTERVAL), ExitStack() as loads:
        for request in requests(own):
            loads.enter_context(Load(cluster.backend.run, request))
        begun = time.time()
        for at, words, happens in [*events(cluster, own), (LASTS, "the end", lambda: None)]:
            time.sleep(max(0.0, begun + at - time.time()))
            print(f"{time.time() - begun:4.0f} s: {words}", flush=True)
            happens()
        (folder / "scene.json").write_text(json.dumps({"from": begun, "to": time.time()}))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster.of(backend())
    with step("building the images", "10 s, 4 minutes the first time"):
        output([str(CHECKOUT / "images/build")], env=os.environ | {"TAG": TAG})
        cluster.load(*(f"localhost/wye-{name}:{TAG}" for name in ("operator", "runtime", "router")))
    with cluster.namespace("shop") as own:
        begin(cluster, own)
        watch(cluster, own, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
