"""Every datatype of the protocol goes in and comes out as it was, in JSON and in binary."""

import json
import math
import struct

import ml_dtypes
import numpy as np
import pytest

import toys
from wye_runtime import tensors
from wye_runtime.errors import Misfit
from wye_runtime.protocol import ROUNDED

DTYPES = {
    **{name: np.dtype(name.lower()) for name in ("UINT8", "UINT16", "UINT32", "UINT64")},
    **{name: np.dtype(name.lower()) for name in ("INT8", "INT16", "INT32", "INT64")},
    "BOOL": np.dtype(bool),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
VALUES = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65535],
    "UINT32": [0, 4294967295],
    "UINT64": [0, 9007199254740993, 18446744073709551615],
    "INT8": [-128, 127],
    "INT16": [-32768, 32767],
    "INT32": [-2147483648, 2147483647],
    "INT64": [-9223372036854775808, 9007199254740993, 9223372036854775807],
    "FP16": [0.5, -65504.0, 3],
    "BF16": [0.5, -1.0, 3],
    "FP32": [0.1, -3.4028234663852886e38, 16777216],
    "FP64": [0.1, -1.7976931348623157e308, 1e-300],
    "BYTES": ["", "a\u0000b", "grüße 🙂"],
}
ORDINARY = [name for name in VALUES if name != "BF16"]


def server_for(servers, datatype):
    if datatype == "BF16":
        return servers.one("echo-bf16", lambda: toys.echo("BF16"))
    return servers.one("echo", lambda: toys.echo(*ORDINARY))


def others(datatype):
    """Empty tensors for the rest of the echo model's inputs."""
    rest = [] if datatype == "BF16" else [name for name in ORDINARY if name != datatype]
    return [{"name": f"in_{name}", "datatype": name, "shape": [0], "data": []} for name in rest]


def raw_of(datatype, values):
    if datatype == "BYTES":
        encoded = [value.encode() for value in values]
        return b"".join(struct.pack("<I", len(each)) + each for each in encoded)
    first = np.array(values, np.float64 if datatype == "BF16" else DTYPES[datatype])
    return first.astype(DTYPES[datatype]).tobytes()


def asked(datatype, *, is_binary):
    return {"outputs": [{"name": f"out_{datatype}", "parameters": {"binary_data": is_binary}}]}


def posted(server, datatype, values, *, binary_in, binary_out, padding=0):
    """Sends the values one way, and gives the answer's header and raw part."""
    raw = raw_of(datatype, values) if binary_in else b""
    given = {"name": f"in_{datatype}", "datatype": datatype, "shape": [len(values)]}
    given |= {"parameters": {"binary_data_size": len(raw)}} if binary_in else {"data": values}
    head = (
        json.dumps({"inputs": [*others(datatype), given], **asked(datatype, is_binary=binary_out)}).encode()
        + b" " * padding
    )
    headers = {"Inference-Header-Content-Length": str(len(head))} if binary_in else {}
    response = server.http.post("/v2/models/toy/infer", content=head + raw, headers=headers)
    assert response.status_code == 200, response.text
    size = int(response.headers.get("Inference-Header-Content-Length", len(response.content)))
    return json.loads(response.content[:size]), response.content[size:]


@pytest.mark.parametrize("binary_in", [False, True], ids=["json in", "binary in"])
@pytest.mark.parametrize("binary_out", [False, True], ids=["json out", "binary out"])
@pytest.mark.parametrize("datatype", VALUES)
def test_values_come_back_as_they_were(servers, datatype, binary_in, binary_out):
    values = VALUES[datatype]
    head, raw = posted(server_for(servers, datatype), datatype, values, binary_in=binary_in, binary_out=binary_out)
    output = head["outputs"][0]
    assert (output["name"], output["datatype"], output["shape"]) == (f"out_{datatype}", datatype, [len(values)])
    if binary_out:
        assert output["parameters"] == {"binary_data_size": len(raw)}
        assert raw == raw_of(datatype, values)
    elif datatype in ("FP16", "BF16", "FP32"):
        assert np.array(output["data"]).astype(DTYPES[datatype]).tolist() == (
            np.array(values).astype(DTYPES[datatype]).tolist()
        )
    else:
        assert output["data"] == values


WRONG = {"BOOL": [1], "BYTES": [1]}
WAYS = {
    "values": lambda server, each: server.infer([*others(each), tensor_of(each, VALUES[each])]),
    "no values": lambda server, each: server.infer([*others(each), tensor_of(each, [])]),
    "a wrong value": lambda server, each: server.infer([*others(each), tensor_of(each, WRONG.get(each, ["x"]))]),
    "a boolean": lambda server, each: server.infer([*others(each), tensor_of(each, [True])]),
    "raw": lambda server, each: raw_post(server, each, raw_of(each, VALUES[each])),
    "too few bytes": lambda server, each: raw_post(server, each, raw_of(each, VALUES[each])[:-1]),
}


def tensor_of(datatype, values):
    return {"name": f"in_{datatype}", "datatype": datatype, "shape": [len(values)], "data": values}


def raw_post(server, datatype, raw):
    """All outputs come back in binary."""
    given = {"name": f"in_{datatype}", "datatype": datatype, "shape": [len(VALUES[datatype])]}
    inputs = [*others(datatype), {**given, "parameters": {"binary_data_size": len(raw)}}]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return server.http.post("/v2/models/toy/infer", content=head + raw, headers=headers)


def told(response):
    """Without what is its own each time."""
    body = response.content.replace(response.headers["x-request-id"].encode(), b"")
    return response.status_code, {**response.headers, "date": "", "x-request-id": ""}, body


@pytest.mark.parametrize("datatype", VALUES)
def test_both_ways_answer_every_datatype_the_same(servers, datatype):
    """The short way, and the ordinary one."""
    short, off = server_for(servers, datatype), {"WYE_FAST_LANE": "0"}
    if datatype == "BF16":
        ordinary = servers.one("echo-bf16, ordinary", lambda: toys.echo("BF16"), environment=off)
    else:
        ordinary = servers.one("echo, ordinary", lambda: toys.echo(*ORDINARY), environment=off)
    for name, sent in WAYS.items():
        assert told(sent(short, datatype)) == told(sent(ordinary, datatype)), name


@pytest.mark.parametrize("padding", range(8))
def test_raw_tensors_may_lie_at_any_address(servers, padding):
    server = server_for(servers, "FP64")
    head, raw = posted(server, "FP64", [0.1, 2.5], binary_in=True, binary_out=True, padding=padding)
    assert raw == raw_of("FP64", [0.1, 2.5])


def test_float32_is_written_in_its_shortest_form(servers):
    server = server_for(servers, "FP32")
    body = {"inputs": [*others("FP32"), {"name": "in_FP32", "datatype": "FP32", "shape": [1], "data": [0.1]}]}
    assert '"data":[0.1]' in server.http.post("/v2/models/toy/infer", json=body | asked("FP32", is_binary=False)).text


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_floats_of_16_bits_are_written_in_their_own_shortest_form(servers, datatype):
    server = server_for(servers, datatype)
    values = [0.1, -0.2, 3, 1e-3, 0.0, -0.0]
    head, _ = posted(server, datatype, values, binary_in=False, binary_out=False)
    assert [str(each) for each in head["outputs"][0]["data"]] == ["0.1", "-0.2", "3.0", "0.001", "0.0", "-0.0"]


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_every_float_of_16_bits_has_a_form_that_reads_as_itself(datatype):
    magnitudes = np.arange(1 << 15, dtype=np.uint16).view(DTYPES[datatype])
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(magnitudes)
    both = np.concatenate([magnitudes[finite], -magnitudes[finite]])
    short = tensors.shortest(both)
    assert (short.astype(DTYPES[datatype]).view(np.uint16) == both.view(np.uint16)).all()
    assert all(map(math.isnan, tensors.shortest(magnitudes[-1:])))


@pytest.mark.parametrize(
    ("datatype", "largest", "above"),
    [("FP16", 65504, 65520), ("BF16", 3.3895314e38, 3.4e38), ("FP32", 3.4028235e38, 3.4028236e38)],
)
def test_the_largest_value_is_taken_in_any_spelling_that_rounds_to_it(datatype, largest, above):
    assert np.isfinite(tensors.array_of(datatype, [largest])).all()
    assert ROUNDED[datatype] >= largest
    assert np.isfinite(tensors.array_of(datatype, [ROUNDED[datatype]])).all()
    with pytest.raises(Misfit, match="expected a number within"):
        tensors.array_of(datatype, [above])
    assert ROUNDED[datatype] < above


def test_empty_tensors_and_dimensions(servers):
    server = servers.one("grid", lambda: toys.passing("FP32", ["N", "M"]))
    for shape in ([0, 3], [2, 0], [0, 0]):
        response = server.infer([{"name": "x", "datatype": "FP32", "shape": shape, "data": []}])
        assert response.json()["outputs"][0]["shape"] == shape
        assert response.json()["outputs"][0]["data"] == []


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]], ids=["flat", "nested"])
def test_json_data_may_be_flat_or_nested(servers, data):
    server = servers.one("grid", lambda: toys.passing("FP32", ["N", "M"]))
    response = server.infer([{"name": "x", "datatype": "FP32", "shape": [2, 3], "data": data}])
    assert response.json()["outputs"][0]["data"] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_a_scalar_has_the_empty_shape(servers):
    server = servers.one("scalar", toys.doubled)
    response = server.infer([{"name": "x", "datatype": "FP32", "shape": [], "data": [1.5]}])
    output = response.json()["outputs"][0]
    assert (output["shape"], output["data"]) == ([], [3.0])


def test_nan_and_infinity_are_null_in_json_and_themselves_in_binary(servers):
    server = servers.one("log", toys.logarithm)
    tensor = {"name": "x", "datatype": "FP32", "shape": [3, 1], "data": [-1, 0, 1]}
    assert server.infer([tensor]).json()["outputs"][0]["data"] == [None, None, 0.0]
    binary = server.infer([tensor], parameters={"binary_data_output": True})
    size = int(binary.headers["Inference-Header-Content-Length"])
    values = np.frombuffer(binary.content[size:], np.float32)
    assert np.isnan(values[0])
    assert values[1] == -np.inf


def test_outputs_are_chosen_ordered_and_mixed(servers):
    server = servers.one("classifier", toys.classifier)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 3, 2]}
    chosen = [{"name": "label"}, {"name": "scores", "parameters": {"binary_data": True}}]
    response = server.infer([tensor], outputs=chosen, id="42")
    size = int(response.headers["Inference-Header-Content-Length"])
    head = json.loads(response.content[:size])
    assert head["id"] == "42"
    assert head["outputs"][0] == {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]}
    assert np.frombuffer(response.content[size:], np.float32).tolist() == [1.0, 3.0, 2.0]
    assert response.headers["content-type"] == "application/octet-stream"


def test_metadata_names_tensors_in_the_protocols_words(servers):
    server = servers.one("columns", toys.columns)
    body = server.http.get("/v2/models/toy").json()
    assert body["inputs"][1] == {"name": "note", "datatype": "BYTES", "shape": [-1, 1]}
    assert body["outputs"][0] == {"name": "total", "datatype": "FP32", "shape": [-1, 1]}
    assert server.http.get("/v2/models/toy/versions/1").json() == body
    assert server.http.get("/v2/models/toy/versions/1/ready").status_code == 200
    assert server.http.get("/v2").json()["extensions"] == ["binary_tensor_data"]
