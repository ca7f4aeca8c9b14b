"""/score without a contract: instances, data or the model's own input names."""

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


@pytest.mark.parametrize("body", [[], [[1, 2, 3]], 5, {"instances": 5}, {"data": {}}, {"input_data": [[1]]}])
def test_other_bodies_are_refused(one, body):
    assert one.score(body).status_code == 422
