"""/score with a contract: the callers' fields, checked one by one, and their answers."""

import pytest

import toys

CONTRACT = {
    "inputs": [
        {"name": "distance", "type": "number", "minimum": 0, "description": "km"},
        {"name": "ratio", "type": "number"},
        {"name": "used_chip", "type": "boolean", "default": False},
        {"name": "channel", "type": "string", "values": ["web", "shop", "phone"]},
        {"name": "items", "type": "integer", "minimum": 1, "maximum": 100},
        {"name": "age", "type": "integer"},
        {"name": "hour", "type": "number", "maximum": 24},
    ],
    "outputs": [
        {"name": "fraud_probability", "tensor": "probability"},
        {"name": "decision", "tensor": "probability", "threshold": 0.6, "labels": ["accept", "review"]},
    ],
}
GOOD = {"distance": 10, "ratio": 2.5, "used_chip": True, "channel": "phone", "items": 3.0, "age": 30, "hour": 12}


@pytest.fixture
def server(servers):
    return servers.one("contract", toys.linear, contract=CONTRACT)


def details(response):
    assert response.status_code == 422, response.text
    return response.json()["error"]["details"]


def test_one_object_is_answered_by_one_object(server):
    answer = server.score(GOOD).json()
    assert answer == {"fraud_probability": pytest.approx(0.6468, abs=1e-3), "decision": "review"}
    lower = server.score({**GOOD, "age": -100}).json()
    assert lower["decision"] == "accept"


def test_instances_are_answered_by_predictions_in_their_order(server):
    answer = server.score({"instances": [{**GOOD, "age": -100}, GOOD]}).json()
    assert [each["decision"] for each in answer["predictions"]] == ["accept", "review"]
    assert server.score({"instances": []}).json() == {"predictions": []}


def test_a_default_makes_a_field_optional(server):
    short = {name: value for name, value in GOOD.items() if name != "used_chip"}
    assert server.score(short).json() == server.score({**GOOD, "used_chip": False}).json()


WRONG = {
    "distance": {
        -1: "expected a number of at least 0, got -1",
        "5": 'expected a number of at least 0, got "5"',
        None: "expected a number of at least 0, got null",
    },
    "ratio": {
        True: "expected a number, got true",
        1e39: "expected a number that fits into FP32, got 1e+39",
    },
    "used_chip": {
        1: "expected a boolean (true or false), got 1",
        "true": 'expected a boolean (true or false), got "true"',
    },
    "channel": {
        "fax": 'expected one of web, shop, phone, got "fax"',
        2: "expected one of web, shop, phone, got 2",
    },
    "items": {
        0: "expected an integer from 1 to 100, got 0",
        101: "expected an integer from 1 to 100, got 101",
        1.5: "expected an integer from 1 to 100, got 1.5",
    },
    "hour": {24.5: "expected a number of at most 24, got 24.5"},
}


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, cases in WRONG.items() for value in cases])
def test_a_wrong_field_is_named_with_what_was_expected(server, field, value):
    message = WRONG[field][value]
    assert details(server.score({**GOOD, field: value})) == [{"field": field, "message": message}]
    body = {"instances": [GOOD, GOOD, {**GOOD, field: value}]}
    assert details(server.score(body)) == [{"instance": 2, "field": field, "message": message}]


def test_every_wrong_field_is_named_at_once(server):
    body = {"instances": [{**GOOD, "used_chip": 1, "zip": 5}, 7, {}]}
    named = [(each["instance"], each.get("field")) for each in details(server.score(body))]
    assert named == [
        (0, "used_chip"),
        (0, "zip"),
        (1, None),
        *((2, name) for name in GOOD if name != "used_chip"),
    ]


def test_a_body_of_mistakes_is_not_answered_by_a_larger_one(server):
    response = server.score({"instances": [1] * 20_000})
    assert len(details(response)) == 1000
    nameless = server.score({"n" * 5000: 1})
    assert len(nameless.json()["error"]["message"]) <= 1000


@pytest.mark.parametrize(
    "body",
    [[], 5, "a", {"instances": 5}, {"instances": {}}, {"instances": [GOOD], "more": 1}, {"data": [[1]]}, {}],
)
def test_nothing_else_is_a_body(server, body):
    response = server.score(body)
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "InvalidInput"


def test_unknown_fields_are_dropped_where_the_contract_says_so(servers):
    server = servers.one("drop", toys.linear, contract={**CONTRACT, "unknownFields": "drop"})
    assert server.score({**GOOD, "zip": 5}).json() == server.score(GOOD).json()


def test_one_by_one_where_the_model_takes_one_instance(servers):
    server = servers.one("single", lambda: toys.linear(batch=1), contract=CONTRACT)
    answer = server.score({"instances": [{**GOOD, "age": -100}, GOOD, GOOD]}).json()
    assert [each["decision"] for each in answer["predictions"]] == ["accept", "review", "review"]


def test_strings_and_several_tensors(servers):
    fields = [
        {"name": "sum", "type": "number"},
        {"name": "kind", "type": "string", "values": ["a", "b"]},
        {"name": "times", "type": "integer"},
    ]
    contract = {"inputs": fields, "outputs": [{"name": "total"}, {"name": "text"}]}
    server = servers.one("columns-contract", toys.columns, contract=contract)
    assert server.score({"sum": 1.5, "kind": "b", "times": 2}).json() == {"total": 3.5, "text": "b"}


def test_the_protocol_is_served_beside_the_contract(server):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 7], "data": [0] * 7}
    assert server.infer([tensor]).json()["outputs"][0]["data"] == [0.5]
    signature = server.inner.get("/signature").json()
    assert signature["contract"] == CONTRACT
    assert signature["provider"] == "CPUExecutionProvider"
    assert signature["model"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 7]}]
