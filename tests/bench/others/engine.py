"""One ONNX model as every server of this bench runs it: one thread, no spinning. Runs in their environments."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort


class Engine:
    """The model that $MODEL names; its only input and its only output."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name

    def run(self, rows: object) -> np.ndarray:
        return self.session.run([self.output], {self.input: np.asarray(rows, np.float32)})[0]
