"""How a model becomes a session of ONNX Runtime: on the provider that was asked for, with its options, or not."""

import contextlib
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort  # type: ignore[import-untyped]
from onnxruntime.capi import build_and_package_info as build  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as state

from wye_runtime.engine.artifact import Artifact
from wye_runtime.engine.devices import gpus, why_away
from wye_runtime.engine.refusals import first_line, why_not_loaded
from wye_runtime.errors import InvalidDeploymentSpec, ModelInvalid
from wye_runtime.media import library, missing_operator
from wye_runtime.options import NO_CPU
from wye_runtime.settings import Engine, cpu_count

EXECUTION_PROVIDERS = {
    "CPU": "CPUExecutionProvider",
    "CUDA": "CUDAExecutionProvider",
    "TensorRT": "TensorrtExecutionProvider",
}
LIBRARIES = {"CUDA": "libonnxruntime_providers_cuda.so", "TensorRT": "libonnxruntime_providers_tensorrt.so"}
LEVELS = {name: getattr(ort.GraphOptimizationLevel, name) for name in ort.GraphOptimizationLevel.__members__}
MODES = {name: getattr(ort.ExecutionMode, name) for name in ort.ExecutionMode.__members__}
NAMED = {"graph_optimization_level": LEVELS, "execution_mode": MODES}
# ONNX Runtime's exceptions have no common base
ORT_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, where it runs, and whether it took operators of onnxruntime-extensions."""

    session: ort.InferenceSession
    threads: int
    extended: bool


def opened(artifact: Artifact, engine: Engine, cache: Path | None = None) -> Opened:
    """A session on the provider that was asked for, and on no other; `cache` is a folder for TensorRT's engines."""
    threads = engine.threads or cpu_count()
    wanted = providers_for(engine)
    if wanted[0] != EXECUTION_PROVIDERS["CPU"]:
        with contextlib.redirect_stdout(io.StringIO()):  # what it misses is said below, where it matters
            ort.preload_dlls()  # CUDA's wheels lie beside it, and no path of the system leads there
    made = Making(artifact, engine.sessionOptions, threads)
    session, extended = told_session(made, wanted, options_for(artifact, engine, cache))
    if session.get_providers()[0] != wanted[0]:
        if engine.provider != "Auto":
            raise InvalidDeploymentSpec(
                f"engine.provider {engine.provider} was asked for, but {wanted[0]} could not start here: "
                f"{why_not_started(engine.provider)}"
            )
        session, extended = made.session([EXECUTION_PROVIDERS["CPU"]])
    return Opened(session, threads, extended)


def why_not_started(provider: str) -> str:
    """What keeps a provider away, as far as the driver and the libraries tell."""
    library = Path(ort.__file__).parent / "capi" / LIBRARIES[provider]
    return why_away(library, getattr(build, "cuda_version", ""))


def providers_for(engine: Engine) -> list[str]:
    """The providers in order; CPU is always the last one, for operators that have no other kernel."""
    asked, available = engine.provider, ort.get_available_providers()
    cpu = EXECUTION_PROVIDERS["CPU"]
    if asked == "Auto":
        cuda = EXECUTION_PROVIDERS["CUDA"]
        return [cuda, cpu] if cuda in available else [cpu]
    first = EXECUTION_PROVIDERS[asked]
    if first not in available:
        has = ", ".join(name for name, long in EXECUTION_PROVIDERS.items() if long in available)
        raise InvalidDeploymentSpec(
            f"engine.provider {asked} is not in this runtime, which has {has}: "
            "use the GPU image, or engine.provider CPU"
        )
    others = [EXECUTION_PROVIDERS["CUDA"]] if asked == "TensorRT" else []  # for what TensorRT has no kernel for
    if first != cpu and engine.sessionOptions.get(NO_CPU, "0") == "0":
        others.append(cpu)
    return [first, *(other for other in others if other in available)]


def options_for(artifact: Artifact, engine: Engine, cache: Path | None) -> dict[str, str]:
    """What the provider is told: TensorRT keeps its engines, which take minutes to make; the user's options win.

    An engine is good for one model, one ONNX Runtime, one kind of GPU and one set of options: each has its folder.
    """
    if engine.provider != "TensorRT" or cache is None:
        return dict(engine.providerOptions)
    told = [f"{name}={value}" for name, value in sorted(engine.providerOptions.items())]
    known = hashlib.sha256("\n".join([artifact.sha256, ort.__version__, *gpus(), *told]).encode()).hexdigest()
    folder = cache / "tensorrt" / known[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a cache that cannot be written to is none
        return dict(engine.providerOptions)
    engines = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
    timings = {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(folder)}
    return {**engines, **timings, **engine.providerOptions}


def hardware_of(provider: str) -> list[str]:
    """What a provider computes with beside the processor: what was measured on one GPU says nothing of another."""
    return [] if provider == EXECUTION_PROVIDERS["CPU"] else gpus()


@dataclass(frozen=True, slots=True)
class Making:
    """What every attempt at a session has in common."""

    artifact: Artifact
    told: Mapping[str, str]
    threads: int

    def session(self, providers: Sequence[Any]) -> tuple[ort.InferenceSession, bool]:
        """A session, and whether it took operators of onnxruntime-extensions: only a model that has some loads them."""
        artifact, options = self.artifact, session_options(self.threads, self.told)
        more = {"providers": list(providers), **({} if isinstance(providers[0], str) else {"enable_fallback": 0})}
        try:
            return ort.InferenceSession(str(artifact.file), options, **more), False
        except ORT_ERRORS as error:
            operator = missing_operator(str(error))
            if operator is None:
                raise ModelInvalid(why_not_loaded(artifact, error, ort.__version__)) from error
        options = session_options(self.threads, self.told)
        extend(options, artifact, operator)
        try:
            return ort.InferenceSession(str(artifact.file), options, **more), True
        except ORT_ERRORS as error:
            raise ModelInvalid(why_not_loaded(artifact, error, ort.__version__)) from error


def told_session(made: Making, wanted: Sequence[str], told: Mapping[str, str]) -> tuple[ort.InferenceSession, bool]:
    """A session whose provider took its options: ORT by itself would try without them, and say so in its log only."""
    if not told:
        return made.session(wanted)
    try:
        return made.session([(wanted[0], dict(told)), *wanted[1:]])
    except ModelInvalid as refusal:
        made.session(wanted)  # where the model is at fault, this says so
        raise InvalidDeploymentSpec(f"engine.providerOptions are not taken. {refusal.message}") from refusal


def session_options(threads: int, told: Mapping[str, str]) -> ort.SessionOptions:
    """How every model is loaded: threads, no spinning, no log of its own; then what engine.sessionOptions says."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    for name, value in {"session.intra_op.allow_spinning": "0", **told}.items():
        if "." in name:
            options.add_session_config_entry(name, value)
        else:
            setattr(options, name, NAMED[name][value] if name in NAMED else int(value))
    return options


def extend(options: ort.SessionOptions, artifact: Artifact, operator: str) -> None:
    """Gives a session the operators of onnxruntime-extensions."""
    found = library()
    if found is None:
        raise ModelInvalid(
            f"{artifact.called} has the operator {operator}, which the package onnxruntime-extensions brings, and that "
            "is not installed here: use the runtime's image, or Python 3.11 to 3.13, or a model without it"
        )
    try:
        options.register_custom_ops_library(str(found))
    except ORT_ERRORS as error:
        raise ModelInvalid(f"the library of onnxruntime-extensions cannot be loaded: {first_line(error)}") from error
