"""From plain data to a model, or to one sentence for each mistake: what is, and what should be.

Called by the reader of manifests and by whatever gets objects from an API server. Data goes through JSON, so that it
is judged as an API server would judge it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from wye_operator.api.base import SERVED, TWICE
from wye_operator.api.fields import Path, Schema, no_name, schema_at, schema_of, wanted
from wye_operator.api.objects import API_VERSION, KINDS, Deployment, Endpoint
from wye_operator.errors import FieldProblem, WyeError

M = TypeVar("M", bound=BaseModel)
MOST_SHOWN = 60
MOST_LEVELS = 100  # of nesting, in one field of a spec: readers of JSON have limits that cannot be told from mistakes
TOO_DEEP = f"is nested too deeply: at most {MOST_LEVELS} levels"
CREDENTIALS = re.compile(r"//[^/@]+@")
GO_INTEGRAL = 1e21  # a whole float below this is an integer in the JSON that kubectl sends
KEPT_TO_ITSELF = "environmentVariables"  # may hold a password: its values are never shown


class Invalid(WyeError):
    """An object that is no Endpoint and no Deployment; `problems` has every mistake, sorted by path."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


def parse(manifest: Mapping[str, object]) -> Endpoint | Deployment:
    """The object that a manifest describes. Raises `Invalid` with all of its mistakes at once."""
    kind = manifest.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise Invalid(tuple(_kind_problems(manifest)))
    deep = _too_deep(manifest.get("spec"))
    if deep:
        raise Invalid(tuple(FieldProblem(("spec", name), TOO_DEEP) for name in deep))
    try:
        return model.model_validate_json(json.dumps(_as_json(manifest)))
    except ValidationError as error:
        schema, kind_name = schema_of(model), model.__name__
        found = {p for detail in error.errors() for p in _problems(detail, schema, kind_name)}
        raise Invalid(tuple(sorted(found, key=_order))) from None


def understood(
    model: type[M], spec: Mapping[str, object], stand_ins: Mapping[str, object] | None = None
) -> tuple[M, str]:
    """A spec that an API server accepted, without the fields that Wye refuses; and what is wrong with these.

    `stand_ins` are there instead of needed fields. Raises ValidationError where nothing is left to work with.
    """
    deep = _too_deep(spec)
    if deep:
        flat = {name: value for name, value in spec.items() if name not in deep}
        read, said = understood(model, {**(stand_ins or {}), **flat}, stand_ins)
        return read, "; ".join(filter(None, (*(f"spec.{name} {TOO_DEEP}" for name in deep), said)))
    try:
        return model.model_validate_json(json.dumps(_as_json(spec)), context=SERVED), ""
    except ValidationError as error:
        schema, found = schema_of(model), error.errors()
        problems = sorted({p for detail in found for p in _problems(detail, schema, "spec")}, key=_order)
    wrong = {problem.path[0] for problem in problems if problem.path}
    rest = {**(stand_ins or {}), **{name: value for name, value in spec.items() if name not in wrong}}
    said = "; ".join(f"spec.{problem.field} {problem.message}" for problem in problems)
    return model.model_validate_json(json.dumps(_as_json(rest)), context=SERVED), said


def shown(value: object) -> str:
    """A value as a sentence names it, with its type."""
    if isinstance(value, str):
        return f"{_quoted(value)} (a string)"
    if isinstance(value, bool):
        return f"{json.dumps(value)} (a boolean)"
    if isinstance(value, int | float):
        return f"{_cut(str(value))} (a number)"
    return _type_of(value)


def _kind_problems(manifest: Mapping[str, object]) -> Iterator[FieldProblem]:
    version, kind = manifest.get("apiVersion"), manifest.get("kind")
    if version is None:
        yield FieldProblem(("apiVersion",), f"is required: {API_VERSION}")
    elif version != API_VERSION:
        yield FieldProblem(("apiVersion",), f"is {shown(version)}; must be {API_VERSION}")
    known = " or ".join(KINDS)
    says = "is required" if kind is None else f"is {_quoted(kind)}"
    close = get_close_matches(str(kind).capitalize(), KINDS, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    yield FieldProblem(("kind",), f"{says}; must be {known}{hint}")


def _too_deep(spec: object) -> list[str]:
    """The fields of a spec in which too much stands in one another; level by level, for recursion is what may end."""
    return sorted(str(name) for name, value in spec.items() if _is_deep(value)) if isinstance(spec, Mapping) else []


def _is_deep(value: object) -> bool:
    layer = [value]
    for _ in range(MOST_LEVELS + 1):
        layer = [item for outer in layer for item in _inside(outer)]
        if not layer:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _as_json(value: Any) -> Any:
    """The value as kubectl would send it: whole floats are integers, and JSON has no NaN."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < GO_INTEGRAL:
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _problems(detail: ErrorDetails, schema: Schema, kind: str) -> Iterator[FieldProblem]:
    path, error = detail["loc"], detail["type"]
    if error == "rules":
        for field, message in detail["ctx"]["broken"]:
            below = tuple(filter(None, field.split(".")))
            yield FieldProblem((*path, *below), _with_figure(detail["input"], below, message))
    elif error == "twice":
        place, name = detail["ctx"]["place"], _quoted(detail["ctx"]["name"])
        yield FieldProblem((*path, place), TWICE.format(name))
    elif error == "extra_forbidden":
        yield FieldProblem(path, _unknown(path, schema, kind))
    elif error == "missing":
        description = schema_at(schema, path).get("description", "")
        yield FieldProblem(path, f"is required: {_begin(description)}")
    elif path and path[-1] == "[key]":
        yield FieldProblem(path[:-1], no_name(schema_at(schema, path[:-2])) + _hint(detail))
    else:
        yield FieldProblem(path, _is_and_must_be(detail, schema_at(schema, path)))


def _with_figure(value: Any, below: tuple[str, ...], message: str) -> str:
    """The sentence of a rule, with what stands there where it says only what must be."""
    for name in below:
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, str | int | float) and message.startswith("must"):
        return f"is {_quoted(value) if isinstance(value, str) else json.dumps(value)}; {message}"
    return message


def _unknown(path: Path, schema: Schema, kind: str) -> str:
    """The sentence for a field that does not exist, with the nearest one that does."""
    above, name = schema_at(schema, path[:-1]), str(path[-1])
    if name in above.get("x-refused", {}):
        return str(above["x-refused"][name])
    place = " ".join(filter(None, [kind, FieldProblem(path[:-1], "").field]))
    known = [field for field, child in above["properties"].items() if "description" in child]
    by_letters = {_letters(field): field for field in known}
    close = get_close_matches(_letters(name), by_letters, 1)
    hint = f"did you mean '{by_letters[close[0]]}'?" if close else f"its fields: {', '.join(known)}"
    return f"is not a field of {place}; {hint}"


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_and_must_be(detail: ErrorDetails, schema: Schema) -> str:
    value, must_be = detail["input"], wanted(schema)
    if KEPT_TO_ITSELF in detail["loc"]:
        return f"is {_type_of(value)}; must be {must_be}{_quotes(value, schema)}"
    return f"is {_what(value, schema)}; must be {must_be}" + (_hint(detail) or _quotes(value, schema))


def _what(value: object, schema: Schema) -> str:
    """What stands there, as far as it says why it is wrong."""
    if value == "":
        return "empty"
    if isinstance(value, str) and len(value) > schema.get("maxLength", math.inf):
        return f"{len(value)} characters long"
    if isinstance(value, str) and (schema.get("type") == "string" or "x-sentence" in schema):
        return _quoted(value)
    if isinstance(value, list | dict) and schema.get("type") == _json_type(value):
        return f"{_type_of(value)} of {len(value)} {'entry' if len(value) == 1 else 'entries'}"
    return shown(value)


def _quotes(value: object, schema: Schema) -> str:
    """How to write what YAML took for another type."""
    text_wanted = schema.get("type") == "string"
    if isinstance(value, bool) and text_wanted:
        return "; YAML reads y, n, Yes, No, On and Off as booleans: put it in quotes"
    if isinstance(value, int | float) and text_wanted:
        return "; put it in quotes"
    if isinstance(value, str) and schema.get("type") in ("integer", "number", "boolean"):
        return "; write it without quotes" if _is_scalar(value) else ""
    return ""


def _is_scalar(text: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?|true|false", text) is not None


def _hint(detail: ErrorDetails) -> str:
    hint = detail.get("ctx", {}).get("hint", "")
    return f"; {hint}" if hint else ""


def _begin(description: str) -> str:
    """The beginning of a description, as the end of a sentence."""
    first = re.split(r"[.;] |\.$", description, maxsplit=1)[0]
    return first[:1].lower() + first[1:]


def _quoted(value: object) -> str:
    """The value as Python writes it, without a password that stands in an address."""
    return _cut(CREDENTIALS.sub("//…@", repr(value)))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _json_type(value: object) -> str:
    return "array" if isinstance(value, list) else "object"


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "a map")


def _order(problem: FieldProblem) -> tuple[object, ...]:
    places = tuple((0, p, "") if isinstance(p, int) else (1, 0, p) for p in problem.path)
    return places, problem.message
