"""A long list of numbers is read as an array: the same tensor, or the same refusal, as number by number."""

from __future__ import annotations

import json

import pytest

from wye_runtime.codecs import InferCodec
from wye_runtime.codecs.numbers import LONG, cut_out
from wye_runtime.errors import RequestError
from wye_runtime.protocol import Signature, TensorSpec

COUNT = 3_000
NUMBERS = [round(at / 7, 4) * (-1) ** at for at in range(COUNT)]
ENTRY = {"name": "x", "datatype": "FP32", "shape": [COUNT], "data": NUMBERS}
CUT = "cut"


def codec(datatype="FP32") -> InferCodec:
    outputs = (TensorSpec("y", "FP32", (-1,)),)
    return InferCodec(Signature((TensorSpec("x", datatype, (-1,)),), outputs), "toy", "1")


def body(*entries: object, **more: object) -> bytes:
    return json.dumps({"inputs": list(entries or (ENTRY,)), **more}).encode()


def told(codec: InferCodec, content: bytes):
    try:
        found = codec.decode_whole(content, None)
    except RequestError as error:
        return error.code, error.message, list(error.details)
    return {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in found.feeds.items()}, found.outputs, found.id


def with_last(text: str) -> bytes:
    return body({**ENTRY, "data": [*NUMBERS[:-1], 0.123456789]}).replace(b"0.123456789", text.encode())


LONG_LISTS = {
    "numbers": (body(), CUT),
    "an id": (body(id="data"), ""),
    "an id and spaces": (json.dumps({"id": "7", "inputs": [ENTRY]}, indent=1).encode(), CUT),
    "parameters": (body({"parameters": {"binary_data": False}, **ENTRY}), CUT),
    "an integer": (with_last("16777217"), CUT),
    "the least integer": (with_last("-0"), CUT),
    "a large integer": (with_last("18446744073709551615"), CUT),
    "a larger integer": (with_last("18446744073709551616"), ""),
    "many digits": (with_last("0.1000000014901161193847656250001"), CUT),
    "the smallest number": (with_last("1e-45"), CUT),
    "a number that is too large": (with_last("1e39"), CUT),
    "a number that nothing holds": (with_last("1e400"), ""),
    "a boolean": (with_last("true"), ""),
    "null": (with_last("null"), ""),
    "a string": (with_last('"]"'), ""),
    "NaN": (with_last("NaN"), ""),
    "no number": (with_last("1."), ""),
    "too few": (body({**ENTRY, "shape": [COUNT + 1]}), CUT),
    "nested": (body({**ENTRY, "data": [NUMBERS]}), ""),
    "two lists": (body(ENTRY, {**ENTRY, "name": "z"}), ""),
    "another name": (body({**ENTRY, "name": "z"}), CUT),
    "another datatype": (body({**ENTRY, "datatype": "INT32"}), CUT),
    "a list that is a parameter": (body({**ENTRY, "data": None, "parameters": {"data": NUMBERS}}), ""),
    "an escaped name beside it": (
        body({**ENTRY, "datb": [], "parameters": {"data": NUMBERS}}).replace(b'"datb"', b'"d\\u0061ta"', 1),
        "",
    ),
    "the end missing": (body()[:-1], CUT),
    "bytes behind it": (body() + b"}", CUT),
}


@pytest.mark.parametrize("case", LONG_LISTS)
def test_a_long_list_is_told_the_same(case) -> None:
    content, is_cut = LONG_LISTS[case]
    short, whole = codec(), codec()
    whole.takes_floats = False
    assert told(short, content) == told(whole, content)
    assert (cut_out(content)[1] is not None) == (is_cut == CUT)


@pytest.mark.parametrize("datatype", ["FP16", "FP64"])
@pytest.mark.parametrize("last", ["0.1", "1e5", "65519.99", "65520", "6e-8", "1.00048828125", "2049"])
def test_every_float_is_rounded_the_same(datatype, last) -> None:
    content = with_last(last).replace(b"FP32", datatype.encode())
    short, whole = codec(datatype), codec(datatype)
    whole.takes_floats = False
    assert told(short, content) == told(whole, content)


@pytest.mark.parametrize("datatype", ["INT64", "BF16", "BOOL"])
def test_what_is_no_double_stays_in_the_body(datatype) -> None:
    assert not codec(datatype).takes_floats


def test_a_short_body_is_not_looked_at() -> None:
    content = body({**ENTRY, "shape": [2], "data": [1, 2]})
    assert len(content) < LONG
    assert cut_out(content) == (content, None)
