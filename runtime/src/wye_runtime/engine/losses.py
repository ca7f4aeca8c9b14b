"""Whether a run's error means that the device is lost for this process.

CUDA keeps some errors: after one of them every call of the process on that device fails, and only another process is
rid of it. ONNX Runtime raises such an error as any other, and so each request would be answered 500 for ever. Called by
model.py for runs on a device; where it says so, the process ends (app/lifetime.py).

What ONNX Runtime says is `LIBRARY failure NUMBER: words ; GPU=0 ; hostname=… ; …`, inside of a sentence about the node,
and for TensorRT a sentence without a number.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wye_runtime.errors import DeviceLost, WyeError

FAILURE = re.compile(r"\b(CUDA|CU[A-Z]+(?:_FE)?|NCCL) failure (\d+): ?([^;]*?) ; GPU=\d+ ")
TENSORRT = re.compile(r"TensorRT EP execution context enqueue failed", re.IGNORECASE)
# cudaError_t whose description says that the process must be ended, or that name a device that is gone
KEPT = frozenset(
    {
        100,  # cudaErrorNoDevice
        214,  # cudaErrorECCUncorrectable
        219,  # cudaErrorNvlinkUncorrectable
        226,  # cudaErrorContained
        700,  # cudaErrorIllegalAddress
        702,  # cudaErrorLaunchTimeout
        709,  # cudaErrorContextIsDestroyed
        710,  # cudaErrorAssert
        714,  # cudaErrorHardwareStackError
        715,  # cudaErrorIllegalInstruction
        716,  # cudaErrorMisalignedAddress
        717,  # cudaErrorInvalidAddressSpace
        718,  # cudaErrorInvalidPc
        719,  # cudaErrorLaunchFailure
        721,  # cudaErrorTensorMemoryLeak
        999,  # cudaErrorUnknown
    }
)
# what a library above CUDA says of a kernel that failed: CUDA's own error may be behind it, or an odd request
DOUBTS = re.compile(r"EXECUTION_FAILED|EXEC_FAILED|INTERNAL_ERROR|MAPPING_ERROR|BACKEND_API_FAILED")
MOST_DOUBTS = 3  # one after the other, with no run between them that succeeded


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of the device, in a few words; a certain one needs no second."""

    words: str
    is_certain: bool


def fault_of(said: str) -> Fault | None:
    """What an exception's text says of the device; None where a request or the model was at fault."""
    found = FAILURE.search(said)
    if found is None:
        return Fault("TensorRT could not run its engine", is_certain=False) if TENSORRT.search(said) else None
    library, number, told = found.groups()
    words = f"{library} failure {number}: {told}"[:200]
    if library == "CUDA":
        return Fault(words, is_certain=True) if int(number) in KEPT else None
    return Fault(words, is_certain=False) if DOUBTS.search(told) else None


class Losses:
    """What a session's runs say of its device, from whichever threads; `alarm` is called once, by the run that knew."""

    def __init__(self) -> None:
        self.doubts = 0
        self.lost: DeviceLost | None = None  # for good
        self.alarm: Callable[[DeviceLost], None] = lambda lost: None

    def failed(self, said: str) -> None:
        """A run's error; whoever succeeds sets `doubts` back."""
        fault = fault_of(said)
        if fault is None or self.lost is not None:
            return
        self.doubts += 1
        if fault.is_certain or self.doubts >= MOST_DOUBTS:
            self.lost = DeviceLost(f"the GPU is lost for this process ({fault.words}): it ends, and another one starts")
            self.alarm(self.lost)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Where the device is lost meanwhile, that is the reason, and not what failed by it."""
        try:
            yield
        except WyeError:
            if self.lost is None:
                raise
        if self.lost is not None:
            raise self.lost
