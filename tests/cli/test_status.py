"""`wye status`, as a person types it."""

from __future__ import annotations

import io

import pytest

from wye_operator.cli import status
from wye_operator.cli.main import main

from .things import deployment, endpoint, pod, router


@pytest.fixture
def fraud(server):
    server.add("mlendpoints", endpoint(spec={"traffic": {"blue": 100}}, status={"traffic": {"blue": 100}}))
    server.add("mldeployments", deployment())
    server.add("pods", router(), pod("fraud-blue"))


def test_all_is_ready(fraud, config, wye):
    assert wye("status") == 0
    assert wye.err == ""
    lines = wye.out.splitlines()
    assert lines[0].split() == ["fraud", "Ready", "serving", "http://fraud.team.svc/score"]
    assert [line.split()[1] for line in lines[1:]] == ["router", "└──", "blue", "fraud-blue-model-1"]


def test_something_that_is_not_ready_is_exit_code_3(fraud, config, wye, server):
    server.add(
        "mldeployments", deployment("fraud-green", "PodsStarting", "0 of 1 instances of this revision are ready")
    )
    assert wye("status") == 3
    assert "0 of 1 instances of this revision are ready" in wye.out
    assert wye("status", "-o", "json") == 3


def test_one_endpoint_is_asked_for_by_name_with_what_is_its_own(fraud, config, wye, server):
    server.add("mlendpoints", endpoint("other"))
    server.add("mldeployments", deployment("other-blue", "ModelInvalid", of="other"))
    server.add("pods", pod("other-blue", of="other"))
    for name in ("fraud", "mle/fraud"):
        assert wye("status", name) == 0
        assert "other" not in wye.out
    selectors = [query.get("fieldSelector") or query.get("labelSelector") for _, query in server.asked if query]
    assert selectors[:2] == ["spec.endpointName=fraud", "app.kubernetes.io/managed-by=wye,wye.dev/endpoint=fraud"]


def test_as_data_it_is_the_same_in_camel_case(fraud, config, wye):
    assert wye("status", "fraud", "-o", "json") == 0
    [one] = wye.data["endpoints"]
    assert wye.data["ready"] is one["ready"] is True
    assert (one["namespace"], one["name"], one["exists"], one["serving"]) == ("team", "fraud", True, "Serving")
    [behind] = one["deployments"]
    assert behind["traffic"] == {"effect": 100.0, "asked": 100.0}
    assert behind["readyReplicas"] == 1
    assert behind["verdict"] == {"ready": True, "reason": "Ready", "message": ""}
    assert [p["name"] for p in behind["pods"]] == ["fraud-blue-model-1"]


def test_an_endpoint_that_is_not_there_is_told_with_those_that_are(fraud, config, wye):
    assert wye("status", "fruad") == 1
    assert wye.err == "wye: there is no Endpoint fruad in namespace team of context dev; there is: fraud\n"
    assert wye("status", "fraud", "-n", "empty") == 1
    assert wye.err == (
        "wye: there is no Endpoint fraud in namespace empty of context dev; there is none; -n names another one\n"
    )


def test_an_endpoint_that_only_a_deployment_names_is_shown(config, wye, server):
    server.add("mldeployments", deployment("lonely", "EndpointNotFound", "create it", of="nowhere"))
    assert wye("status", "nowhere") == 3
    assert "nowhere  EndpointNotFound" in wye.out
    assert wye("status") == 3


def test_nothing_at_all_is_told_and_is_no_failure(config, wye):
    assert wye("status") == 0
    assert (wye.out, wye.err) == ("", "there is no Endpoint in namespace team; -A looks in all (context dev)\n")
    assert wye("status", "-A") == 0
    assert wye.err == "there is no Endpoint in any namespace (context dev)\n"


def test_all_namespaces(fraud, config, wye, server):
    other = endpoint("fraud")
    other["metadata"]["namespace"] = "shop"
    server.add("mlendpoints", other)
    assert wye("status", "-A") == 0
    assert [line.split()[0] for line in wye.out.splitlines() if line and line[0].isalpha()] == [
        "shop/fraud",
        "team/fraud",
    ]


def test_pods_that_may_not_be_listed_are_left_out_and_that_is_said(fraud, config, wye, server):
    server.forbidden.add("pods")
    assert wye("status") == 0
    assert "blue (fraud-blue)" in wye.out
    assert wye.err.startswith('wye: pods are not shown: User "me" cannot list resource "pods"')
    assert wye("status", "-o", "json") == 0
    assert wye.data["ready"]
    assert wye.err.startswith("wye: pods are not shown: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a/fraud"], "a/fraud is no Endpoint's name; for the twin of a folder: wye local status a/fraud\n"),
        (["fraud", "-A"], "an Endpoint's name and -A do not go together: name its namespace with -n"),
        (["--watch", "-o", "json"], "--watch draws trees: leave -o json out"),
    ],
)
def test_what_does_not_go_together_is_said(config, wye, arguments, sentence):
    assert wye("status", *arguments) == 1
    assert wye.err.startswith(f"wye: {sentence}")


def test_watch_draws_again_when_something_changes_and_outlives_an_error(fraud, config, wye, server, monkeypatch):
    def later(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            server.add("mldeployments", deployment("fraud-green", "PodsStarting", "almost"))
        if len(looks) == 3:
            server.broken = True
        if len(looks) == 4:
            raise KeyboardInterrupt

    looks: list[float] = []
    monkeypatch.setattr(status.time, "sleep", later)
    assert wye("status", "--watch") == 130
    assert wye.out.count("http://fraud.team.svc/score") == 2
    assert wye.out.count("almost") == 1
    assert wye.out.endswith("wye: context dev answers 503 for mlendpoints; asking again\n\n")
    assert looks == [2.0] * 4


def test_a_pipe_that_knows_no_unicode_gets_plain_guides(fraud, config, monkeypatch):
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", pipe)
    assert main(["status"]) == 0
    pipe.flush()
    assert b"|-- router" in pipe.buffer.getvalue()
