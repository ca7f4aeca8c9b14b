"""An Azure ML scoring script: who is about to leave, by a model that is no ONNX file."""

import json
import logging
import os

import numpy as np
from features import scaled
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    """Once, before the first request."""
    global model
    path = os.path.join(os.getenv("AZUREML_MODEL_DIR"), "churn.json")
    with open(path) as file:
        model = {name: np.array(values) for name, values in json.load(file).items()}
    logging.info("init complete")


@input_schema("data", NumpyParameterType(np.array([[24.0, 79.5, 3.0]])))
@output_schema(StandardPythonParameterType([0.5]))
def run(data):
    """Months, euros a month and complaints of each customer; the chance that they leave."""
    score = scaled(data, model["mean"], model["deviation"]) @ model["weights"] + model["bias"]
    return np.round(1 / (1 + np.exp(-score)), 4).tolist()
