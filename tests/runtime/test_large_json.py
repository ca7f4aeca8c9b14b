"""A valid body must not stop everybody else: JSON has a bound on its values, and the collector does not walk them."""

from __future__ import annotations

import gc

import pytest

from wye_runtime.codecs.bodies import MANY_VALUES, loads
from wye_runtime.errors import BadRequest, PayloadTooLarge


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b'{"a":1}'])
def test_a_body_of_too_many_values_is_refused_before_it_is_read(value):
    body = b"[" + b",".join([value] * (MANY_VALUES + 1)) + b"]"
    with pytest.raises(PayloadTooLarge, match="more than 2,000,000 values: send tensors in binary"):
        loads(body)


def test_a_body_of_many_values_is_read_and_the_collector_goes_on_afterwards():
    assert len(loads(b"[" + b",".join([b"0.25"] * 1_000_000) + b"]")) == 1_000_000
    with pytest.raises(BadRequest):
        loads(b"[" + b" " * MANY_VALUES)
    assert gc.isenabled()
