"""The same description for tools that know no OpenAPI 3.1: 3.0, and the 2.0 that is Azure ML's own default.

Made from the document in 3.1, so that the three never tell different things; what an older version has no words for
is left out or said in a description.
"""

from collections.abc import Callable, Mapping
from typing import Any

from wye_runtime.openapi.fields import Schema

NULL = "null"
ELSEWHERE = {"#/components/schemas/": "#/definitions/", "#/components/responses/": "#/responses/"}
VALUES = ("example", "examples", "default", "enum")
BODY = "serviceInputPayload"  # Azure's name for it


def as_30(document: Schema) -> Schema:
    """In OpenAPI 3.0, where null is no type and an example stands alone."""
    return {**mapped(document, schema_30), "openapi": "3.0.3"}


def as_20(document: Schema) -> Schema:
    """In Swagger 2.0: one body, one form of answer a status, no choice among schemas."""
    parts = document["components"]
    made = {
        "swagger": "2.0",
        "info": document["info"],
        "basePath": "/",
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "security": document["security"],
        "securityDefinitions": {name: security_20(each) for name, each in parts["securitySchemes"].items()},
        "paths": {path: operations_20(item) for path, item in document["paths"].items()},
        "definitions": parts["schemas"],
        "responses": {code: response_20(each) for code, each in parts["responses"].items()},
    }
    found: Schema = mapped(mapped(made, schema_30), schema_20)
    return found


def mapped(value: Any, change: Callable[[Schema], Schema]) -> Any:
    """A document with each of its objects changed, the inner ones first; not what callers name, nor their values."""
    if isinstance(value, list):
        return [mapped(each, change) for each in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, each in value.items():
        if key == "properties" and isinstance(each, dict):
            made[key] = {name: mapped(one, change) for name, one in each.items()}
        else:
            made[key] = each if key in VALUES else mapped(each, change)
    return change(made)


def schema_30(given: Schema) -> Schema:
    """An object of the document; what is no schema has none of these keys."""
    made = dict(given)
    kinds = made.get("type")
    if isinstance(kinds, list):
        made["type"] = next(each for each in kinds if each != NULL)
        made["nullable"] = NULL in kinds
    if made.get("type") == "array":
        made.setdefault("items", {})
    examples = made.pop("examples", None)
    if isinstance(examples, list):
        made["example"] = examples[0]
    if made.pop("contentEncoding", None):
        made["format"] = "byte"
        made.pop("contentMediaType", None)
    return made


def schema_20(given: Schema) -> Schema:
    """The first of several forms, and a sentence that there are others."""
    made = dict(given)
    if made.pop("nullable", False):
        made["x-nullable"] = True
    forms = made.pop("oneOf", None) or made.pop("anyOf", None)
    if forms and "$ref" not in made:
        first = {} if "description" in made else forms[0]
        told = made.get("description") or "one of several forms; the others are described in version 3 and 3.1"
        made = {**first, **made, "description": told}
        if "$ref" in first:
            made = {"allOf": [{"$ref": first["$ref"]}], "description": told}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = moved(made["$ref"])
    return made


def moved(reference: str) -> str:
    """A reference, to where Swagger 2.0 keeps such things."""
    for old, new in ELSEWHERE.items():
        reference = reference.replace(old, new)
    return reference


def security_20(scheme: Mapping[str, Any]) -> Schema:
    """Swagger 2.0 knows no bearer tokens, only headers."""
    if scheme["type"] == "apiKey":
        return dict(scheme)
    return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "the word Bearer, then the key"}


def operations_20(item: Mapping[str, Any]) -> Schema:
    """All operations of a path."""
    return {verb: operation_20(each) for verb, each in item.items()}


def operation_20(operation: Mapping[str, Any]) -> Schema:
    """An operation with its body among its parameters, and its media types for all answers at once."""
    made = {key: each for key, each in operation.items() if key not in ("requestBody", "parameters", "responses")}
    parameters = [parameter_20(each) for each in operation.get("parameters", ())]
    body = operation.get("requestBody")
    if body:
        kinds = body["content"]
        schema = next(iter(kinds.values())).get("schema", {})
        parameters.append({"name": BODY, "in": "body", "required": True, "schema": schema})
        made["consumes"] = list(kinds)
    answers = operation["responses"]
    produces = list(answers["200"].get("content", {}))
    more = {"parameters": parameters} if parameters else {}
    responses = {code: response_20(each) for code, each in answers.items()}
    return {**made, **more, "produces": produces, "responses": responses}


def parameter_20(parameter: Mapping[str, Any]) -> Schema:
    """A parameter without the schema around its type."""
    return {**{key: each for key, each in parameter.items() if key != "schema"}, **parameter["schema"]}


def response_20(response: Mapping[str, Any]) -> Schema:
    """A response with one schema for all its media types."""
    if "$ref" in response:
        return dict(response)
    kinds = response.get("content", {})
    schema = next((each["schema"] for each in kinds.values() if "schema" in each), None)
    return {"description": response["description"], **({"schema": schema} if schema else {})}
