"""Whatever comes in: an answer below 500, an error in its own form, a living process, and no memory that stays."""

import copy
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import toys

FIELDS = [{"name": "a", "type": "number"}, {"name": "b", "type": "boolean"}, {"name": "c", "type": "integer"}]
CONTRACT = {"inputs": FIELDS, "outputs": [{"name": "y"}]}
TENSOR = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}
INFER = {"id": "1", "parameters": {}, "inputs": [TENSOR], "outputs": [{"name": "y", "parameters": {}}]}
COLUMNS = [
    {"name": "amount", "datatype": "FP32", "shape": [1, 1], "data": [1.5]},
    {"name": "note", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]},
    {"name": "count", "datatype": "INT64", "shape": [1], "data": [3]},
]
SCORES = [
    {"a": 1.5, "b": True, "c": 3},
    {"instances": [{"a": 1.5, "b": True, "c": 3}, {"a": 0, "b": False, "c": -1}]},
    {"instances": [[1, 2, 3], [4, 5, 6]]},
    {"data": [[1, 2, 3]]},
    {"x": [[1, 2, 3]]},
]
RAW = bytes(range(24))
ALLOWED = {200, 400, 404, 405, 408, 413, 415, 422, 431}
GROWTH = 40 << 20

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["x", "FP32", "INT64", "BYTES", "data", "instances", 2**53 + 1, 2**63, 1e39, -0.0, [], {}]),
)
keys = st.one_of(st.text(max_size=4), st.sampled_from(["inputs", "outputs", "shape", "data", "instances", "x", "a"]))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)
fuzz = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(scope="module")
def targets(servers):
    plain = servers.one("passing", toys.passing, maxRequestBytes=200_000)
    fields = servers.one("fuzz-contract", toys.passing, contract=CONTRACT)
    several = servers.one("columns", toys.columns)
    return plain, fields, several


def post(server, path, content, headers=None):
    """One request; what comes back has the form that every answer has."""
    response = server.http.post(path, content=content, headers=headers)
    assert response.status_code in ALLOWED, response.text
    if response.status_code != 200:
        error = response.json()["error"]
        assert error["code"]
        assert error["message"]
        assert error["requestId"] == response.headers["x-request-id"]
    assert server.process.poll() is None
    return response


def everywhere(targets, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    for server in targets:
        for path in ("/score", "/v2/models/toy/infer"):
            post(server, path, content)


@fuzz
@given(body=values)
def test_any_json(targets, body):
    everywhere(targets, body)


@fuzz
@given(body=st.binary(max_size=200))
def test_any_bytes(targets, body):
    everywhere(targets, body)


def places(value, path=()):
    """Every place inside a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def changed(body, path, value, how):
    """The body with one place changed."""
    body = copy.deepcopy(body)
    if not path:
        return value
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    if how == "remove":
        del holder[path[-1]]
    elif how == "wrap":
        holder[path[-1]] = [holder[path[-1]]]
    else:
        holder[path[-1]] = value
    return body


@fuzz
@given(data=st.data(), how=st.sampled_from(["replace", "remove", "wrap"]))
def test_valid_bodies_with_one_thing_changed(targets, data, how):
    body = data.draw(st.sampled_from([INFER, {"inputs": COLUMNS}, *SCORES]))
    path = data.draw(st.sampled_from(list(places(body))))
    everywhere(targets, changed(body, path, data.draw(values), how))


@fuzz
@given(
    cut=st.integers(0, 40),
    length=st.one_of(st.none(), st.integers(-5, 400), st.sampled_from(["", "x", "1e2", "0x5", "٣", "9" * 30])),
    size=st.one_of(st.sampled_from([24, 0, 23, 25, -1, 2**70, 1.5, "24", None]), values),
    datatype=st.sampled_from(["FP32", "BYTES", "BOOL", "FP64"]),
)
def test_binary_requests_cut_and_mislabelled(targets, cut, length, size, datatype):
    tensor = {"name": "x", "datatype": datatype, "shape": [2, 3], "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    told = str(len(head) if length is None else length)
    content = (head + RAW)[: len(head + RAW) - cut]
    headers = {b"inference-header-content-length": told.encode()}
    post(targets[0], "/v2/models/toy/infer", content, headers)


@fuzz
@given(raw=st.binary(max_size=40), rows=st.integers(0, 3))
def test_raw_strings(targets, raw, rows):
    strings = {"name": "note", "datatype": "BYTES", "shape": [rows, 1], "parameters": {"binary_data_size": len(raw)}}
    amount = {"name": "amount", "datatype": "FP32", "shape": [rows, 1], "data": [0] * rows}
    count = {"name": "count", "datatype": "INT64", "shape": [rows], "data": [0] * rows}
    head = json.dumps({"inputs": [amount, strings, count]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    post(targets[2], "/v2/models/toy/infer", head + raw, headers)


@fuzz
@given(
    path=st.text(st.characters(codec="ascii", exclude_characters="?#"), max_size=20),
    kind=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
def test_any_path_and_content_type(targets, path, kind):
    url = "/" + "".join(f"%{ord(each):02x}" for each in path)
    post(targets[0], url, b"{}", {"content-type": kind.strip()})
    post(targets[0], f"/v2/models{url}/infer", b"{}")
    post(targets[0], "/score", b'{"data": []}', {"content-type": kind.strip(), "x-request-id": kind.strip()})


DEEP = {
    "lists": b"[" * 100_000 + b"]" * 100_000,
    "open lists": b"[" * 100_000,
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "data": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":' + b"[" * 900 + b"]" * 900 + b"}]}",
    "instances": b'{"instances":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "zeros": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[%s],"data":[]}]}' % (b"0," * 50_000 + b"0"),
    "a long number": b'{"data": [[' + b"9" * 100_000 + b",1,2]]}",
    "a long name": b'{"' + b"n" * 100_000 + b'": 1}',
}


@pytest.mark.parametrize("case", DEEP)
def test_bodies_of_great_depth_or_length(targets, case):
    for server in targets:
        for path in ("/score", "/v2/models/toy/infer"):
            assert post(server, path, DEEP[case]).status_code in (400, 413, 422)


def test_memory_does_not_grow(targets):
    """Several thousand good, bad and large requests later, the process is about as large as before."""
    server, chance = targets[0], random.Random(7)
    large = [DEEP["lists"], json.dumps({"data": [[1.5, 2.5, 3.5]] * 5000}).encode(), b"[" + b"1," * 90_000]
    small = [json.dumps(body).encode() for body in (*SCORES, INFER, {"inputs": COLUMNS})]

    def burst(count):
        for _ in range(count):
            content = chance.choice(large) if chance.random() < 0.05 else chance.choice(small)
            path = chance.choice(["/score", "/v2/models/toy/infer", f"/{chance.random()}"])
            headers = {"x-request-id": str(chance.random()), "h": "v" * chance.choice([1, 100, 30_000])}
            post(server, path, content[: chance.choice([len(content), len(content) // 2])], headers)

    burst(500)
    before = server.rss()
    burst(3000)
    assert server.rss() - before < GROWTH
