"""The names in `figures` are those that runtimes and the operator give out (routers: tests/render/test_stats.py)."""

from __future__ import annotations

import re
from pathlib import Path

import wye_operator
from render.test_stats import ROUTERS
from wye_operator import figures
from wye_operator.cluster.kinds import DEPLOYMENTS, ENDPOINTS
from wye_operator.cluster.showing import shown
from wye_operator.cluster.store import Store
from wye_operator.telemetry import HELP
from wye_runtime import metrics

OPERATORS = [
    *(figures.ENDPOINT_READY, figures.ENDPOINT_SERVING, figures.DEPLOYMENT_READY, figures.REPLICAS),
    *(figures.READY_REPLICAS, figures.PERCENT_ASKED, figures.PERCENT, figures.LEADER, figures.WAITING),
    *(figures.PASSES, figures.PASS_TIME, figures.WAIT_TIME, figures.WRITES, figures.API_CALLS, figures.API_ERRORS),
    *(figures.UNHEARD, figures.OBJECTS),
]
READY = {"type": "Ready", "status": "True", "reason": "Ready"}
SERVING = {"type": "Serving", "status": "False", "reason": "NoReadyPod"}
ENDPOINT = {
    "metadata": {"namespace": "team", "name": "fraud", "resourceVersion": "1"},
    "spec": {"traffic": {"blue": 90, "green": 10}},
    "status": {"conditions": [READY, SERVING], "traffic": {"blue": 100}, "mirrorTraffic": {"violet": 2.5}},
}
DEPLOYMENT = {
    "metadata": {"namespace": "team", "name": "fraud-blue", "resourceVersion": "1"},
    "spec": {"endpointName": "fraud", "name": "blue", "instanceCount": 3},
}


def filled() -> Store:
    """What an operator knows."""
    store = Store()
    store.put(ENDPOINTS, ENDPOINT)
    store.put(DEPLOYMENTS, DEPLOYMENT)
    return store


def test_a_runtime_has_them() -> None:
    page = metrics.Metrics().text()[0].decode()
    assert [name for name in figures.RUNTIME if f"# TYPE {name.removesuffix('_total')}" not in page] == []
    assert (figures.LIVE, figures.MIRROR, figures.CHECK) == (metrics.LIVE, metrics.MIRROR, metrics.CHECK)


def test_the_operator_has_them_and_says_what_they_are() -> None:
    assert [name for name in OPERATORS if name not in HELP] == []


def test_what_the_operator_counts_is_what_its_page_has() -> None:
    sources = [path.read_text() for path in Path(wye_operator.__file__).parent.rglob("*.py")]
    counted = {name for text in sources for name in re.findall(r'\.(?:count|observe|gauge)\(\s*"(\w+)"', text)}
    assert counted | set(shown(filled())) == set(HELP)


def test_each_name_is_asked_of_whoever_gives_it_out() -> None:
    labels = {"NAMESPACE", "ENDPOINT", "DEPLOYMENT", "TRAFFIC", "CODE", "CLASS", "REASON", "ROUTE", "STATUS", "CLUSTER"}
    others = {*labels, "LIVE", "MIRROR", "CHECK", "PARTS", "RUNTIME"}
    constants = [each for name, each in vars(figures).items() if name.isupper() and name not in others]
    named = {name for each in constants for name in (each if isinstance(each, tuple) else (each,))}
    of_routers = {re.sub(f"({'|'.join(figures.PARTS)})$", "", name) for name in ROUTERS}
    assert named == (of_routers | set(OPERATORS) | set(figures.RUNTIME)) - {"process_resident_memory_bytes"}


def test_the_operator_shows_what_users_ask_and_what_is_true() -> None:
    page = {
        (name, *(value for _, value in labels)): v
        for name, each in shown(filled()).items()
        for labels, v in each.items()
    }
    fraud, blue = ("fraud", "team"), ("blue", "fraud", "team")
    assert page == {
        (figures.ENDPOINT_READY, *fraud, "Ready"): 1,
        (figures.ENDPOINT_SERVING, *fraud, "NoReadyPod"): 0,
        (figures.PERCENT_ASKED, *blue, "live"): 90,
        (figures.PERCENT_ASKED, "green", *fraud, "live"): 10,
        (figures.PERCENT, *blue, "live"): 100,
        (figures.PERCENT, "violet", *fraud, "mirror"): 2.5,
        (figures.DEPLOYMENT_READY, *blue, "NotLookedAt"): 0,
        (figures.REPLICAS, *blue): 3,
        (figures.READY_REPLICAS, *blue): 0,
    }
