"""What the servers of `make bench-peers` are asked, byte by byte, and how numbers are read from what they answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import orjson

from wye_runtime.codecs.messages import CLASSES

INFER = "/inference.GRPCInferenceService/ModelInfer"
LENGTH = "inference-header-content-length"
PREFIX = 5  # of a gRPC message: not compressed, and its length
Read = Callable[[Mapping[str, str], bytes], np.ndarray]


@dataclass(frozen=True, slots=True)
class Item:
    """One request's input for a model of one input and one output."""

    model: str
    path: str
    input: str
    output: str
    rows: np.ndarray = field(repr=False)

    @property
    def tensor(self) -> dict[str, object]:
        return {"name": self.input, "datatype": "FP32", "shape": list(self.rows.shape)}


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it goes over the wire; `is_h2`: over HTTP/2."""

    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    read: Read = field(repr=False)
    is_h2: bool = False


def protocol_json(item: Item) -> Call:
    """The Open Inference Protocol, in JSON."""
    inputs = [item.tensor | {"data": item.rows.ravel()}]
    return Call(infer(item), {"content-type": "application/json"}, dumped({"inputs": inputs}), first_output)


def unread(item: Item) -> Call:
    """The same, to a server that has no model."""
    return replace(protocol_json(item), read=lambda *_: np.zeros(0))


def protocol_binary(item: Item) -> Call:
    """The same with its binary extension, in both directions."""
    raw = item.rows.tobytes()
    inputs = [item.tensor | {"parameters": {"binary_data_size": len(raw)}}]
    head = dumped({"inputs": inputs, "parameters": {"binary_data_output": True}})
    headers = {"content-type": "application/octet-stream", LENGTH: str(len(head))}
    return Call(infer(item), headers, head + raw, behind_head)


def rows_json(path: str, read: Callable[[object], object]) -> Callable[[Item], Call]:
    """{"rows": nested lists}: for servers whose bodies are their users' own."""

    def made(item: Item) -> Call:
        body = dumped({"rows": item.rows})
        return Call(
            path, {"content-type": "application/json"}, body, lambda _, content: floats(read(json.loads(content)))
        )

    return made


def rows_raw(path: str) -> Callable[[Item], Call]:
    """The bytes of the array."""

    def made(item: Item) -> Call:
        shape = ",".join(map(str, item.rows.shape))
        headers = {"content-type": "application/octet-stream", "x-shape": shape}
        return Call(path, headers, item.rows.tobytes(), lambda _, content: np.frombuffer(content, np.float32))

    return made


def frame(item: Item) -> bytes:
    """ModelInfer with raw contents, as one gRPC message."""
    request = CLASSES["ModelInferRequest"](model_name=item.model)
    request.inputs.add(name=item.input, datatype="FP32", shape=item.rows.shape)
    request.raw_input_contents.append(item.rows.tobytes())
    message = request.SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


def grpc(item: Item) -> Call:
    """Over HTTP/2, as gRPC's clients do."""
    headers = {"content-type": "application/grpc", "te": "trailers"}
    return Call(INFER, headers, frame(item), framed, is_h2=True)


def grpc_bridged(item: Item) -> Call:
    """As a router that ends HTTP/2 hands it on: the same bytes over HTTP/1.1."""
    return Call(INFER, {"content-type": "application/grpc", "te": "trailers"}, frame(item), framed)


def infer(item: Item) -> str:
    return f"/v2/models/{item.model}/infer"


def dumped(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def floats(value: object) -> np.ndarray:
    return np.array(value, np.float32).ravel()


def first_output(_: Mapping[str, str], content: bytes) -> np.ndarray:
    return floats(json.loads(content)["outputs"][0]["data"])


def behind_head(headers: Mapping[str, str], content: bytes) -> np.ndarray:
    return np.frombuffer(content[int(headers[LENGTH]) :], np.float32)


def framed(_: Mapping[str, str], content: bytes) -> np.ndarray:
    answer = CLASSES["ModelInferResponse"].FromString(content[PREFIX:])
    return np.frombuffer(answer.raw_output_contents[0], np.float32)
