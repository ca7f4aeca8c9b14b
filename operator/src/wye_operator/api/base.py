"""The base of every API model, and how a constraint is declared: once, beside its field.

A declaration carries what the CRD says (pattern, list type, CEL), what the twin checks, and the sentence both show.
Models are strict, frozen and camelCase; unknown fields are refused; a null is an absent field, as for the API server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

TWICE = "names {} a second time; each may stand once"
NOT_BUILT = "is not built in this version of Wye; remove it"
ATOMIC: dict[str, Any] = {"x-kubernetes-map-type": "atomic"}  # of a map that is one thing: two owners never mix it
SERVED = {"served": True}  # the validation context of what an API server has accepted
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def no_hint(value: str) -> str:
    """A text for which nothing better can be proposed."""
    return ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A check across the fields of one object, or of one value when it stands in a type.

    `field` is the one to point at, relative to the object. `cel` is empty where an API server cannot check it: the
    operator then says it in a condition. `figure` (and `figure_cel`) is what stands in the sentence in place of `{}`.
    """

    field: str
    cel: str
    sentence: str
    holds: Callable[[Any], bool]
    figure: Callable[[Any], str] | None = None
    figure_cel: str = ""
    in_condition: bool = False  # where an API server let it pass, the planner finds it again and says it

    def message(self, value: object) -> str:
        """The sentence, with the figure that broke the rule."""
        return self.sentence.format(self.figure(value)) if self.figure else self.sentence

    def for_crd(self) -> dict[str, str]:
        """The rule as an entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": self.sentence.replace("{}", "…")}
        if self.field:
            entry["fieldPath"] = f".{self.field}"
        if self.figure_cel:
            text = self.sentence.replace("{}", "%s")
            entry["messageExpression"] = f'"{text}".format([{self.figure_cel}])'
        return entry

    def checked(self, value: Any) -> Any:
        """The value itself, when the rule holds."""
        if not self.holds(value):
            raise PydanticCustomError("rules", "rules", {"broken": [("", self.message(value))]})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return _with_rules(handler(schema), (self,))


def one_of(first: str, second: str, neither: str) -> tuple[Rule, Rule]:
    """Of two fields exactly one stands: what to say where there is none, and where there are both."""
    names = [re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", field) for field in (first, second)]

    def stand(value: object) -> list[bool]:
        return [getattr(value, name) is not None for name in names]

    one, other = f"has(self.{first})", f"has(self.{second})"
    both = f"must not have both {first} and {second}: take one of them out"
    return (
        Rule("", f"{one} || {other}", neither, lambda value: any(stand(value))),
        Rule("", f"!({one} && {other})", both, lambda value: not all(stand(value))),
    )


@dataclass(frozen=True, slots=True)
class Text:
    """A string of one form; `sentence` says which, `hint` proposes a right one for a wrong one."""

    pattern: str
    most: int
    sentence: str
    hint: Callable[[str], str] = no_hint

    def checked(self, value: str) -> str:
        """The value itself, when it has the form."""
        if len(value) > self.most or not re.fullmatch(self.pattern, value):
            raise PydanticCustomError("text", "text", {"hint": self.hint(value)})
        return value

    def for_crd(self) -> dict[str, Any]:
        """The form as JSON schema."""
        return {"pattern": self.pattern, "maxLength": self.most, "x-sentence": self.sentence}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), **self.for_crd()}


@dataclass(frozen=True, slots=True)
class TextOrNumber:
    """A string of one form, or a whole number that is at least `least` (Kubernetes' int-or-string)."""

    text: Text
    least: int

    def checked(self, value: Any) -> str | int:
        """The value itself, when it is one of the two."""
        if isinstance(value, str):
            return self.text.checked(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < self.least:
            raise PydanticCustomError("text", "text", {"hint": ""})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        union = {"x-kubernetes-int-or-string": True, "minimum": self.least}
        return {**union, **self.text.for_crd()}


@dataclass(frozen=True, slots=True)
class Unique:
    """A list without duplicates: of scalars (a set), or of objects that one field identifies (a list-map)."""

    key: str = ""

    def checked(self, values: list[Any]) -> list[Any]:
        """The list itself; the second of two that are the same is the one to point at."""
        seen: set[object] = set()
        for place, value in enumerate(values):
            identity = _identity(value, self.key) if self.key else value
            if identity in seen:
                raise PydanticCustomError("twice", "twice", {"place": place, "name": identity})
            seen.add(identity)
        return values

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        if not self.key:
            return {**handler(schema), "x-kubernetes-list-type": "set"}
        keys = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}
        return {**handler(schema), **keys}


def _identity(value: Any, key: str) -> object:
    """The field that identifies an item, of a model or of a plain map."""
    return value[key] if isinstance(value, Mapping) else getattr(value, key)


class Model(BaseModel):
    """Base of what users write. Raises `ValidationError`; `validation.parse` makes sentences of it.

    `REFUSED` has a better sentence than "unknown" for fields that are not there: above all those of later versions.
    `IMMUTABLE` fields keep the value, or the absence, that they were created with.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_default=False,
        allow_inf_nan=False,
    )
    RULES: ClassVar[tuple[Rule, ...]] = ()
    REFUSED: ClassVar[Mapping[str, str]] = {}
    IMMUTABLE: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None}

    @model_validator(mode="after")
    def _rules_hold(self, info: ValidationInfo) -> Self:
        rules = (rule for rule in self.RULES if not (rule.in_condition and info.context == SERVED))
        broken = [(rule.field, rule.message(self)) for rule in rules if not rule.holds(self)]
        if broken:
            raise PydanticCustomError("rules", "rules", {"broken": broken})
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        described = handler.resolve_ref_schema(handler(schema))
        described["x-refused"] = dict(cls.REFUSED)
        described = _with_rules(described, cls.RULES)
        fixed = [_unchanged(field, to_do) for field, to_do in cls.IMMUTABLE.items()]
        if fixed:
            known = described.get("x-kubernetes-validations", ())
            described["x-kubernetes-validations"] = [*known, *fixed]
        return described


def _unchanged(field: str, to_do: str) -> dict[str, str]:
    """A field that cannot change, as an entry of `x-kubernetes-validations`."""
    same = f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    return {"rule": same, "message": f"cannot change: {to_do}", "fieldPath": f".{field}"}


def _with_rules(schema: dict[str, Any], rules: tuple[Rule, ...]) -> dict[str, Any]:
    """The schema with the rules' sentences, and with those an API server can check in its own words."""
    told = [{"field": rule.field, "sentence": rule.sentence} for rule in rules]
    schema["x-rules"] = [*schema.get("x-rules", ()), *told]
    in_crd = [rule.for_crd() for rule in rules if rule.cel]
    if in_crd:
        schema["x-kubernetes-validations"] = [
            *schema.get("x-kubernetes-validations", ()),
            *in_crd,
        ]
    return schema


def _valid_name(value: str) -> str:
    """The name in lower case with '-' for what is not allowed, where that is one."""
    lowered = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
    return f"use '{lowered}'" if NAME.most >= len(lowered) and lowered[:1].isalpha() else ""


NAME = Text(
    pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
    most=40,
    sentence="lower-case letters, digits and '-', beginning with a letter, ending with a letter or "
    "digit, at most 40 characters",
    hint=_valid_name,
)
OBJECT_NAME = Text(
    pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
    most=253,
    sentence="the name of an object: lower-case letters, digits, '-' and '.', beginning and ending "
    "with a letter or digit, at most 253 characters",
)
BYTES = TextOrNumber(
    Text(
        pattern=r"^[1-9][0-9]*(Ki|Mi|Gi|k|M|G)?$",
        most=20,
        sentence="a whole number of bytes above 0, alone or with k, M, G, Ki, Mi or Gi, such as 64Mi",
    ),
    least=1,
)
TWO_DECIMALS = Rule(
    "",
    "self * 100.0 - double(int(self * 100.0 + 0.5)) < 0.000001 && "
    "self * 100.0 - double(int(self * 100.0 + 0.5)) > -0.000001",
    "must have at most two decimals: routers split to 0.01 percent",
    lambda value: abs(value * 100 - round(value * 100)) < 1e-6,
)

Name = Annotated[str, NAME]
Percent = Annotated[float, Field(ge=0, le=100), TWO_DECIMALS]
ByteQuantity = Annotated[str | int, BYTES]
Description = Annotated[str, Field(max_length=2048)]
Tags = Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=64)]


def byte_count(quantity: str | int) -> int:
    """Bytes of a Kubernetes quantity such as `64Mi` (a plain number is bytes)."""
    if isinstance(quantity, int):
        return quantity
    digits = quantity.rstrip("kKMGi")
    return int(digits) * UNITS[quantity[len(digits) :]]
