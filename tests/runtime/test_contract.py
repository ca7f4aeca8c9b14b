"""A contract and a model's tensors, brought together without a server: which field goes where, what does not fit."""

import numpy as np
import pytest

from wye_runtime import codecs
from wye_runtime.codecs import score
from wye_runtime.contract import bound, parse, scored
from wye_runtime.errors import ConfigError, InvalidInput, ModelError, ModelInvalid
from wye_runtime.protocol import Signature, TensorSpec

Y = TensorSpec("y", "FP32", (-1, 1))


def number(name, **more):
    return {"name": name, "type": "number", **more}


def fitted(inputs, outputs, takes, gives=(Y,), **more):
    declared = parse({"inputs": inputs, "outputs": outputs, **more})
    return bound(declared, Signature(tuple(takes), tuple(gives)))


def fed(contract, *instances):
    return {name: array.tolist() for name, array in contract.batches(instances, is_list=True)[0].items()}


def answered(output, array, gives, count=None):
    spec = TensorSpec("y", *gives)
    contract = fitted([number("a")], [{"name": "out", **output}], [TensorSpec("x", "FP32", (-1, 1))], [spec])
    answers = contract.answers({"y": np.array(array)}, len(array) if count is None else count)
    return [each["out"] for each in answers]


AB, C = TensorSpec("ab", "FP32", (-1, 2)), TensorSpec("c", "INT64", (-1,))
OUT = [{"name": "y"}]


def test_the_largest_number_of_a_tensor_is_taken_in_its_shortest_form():
    contract = fitted([number("a")], OUT, [TensorSpec("x", "FP32", (-1, 1))])
    assert fed(contract, {"a": 3.4028235e38})["x"] == [[np.finfo(np.float32).max]]
    with pytest.raises(InvalidInput, match="expected a number that fits into FP32, got 3.5e"):
        fed(contract, {"a": 3.5e38})


def test_integers_and_their_bounds_are_exact_beyond_2_to_the_53():
    field = {"name": "a", "type": "integer", "minimum": 2**53 + 1, "maximum": 2**53 + 3}
    contract = fitted([field], OUT, [TensorSpec("x", "INT64", (-1, 1))])
    assert fed(contract, {"a": 2**53 + 3})["x"] == [[2**53 + 3]]
    for outside in (2**53, 2**53 + 4):
        with pytest.raises(InvalidInput, match="from 9007199254740993 to 9007199254740995"):
            fed(contract, {"a": outside})


def test_fields_fill_columns_in_tensor_order():
    contract = fitted([number("p"), number("q"), {"name": "r", "type": "integer"}], OUT, [AB, C])
    assert fed(contract, {"p": 1, "q": 2, "r": 3}, {"p": 4, "q": 5, "r": 6}) == {"ab": [[1, 2], [4, 5]], "c": [3, 6]}


def test_a_named_slot_is_taken_and_the_others_fill_the_rest():
    fields = [{"name": "r", "type": "integer"}, number("p", tensor="ab", index=1), number("q", tensor="ab")]
    contract = fitted([fields[1], fields[2], fields[0]], OUT, [AB, C])
    assert fed(contract, {"p": 1, "q": 2, "r": 3}) == {"ab": [[2, 1]], "c": [3]}


def test_a_dynamic_width_takes_the_rest_of_the_fields():
    contract = fitted([number(name) for name in "abc"], OUT, [TensorSpec("x", "FP32", (-1, -1))])
    assert fed(contract, {"a": 1, "b": 2, "c": 3}) == {"x": [[1, 2, 3]]}


def test_booleans_and_values_become_numbers():
    fields = [{"name": "p", "type": "boolean"}, {"name": "q", "type": "string", "values": ["x", "y"]}]
    assert fed(fitted(fields, OUT, [AB]), {"p": True, "q": "y"}) == {"ab": [[1, 1]]}


def test_a_boolean_tensor_stays_one():
    contract = fitted([{"name": "p", "type": "boolean"}], OUT, [TensorSpec("x", "BOOL", (-1, 1))])
    assert fed(contract, {"p": True}) == {"x": [[True]]}


def test_an_integer_is_bounded_by_its_tensor():
    contract = fitted([{"name": "p", "type": "integer"}], OUT, [TensorSpec("x", "INT8", (-1,))])
    with pytest.raises(InvalidInput, match="an integer from -128 to 127, got 128"):
        contract.batches([{"p": 128}], is_list=False)


def test_one_instance_a_run_where_the_batch_is_fixed():
    contract = fitted([number("p")], OUT, [TensorSpec("x", "FP32", (1, 1))])
    assert len(contract.batches([{"p": 1}, {"p": 2}], is_list=True)) == 2


@pytest.mark.parametrize(
    ("inputs", "takes", "message"),
    [
        ([number("a")], [AB], "has 1 input fields, the model takes ab"),
        ([number(n) for n in "abc"], [AB], "has 3 input fields, the model takes ab"),
        (
            [number("a")],
            [TensorSpec("x", "FP32", (-1, 3, 224, 224))],
            r"cannot fill the model's input x \(FP32 \[-1, 3",
        ),
        ([number("a")], [TensorSpec("x", "FP32", (7,))], r"want \[\], \[N\] or \[N, k\]"),
        ([number("a", tensor="z"), number("b")], [AB], "names z: the model does not have it"),
        ([number("a", tensor="ab", index=2), number("b")], [AB], r"names ab\[2\]: the model does not have it"),
        ([number("a", tensor="ab", index=0), number("b", tensor="ab", index=0)], [AB], "another field has it"),
        ([{"name": "a", "type": "string"}], [TensorSpec("x", "FP32", (-1, 1))], "give the string's values"),
        (
            [{"name": "a", "type": "string", "values": ["no", "yes"]}],
            [TensorSpec("x", "BOOL", (-1, 1))],
            "is a string, .* want a boolean",
        ),
        ([number("a")], [TensorSpec("x", "BYTES", (-1, 1))], "want a string"),
        ([number("a")], [C], "want an integer"),
        ([number("a")], [TensorSpec("x", "BOOL", (-1, 1))], "want a boolean"),
        (
            [number("a", default="x")],
            [TensorSpec("x", "FP32", (-1, 1))],
            "the default of the field a: expected a number",
        ),
    ],
)
def test_inputs_that_do_not_fit_the_model(inputs, takes, message):
    with pytest.raises(ModelInvalid, match=message):
        fitted(inputs, OUT, takes)


OUTPUTS = {
    "a number": ({}, [[0.5], [2]], ("FP32", (-1, 1)), [0.5, 2.0]),
    "a number of [N]": ({}, [0.5, 2], ("FP32", (-1,)), [0.5, 2.0]),
    "an index": ({"index": 1}, [[1.0, 2.0]], ("FP32", (-1, 2)), [2.0]),
    "at the threshold": (
        {"threshold": 0.7, "labels": ["no", "yes"]},
        [[0.7], [0.69]],
        ("FP32", (-1, 1)),
        ["yes", "no"],
    ),
    "NaN has no label": ({"threshold": 0.7, "labels": ["no", "yes"]}, [[np.nan]], ("FP32", (-1, 1)), [None]),
    "an integer's threshold": ({"threshold": 1.5, "labels": ["no", "yes"]}, [1, 2], ("INT64", (-1,)), ["no", "yes"]),
    "a scale": (
        {"thresholds": [1, 2, 3], "labels": ["a", "b", "c", "d"]},
        [[0.5], [1], [2.5], [9]],
        ("FP64", (-1, 1)),
        ["a", "b", "c", "d"],
    ),
    "the highest score": ({"labels": ["a", "b"]}, [[1, 2], [3, 2]], ("FP32", (-1, 2)), ["b", "a"]),
    "scores of a dynamic width": ({"labels": ["a", "b"]}, [[1, 2]], ("FP32", (-1, -1)), ["b"]),
    "the label at an index": ({"labels": ["a", "b"]}, [1, 0], ("INT64", (-1,)), ["b", "a"]),
    "a string": ({}, ["u", "v"], ("BYTES", (-1,)), ["u", "v"]),
    "a boolean": ({}, [True, False], ("BOOL", (-1,)), [True, False]),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_outputs(case):
    output, array, gives, want = OUTPUTS[case]
    dtype = {"FP32": np.float32, "BYTES": object}.get(gives[0])
    got = answered(output, np.array(array, dtype), gives)
    assert [each if isinstance(each, str | bool | None) else each.item() for each in got] == want


def test_a_row_of_values_is_a_list():
    assert [row.tolist() for row in answered({}, [[1.0, 2.0]], ("FP32", (-1, 2)))] == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("output", "gives", "message"),
    [
        ({"tensor": "z"}, ("FP32", (-1, 1)), r"names z, the model's outputs are y \(FP32 \[-1, 1\]\)"),
        ({"index": 2}, ("FP32", (-1, 2)), "index 2 is outside"),
        ({"threshold": 1, "labels": ["a", "b"]}, ("FP32", (-1, 2)), "name the index"),
        ({"threshold": 1, "labels": ["a", "b"]}, ("BYTES", (-1,)), "need numbers"),
        ({"labels": ["a", "b"]}, ("FP32", (-1, 3)), "3 scores for 2 labels"),
        ({"labels": ["a", "b"]}, ("FP32", (-1, 1)), "1 scores for 2 labels"),
        ({"labels": ["a", "b"]}, ("BYTES", (-1,)), "a score for each label"),
    ],
)
def test_outputs_that_do_not_fit_the_model(output, gives, message):
    with pytest.raises(ModelInvalid, match=message):
        answered(output, [], gives)


def test_outputs_are_never_taken_by_their_place():
    gives = [TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 2))]
    with pytest.raises(ModelInvalid, match="the contract's output u names no tensor.*label.*probabilities"):
        fitted([number("a")], [{"name": "u"}, {"name": "v"}], [TensorSpec("x", "FP32", (-1, 1))], gives)


def test_the_only_output_needs_no_name():
    gives = [TensorSpec("probability", "FP32", (-1, 1))]
    fitted([number("a")], [{"name": "u"}, {"name": "v"}], [TensorSpec("x", "FP32", (-1, 1))], gives)


@pytest.mark.parametrize(
    ("output", "array", "gives", "count"),
    [
        ({"labels": ["a", "b"]}, [2], ("INT64", (-1,)), 1),
        ({"labels": ["a", "b"]}, [[1, 2, 3]], ("FP32", (-1, -1)), 1),
        ({}, [[1.0]], ("FP32", (-1, 1)), 2),
        ({"index": 1}, [[1.0]], ("FP32", (-1, -1)), 1),
    ],
)
def test_a_model_that_breaks_its_contract_fails(output, array, gives, count):
    with pytest.raises(ModelError):
        answered(output, array, gives, count)


GOOD = {"inputs": [number("a")], "outputs": [{"name": "y"}]}


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ({**GOOD, "more": 1}, "contract has unknown keys more"),
        ({**GOOD, "unknownFields": "keep"}, "want error or drop"),
        ({**GOOD, "inputs": []}, "contract.inputs must be a list"),
        ({**GOOD, "inputs": [number("a"), number("a")]}, "names a twice"),
        ({**GOOD, "inputs": [number("a", minimm=1)]}, r"contract.inputs\[0\] has unknown keys minimm"),
        ({**GOOD, "inputs": [number("instances")]}, "choose another"),
        ({**GOOD, "inputs": [{"name": "a", "type": "float"}]}, 'type is "float", want one of number'),
        ({**GOOD, "inputs": [{"name": "a", "type": "string", "minimum": 1}]}, "no minimum or maximum"),
        ({**GOOD, "inputs": [number("a", values=["x"])]}, "only a string has values"),
        ({**GOOD, "inputs": [number("a", minimum=2, maximum=1)]}, "above the maximum"),
        ({**GOOD, "outputs": [{"name": "y", "threshold": 1, "labels": ["a"]}]}, "want one label more"),
        ({**GOOD, "outputs": [{"name": "y", "thresholds": [2, 1], "labels": ["a", "b", "c"]}]}, "must ascend"),
        ({**GOOD, "outputs": [{"name": "y", "threshold": True, "labels": ["a", "b"]}]}, "want a number"),
        ({**GOOD, "outputs": [{"name": "y", "index": -1}]}, "want an index from 0"),
        ({**GOOD, "outputs": [{"tensor": "y"}]}, "has no name"),
    ],
)
def test_a_contract_that_is_wrong_by_itself(contract, message):
    with pytest.raises(ConfigError, match=message):
        parse(contract)


def refused(contract, instances, *, is_list):
    with pytest.raises(InvalidInput) as refusal:
        contract.batches(instances, is_list=is_list)
    return refusal.value


def test_a_thousand_mistakes_of_one_instance_are_kept_and_the_others_counted():
    contract = fitted([number("p")], OUT, [TensorSpec("x", "FP32", (-1, 1))])
    error = refused(contract, [{f"k{at}": 1 for at in range(5000)}], is_list=False)
    assert len(error.details) == 1000
    assert error.message == "p: is required (and 5000 more)"


def test_a_mistake_alone_has_no_others():
    contract = fitted([number("p")], OUT, [TensorSpec("x", "FP32", (-1, 1))])
    assert refused(contract, [{"p": 1, "k": 1}], is_list=False).message == "k: is not known; known fields: p"


def test_reading_ends_at_a_thousand_mistakes_and_says_at_least():
    contract = fitted([number("p")], OUT, [TensorSpec("x", "FP32", (-1, 1))])
    error = refused(contract, [{}] * 5000, is_list=True)
    assert len(error.details) == 1000
    assert error.message == "instance 0, p: is required (and at least 999 more)"


def test_exactly_a_thousand_mistakes_are_all():
    contract = fitted([number("p")], OUT, [TensorSpec("x", "FP32", (-1, 1))])
    assert refused(contract, [{}] * 1000, is_list=True).message == "instance 0, p: is required (and 999 more)"


class Reached(Exception):
    """Raised by the first object that a reader should have left alone."""


class Watched(dict):
    def keys(self):
        raise Reached


def test_instances_behind_the_last_mistake_are_not_read():
    contract = fitted([number("p")], OUT, [TensorSpec("x", "FP32", (-1, 1))])
    assert len(refused(contract, [{}] * 1000 + [Watched()], is_list=True).details) == 1000


def decoded(body, takes=(AB,)):
    return codecs.InferCodec(Signature(takes, (Y,)), "toy", "1").decode(body, None)


BODIES_OF_UNKNOWN_KEYS = {
    "/score with a contract": lambda keys: scored(fitted([number("p")], OUT, [TensorSpec("x", "FP32", (-1, 1))]), keys),
    "beside instances, with a contract": lambda keys: scored(
        fitted([number("p")], OUT, [TensorSpec("x", "FP32", (-1, 1))]), {**keys, "instances": []}
    ),
    "/score without a contract": lambda keys: score(Signature((AB,), (Y,)), keys),
    "beside instances, without a contract": lambda keys: score(Signature((AB,), (Y,)), {**keys, "instances": []}),
    "an instance by input names": lambda keys: score(Signature((AB, C), (Y,)), {"instances": [keys]}),
    "the protocol": lambda keys: decoded(codecs.dumps(keys)),
    "a tensor of the protocol": lambda keys: decoded(codecs.dumps({"inputs": [keys]})),
    "tensors of the protocol": lambda keys: decoded(codecs.dumps({"inputs": [{"name": key} for key in keys]})),
    "outputs of the protocol": lambda keys: decoded(
        codecs.dumps({"inputs": [], "outputs": [{"name": key} for key in keys]}), takes=()
    ),
}


@pytest.mark.parametrize("case", BODIES_OF_UNKNOWN_KEYS)
def test_no_body_makes_more_details_than_are_shown(case):
    with pytest.raises(InvalidInput) as refusal:
        BODIES_OF_UNKNOWN_KEYS[case]({f"k{at}": 1 for at in range(3000)})
    assert 1 <= len(refusal.value.details) <= 1000
    assert len(refusal.value.message) < 1000
