"""Sight: what Prometheus, `wye top`, the access log and callers count is the same, and each alert fires on its fault.

One scene for all: an Endpoint that is well, one that will hurt, and one that will be lost. The rules' minutes are two
seconds here (`prometheus.faster`), and scrapes come each second. By hand (`WYE_E2E=1 .venv/bin/python -m pytest -n 0
--timeout=0 tests/cluster/test_sight.py`): with `WYE_SIGHT=1` all of it, with `WYE_SIGHT_TIMES=1 -k every_query` ten
minutes of silence with the rules as they are written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from cluster import holding, odd, prometheus
from cluster.chart import install
from cluster.faults import hidden_files, standing_still, without
from cluster.harness.machine import backend  # noqa: F401  (named by the mark BARE)
from cluster.harness.places import CHECKOUT
from cluster.harness.say import Refusal
from cluster.kube import Cluster, namespace_name
from cluster.serving import waited
from cluster.sight import (
    EVERYBODY,
    FRAUD,
    PATIENT,
    Sight,
    access_log,
    counted,
    deployment,
    every_series,
    has_data,
    mirrored,
    panels,
    prepare,
)
from wye_operator import figures as f
from wye_operator.cli import top
from wye_operator.cli.main import main

Figure = Callable[[str], None]
BARE = pytest.mark.skipif("backend().name != 'bare'", reason="processes are stopped from outside on `bare` only")
pytestmark = pytest.mark.skipif(
    not os.environ.get("WYE_SIGHT") and not os.environ.get("WYE_SIGHT_TIMES"), reason="it takes minutes: WYE_SIGHT=1"
)
TIMES = int(os.environ.get("WYE_SIGHT_TIMES") or 30)  # faster; 1: as they are written
MINUTE = 60 / TIMES  # one of the rules', in seconds
INTERVAL = f"{30 // TIMES}s"  # of scrapes
MONITORING = ("monitoring.podMonitors.enabled=true", "monitoring.rules.enabled=true")
MEASURED = (*MONITORING, f"monitoring.podMonitors.interval={INTERVAL}", "monitoring.dashboards.enabled=true")
ARTIFACTS = Path(__file__).parent / ".artifacts"
OPERATOR = "wye-system"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def known(cluster: Cluster, operator: str, images: str) -> Iterator[None]:
    """The cluster with the Prometheus operator's definitions, and with the chart's objects of them."""
    cluster.remove_namespaces()  # what still goes away would be a fault to the rules
    files = [f"--filename={each}" for each in prometheus.definitions()]
    cluster.kubectl("apply", "--server-side", *files)
    cluster.kubectl("wait", "--for=condition=Established", *files, "--timeout=30s")
    try:
        install(cluster, images, operator, *MEASURED)
        yield
    finally:
        install(cluster, images, operator)
        cluster.kubectl("delete", *files)


@pytest.fixture(scope="module")
def sight(
    cluster: Cluster, known: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sight]:
    failed, folder = request.session.testsfailed, tmp_path_factory.mktemp("sight")
    with cluster.namespace(namespace_name("sight")) as own:
        prepare(own, folder)
        with prometheus.running(cluster, folder, TIMES, INTERVAL) as seen:
            waited(lambda: seen.value(f'count(up{{namespace=~"{own.name}|{OPERATOR}"}} == 1)') == EVERYBODY)
            yield Sight(own, seen)
        if request.session.testsfailed > failed:
            own.collect(ARTIFACTS / "test_sight")


def test_a_cluster_without_the_definitions_is_told_so_once_and_nothing_changes(
    cluster: Cluster, operator: str, images: str, figure: Figure
):
    before = cluster.json("-n", operator, "get", "deployment", "wye")["metadata"]["generation"]
    with pytest.raises(Refusal) as said:
        install(cluster, images, operator, *MONITORING, "replicas=2")
    figure(f"helm, in a cluster that knows no PodMonitor:\n{str(said.value).partition('ended with')[2]}")
    assert str(said.value).count("does not know PodMonitor") == 1
    assert cluster.json("-n", operator, "get", "deployment", "wye")["metadata"]["generation"] == before


def test_what_everybody_counts_is_the_same(sight: Sight, monkeypatch, capsys, figure: Figure):
    """Of one minute: callers, Prometheus from routers and from models, the access log, and `wye top`, whose window is
    the load. It is no faster than a log whose file kubelet does not yet put aside.
    """
    before, logged, loads = counted(sight), access_log(sight), []

    def window(_: float) -> None:
        with sight.load("fraud", 4, pause=0.05) as load:
            time.sleep(60)
        loads.append(load)

    monkeypatch.setattr(top, "time", SimpleNamespace(sleep=window))
    assert main(["top", "fraud", "--once", "--json", *where(sight)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["unreachable"] == []
    [load] = loads
    assert load.lost == 0, load.losses
    total, more = load.answers.total(), {}

    def all_say_so() -> bool:  # once everything is scraped
        more.update({name: dict(count - before[name]) for name, count in counted(sight).items()})
        more["access log"] = dict(access_log(sight) - logged)
        asked, copies = more["routers, of callers"], more["routers, of copies"]
        answered = (more["routers, of models"], more["models"], more["access log"])
        return (asked, copies) == ({"2": total}, {"violet": total}) and all(each == load.served for each in answered)

    waited(all_say_so, lambda: str(more))
    rates = {row["deployment"]: row["requestsPerSecond"] * told["seconds"] for row in told["rows"]}
    more["wye top"] = {name: round(count) for name, count in rates.items() if name != "violet"}  # it may still be busy
    assert more["wye top"] == {"": total, **load.served}
    figure(f"counted by callers in a minute: {total}, {dict(load.served)}; by all others:")
    for name, count in more.items():
        figure(f"  {name}: {count}")


def where(sight: Sight) -> list[str]:
    return ["-n", sight.namespace.name, "--kubeconfig", str(sight.namespace.cluster.backend.kubeconfig())]


def test_no_caller_can_make_a_series(sight: Sight, figure: Figure):
    """A thousand requests, odd in each of their parts and each in another way, after some that were as odd."""
    fraud = sight.of("fraud")

    def send(first: int, count: int) -> Counter[str]:
        told = sight.namespace.cluster.run(sys.executable, odd.__file__, fraud.url, fraud.key, str(first), str(count))
        return Counter(json.loads(told))

    send(0, 300)
    before = every_series(sight)
    answers = send(300, 1000)
    fresh = every_series(sight) - before
    told = f"series of router and models: {len(before)}, and {len(fresh)} more afterwards"
    figure(f"1,000 odd requests: {dict(answers)}; {told}")
    assert len(answers) > 4
    assert [each for each in fresh if "odd" in each] == []
    assert len(fresh) < 20, fresh  # such as a status that nobody was answered before


def test_every_query_has_data_and_nothing_fires_without_a_fault(sight: Sight, operator: str, figure: Figure):
    """Of each dashboard, as the chart gives them to Grafana; under load on all Endpoints."""
    begun = time.monotonic()
    seen = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    with sight.load("fraud", 4, **seen), sight.load("lost", 1), sight.load("hurt", 1):
        queries = list(panels(sight, operator, f"{6 * MINUTE:.0f}s"))
        missing = list(queries)

        def is_whole() -> bool:
            sight.namespace.apply({**FRAUD, "spec": {**FRAUD["spec"], "description": str(time.monotonic())}})  # a pass
            missing[:] = [query for query in missing if not has_data(sight.seen.query(query))]
            return not missing

        took = waited(is_whole, lambda: str(missing))
        time.sleep(max(0.0, 10 * MINUTE - (time.monotonic() - begun)))
        # a busy machine may hurt for the seconds that are minutes here, and is given time to be well
        if TIMES == 1:
            assert firing(sight) == []
        waited(lambda: not firing(sight), lambda: str(firing(sight)))
    figure(f"{len(queries)} queries of dashboards have data after {took:.1f} s; nothing fired for {10 * MINUTE:.0f} s")
    assert TRACE in {each["labels"]["trace_id"] for each in sight.seen.exemplars(f"{f.ANSWER_TIME}_bucket")}


def firing(sight: Sight) -> list[dict]:
    """What did, of ours or of the operator, in the last ten minutes."""
    ours = f'alertstate="firing", namespace=~"{sight.namespace.name}|"'
    return sight.seen.query(f"count_over_time(ALERTS{{{ours}}}[{10 * MINUTE:.0f}s])")


Alert = tuple[str, str, str]  # its name, the Endpoint, the Deployment
FIRST: set[Alert] = {
    ("WyeErrors", "lost", ""),
    ("WyeNoReadyPod", "lost", "gone"),
    ("WyeNotServing", "lost", ""),
    ("WyeSlow", "hurt", ""),
    ("WyeQueueFull", "hurt", "slow"),
    ("WyeDeploymentFails", "hurt", "slow"),
    ("WyeMirrorDropped", "hurt", "slow"),
    ("WyeRouterBehind", "hurt", ""),
    ("WyeRouterMemory", "fraud", ""),
    ("WyePassesFail", "", ""),
}
THEN: set[Alert] = {("WyeConfigurationRejected", "fraud", ""), ("WyeOperatorStandsStill", "", "")}


@BARE
@pytest.mark.skipif(not os.environ.get("WYE_SIGHT"), reason="it takes all of a machine: WYE_SIGHT=1")
def test_each_alert_fires_on_its_fault(sight: Sight, operator: str, capsys, figure: Figure):
    """A pod that stands still, one that is too slow, rights and files that are missing, and greedy callers; then no
    operator, and a file that Envoy refuses."""
    names = {rule["alert"] for rule in rules()}
    assert {name for name, *_ in FIRST | THEN} == names
    cluster, space = sight.namespace.cluster, sight.namespace
    gone = sight.pod("lost", "gone")
    with alerts(sight) as fired, ExitStack() as faults:
        faults.enter_context(greedy(sight))
        space.apply(mirrored(100))
        waited(lambda: space.json("get", "mle/hurt")["status"].get("mirrorTraffic") == {"slow": 100})
        faults.enter_context(sight.load("hurt", 1))
        faults.enter_context(sight.load("hurt", 20, **{"azureml-model-deployment": "slow"}))
        faults.enter_context(sight.load("lost", 2))
        faults.enter_context(hidden_files(sight.uid("hurt"), "wye-routes"))
        space.apply(mirrored(99))
        faults.enter_context(standing_still(cluster, space.name, gone))
        told = looked_at(sight, capsys)
        assert [each["pod"] for each in told["unreachable"]] == [gone], told["unreachable"]
        assert all(row["requestsPerSecond"] is not None for row in told["rows"] if row["endpoint"] != "lost")
        faults.enter_context(without(cluster, "deployments"))
        space.apply(
            deployment("lost", "gone", instanceCount=2), deployment("fraud", "violet", instanceCount=2, **PATIENT)
        )
        until_fired(FIRST, fired)
    with alerts(sight) as then, no_operator(cluster, operator):
        until_fired(THEN, then, refused_files(sight))
    figure(f"alerts, with the seconds after their fault, where minutes are {MINUTE:g} s:")
    for each, seconds in {**then, **fired}.items():
        figure(f"  {' '.join(each)}: {seconds:.0f}")


def looked_at(sight: Sight, capsys) -> dict:
    """What `wye top` says of the whole namespace."""
    assert main(["top", "--once", "--json", "--window", "0", *where(sight)]) == 0
    return json.loads(capsys.readouterr().out)


def rules() -> list[dict]:
    groups = yaml.safe_load((CHECKOUT / "charts/wye/files/rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@contextmanager
def alerts(sight: Sight) -> Iterator[dict[Alert, float]]:
    """Those that fired since the block began, and after how many seconds."""
    fired: dict[Alert, float] = {}
    ended, begun = threading.Event(), time.monotonic()

    def look() -> None:
        while not ended.wait(0.5):
            for each in sight.seen.alerts():
                alert = each["alertname"], each.get(f.ENDPOINT, ""), each.get(f.DEPLOYMENT, "")
                fired.setdefault(alert, time.monotonic() - begun)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield fired
    finally:
        ended.set()
        thread.join()


def until_fired(wanted: set[Alert], fired: dict[Alert, float], again: Callable[[], None] = lambda: None) -> None:
    """Until each of them did; `again` is done each time that some did not yet."""
    silent = set(wanted)

    def all_did() -> bool:
        again()
        silent.difference_update(fired)
        return not silent

    waited(all_did, lambda: str(silent))


@contextmanager
def greedy(sight: Sight) -> Iterator[None]:
    """Callers who keep the memory of the router of fraud full."""
    fraud = sight.of("fraud")
    host = fraud.url.removeprefix("http://").removesuffix("/score")
    argv = [sys.executable, holding.__file__, host, "80", fraud.key, "blue", "green", "violet"]
    with subprocess.Popen(sight.namespace.cluster.backend.run(argv)) as running:
        try:
            yield
        finally:
            running.terminate()


@contextmanager
def no_operator(cluster: Cluster, operator: str) -> Iterator[None]:
    cluster.kubectl("-n", operator, "scale", "deployment/wye", "--replicas=0")
    try:
        yield
    finally:
        cluster.kubectl("-n", operator, "scale", "deployment/wye", "--replicas=1")
        cluster.kubectl("-n", operator, "rollout", "status", "deployment/wye", "--timeout=60s")


def refused_files(sight: Sight) -> Callable[[], None]:
    """Routes to a cluster that nobody has, and no operator to put them right; kubelet is told of them at each call."""
    router = sight.namespace.json("get", "pod", sight.pod("fraud"))
    [name] = [v["configMap"]["name"] for v in router["spec"]["volumes"] if v["name"] == "wye-routes"]
    routes = sight.namespace.json("get", "configmap", name)["data"]["rds.json"]

    def again() -> None:
        time.sleep(1)
        # another version each time: Envoy does not read again what it has refused
        text = routes.replace('"blue"', '"ghost"').replace('"version_info":"', f'"version_info":"{time.time():.0f}')
        sight.namespace.kubectl(
            "patch", "configmap", name, "--type=merge", "-p", json.dumps({"data": {"rds.json": text}})
        )
        looks = f"wye.dev/test={time.time():.0f}"
        sight.namespace.kubectl("annotate", "--overwrite", "pod", router["metadata"]["name"], looks)

    return again
