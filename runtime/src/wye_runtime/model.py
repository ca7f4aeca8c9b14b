"""The only module that knows ONNX Runtime: a file into a checked session, tensors in, tensors out."""

import ctypes
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as state  # type: ignore[import-untyped]

from wye_runtime import mlmodel
from wye_runtime.errors import (
    InvalidDeploymentSpec,
    InvalidInput,
    Misfit,
    ModelDigestMismatch,
    ModelError,
    ModelFetch,
    ModelInvalid,
)
from wye_runtime.media import decodable, library, missing_operator, picture_inputs
from wye_runtime.protocol import DTYPES, DYNAMIC, INTEGERS, Array, Signature, Tensors, TensorSpec
from wye_runtime.settings import Engine, ModelSource, cpu_count

DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
ENGINE = f"onnxruntime {ort.__version__}"
BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16
EXECUTION_PROVIDERS = {
    "CPU": "CPUExecutionProvider",
    "CUDA": "CUDAExecutionProvider",
    "TensorRT": "TensorrtExecutionProvider",
}
# ONNX Runtime's exceptions have no common base
ORT_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
)
# nodes whose time depends on values; the second ones only where a caller gives integers
CONTROL_FLOW = ("Loop", "Scan", "If")
SIZED_BY_VALUES = ("Range", "ConstantOfShape", "Expand", "Tile", "Resize", "Pad", "OneHot", "Reshape")
SCANNED_BYTES = 64 << 20
DECODING = "while running DecodeImage node"


@dataclass(frozen=True, slots=True)
class Artifact:
    """The bytes to serve: the ONNX file, and what they are all together."""

    file: Path
    sha256: str
    size: int
    called: str


def artifact_at(source: ModelSource) -> Artifact:
    """Finds and checks the bytes; the digest of a folder is that of its `sha256sum` list."""
    path = Path(source.path)
    try:
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        digest = digest_of(files, path)
        size = sum(each.stat().st_size for each in files)
    except OSError as error:
        raise ModelFetch(f"{source.uri or path} cannot be read: {error.strerror}") from error
    if source.sha256 and source.sha256 != digest:
        raise ModelDigestMismatch(f"{source.called} has the sha256 {digest}, model.sha256 wants {source.sha256}")
    return Artifact(onnx_file(path, files, source.called), digest, size, source.called)


def digest_of(files: Sequence[Path], root: Path) -> str:
    """The sha256 of one file, or of the `sha256sum` list of several."""
    if len(files) == 1:
        return file_digest(files[0])
    lines = sorted((str(each.relative_to(root)), file_digest(each)) for each in files)
    return hashlib.sha256("".join(f"{d}  {n}\n" for n, d in lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def onnx_file(path: Path, files: Sequence[Path], called: str) -> Path:
    """The model of a folder: what MLflow says, else model.onnx, else the only *.onnx in it."""
    if not path.is_dir():
        return path
    if mlmodel.is_packaged(path):
        return mlmodel.data_of(path, called)
    found = [each for each in files if each.suffix == ".onnx" and each.parent == path]
    named = [each for each in found if each.name == "model.onnx"]
    if len(named or found) == 1:
        return (named or found)[0]
    what = ", ".join(each.name for each in found) or "no *.onnx"
    raise ModelInvalid(f"{called} holds {what}; want model.onnx, or exactly one *.onnx")


class Run:
    """One call of the model that another thread may end early."""

    def __init__(self) -> None:
        self.options = ort.RunOptions()
        self.options.log_severity_level = 4  # its errors reach the caller; not the log twice

    def terminate(self) -> None:
        self.options.terminate = True

    def give_back(self) -> None:
        """After this call the engine keeps no memory that larger ones needed."""
        self.options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")


class Model:
    """A loaded model."""

    def __init__(self, artifact: Artifact, session: ort.InferenceSession, threads: int, *, extended: bool) -> None:
        self.artifact = artifact
        self.is_extended = extended  # by operators of onnxruntime-extensions
        self.pictures = picture_inputs(artifact.file.read_bytes()) if extended else ()
        self.session = session
        self.threads = threads
        self.signature = signature_of(session)
        self.provider = session.get_providers()[0]
        self.uses_bfloat16_outputs = any(spec.datatype == "BF16" for spec in self.signature.outputs)
        self.takes_bfloat16 = any(spec.datatype == "BF16" for spec in self.signature.inputs)
        self.forbid_strings_with_bfloat16()

    def forbid_strings_with_bfloat16(self) -> None:
        given = [spec.name for spec in self.signature.inputs if spec.datatype == "BYTES"]
        if given and self.uses_bfloat16_outputs:
            raise ModelInvalid(
                f"the model takes strings ({given[0]}) and gives BF16; ONNX Runtime's Python API "
                "cannot do both at once: cast the outputs to float in the model"
            )

    def run(self, feeds: Tensors, names: Sequence[str], run: Run | None = None) -> Tensors:
        """The asked outputs, or a ModelError with the first line of what ONNX Runtime said."""
        values = {name: fed(array) for name, array in feeds.items()} if self.takes_bfloat16 else feeds
        if self.pictures:
            values = {**values, **self.decodable(feeds)}
        options = run.options if run else None
        try:
            if self.uses_bfloat16_outputs:
                outputs = self.run_values(values, names, options)
            else:
                outputs = self.session.run(list(names), values, options)
        except ORT_ERRORS as error:
            if DECODING in str(error):
                raise InvalidInput(f"the picture cannot be decoded: {first_line(error)}") from error
            raise ModelError(f"the model failed: {first_line(error)}") from error
        return dict(zip(names, outputs, strict=True))

    def decodable(self, feeds: Tensors) -> Tensors:
        """The pictures among the feeds, checked: here, because no way to the model leads around it."""
        checked = {}
        for name in self.pictures:
            try:
                checked[name] = decodable(feeds[name])
            except Misfit as misfit:
                raise InvalidInput(f"{name}: {misfit.message}", [misfit.detail(tensor=name)]) from None
        return checked

    def run_values(self, feeds: dict[str, Any], names: Sequence[str], options: Any) -> list[Array]:
        """The way that gives BF16, which ONNX Runtime has no numpy type for."""
        values = {n: v if isinstance(v, ort.OrtValue) else ort_value(v) for n, v in feeds.items()}
        return [array_of(v) for v in self.session.run_with_ort_values(list(names), values, options)]

    def has_free_duration(self) -> bool:
        """Whether the time of a run may depend on values; a large model counts as if it did, as does one of texts."""
        if self.is_extended or self.artifact.size > SCANNED_BYTES:
            return True
        content = self.artifact.file.read_bytes()
        takes_integers = any(spec.datatype in INTEGERS for spec in self.signature.inputs)
        kinds = CONTROL_FLOW + (SIZED_BY_VALUES if takes_integers else ())
        return any(op_type(kind) in content for kind in kinds)


def op_type(kind: str) -> bytes:
    """How a node's kind stands in an ONNX file: field 4 of protobuf, its length, the name."""
    return b'"' + bytes([len(kind)]) + kind.encode()


def ort_value(array: Array) -> ort.OrtValue:
    """An array in the engine's own wrapping, contiguous."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def fed(array: Array) -> Any:
    """What ONNX Runtime takes for an array."""
    if array.dtype != DTYPES["BF16"]:
        return array
    bits = np.ascontiguousarray(array).view(np.uint16).reshape(array.shape)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, BFLOAT16)


def array_of(value: ort.OrtValue) -> Array:
    """An output as an array of our own memory."""
    if value.data_type() != "tensor(bfloat16)":
        array: Array = value.numpy()
        return array
    size = value.tensor_size_in_bytes()
    raw = ctypes.string_at(value.data_ptr(), size) if size else b""
    return np.frombuffer(raw, DTYPES["BF16"]).reshape(value.shape())


def load(artifact: Artifact, engine: Engine, cache: Path | None = None) -> Model:
    """A session on the provider that was asked for, and on no other; `cache` is a folder for TensorRT's engines."""
    threads = engine.threads or cpu_count()
    wanted = providers_for(engine.provider)
    session, extended = told_session(artifact, wanted, threads, options_for(artifact, engine, cache))
    if session.get_providers()[0] != wanted[0]:
        if engine.provider != "Auto":
            raise InvalidDeploymentSpec(
                f"engine.provider {engine.provider} was asked for, but {wanted[0]} could not start here: "
                "is there a GPU with a driver for this image?"
            )
        session, extended = session_of(artifact, [EXECUTION_PROVIDERS["CPU"]], threads)
    return Model(artifact, session, threads, extended=extended)


def providers_for(asked: str) -> list[str]:
    """The providers in order; CPU is always the last one, for operators that have no other kernel."""
    available = ort.get_available_providers()
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
    if asked == "TensorRT" and EXECUTION_PROVIDERS["CUDA"] in available:
        return [first, EXECUTION_PROVIDERS["CUDA"], cpu]  # for what TensorRT has no kernel for
    return [first] if first == cpu else [first, cpu]


def options_for(artifact: Artifact, engine: Engine, cache: Path | None) -> dict[str, str]:
    """What the provider is told: TensorRT keeps its engines, which take minutes to make; the user's options win.

    An engine is good for one model, one ONNX Runtime and one kind of GPU: each has a folder of its own.
    """
    if engine.provider != "TensorRT" or cache is None:
        return dict(engine.providerOptions)
    known = hashlib.sha256("\n".join([artifact.sha256, ort.__version__, *gpus()]).encode()).hexdigest()
    folder = cache / "tensorrt" / known[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a cache that cannot be written to is none
        return dict(engine.providerOptions)
    engines = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
    timings = {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(folder)}
    return {**engines, **timings, **engine.providerOptions}


def gpus(proc: Path = Path("/proc/driver/nvidia")) -> list[str]:
    """The kinds of GPU that this process may see, and their driver's version."""
    said = sorted(file.read_text() for file in proc.glob("gpus/*/information"))
    lines = (line for text in said for line in text.splitlines())
    models = {line.partition(":")[2].strip() for line in lines if line.startswith("Model:")}
    version = proc / "version"
    return [*sorted(models), *(version.read_text().splitlines()[:1] if version.exists() else ())]


def told_session(
    artifact: Artifact, wanted: list[str], threads: int, told: Mapping[str, str]
) -> tuple[ort.InferenceSession, bool]:
    """A session whose provider took its options: ORT by itself would try without them, and say so in its log only."""
    if not told:
        return session_of(artifact, wanted, threads)
    try:
        return session_of(artifact, [(wanted[0], dict(told)), *wanted[1:]], threads)
    except ModelInvalid as refusal:
        session_of(artifact, wanted, threads)  # where the model is at fault, this says so
        raise InvalidDeploymentSpec(f"engine.providerOptions are not taken. {refusal.message}") from refusal


def session_of(artifact: Artifact, providers: list[Any], threads: int) -> tuple[ort.InferenceSession, bool]:
    """A session, and whether it took the operators of onnxruntime-extensions: only a model that has some loads them."""
    options = session_options(threads)
    more = {"providers": providers, **({} if isinstance(providers[0], str) else {"enable_fallback": 0})}
    try:
        return ort.InferenceSession(str(artifact.file), options, **more), False
    except ORT_ERRORS as error:
        operator = missing_operator(str(error))
        if operator is None:
            raise ModelInvalid(why_not_loaded(artifact, first_line(error))) from error
    options = session_options(threads)
    extend(options, artifact, operator)
    try:
        return ort.InferenceSession(str(artifact.file), options, **more), True
    except ORT_ERRORS as error:
        raise ModelInvalid(why_not_loaded(artifact, first_line(error))) from error


def session_options(threads: int) -> ort.SessionOptions:
    """How every model is loaded: threads, no spinning, no log of its own."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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


def why_not_loaded(artifact: Artifact, said: str) -> str:
    """A sentence for the person who exported the model."""
    name = artifact.called
    operator = missing_operator(said)
    if operator:
        why = f"{name} has the operator {operator}, which onnxruntime-extensions does not have"
    elif "ValidateOpsetForDomain" in said or "opset" in said:
        why = f"{name} uses a newer opset than ONNX Runtime {ort.__version__} reads: export it with an older one"
    elif "Failed to construct locale" in said:
        why = (
            f"{name} changes the case of strings by a language of the machine, which has none here: set the attribute "
        )
        why += "locale of its StringNormalizer to C.UTF-8"
    elif "Unsupported model IR version" in said:
        why = f"{name} has a newer IR version than ONNX Runtime {ort.__version__} reads: save it with an older one"
    elif "INVALID_PROTOBUF" in said or "No graph was found" in said:
        why = f"{name} ({artifact.size} bytes) is no ONNX model, or only a part of one: fetch or export it again"
    else:
        why = f"{name} cannot be loaded by ONNX Runtime {ort.__version__}"
    return f"{why}. ONNX Runtime says: {said}"


def first_line(error: Exception) -> str:
    """The first line, without source paths and file paths."""
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    line = re.sub(r"/onnxruntime_src/\S+ |\S+ ?onnxruntime::.*?\) (?=[A-Z])", "", line)
    return re.sub(r"(/[\w.+-]+){2,}/?", "…", line)[:500]


def signature_of(session: ort.InferenceSession) -> Signature:
    """The model's tensors in the protocol's words; a type that it has no word for is refused."""
    inputs = tuple(spec_of(each, "input") for each in session.get_inputs())
    return Signature(inputs, tuple(spec_of(each, "output") for each in session.get_outputs()))


def spec_of(value: Any, role: str) -> TensorSpec:
    """A tensor of the model; ModelInvalid where its type has no datatype in the protocol."""
    datatype = DATATYPES.get(value.type)
    if datatype is None:
        todo = (
            "export it with the option zipmap=False"
            if value.type.startswith("seq(map")
            else "export the model with tensors of an ordinary type there"
        )
        raise ModelInvalid(
            f"the model's {role} {value.name} is {value.type}, which has no datatype in the Open Inference "
            f"Protocol: {todo}"
        )
    shape = tuple(size if isinstance(size, int) and size >= 0 else DYNAMIC for size in value.shape)
    return TensorSpec(value.name, datatype, shape)
