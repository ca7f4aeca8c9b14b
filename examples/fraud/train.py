"""Trains the three fraud models and writes them to models/ as ONNX; `make demo` runs it when needed.

The three differ in how they were made and in their tensors, as models of three teams would. Callers
do not see it: the Endpoint's contract names the fields, and each Deployment says which tensor
carries them.

    python examples/fraud/train.py [--force] [--to FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from models import MODELS, is_trained, write_whole
from skl2onnx import to_onnx
from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from transactions import BOOLEANS, FIELDS, transactions

OPSET = {"": 17, "ai.onnx.ml": 3}
ROWS, SEED = 20_000, 20261121
HELD_BACK = 5_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one model is taught, and how rows get in and the probability of fraud comes out."""

    teach: Callable[[np.ndarray, np.ndarray], onnx.ModelProto]
    feeds: Callable[[np.ndarray], dict[str, np.ndarray]]
    output: str
    column: int

    def probability(self, session: ort.InferenceSession, rows: np.ndarray) -> np.ndarray:
        return session.run([self.output], self.feeds(rows))[0][:, self.column]


def logistic_regression(rows: np.ndarray, fraud: np.ndarray) -> onnx.ModelProto:
    """One input X [N, 7]; outputs label [N] and probabilities [N, 2]."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, fraud)
    return exported(model, [("X", FloatTensorType([None, len(FIELDS)]))])


def gradient_boosting(rows: np.ndarray, fraud: np.ndarray) -> onnx.ModelProto:
    """Seven inputs [N, 1] called like the fields, four of them boolean; outputs as above."""
    together = ColumnTransformer([("fields", "passthrough", list(range(len(FIELDS))))])
    trees = GradientBoostingClassifier(n_estimators=80, max_depth=3, random_state=0)
    model = make_pipeline(together, trees).fit(rows, fraud)
    return exported(model, [(name, tensor_type(name)([None, 1])) for name in FIELDS])


def tensor_type(field: str) -> type[FloatTensorType] | type[BooleanTensorType]:
    return BooleanTensorType if field in BOOLEANS else FloatTensorType


def exported(model: Pipeline, inputs: list[tuple[str, object]]) -> onnx.ModelProto:
    """`zipmap` off: callers get a tensor of probabilities, not a list of dictionaries."""
    return to_onnx(model, initial_types=inputs, options={id(model): {"zipmap": False}}, target_opset=OPSET)


def neural_network(rows: np.ndarray, fraud: np.ndarray) -> onnx.ModelProto:
    """One input features [N, 7]; output fraud_probability [N, 1]. It takes the logarithm itself."""
    scaler = StandardScaler().fit(np.log1p(rows))
    network = MLPClassifier((24, 12), alpha=1e-3, max_iter=40, early_stopping=True, random_state=0)
    network.fit(scaler.transform(np.log1p(rows)), fraud)
    return network_as_onnx(scaler, network)


def network_as_onnx(scaler: StandardScaler, network: MLPClassifier) -> onnx.ModelProto:
    """The network written node by node: what an exporter does, small enough to read."""
    constants = {"one": np.ones(1), "mean": scaler.mean_, "scale": scaler.scale_}
    nodes = [
        onnx.helper.make_node("Add", ["features", "one"], ["shifted"]),
        onnx.helper.make_node("Log", ["shifted"], ["logs"]),
        onnx.helper.make_node("Sub", ["logs", "mean"], ["centred"]),
        onnx.helper.make_node("Div", ["centred", "scale"], ["layer0"]),
    ]
    last = len(network.coefs_) - 1
    for i, (weights, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        constants |= {f"weights{i}": weights, f"bias{i}": bias}
        nodes.append(onnx.helper.make_node("Gemm", [f"layer{i}", f"weights{i}", f"bias{i}"], [f"sum{i}"]))
        after = ("Sigmoid", "fraud_probability") if i == last else ("Relu", f"layer{i + 1}")
        nodes.append(onnx.helper.make_node(after[0], [f"sum{i}"], [after[1]]))
    return as_model(nodes, constants)


def as_model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    tensor = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "fraud_network",
        [onnx.helper.make_tensor_value_info("features", tensor, ["N", len(FIELDS)])],
        [onnx.helper.make_tensor_value_info("fraud_probability", tensor, ["N", 1])],
        [onnx.numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", OPSET[""])]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8, producer_name="wye")


def one_by_one(rows: np.ndarray) -> dict[str, np.ndarray]:
    columns = {name: rows[:, i : i + 1] for i, name in enumerate(FIELDS)}
    return {name: c.astype(bool) if name in BOOLEANS else c for name, c in columns.items()}


RECIPES = {
    "blue": Recipe(logistic_regression, lambda rows: {"X": rows}, "probabilities", 1),
    "green": Recipe(gradient_boosting, one_by_one, "probabilities", 1),
    "violet": Recipe(neural_network, lambda rows: {"features": rows}, "fraud_probability", 0),
}


def train(folder: Path = MODELS) -> dict[str, dict[str, float]]:
    """Writes the models; answers each one's quality on rows that it has not seen."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, fraud = transactions(ROWS + HELD_BACK, SEED)
    quality = {}
    with threadpool_limits(1):  # sums in one order: the same versions give the same bytes
        for name, recipe in RECIPES.items():
            model = recipe.teach(rows[:ROWS], fraud[:ROWS])
            content = model.SerializeToString(deterministic=True)
            write_whole(folder / f"{name}.onnx", content)
            probability = recipe.probability(ort.InferenceSession(content), rows[ROWS:])
            quality[name] = figures(probability, fraud[ROWS:])
    return quality


def figures(probability: np.ndarray, fraud: np.ndarray) -> dict[str, float]:
    return {
        "accuracy": float(((probability >= 0.5) == fraud).mean()),
        "auc": float(roc_auc_score(fraud, probability)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--force", action="store_true", help="train although the models are there")
    parser.add_argument("--to", type=Path, default=MODELS, metavar="FOLDER", help="where to write them")
    given = parser.parse_args()
    if is_trained(given.to) and not given.force:
        print(f"the models are there and newer than the scripts: {given.to} (--force trains again)")
        return
    for name, reached in train(given.to).items():
        what = RECIPES[name].teach.__name__.replace("_", " ")
        print(f"{name:7} {what:20} accuracy {reached['accuracy']:.3f}  AUC {reached['auc']:.3f}")


if __name__ == "__main__":
    main()
