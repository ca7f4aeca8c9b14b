"""The messages of the protocol over gRPC, as protobuf knows them: declared here, so that no generated code is kept.

Numbers and types are the protocol's (`inference.GRPCInferenceService`, `grpc.health.v1.Health`). A map stands as the
list of its entries, which is the same on the wire.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

BOOL, STRING, BYTES, INT32, INT64, UINT32, UINT64, FLOAT, DOUBLE = range(9)
KINDS = {
    **{BOOL: "TYPE_BOOL", STRING: "TYPE_STRING", BYTES: "TYPE_BYTES", INT32: "TYPE_INT32", INT64: "TYPE_INT64"},
    **{UINT32: "TYPE_UINT32", UINT64: "TYPE_UINT64", FLOAT: "TYPE_FLOAT", DOUBLE: "TYPE_DOUBLE"},
}
Fields = Mapping[str, tuple[int, int | str | list[int] | list[str]]]  # number and kind; a list: repeated
ENTRIES = ["Entry"]
MODEL: Fields = {"name": (1, STRING), "version": (2, STRING)}
MESSAGES: dict[str, Fields] = {
    "Empty": {},
    "ServerLiveResponse": {"live": (1, BOOL)},
    "ServerReadyResponse": {"ready": (1, BOOL)},
    "ModelRequest": MODEL,
    "ModelReadyResponse": {"ready": (1, BOOL)},
    "ServerMetadataResponse": {**MODEL, "extensions": (3, [STRING])},
    "TensorMetadata": {"name": (1, STRING), "datatype": (2, STRING), "shape": (3, [INT64])},
    "ModelMetadataResponse": {
        **{"name": (1, STRING), "versions": (2, [STRING]), "platform": (3, STRING)},
        **{"inputs": (4, ["TensorMetadata"]), "outputs": (5, ["TensorMetadata"])},
    },
    "Parameter": {
        **{"bool_param": (1, BOOL), "int64_param": (2, INT64), "string_param": (3, STRING)},
        **{"double_param": (4, DOUBLE), "uint64_param": (5, UINT64)},
    },
    "Entry": {"key": (1, STRING), "value": (2, "Parameter")},
    "Contents": {
        **{"bool_contents": (1, [BOOL]), "int_contents": (2, [INT32]), "int64_contents": (3, [INT64])},
        **{"uint_contents": (4, [UINT32]), "uint64_contents": (5, [UINT64]), "fp32_contents": (6, [FLOAT])},
        **{"fp64_contents": (7, [DOUBLE]), "bytes_contents": (8, [BYTES])},
    },
    "Tensor": {
        **{"name": (1, STRING), "datatype": (2, STRING), "shape": (3, [INT64])},
        **{"parameters": (4, ENTRIES), "contents": (5, "Contents")},
    },
    "RequestedOutput": {"name": (1, STRING), "parameters": (2, ENTRIES)},
    "ModelInferRequest": {
        **{"model_name": (1, STRING), "model_version": (2, STRING), "id": (3, STRING), "parameters": (4, ENTRIES)},
        **{"inputs": (5, ["Tensor"]), "outputs": (6, ["RequestedOutput"]), "raw_input_contents": (7, [BYTES])},
    },
    "ModelInferResponse": {
        **{"model_name": (1, STRING), "model_version": (2, STRING), "id": (3, STRING), "parameters": (4, ENTRIES)},
        **{"outputs": (5, ["Tensor"]), "raw_output_contents": (6, [BYTES])},
    },
    "HealthCheckRequest": {"service": (1, STRING)},
    "HealthCheckResponse": {"status": (1, INT32)},
}


def declared() -> dict[str, Any]:
    """A class for each message."""
    file = descriptor_pb2.FileDescriptorProto(name="wye/inference.proto", package="wye", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"wye.{name}")) for name in MESSAGES}


def add_field(message: Any, name: str, number: int, kind: int | str | list[int] | list[str]) -> None:
    proto = descriptor_pb2.FieldDescriptorProto
    single = kind[0] if isinstance(kind, list) else kind
    label = proto.LABEL_REPEATED if isinstance(kind, list) else proto.LABEL_OPTIONAL
    if isinstance(single, str):
        message.field.add(name=name, number=number, label=label, type=proto.TYPE_MESSAGE, type_name=f".wye.{single}")
    else:
        message.field.add(name=name, number=number, label=label, type=getattr(proto, KINDS[single]))


CLASSES = declared()
