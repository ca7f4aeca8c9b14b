"""Which inputs of a model hold pictures, read from the ONNX file itself: just so much of protobuf as that takes.

The engine tells names and types of inputs, not what reads them; the onnx package is for those who make models.
"""

from collections.abc import Iterator
from typing import NamedTuple

from wye_runtime.errors import ModelInvalid

DECODER = b"DecodeImage"
# field numbers of onnx.proto
MODEL_GRAPH, MODEL_FUNCTIONS = 7, 25
GRAPH_NODE, GRAPH_INPUT, FUNCTION_NODE = 1, 11, 7
NODE_INPUT, NODE_OP_TYPE, NODE_ATTRIBUTE = 1, 4, 5
VALUE_NAME = 1
ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS = 6, 11
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Message = memoryview


class Node(NamedTuple):
    """As much of a node as is asked for here."""

    kind: bytes
    inputs: list[bytes]


def picture_inputs(content: bytes) -> tuple[str, ...]:
    """The inputs that a decoder of pictures reads; a ModelInvalid where it reads anything else.

    What it reads must be checked before it does (pictures.py), and only inputs can be.
    """
    found: dict[str, None] = {}
    for model_field, part in parts(memoryview(content)):
        if model_field not in (MODEL_GRAPH, MODEL_FUNCTIONS):
            continue
        is_graph = model_field == MODEL_GRAPH
        inputs = [first(each, VALUE_NAME) for field, each in parts(part) if is_graph and field == GRAPH_INPUT]
        for node in nodes(part, GRAPH_NODE if is_graph else FUNCTION_NODE):
            if node.kind == DECODER:
                found[read_by(node, inputs)] = None
    return tuple(found)


def read_by(decoder: Node, inputs: list[bytes]) -> str:
    """The input that a decoder of pictures reads, or a ModelInvalid where none can be checked."""
    name = decoder.inputs[0] if decoder.inputs else b""
    if name not in inputs:
        raise ModelInvalid(
            f"the model's DecodeImage reads {name.decode(errors='replace')!r}, which is no input of the model: only "
            "the bytes of an input can be checked before they are decoded, so let it read that input directly"
        )
    return name.decode()


def nodes(graph: Message, field: int) -> Iterator[Node]:
    """All nodes of a graph or function, and of the graphs inside of them."""
    for number, part in parts(graph):
        if number != field:
            continue
        fields = list(parts(part))
        yield Node(first(part, NODE_OP_TYPE), [bytes(each) for at, each in fields if at == NODE_INPUT])
        for attribute in (each for at, each in fields if at == NODE_ATTRIBUTE):
            for at, inner in parts(attribute):
                if at in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                    yield from nodes(inner, GRAPH_NODE)


def first(message: Message, field: int) -> bytes:
    """The first field of this number in a message; nothing where there is none."""
    return next((bytes(each) for at, each in parts(message) if at == field), b"")


def parts(message: Message) -> Iterator[tuple[int, Message]]:
    """The fields of a message that have a length; numbers are passed over."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        kind = key & 7
        if kind == VARINT:
            _, at = varint(message, at)
        elif kind in (FIXED32, FIXED64):
            at += 4 if kind == FIXED32 else 8
        elif kind == BYTES:
            size, at = varint(message, at)
            yield key >> 3, message[at : at + size]
            at += size
        else:
            raise ModelInvalid("the model's file is not what ONNX Runtime took it for")


def varint(message: Message, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at
