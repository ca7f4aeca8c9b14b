"""Trains two phishing detectors on real rows and writes them to models/ as ONNX.

Callers do not send numbers for what is no number: a feature with three levels is one of three words, a yes or no is a
boolean. The contract in endpoint.yaml says so, and the models get the word's index and 0 or 1.

Each example stands alone, to be copied and changed: what it has in common with the fraud example stands in both.

    python examples/phishing/train.py [--force]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from rows import NoRows, phishing_rows
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
MODELS = HERE / "models"
OPSET = {"": 17, "ai.onnx.ml": 3}
LEVELS = ["phishy", "suspicious", "legitimate"]  # in the file 0, 0.5 and 1
BOOLEANS = ("age_of_domain", "ip_in_url")
TEACHERS = {
    "forest": RandomForestClassifier(100, max_depth=10, random_state=0),
    "linear": LogisticRegression(),
}


def as_model_input(names: list[str], features: np.ndarray) -> np.ndarray:
    """What the contract makes of the fields: booleans 0 or 1, levels their index 0, 1 or 2."""
    return features * np.array([1 if name in BOOLEANS else 2 for name in names], np.float32)


def as_request(names: list[str], row: np.ndarray) -> dict[str, object]:
    """One row of the file as a body of /score."""
    return {
        name: bool(value) if name in BOOLEANS else LEVELS[round(float(value) * 2)]
        for name, value in zip(names, row, strict=True)
    }


def is_trained(folder: Path = MODELS) -> bool:
    """Whether both models are there and newer than the scripts that make them."""
    scripts = max((HERE / name).stat().st_mtime for name in ("train.py", "rows.py"))
    files = [folder / f"{name}.onnx" for name in TEACHERS]
    return all(file.exists() and file.stat().st_mtime >= scripts for file in files)


def train(folder: Path = MODELS) -> dict[str, dict[str, float]]:
    """Writes the models; answers each one's quality on a quarter of the rows, which it has not seen."""
    names, features, phishing = phishing_rows()
    table = as_model_input(names, features)
    seen, held_back, labels, truth = train_test_split(
        table, phishing, test_size=0.25, random_state=0, stratify=phishing
    )
    folder.mkdir(parents=True, exist_ok=True)
    quality = {}
    with threadpool_limits(1):  # sums in one order: the same versions give the same bytes
        for name, teacher in TEACHERS.items():
            content = exported(teacher.fit(seen, labels))
            write_whole(folder / f"{name}.onnx", content)
            answers = ort.InferenceSession(content).run(["probabilities"], {"X": held_back})[0][:, 1]
            quality[name] = {
                "accuracy": float(((answers >= 0.5) == truth).mean()),
                "auc": float(roc_auc_score(truth, answers)),
            }
    return quality


def exported(model: RandomForestClassifier | LogisticRegression) -> bytes:
    """One input X [N, 9]; outputs label [N] and probabilities [N, 2]."""
    inputs = [("X", FloatTensorType([None, model.n_features_in_]))]
    options = {id(model): {"zipmap": False}}
    return to_onnx(model, initial_types=inputs, options=options, target_opset=OPSET).SerializeToString(
        deterministic=True
    )


def write_whole(file: Path, content: bytes) -> None:
    """Replaces the file at once: a twin that serves it never reads a half."""
    partial = file.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--force", action="store_true", help="train although the models are there")
    if not parser.parse_args().force and is_trained():
        print(f"the models are there and newer than the scripts: {MODELS} (--force trains again)")
        return
    try:
        for name, reached in train().items():
            print(f"{name:7} accuracy {reached['accuracy']:.3f}  AUC {reached['auc']:.3f}")
    except NoRows as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
