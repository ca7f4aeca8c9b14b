"""What `make bench-operator` has that needs no cluster: its table, how it reads /metrics, its Endpoints, its stub."""

from __future__ import annotations

import io

from rich.console import Console

import make
from cluster.scale.figures import Figures, calls_in, less, most_frequent, total, value_in
from cluster.scale.fleet import NAMES, manifests
from cluster.scale.stub import page
from wye_operator.api.deployment import DeploymentSpec
from wye_operator.api.endpoint import EndpointSpec
from wye_operator.render import auth, envoy
from wye_operator.render.kubernetes.place import ROUTER_PLACE
from wye_operator.telemetry import Metrics


def test_what_is_more_than_its_goal_is_missed(capsys):
    figures = Figures()
    figures.add("writes", 0, goal=0)
    figures.add("memory", 251.2, "{:.0f} MB", 250)
    figures.add("reads", 7)
    assert [line.cells() for line in figures.lines] == [
        ("writes", "0", "0", ""),
        ("memory", "251 MB", "250 MB", "missed"),
        ("reads", "7", "", ""),
    ]
    assert "memory: 251 MB (goal 250 MB, missed)" in capsys.readouterr().out
    written = io.StringIO()
    Console(width=80, file=written).print(figures.table("three"))
    assert "251 MB" in written.getvalue()


def test_calls_are_read_from_the_operators_own_figures():
    metrics = Metrics()
    for verb, resource in (("GET", "pods"), ("PATCH", "pods"), ("PATCH", "services"), ("PUT", "leases")):
        metrics.count("wye_api_calls_total", verb=verb, resource=resource)
    before = calls_in(metrics.text())
    assert before == {("GET", "pods"): 1, ("PATCH", "pods"): 1, ("PATCH", "services"): 1}
    assert (total(before), total(before, ("PATCH",))) == (3, 2)
    metrics.count("wye_api_calls_total", by=10, verb="PATCH", resource="pods")
    metrics.count("wye_api_calls_total", by=4, verb="POST", resource="events")
    since = less(calls_in(metrics.text()), before)
    assert since == {("PATCH", "pods"): 10, ("POST", "events"): 4}
    assert most_frequent(since, 2) == [("PATCH pods", 5.0), ("POST events", 2.0)]


def test_a_figure_with_labels_is_the_sum_of_its_lines():
    metrics = Metrics()
    metrics.count("wye_passes_total", by=5, result="done")
    metrics.count("wye_passes_total", by=2, result="failed")
    assert value_in(metrics.text(), "wye_passes_total{") == 7
    assert value_in(metrics.text(), 'wye_passes_total{result="failed"}') == 2
    assert value_in(metrics.text(), "wye_endpoints_waiting ") == 0


def test_its_endpoints_are_valid():
    endpoint, *deployments = manifests("scale-0", "e0000")
    EndpointSpec.model_validate(endpoint["spec"])
    specs = [DeploymentSpec.model_validate(body["spec"]) for body in deployments]
    assert tuple(spec.name for spec in specs) == NAMES
    assert {spec.endpoint_name for spec in specs} == {"e0000"}


def test_the_stub_says_what_a_router_says():
    """The operator reads the versions of the files from it, and takes them for what the router has."""
    spec = {"traffic": {"blue": 60, "green": 40}, "mirrorTraffic": {"violet": 10}}
    _, made = make.settle(make.world(*map(make.deployment, NAMES), spec=spec))
    files = {name: data.decode() for name, data in envoy.route_files(made.router, ROUTER_PLACE).items()}
    said = envoy.taken(page(files, envoy.auth_files(made.router)[auth.FILE].decode()))
    assert said == make.taken_of(made.router)
    assert set(said.endpoints) >= set(NAMES)
