"""Triton's python back end with the model of the bench: what the batcher brought together is one run."""

import numpy as np
import triton_python_backend_utils as triton
from engine import Engine


class TritonPythonModel:
    """Named so by Triton."""

    def initialize(self, _: dict) -> None:
        self.engine = Engine()

    def execute(self, requests: list) -> list:
        rows = [triton.get_input_tensor_by_name(each, self.engine.input).as_numpy() for each in requests]
        together = self.engine.run(rows[0] if len(rows) == 1 else np.concatenate(rows))
        answers, at = [], 0
        for each in rows:
            part = triton.Tensor(self.engine.output, together[at : at + len(each)])
            answers.append(triton.InferenceResponse([part]))
            at += len(each)
        return answers
