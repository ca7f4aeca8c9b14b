"""JSON bodies without a server: two equal keys are refused wherever they stand, and nothing else is for it."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wye_runtime.codecs import loads
from wye_runtime.errors import BadRequest

TWICE = {
    "at the top": b'{"a":1,"a":2}',
    "deeper": b'{"a":{"b":1,"b":2}}',
    "in an object of a list": b'{"instances":[{"a":1},{"b":1,"b":1}]}',
    "behind a number": b'{"a":[1,{"b":1,"b":2}]}',
    "behind numbers in lists": b'[[1],[{"b":1,"b":2}]]',
    "in another spelling": rb'{"a":1,"\u0061":2}',
    "beside a colon in a string": b'{"id":"a:b","b":1,"b":2}',
    "beside a string that looks like a key": rb'{"id":"\":","b":1,"b":2}',
    "beside a string that begins with a colon": b'{"id":":)","b" : 1,"b"\n:2}',
    "with a backslash at its end": rb'{"a\\":1,"a\\":2}',
}


@pytest.mark.parametrize("case", TWICE)
def test_two_equal_keys_are_refused(case) -> None:
    with pytest.raises(BadRequest, match="stands twice in one object"):
        loads(TWICE[case])


ONCE = [
    b'{"a":":"}',
    rb'{"a\"":1,"b":"\":"}',
    b'[{"a":1},{"a":1}]',
    b'{"a":{"a":1}}',
    b'{"u":"https://x","t":"a: b"}',
    b'{"n":[1,{"a":1}],"big":[0.' + b"9" * 5000 + b"]}",
]


@pytest.mark.parametrize("body", ONCE)
def test_what_only_looks_like_it_is_read(body) -> None:
    assert loads(body) == orjson.loads(body)


def test_a_body_that_nests_too_deep_is_refused_in_so_many_words() -> None:
    with pytest.raises(BadRequest, match="nested too deep"):
        loads(b'[{":":' * 500 + b"1" + b"}]" * 500)


class Pairs(list):
    """An object as its author wrote it, each pair."""


texts = st.text(alphabet='a:" \\\n', max_size=4)
values = st.recursive(
    st.one_of(st.none(), st.integers(-5, 5), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.lists(st.tuples(texts, inner), max_size=3).map(Pairs)),
    max_leaves=10,
)


def written(value) -> str:
    if isinstance(value, Pairs):
        return "{" + " , ".join(f"{json.dumps(key)} : {written(each)}" for key, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def has_twins(value) -> bool:
    if isinstance(value, Pairs):
        keys = [key for key, _ in value]
        return len(set(keys)) < len(keys) or any(has_twins(each) for _, each in value)
    return isinstance(value, list) and any(map(has_twins, value))


@given(values)
def test_exactly_the_bodies_with_twins_are_refused(value) -> None:
    body = written(value).encode()
    if has_twins(value):
        with pytest.raises(BadRequest):
            loads(body)
    else:
        assert loads(body) == json.loads(body)
