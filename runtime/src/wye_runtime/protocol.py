"""The words of the Open Inference Protocol v2: datatypes, tensors, and one request and answer without any transport."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from wye_runtime.tracing import Watch

Array = NDArray[Any]
DYNAMIC = -1
SERVER = {"name": "wye-runtime", "version": "0.1.0", "extensions": ["binary_tensor_data"]}
HEADER_LENGTH = "inference-header-content-length"
JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"
CSV_TYPE = "text/csv"
TEXT_TYPE = "text/plain"
PICTURE_TYPES = ("image/jpeg", "image/png")
NO_HEADERS: Mapping[str, str] = MappingProxyType({})

DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})
INTEGERS = frozenset(name for name in DTYPES if "INT" in name)
# the largest finite value, for sentences
LARGEST: Mapping[str, float] = {
    "FP16": float(np.finfo(np.float16).max),
    "BF16": 3.3895313892515355e38,
    "FP32": float(np.finfo(np.float32).max),
    "FP64": float(np.finfo(np.float64).max),
}
# the largest number that still rounds to that value: 3.4028235e38, the shortest form of FP32's largest, is above it
ROUNDED: Mapping[str, float] = {
    "FP16": math.nextafter(2.0**16 - 2.0**4, 0),
    "BF16": math.nextafter(2.0**128 - 2.0**119 - 2.0**103, 0),
    "FP32": math.nextafter(2.0**128 - 2.0**103, 0),
    "FP64": LARGEST["FP64"],
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor that a model takes or gives; -1 is a dimension that may have any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def has_free_batch(self) -> bool:
        return bool(self.shape) and self.shape[0] == DYNAMIC

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class Signature:
    """All that a model takes and gives, in its own order; `columns`: what its package calls those of the only input."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    columns: tuple[str, ...] = ()


Tensors = dict[str, Array]


class RawRequest(NamedTuple):  # these two are made for every request: a frozen dataclass takes three times as long
    """One request that wants a run, as it came; `model` is None for /score."""

    body: bytes
    request_id: str
    model: str | None = None
    version: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    header_length: str | None = None
    is_call: bool = False  # the body is a protobuf message, which names its model
    timeout: float | None = None  # seconds, where the caller has less patience than we
    watch: Watch | None = None  # of a request whose trace is sampled


class RawResponse(NamedTuple):
    """One answer, ready to be written."""

    body: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = NO_HEADERS
    status: int = 200


# of all their fields, in a third of the time
raw_request: Callable[[tuple[Any, ...]], RawRequest] = partial(tuple.__new__, RawRequest)
raw_response: Callable[[tuple[Any, ...]], RawResponse] = partial(tuple.__new__, RawResponse)
