"""A BentoML service: arrays in and out, one worker."""

import bentoml
import numpy as np
from engine import Engine


@bentoml.service(workers=1, traffic={"timeout": 60}, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Onnx:
    def __init__(self) -> None:
        self.engine = Engine()

    @bentoml.api
    def score(self, rows: np.ndarray) -> np.ndarray:
        return self.engine.run(rows)
