"""The CRDs in a real API server: they install, explain themselves, and show what a person wants to see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.kube import Cluster, Namespace

FOLDER = Path(__file__).parents[2] / "crds"
FILES = sorted(FOLDER.glob("*.yaml"))
KINDS = {"mlendpoints": ("mle", "Endpoint"), "mldeployments": ("mld", "Deployment")}
API = "wye.dev/v1alpha1"
EXAMPLES = [f for f in sorted(FOLDER.parent.glob("examples/**/*.yaml")) if f"apiVersion: {API}" in f.read_text()]


def endpoint(name: str = "fraud", **spec) -> dict:
    return {"apiVersion": API, "kind": "Endpoint", "metadata": {"name": name}, "spec": spec}


def deployment(called: str = "fraud-blue", **spec) -> dict:
    base = {"endpointName": "fraud", "model": {"uri": "configmap://models/blue.onnx"}}
    return {"apiVersion": API, "kind": "Deployment", "metadata": {"name": called}, "spec": base | spec}


@pytest.fixture
def own(crds: Cluster, namespace: Namespace) -> Namespace:
    """A namespace in a cluster that has the CRDs."""
    return namespace


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_crd_stays_below_64_KiB_so_that_it_fits_anywhere(file: Path):
    assert file.stat().st_size < 64 * 1024


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_the_api_server_takes_every_example(own: Namespace, file: Path):
    assert "(server dry run)" in own.kubectl("apply", "--dry-run=server", "-f", str(file))


def test_both_kinds_are_there_and_established(crds: Cluster):
    assert {file.stem.partition("_")[2] for file in FILES} == set(KINDS)
    for plural in KINDS:
        found = crds.json("get", "crd", f"{plural}.wye.dev")
        conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert conditions["NamesAccepted"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("plural", KINDS)
def test_short_names_and_category_lead_to_both_kinds(own: Namespace, plural: str):
    own.apply(endpoint(), deployment())
    short, _ = KINDS[plural]
    assert own.kubectl("get", short, "-o", "name") == own.kubectl("get", plural, "-o", "name") != ""
    both = own.kubectl("get", "wye", "-o", "name").split()
    assert sorted(both) == ["deployment.wye.dev/fraud-blue", "endpoint.wye.dev/fraud"]


def test_kubectl_get_deployment_still_means_apps(own: Namespace):
    own.apply(deployment())
    assert own.attempt("get", "deployments").stdout == ""


@pytest.mark.parametrize(
    ("plural", "columns"),
    [
        ("mlendpoints", "NAME READY SERVING TRAFFIC MIRROR URL AGE REASON"),
        ("mldeployments", "NAME ENDPOINT READY REPLICAS TRAFFIC MODEL AGE"),
    ],
)
def test_the_columns_of_get(own: Namespace, plural: str, columns: str):
    own.apply(endpoint(), deployment())
    header = own.kubectl("get", plural, "-o", "wide").splitlines()[0].split()
    assert header[: len(columns.split())] == columns.split()


@pytest.mark.parametrize("plural", KINDS)
def test_explain_describes_every_field(crds: Cluster, plural: str):
    said = crds.kubectl("explain", f"{plural}.spec", "--recursive=false")
    assert "<no description>" not in said
    assert "<no description>" not in crds.kubectl("explain", f"{plural}.spec.contract.inputs")


def test_the_table_of_columns_shows_the_values(own: Namespace):
    own.apply(endpoint(), deployment())
    status = {"trafficText": "blue=90 green=10", "scoringUri": "http://fraud", "conditions": [_ready()]}
    patch = json.dumps({"status": status})
    own.kubectl("patch", "mle", "fraud", "--subresource=status", "--type=merge", "-p", patch)
    row = own.kubectl("get", "mle", "--no-headers")
    assert "True" in row
    assert "blue=90 green=10" in row
    assert "http://fraud" in row


def _ready() -> dict:
    return {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "as asked",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("field", "first", "then"),
    [
        ("endpointName", {}, {"endpointName": "phishing"}),
        ("name", {"name": "blue"}, {"name": "green"}),
        ("name", {"name": "blue"}, {}),
        ("name", {}, {"name": "blue"}),
    ],
    ids=["another endpoint", "another name", "name removed", "name added"],
)
def test_what_is_immutable_cannot_be_changed(own: Namespace, field: str, first: dict, then: dict):
    own.apply(deployment(**first))
    done = own.attempt("replace", "-f", "-", stdin=json.dumps(deployment(**then)))
    assert done.returncode == 1
    assert f"spec.{field}: Invalid value: cannot change" in done.stderr


def test_what_is_not_immutable_can_be_changed(own: Namespace):
    own.apply(deployment(name="blue", instanceCount=1))
    own.apply(deployment(name="blue", instanceCount=3))
    assert own.json("get", "mld", "fraud-blue")["spec"]["instanceCount"] == 3


def test_kubectl_scale_writes_instanceCount(own: Namespace):
    own.apply(deployment())
    own.kubectl("scale", "mld/fraud-blue", "--replicas=4")
    assert own.json("get", "mld", "fraud-blue")["spec"]["instanceCount"] == 4


def test_deployments_can_be_selected_by_their_endpoint(own: Namespace):
    own.apply(deployment(), deployment("phishing-a", endpointName="phishing"))
    found = own.kubectl("get", "mld", "--field-selector", "spec.endpointName=phishing", "-o", "name")
    assert found.split() == ["deployment.wye.dev/phishing-a"]


def test_applying_the_same_files_again_changes_nothing(own: Namespace):
    objects = (endpoint(traffic={"blue": 100}), deployment(name="blue", resources={"requests": {"cpu": "1"}}))
    own.apply(*objects)
    own.apply(*objects)  # while nobody wrote a status, the second apply stores the status' default
    before = [item["metadata"]["resourceVersion"] for item in own.json("get", "wye")["items"]]
    manifest = "\n---\n".join(json.dumps(item) for item in objects)
    assert own.kubectl("diff", "--server-side", "-f", "-", stdin=manifest) == ""
    own.apply(*objects)
    assert [item["metadata"]["resourceVersion"] for item in own.json("get", "wye")["items"]] == before


def test_a_status_is_written_by_its_own_manager_and_leaves_spec_alone(own: Namespace):
    own.apply(endpoint(traffic={"blue": 100}))
    before = own.json("get", "mle", "fraud")
    body = {"apiVersion": API, "kind": "Endpoint", "metadata": {"name": "fraud"}, "status": {"scoringUri": "http://x"}}
    words = ("apply", "--server-side", "--subresource=status", "--field-manager=wye", "-f", "-")
    own.kubectl(*words, stdin=json.dumps(body))
    after = own.json("get", "mle", "fraud")
    assert after["status"]["scoringUri"] == "http://x"
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
