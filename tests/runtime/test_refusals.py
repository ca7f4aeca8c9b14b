"""Every way to be wrong has its own status, its code, and a sentence that names the place."""

import json
import socket

import pytest

import toys

X = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}


@pytest.fixture
def server(servers):
    return servers.one("passing", toys.passing, maxRequestBytes=200_000)


def refusal(response):
    """An error's status, code and details; its other parts are checked here."""
    error = response.json()["error"]
    assert set(error) - {"details"} == {"code", "message", "requestId"}
    assert error["requestId"] == response.headers["x-request-id"]
    assert "/onnxruntime" not in error["message"]
    assert ".onnx" not in error["message"]
    return response.status_code, error["code"], error.get("details", [])


def with_x(**changes):
    return [{key: value for key, value in {**X, **changes}.items() if value is not ...}]


TENSORS = {
    "no data": (with_x(data=...), "data must be a list, got null"),
    "data is a number": (with_x(data=5), "data must be a list, got 5"),
    "too few values": (with_x(data=[1, 2]), "shape [1, 3] wants 3 values, got 2"),
    "ragged": (with_x(shape=[2, 3], data=[[1, 2, 3], [4, 5]]), "nested data must have the shape [2, 3]"),
    "nested too deep": (with_x(data=[[[1, 2, 3]]]), "nested data must have the shape [1, 3]"),
    "another rank": (with_x(shape=[3]), "shape is [3], the model wants [-1, 3] (-1: any size)"),
    "another size": (with_x(shape=[1, 4]), "shape is [1, 4], the model wants [-1, 3] (-1: any size)"),
    "a negative size": (with_x(shape=[-1, 3]), "shape must be a list of integers that are not negative"),
    "a fractional size": (with_x(shape=[1.0, 3]), "shape must be a list of integers that are not negative"),
    "no shape": (with_x(shape=...), "shape must be a list of integers that are not negative"),
    "another datatype": (with_x(datatype="FP64"), 'datatype is "FP64", the model wants FP32'),
    "no datatype": (with_x(datatype=...), "datatype is null, the model wants FP32"),
    "twice": ([X, X], "is given twice"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_a_wrong_tensor_is_named(server, case):
    inputs, message = TENSORS[case]
    assert refusal(server.infer(inputs)) == (422, "InvalidInput", [{"tensor": "x", "message": message}])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "expected a number within ±3.40282e+38 (FP32), got true"),
        ("2", 'expected a number within ±3.40282e+38 (FP32), got "2"'),
        (None, "expected a number within ±3.40282e+38 (FP32), got null"),
        (1e39, "expected a number within ±3.40282e+38 (FP32), got 1e+39"),
        ({}, "expected a number within ±3.40282e+38 (FP32), got an object"),
    ],
)
def test_a_wrong_value_is_named_with_its_position(server, value, message):
    wrong = refusal(server.infer(with_x(data=[1, value, 3])))
    assert wrong == (422, "InvalidInput", [{"tensor": "x", "position": 1, "message": message}])


def test_a_body_may_say_the_models_name_as_kserves_client_does_and_no_other(server):
    assert server.infer(with_x(), model_name="toy").status_code == 200
    for name, said in (("other", '"other"'), (None, "null"), (7, "7")):
        answer = server.infer(with_x(), model_name=name)
        assert refusal(answer) == (422, "InvalidInput", [])
        assert answer.json()["error"]["message"] == f"model_name is {said}, the address is that of toy"


ELEMENTS = {
    "INT8": [128, -129, 1.0, True, "1", None],
    "UINT64": [-1, 18446744073709551616, 0.5],
    "INT64": [9223372036854775808, -9223372036854775809, 1.5, False],
    "BOOL": [0, 1, "true", None],
    "FP16": [65520.0, 1e300, True, "NaN"],
    "FP64": ["Infinity", False],
    "BYTES": [1, None, True, ["a"]],
}


@pytest.mark.parametrize(("datatype", "value"), [(name, value) for name, all_ in ELEMENTS.items() for value in all_])
def test_no_value_is_bent_into_a_datatype(servers, datatype, value):
    server = servers.one("echo", lambda: toys.echo(*[name for name in toys.ELEMENTS if name != "BF16"]))
    good = {"BOOL": True, "BYTES": "a"}.get(datatype, 1)
    inputs = [
        {"name": f"in_{name}", "datatype": name, "shape": [0], "data": []}
        for name in toys.ELEMENTS
        if name not in ("BF16", datatype)
    ]
    inputs.append({"name": f"in_{datatype}", "datatype": datatype, "shape": [2], "data": [good, value]})
    status, code, details = refusal(server.infer(inputs))
    assert (status, code) == (422, "InvalidInput")
    assert details[0]["tensor"] == f"in_{datatype}"
    assert details[0]["position"] == 1


def test_every_wrong_tensor_is_named_at_once(servers):
    server = servers.one("columns", toys.columns)
    inputs = [{"name": "amount", "datatype": "INT8"}, {"name": "extra", "datatype": "FP32"}]
    _, _, details = refusal(server.infer(inputs))
    assert [each["tensor"] for each in details] == ["amount", "extra", "note", "count"]
    assert details[2]["message"] == "is missing"


BODIES = {
    "no JSON": (b"{", 400, "BadRequest"),
    "empty": (b"", 400, "BadRequest"),
    "NaN": (b'{"inputs": [NaN]}', 400, "BadRequest"),
    "not UTF-8": (b'{"inputs": "\xff"}', 400, "BadRequest"),
    "100,000 deep": (b"[" * 100_000 + b"]" * 100_000, 400, "BadRequest"),
    "a list": (b"[]", 422, "InvalidInput"),
    "no inputs": (b"{}", 422, "InvalidInput"),
    "an unknown key": (b'{"inputs": [], "outpts": []}', 422, "InvalidInput"),
    "inputs of numbers": (b'{"inputs": [1]}', 422, "InvalidInput"),
    "a nameless tensor": (b'{"inputs": [{}]}', 422, "InvalidInput"),
    "a numeric id": (b'{"inputs": [], "id": 1}', 422, "InvalidInput"),
    "an unhashable name": (b'{"inputs": [{"name": []}]}', 422, "InvalidInput"),
}


@pytest.mark.parametrize("case", BODIES)
def test_wrong_bodies(server, case):
    content, status, code = BODIES[case]
    response = server.http.post("/v2/models/toy/infer", content=content)
    assert refusal(response)[:2] == (status, code)


def test_wrong_outputs(server):
    details = refusal(server.infer([X], outputs=[{"name": "z"}]))[2]
    assert details == [{"tensor": "z", "message": "is not an output of the model, which has y"}]
    assert refusal(server.infer([X], outputs=[{"name": "y"}] * 2))[:2] == (422, "InvalidInput")
    assert refusal(server.infer([X], outputs=[{"name": "y", "parameters": {"classification": 2}}]))[0] == 422
    assert refusal(server.infer([X], parameters={"binary_data_output": 1}))[0] == 422


@pytest.mark.parametrize(
    ("more", "whose"), [({"parameters": 5}, "the request"), ({"outputs": [{"name": "y", "parameters": 5}]}, '"y"')]
)
def test_parameters_that_are_no_object_are_named_by_what_they_belong_to(server, more, whose):
    response = server.infer([X], **more)
    assert response.status_code == 422
    assert response.json()["error"]["message"] == f"parameters of {whose} must be an object, got 5"


def binary(server, raw, *, size=12, length=None, **changes):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": size}, **changes}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)) if length is None else length}
    return server.http.post("/v2/models/toy/infer", content=head + raw, headers=headers)


@pytest.mark.parametrize(
    ("case", "status"),
    [
        ({"raw": b"\0" * 12}, 200),
        ({"raw": b"\0" * 11}, 400),
        ({"raw": b"\0" * 13}, 400),
        ({"raw": b"\0" * 12, "length": "99999"}, 400),
        ({"raw": b"\0" * 12, "length": "-1"}, 400),
        ({"raw": b"\0" * 12, "length": "1e2"}, 400),
        ({"raw": b"\0" * 12, "length": ""}, 400),
        ({"raw": b"\0" * 12, "length": "5"}, 400),
        ({"raw": b"\0" * 12, "size": "12"}, 400),
        ({"raw": b"\0" * 12, "size": -12}, 400),
        ({"raw": b"\0" * 8, "size": 8}, 422),
        ({"raw": b"\0" * 12, "data": [1, 2, 3]}, 422),
    ],
)
def test_binary_framing(server, case, status):
    assert binary(server, **case).status_code == status


def test_binary_without_its_header_is_a_framing_error(server):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}
    assert refusal(server.infer([tensor]))[:2] == (400, "BadRequest")


@pytest.mark.parametrize(
    ("datatype", "raw", "message"),
    [
        ("BYTES", b"\1\0\0\0a\2\0\0\0\xff\xfe", "expected UTF-8 text (BYTES), got other bytes"),
        ("BYTES", b"\1\0\0\0a\3\0\0\0ab", "the element's length runs over the end of the tensor"),
        ("BYTES", b"\1\0\0\0a\3\0", "the element's length runs over the end of the tensor"),
        ("BOOL", b"\1\2", "expected the byte 0 or 1 (BOOL), got 2"),
    ],
)
def test_raw_elements_are_checked(servers, datatype, raw, message):
    server = servers.one("echo", lambda: toys.echo(*[name for name in toys.ELEMENTS if name != "BF16"]))
    inputs = [
        {"name": f"in_{name}", "datatype": name, "shape": [0], "data": []}
        for name in toys.ELEMENTS
        if name not in ("BF16", datatype)
    ]
    size = {"binary_data_size": len(raw)}
    inputs.append({"name": f"in_{datatype}", "datatype": datatype, "shape": [2], "parameters": size})
    head = json.dumps({"inputs": inputs}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    response = server.http.post("/v2/models/toy/infer", content=head + raw, headers=headers)
    assert refusal(response)[2] == [{"tensor": f"in_{datatype}", "position": 1, "message": message}]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NotFound"),
        ("GET", "/score/", 404, "NotFound"),
        ("GET", "/metrics", 404, "NotFound"),
        ("GET", "/score", 405, "MethodNotAllowed"),
        ("PUT", "/v2/models/toy/infer", 405, "MethodNotAllowed"),
        ("POST", "/v2/models/other/infer", 404, "ModelNotFound"),
        ("POST", "/v2/models/toy/versions/2/infer", 404, "ModelNotFound"),
        ("GET", "/v2/models/other", 404, "ModelNotFound"),
        ("GET", "/v2/models/other/ready", 404, "ModelNotFound"),
        ("GET", "/v2/models/toy/versions/9", 404, "ModelNotFound"),
        ("GET", "/swagger.json?version=9", 404, "NotFound"),
    ],
)
def test_unknown_routes_methods_models_and_versions(server, method, path, status, code):
    response = server.http.request(method, path, json={"inputs": [X]} if method == "POST" else None)
    assert refusal(response)[:2] == (status, code)


def test_a_body_is_counted_while_it_comes(server):
    large = b" " * 200_001
    assert refusal(server.http.post("/score", content=large))[:2] == (413, "PayloadTooLarge")
    chunks = (b" " * 1000 for _ in range(400))
    assert refusal(server.http.post("/score", content=chunks))[:2] == (413, "PayloadTooLarge")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/x-www-form-urlencoded", 200),
        ("", 200),
        ("text/plain", 415),
        ("application/octet-stream", 415),
    ],
)
def test_content_types_of_score(server, content_type, status):
    headers = {"content-type": content_type} if content_type else {}
    response = server.http.post("/score", content=b'{"data": [[1, 2, 3]]}', headers=headers)
    assert response.status_code == status
    if status == 415:
        assert refusal(response)[1] == "UnsupportedMediaType"


@pytest.mark.parametrize("path", ["/score", "/v2/models/toy/infer"])
@pytest.mark.parametrize(("encoding", "status"), [("gzip", 415), ("br, gzip", 415), ("identity", 422), ("", 422)])
def test_a_compressed_body_is_refused_before_it_is_read(server, path, encoding, status):
    response = server.http.post(path, content=b'{"a": 1}', headers={"content-encoding": encoding})
    assert refusal(response)[0] == status
    if status == 415:
        assert f'Content-Encoding "{encoding}": send it uncompressed' in response.json()["error"]["message"]


def test_a_key_that_stands_twice_is_refused(server):
    response = server.http.post("/score", content=b'{"data": [[1, 2, 3]], "data": [[4, 5, 6]]}')
    assert refusal(response)[:2] == (400, "BadRequest")
    assert response.json()["error"]["message"] == 'the key "data" stands twice in one object'


def test_a_failing_run_is_a_model_error_without_paths(servers, wait_until):
    server = servers.one("raising", toys.raising)
    response = server.infer([{"name": "index", "datatype": "INT64", "shape": [1], "data": [7]}])
    status, code, _ = refusal(response)
    assert (status, code) == (500, "ModelError")
    assert "Traceback" not in response.text
    assert "out of data bounds" in response.text
    asked = response.headers["x-request-id"]
    assert wait_until(lambda: server.line("request failed", requestId=asked))  # written behind the answer
    assert server.infer([{"name": "index", "datatype": "INT64", "shape": [1], "data": [2]}]).status_code == 200


def test_an_upgrade_is_refused_in_so_many_words(server):
    headers = {"connection": "upgrade, http2-settings", "upgrade": "h2c", "http2-settings": "AAMAAABk"}
    response = server.http.post("/score", content=b'{"data": [[1, 2, 3]]}', headers=headers)
    assert refusal(response)[:2] == (400, "BadRequest")
    assert "Upgrade is not served here" in response.text


def test_the_callers_request_id_is_kept(server):
    response = server.http.get("/nowhere", headers={"x-request-id": "mine-1"})
    assert response.json()["error"]["requestId"] == "mine-1"
    assert response.headers["x-request-id"] == "mine-1"


def exchanged(server, content: bytes) -> bytes:
    """All that comes back for raw bytes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), 30) as wire:
        try:
            wire.sendall(content)
            wire.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed while we were sending: the answer may still be there
        answer = b""
        try:
            while part := wire.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def test_what_is_not_http_is_told_so(server):
    answer = exchanged(server, b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"BadRequest"' in answer


def test_a_huge_head_is_431_whatever_its_form(server):
    many = b"".join(b"h%d: %s\r\n" % (at, b"v" * 1000) for at in range(100))
    assert exchanged(server, b"GET / HTTP/1.1\r\nhost: a\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 431 ")
    one = b"GET / HTTP/1.1\r\nhost: a\r\nh: " + b"v" * 3_000_000
    assert exchanged(server, one)[:13] in (b"HTTP/1.1 431 ", b"")
    assert server.http.get("/healthz").text == "Healthy"
