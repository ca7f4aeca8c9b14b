"""Between what callers write (JSON, raw bytes) and numpy arrays of exactly the asked datatype and shape."""

import math
import struct
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from wye_runtime.errors import Misfit, shown
from wye_runtime.protocol import DTYPES, DYNAMIC, FLOATS, INTEGERS, LARGEST, Array, Signature, TensorSpec

# an empty tensor's other dimensions cost its caller nothing; a model may multiply them
EMPTY_LIMIT = 1 << 20
LENGTH = struct.Struct("<I")
KINDS: dict[str, frozenset[type]] = {
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
    **dict.fromkeys(INTEGERS, frozenset({int})),
    **dict.fromkeys(FLOATS, frozenset({int, float})),
}
INTEGER = frozenset({int})
# how struct packs an element: several times faster than numpy reads a list, and it refuses what does not fit
PACKED = {
    **{
        "INT8": "b",
        "INT16": "h",
        "INT32": "i",
        "INT64": "q",
        "UINT8": "B",
        "UINT16": "H",
        "UINT32": "I",
        "UINT64": "Q",
    },
    **{"FP16": "e", "FP32": "f", "FP64": "d"},
}
SHORT_FLOATS = ("FP16", "BF16")
MAGNITUDES = 1 << 15  # of a float of 16 bits, without its sign
MOST_DIGITS = 5  # that such a float needs
PLAIN = frozenset("?bhilqBHILQfd")  # numpy's codes of what orjson writes as we want it


def checked_shape(spec: TensorSpec, given: object) -> tuple[int, ...]:
    """The shape of a request, once it fits the model's."""
    if not isinstance(given, list) or not INTEGER.issuperset(map(type, given)) or is_negative(given):
        raise Misfit("shape must be a list of integers that are not negative")
    shape = tuple(given)
    if not fits(spec.shape, shape):
        raise Misfit(f"shape is {given}, the model wants {list(spec.shape)} (-1: any size)")
    if 0 in shape and math.prod(size for size in shape if size) > EMPTY_LIMIT:
        raise Misfit(f"shape {given} is empty, and too large in its other dimensions")
    return shape


def is_negative(given: list[int]) -> bool:
    """Whether a dimension is."""
    return bool(given) and min(given) < 0


def fits(wanted: tuple[int, ...], given: tuple[int, ...]) -> bool:
    """Whether a shape has the model's dimensions; -1 takes any size."""
    if len(wanted) != len(given):
        return False
    for want, size in zip(wanted, given, strict=True):  # noqa: SIM110 -- a generator costs more than the check
        if want not in (size, DYNAMIC):
            return False
    return True


def from_json(datatype: str, shape: tuple[int, ...], data: object, *, may_have_booleans: bool = True) -> Array:
    """An array of JSON values, flat in row-major order or nested; of a long list the numbers are doubles already.

    Without booleans, which struct takes for numbers, it need not be looked at every value's type.
    """
    if not isinstance(data, list | np.ndarray):
        raise Misfit(f"data must be a list, got {shown(data)}")
    flat = flattened(data, shape) if isinstance(data, list) else data
    want = math.prod(shape)
    if len(flat) != want:
        raise Misfit(f"shape {list(shape)} wants {want} values, got {len(flat)}")
    if isinstance(flat, np.ndarray):
        return narrowed(datatype, flat).reshape(shape)
    return array_of(datatype, flat, may_have_booleans=may_have_booleans).reshape(shape)


def flattened(data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """The values of a nested list, level by level; a flat list stays."""
    if not data or not isinstance(data[0], list):
        return data
    if len(data) != shape[0] if shape else True:
        raise Misfit(f"nested data must have the shape {list(shape)}")
    for size in shape[1:]:
        if any(type(row) is not list or len(row) != size for row in data):
            raise Misfit(f"nested data must have the shape {list(shape)}")
        data = list(chain.from_iterable(data))
    return data


def array_of(datatype: str, flat: Sequence[Any], *, may_have_booleans: bool = True) -> Array:
    """A one-dimensional array of values, or a Misfit that names the first wrong one."""
    form = PACKED.get(datatype)
    if (form is None or may_have_booleans) and not KINDS[datatype].issuperset(map(type, flat)):
        raise first_misfit(datatype, flat)
    if form is None:
        return unpackable(datatype, flat)
    try:
        packed = struct.pack(f"<{len(flat)}{form}", *flat)
    except (struct.error, OverflowError):
        raise first_misfit(datatype, flat) from None
    return np.frombuffer(packed, DTYPES[datatype])


def narrowed(datatype: str, doubles: Array) -> Array:
    """Doubles in the tensor's precision, or a Misfit that names the first one that is too large for it."""
    with np.errstate(over="ignore"):
        array: Array = doubles.astype(DTYPES[datatype])
    if not np.isfinite(array).all():
        raise first_misfit(datatype, doubles.tolist())
    return array


def unpackable(datatype: str, flat: Sequence[Any]) -> Array:
    """An array of what struct does not know: booleans, strings, BF16."""
    if datatype != "BF16":
        return np.array(flat, DTYPES[datatype])
    with np.errstate(over="ignore"):
        array: Array = np.array(flat, np.float64).astype(DTYPES[datatype])
    if not np.isfinite(array).all():
        raise first_misfit(datatype, flat)
    return array


def first_misfit(datatype: str, flat: Sequence[Any]) -> Misfit:
    """Which value it was, and what was expected there."""
    for position, value in enumerate(flat):
        if not holds(datatype, value):
            return Misfit(f"expected {expected(datatype)}, got {shown(value)}", position)
    return Misfit(f"expected {expected(datatype)} at every position")


def holds(datatype: str, value: object) -> bool:
    """Whether a JSON value can become one element."""
    if type(value) not in KINDS[datatype]:
        return False
    if datatype in INTEGERS:
        least, most = integer_range(datatype)
        return isinstance(value, int) and least <= value <= most
    if datatype in FLOATS and isinstance(value, int | float):
        return abs(value) <= LARGEST[datatype] or is_finite(datatype, value)
    return True


def is_finite(datatype: str, value: float) -> bool:
    """Whether a number is still one in this precision: the largest finite value has many spellings that round to it."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.float64(value).astype(DTYPES[datatype])))


def expected(datatype: str) -> str:
    """What one element must be, in a sentence."""
    if datatype in INTEGERS:
        least, most = integer_range(datatype)
        return f"an integer from {least} to {most} ({datatype})"
    if datatype in FLOATS:
        return f"a number within ±{LARGEST[datatype]:.6g} ({datatype})"
    return "a boolean (true or false)" if datatype == "BOOL" else "a string"


def integer_range(datatype: str) -> tuple[int, int]:
    """The least and the largest value."""
    info = np.iinfo(DTYPES[datatype])
    return int(info.min), int(info.max)


def from_bytes(datatype: str, shape: tuple[int, ...], raw: memoryview) -> Array:
    """An array over raw little-endian bytes, copied only where the memory is not aligned."""
    if datatype == "BYTES":
        return strings_from(raw, math.prod(shape)).reshape(shape)
    dtype = DTYPES[datatype]
    want = math.prod(shape) * dtype.itemsize
    if len(raw) != want:
        raise Misfit(f"shape {list(shape)} of {datatype} wants {want} bytes, got {len(raw)}")
    if datatype == "BOOL":
        return booleans_from(raw).reshape(shape)
    return np.require(np.frombuffer(raw, dtype).reshape(shape), requirements="A")


def booleans_from(raw: memoryview) -> Array:
    """A flat bool array over bytes of 0 and 1; a Misfit names the first other one."""
    given = np.frombuffer(raw, np.uint8)
    wrong = np.flatnonzero(given > 1)
    if len(wrong):
        position = int(wrong[0])
        raise Misfit(f"expected the byte 0 or 1 (BOOL), got {given[position]}", position)
    return given.view(np.bool_)


def strings_from(raw: memoryview, count: int) -> Array:
    """The elements of a BYTES tensor: each a 4-byte little-endian length and that many bytes of UTF-8."""
    values: list[str] = []
    at = 0
    while at < len(raw):
        end = at + LENGTH.size
        size = LENGTH.unpack_from(raw, at)[0] if end <= len(raw) else 0
        if end + size > len(raw):
            raise Misfit("the element's length runs over the end of the tensor", len(values))
        values.append(utf8(raw[end : end + size], len(values)))
        at = end + size
    if len(values) != count:
        raise Misfit(f"the shape wants {count} elements, got {len(values)}")
    return np.array(values, np.object_)


def utf8(raw: memoryview, position: int) -> str:
    """Text, because that is what ONNX strings are through ONNX Runtime's Python API."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        raise Misfit("expected UTF-8 text (BYTES), got other bytes", position) from None


def to_bytes(array: Array) -> bytes:
    """The raw form of the binary tensor extension."""
    if array.dtype != np.object_:
        return array.tobytes()
    texts = [str(value).encode() for value in array.ravel()]
    return b"".join(LENGTH.pack(len(each)) + each for each in texts)


def to_json(array: Array) -> Any:
    """What orjson writes as this array's values; NaN and infinities come out as null."""
    if array.dtype == np.object_:
        return array.tolist()
    if array.dtype.char not in PLAIN:
        array = shortest(array)
    if array.ndim:
        return np.ascontiguousarray(array)
    return array[()] if is_float(array) else array.item()


def shortest(array: Array) -> Array:
    """A float of 16 bits as the double whose shortest form is the shortest that still reads as that float."""
    bits = np.asarray(array).view(np.uint16)
    datatype = "FP16" if array.dtype == np.float16 else "BF16"
    values = np.copysign(short_magnitudes(datatype)[bits & (MAGNITUDES - 1)], np.where(bits >= MAGNITUDES, -1.0, 1.0))
    return np.asarray(values)


def prepare_short_floats(signature: Signature) -> None:
    """Makes at load what the first answer would wait for."""
    for spec in signature.outputs:
        if spec.datatype in SHORT_FLOATS:
            short_magnitudes(spec.datatype)


@cache
def short_magnitudes(datatype: str) -> Array:
    """For every float of 16 bits without its sign; made once, which takes a moment."""
    dtype = DTYPES[datatype]
    with np.errstate(over="ignore", invalid="ignore"):
        short = np.arange(MAGNITUDES, dtype=np.uint16).view(dtype).astype(np.float64)
        exact = np.array(short)
        left = np.flatnonzero(np.isfinite(exact))
        for digits in range(MOST_DIGITS):
            tried = np.array([float(f"{value:.{digits}e}") for value in exact[left].tolist()])
            reads_the_same = tried.astype(dtype).astype(np.float64) == exact[left]
            short[left[reads_the_same]] = tried[reads_the_same]
            left = left[~reads_the_same]
    return short


def listed(array: Array) -> list[Any]:
    """The rows of an array, each as orjson writes it; a float32 stays one, for its shortest form."""
    if array.ndim > 1 and array.dtype != np.object_:
        return list(to_json(array))
    return list(to_json(array)) if is_float(array) else list(array.tolist())


def is_float(array: Array) -> bool:
    """Integers may be C's long long, which orjson knows in arrays only."""
    return array.dtype.kind == "f" or array.dtype == DTYPES["BF16"]
