"""A scoring script for Azure ML's server: JSON rows, or raw float32 (the raw HTTP form of its documentation)."""

import numpy as np
import orjson
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
from engine import Engine

RAW = "application/octet-stream"


def init() -> None:
    global engine
    engine = Engine()


@rawhttp
def run(request: AMLRequest) -> AMLResponse:
    content = request.get_data(cache=False)
    if request.mimetype == RAW:
        shape = [int(each) for each in request.headers["x-shape"].split(",")]
        return AMLResponse(engine.run(np.frombuffer(content, np.float32).reshape(shape)).tobytes(), 200)
    outputs = engine.run(orjson.loads(content)["rows"])
    return AMLResponse(orjson.dumps(outputs.tolist()), 200, json_str=False)
