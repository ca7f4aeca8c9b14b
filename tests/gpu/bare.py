"""Bare `session.run` in the ways that ONNX Runtime offers on a GPU: what a server can gain by them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from gpu.places import CPU, Place
from gpu.served import Broken


def session(file: Path, provider: str, options: Mapping[str, str] | None = None) -> ort.InferenceSession:
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 3
    wanted = [CPU] if provider == CPU else [(provider, dict(options or {})), CPU]
    made = ort.InferenceSession(str(file), quiet, providers=wanted)
    if made.get_providers()[0] != provider:
        raise Broken(f"{provider} could not start here: {made.get_providers()}")
    return made


def plain(made: ort.InferenceSession, x: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: made.run(None, {"x": x})[0]


def bound(made: ort.InferenceSession, x: np.ndarray) -> Callable[[], np.ndarray]:
    """Input from host memory and output into host memory by IOBinding: what a server's request would be."""
    binding = made.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu")

    def run() -> np.ndarray:
        made.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]

    return run


def graphed(place: Place, file: Path, x: np.ndarray, y: np.ndarray) -> Callable[[], np.ndarray]:
    """A CUDA graph: one shape, tensors that stay on the GPU, copied in and out around the replay."""
    made = session(file, place.provider, place.recorded)
    # copies: what ONNX Runtime makes of an array in the processor's memory is that array
    given, taken = (ort.OrtValue.ortvalue_from_numpy(array.copy(), place.device, 0) for array in (x, y))
    binding = made.io_binding()
    binding.bind_ortvalue_input("x", given)
    binding.bind_ortvalue_output("y", taken)

    def run() -> np.ndarray:
        given.update_inplace(x)
        made.run_with_iobinding(binding)
        return taken.numpy()

    return run


def milliseconds(run: Callable[[], object], seconds: float) -> float:
    """The median of one call's time, after a warm-up."""
    for _ in range(5):
        run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return float(np.median(times)) * 1000
