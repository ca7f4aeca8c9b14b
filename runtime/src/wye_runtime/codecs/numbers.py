"""The long list of numbers in a large JSON body: an image as numbers is 150,000 of them.

A Python object for each takes longer than many a model. The list is cut out and read as an array; what is left of the
body is small, and is read like any other. Lists that are not flat, not all numbers or of large integers stay in it.
"""

import numpy as np
import simdjson

from wye_runtime.codecs.bodies import MANY_VALUES, limited
from wye_runtime.codecs.plain import DATA, is_key
from wye_runtime.protocol import Array

LONG = 8 << 10  # bytes of a body from which on this is worth its while
FAILURES = (ValueError, TypeError, RuntimeError)  # of simdjson; the parser of the whole body says what is wrong


def cut_out(body: bytes) -> tuple[bytes, Array | None]:
    """The body with an empty list in place of its numbers, and these as doubles; None where it stays as it is."""
    if len(body) < LONG or body.count(DATA) != 1:
        return body, None
    if len(body) > MANY_VALUES:
        limited(body)
    at = body.find(DATA)
    begin = body.find(b"[", at)
    end = body.find(b"]", begin)
    rest = body[: begin + 1] + body[end:]
    # a quoted name could be "data", too; and whoever has other lists may have a long one elsewhere
    if begin < 0 or end < 0 or b"\\" in rest or len(rest) > LONG or not is_key(body[at:begin]):
        return body, None
    try:
        numbers = simdjson.Parser().parse(memoryview(body)[begin : end + 1])
        assert isinstance(numbers, simdjson.Array)  # it begins with a bracket
        return rest, np.frombuffer(numbers.as_buffer(of_type="d"), np.float64)
    except FAILURES:
        return body, None
