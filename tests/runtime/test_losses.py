"""A device that is lost for the process: which errors say so, and what becomes of the process. No GPU is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import toys
from wye_runtime import settings
from wye_runtime.endpoints import Inner
from wye_runtime.engine.artifact import artifact_at
from wye_runtime.engine.losses import MOST_DOUBTS, Fault, Losses, fault_of
from wye_runtime.engine.model import load
from wye_runtime.errors import DeviceLost, ModelError, ModelNotReady
from wye_runtime.metrics import Metrics
from wye_runtime.service import Service
from wye_runtime.settings import Engine, ModelSource

FAIL = "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running"
NODE = f"{FAIL} Gemm node. Name:'dense' Status Message: "
SOURCE = "/onnxruntime_src/onnxruntime/core"
WHERE = f" ; GPU=0 ; hostname=blue-1 ; file={SOURCE}/providers/cuda/math/gemm.cc ; line=12 ; expr="
THROWN = (
    f"{SOURCE}/providers/cuda/cuda_call.cc:129 std::conditional_t<THRW, void, onnxruntime::common::Status> "
    "onnxruntime::CudaCall(ERRTYPE, const char*) [with ERRTYPE = cudaError; bool THRW = true] "
)
CERTAIN = {
    "illegal address": ("CUDA failure 700: an illegal memory access was encountered", True),
    "illegal instruction": ("CUDA failure 715: an illegal instruction was encountered", True),
    "launch failure": ("CUDA failure 719: unspecified launch failure", True),
    "time-out": ("CUDA failure 702: the launch timed out and was terminated", True),
    "assert": ("CUDA failure 710: device-side assert triggered", True),
    "memory error": ("CUDA failure 214: uncorrectable ECC error encountered", True),
    "gone": ("CUDA failure 100: no CUDA-capable device is detected", True),
    "unknown": ("CUDA failure 999: unknown error", True),
    "cuBLAS": ("CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED", False),
    "cuBLAS inside": ("CUBLAS failure 14: CUBLAS_STATUS_INTERNAL_ERROR", False),
    "cuDNN": ("CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED", False),
    "cuDNN of today": ("CUDNN_FE failure 11: CUDNN_BACKEND_API_FAILED", False),
    "cuFFT": ("CUFFT failure 6: CUFFT_EXEC_FAILED", False),
}


DOUBT = f"{NODE}CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED{WHERE}f(x); "


@pytest.mark.parametrize("case", CERTAIN)
def test_errors_after_which_nothing_runs(case: str) -> None:
    words, is_certain = CERTAIN[case]
    for text in (f"{NODE}{words}{WHERE}f(x); ", f"{words}{WHERE}f(x); ", f"{NODE}{THROWN}{words}{WHERE}f(x); "):
        assert fault_of(text) == Fault(words, is_certain)


def test_tensorrt_gives_no_number() -> None:
    fault = fault_of(f"{FAIL} TRTKernel_graph_0 node. Status Message: TensorRT EP execution context enqueue failed.")
    assert fault == Fault("TensorRT could not run its engine", is_certain=False)


OTHERS = {
    "no memory": "CUDA failure 2: out of memory",
    "an argument": "CUDA failure 1: invalid argument",
    "no resources": "CUDA failure 701: too many resources requested for launch",
    "a recording": "CUDA failure 900: operation not permitted when stream is capturing",
    "no memory for cuBLAS": "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
    "cuDNN's argument": "CUDNN failure 3: CUDNN_STATUS_BAD_PARAM",
}


@pytest.mark.parametrize("case", OTHERS)
def test_errors_of_one_request(case: str) -> None:
    assert fault_of(f"{NODE}{OTHERS[case]}{WHERE}f(x); ") is None


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: x",
        f"{NODE}{SOURCE}/framework/bfc_arena.cc:376 Failed to allocate memory for requested buffer",
        "could not parse 'CUDA failure 700'",
    ],
)
def test_errors_of_nothing_to_do_with_a_device(said: str) -> None:
    assert fault_of(said) is None


def test_doubts_count_where_no_run_succeeds_between_them() -> None:
    losses, rung = Losses(), []
    losses.alarm = rung.append
    for _ in range(5):
        for _ in range(MOST_DOUBTS - 1):
            losses.failed(DOUBT)
        losses.doubts = 0  # as a run that succeeds does
    losses.failed("an error of a request")
    assert (losses.doubts, losses.lost, rung) == (0, None, [])
    for _ in range(MOST_DOUBTS + 1):
        losses.failed(DOUBT)
    assert rung == [losses.lost], "it is told once"
    assert "(CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED)" in losses.lost.message


# ONNX Runtime whose session says that it is on a GPU, and which fails as there once a caller sends such a value
STAND_IN = '''
import onnxruntime
class Session(onnxruntime.InferenceSession):
    broken = False
    def __init__(self, file, options, providers):
        super().__init__(file, options, providers=["CPUExecutionProvider"])
    def get_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    def run(self, names, feeds, options=None):
        first = float(next(iter(feeds.values())).flat[0])
        Session.broken = Session.broken or first == 700
        if Session.broken:
            raise RuntimeError("""WORDS""")
        return super().run(names, feeds, options)
onnxruntime.InferenceSession = Session
onnxruntime.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
'''


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "sitecustomize.py").write_text(STAND_IN.replace("WORDS", NODE + CERTAIN["illegal address"][0] + WHERE))
    return {"PYTHONPATH": str(tmp_path)}


def row(first: float) -> list[dict]:
    return [{"name": "x", "datatype": "FP32", "shape": [1, 7], "data": [first] + [0.0] * 6}]


def test_a_process_whose_device_is_lost_says_so_and_ends(servers, environment) -> None:
    server = servers.start(toys.linear(), environment, engine={"provider": "CUDA"}).ready()
    assert server.inner.get("/signature").json()["provider"] == "CUDAExecutionProvider"
    assert server.inner.get("/livez").json() == {"live": True, "reason": None}
    assert server.infer(row(1)).status_code == 200
    answer = server.infer(row(700))
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "ModelError")
    assert server.ended() == 3
    told = "the GPU is lost for this process (CUDA failure 700: an illegal memory access was encountered)"
    assert server.last_words()["reason"] == "DeviceLost"
    assert server.last_words()["message"].startswith(told)
    assert server.line("cannot serve", reason="DeviceLost")["why"].startswith(told)


def test_a_device_that_is_lost_while_the_model_loads_is_the_reason(servers, environment) -> None:
    """And not the contract, on whose example the warm-up failed."""
    fields = [{"name": f"f{number}", "type": "number", "default": 700.0} for number in range(7)]
    contract = {"inputs": fields, "outputs": [{"name": "p", "tensor": "probability"}]}
    server = servers.start(toys.linear(), environment, engine={"provider": "CUDA"}, contract=contract)
    assert server.ended() == 3
    assert server.last_words()["reason"] == "DeviceLost"


async def test_until_it_has_ended_it_is_neither_alive_nor_ready() -> None:
    service = Service(settings.parse_config({"model": {"path": "m.onnx"}}), Metrics())
    rung = []
    service.alarm = lambda: rung.append(1)
    service.lose(DeviceLost("the GPU is lost for this process (CUDA failure 719: unspecified launch failure)"))
    inner = Inner(service)
    for answer in (await inner.live(None), await inner.ready(None)):
        assert (answer.status_code, b"GPU is lost" in answer.body) == (503, True)
    with pytest.raises(ModelNotReady, match="the GPU is lost for this process"):
        service.current()
    assert rung == [1]


def test_on_a_processor_no_words_end_a_process(tmp_path: Path, monkeypatch) -> None:
    """Where a caller could make an operator say them."""
    model = load(artifact_at(ModelSource(str(toys.saved(toys.linear(), tmp_path / "toy.onnx")))), Engine("CPU", 1))
    monkeypatch.setattr(model, "session", Failing())
    for _ in range(MOST_DOUBTS):
        with pytest.raises(ModelError, match="CUDA failure 700"):
            model.run({"x": np.ones((1, 7), np.float32)}, ["probability"])
    assert model.losses.lost is None


class Failing:
    def run(self, *_: object) -> None:
        raise RuntimeError(f"{NODE}{CERTAIN['illegal address'][0]}{WHERE}f(x); ")
