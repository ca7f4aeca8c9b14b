"""A scoring script whose arguments are described by samples."""

import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    print("init complete")


@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0, 3.0]])))
@input_schema("method", StandardPythonParameterType("predict"), optional=True)
@output_schema(NumpyParameterType(np.array([6.0])))
def run(data, method="predict"):
    return {"method": method, "shape": list(data.shape), "sum": data.sum(axis=1).tolist()}
