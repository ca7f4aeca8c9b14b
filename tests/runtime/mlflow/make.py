"""Wrote the files beside it with the real MLflow, in an environment with mlflow-skinny 3.17, onnx and pandas.

MLflow is no dependency of the tests: what counts is what its folders say, and that is here.
"""

import sys
import tempfile
from pathlib import Path

import mlflow.onnx
import mlflow.pyfunc

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))


class Same(mlflow.pyfunc.PythonModel):
    def predict(self, _, model_input):
        return model_input


def main() -> None:
    import toys

    with tempfile.TemporaryDirectory() as made:
        mlflow.onnx.save_model(toys.linear(), f"{made}/onnx")
        mlflow.pyfunc.save_model(f"{made}/pyfunc", python_model=Same(), pip_requirements=[])
        for name in ("onnx", "pyfunc"):
            (HERE / f"{name}.MLmodel").write_text(Path(f"{made}/{name}/MLmodel").read_text())


main()
