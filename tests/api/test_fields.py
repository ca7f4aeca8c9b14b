"""The table of field rules, through `wye validate`; and that no field and no rule is without a case."""

from __future__ import annotations

import argparse
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from wye_operator.api.fields import fields_of, schema_of
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.cli import validate
from wye_operator.cli.reference import rules_of

FOLDER = Path(__file__).parents[1] / "tables" / "fields"
CASES: list[dict[str, Any]] = [
    case for file in sorted(FOLDER.glob("*.yaml")) for case in yaml.safe_load(file.read_text())
]
REFUSED = [case for case in CASES if case["verdict"] == "refused"]


def verdict(manifest: object, folder: Path) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON output of `wye validate` for one manifest."""
    file, out = folder / "manifest.yaml", io.StringIO()
    file.write_text(json.dumps(manifest))
    status = validate.run(argparse.Namespace(paths=[file], output="json"), out)
    return status, json.loads(out.getvalue())


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_table(case: dict[str, Any], tmp_path: Path) -> None:
    status, said = verdict(case["manifest"], tmp_path)
    if case["verdict"] == "accepted":
        assert (status, said["mistakes"]) == (0, [])
    else:
        found = [(mistake["field"], mistake["message"]) for mistake in said["mistakes"]]
        assert (status, found) == (2, [(case["field"], case["sentence"])])


def test_ids_are_unique() -> None:
    ids = [case["id"] for case in CASES]
    assert len(set(ids)) == len(ids)


def general(field: str) -> str:
    """A field with `[]` for every place and NAME for every key of a map of the users' own names."""
    field = re.sub(r"\[\d+\]", "[]", field)
    return re.sub(
        r"^(spec\.(?:traffic|mirrorTraffic|tags|environmentVariables|engine\.(?:provider|session)Options|(?:router\.)?resources\.(?:requests|limits)"
        r"|(?:router\.)?pod\.(?:labels|annotations|nodeSelector)|router\.service\.annotations|expose\.ingress\.annotations"
        r"|token\.(?:issuers\[\]|serviceAccounts)\.claims)|metadata\.(?:labels|annotations))\.[^\[]+",
        r"\1.NAME",
        field,
    )


@pytest.mark.parametrize("model", [Endpoint, Deployment])
def test_every_field_is_refused_once(model: type[Endpoint] | type[Deployment]) -> None:
    refused = {general(case["field"]) for case in REFUSED}
    assert {field.text for field in fields_of(schema_of(model))} - refused == set()


@pytest.mark.parametrize("model", [Endpoint, Deployment])
def test_every_rule_is_broken_once(model: type[Endpoint] | type[Deployment]) -> None:
    def is_broken(field: str, sentence: str) -> bool:
        pattern = ".*" + ".*".join(map(re.escape, sentence.split("…"))) + ".*"
        return any(general(case["field"]) == field and re.fullmatch(pattern, case["sentence"]) for case in REFUSED)

    rules = list(rules_of(schema_of(model)))
    assert len(rules) >= 15
    assert [rule for rule in rules if not is_broken(*rule)] == []


@pytest.mark.parametrize("kind", ["Endpoint", "Deployment"])
def test_every_field_of_spec_is_accepted_once(kind: str) -> None:
    model = {"Endpoint": Endpoint, "Deployment": Deployment}[kind]
    accepted: set[str] = set()
    for case in CASES:
        if case["verdict"] == "accepted":
            accepted |= set(paths_of(case["manifest"]))
    spec = {field.text for field in fields_of(schema_of(model)) if field.path[0] == "spec"}
    assert spec - accepted == set()


def paths_of(value: Any, above: str = "") -> list[str]:
    """The path of every value in a manifest, with `[]` for every place."""
    if isinstance(value, dict):
        below = [(f"{above}.{name}".lstrip("."), item) for name, item in value.items()]
    elif isinstance(value, list):
        below = [(f"{above}[]", item) for item in value]
    else:
        below = []
    return [path for name, item in below for path in (name, *paths_of(item, name))]


def test_cel_names_only_fields_that_exist() -> None:
    """A slip in a rule's CEL would be found only by an API server."""
    for model in (Endpoint, Deployment):
        for schema in objects_in(schema_of(model)):
            for rule in schema.get("x-kubernetes-validations", ()):
                named = set(re.findall(r"self\.([a-zA-Z]+)", rule["rule"] + rule.get("messageExpression", "")))
                named -= {"map", "all"}
                assert named <= set(schema.get("properties", {})), rule
                assert rule["rule"].count("(") == rule["rule"].count(")")
                place = rule.get("fieldPath", "").split(".")
                assert place[-1] == "" or rule_field_exists(schema, place[1:]), rule


def rule_field_exists(schema: Any, names: list[str]) -> bool:
    for name in names:
        schema = schema.get("properties", {}).get(name)
    return schema is not None


def objects_in(schema: Any) -> list[Any]:
    """A schema and all schemas inside it."""
    inside = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return [schema, *(found for part in inside if isinstance(part, dict) for found in objects_in(part))]
