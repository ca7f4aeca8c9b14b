"""The CustomResourceDefinitions: checked in, small, structural, with what kubectl needs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from wye_operator.api.fields import fields_of, schema_of
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.cli import crds
from wye_operator.cli.main import main

CHECKED_IN = Path(__file__).parents[2] / "crds"
ENDPOINTS, DEPLOYMENTS = (yaml.safe_load(text) for text in crds.files().values())
BOTH = pytest.mark.parametrize("made", [ENDPOINTS, DEPLOYMENTS], ids=["Endpoint", "Deployment"])
OF_KUBERNETES = {
    *("x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    *("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-map-type"),
}


def schema(made: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return whole


def inside(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema and all schemas in it."""
    yield part
    below = [*part.get("properties", {}).values(), part.get("items"), part.get("additionalProperties")]
    for child in below:
        if isinstance(child, dict):
            yield from inside(child)


def test_those_that_are_checked_in_are_these(tmp_path: Path) -> None:
    assert main(["crds", str(tmp_path / "made")]) == 0
    made = {file.name: file.read_text() for file in (tmp_path / "made").iterdir()}
    assert made == {file.name: file.read_text() for file in CHECKED_IN.glob("wye.dev_*.yaml")}
    assert set(made) == {"wye.dev_mlendpoints.yaml", "wye.dev_mldeployments.yaml"}


def test_without_a_folder_they_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert crds.run(argparse.Namespace(directory=None)) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == [ENDPOINTS, DEPLOYMENTS]


def test_each_is_below_64_kib() -> None:
    assert {name: len(text.encode()) for name, text in crds.files().items() if len(text.encode()) >= 65_536} == {}


@BOTH
def test_schemas_are_structural(made: dict[str, Any]) -> None:
    for part in inside(schema(made)):
        assert part.get("additionalProperties") is not False
        assert "pattern" not in part or part.get("x-kubernetes-int-or-string")
        typed = part.keys() & {"type", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"}
        assert typed
        assert {key for key in part if key.startswith("x-")} <= OF_KUBERNETES
        assert not part.keys() & {"anyOf", "$ref", "const", "propertyNames", "title"}


@BOTH
def test_every_list_says_what_identifies_its_items_where_it_can(made: dict[str, Any]) -> None:
    for part in inside(schema(made)):
        if part.get("x-kubernetes-list-type") == "map":
            assert set(part["x-kubernetes-list-map-keys"]) <= set(part["items"]["required"])


@BOTH
def test_every_rule_has_a_sentence(made: dict[str, Any]) -> None:
    rules = [rule for part in inside(schema(made)) for rule in part.get("x-kubernetes-validations", ())]
    assert len(rules) >= 15
    assert [rule for rule in rules if not rule["message"] or len(rule["message"]) > 300] == []


@pytest.mark.parametrize(("model", "made"), [(Endpoint, ENDPOINTS), (Deployment, DEPLOYMENTS)])
def test_every_field_is_there_with_its_description(model: type, made: dict[str, Any]) -> None:
    def described(whole: Any) -> set[str]:
        return {field.text for field in fields_of(whole)}

    written = {field.text for field in fields_of(schema_of(model)) if field.path[0] == "spec"}
    assert written - described(schema(made)) == set()


def test_defaults_stand_in_the_definition_and_not_in_maps() -> None:
    spec = schema(DEPLOYMENTS)["properties"]["spec"]["properties"]
    assert (spec["instanceCount"]["default"], spec["engine"]["properties"]["provider"]["default"]) == (1, "Auto")
    assert "default" not in spec["engine"]
    assert schema(ENDPOINTS)["properties"]["spec"]["default"] == {}


def test_weights_belong_to_one_owner_as_a_whole() -> None:
    """Server-side apply of one person's weights into another's would make a third split."""
    whole = schema(ENDPOINTS)["properties"]
    for part, name in ((p, n) for p in ("spec", "status") for n in ("traffic", "mirrorTraffic")):
        assert whole[part]["properties"][name]["x-kubernetes-map-type"] == "atomic"


@BOTH
def test_an_object_that_nobody_looked_at_yet_says_so(made: dict[str, Any]) -> None:
    """kstatus calls an object without a status "Current": Flux would go on before there is anything."""
    assert schema(made)["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_what_cannot_change() -> None:
    rules = schema(DEPLOYMENTS)["properties"]["spec"]["x-kubernetes-validations"]
    fixed = {rule["fieldPath"]: rule["rule"] for rule in rules if "oldSelf" in rule["rule"]}
    assert set(fixed) == {".endpointName", ".name"}
    assert fixed[".name"].startswith("has(self.name) == has(oldSelf.name)")


@BOTH
def test_what_kubectl_shows(made: dict[str, Any]) -> None:
    columns = {
        "mlendpoints": "Ready Serving Traffic Mirror URL Age",
        "mldeployments": "Endpoint Ready Replicas Traffic Model Age",
    }
    names, version = made["spec"]["names"], made["spec"]["versions"][0]
    shown = [c["name"] for c in version["additionalPrinterColumns"] if not c.get("priority")]
    assert " ".join(shown) == columns[names["plural"]]
    assert (names["categories"], names["shortNames"]) == (["wye"], [names["plural"][:2] + names["plural"][2]])
    assert version["subresources"]["status"] == {}


def test_scale_and_selectable_field() -> None:
    version = DEPLOYMENTS["spec"]["versions"][0]
    assert version["subresources"]["scale"] == {
        "specReplicasPath": ".spec.instanceCount",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    assert version["selectableFields"] == [{"jsonPath": ".spec.endpointName"}]
