"""The base of every API model: strict, frozen, camelCase, unknown fields refused; and how a rule is declared.

A rule stands beside its field once, with the CEL that the CRD will carry, the Python check that the twin runs and
the sentence that both show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAME_SENTENCE = (
    "lower-case letters, digits and '-', beginning with a letter, ending with a letter or digit, "
    "at most 40 characters"
)
QUANTITY_PATTERN = r"^[1-9][0-9]*(Ki|Mi|Gi|k|M|G)?$"
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=40)]


@dataclass(frozen=True, slots=True)
class Rule:
    """A check across fields of one object; `field` is the one to point at, relative to the object."""

    field: str
    cel: str
    sentence: str
    holds: Callable[[Any], bool]
    figure: Callable[[Any], object] | None = None

    def message(self, value: object) -> str:
        """The sentence, with the figure that broke the rule in place of `{}`."""
        return self.sentence.format(self.figure(value)) if self.figure else self.sentence


class Model(BaseModel):
    """Base of what users write. Raises `ValidationError`; `validation.problems_of` makes sentences of it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, validate_default=False
    )
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        broken = [(rule.field, rule.message(self)) for rule in self.RULES if not rule.holds(self)]
        if broken:
            raise PydanticCustomError("rules", "rules", {"broken": broken})
        return self


def two_decimals(value: float) -> float:
    """Refuse a percentage finer than the router splits: 0.01 %."""
    if abs(value * 100 - round(value * 100)) > 1e-6:
        raise PydanticCustomError("decimals", "must have at most two decimals")
    return value


Percent = Annotated[float, Field(ge=0, le=100), AfterValidator(two_decimals)]
ByteQuantity = Annotated[str, Field(pattern=QUANTITY_PATTERN)] | Annotated[int, Field(ge=1)]


def byte_count(quantity: str | int) -> int:
    """Bytes of a Kubernetes quantity such as `64Mi` (a plain number is bytes)."""
    if isinstance(quantity, int):
        return quantity
    digits = quantity.rstrip("kKMGi")
    return int(digits) * UNITS[quantity[len(digits) :]]
