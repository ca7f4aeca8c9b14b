"""From plain data to a model or to sentences, where a manifest's text cannot lead."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from wye_operator.api.base import byte_count
from wye_operator.api.deployment import DeploymentSpec
from wye_operator.api.endpoint import EndpointSpec
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.api.validation import Invalid, parse, understood


def endpoint(**spec: Any) -> dict[str, object]:
    return {"apiVersion": "wye.dev/v1alpha1", "kind": "Endpoint", "metadata": {"name": "fraud"}, "spec": spec}


def problems(manifest: dict[str, object]) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        parse(manifest)
    return [(problem.field, problem.message) for problem in caught.value.problems]


def deep(levels: int) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(levels - 1):
        nested = {"a": nested}
    return nested


def test_a_manifest_becomes_a_model_with_its_defaults() -> None:
    found = parse(endpoint(traffic={"blue": 100}))
    assert isinstance(found, Endpoint)
    assert found.metadata.namespace == "default"
    assert found.spec == EndpointSpec(traffic={"blue": 100.0})
    assert (found.spec.auth_mode, found.spec.limits.max_request_bytes) == ("Key", "64Mi")


def test_a_deployment_is_called_by_its_object_where_it_has_no_name() -> None:
    spec = {"endpointName": "fraud", "model": {"uri": "file://m"}}
    manifest = {**endpoint(), "kind": "Deployment", "spec": spec}
    found = parse(manifest)
    assert isinstance(found, Deployment)
    assert (found.short_name, found.spec.model.version) == ("fraud", "1")


def test_problems_are_sorted_by_path_and_places_by_number() -> None:
    inputs = [{"name": f"i{place}", "type": "x"} for place in range(11)]
    said = problems(endpoint(failover=1, contract={"inputs": inputs}))
    assert [field for field, _ in said] == [
        *(f"spec.contract.inputs[{place}].type" for place in range(11)),
        "spec.failover",
    ]


def test_the_error_is_a_sentence_too() -> None:
    with pytest.raises(Invalid, match=r"spec\.failover: is 'x'; must be Redistribute or Fail"):
        parse(endpoint(failover="x"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_not_is_refused(value: float) -> None:
    (said,) = problems(endpoint(traffic={"blue": value}))
    assert said[0] == "spec.traffic.blue"
    assert said[1].endswith("must be a number from 0 to 100")


def test_a_long_value_is_cut() -> None:
    ((_, message),) = problems(endpoint(failover="x" * 5000))
    assert message == f"is '{'x' * 59}…; must be Redistribute or Fail"


@pytest.mark.parametrize("kind", [None, 7, [], {}])
def test_a_kind_that_is_no_string(kind: object) -> None:
    assert [field for field, _ in problems({**endpoint(), "kind": kind})] == ["kind"]


def test_nothing_at_all() -> None:
    assert problems({}) == [
        ("apiVersion", "is required: wye.dev/v1alpha1"),
        ("kind", "is required; must be Endpoint or Deployment"),
    ]


@pytest.mark.parametrize(
    ("quantity", "count"),
    [(7, 7), ("7", 7), ("7k", 7000), ("64Mi", 67_108_864), ("1G", 1_000_000_000), ("1Gi", 1_073_741_824)],
)
def test_quantities_are_bytes(quantity: str | int, count: int) -> None:
    assert byte_count(quantity) == count


def test_what_only_wye_can_refuse_is_left_out_and_said() -> None:
    wrong = {"endpointName": "fraud", "model": {"uri": "pvc://m/a"}, "environmentVariables": {"1A": "secret"}}
    spec, said = understood(DeploymentSpec, {**wrong, "instanceCount": 2})
    assert (spec.environment_variables, spec.instance_count) == (None, 2)
    assert said.startswith("spec.environmentVariables.1A is no name to use here; must be letters")
    assert understood(DeploymentSpec, {"endpointName": "fraud", "model": {"uri": "pvc://m/a"}})[1] == ""


@pytest.mark.parametrize("levels", [150, 900, 9_900])
def test_what_is_nested_too_deeply_is_left_out_and_said(levels: int) -> None:
    """An API server takes 10,000 levels where the schema is open."""
    wrong = {"endpointName": "fraud", "model": {"uri": "pvc://m/a"}, "warmup": {"input": deep(levels)}}
    spec, said = understood(DeploymentSpec, wrong)
    assert spec.warmup.input is None
    assert said == "spec.warmup is nested too deeply: at most 100 levels"


def test_a_manifest_that_is_nested_too_deeply() -> None:
    assert problems(
        {**endpoint(), "kind": "Deployment", "spec": {"endpointName": "a", "warmup": {"input": deep(150)}}}
    ) == [("spec.warmup", "is nested too deeply: at most 100 levels")]


def test_a_spec_of_another_version_is_an_error() -> None:
    with pytest.raises(ValidationError):
        understood(DeploymentSpec, {"endpointName": "fraud", "model": {"uri": "zz://m"}})
