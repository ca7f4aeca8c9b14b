"""The typed contract: the fields that callers send and get, and how a model's tensors carry them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from wye_operator.api.base import Description, Model, Rule, Text, Unique

RESERVED_FIELDS = ("instances", "data", "input_data")
FIELD_NAME = Text(
    pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$",
    most=63,
    sentence="letters, digits, '_', '.' and '-', beginning with a letter or '_', at most 63 characters",
)


class AnyScalar:
    """One JSON value that is no list and no object. A structural schema has no type for it."""

    @staticmethod
    def checked(value: Any) -> bool | int | float | str:
        """The value itself, when it is a scalar."""
        if not isinstance(value, bool | int | float | str):
            raise PydanticCustomError("text", "text", {"hint": ""})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        sentence = "true or false, a number or a string"
        return {"x-kubernetes-preserve-unknown-fields": True, "x-sentence": sentence}


class Exact:
    """A double cannot say every integer beyond 2^53: there, the integer that was written stays."""

    @staticmethod
    def checked(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        """What pydantic makes of it, but for such an integer."""
        return value if type(value) is int and abs(value) > 2**53 else handler(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self.checked, handler(source))


FieldName = Annotated[str, FIELD_NAME]
TensorName = Annotated[str, Field(min_length=1, max_length=512)]
Index = Annotated[int, Field(ge=0, le=1_000_000)]
Word = Annotated[str, Field(max_length=253)]
Bound = Annotated[float, Exact()]
Scalar = Annotated[bool | int | float | str, AnyScalar()]
FieldType = Literal["number", "integer", "boolean", "string", "text", "image"]
WORDS = ("boolean", "string", "text", "image")  # types that are no numbers

INDEX_NEEDS_TENSOR = Rule(
    "index",
    "!has(self.index) || has(self.tensor)",
    "needs the tensor it is a column of: set tensor too",
    lambda field: field.index is None or field.tensor is not None,
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _default_fits_type(field: InputField) -> bool:
    value, kind = field.default, field.type
    if value is None or kind is None:
        return True
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "image":
        return True  # a rule of its own
    if kind in ("string", "text"):
        return isinstance(value, str)
    return _is_number(value) and (kind == "number" or float(value).is_integer())


def _default_in_range(field: InputField) -> bool:
    value = field.default
    if isinstance(value, str) or not _is_number(value):
        return True
    above = field.minimum is None or value >= field.minimum  # type: ignore[operator]
    return above and (field.maximum is None or value <= field.maximum)  # type: ignore[operator]


class InputField(Model):
    """One field that callers send."""

    name: FieldName = Field(description="The field's name in the body of `/score`.")
    type: FieldType | None = Field(
        default=None,
        description="Type of the value; `number` where neither the Endpoint nor the Deployment says one. `text` is a "
        "string that may also be the whole body (`text/plain`), `image` a JPEG or PNG: base64 in JSON, or as the whole "
        "body (`image/jpeg`, `image/png`).",
    )
    minimum: Bound | None = Field(default=None, description="Smallest value, inclusive.")
    maximum: Bound | None = Field(default=None, description="Largest value, inclusive.")
    values: Annotated[list[Word], Field(min_length=1, max_length=1000), Unique()] | None = Field(
        default=None,
        description="The strings that are valid; a numeric tensor gets the value's index in this list.",
    )
    default: Scalar | None = Field(
        default=None,
        description="Used when the field is left out; without a default the field is required.",
    )
    description: Description | None = Field(default=None, description="Shown in the OpenAPI document.")
    tensor: TensorName | None = Field(default=None, description="The model's input that carries it. Default: by order.")
    index: Index | None = Field(default=None, description="Column inside that tensor.")

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
            "!has(self.type) || self.type in ['number', 'integer'] || (!has(self.minimum) && !has(self.maximum))",
            "must be number or integer where minimum or maximum is given",
            lambda f: f.type not in WORDS or f.minimum is f.maximum is None,
        ),
        Rule(
            "type",
            "!has(self.values) || (has(self.type) && self.type == 'string')",
            "must be string where values are given",
            lambda f: f.values is None or f.type == "string",
        ),
        Rule(
            "default",
            "",
            "must not be given for an image: it has none",
            lambda f: f.default is None or f.type != "image",
        ),
        Rule(
            "default",
            "",  # any scalar: the API server has no type for it, so CEL cannot see it
            "must be a value of the field's own type",
            _default_fits_type,
        ),
        Rule(
            "default",
            "",
            "must be one of the values",
            lambda f: f.default is None or f.values is None or f.default in f.values,
        ),
        Rule("default", "", "must be between minimum and maximum", _default_in_range),
        INDEX_NEEDS_TENSOR,
    )


class OutputField(Model):
    """One field that callers get: a number, a decision by threshold, or a class."""

    name: FieldName = Field(description="The field's name in the answer of `/score`.")
    tensor: TensorName | None = Field(
        default=None,
        description="The model's output that carries it. Default: the one of that name, else the only one.",
    )
    index: Index | None = Field(default=None, description="Column inside that tensor.")
    labels: Annotated[list[Word], Field(min_length=2, max_length=10_000), Unique()] | None = Field(
        default=None,
        description="Names of the decision, of the scale or of the classes; without labels the answer is "
        "the number itself.",
    )
    threshold: float | None = Field(
        default=None, description="With two labels: the second where the value is at least this."
    )
    thresholds: Annotated[list[float], Field(min_length=1, max_length=1000), Unique()] | None = Field(
        default=None,
        description="Ascending, one fewer than labels: an ordered scale.",
    )
    description: Description | None = Field(default=None, description="Shown in the OpenAPI document.")

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
            lambda f: f.thresholds is None or f.labels is None or len(f.labels) == len(f.thresholds) + 1,
        ),
        Rule(
            "thresholds",
            "!has(self.thresholds) || self.thresholds.isSorted()",
            "must be ascending",
            lambda f: f.thresholds is None or f.thresholds == sorted(f.thresholds),
        ),
        INDEX_NEEDS_TENSOR,
    )


class Contract(Model):
    """What callers see instead of tensors; on the Endpoint it is the promise behind the stable URL."""

    inputs: Annotated[list[InputField], Field(min_length=1, max_length=1000), Unique("name")] | None = Field(
        default=None, description="Fields that callers send, in tensor order."
    )
    outputs: Annotated[list[OutputField], Field(min_length=1, max_length=100), Unique("name")] | None = Field(
        default=None, description="Fields that callers get."
    )
    unknown_fields: Literal["error", "drop"] | None = Field(
        default=None,
        description="What happens to a field that is not in the contract: `error` (the default) is a "
        "422, `drop` ignores it.",
    )
