"""A small model server around ONNX Runtime: Open Inference Protocol v2, typed /score, OpenAPI."""

import os

# ONNX Runtime 1.31 collects usage data, keeps it below the home folder and looks for a server to send it to unless this
# is set before its library is loaded. Nobody who serves a model has asked for that.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
