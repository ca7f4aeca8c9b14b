"""The common request of the protocol in few steps: small JSON, each input once, numbers in a flat list, nothing odd.

Whatever is not exactly that, wrong requests above all, is left to the whole way (infer.py), which looks at one thing
after the other and says what it found. Both ways make the same tensors, or the whole one makes none.
"""

import math
import struct
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import orjson

from wye_runtime.errors import Misfit
from wye_runtime.protocol import DTYPES, Signature, Tensors, TensorSpec
from wye_runtime.tensors import PACKED, checked_shape

PLAIN_BYTES = 8 << 10
SHAPES = 256  # of one tensor, whose packers are kept
KEYS = 4  # of a tensor: name, shape, datatype, data
# what a wrong request makes of these few steps
ODD = (orjson.JSONDecodeError, struct.error, OverflowError, KeyError, TypeError, ValueError, AttributeError, Misfit)
Pack = Callable[..., bytes]


class PlainReader:
    """For one model."""

    def __init__(self, signature: Signature) -> None:
        self.inputs = {spec.name: (spec.datatype, DTYPES[spec.datatype], packers(spec)) for spec in signature.inputs}
        self.serves = all(spec.datatype in PACKED for spec in signature.inputs)

    def read(self, body: bytes) -> tuple[str | None, Tensors] | None:
        """The request's id and tensors; None where it is not that plain."""
        # struct takes booleans for numbers; a name with these letters only costs the time of the whole way
        if not self.serves or len(body) > PLAIN_BYTES or b"true" in body or b"false" in body:
            return None
        feeds: Tensors = {}
        try:
            head = orjson.loads(body)
            items, identity = head["inputs"], head.get("id")
            keys = 1 if identity is None else 2
            if len(head) != keys or len(items) != len(self.inputs) or not (keys == 1 or type(identity) is str):
                return None
            for item in items:
                name, shape, data = item["name"], item["shape"], item["data"]
                datatype, dtype, packer = self.inputs[name]
                if len(item) != KEYS or item["datatype"] != datatype:
                    return None
                if type(shape) is not list or type(data) is not list:
                    return None
                feeds[name] = np.frombuffer(packer(tuple(shape))(*data), dtype).reshape(shape)
        except ODD:
            return None
        keys += KEYS * len(items)
        # as many colons as keys: none of them stood twice
        return (identity, feeds) if len(feeds) == len(items) and body.count(b":") == keys else None


def packers(spec: TensorSpec) -> Callable[[tuple[int, ...]], Pack]:
    """What makes the bytes of a tensor of one shape."""

    @lru_cache(SHAPES)
    def packer(shape: tuple[int, ...]) -> Pack:
        checked = checked_shape(spec, [*shape])
        return struct.Struct(f"<{math.prod(checked)}{PACKED[spec.datatype]}").pack

    return packer
