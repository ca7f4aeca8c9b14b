"""The description of a script's service in Swagger 2, OpenAPI 3.0 and 3.1, as Azure's server gives it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wye_runtime.scripts.inputs import Refused
from wye_runtime.scripts.schemas import Schema, schemas_of, versions_of
from wye_runtime.scripts.script import Script
from wye_runtime.scripts.settings import ScriptSettings

Document = dict[str, Any]
ALIASES: Mapping[str, tuple[str, ...]] = {"2": ("2", "2.0"), "3": ("3", "3.0"), "3.1": ("3.1",)}
DEFAULT = "2"
UP = "If service is up and running, this response will be returned with the content 'Healthy'"
DONE = "The service processed the input correctly and provided a result prediction, if applicable."
FAILED = "The service failed to execute due to an error."
HEALTH = "Simple health check endpoint to ensure the service is up at any given point."
RUN = "Run web service's model and get the prediction output"
PAYLOAD = "The input payload for executing the real-time machine learning service."
BEARER = {"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}
ERROR = {"type": "object", "properties": {"message": {"type": "string"}}}


class Swagger:
    """All versions, made once."""

    def __init__(self, script: Script, folder: Path, settings: ScriptSettings) -> None:
        self.documents = {version: document(version, script, folder, settings) for version in ALIASES}

    def get(self, asked: str | None) -> Document:
        """One version; 404 where it is none, or the script cannot be described in it."""
        wanted = DEFAULT if asked is None else asked
        has = ", ".join(version for version, made in self.documents.items() if made is not None)
        version = next((version for version, names in ALIASES.items() if wanted in names), None)
        if version is None:
            raise Refused(404, f"Swagger version [{wanted}] is not valid. Supported versions: [{has}].")
        made = self.documents[version]
        if made is None:
            why = "is not supported for the scoring script"
            raise Refused(404, f"Swagger version [{wanted}] {why}. Supported swagger versions: [{has}].")
        return made


def document(version: str, script: Script, folder: Path, settings: ScriptSettings) -> Document | None:
    """The user's own file, else what the decorators say; None where they cannot say it in this version."""
    names = ("swagger.json", "swagger2.json") if version == "2" else (f"swagger{version}.json",)
    for file in (folder / name for name in names):
        if file.is_file():
            own: Document = json.loads(file.read_bytes())
            return own
    if not set(ALIASES[version]) & set(versions_of(script.run)):
        return None
    made = swagger(settings, *schemas_of(script.run)) if version == "2" else openapi(settings, *schemas_of(script.run))
    return {**made, "openapi": "3.1.0"} if version == "3.1" else made


def information(settings: ScriptSettings) -> Document:
    """Title, description and version, in Azure's words."""
    told = f"API specification for the Azure Machine Learning service {settings.service}"
    return {"title": settings.service, "description": told, "version": settings.version}


def get(operation: str, description: str, **more: Any) -> Document:
    """A GET."""
    return {"get": {"operationId": operation, "description": description, **more}}


def swagger(settings: ScriptSettings, takes: Schema, gives: Schema) -> Document:
    """Swagger 2.0."""
    failed = {"description": FAILED, "schema": {"$ref": "#/definitions/ErrorResponse"}}
    text = {"type": "string"}
    up = {"description": UP, "schema": text, "examples": {"application/json": "Healthy"}}
    specification = {"description": "The Swagger specification.", "schema": text}
    done = {"description": DONE, "schema": {"$ref": "#/definitions/ServiceOutput"}}
    asked = {"name": "version", "in": "query", "required": False, "type": "integer", "enum": [2, 3]}
    payload = {"name": "serviceInputPayload", "in": "body", "description": PAYLOAD}
    payload["schema"] = {"$ref": "#/definitions/ServiceInput"}  # type: ignore[assignment]
    run = {"operationId": "RunMLService", "description": RUN, "security": [{"Bearer": []}], "parameters": [payload]}
    described = get("GetSwaggerSpec", "Get the Swagger specification.", parameters=[asked])
    described["get"]["responses"] = {"200": specification, "default": failed}
    return {
        "swagger": "2.0",
        "info": information(settings),
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": BEARER},
        "paths": {
            f"{settings.prefix}/": get("ServiceHealthCheck", HEALTH, responses={"200": up, "default": failed}),
            f"{settings.prefix}/score": {"post": {**run, "responses": {"200": done, "default": failed}}},
            f"{settings.prefix}/swagger.json": described,
        },
        "definitions": {"ServiceInput": takes, "ServiceOutput": gives, "ErrorResponse": ERROR},
    }


def openapi(settings: ScriptSettings, takes: Schema, gives: Schema) -> Document:
    """OpenAPI 3.0."""
    failed = {"description": FAILED, "content": content("ErrorResponse")}
    up = {"description": UP, "content": {"text/plain": {"schema": {"type": "string", "example": "Healthy"}}}}
    plain = {"text/plain": {"schema": {"type": "string"}}}
    specification = {"description": "The Swagger specification.", "content": plain}
    done = {"description": DONE, "content": content("ServiceOutput")}
    asked = {"name": "version", "in": "query", "required": False, "schema": {"type": "integer", "enum": [2, 3]}}
    body = {"description": PAYLOAD, "content": content("ServiceInput")}
    run = {"operationId": "RunMLService", "description": RUN, "security": [{"Bearer": []}], "requestBody": body}
    described = get("GetSwaggerSpec", "Get the Swagger specification.", parameters=[asked])
    described["get"]["responses"] = {"200": specification, "default": failed}
    schemas = {"ServiceInput": takes, "ServiceOutput": gives, "ErrorResponse": ERROR}
    return {
        "openapi": "3.0.3",
        "info": information(settings),
        "security": [{"Bearer": []}],
        "paths": {
            f"{settings.prefix}/": get("ServiceHealthCheck", HEALTH, responses={"200": up, "default": failed}),
            f"{settings.prefix}/score": {"post": {**run, "responses": {"200": done, "default": failed}}},
            f"{settings.prefix}/swagger.json": described,
        },
        "components": {"schemas": schemas, "securitySchemes": {"Bearer": BEARER}},
    }


def content(schema: str) -> Document:
    """A body in JSON."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
