"""The messages and services of gRPC as protobuf knows them: declared here, so that no generated code is kept.

Names, numbers and types are those of the Open Inference Protocol, of health and of reflection (which gives them away).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

Fields = Mapping[str, str]  # "NUMBER [repeated | map | name of the choice] TYPE"; a map's keys are strings
MODEL: Fields = {"name": "1 string", "version": "2 string"}
TENSOR: Fields = {"name": "1 string", "datatype": "2 string", "shape": "3 repeated int64"}
FILLED: Fields = {**TENSOR, "parameters": "4 map InferParameter", "contents": "5 InferTensorContents"}
INFERENCE: Mapping[str, Fields] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": "1 bool"},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": "1 bool"},
    "ModelReadyRequest": MODEL,
    "ModelReadyResponse": {"ready": "1 bool"},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {**MODEL, "extensions": "3 repeated string"},
    "ModelMetadataRequest": MODEL,
    "ModelMetadataResponse": {
        "name": "1 string",
        "versions": "2 repeated string",
        "platform": "3 string",
        "inputs": "4 repeated ModelMetadataResponse.TensorMetadata",
        "outputs": "5 repeated ModelMetadataResponse.TensorMetadata",
    },
    "ModelMetadataResponse.TensorMetadata": TENSOR,
    "InferParameter": {
        "bool_param": "1 parameter_choice bool",
        "int64_param": "2 parameter_choice int64",
        "string_param": "3 parameter_choice string",
        "double_param": "4 parameter_choice double",
        "uint64_param": "5 parameter_choice uint64",
    },
    "InferTensorContents": {
        "bool_contents": "1 repeated bool",
        "int_contents": "2 repeated int32",
        "int64_contents": "3 repeated int64",
        "uint_contents": "4 repeated uint32",
        "uint64_contents": "5 repeated uint64",
        "fp32_contents": "6 repeated float",
        "fp64_contents": "7 repeated double",
        "bytes_contents": "8 repeated bytes",
    },
    "ModelInferRequest": {
        "model_name": "1 string",
        "model_version": "2 string",
        "id": "3 string",
        "parameters": "4 map InferParameter",
        "inputs": "5 repeated ModelInferRequest.InferInputTensor",
        "outputs": "6 repeated ModelInferRequest.InferRequestedOutputTensor",
        "raw_input_contents": "7 repeated bytes",
    },
    "ModelInferRequest.InferInputTensor": FILLED,
    "ModelInferRequest.InferRequestedOutputTensor": {"name": "1 string", "parameters": "2 map InferParameter"},
    "ModelInferResponse": {
        "model_name": "1 string",
        "model_version": "2 string",
        "id": "3 string",
        "parameters": "4 map InferParameter",
        "outputs": "5 repeated ModelInferResponse.InferOutputTensor",
        "raw_output_contents": "6 repeated bytes",
    },
    "ModelInferResponse.InferOutputTensor": FILLED,
}
HEALTH: Mapping[str, Fields] = {
    "HealthCheckRequest": {"service": "1 string"},
    "HealthCheckResponse": {"status": "1 HealthCheckResponse.ServingStatus"},
}
SERVING = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
REFLECTION: Mapping[str, Fields] = {
    "ServerReflectionRequest": {
        "host": "1 string",
        "file_by_filename": "3 message_request string",
        "file_containing_symbol": "4 message_request string",
        "file_containing_extension": "5 message_request ExtensionRequest",
        "all_extension_numbers_of_type": "6 message_request string",
        "list_services": "7 message_request string",
    },
    "ExtensionRequest": {"containing_type": "1 string", "extension_number": "2 int32"},
    "ServerReflectionResponse": {
        "valid_host": "1 string",
        "original_request": "2 ServerReflectionRequest",
        "file_descriptor_response": "4 message_response FileDescriptorResponse",
        "all_extension_numbers_response": "5 message_response ExtensionNumberResponse",
        "list_services_response": "6 message_response ListServiceResponse",
        "error_response": "7 message_response ErrorResponse",
    },
    "FileDescriptorResponse": {"file_descriptor_proto": "1 repeated bytes"},
    "ExtensionNumberResponse": {"base_type_name": "1 string", "extension_number": "2 repeated int32"},
    "ListServiceResponse": {"service": "1 repeated ServiceResponse"},
    "ServiceResponse": {"name": "1 string"},
    "ErrorResponse": {"error_code": "1 int32", "error_message": "2 string"},
}


class File(NamedTuple):
    """One file: its messages, its one service, and what the service's calls take and give."""

    name: str
    package: str
    messages: Mapping[str, Fields]
    service: str
    calls: Mapping[str, str]  # without "Request" and "Response"
    enums: Mapping[str, tuple[str, ...]] = {}
    is_streamed: bool = False


ASKED = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
INFO = {"ServerReflectionInfo": "ServerReflection"}
FILES = (
    File("inference.proto", "inference", INFERENCE, "GRPCInferenceService", {each: each for each in ASKED}),
    File(
        "grpc/health/v1/health.proto",
        "grpc.health.v1",
        HEALTH,
        "Health",
        {"Check": "HealthCheck"},
        {"HealthCheckResponse.ServingStatus": SERVING},
    ),
    *(
        File(
            f"grpc/reflection/{version}/reflection.proto",
            f"grpc.reflection.{version}",
            REFLECTION,
            "ServerReflection",
            INFO,
            is_streamed=True,
        )
        for version in ("v1alpha", "v1")
    ),
)
INFERENCE_FILE, HEALTH_FILE, *REFLECTION_FILES = FILES


def declared(of: File) -> Any:
    """The file as protobuf describes files."""
    proto = descriptor_pb2.FileDescriptorProto(name=of.name, package=of.package, syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in of.messages.items():
        outer, _, own = name.rpartition(".")
        message = made[name] = made[outer].nested_type.add(name=own) if outer else proto.message_type.add(name=own)
        for field, written in fields.items():
            add_field(of, message, name, field, written)
    for name, values in of.enums.items():
        outer, _, own = name.rpartition(".")
        enum = made[outer].enum_type.add(name=own)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    service = proto.service.add(name=of.service)
    streamed = {"client_streaming": True, "server_streaming": True} if of.is_streamed else {}
    for call, what in of.calls.items():
        both = {f"{way}put_type": f".{of.package}.{what}{end}" for way, end in (("in", "Request"), ("out", "Response"))}
        service.method.add(name=call, **both, **streamed)
    return proto


def add_field(of: File, message: Any, place: str, name: str, written: str) -> None:
    """`place` is the message's name in its package."""
    proto = descriptor_pb2.FieldDescriptorProto
    number, *how, kind = written.split()
    is_many = how in (["repeated"], ["map"])
    label = proto.LABEL_REPEATED if is_many else proto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=int(number), label=label)
    if how == ["map"]:
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        add_field(of, entry, f"{place}.{entry.name}", "key", "1 string")
        add_field(of, entry, f"{place}.{entry.name}", "value", f"2 {kind}")
        kind = f"{place}.{entry.name}"
    elif how and not is_many:
        if not message.oneof_decl:
            message.oneof_decl.add(name=how[0])
        field.oneof_index = 0
    set_type(of, field, kind)


def set_type(of: File, field: Any, kind: str) -> None:
    """Gives a field of a message its type, by the name that stands in a .proto file."""
    if kind.islower():
        field.type = getattr(field, f"TYPE_{kind.upper()}")
    else:
        field.type = field.TYPE_ENUM if kind in of.enums else field.TYPE_MESSAGE
        field.type_name = f".{of.package}.{kind}"


def pooled() -> Any:
    """All files together."""
    pool = descriptor_pool.DescriptorPool()
    for each in FILES:
        pool.Add(declared(each))
    return pool


POOL = pooled()
CLASSES: Mapping[str, Any] = {
    name: message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{of.package}.{name}"))
    for of in FILES
    for name in of.messages
}
