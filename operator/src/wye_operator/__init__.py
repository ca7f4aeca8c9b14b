"""Wye's operator: inference endpoints for ONNX models, planned in one pure function and written down many ways."""
