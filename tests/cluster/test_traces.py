"""Traces in a cluster: switched on under load, one request seen whole at the real Collector, and switched off again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from cluster.harness.build import COLLECTOR, build
from cluster.kube import Cluster
from cluster.serving import BODY, Served, deployment, endpoint, waited
from collecting import Real, parents, real

Figure = Callable[[str], None]
PORT = 7318
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROUTER, MODEL, RUN = "route split of fraud-router", "/score of fraud-blue", "run of fraud-blue"
BATCH = "batch of fraud-blue"
ASK = """
import sys, urllib.request
url, key, body, traceparent = sys.argv[1:]
headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}", "traceparent": traceparent}
with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=30) as answer:
    print(answer.status)
"""


@pytest.fixture(scope="module")
def collector(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """At the node's address, which pods reach."""
    addresses = cluster.json("get", "nodes")["items"][0]["status"]["addresses"]
    host = next(a["address"] for a in addresses if a["type"] == "InternalIP" and "." in a["address"])
    program, folder = build(COLLECTOR) / "collector", tmp_path_factory.mktemp("collector")
    with real(program, folder, f"{host}:{PORT}", cluster.backend.run) as running:
        yield running


def test_a_trace_is_seen_whole_and_switching_it_on_loses_nothing(
    served: Served, collector: Real, figure: Figure
) -> None:
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"))
    served.answered(served.key)
    tracing = {"endpoint": collector.url, "samplingPercent": 1, "callerSamplingPercent": 100}
    with served.load() as load:
        before = set(served.pods("model")) | set(served.pods("router"))
        served.apply(endpoint(traffic={"blue": 100}, tracing=tracing))
        waited(lambda: not before & (set(served.pods("model")) | set(served.pods("router"))))
        served.ready()
        told = (served.url, served.key, BODY, f"00-{TRACE}-{PARENT}-01")

        def is_seen() -> bool:
            """Asked again: a router or a model that is leaving, which knows no traces, may have answered before."""
            assert served.namespace.cluster.run(sys.executable, "-c", ASK, *told).strip() == "200"
            found = parents([span for span in collector.spans() if span["traceId"] == TRACE])
            # under load it may have run in company
            alone_or_not = (RUN, MODEL) in found or (RUN, BATCH) in found
            return (ROUTER, "") in found and (MODEL, ROUTER) in found and alone_or_not

        waited(is_seen)
        waited(lambda: len(collector.spans()) > 30)
        served.apply(endpoint(traffic={"blue": 100}))
    asked = load.answers.total()
    figure(f"traces switched on, 1 % sampled, and off again under load: lost {load.lost} of {asked}")
    served.lost_nothing(load)
