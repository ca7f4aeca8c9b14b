"""JSON Schemas of what callers send to /score and get from it."""

import math
from collections.abc import Mapping
from typing import Any

from wye_runtime.codecs import example
from wye_runtime.contract import Contract, Field
from wye_runtime.contract.answering import BoundOutput, width
from wye_runtime.contract.declared import IMAGE, TEXT
from wye_runtime.protocol import INTEGERS, Signature, TensorSpec
from wye_runtime.tensors import to_json

Schema = dict[str, Any]
READABLE = 100  # values


def contract_schemas(contract: Contract) -> Mapping[str, Schema]:
    """Instance and Prediction as the contract has them."""
    declared = contract.declared
    instance = closed({field.name: field_schema(field) for field in declared.inputs})
    instance["required"] = [field.name for field in declared.inputs if field.is_required]
    instance["additionalProperties"] = declared.drops_unknown
    instance["examples"] = [contract.example]
    prediction = closed({each.output.name: output_schema(each) for each in contract.outputs})
    return {
        "Instance": instance,
        "Prediction": prediction,
        "ScoreRequest": {"oneOf": [ref("Instance"), wrapped("instances", ref("Instance"))]},
        "ScoreResponse": {"oneOf": [ref("Prediction"), wrapped("predictions", ref("Prediction"))]},
    }


def tensor_schemas(signature: Signature) -> Mapping[str, Schema]:
    """The forms of /score without a contract."""
    inputs = closed({spec.name: value_schema(spec) for spec in signature.inputs})
    if is_readable(signature):
        inputs["examples"] = [{spec.name: to_json_list(spec) for spec in signature.inputs}]
    outputs = closed({spec.name: value_schema(spec) for spec in signature.outputs})
    anything: Schema = {}
    table = closed({"columns": {"type": "array"}, "index": {"type": "array"}, "data": {"type": "array"}})
    table["required"] = ["columns", "data"]
    frame = closed({"input_data": {"anyOf": [{"type": "array"}, table]}})
    forms = [wrapped("instances", anything), frame, wrapped("data", anything), ref("Inputs")]
    answers = [wrapped("predictions", anything), {"type": "array"}, ref("Outputs")]
    return {
        "Inputs": inputs,
        "Outputs": outputs,
        "ScoreRequest": {"anyOf": forms},
        "ScoreResponse": {"anyOf": answers},
    }


def is_readable(signature: Signature) -> bool:
    """Whether an example of the tensors is short enough for a description."""
    return sum(math.prod(map(abs, spec.shape)) for spec in signature.inputs) <= READABLE


def to_json_list(spec: TensorSpec) -> Any:
    """An example of a tensor, as JSON writes it."""
    value = to_json(example(spec))
    return value.tolist() if hasattr(value, "tolist") else value


def ref(name: str) -> Schema:
    """Points at a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(properties: Schema) -> Schema:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def wrapped(key: str, items: Schema) -> Schema:
    """An object with a list under its only key."""
    return closed({key: {"type": "array", "items": items}})


def field_schema(field: Field) -> Schema:
    """One input field."""
    known = {
        "type": "string" if field.type in (TEXT, IMAGE) else field.type,
        "contentEncoding": "base64" if field.type == IMAGE else None,
        "contentMediaType": "image/*" if field.type == IMAGE else None,
        "minimum": field.minimum,
        "maximum": field.maximum,
        "enum": list(field.values) if field.values else None,
        "description": field.description,
    }
    schema = {key: value for key, value in known.items() if value is not None}
    return schema if field.is_required else {**schema, "default": field.default}


def output_schema(bound: BoundOutput) -> Schema:
    """One output field: a value, or a list with one for each thing that was found."""
    if not bound.is_list:
        return value_of(bound)
    return {"type": "array", "items": value_of(bound)}


def value_of(bound: BoundOutput) -> Schema:
    """One value; null stands for NaN."""
    output, spec = bound.output, bound.spec
    described = {"description": output.description} if output.description else {}
    if output.labels is not None:
        if output.thresholds is None:
            return {"type": "string", "enum": list(output.labels), **described}
        return {"type": ["string", "null"], "enum": [*output.labels, None], **described}
    is_list = len(spec.shape) > 2 or (output.index is None and width(spec) != 1)
    if is_list:
        return {"type": "array", "items": {}, **described}
    return {**element_schema(spec), **described}


def element_schema(spec: TensorSpec) -> Schema:
    """One value of a tensor."""
    if spec.datatype == "BYTES":
        return {"type": "string"}
    if spec.datatype == "BOOL":
        return {"type": "boolean"}
    return {"type": "integer"} if spec.datatype in INTEGERS else {"type": ["number", "null"]}


def value_schema(spec: TensorSpec) -> Schema:
    """A tensor's values as nested lists; the batch dimension may be left out."""
    shape = f"{spec.datatype} {list(spec.shape)} (-1: any size)"
    if not spec.shape:
        return {**element_schema(spec), "description": shape}
    inner = element_schema(spec)
    return {"description": shape, "anyOf": [{"type": "array"}, inner]}
