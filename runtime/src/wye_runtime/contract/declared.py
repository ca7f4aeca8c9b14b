"""The contract as it stands in the configuration; what is wrong with it by itself is a ConfigError."""

import math
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from wye_runtime.errors import ConfigError, shown
from wye_runtime.media import SAMPLE
from wye_runtime.settings import known, text

TYPES = ("number", "integer", "boolean", "string", "text", "image")
IMAGE, TEXT = "image", "text"
RESERVED = ("instances", "data", "input_data")
EXAMPLES = {"boolean": False, "string": "", TEXT: "some words", IMAGE: b64encode(SAMPLE.tobytes()).decode()}
NO_DEFAULT = object()
CONTRACT_KEYS = ("inputs", "outputs", "unknownFields")
FIELD_KEYS = (
    *("name", "type", "minimum", "maximum", "values", "default", "description"),
    *("tensor", "index"),
)
OUTPUT_KEYS = ("name", "tensor", "index", "threshold", "thresholds", "labels", "description")


@dataclass(frozen=True, slots=True)
class Field:
    """One field that callers send."""

    name: str
    type: str
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] | None = None
    default: Any = NO_DEFAULT
    description: str | None = None
    tensor: str | None = None
    index: int | None = None

    @property
    def is_required(self) -> bool:
        return self.default is NO_DEFAULT

    @property
    def example(self) -> Any:
        """A value that the field takes."""
        if not self.is_required:
            return self.default
        if self.values:
            return self.values[0]
        if self.type in EXAMPLES:
            return EXAMPLES[self.type]
        nearest = self.clamped(0)
        if self.type == "integer":
            return math.ceil(nearest) if nearest > 0 else math.floor(nearest)
        return nearest

    def clamped(self, number: float) -> float:
        if self.minimum is not None and number < self.minimum:
            return self.minimum
        return number if self.maximum is None else min(number, self.maximum)


@dataclass(frozen=True, slots=True)
class Output:
    """One field that callers get."""

    name: str
    tensor: str | None = None
    index: int | None = None
    thresholds: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """All fields, and what happens to a field that is not among them."""

    inputs: tuple[Field, ...]
    outputs: tuple[Output, ...]
    drops_unknown: bool = False


def parse(body: object) -> Declared:
    """The contract in a decoded JSON object."""
    top = known(body, "contract", CONTRACT_KEYS)
    inputs = tuple(field(each, at) for at, each in enumerate(listed(top, "inputs")))
    outputs = tuple(output(each, at) for at, each in enumerate(listed(top, "outputs")))
    unknown = top.get("unknownFields") or "error"
    if unknown not in ("error", "drop"):
        raise ConfigError(f"contract.unknownFields is {shown(unknown)}, want error or drop")
    unique([each.name for each in inputs], "inputs")
    unique([each.name for each in outputs], "outputs")
    return Declared(inputs, outputs, unknown == "drop")


def listed(top: dict[str, Any], key: str) -> list[Any]:
    """The list under a key, which must not be empty."""
    value = top.get(key)
    if not isinstance(value, list) or not value:
        raise ConfigError(f"contract.{key} must be a list with at least one field")
    return value


def unique(names: list[str], where: str) -> None:
    """Raises where a name stands twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"contract.{where} names {', '.join(twice)} twice")


def field(body: object, at: int) -> Field:
    """One entry of `inputs`."""
    where = f"contract.inputs[{at}]"
    given = {k: v for k, v in known(body, where, FIELD_KEYS).items() if v is not None}
    kind = given.get("type")
    if kind not in TYPES:
        raise ConfigError(f"{where}.type is {shown(kind)}, want one of {', '.join(TYPES)}")
    made = Field(
        name=named(given, where),
        type=kind,
        minimum=number(given.get("minimum"), f"{where}.minimum"),
        maximum=number(given.get("maximum"), f"{where}.maximum"),
        values=strings(given.get("values"), f"{where}.values"),
        default=given.get("default", NO_DEFAULT),
        description=text(given.get("description"), f"{where}.description"),
        tensor=text(given.get("tensor"), f"{where}.tensor"),
        index=index(given.get("index"), f"{where}.index"),
    )
    check(made, where)
    return made


def check(made: Field, where: str) -> None:
    """What the parts of a field say about each other."""
    if made.name in RESERVED:
        raise ConfigError(f"{where}.name is {made.name}, which is a word of /score: choose another")
    is_numeric = made.type in ("number", "integer")
    if not is_numeric and (made.minimum, made.maximum) != (None, None):
        raise ConfigError(f"{where} is a {made.type}, which has no minimum or maximum")
    if made.values is not None and made.type != "string":
        raise ConfigError(f"{where} is a {made.type}; only a string has values")
    if made.type == IMAGE and not made.is_required:
        raise ConfigError(f"{where} is an image, which has no default")
    if made.minimum is not None and made.maximum is not None and made.minimum > made.maximum:
        raise ConfigError(f"{where} has the minimum {made.minimum} above the maximum {made.maximum}")


def output(body: object, at: int) -> Output:
    """One entry of `outputs`."""
    where = f"contract.outputs[{at}]"
    given = {k: v for k, v in known(body, where, OUTPUT_KEYS).items() if v is not None}
    made = Output(
        name=named(given, where),
        tensor=text(given.get("tensor"), f"{where}.tensor"),
        index=index(given.get("index"), f"{where}.index"),
        thresholds=thresholds(given, where),
        labels=strings(given.get("labels"), f"{where}.labels"),
        description=text(given.get("description"), f"{where}.description"),
    )
    if made.thresholds is not None and len(made.labels or ()) != len(made.thresholds) + 1:
        raise ConfigError(f"{where} has {len(made.thresholds)} thresholds, want one label more")
    return made


def thresholds(given: dict[str, Any], where: str) -> tuple[float, ...] | None:
    """One threshold or an ascending list of them."""
    if "threshold" in given and "thresholds" in given:
        raise ConfigError(f"{where} has both threshold and thresholds")
    several = given.get("thresholds", [given["threshold"]] if "threshold" in given else None)
    if several is None:
        return None
    if not isinstance(several, list) or not several:
        raise ConfigError(f"{where}.thresholds must be a list of numbers")
    values = tuple(number(each, f"{where}.thresholds") or 0.0 for each in several)
    if any(a >= b for a, b in zip(values, values[1:], strict=False)):
        raise ConfigError(f"{where}.thresholds must ascend, got {list(values)}")
    return values


def named(given: dict[str, Any], where: str) -> str:
    """The entry's name, which it must have."""
    name = text(given.get("name"), f"{where}.name")
    if not name:
        raise ConfigError(f"{where} has no name")
    return name


def number(value: object, where: str) -> float | None:
    """A number or nothing; true is none."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ConfigError(f"{where} is {shown(value)}, want a number")


def index(value: object, where: str) -> int | None:
    """A place in a tensor, or nothing."""
    if value is None or (type(value) is int and value >= 0):
        return value
    raise ConfigError(f"{where} is {shown(value)}, want an index from 0")


def strings(value: object, where: str) -> tuple[str, ...] | None:
    """A list of different strings, or nothing."""
    if value is None:
        return None
    if not isinstance(value, list) or not value or any(type(each) is not str for each in value):
        raise ConfigError(f"{where} must be a list of strings")
    if len(set(value)) != len(value):
        raise ConfigError(f"{where} names one string twice")
    return tuple(value)
