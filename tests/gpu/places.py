"""Where `tests/gpu/run.sh` runs: on a GPU, or dry, on the processor alone, which proves the script and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from onnx import ModelProto

from gpu.models import MINIATURES, SUBJECTS

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
HIDDEN = {"CUDA_VISIBLE_DEVICES": "-1"}
Subjects = Mapping[str, tuple[Callable[[], ModelProto], tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Place:
    """What differs between the two."""

    heading: str  # of the columns of times
    engine: str  # as engine.provider names it
    provider: str  # as ONNX Runtime does
    device: str  # where tensors stay
    recorded: Mapping[str, str]  # options by which ONNX Runtime records runs
    subjects: Subjects
    large: tuple[int, ...]  # widths of an MLP that does not fit into the memory it is given
    hidden: Mapping[str, str] = field(default_factory=dict)  # for processes that must not see a GPU
    refusal: str = ""  # what each refusal says here, where it cannot say its own reason
    mark: str = ""  # of every line

    @property
    def ways(self) -> dict[str, dict]:
        """How the runtime is asked to serve."""
        return {"served": {}, **({"recorded": {"providerOptions": dict(self.recorded)}} if self.recorded else {})}

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the table."""
        served = [f"{way}{unit}" for way in self.ways for unit in (" ms", "/s")]
        return ("CPU ms", f"{self.heading} ms", "bound ms", "graph ms", *served, "off by")


GPU = Place("GPU", "CUDA", CUDA, "cuda", {"enable_cuda_graph": "1"}, SUBJECTS, (1024, 8192, 8192, 64))
NO_CUDA = "InvalidDeploymentSpec: engine.provider"
DRY = Place("dry", "CPU", CPU, "cpu", {}, MINIATURES, (8, 8), HIDDEN, NO_CUDA, ", dry")
