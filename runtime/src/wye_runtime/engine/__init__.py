"""The model and ONNX Runtime: which file it is, how it becomes a session on a device, what a run says.

Callers name the module they want, because only some of them bring the engine's library: a digest needs none.
"""
