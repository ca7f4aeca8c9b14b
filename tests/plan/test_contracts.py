"""When contracts agree: every request valid for the reference is valid here, and all its outputs are given."""

from __future__ import annotations

import json

import pytest

import make
from wye_operator.api.contract import Contract
from wye_operator.plan.contracts import ContractsDoNotFit, Promise, disagreement, merged, settings_of


def contract(inputs=(), outputs=({"name": "p"},), **more) -> Contract:
    return Contract.model_validate_json(
        json.dumps({"inputs": list(inputs) or [{"name": "a"}], "outputs": list(outputs), **more})
    )


def promise(fields: Contract | None = None, name: str = "fraud", signature=None) -> Promise:
    return Promise(name, fields, signature)


NUMBER = {"name": "a", "type": "number"}
DECISION = {"name": "d", "labels": ["accept", "review"]}

# what callers were promised (inputs, outputs), what this one does, the difference
TABLE = {
    "the same fields": ([NUMBER], [{"name": "p"}], [NUMBER], [{"name": "p"}], ""),
    "tensors, indices and thresholds may differ": (
        [NUMBER],
        [DECISION | {"tensor": "x", "threshold": 0.5}],
        [NUMBER | {"tensor": "t", "index": 3}],
        [DECISION | {"tensor": "y", "index": 1, "threshold": 0.8}],
        "",
    ),
    "a missing input": ([NUMBER, {"name": "b"}], [{"name": "p"}], [NUMBER], [{"name": "p"}], "it has no input b"),
    "an input that callers do not send": (
        [NUMBER],
        [{"name": "p"}],
        [NUMBER, {"name": "b", "type": "number"}],
        [{"name": "p"}],
        "it needs an input b that callers do not send: give it a default",
    ),
    "an input of its own with a default": (
        [NUMBER],
        [{"name": "p"}],
        [NUMBER, {"name": "b", "type": "number", "default": 1}],
        [{"name": "p"}],
        "",
    ),
    "another type": (
        [NUMBER],
        [{"name": "p"}],
        [{"name": "a", "type": "boolean"}],
        [{"name": "p"}],
        "input a is boolean, want number",
    ),
    "a number takes integers": (
        [{"name": "a", "type": "integer"}],
        [{"name": "p"}],
        [NUMBER],
        [{"name": "p"}],
        "",
    ),
    "an integer does not take numbers": (
        [NUMBER],
        [{"name": "p"}],
        [{"name": "a", "type": "integer"}],
        [{"name": "p"}],
        "input a is integer, want number",
    ),
    "a string may be read as a text": (
        [{"name": "a", "type": "string"}],
        [{"name": "p"}],
        [{"name": "a", "type": "text"}],
        [{"name": "p"}],
        "",
    ),
    "a text, which may come as the whole body, not as a string": (
        [{"name": "a", "type": "text"}],
        [{"name": "p"}],
        [{"name": "a", "type": "string"}],
        [{"name": "p"}],
        "input a is string, want text",
    ),
    "a picture is a picture": (
        [{"name": "a", "type": "image"}],
        [{"name": "p"}],
        [{"name": "a", "type": "text"}],
        [{"name": "p"}],
        "input a is text, want image",
    ),
    "no type is a number": ([{"name": "a"}], [{"name": "p"}], [NUMBER], [{"name": "p"}], ""),
    "a higher start": (
        [NUMBER | {"minimum": 0}],
        [{"name": "p"}],
        [NUMBER | {"minimum": 1}],
        [{"name": "p"}],
        "input a starts at 1, want 0",
    ),
    "a start where none was": (
        [NUMBER],
        [{"name": "p"}],
        [NUMBER | {"minimum": 1}],
        [{"name": "p"}],
        "input a starts at 1, want no bound",
    ),
    "a lower end": (
        [NUMBER | {"maximum": 9}],
        [{"name": "p"}],
        [NUMBER | {"maximum": 8}],
        [{"name": "p"}],
        "input a ends at 8, want 9",
    ),
    "a wider range": (
        [NUMBER | {"minimum": 0, "maximum": 9}],
        [{"name": "p"}],
        [NUMBER | {"minimum": -1}],
        [{"name": "p"}],
        "",
    ),
    "fewer values": (
        [{"name": "a", "type": "string", "values": ["web", "shop"]}],
        [{"name": "p"}],
        [{"name": "a", "type": "string", "values": ["web"]}],
        [{"name": "p"}],
        "input a does not take shop",
    ),
    "values where any string was promised": (
        [{"name": "a", "type": "string"}],
        [{"name": "p"}],
        [{"name": "a", "type": "string", "values": ["web"]}],
        [{"name": "p"}],
        "input a takes only web, want any string",
    ),
    "more values in another order": (
        [{"name": "a", "type": "string", "values": ["web", "shop"]}],
        [{"name": "p"}],
        [{"name": "a", "type": "string", "values": ["shop", "web", "phone"]}],
        [{"name": "p"}],
        "",
    ),
    "required where it was optional": (
        [NUMBER | {"default": 1}],
        [{"name": "p"}],
        [NUMBER],
        [{"name": "p"}],
        "input a is required, want it optional: give it a default",
    ),
    "a missing output": ([NUMBER], [{"name": "p"}, DECISION], [NUMBER], [{"name": "p"}], "it gives no output d"),
    "an output more": ([NUMBER], [{"name": "p"}], [NUMBER], [{"name": "p"}, DECISION], ""),
    "a number where labels were promised": (
        [NUMBER],
        [DECISION],
        [NUMBER],
        [{"name": "d"}],
        "output d is a number, want one of accept, review",
    ),
    "other labels": (
        [NUMBER],
        [DECISION],
        [NUMBER],
        [{"name": "d", "labels": ["accept", "reject"]}],
        "output d is one of accept, reject, want one of accept, review",
    ),
    "two differences are both named": (
        [NUMBER],
        [{"name": "p"}],
        [{"name": "a", "type": "boolean"}],
        [{"name": "q"}],
        "input a is boolean, want number; it gives no output p",
    ),
}


@pytest.mark.parametrize(("want_in", "want_out", "is_in", "is_out", "difference"), TABLE.values(), ids=TABLE.keys())
def test_the_difference_of_fields(want_in, want_out, is_in, is_out, difference) -> None:
    assert disagreement(promise(contract(want_in, want_out)), promise(contract(is_in, is_out))) == difference


def test_dropping_unknown_fields_is_a_promise() -> None:
    drops = promise(contract(unknownFields="drop"))
    assert disagreement(drops, promise(contract())) == "it refuses unknown fields, the reference drops them"
    assert disagreement(promise(contract()), drops) == ""


@pytest.mark.parametrize(
    ("promised", "ours", "difference"),
    [
        ({"x": ("FP32", [-1, 7])}, {"x": ("FP32", [-1, 7])}, ""),
        ({"x": ("FP32", [1, 7])}, {"x": ("FP32", [-1, 7])}, ""),
        ({"x": ("FP32", [-1, 7])}, {"x": ("FP32", [1, 7])}, "input x has shape [1, 7], want [-1, 7]"),
        ({"x": ("FP32", [-1, 7])}, {"x": ("FP32", [-1, 7, 1])}, "input x has shape [-1, 7, 1], want [-1, 7]"),
        ({"x": ("FP32", [-1, 7])}, {"x": ("FP64", [-1, 7])}, "input x is FP64, want FP32"),
        (
            {"x": ("FP32", [-1, 7])},
            {"x": ("FP32", [-1, 7]), "z": ("FP32", [1])},
            "it needs an input z that callers do not send",
        ),
    ],
    ids=[
        "the same",
        "a dynamic dimension takes a fixed one",
        "a fixed one takes no dynamic one",
        "another rank",
        "another datatype",
        "an input more",
    ],
)
def test_without_contracts_the_tensors_count(promised, ours, difference) -> None:
    reference, candidate = promise(signature=make.signature(promised)), promise(signature=make.signature(ours))
    assert disagreement(reference, candidate) == difference


def test_one_with_and_one_without_a_contract_do_not_agree() -> None:
    assert disagreement(promise(contract()), promise()) == "it has no contract: give it one with the same fields"
    assert "its /score takes other fields" in disagreement(promise(), promise(contract()))


def test_an_own_server_without_a_signature_agrees() -> None:
    assert disagreement(promise(signature=make.signature()), promise()) == ""


def test_a_deployment_adds_how_its_model_carries_the_endpoints_fields() -> None:
    callers = contract([{"name": "a", "type": "boolean"}], [{"name": "d", "labels": ["n", "y"]}])
    model = contract([{"name": "a", "tensor": "X", "index": 2}], [{"name": "d", "tensor": "P", "threshold": 0.8}])
    assert settings_of(merged(callers, model)) == {
        "inputs": [{"name": "a", "type": "boolean", "tensor": "X", "index": 2}],
        "outputs": [{"name": "d", "labels": ["n", "y"], "tensor": "P", "threshold": 0.8}],
        "unknownFields": "error",
    }


@pytest.mark.parametrize(
    ("callers", "model", "stranger"),
    [
        (
            {"inputs": [{"name": "used_chip"}]},
            {"inputs": [{"name": "usedchip"}]},
            "input usedchip is no field of the Endpoint's contract; did you mean used_chip?",
        ),
        (
            {"inputs": [{"name": "a"}]},
            {"inputs": [{"name": "other"}]},
            "input other is no field of the Endpoint's contract",
        ),
        (
            {"outputs": [{"name": "risk"}]},
            {"outputs": [{"name": "rsk"}]},
            "output rsk is no field of the Endpoint's contract; did you mean risk?",
        ),
    ],
    ids=["a misspelt input", "an input that callers do not send", "a misspelt output"],
)
def test_a_field_that_the_endpoint_does_not_promise_is_named(callers, model, stranger) -> None:
    base = {"inputs": [{"name": "a"}], "outputs": [{"name": "p"}]}
    with pytest.raises(ContractsDoNotFit) as refused:
        merged(*(Contract.model_validate_json(json.dumps(half)) for half in (base | callers, model)))
    assert stranger in str(refused.value)


def test_an_own_output_and_an_own_input_with_a_default_are_fine() -> None:
    own = contract([NUMBER, {"name": "z", "type": "number", "default": 1}], [{"name": "p"}, {"name": "reason"}])
    assert merged(contract([NUMBER]), own) is not None


def test_halves_that_break_a_rule_together_do_not_fit() -> None:
    callers = contract([NUMBER | {"minimum": 5}])
    with pytest.raises(ContractsDoNotFit, match="must not be greater than maximum"):
        merged(callers, contract([{"name": "a", "maximum": 1}]))


@pytest.mark.parametrize(
    ("whole", "gap"),
    [
        ({}, "the contract has no inputs; the contract has no outputs"),
        ({"inputs": [NUMBER]}, "the contract has no outputs"),
        ({"outputs": [{"name": "p"}]}, "the contract has no inputs"),
        (
            {"inputs": [NUMBER], "outputs": [{"name": "d", "threshold": 0.5}]},
            "output d has a threshold and no labels to choose from",
        ),
        (
            {"inputs": [NUMBER], "outputs": [{"name": "d", "thresholds": [0.5]}]},
            "output d has a threshold and no labels to choose from",
        ),
        (
            {"inputs": [{"name": "a", "default": "abc"}], "outputs": [{"name": "p"}]},
            "input a is a number, for it has no type, and its default is not",
        ),
    ],
    ids=["nothing", "no outputs", "no inputs", "a threshold alone", "thresholds alone", "a default of no type"],
)
def test_what_neither_half_says_is_named(whole, gap) -> None:
    half = Contract.model_validate_json(json.dumps(whole))
    for endpoint, deployment in ((half, None), (None, half)):
        with pytest.raises(ContractsDoNotFit, match=gap):
            merged(endpoint, deployment)


def test_an_extra_input_is_a_difference_where_unknown_fields_are_dropped() -> None:
    extra = contract([NUMBER, {"name": "b", "type": "number", "default": 1}], unknownFields="drop")
    assert disagreement(promise(contract([NUMBER], unknownFields="drop")), promise(extra)) == (
        "it reads the field b, which callers may send as they like: the reference drops it"
    )


def test_alone_either_half_is_the_contract() -> None:
    assert merged(None, contract()) == merged(contract(), None) == contract()
    assert merged(None, None) is None
    assert settings_of(None) is None
