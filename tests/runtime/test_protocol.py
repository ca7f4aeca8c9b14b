"""The Open Inference Protocol, rule by rule: each that its text states is asked of a real server, or met elsewhere.

The text is kserve/open-inference-protocol's `inference_rest.md`, `open_inference_rest.yaml` and `inference_grpc.md`; of
Triton's extensions, `extension_binary_data.md`. `docs/concepts/protocol.md` has this file's rules as its table; a rule
that is not met has a check of what is done in its place.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

import toys
from wye_runtime.codecs.messages import INFERENCE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/concepts/protocol.md"
REST, SCHEMA, GRPC, BINARY = "REST", "REST, OpenAPI", "gRPC", "binary extension"
NUMBERS = ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")
DATATYPES = ("BOOL", *NUMBERS, "BYTES")
LENGTH = "inference-header-content-length"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Rule:
    """`differs` says what is done in its place, and why; "" where it is met."""

    source: str
    text: str
    differs: str
    where: str
    check: Callable[..., None] | None

    def line(self) -> str:
        return f"| {self.source} | {self.text} | {self.differs or 'yes'} | {self.where} |"


RULES: list[Rule] = []


def rule(source: str, text: str, differs: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The check below it is what this rule says."""

    def noted(check: Callable[..., None]) -> Callable[..., None]:
        RULES.append(Rule(source, text, differs, f"`{check.__name__}`", check))
        return check

    return noted


def elsewhere(source: str, text: str, where: str, differs: str = "") -> None:
    """A rule that another file tests."""
    RULES.append(Rule(source, text, differs, f"[{Path(where).name}](../../{where})", None))


@pytest.fixture(scope="module")
def server(servers):
    return servers.one("protocol", lambda: toys.echo(*DATATYPES), model={"version": "7"})


def tensor(datatype: str, data: list | None = None) -> dict:
    values = {"BOOL": [True], "BYTES": ["a"]}.get(datatype, [1])
    return {"name": f"in_{datatype}", "datatype": datatype, "shape": [1], "data": values if data is None else data}


def whole(**changed: object) -> dict:
    return {"inputs": [tensor(each) for each in DATATYPES], **changed}


def asked(server, body: object, version: str = "") -> httpx.Response:
    return server.http.post(f"/v2/models/toy{version}/infer", content=json.dumps(body), headers=JSON)


def answered(server, body: object) -> dict:
    answer = asked(server, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def read(server, path: str) -> dict:
    answer = server.http.get(path)
    assert answer.status_code == 200
    return answer.json()


@rule(REST, "`GET v2/health/live` says whether the server can answer: `live`")
def live(server):
    assert read(server, "/v2/health/live") == {"live": True}


@rule(REST, "`GET v2/health/ready` says whether all models are ready", "yes; `ready`, where the text has `live` twice")
def ready(server):
    assert read(server, "/v2/health/ready") == {"ready": True}


@rule(REST, "`GET v2/models/NAME[/versions/V]/ready` says whether a model is ready: `name`, `ready`")
def model_ready(server):
    wanted = {"name": "toy", "ready": True}
    assert [read(server, f"/v2/models/toy{version}/ready") for version in ("", "/versions/7")] == [wanted] * 2


@rule(REST, "readiness serves as a probe: not 200 where it is not ready")
def not_ready(server):
    answer = server.http.get("/v2/health/ready", headers={"x-wye-deployment": "another/one"})
    assert answer.status_code == 503
    assert answer.json()["ready"] is False


@rule(REST, "`GET v2` describes the server: `name`, `version`, `extensions`")
def server_metadata(server):
    found = read(server, "/v2")
    assert set(found) == {"name", "version", "extensions"}
    assert all(isinstance(each, str) for each in (found["name"], found["version"], *found["extensions"]))


@rule(SCHEMA, "the same at `v2/`")
def server_metadata_with_slash(server):
    assert read(server, "/v2/") == read(server, "/v2")


@rule(BINARY, "`binary_tensor_data` stands in `extensions`")
def extension_named(server):
    assert "binary_tensor_data" in read(server, "/v2")["extensions"]


@rule(REST, "`GET v2/models/NAME[/versions/V]` describes a model: `name`, `versions`, `platform`, `inputs`, `outputs`")
def model_metadata(server):
    found = read(server, "/v2/models/toy")
    assert set(found) == {"name", "versions", "platform", "inputs", "outputs"}
    assert (found["name"], found["versions"]) == ("toy", ["7"])
    assert read(server, "/v2/models/toy/versions/7") == found


@rule(REST, "a tensor's metadata are `name`, `datatype`, `shape`; a dimension of any size is -1")
def tensor_metadata(server):
    inputs = read(server, "/v2/models/toy")["inputs"]
    assert inputs == [{"name": f"in_{each}", "datatype": each, "shape": [-1]} for each in DATATYPES]


@rule(
    GRPC,
    "`platform` is one of a list: `onnx_onnxv1` for ONNX",
    "no: `onnxruntime_onnx`, which Triton says and its clients know; the text calls it information only",
)
def platform(server):
    assert read(server, "/v2/models/toy")["platform"] == "onnxruntime_onnx"


@rule(REST, "`POST v2/models/NAME[/versions/V]/infer` answers 200 with the outputs")
def inference(server):
    answer = answered(server, whole())
    assert [each["name"] for each in answer["outputs"]] == [f"out_{each}" for each in DATATYPES]
    assert asked(server, whole(), "/versions/7").json() == answer


@rule(REST, "an answer has `model_name`, `model_version`, `outputs`")
def answer_keys(server):
    answer = answered(server, whole())
    assert set(answer) == {"model_name", "model_version", "outputs"}
    assert (answer["model_name"], answer["model_version"]) == ("toy", "7")


@rule(REST, "an output has `name`, `shape`, `datatype`, `data`")
def output_keys(server):
    for each in answered(server, whole())["outputs"]:
        assert set(each) == {"name", "shape", "datatype", "data"}
        assert len(each["data"]) == math.prod(each["shape"])


@rule(REST, "an `id` that was given is returned")
def echoed_id(server):
    assert answered(server, whole(id="42"))["id"] == "42"


@rule(REST, "`id`, `parameters` and `outputs` are optional, and `parameters` of tensors")
def optional_keys(server):
    assert "id" not in answered(server, whole())
    given = whole(parameters={"mine": 1})
    given["inputs"][0]["parameters"] = {"other": "x"}
    assert answered(server, given) == answered(server, whole())


@rule(REST, "`outputs` names those that come back; absent: all")
def chosen_outputs(server):
    chosen = answered(server, whole(outputs=[{"name": "out_FP32"}, {"name": "out_BOOL"}]))["outputs"]
    assert [each["name"] for each in chosen] == ["out_FP32", "out_BOOL"]
    assert len(answered(server, whole())["outputs"]) == len(DATATYPES)


@rule(REST, "the data types BOOL, UINT8 … UINT64, INT8 … INT64, FP16, FP32, FP64, BYTES")
def datatypes(server):
    for each in answered(server, whole())["outputs"]:
        assert each["datatype"] == each["name"].removeprefix("out_")


@rule(REST, "data is flat in row-major order, or nested as `shape` says")
def flat_or_nested(servers):
    passing = servers.one("protocol, rows", toys.passing)
    sent = {"name": "x", "datatype": "FP32", "shape": [2, 3]}
    flat, nested = ({**sent, "data": data} for data in ([1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]))
    answers = [passing.infer([each]).json()["outputs"][0] for each in (flat, nested)]
    assert answers[0]["data"] == [1, 2, 3, 4, 5, 6]
    assert answers[0] == answers[1]


@rule(REST, "a batched input has the whole shape and all contents")
def batch(servers):
    passing = servers.one("protocol, rows", toys.passing)
    sent = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3]}
    assert passing.infer([sent]).status_code == 422


@rule(
    REST, "an error has an HTTP error status (the text: typically 400)", "yes; 400, 404, 413, 415, 422, 429, 503, 504"
)
def error_status(server):
    wrong = whole(inputs=[tensor("FP32", [])])
    found = {"x": 400, json.dumps(wrong): 422}
    for body, status in found.items():
        assert server.http.post("/v2/models/toy/infer", content=body, headers=JSON).status_code == status
    assert server.http.get("/v2/models/another").status_code == 404


@rule(
    REST,
    "an error's body is `error`, a string",
    "no: an object with `code`, `message`, `requestId`, `details`, as Azure ML's callers read it; tritonclient has "
    "the right status, and this object as its `message()`",
)
def error_body(server):
    error = server.http.get("/v2/models/another").json()["error"]
    assert set(error) == {"code", "message", "requestId"}
    assert "another" in error["message"]


@rule(REST, "a `shape` is of unsigned 64-bit integers")
def shapes(server):
    for shape in ([-1], [2**64], [1.0], "1", [True]):
        given = whole()
        given["inputs"][0]["shape"] = shape
        assert asked(server, given).status_code == 422, shape


@rule(BINARY, "`binary_data_size` on an input: its raw bytes, little-endian, stand behind the JSON")
def binary_input(server):
    content = struct.pack("<f", 2.5)
    given = whole()
    at = DATATYPES.index("FP32")
    raw = {"name": "in_FP32", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": len(content)}}
    given["inputs"][at] = raw
    head = json.dumps(given).encode()
    answer = server.http.post("/v2/models/toy/infer", content=head + content, headers={LENGTH: str(len(head))})
    assert answer.json()["outputs"][at]["data"] == [2.5]


@rule(
    BINARY, "`binary_data` on an output, `binary_data_output` on the request: raw bytes behind the JSON of the answer"
)
def binary_output(server):
    chosen = [{"name": "out_INT16", "parameters": {"binary_data": True}}]
    for given in (whole(outputs=chosen), whole(parameters={"binary_data_output": True})):
        answer = asked(server, given)
        size = int(answer.headers[LENGTH])
        head, raw = json.loads(answer.content[:size]), answer.content[size:]
        assert answer.headers["content-type"] == "application/octet-stream"
        assert sum(each["parameters"]["binary_data_size"] for each in head["outputs"]) == len(raw)
        assert all("data" not in each for each in head["outputs"])


@rule(BINARY, "an element of BYTES is its length in four bytes, then its bytes")
def binary_bytes(server):
    answer = asked(server, whole(outputs=[{"name": "out_BYTES", "parameters": {"binary_data": True}}]))
    assert answer.content[int(answer.headers[LENGTH]) :] == struct.pack("<I", 1) + b"a"


@rule(BINARY, "FP16 in binary form")
def binary_halves(server):
    answer = asked(server, whole(outputs=[{"name": "out_FP16", "parameters": {"binary_data": True}}]))
    assert np.frombuffer(answer.content[int(answer.headers[LENGTH]) :], np.float16).tolist() == [1.0]


CALLS = "tests/runtime/test_calls.py"
elsewhere(GRPC, "`ServerLive`, `ServerReady`, `ModelReady`, `ServerMetadata`, `ModelMetadata`, `ModelInfer`", CALLS)
elsewhere(GRPC, "errors are the call's status; OK means success", CALLS)
elsewhere(GRPC, "raw contents for every input or for none, of the right size; FP16 is raw only", CALLS)
elsewhere(GRPC, "typed contents in the field of their data type", CALLS)


@rule(GRPC, "the numbers and types of the fields of all messages")
def messages(_):
    numbers = {
        name: {field: int(text.split()[0]) for field, text in fields.items()} for name, fields in INFERENCE.items()
    }
    assert numbers["ModelInferRequest"] == {
        **{"model_name": 1, "model_version": 2, "id": 3, "parameters": 4},
        **{"inputs": 5, "outputs": 6, "raw_input_contents": 7},
    }
    assert numbers["ModelInferResponse"] == {
        **{"model_name": 1, "model_version": 2, "id": 3, "parameters": 4},
        **{"outputs": 5, "raw_output_contents": 6},
    }
    assert numbers["ModelMetadataResponse"] == {"name": 1, "versions": 2, "platform": 3, "inputs": 4, "outputs": 5}
    assert list(numbers["InferTensorContents"].values()) == list(range(1, 9))


@pytest.mark.parametrize("each", [each for each in RULES if each.check], ids=lambda each: each.check.__name__)
def test_the_protocol_says(each, request):
    fixture = "servers" if "servers" in each.check.__code__.co_varnames[:1] else "server"
    each.check(request.getfixturevalue(fixture))


def test_the_page_is_these_rules():
    table = "\n".join(each.line() for each in RULES)
    assert table in PAGE.read_text(), table


def test_what_another_file_tests_is_there():
    assert all((PAGE.parent / each.where.split("(")[1][:-1]).resolve().exists() for each in RULES if not each.check)


def test_the_description_has_the_protocols_paths_and_schemas(server):
    """What `open_inference_rest.yaml` describes is in our own description, by its path and with its required keys."""
    document = read(server, "/openapi.json")
    model = "/v2/models/toy/versions/7"
    assert {"/v2/health/live", "/v2/health/ready", "/v2", model, f"{model}/ready", f"{model}/infer"} <= set(
        document["paths"]
    )
    required = {
        "ServerMetadata": {"name", "version", "extensions"},
        "ModelMetadata": {"name", "platform"},
        "TensorMetadata": {"name", "datatype", "shape"},
        "InferRequest": {"inputs"},
        "InputTensor": {"name", "shape", "datatype"},
        "RequestedOutput": {"name"},
        "InferResponse": {"model_name", "outputs"},
        "OutputTensor": {"name", "shape", "datatype"},
    }
    schemas = document["components"]["schemas"]
    for name, keys in required.items():
        assert keys <= set(schemas[name]["required"]), name
        assert keys <= set(schemas[name]["properties"]), name
