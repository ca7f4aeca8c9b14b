"""What callers of the fraud endpoint get: typed fields in, and the model's own number out, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import numpy as np
import onnxruntime as ort
import pytest

import plain

PURCHASE = {
    "distance_from_home": 410.5,
    "distance_from_last_transaction": 388.2,
    "ratio_to_median_purchase_price": 4.8,
    "repeat_retailer": False,
    "used_chip": False,
    "used_pin_number": False,
    "online_order": True,
}
THRESHOLDS = {"blue": 0.3, "green": 0.4, "violet": 0.4}


@pytest.fixture(scope="module")
def caller(fraud: Path, local_up) -> Iterator[httpx.Client]:
    with local_up(fraud) as up, plain.Client(base_url=up.url.removesuffix("/score"), headers=up.headers) as client:
        yield client


@pytest.mark.parametrize("name", ["blue", "green", "violet"])
def test_each_deployment_answers_what_a_plain_run_of_its_model_says(
    caller: httpx.Client, fraud: Path, fraud_train: ModuleType, fraud_transactions: ModuleType, name: str
) -> None:
    rows, _ = fraud_transactions.transactions(40, seed=5)
    session = ort.InferenceSession(fraud / f"models/{name}.onnx")
    for row in rows:
        body, pinned = fraud_transactions.as_request(row), {"azureml-model-deployment": name}
        response = caller.post("/score", json=body, headers=pinned)
        assert response.status_code == 200, response.text
        assert response.headers["azureml-model-deployment"] == name
        answer = response.json()
        expected = fraud_train.RECIPES[name].probability(session, row[None])[0]
        assert np.float32(answer["fraud_probability"]) == expected
        assert 0 <= answer["fraud_probability"] <= 1
        assert answer["decision"] == ("review" if expected >= np.float32(THRESHOLDS[name]) else "accept")


def test_the_example_request_is_reviewed_by_every_model(caller: httpx.Client) -> None:
    decisions = {
        name: caller.post("/score", json=PURCHASE, headers={"azureml-model-deployment": name}).json()["decision"]
        for name in THRESHOLDS
    }
    assert decisions == {"blue": "review", "green": "review", "violet": "review"}


def test_instances_are_answered_in_their_order(caller: httpx.Client) -> None:
    harmless = PURCHASE | {"distance_from_home": 2, "distance_from_last_transaction": 1}
    harmless |= {"ratio_to_median_purchase_price": 0.5, "online_order": False}
    response = caller.post("/score", json={"instances": [harmless, PURCHASE, harmless]})
    decisions = [each["decision"] for each in response.json()["predictions"]]
    assert decisions == ["accept", "review", "accept"]


@pytest.mark.parametrize(
    ("field", "value", "expected", "got"),
    [
        pytest.param("used_chip", 1, "expected a boolean", "got 1", id="a number is no boolean"),
        pytest.param("distance_from_home", True, "expected a number", "got true", id="a boolean is no number"),
        pytest.param("distance_from_home", -1, "expected a number from 0", "got -1", id="no distance is negative"),
        pytest.param("distance_from_home", 1e5, "expected a number from 0", "got 100000", id="nothing is that far"),
    ],
)
def test_wrong_fields_are_refused_by_name(
    caller: httpx.Client, field: str, value: object, expected: str, got: str
) -> None:
    response = caller.post("/score", json=PURCHASE | {field: value})
    assert response.status_code == 422
    (detail,) = response.json()["error"]["details"]
    assert detail["field"] == field
    assert detail["message"].startswith(expected)
    assert got in detail["message"]


def test_booleans_with_a_default_may_be_left_out_and_the_others_not(caller: httpx.Client) -> None:
    short = {name: value for name, value in PURCHASE.items() if not name.startswith(("used", "repeat"))}
    assert caller.post("/score", json=short).status_code == 200
    del short["online_order"]
    refused = caller.post("/score", json=short)
    assert refused.status_code == 422
    assert refused.json()["error"]["details"] == [{"field": "online_order", "message": "is required"}]


def test_without_a_key_nobody_is_answered(caller: httpx.Client) -> None:
    assert plain.post(caller.base_url.join("/score"), json=PURCHASE).status_code == 401
