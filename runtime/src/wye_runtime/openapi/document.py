"""The document itself: paths, answers, errors, security."""

from collections.abc import Sequence
from typing import Any

from wye_runtime.codecs import example
from wye_runtime.openapi.fields import Schema, contract_schemas, is_readable, ref, tensor_schemas
from wye_runtime.protocol import BINARY_TYPE, DTYPES, HEADER_LENGTH, JSON_TYPE, PICTURE_TYPES, Signature, TensorSpec
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
SHAPE: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}}
PARAMETERS: Schema = {"type": "object", "description": "extensions; what is not known is ignored"}
TEXT: Schema = {"type": "string"}
VERSIONS: Schema = {"type": "string", "enum": ["2", "3", "3.1"], "default": "2"}
READY: Schema = {"ready": {"type": "boolean"}, "reason": {**TEXT, "description": "why it is not"}}


def document(config: Config, loaded: Loaded) -> Schema:
    """An OpenAPI 3.1 document of this endpoint."""
    source, signature = config.model, loaded.model.signature
    model = f"/v2/models/{source.name}"
    fields = contract_schemas(loaded.contract) if loaded.contract else tensor_schemas(signature)
    schemas = {**fields, **protocol_schemas(signature), "Error": ERROR}
    return {
        "openapi": "3.1.0",
        "info": {"title": source.name, "version": source.version},
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in SECURITY],
        "paths": {**paths(model, score_kinds(loaded)), **of_version(model, source.version)},
        "components": {
            "schemas": schemas,
            "responses": {code: error(text) for code, text in ERRORS.items()},
            "securitySchemes": SECURITY,
        },
    }


def protocol_schemas(signature: Signature) -> dict[str, Schema]:
    """Requests and answers of the Open Inference Protocol."""
    binary = {**PARAMETERS, "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}}
    return {
        "InferRequest": {
            **record(
                {
                    "id": TEXT,
                    "parameters": PARAMETERS,
                    "inputs": {"type": "array", "items": ref("InputTensor"), "minItems": len(signature.inputs)},
                    "outputs": {"type": "array", "items": ref("RequestedOutput")},
                    "model_name": {**TEXT, "description": "KServe's client adds it; the name in the address"},
                },
                "inputs",
            ),
            **infer_example(signature),
        },
        "InputTensor": record(tensor(signature.inputs, binary), "name", "shape", "datatype"),
        "RequestedOutput": record({"name": named(signature.outputs), "parameters": PARAMETERS}, "name"),
        "InferResponse": record(
            {
                "model_name": TEXT,
                "model_version": TEXT,
                "id": TEXT,
                "outputs": {"type": "array", "items": ref("OutputTensor")},
            },
            "model_name",
            "outputs",
        ),
        "OutputTensor": record(tensor(signature.outputs, binary), "name", "shape", "datatype"),
        "ServerMetadata": record(
            {"name": TEXT, "version": TEXT, "extensions": listed(TEXT)}, "name", "version", "extensions"
        ),
        "ModelMetadata": record(
            {
                "name": TEXT,
                "versions": listed(TEXT),
                "platform": TEXT,
                "inputs": listed(ref("TensorMetadata")),
                "outputs": listed(ref("TensorMetadata")),
            },
            *("name", "versions", "platform", "inputs", "outputs"),
        ),
        "TensorMetadata": record(
            {"name": TEXT, "datatype": datatype(), "shape": {**SHAPE, "items": {"type": "integer", "minimum": -1}}},
            *("name", "datatype", "shape"),
        ),
        "Live": record({"live": {"type": "boolean"}}, "live"),
        "Ready": record(READY, "ready"),
        "ModelReady": record({"name": TEXT, **READY}, "name", "ready"),
    }


def record(properties: Schema, *required: str) -> Schema:
    """An object that has no other properties."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def listed(items: Schema) -> Schema:
    """A list of such things."""
    return {"type": "array", "items": items}


def named(specs: Sequence[TensorSpec]) -> Schema:
    """The name of one of these tensors."""
    return {"type": "string", "enum": [spec.name for spec in specs]}


def datatype() -> Schema:
    """One of the protocol's datatypes."""
    return {"type": "string", "enum": list(DTYPES)}


def tensor(specs: Sequence[TensorSpec], parameters: Schema) -> Schema:
    """One of these tensors: its values as `data`, or raw behind the JSON."""
    data: Schema = {"type": "array", "description": "flat in row-major order, or nested as `shape` says"}
    return {"name": named(specs), "shape": SHAPE, "datatype": datatype(), "parameters": parameters, "data": data}


def infer_example(signature: Signature) -> Schema:
    """A request that works, where it is short enough to read."""
    if not is_readable(signature):
        return {}
    arrays = [(spec, example(spec)) for spec in signature.inputs]
    inputs = [{**spec.to_json(), "shape": a.shape, "data": to_json(a.reshape(-1))} for spec, a in arrays]
    return {"examples": [{"inputs": inputs}]}


def score_kinds(loaded: Loaded) -> dict[str, Schema]:
    """The bodies of /score besides JSON."""
    binary = {"type": "string", "format": "binary"}
    kinds = loaded.jobs.bodies.accepted
    return {kind: {"schema": binary if kind in PICTURE_TYPES else TEXT} for kind in kinds if kind != JSON_TYPE}


def paths(model: str, score_kinds: Schema) -> dict[str, Any]:
    """All routes of the serving port."""
    infer = {
        "post": {
            "operationId": "infer",
            "summary": "Tensors in, tensors out (Open Inference Protocol v2)",
            "parameters": [header(HEADER_LENGTH, "bytes of JSON before the raw tensors")],
            "requestBody": body("InferRequest", **{BINARY_TYPE: {}}),
            "responses": answers("InferResponse", BINARY_TYPE),
        }
    }
    score = {
        "post": {
            "operationId": "score",
            "summary": "Fields in, fields out",
            "requestBody": body("ScoreRequest", **score_kinds),
            "responses": answers("ScoreResponse"),
        }
    }
    return {
        "/score": score,
        f"{model}/infer": infer,
        model: reads("metadata", "The model's tensors", "ModelMetadata", "503"),
        f"{model}/ready": asks("modelReady", "Whether the model is ready", "ModelReady"),
        "/v2": reads("server", "Name, version and extensions of the server", "ServerMetadata"),
        "/v2/health/live": reads("live", "Whether the process can answer", "Live"),
        "/v2/health/ready": asks("ready", "Whether the model is ready", "Ready"),
        "/openapi.json": reads("openapi", "This document", "", "503"),
        "/swagger.json": with_version(
            reads("swagger", "This document, under Azure ML's name for it and in its default version", "", "404", "503")
        ),
        "/": healthy("healthy"),
        "/healthz": healthy("healthz"),
    }


def of_version(model: str, version: str) -> dict[str, Any]:
    """The same routes with the version in their paths."""
    shorter = paths(model, {})
    named = {each: shorter[each] for each in shorter if each.startswith(model)}
    return {path.replace(model, f"{model}/versions/{version}", 1): renamed(item) for path, item in named.items()}


def renamed(item: Schema) -> Schema:
    """No two operations share an id."""
    return {verb: {**each, "operationId": f"{each['operationId']}OfVersion"} for verb, each in item.items()}


def body(schema: str, **others: Schema) -> Schema:
    """What a POST sends: JSON, and other media types."""
    content: Schema = {JSON_TYPE: {"schema": ref(schema)}, **others}
    return {"required": True, "content": content}


def answers(schema: str, *others: str) -> Schema:
    """What a POST is answered: JSON, other media types, and every error."""
    content: Schema = {JSON_TYPE: {"schema": ref(schema)}, **{kind: {} for kind in others}}
    good = {"description": "the answer", "content": content}
    return {"200": good, **{code: {"$ref": f"#/components/responses/{code}"} for code in ERRORS}}


def reads(operation: str, summary: str, schema: str, *errors: str) -> Schema:
    """A GET without parameters, answered in JSON."""
    content: Schema = {JSON_TYPE: {"schema": ref(schema)} if schema else {}}
    good = {"description": "the answer", "content": content}
    refused = {code: {"$ref": f"#/components/responses/{code}"} for code in errors}
    return {"get": {"operationId": operation, "summary": summary, "responses": {"200": good, **refused}}}


def asks(operation: str, summary: str, schema: str) -> Schema:
    """A GET that is answered by its status; the body is of the same form in both cases."""
    made = reads(operation, summary, schema)
    made["get"]["responses"]["503"] = {**made["get"]["responses"]["200"], "description": "not ready; see Retry-After"}
    return made


def with_version(made: Schema) -> Schema:
    """The operation with the query that /swagger.json takes."""
    version = {"name": "version", "in": "query", "description": "of Swagger or OpenAPI", "schema": VERSIONS}
    return {"get": {**made["get"], "parameters": [version]}}


def healthy(operation: str) -> Schema:
    """A path that says `Healthy`, to everybody."""
    good = {"description": "the answer", "content": {"text/plain": {}}}
    return {"get": {"operationId": operation, "summary": "`Healthy`", "responses": {"200": good}, "security": []}}


def error(text: str) -> Schema:
    """An answer with the body that every error has."""
    return {"description": text, "content": {JSON_TYPE: {"schema": ref("Error")}}}


def header(name: str, text: str) -> Schema:
    """A whole number in a header."""
    return {"name": name, "in": "header", "description": text, "schema": {"type": "integer"}}
