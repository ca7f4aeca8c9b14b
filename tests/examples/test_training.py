"""The training scripts: they learn, they give the same bytes again, and their exports are what the manifests say."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime as ort
import pytest

Tensors = list[tuple[str, str, list[object]]]
X7 = [("X", "tensor(float)", [None, 7])]
TWO_CLASSES = [("label", "tensor(int64)", [None]), ("probabilities", "tensor(float)", [None, 2])]
ONE_BY_ONE = [
    ("distance_from_home", "tensor(float)", [None, 1]),
    ("distance_from_last_transaction", "tensor(float)", [None, 1]),
    ("ratio_to_median_purchase_price", "tensor(float)", [None, 1]),
    ("repeat_retailer", "tensor(bool)", [None, 1]),
    ("used_chip", "tensor(bool)", [None, 1]),
    ("used_pin_number", "tensor(bool)", [None, 1]),
    ("online_order", "tensor(bool)", [None, 1]),
]


def digests(folder: Path) -> dict[str, str]:
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.onnx")}


def tensors(values: list[ort.NodeArg]) -> Tensors:
    return [(value.name, value.type, value.shape) for value in values]


def test_training_twice_gives_the_same_bytes_and_models_that_learned(
    fraud: Path, fraud_train: ModuleType, tmp_path: Path
) -> None:
    quality = fraud_train.train(tmp_path)
    assert digests(tmp_path) == digests(fraud / "models")
    assert len(digests(tmp_path)) == 3
    assert quality["blue"]["auc"] > 0.93
    assert quality["green"]["auc"] > 0.975
    assert quality["violet"]["auc"] > 0.97
    assert min(each["accuracy"] for each in quality.values()) > 0.92  # "never fraud" has 0.906


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        pytest.param("blue", X7, TWO_CLASSES, id="blue takes one row of seven"),
        pytest.param("green", ONE_BY_ONE, TWO_CLASSES, id="green takes seven columns, four of them boolean"),
        pytest.param(
            "violet",
            [("features", "tensor(float)", ["N", 7])],
            [("fraud_probability", "tensor(float)", ["N", 1])],
            id="violet gives one number",
        ),
    ],
)
def test_the_three_models_differ_in_their_tensors(fraud: Path, name: str, inputs: Tensors, outputs: Tensors) -> None:
    session = ort.InferenceSession(fraud / f"models/{name}.onnx")
    assert tensors(session.get_inputs()) == inputs
    assert tensors(session.get_outputs()) == outputs


@pytest.mark.parametrize("name", ["blue", "green", "violet"])
def test_a_row_scores_the_same_alone_and_in_company(
    fraud: Path, fraud_train: ModuleType, fraud_transactions: ModuleType, name: str
) -> None:
    rows, _ = fraud_transactions.transactions(50, seed=3)
    recipe, session = fraud_train.RECIPES[name], ort.InferenceSession(fraud / f"models/{name}.onnx")
    together = recipe.probability(session, rows)
    alone = [recipe.probability(session, row[None])[0] for row in rows]
    assert np.allclose(together, alone, rtol=0, atol=1e-6)
    assert ((together >= 0) & (together <= 1)).all()


def test_transactions_are_the_same_for_a_seed_and_one_in_eleven_is_fraud(fraud_transactions: ModuleType) -> None:
    rows, fraud = fraud_transactions.transactions(20_000, seed=1)
    again, _ = fraud_transactions.transactions(20_000, seed=1)
    other, _ = fraud_transactions.transactions(20_000, seed=2)
    assert np.array_equal(rows, again)
    assert not np.array_equal(rows, other)
    assert 0.08 < fraud.mean() < 0.105
    chip, pin, online = rows[:, 4], rows[:, 5], rows[:, 6]
    assert not (pin > chip).any(), "nobody types a PIN for a card that was not read"
    assert not (online * chip).any(), "nobody puts a chip into a web shop"


def test_a_transaction_becomes_a_body_with_booleans(fraud_transactions: ModuleType) -> None:
    row = np.array([12.34, 0.5, 1.1, 1, 0, 0, 1], np.float32)
    assert fraud_transactions.as_request(row) == {
        "distance_from_home": 12.34,
        "distance_from_last_transaction": 0.5,
        "ratio_to_median_purchase_price": 1.1,
        "repeat_retailer": True,
        "used_chip": False,
        "used_pin_number": False,
        "online_order": True,
    }


def test_models_older_than_their_script_are_trained_again(fraud: Path, fraud_train: ModuleType) -> None:
    assert fraud_train.is_trained(fraud / "models")
    os.utime(fraud / "models/green.onnx", (1, 1))
    assert not fraud_train.is_trained(fraud / "models")
    os.utime(fraud / "models/green.onnx")
    assert fraud_train.is_trained(fraud / "models")


def test_phishing_is_learned_from_real_rows_and_gives_the_same_bytes(
    phishing_train: ModuleType, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    quality = phishing_train.train(first)
    phishing_train.train(second)
    assert digests(first) == digests(second)
    assert len(digests(first)) == 2
    assert quality["forest"]["auc"] > 0.96
    assert quality["linear"]["auc"] > 0.94


def test_phishing_rows_are_words_and_booleans(phishing_train: ModuleType) -> None:
    names, features, phishing = phishing_train.phishing_rows()
    assert features.shape == (1250, 9)
    assert phishing.sum() == 548
    assert phishing_train.as_request(names, features[0]) == {
        "empty_server_form_handler": "phishy",
        "popup_window": "phishy",
        "https": "phishy",
        "request_from_other_domain": "phishy",
        "anchor_from_other_domain": "phishy",
        "is_popular": "suspicious",
        "long_url": "legitimate",
        "age_of_domain": True,
        "ip_in_url": True,
    }


def test_other_rows_than_expected_are_refused(phishing_rows: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "phishing.csv.gz").write_bytes(b"something else")
    with pytest.raises(
        phishing_rows.NoRows, match=r"phishing.csv.gz has the sha256 \w+, want d8a6d44b.*delete the file"
    ):
        phishing_rows.phishing_rows(tmp_path)


def test_rows_that_cannot_be_downloaded_are_one_sentence(
    phishing_rows: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "uv"
    program.write_text("#!/bin/sh\necho 'error: no route to the registry' >&2\nexit 2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(phishing_rows.NoRows) as caught:
        phishing_rows.phishing_rows(tmp_path / "tools")
    assert str(caught.value) == (
        "the package river==0.26.1, which carries the rows, could not be downloaded: error: no route to the registry"
    )
