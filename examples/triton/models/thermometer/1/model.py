"""Triton's python back end with ONNX Runtime: the server in the wheel nvidia-pytriton has no other for ONNX."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort
import triton_python_backend_utils as triton


class TritonPythonModel:
    """Named so by Triton."""

    def initialize(self, _: dict) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(Path(__file__).with_name("model.onnx"), options)

    def execute(self, requests: list) -> list:
        return [self.answer(triton.get_input_tensor_by_name(each, "celsius").as_numpy()) for each in requests]

    def answer(self, celsius) -> triton.InferenceResponse:
        [fahrenheit] = self.session.run(["fahrenheit"], {"celsius": celsius})
        return triton.InferenceResponse([triton.Tensor("fahrenheit", fahrenheit)])
