"""gRPC and /score in few steps: the same tensors and the same bytes as the whole way, which has whatever is odd."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wye_runtime import codecs
from wye_runtime.codecs.calls import MOST, CallCodec, parsed
from wye_runtime.codecs.infer import InferRequest
from wye_runtime.codecs.messages import CLASSES
from wye_runtime.codecs.plain import KNOWN
from wye_runtime.contract import PlainScores, bound, parse, scored
from wye_runtime.errors import RequestError
from wye_runtime.protocol import Signature, TensorSpec

X, WORD = TensorSpec("x", "FP32", (-1, 3)), TensorSpec("w", "BYTES", (-1,))
OUTPUTS = (TensorSpec("y", "FP32", (-1, 1)), TensorSpec("label", "INT64", (-1,)))
ROW = np.array([[1, 2.5, -3e-7]], np.float32)


def codec(*inputs: TensorSpec, outputs=OUTPUTS) -> CallCodec:
    return CallCodec(Signature(inputs or (X,), outputs), "toy", "1")


def message(array=ROW, *, shape=None, raws=None, name="x", datatype="FP32", **more: object) -> bytes:
    request = CLASSES["ModelInferRequest"](model_name="toy", **more)
    request.inputs.add(name=name, datatype=datatype, shape=shape or array.shape)
    request.raw_input_contents.extend([array.tobytes()] if raws is None else raws)
    return request.SerializeToString(deterministic=True)


def tensors(feeds) -> dict:
    return {name: (str(each.dtype), each.shape, each.tobytes()) for name, each in feeds.items()}


def told(codec: CallCodec, body: bytes):
    """What a message is decoded to, or why it is refused, and in how many ways that was found out."""
    plain = codec.plain.read(body)
    if plain is not None:
        return tensors(plain.feeds), plain.outputs, ""
    try:
        request = parsed("ModelInferRequest", body)
        found = codec.decode(request)
    except RequestError as error:
        return error.code, error.message, list(error.details)
    codec.plain.learn(body, request)
    return tensors(found.feeds), found.outputs, found.id


OTHER = ROW + 7
TWO = np.repeat(OTHER, 2, 0)
KNOWN_CALLS = {
    "other numbers": [message(), message(OTHER)],
    "NaN": [message(), message(np.full((1, 3), np.nan, np.float32))],
    "several rows": [message(np.repeat(ROW, 5, 0)), message(np.repeat(OTHER, 5, 0))],
    "more rows than before": [message(), message(np.repeat(OTHER, 5, 0)), message(OTHER)],
}
ODD_CALLS = {
    "an id": [message(id="7"), message(OTHER, id="8")],
    "an output that is asked for": [message(outputs=[{"name": "y"}])] * 2,
    "no raw tensor": [message(raws=[]), message(raws=[])],
    "too few bytes": [message(), message(raws=[OTHER.tobytes()[:-1]])],
    "two raw tensors": [message(raws=[ROW.tobytes()] * 2)] * 2,
    "another input": [message(name="z")] * 2,
    "another datatype": [message(datatype="FP64")] * 2,
    "another shape": [message(), message(shape=[3, 1])],
    "bytes behind it": [message(), message() + b"\0"],
    "its beginning alone": [message(), message()[:-12], message()[:-3]],
    "one row announced, two given": [message(), message(TWO), message()[:-12] + TWO.tobytes()],
    "two rows announced, one given": [message(), message(TWO), message(TWO)[:-12]],
    "a long head": [message(parameters={"a": {"string_param": "a" * MOST}})] * 2,
    "nothing": [message(), b""],
}


@pytest.mark.parametrize("case", {**KNOWN_CALLS, **ODD_CALLS})
def test_a_message_that_differs_in_its_tensor_is_told_the_same(case) -> None:
    bodies = {**KNOWN_CALLS, **ODD_CALLS}[case]
    seasoned = codec()
    assert [told(seasoned, each) for each in bodies] == [told(codec(), each) for each in bodies]
    assert (seasoned.plain.read(bodies[-1]) is not None) == (case in KNOWN_CALLS)


def test_what_only_looks_like_the_tensor_is_not_taken_for_it() -> None:
    """A message may end with another field, of the same bytes as its tensor."""
    raw = b"abcdabcdabcd"
    request = CLASSES["ModelInferRequest"](model_name="toy")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    tensor = CLASSES["ModelInferRequest"](raw_input_contents=[raw]).SerializeToString()
    unknown = b"\xfa\x01" + bytes([len(raw)]) + raw  # field 31, which nobody reads
    body = request.SerializeToString() + tensor + unknown
    seasoned = codec()
    for each in (body, body[: -len(raw)] + b"efghefghefgh"):
        assert told(seasoned, each) == told(codec(), each)
    assert seasoned.plain.known == {}


def test_no_more_beginnings_are_kept_than_so_many() -> None:
    seasoned = codec()
    for at in range(KNOWN + 1):
        told(seasoned, message(parameters={"a": {"int64_param": at + 1}}))
    assert len(seasoned.plain.known) == len(seasoned.plain.ends) == 1


COUNTS = [1, 3, 1]


def test_calls_that_share_a_run_are_answered_as_if_alone() -> None:
    made = codec()
    outputs = {"y": np.arange(5, dtype=np.float32).reshape(5, 1), "label": np.arange(5)}
    found = made.encode_rows([made.plain] * 3, COUNTS, outputs)
    at = 0
    for count, answer in zip(COUNTS, found, strict=True):
        own = {name: array[at : at + count] for name, array in outputs.items()}
        whole = CLASSES["ModelInferResponse"](model_name="toy", model_version="1")
        for spec in OUTPUTS:
            whole.outputs.add(name=spec.name, datatype=spec.datatype, shape=own[spec.name].shape)
            whole.raw_output_contents.append(own[spec.name].tobytes())
        asked = InferRequest("", {}, made.outputs, frozenset(made.outputs))
        assert answer.body == whole.SerializeToString() == made.encode(asked, own).body
        at += count


def test_strings_have_no_rows_of_bytes() -> None:
    made = codec(outputs=(WORD,))
    assert made.encode_rows([], [1, 1], {"w": np.array(["a", "b"], object)}) is None


FIELDS = [
    {"name": "a", "type": "number", "minimum": 0, "maximum": 10},
    {"name": "b", "type": "boolean", "default": False},
    {"name": "c", "type": "string", "values": ["web", "shop"]},
]
GOOD = {"a": 1.5, "b": True, "c": "shop"}
CONTRACT = parse({"inputs": FIELDS, "outputs": [{"name": "y"}, {"name": "label"}]})
PLAIN_SCORES = {"an object": GOOD, "another order": dict(reversed(GOOD.items())), "an integer": {**GOOD, "a": 3}}
ODD_SCORES = {
    "a default": {"a": 1, "c": "web"},
    "a field too many": {**GOOD, "d": 1},
    "another field": {"a": 1, "b": True, "d": "web"},
    "a number out of its range": {**GOOD, "a": 11},
    "a boolean for a number": {**GOOD, "a": True},
    "a number for a boolean": {**GOOD, "b": 1},
    "another word": {**GOOD, "c": "phone"},
    "null": {**GOOD, "a": None},
    "instances": {"instances": [GOOD]},
    "a list": [1, 2, 3],
    "three letters": "abc",
}
WRITTEN = {
    "a field twice": b'{"a":1,"a":2,"b":true,"c":"web"}',
    "a field twice, once quoted": b'{"a":1,"\\u0061":2,"b":true,"c":"web"}',
    "no JSON": b'{"a":1',
    "NaN": b'{"a":NaN,"b":true,"c":"web"}',
    "nothing": b"",
}


def contract(shape=(-1, 3)):
    return bound(CONTRACT, Signature((TensorSpec("x", "FP32", shape),), OUTPUTS))


@pytest.mark.parametrize("case", {**PLAIN_SCORES, **ODD_SCORES, **WRITTEN})
def test_the_common_object_takes_few_steps_to_the_same_tensors(case) -> None:
    bodies = {name: json.dumps(each).encode() for name, each in {**PLAIN_SCORES, **ODD_SCORES}.items()}
    body = {**bodies, **WRITTEN}[case]
    plain = PlainScores(contract()).read(body)
    assert (plain is not None) == (case in PLAIN_SCORES)
    if plain is not None:
        whole = scored(contract(), codecs.loads(body))
        assert [tensors(each) for each in plain.batches] == [tensors(each) for each in whole.batches]
        assert plain.outputs == whole.outputs
        outputs = {"y": np.array([[0.1]], np.float32), "label": np.array([2**53 + 1])}
        assert plain.answer([outputs]).body == codecs.dumps(whole.answer([outputs]))


def test_objects_that_share_a_run_are_answered_as_if_alone() -> None:
    made = PlainScores(contract())
    outputs = {"y": np.array([[0.1], [0.2]], np.float32), "label": np.array([1, 2])}
    assert [json.loads(each.body) for each in made.encode_rows([], [1, 1], outputs)] == [
        {"y": 0.1, "label": 1},
        {"y": 0.2, "label": 2},
    ]


def test_a_model_that_takes_one_row_reads_the_whole_way() -> None:
    assert PlainScores(contract((1, 3))).read(json.dumps(GOOD).encode()) is None
