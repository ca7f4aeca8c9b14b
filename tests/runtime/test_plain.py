"""The few steps of the common request make the same tensors as the whole way, and leave to it whatever is odd."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from wye_runtime.codecs import InferCodec
from wye_runtime.codecs.plain import KNOWN
from wye_runtime.errors import RequestError
from wye_runtime.protocol import Signature, TensorSpec

X, N = TensorSpec("x", "FP32", (-1, 3)), TensorSpec("n", "INT64", (-1,))
OUT = (TensorSpec("y", "FP32", (-1, 1)),)
ROW = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2.5, -3e-7]}
COUNT = {"name": "n", "datatype": "INT64", "shape": [1], "data": [2**53 + 1]}


def codec(*inputs: TensorSpec) -> InferCodec:
    return InferCodec(Signature(inputs or (X,), OUT), "toy", "1")


def told(codec: InferCodec, body: bytes):
    """What a request is decoded to, or why it is refused."""
    try:
        found = codec.decode(body, None)
    except RequestError as error:
        return error.code, error.message, list(error.details)
    tensors = {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in found.feeds.items()}
    return found.id, tensors, found.outputs, found.binary


def both(body: bytes, *inputs: TensorSpec):
    """Told with and without the few steps, by a reader that has seen such a request before, and has not."""
    whole, seasoned = codec(*inputs), codec(*inputs)
    whole.plain.serves = False
    for before in (text(ROW), body):
        told(seasoned, before)
    short = told(seasoned, body)
    assert short == told(codec(*inputs), body)
    return short, told(whole, body)


def text(*tensors: object, **more: object) -> bytes:
    return json.dumps({"inputs": list(tensors), **more}).encode()


PLAIN = {
    "a row": (text(ROW),),
    "a row with an id": (text(ROW, id="7"),),
    "several rows": (text({**ROW, "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}),),
    "no rows": (text({**ROW, "shape": [0, 3], "data": []}),),
    "two inputs": (text(COUNT, ROW), X, N),
    "spaces": (text(ROW).replace(b":", b" :\n "),),
    "halves": (text({**ROW, "datatype": "FP16"}), TensorSpec("x", "FP16", (-1, 3))),
    "a scalar": (text({**ROW, "shape": [], "data": [1.5]}), TensorSpec("x", "FP32", ())),
}
ODD = {
    "a boolean": text({**ROW, "data": [1, True, 3]}),
    "a string": text({**ROW, "data": [1, "2", 3]}),
    "null": text({**ROW, "data": [1, None, 3]}),
    "a list in the list": text({**ROW, "data": [1, [2], 3]}),
    "nested": text({**ROW, "data": [[1, 2, 3]]}),
    "too few": text({**ROW, "data": [1, 2]}),
    "too large": text({**ROW, "data": [1, 1e39, 3]}),
    "no list of data": text({**ROW, "data": "abc"}),
    "an object for no data": text({**ROW, "shape": [0, 3], "data": {}}),
    "a string for no data": text({**ROW, "shape": [0, 3], "data": ""}),
    "a shape of floats": text({**ROW, "shape": [1.0, 3]}),
    "a shape of booleans": text({**ROW, "shape": [True, 3]}),
    "a shape of strings": text({**ROW, "shape": ["1", "3"]}),
    "a string for a shape": text({**ROW, "shape": "13"}),
    "a shape of lists": text({**ROW, "shape": [[1], 3]}),
    "a negative shape": text({**ROW, "shape": [-1, 3]}),
    "another shape": text({**ROW, "shape": [1, 4], "data": [1, 2, 3, 4]}),
    "an endless shape": text({**ROW, "shape": [10**30, 3]}),
    "an empty shape that is large": text({**ROW, "shape": [0, 2**62], "data": []}),
    "another datatype": text({**ROW, "datatype": "FP64"}),
    "another name": text({**ROW, "name": "z"}),
    "an unknown key": text({**ROW, "more": 1}),
    "an unknown key for a known one": text({"name": "x", "datatype": "FP32", "shape": [1, 3], "dat": [1, 2, 3]}),
    "an unknown key of the request": text(ROW, more=1),
    "a number for the id": text(ROW, id=7),
    "null for the id": text(ROW, id=None),
    "parameters": text({**ROW, "parameters": {}}),
    "parameters of the request": text(ROW, parameters={"binary_data_output": True}),
    "outputs": text(ROW, outputs=[{"name": "y"}]),
    "outputs that are not there": text(ROW, outputs=[{"name": "z"}]),
    "the model's name": text(ROW, model_name="toy"),
    "a tensor twice": text(ROW, ROW),
    "no tensor": text(),
    "an object of tensors": b'{"inputs":{"x":1}}',
    "a tensor that is none": b'{"inputs":[1]}',
    "a list": b"[]",
    "null alone": b"null",
    "nothing": b"",
    "a half": text(ROW)[:-1],
    "a key twice": text(ROW).replace(b'"name"', b'"name":"x","name"'),
    "a key twice, once quoted": text(ROW).replace(b'"name"', b'"n\\u0061me":"x","name"'),
    "inputs twice": text(ROW).replace(b'{"inputs"', b'{"inputs":[],"inputs"'),
    "a colon in a name": text({**ROW, "name": "x:y"}),
    "NaN": text(ROW).replace(b"2.5", b"NaN"),
    "an id with the word true": text(ROW, id="true"),
    "bytes that are no text": b"\xff" + text(ROW),
}


@pytest.mark.parametrize("case", PLAIN)
def test_the_common_request_takes_few_steps_to_the_same_tensors(case) -> None:
    body, *inputs = PLAIN[case]
    assert codec(*inputs).plain.read(body) is not None
    short, whole = both(body, *inputs)
    assert short == whole


@pytest.mark.parametrize("case", ODD)
def test_an_odd_request_is_told_the_same(case) -> None:
    short, whole = both(ODD[case])
    assert short == whole


NAMED = TensorSpec("data", "FP32", (-1,))
NO_ROW = {**ROW, "shape": [0, 3], "data": []}
PAIR = {"name": "data", "datatype": "FP32", "shape": [2], "data": [2, 2]}
AROUND = {
    "other numbers": ([text(ROW), text({**ROW, "data": [-1, 0, 1e-9]})], X),
    "too many": ([text(ROW), text({**ROW, "data": [1, 2, 3, 4]})], X),
    "none": ([text(ROW), text({**ROW, "data": []})], X),
    "a number that is too large": ([text(ROW), text({**ROW, "data": [1e39, 0, 0]})], X),
    "lists": ([text(ROW), text({**ROW, "data": [[1, 2, 3]]})], X),
    "a list that ends twice": ([text(ROW), text(ROW).replace(b"]}]}", b"]]}]}")], X),
    "an object": ([text(ROW), text(ROW).replace(b"2.5", b'{"a":1}')], X),
    "a key twice": ([text(ROW), text(ROW).replace(b"2.5", b'1],"data":[1,2')], X),
    "a boolean": ([text(ROW), text({**ROW, "data": [1, True, 3]})], X),
    "no number": ([text(ROW), text(ROW).replace(b"2.5", b"2.")], X),
    "a comma too many": ([text(ROW), text(ROW).replace(b"2.5", b"2.5,")], X),
    "another shape": ([text(ROW), text({**ROW, "shape": [2, 3], "data": [0] * 6})], X),
    "a shape of floats": ([text(ROW), text({**ROW, "shape": [1.0, 3]})], X),
    "an id": ([text(ROW, id="a"), text(ROW, id="b"), text(ROW)], X),
    "an id that is a key's name": ([text(ROW, id="data"), text(ROW, id="data")], X),
    "the tensor's own name": ([text(PAIR), text({**PAIR, "shape": [1], "data": [7]})], NAMED),
    "the tensor's own name, first": ([text(PAIR), text({**PAIR, "shape": [3], "data": [1, 2, 3]})], NAMED),
    "the name behind the numbers": ([text(dict(reversed(PAIR.items()))), text(dict(reversed(PAIR.items())))], NAMED),
    "spaces": ([text(ROW).replace(b":", b" :\n ").replace(b",", b" , ")] * 2, X),
    "spaces behind the bracket": ([text(ROW), text(ROW).replace(b"[1,", b"[ 1,")], X),
    "other names, then the first": ([text(ROW), text(ROW).replace(b"{", b" {"), text(ROW)], X),
    "no data": ([text(NO_ROW), text({**NO_ROW, "data": [1]}), text(NO_ROW)], X),
    "an object for no data": ([text(NO_ROW), text({**NO_ROW, "data": {}})], X),
    "a string for no data": ([text(NO_ROW), text({**NO_ROW, "data": ""})], X),
    "one bracket for two": ([text(NO_ROW), text(NO_ROW).replace(b"[]", b"[")], X),
    "no brackets": ([text(NO_ROW), text(NO_ROW).replace(b"[]", b"")], X),
    "a half": ([text(NO_ROW), text(NO_ROW)[:-3]], X),
}


@pytest.mark.parametrize("case", AROUND)
def test_other_numbers_between_the_same_words_are_told_the_same(case) -> None:
    bodies, spec = AROUND[case]
    bodies = [bodies[0], *bodies]  # the second time its words are those that came last
    short, whole = codec(spec), codec(spec)
    whole.plain.serves = False
    assert [told(short, body) for body in bodies] == [told(whole, body) for body in bodies]


def test_what_stands_around_the_numbers_is_kept() -> None:
    reader = codec(X).plain
    for at in range(3):
        reader.read(text({**ROW, "data": [at, at, at]}))
    assert len(reader.known) == 1
    for at in range(KNOWN + 1):
        reader.read(b" " * at + text(ROW))
    assert 0 < len(reader.known) < KNOWN


def test_types_that_have_no_short_form_take_the_whole_way() -> None:
    for datatype, data in (("BOOL", [True]), ("BYTES", ["a"]), ("BF16", [0.5])):
        spec = TensorSpec("x", datatype, (-1,))
        body = text({"name": "x", "datatype": datatype, "shape": [1], "data": data})
        assert codec(spec).plain.read(body) is None
        assert told(codec(spec), body)[2] == ("y",)


SCALARS = some.one_of(
    *(some.none(), some.booleans(), some.integers(), some.floats(allow_nan=False, allow_infinity=False), some.text()),
)
VALUES = some.recursive(SCALARS, lambda inner: some.lists(inner, max_size=4), max_leaves=6)
TENSORS = some.fixed_dictionaries(
    {},
    optional={
        "name": some.sampled_from(["x", "n", "y"]),
        "datatype": some.sampled_from(["FP32", "INT64", "FP64"]),
        "shape": some.one_of(some.lists(some.integers(-1, 3), max_size=3), VALUES),
        "data": some.one_of(
            some.lists(some.integers(-(2**64), 2**64), max_size=6), some.lists(some.floats(-9, 9)), VALUES
        ),
        "parameters": VALUES,
    },
)


@given(
    some.lists(TENSORS, max_size=3),
    some.one_of(some.just({}), some.dictionaries(some.sampled_from(["id", "z"]), VALUES)),
)
def test_whatever_comes_is_told_the_same(tensors, more) -> None:
    short, whole = both(text(*tensors, **more), X, N)
    assert short == whole


def test_an_answer_is_put_together_as_json() -> None:
    signature = Signature((X,), (TensorSpec('a "name"', "FP32", (-1, 2)), TensorSpec("label", "INT64", (-1,))))
    made = InferCodec(signature, 'a "model"', "1")
    request = made.decode(text(ROW, id='it\'s "7"'), None)
    answer = made.encode(request, {'a "name"': np.array([[0.1, 2]], np.float32), "label": np.array([2**53 + 1])})
    assert json.loads(answer.body) == {
        "model_name": 'a "model"',
        "model_version": "1",
        "id": 'it\'s "7"',
        "outputs": [
            {"name": 'a "name"', "datatype": "FP32", "shape": [1, 2], "data": [0.1, 2.0]},
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [2**53 + 1]},
        ],
    }
