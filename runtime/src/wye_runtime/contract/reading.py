"""One field's value into one element of a tensor, or the sentence that says what was expected."""

from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wye_runtime.contract.declared import IMAGE, NO_DEFAULT, TEXT, Field
from wye_runtime.errors import Misfit, shown
from wye_runtime.media import decodable
from wye_runtime.protocol import INTEGERS, LARGEST, ROUNDED, Array
from wye_runtime.tensors import integer_range

NUMBERS = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class Column:
    """Where a field goes, and how its values are read."""

    field: Field
    tensor: str
    index: int
    read: Callable[[object], Any]
    default: Any = NO_DEFAULT  # as it was read once, at load


def reader(field: Field, datatype: str) -> Callable[[object], Any]:
    """The function that reads this field's values for a tensor of this datatype."""
    if field.type == IMAGE:
        return picture
    if field.type == "boolean":
        return boolean if datatype in ("BOOL", "BYTES") else flag
    if field.type in ("string", TEXT):
        return strings(field, datatype)
    return numbers(field, datatype)


def boolean(value: object) -> bool:
    """The value itself; 1 is none."""
    if isinstance(value, bool):
        return value
    raise Misfit(f"expected a boolean (true or false), got {shown(value)}")


def flag(value: object) -> int:
    """The same as a number."""
    return 1 if value is True else 0 if value is False else int(boolean(value))


def strings(field: Field, datatype: str) -> Callable[[object], Any]:
    """A string itself, or its index among the field's values."""
    if field.values is None:
        return text
    kept = datatype == "BYTES"
    known = {each: each if kept else at for at, each in enumerate(field.values)}
    wanted = ", ".join(field.values)

    def read(value: object) -> Any:
        if isinstance(value, str) and value in known:
            return known[value]
        raise Misfit(f"expected one of {wanted}, got {shown(value)}")

    return read


def text(value: object) -> str:
    """The value itself, where it is a string."""
    if isinstance(value, str):
        return value
    raise Misfit(f"expected a string, got {shown(value)}")


def picture(value: object) -> Array:
    """A picture in base64, or its bytes where they are the whole body."""
    if isinstance(value, bytes):
        return decodable(np.frombuffer(value, np.uint8))
    if not isinstance(value, str):
        raise Misfit(f"expected a picture (JPEG or PNG) in base64, got {shown(value)}")
    try:
        raw = b64decode(value, validate=True)
    except ValueError:
        why = ": send what stands behind its comma" if value.startswith("data:") else ""
        raise Misfit(f"expected a picture (JPEG or PNG) in base64, got {shown(value)}{why}") from None
    return decodable(np.frombuffer(raw, np.uint8))


def numbers(field: Field, datatype: str) -> Callable[[object], Any]:
    """A number within the field's range and the tensor's."""
    least, most = limits(field, *taken(datatype))
    is_integer = field.type == "integer"
    wanted = expected(field, *limits(field, *range_of(datatype)))
    lowest, highest = taken(datatype)
    is_said = datatype in INTEGERS and field.minimum is None and field.maximum is None  # the sentence has it already

    def read(value: Any) -> Any:
        if type(value) not in NUMBERS:  # a boolean is another type
            raise Misfit(f"expected {wanted}, got {shown(value)}")
        if not least <= value <= most or (is_integer and value != int(value)):
            fitting = "" if is_said or lowest <= value <= highest else f" that fits into {datatype}"
            raise Misfit(f"expected {wanted}{fitting}, got {shown(value)}")
        return int(value) if is_integer else value

    return read


def limits(field: Field, least: float, most: float) -> tuple[float, float]:
    """The tensor's range, narrowed to the field's."""
    if field.minimum is not None:
        least = max(least, field.minimum)
    return least, most if field.maximum is None else min(most, field.maximum)


def range_of(datatype: str) -> tuple[float, float]:
    """From the least to the largest element."""
    if datatype in INTEGERS:
        return integer_range(datatype)
    return -LARGEST[datatype], LARGEST[datatype]


def taken(datatype: str) -> tuple[float, float]:
    """The numbers that become an element of this range."""
    return (-ROUNDED[datatype], ROUNDED[datatype]) if datatype in ROUNDED else range_of(datatype)


def expected(field: Field, least: float, most: float) -> str:
    """The range in a sentence, as far as the contract gives it."""
    what = "an integer" if field.type == "integer" else "a number"
    if field.minimum is not None and field.maximum is not None:
        return f"{what} from {plainly(field.minimum)} to {plainly(field.maximum)}"
    if field.minimum is not None:
        return f"{what} of at least {plainly(field.minimum)}"
    if field.maximum is not None:
        return f"{what} of at most {plainly(field.maximum)}"
    return what if abs(most) > 1e30 else f"{what} from {least} to {most}"


def plainly(bound: float) -> str:
    """A bound as the contract's author wrote it: 20040, not 20040.0."""
    return str(int(bound)) if bound == int(bound) else repr(bound)
