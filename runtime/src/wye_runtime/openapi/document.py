"""The document itself: paths, answers, errors, security."""

from typing import Any

from wye_runtime.codecs import example
from wye_runtime.openapi.fields import Schema, contract_schemas, is_readable, ref, tensor_schemas
from wye_runtime.protocol import BINARY_TYPE, DTYPES, HEADER_LENGTH, JSON_TYPE, Signature
from wye_runtime.service.loading import Loaded
from wye_runtime.settings import Config
from wye_runtime.tensors import to_json

ERRORS = {
    "400": "not JSON, or malformed binary framing",
    "401": "no key, or a wrong one (the router's answer)",
    "404": "no such model, version or route",
    "408": "the body stopped arriving",
    "413": "the body is too large",
    "415": "a content type that is not read here",
    "422": "wrong content; `details` names every offending field",
    "429": "too many requests are waiting; see Retry-After",
    "500": "the model failed",
    "503": "the model is not ready; see Retry-After",
    "504": "the model did not answer in time",
}
SECURITY: Schema = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "requestId"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "requestId": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
TENSOR: Schema = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string", "enum": list(DTYPES)},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    },
}
OUTPUT: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
}


def document(config: Config, loaded: Loaded) -> dict[str, object]:
    """An OpenAPI 3.1 document of this endpoint."""
    source, signature = config.model, loaded.model.signature
    fields = contract_schemas(loaded.contract) if loaded.contract else tensor_schemas(signature)
    schemas = {**fields, **protocol_schemas(signature), "Error": ERROR}
    return {
        "openapi": "3.1.0",
        "info": {"title": source.name, "version": source.version},
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in SECURITY],
        "paths": paths(f"/v2/models/{source.name}"),
        "components": {
            "schemas": schemas,
            "responses": {code: error(text) for code, text in ERRORS.items()},
            "securitySchemes": SECURITY,
        },
    }


def protocol_schemas(signature: Signature) -> dict[str, Schema]:
    """Requests and answers of the Open Inference Protocol."""
    return {
        "Tensor": TENSOR,
        "InferRequest": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string"},
                "parameters": {"type": "object"},
                "inputs": {"type": "array", "items": ref("Tensor")},
                "outputs": {"type": "array", "items": OUTPUT},
            },
            **infer_example(signature),
        },
        "InferResponse": {
            "type": "object",
            "required": ["model_name", "outputs"],
            "properties": {
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "id": {"type": "string"},
                "outputs": {"type": "array", "items": ref("Tensor")},
            },
        },
    }


def infer_example(signature: Signature) -> Schema:
    """A request that works, where it is short enough to read."""
    if not is_readable(signature):
        return {}
    arrays = [(spec, example(spec)) for spec in signature.inputs]
    inputs = [{**spec.to_json(), "shape": a.shape, "data": to_json(a.reshape(-1))} for spec, a in arrays]
    return {"examples": [{"inputs": inputs}]}


def paths(model: str) -> dict[str, Any]:
    """All routes of the serving port."""
    infer = {
        "post": {
            "operationId": "infer",
            "summary": "Tensors in, tensors out (Open Inference Protocol v2)",
            "parameters": [header(HEADER_LENGTH, "bytes of JSON before the raw tensors")],
            "requestBody": body("InferRequest", BINARY_TYPE),
            "responses": answers("InferResponse", BINARY_TYPE),
        }
    }
    score = {
        "post": {
            "operationId": "score",
            "summary": "Fields in, fields out",
            "requestBody": body("ScoreRequest"),
            "responses": answers("ScoreResponse"),
        }
    }
    return {
        "/score": score,
        f"{model}/infer": infer,
        model: reads("metadata", "The model's tensors"),
        f"{model}/ready": reads("modelReady", "Whether the model is ready"),
        "/v2": reads("server", "Name, version and extensions of the server"),
        "/v2/health/live": reads("live", "Whether the process can answer"),
        "/v2/health/ready": reads("ready", "Whether the model is ready"),
        "/openapi.json": reads("openapi", "This document"),
        "/swagger.json": reads("swagger", "This document, under the name that Azure ML has"),
        "/": reads("healthy", "`Healthy`", "text/plain", is_open=True),
        "/healthz": reads("healthz", "`Healthy`", "text/plain", is_open=True),
    }


def body(schema: str, *others: str) -> Schema:
    content: Schema = {JSON_TYPE: {"schema": ref(schema)}, **{kind: {} for kind in others}}
    return {"required": True, "content": content}


def answers(schema: str, *others: str) -> Schema:
    content: Schema = {JSON_TYPE: {"schema": ref(schema)}, **{kind: {} for kind in others}}
    good = {"description": "the answer", "content": content}
    return {"200": good, **{code: {"$ref": f"#/components/responses/{code}"} for code in ERRORS}}


def reads(operation: str, summary: str, kind: str = JSON_TYPE, *, is_open: bool = False) -> Schema:
    """A GET without parameters."""
    good = {"description": "the answer", "content": {kind: {}}}
    get: Schema = {"operationId": operation, "summary": summary, "responses": {"200": good}}
    return {"get": {**get, "security": []} if is_open else get}


def error(text: str) -> Schema:
    return {"description": text, "content": {JSON_TYPE: {"schema": ref("Error")}}}


def header(name: str, text: str) -> Schema:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "integer"}}
