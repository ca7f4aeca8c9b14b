"""The typed contract: the fields that callers send and get, and how a model's tensors carry them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wye_operator.api.base import Model, Rule

RESERVED_FIELDS = ("instances", "data", "input_data")
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=63)]
Scalar = bool | int | float | str
FieldType = Literal["number", "integer", "boolean", "string"]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits_type(kind: str, value: object) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    return _is_number(value) and (kind == "number" or float(value) == int(value))  # type: ignore[arg-type,call-overload]


class InputField(Model):
    """One field that callers send."""

    name: FieldName = Field(description="The field's name in the body of `/score`.")
    type: FieldType | None = Field(
        default=None,
        description="JSON type of the value: `number` where neither the Endpoint nor the Deployment says one.",
    )
    minimum: float | None = Field(default=None, description="Smallest value, inclusive (numbers).")
    maximum: float | None = Field(default=None, description="Largest value, inclusive (numbers).")
    values: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="The strings that are valid; a numeric tensor gets the value's index in this list.",
    )
    default: Scalar | None = Field(
        default=None,
        description="Used when the field is left out; without one the field is required.",
    )
    description: str | None = Field(default=None, description="Shown in the OpenAPI document.")
    tensor: str | None = Field(
        default=None, min_length=1, description="The model's input that carries it."
    )
    index: int | None = Field(default=None, ge=0, description="Column inside that tensor.")

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "name",
            "!(self.name in ['instances', 'data', 'input_data'])",
            "must not be 'instances', 'data' or 'input_data': these are the envelopes of /score",
            lambda f: f.name not in RESERVED_FIELDS,
        ),
        Rule(
            "minimum",
            "!has(self.minimum) || !has(self.maximum) || self.minimum <= self.maximum",
            "must not be greater than maximum",
            lambda f: f.minimum is None or f.maximum is None or f.minimum <= f.maximum,
        ),
        Rule(
            "type",
            "!(has(self.type) && self.type in ['boolean', 'string']) || (!has(self.minimum) && !has(self.maximum))",
            "must be number or integer where minimum or maximum is given",
            lambda f: f.type not in ("boolean", "string") or f.minimum is f.maximum is None,
        ),
        Rule(
            "type",
            "!has(self.values) || (has(self.type) && self.type == 'string')",
            "must be string where values are given",
            lambda f: f.values is None or f.type == "string",
        ),
        Rule(
            "values",
            "!has(self.values) || self.values.all(v, self.values.exists_one(w, w == v))",
            "must not name a value twice",
            lambda f: f.values is None or len(set(f.values)) == len(f.values),
        ),
        Rule(
            "default",
            "!has(self.default) || !has(self.type) || (self.type == 'boolean' ? type(self.default) == bool : "
            "self.type == 'string' ? type(self.default) == string : "
            "type(self.default) == int || type(self.default) == double)",
            "must be a value of the field's own type",
            lambda f: f.default is None or f.type is None or _fits_type(f.type, f.default),
        ),
        Rule(
            "default",
            "!has(self.default) || !has(self.values) || self.default in self.values",
            "must be one of the values",
            lambda f: f.default is None or f.values is None or f.default in f.values,
        ),
        Rule(
            "default",
            "!has(self.default) || ((!has(self.minimum) || self.default >= self.minimum) && "
            "(!has(self.maximum) || self.default <= self.maximum))",
            "must be between minimum and maximum",
            lambda f: (
                not _is_number(f.default)
                or (
                    (f.minimum is None or f.default >= f.minimum)
                    and (f.maximum is None or f.default <= f.maximum)
                )
            ),
        ),
        Rule(
            "index",
            "!has(self.index) || has(self.tensor)",
            "needs the tensor it is a column of",
            lambda f: f.index is None or f.tensor is not None,
        ),
    )


class OutputField(Model):
    """One field that callers get: a number, a decision by threshold, or a class."""

    name: FieldName = Field(description="The field's name in the answer of `/score`.")
    tensor: str | None = Field(
        default=None, min_length=1, description="The model's output that carries it."
    )
    index: int | None = Field(default=None, ge=0, description="Column inside that tensor.")
    labels: list[str] | None = Field(
        default=None,
        min_length=2,
        max_length=10000,
        description="Names of the decision, the scale or the classes; without labels the answer is the number itself.",
    )
    threshold: float | None = Field(
        default=None, description="With two labels: the second where the value is at least this."
    )
    thresholds: list[float] | None = Field(
        default=None,
        min_length=1,
        description="Ascending, one fewer than labels: an ordered scale.",
    )
    description: str | None = Field(default=None, description="Shown in the OpenAPI document.")

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "threshold",
            "!has(self.threshold) || !has(self.thresholds)",
            "must not stand beside thresholds: use one of the two",
            lambda f: f.threshold is None or f.thresholds is None,
        ),
        Rule(
            "labels",
            "!has(self.threshold) || !has(self.labels) || size(self.labels) == 2",
            "must be two where there is one threshold",
            lambda f: f.threshold is None or f.labels is None or len(f.labels) == 2,
        ),
        Rule(
            "labels",
            "!has(self.thresholds) || !has(self.labels) || size(self.labels) == size(self.thresholds) + 1",
            "must be one more than thresholds",
            lambda f: (
                f.thresholds is None or f.labels is None or len(f.labels) == len(f.thresholds) + 1
            ),
        ),
        Rule(
            "labels",
            "!has(self.labels) || self.labels.all(v, self.labels.exists_one(w, w == v))",
            "must not name a label twice",
            lambda f: f.labels is None or len(set(f.labels)) == len(f.labels),
        ),
        Rule(
            "thresholds",
            "!has(self.thresholds) || self.thresholds.isSorted()",
            "must be ascending",
            lambda f: f.thresholds is None or f.thresholds == sorted(set(f.thresholds)),
        ),
        Rule(
            "index",
            "!has(self.index) || has(self.tensor)",
            "needs the tensor it is a column of",
            lambda f: f.index is None or f.tensor is not None,
        ),
    )


def _names_once(fields: list[InputField] | list[OutputField] | None) -> bool:
    names = [field.name for field in fields or ()]
    return len(set(names)) == len(names)


class Contract(Model):
    """What callers see instead of tensors; on the Endpoint it is the promise behind the stable URL."""

    inputs: list[InputField] | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Fields that callers send, in tensor order.",
    )
    outputs: list[OutputField] | None = Field(
        default=None, min_length=1, max_length=1000, description="Fields that callers get."
    )
    unknown_fields: Literal["error", "drop"] | None = Field(
        default=None,
        description="What happens to a field that is not in the contract: `error` (default) is a 422, `drop` ignores it.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "inputs",
            "",  # a list-map by name: the API server refuses a second entry by itself
            "must not name a field twice",
            lambda c: _names_once(c.inputs),
        ),
        Rule("outputs", "", "must not name a field twice", lambda c: _names_once(c.outputs)),
    )
