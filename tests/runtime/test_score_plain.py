"""/score without a contract: instances, data, MLflow's input_data, the model's own input names, or CSV."""

import pytest

import toys

ROWS = [[1, 3, 2], [9, 8, 7]]


@pytest.fixture
def one(servers):
    return servers.one("passing", toys.passing, maxRequestBytes=200_000)


@pytest.fixture
def several(servers):
    return servers.one("columns", toys.columns)


def test_instances_are_answered_by_predictions(one):
    assert one.score({"instances": ROWS}).json() == {"predictions": [[1.0, 3.0, 2.0], [9.0, 8.0, 7.0]]}
    assert one.score({"instances": []}).json() == {"predictions": []}


def test_data_is_answered_by_a_bare_list(one):
    assert one.score({"data": ROWS}).json() == [[1.0, 3.0, 2.0], [9.0, 8.0, 7.0]]
    assert one.score({"data": [{"x": [1, 2, 3]}]}).json() == [[1.0, 2.0, 3.0]]


def test_input_names_are_answered_by_output_names(one):
    assert one.score({"x": ROWS}).json() == {"y": [[1.0, 3.0, 2.0], [9.0, 8.0, 7.0]]}
    assert one.score({"x": [1, 3, 2]}).json() == {"y": [1.0, 3.0, 2.0]}


def test_several_inputs_are_objects(several):
    row = {"amount": 1.5, "note": "a", "count": 2}
    nested = {"amount": [1.5], "note": ["a"], "count": 2}
    want = {"total": [3.5], "text": ["a"]}
    assert several.score({"instances": [row, row]}).json() == {"predictions": [want, want]}
    assert several.score({"instances": [nested]}).json() == {"predictions": [want]}
    assert several.score({"data": [nested]}).json() == [want]
    assert several.score(nested).json() == want
    full = {"amount": [[1.5], [2.5]], "note": [["a"], ["b"]], "count": [2, 3]}
    assert several.score(full).json() == {"total": [[3.5], [5.5]], "text": [["a"], ["b"]]}


def test_a_model_with_a_fixed_batch_of_one_runs_one_by_one(servers):
    server = servers.one("fixed", lambda: toys.passing("FP32", [1, 3]))
    assert server.score({"instances": ROWS}).json() == {"predictions": [[1.0, 3.0, 2.0], [9.0, 8.0, 7.0]]}
    assert server.score({"x": [[1, 2, 3]]}).json() == {"y": [[1.0, 2.0, 3.0]]}


def test_scalars(servers):
    server = servers.one("scalar", toys.doubled)
    assert server.score({"instances": [1, 2.5]}).json() == {"predictions": [2.0, 5.0]}
    assert server.score({"x": 4}).json() == {"y": 8.0}


def test_several_outputs_are_named(servers):
    server = servers.one("classifier", toys.classifier)
    want = {"predictions": [{"scores": [1.0, 3.0, 2.0], "label": 1}, {"scores": [9.0, 8.0, 7.0], "label": 0}]}
    assert server.score({"instances": ROWS}).json() == want


def test_nan_is_null(servers):
    server = servers.one("log", toys.logarithm)
    assert server.score({"instances": [[-1], [1]]}).json() == {"predictions": [[None], [0.0]]}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"instances": [[1, 2, 3], [1, 2]]}, {"instance": 1, "field": "x"}),
        ({"instances": [[1, 2, 3], [1, "2", 3]]}, {"instance": 1, "field": "x"}),
        ({"instances": [[1, 2, 3], 5]}, {"instance": 1, "field": "x"}),
        ({"instances": [[1, 2]]}, {"field": "x"}),
        ({"instances": [{"y": 1}]}, {"instance": 0, "field": "x"}),
        ({"instances": [[1, 2, 3]], "more": 1}, {"field": "more"}),
        ({"data": [[1, 2, True]]}, {"instance": 0, "field": "x"}),
        ({"x": [[1, 2]]}, {"field": "x"}),
        ({"x": [[1, 2, 3]], "z": 1}, {"field": "z"}),
        ({}, {"field": "x"}),
    ],
)
def test_what_is_wrong_is_named(one, body, detail):
    response = one.score(body)
    assert response.status_code == 422, response.text
    first = response.json()["error"]["details"][0]
    assert {key: first[key] for key in detail} == detail
    assert "message" in first


@pytest.mark.parametrize("body", [[], [[1, 2, 3]], 5, {"instances": 5}, {"data": {}}, {"input_data": 5}])
def test_other_bodies_are_refused(one, body):
    assert one.score(body).status_code == 422


FRAME = {"columns": ["count", "amount", "note"], "index": [7, 9], "data": [[2, 1.5, "a"], [3, 2.5, "b"]]}
MISSING = "is missing among the columns: the model's inputs are amount, note, count"
TOTALS = [{"total": [3.5], "text": ["a"]}, {"total": [5.5], "text": ["b"]}]


def test_mlflows_input_data_is_answered_by_a_bare_list(one, several):
    assert one.score({"input_data": ROWS}).json() == ROWS
    assert one.score({"input_data": {"columns": ["p", "q", "r"], "index": [0, 1], "data": ROWS}}).json() == ROWS
    assert one.score({"input_data": {"columns": ["x"], "data": [[row] for row in ROWS]}}).json() == ROWS
    assert one.score({"input_data": {"columns": ["p", "q", "r"], "data": []}}).json() == []
    assert several.score({"input_data": FRAME}).json() == TOTALS
    assert several.score({"input_data": [{"amount": 1.5, "note": "a", "count": 2}]}).json() == TOTALS[:1]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"columns": ["count", "amount"]}, {"field": "note", "message": MISSING}),
        ({"data": [[2, 1.5]], "index": None}, {"instance": 0, "message": "expected 3 cells, one a column, got 2"}),
        ({"columns": ["count", "amount", "amount"]}, {"field": "amount", "message": "is a column twice"}),
        (
            {"columns": ["count", "amount", "text"]},
            {"field": "text", "message": "is a column that nothing takes: the model's inputs are amount, note, count"},
        ),
        (
            {"columns": ["count", "amount", 7]},
            {"field": "7", "message": "is a column that nothing takes: the model's inputs are amount, note, count"},
        ),
        ({"data": [[2, 1.5, "a"], 5]}, {"instance": 1, "message": "expected 3 cells, one a column, got 5"}),
        (
            {"data": [[2, 1.5, "a"], [3, 2.5, 7]]},
            {"instance": 1, "field": "note", "message": "expected a string, got 7"},
        ),
        ({"data": None}, {"field": "input_data.data", "message": "must be a list, got null"}),
        (
            {"index": [7]},
            {"field": "input_data.index", "message": "must be a list with an entry for each of the 2 rows"},
        ),
        ({"dtypes": []}, {"field": "input_data.dtypes", "message": "is not known"}),
    ],
)
def test_what_is_wrong_with_a_frame_is_named(several, change, detail):
    response = several.score({"input_data": {**FRAME, **change}})
    assert response.status_code == 422, response.text
    assert response.json()["error"]["details"][0] == detail


def sent(server, text, kind="text/csv"):
    body = text if isinstance(text, bytes) else text.encode()
    return server.http.post("/score", content=body, headers={"content-type": kind})


def test_csv_is_answered_by_a_bare_list(one, several):
    assert sent(one, "1,3,2\n9,8,7\n").json() == ROWS
    assert sent(one, "p,q,r\r\n1,3,2\r\n9,8,7").json() == ROWS
    assert sent(one, b"\xef\xbb\xbf1,3,2\n\n9, 8,7e0\n", "text/csv; charset=UTF-8").json() == ROWS
    assert sent(one, "1,3,2\n9,8,7\n", "text/csv; header=present").json() == ROWS[1:]
    assert sent(one, "p,q,r\n").json() == []
    quoted = 'count,note,amount\n2,"a ""b"",\nc",1.5\n'
    assert sent(several, quoted).json() == [{"total": [3.5], "text": ['a "b",\nc']}]


def test_csv_for_one_column_of_numbers_strings_and_booleans(servers):
    numbers = servers.one("csv numbers", toys.raising)  # index [N]
    assert sent(numbers, "index\n2\n0\n").json() == [30.0, 10.0]
    words = servers.one("csv words", lambda: toys.passing("BYTES", ["N", 2]))
    assert sent(words, "x,y\n1,\n").json() == [["x", "y"], ["1", ""]]
    truths = servers.one("csv truths", lambda: toys.passing("BOOL", ["N", 2]))
    assert sent(truths, "true,False\n").json() == [[True, False]]


@pytest.mark.parametrize(
    ("text", "kind", "status", "message"),
    [
        ("1,2,3\n1,2\n", "text/csv", 422, 'instance 1 field "x": has the shape [2], the first instance has [3]'),
        ("1,2,3\n1,two,3\n", "text/csv", 422, 'field "x": expected a number within ±3.40282e+38 (FP32), got "two"'),
        (
            "p,2,3\n1,2,3\n",
            "text/csv",
            422,
            'instance 0 field "x": expected a number within ±3.40282e+38 (FP32), got "p"',
        ),
        ("1,2,\n", "text/csv", 422, 'field "x": expected a number within ±3.40282e+38 (FP32), got ""'),
        ("1,2,nan\n", "text/csv", 422, 'got "nan"'),
        ("1,2,1_0\n", "text/csv", 422, 'got "1_0"'),
        ("1,2\n", "text/csv", 422, "shape is [1, 2], the model wants [-1, 3]"),
        ("p,q,r\n1,2,3\n", "text/csv; header=absent", 422, 'got "p"'),
        ("1;2;3\n", "text/csv", 400, "CSV would be a header with 1 of the model's 3 columns: want values, and commas"),
        ("", "text/csv", 400, "the body is empty, want CSV with a line for each instance"),
        ('1,2,"3', "text/csv", 400, "the body is not CSV: unexpected end of data"),
        (b"1,2,\xff\n", "text/csv", 400, "the body is not UTF-8"),
        ("1,2,3", "text/csv; header=maybe", 400, "text/csv has the parameter header=maybe, want present or absent"),
        ("1,2,3", "text/csv; charset=latin1", 415, 'the body has the charset "latin1": send it as UTF-8'),
        ("1;2;3", "text/tab-separated-values", 415, "want application/json or text/csv"),
    ],
)
def test_what_is_wrong_with_csv_is_said(one, text, kind, status, message):
    response = sent(one, text, kind)
    assert response.status_code == status, response.text
    assert message in response.json()["error"]["message"]


def test_a_header_names_the_inputs_of_a_model_with_several(several):
    missing = sent(several, "1.5,a,2\n").json()["error"]
    has = "the model's inputs are amount, note, count"
    assert missing["details"][0] == {"field": "1.5", "message": f"is a column that nothing takes: {has}"}
    without = sent(several, "1.5,a,2\n", "text/csv; header=absent")
    assert (without.status_code, without.json()["error"]["message"]) == (
        400,
        "text/csv has header=absent, and of several inputs the header says which column is which",
    )
    uneven = sent(several, "amount,note,count\n1.5,a,2\n1.5,a\n").json()["error"]
    assert uneven["details"] == [{"instance": 1, "message": "expected 3 cells, one a column, got 2"}]


@pytest.mark.parametrize("key", ["data", "input_data"])
def test_a_form_of_other_models_is_said_before_any_field_that_is_missing(servers, key):
    contract = {"inputs": [{"name": name, "type": "number"} for name in "abc"], "outputs": [{"name": "y"}]}
    server = servers.one("csv contract", toys.passing, contract=contract)
    message = 'with a contract the body is its object, or {"instances": [one object or several]}, and nothing else'
    refused = server.score({key: [[1, 2, 3]]})
    assert (refused.status_code, refused.json()["error"]["message"]) == (422, f"{key}: {message}")
    assert refused.json()["error"]["details"] == [{"field": key, "message": message}]
    beside = server.score({key: 1, "a": 1, "b": 2, "c": 3}).json()["error"]["details"]
    assert [each["field"] for each in beside] == [key]
    other = server.score({"z": 1}).json()["error"]["details"]
    assert [each["field"] for each in other] == ["a", "b", "c", "z"]


def test_csv_is_no_body_of_a_contract(servers):
    contract = {"inputs": [{"name": name, "type": "number"} for name in "abc"], "outputs": [{"name": "y"}]}
    server = servers.one("csv contract", toys.passing, contract=contract)
    refused = sent(server, "1,2,3\n")
    assert refused.status_code == 415
    assert refused.json()["error"]["message"] == 'the body is "text/csv", want application/json'
