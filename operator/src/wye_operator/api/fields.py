"""The fields of the models as one plain JSON schema, and what each wants in words.

`validation` says with it what should be, and the reference pages and the CRDs are made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]
ANY_ITEM, ANY_NAME = "[]", "NAME"  # in the path of a Field: an item of a list, a value of a map


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind: `path` is `("spec", "traffic", "NAME")`."""

    path: tuple[str, ...]
    schema: Schema
    required: bool

    @property
    def text(self) -> str:
        """The path as a person writes it: `spec.contract.inputs[].name`."""
        return ".".join(self.path).replace(".[]", "[]")


@cache
def schema_of(model: type[BaseModel]) -> Schema:
    """The JSON schema of a model without references and without nulls (a null is an absent field)."""
    raw = model.model_json_schema()
    inlined: Schema = _inlined(raw, raw.get("$defs", {}))
    return inlined


def fields_of(schema: Schema, above: tuple[str, ...] = ()) -> Iterator[Field]:
    """Every field below a schema that says something of itself, in the order of the models."""
    for name, child in schema.get("properties", {}).items():
        if "description" in child:
            path = (*above, name)
            yield Field(path, child, name in schema.get("required", ()))
            yield from _fields_inside(child, path)


def _fields_inside(schema: Schema, path: tuple[str, ...]) -> Iterator[Field]:
    yield from fields_of(schema, path)
    if "items" in schema:
        yield from fields_of(schema["items"], (*path, ANY_ITEM))
    elif isinstance(schema.get("additionalProperties"), Mapping):
        yield from fields_of(schema["additionalProperties"], (*path, ANY_NAME))


def schema_at(schema: Schema, path: Path) -> Schema:
    """The schema of the value at a path; an empty one where the path leads out of what is known."""
    for part in path:
        inside = schema.get("additionalProperties", {})
        below = schema.get("items", {}) if isinstance(part, int) else inside
        schema = schema.get("properties", {}).get(part, below)
        if not isinstance(schema, Mapping):
            return {}
    return schema


def wanted(schema: Schema) -> str:
    """What a value must be, as the end of the sentence "must be …"."""
    if "x-sentence" in schema:
        return str(schema["x-sentence"])
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if choices:
        return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
    return WORDS.get(schema.get("type", ""), _nothing_known)(schema)


def no_name(schema: Schema) -> str:
    """The sentence for a key of a map that has not the form of its names."""
    return f"is no name to use here; must be {wanted({'type': 'string', **schema.get('propertyNames', {})})}"


def _nothing_known(schema: Schema) -> str:
    return "something else"


def _number(schema: Schema) -> str:
    noun = "a whole number" if schema["type"] == "integer" else "a number"
    return noun + _span(schema.get("minimum"), schema.get("maximum"))


def _string(schema: Schema) -> str:
    most = schema.get("maxLength")
    noun = "a string that is not empty" if schema.get("minLength") else "a string"
    return f"{noun}, at most {most} characters" if most else noun


def _list(schema: Schema) -> str:
    return "a list" + _entries(schema.get("minItems"), schema.get("maxItems"))


def _map(schema: Schema) -> str:
    needed = schema.get("required", ())
    fields = f" with {', '.join(needed)}" if needed else ""
    return "a map" + fields + _entries(schema.get("minProperties"), schema.get("maxProperties"))


def _span(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {least} to {most}"
    return f", at least {least}" if least is not None else ""


def _entries(least: int | None, most: int | None) -> str:
    if most is None:
        return ""
    return f" of {least} to {most} entries" if least else f" of at most {most} entries"


WORDS = {
    "boolean": lambda schema: "true or false",
    "integer": _number,
    "number": _number,
    "string": _string,
    "array": _list,
    "object": _map,
}


def _inlined(node: Any, definitions: Schema) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, Mapping):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return _inlined({**target, **_without(node, "$ref")}, definitions)
    if "anyOf" in node:
        return _inlined(_without_null(node), definitions)
    if "patternProperties" in node:
        (values,) = node["patternProperties"].values()
        plain = {**_without(node, "patternProperties"), "additionalProperties": values}
        return _inlined(plain, definitions)
    return {key: _inlined(value, definitions) for key, value in node.items() if key != "$defs"}


def _without_null(node: Schema) -> dict[str, Any]:
    """The one alternative that is not null, with what stands beside the choice (but a default of null)."""
    (alternative,) = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
    beside = _without(node, "anyOf")
    if beside.get("default", ...) is None:
        del beside["default"]
    return {**alternative, **beside}


def _without(node: Schema, key: str) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name != key}
