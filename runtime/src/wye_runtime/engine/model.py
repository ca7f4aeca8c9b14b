"""A loaded model: tensors in, tensors out, in the words of ONNX Runtime's errors."""

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from wye_runtime.engine.artifact import Artifact
from wye_runtime.engine.bound import Bound, Device, device_of
from wye_runtime.engine.losses import Losses
from wye_runtime.engine.refusals import first_line
from wye_runtime.engine.sessions import EXECUTION_PROVIDERS, ORT_ERRORS, Opened, hardware_of, opened
from wye_runtime.errors import InvalidDeploymentSpec, InvalidInput, Misfit, ModelError, ModelInvalid
from wye_runtime.media import decodable, picture_inputs
from wye_runtime.protocol import DTYPES, DYNAMIC, INTEGERS, Array, Signature, Tensors, TensorSpec
from wye_runtime.settings import Engine

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
# nodes whose time depends on values; the second ones only where a caller gives integers
CONTROL_FLOW = ("Loop", "Scan", "If")
SIZED_BY_VALUES = ("Range", "ConstantOfShape", "Expand", "Tile", "Resize", "Pad", "OneHot", "Reshape")
SCANNED_BYTES = 64 << 20
DECODING = "while running DecodeImage node"


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

    def __init__(self, artifact: Artifact, found: Opened, recorded: Device | None = None) -> None:
        self.artifact = artifact
        self.is_extended = found.extended  # by operators of onnxruntime-extensions
        self.pictures = picture_inputs(artifact.file.read_bytes()) if found.extended else ()
        self.session = found.session
        self.threads = found.threads
        self.signature = with_columns(signature_of(found.session), artifact.columns)
        self.provider = found.session.get_providers()[0]
        self.hardware = hardware_of(self.provider)
        self.uses_bfloat16_outputs = any(spec.datatype == "BF16" for spec in self.signature.outputs)
        self.takes_bfloat16 = any(spec.datatype == "BF16" for spec in self.signature.inputs)
        self.forbid_strings_with_bfloat16()
        self.losses = Losses()
        self.bound = Bound(found.session, recorded) if recorded else None
        self.forbid_graphs_with_bfloat16()

    def forbid_graphs_with_bfloat16(self) -> None:
        if self.bound and (self.takes_bfloat16 or self.uses_bfloat16_outputs):
            raise InvalidDeploymentSpec(
                "engine.providerOptions asks for CUDA graphs, and the model takes or gives BF16, which numpy has no "
                "type for: cast its inputs and outputs to float in the model, or leave the option out"
            )

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
            if self.bound:
                outputs = self.bound.run(names, values)
            elif self.uses_bfloat16_outputs:
                outputs = self.run_values(values, names, options)
            else:
                outputs = self.session.run(list(names), values, options)
        except ORT_ERRORS as error:
            if DECODING in str(error):
                raise InvalidInput(f"the picture cannot be decoded: {first_line(error)}") from error
            if self.provider != EXECUTION_PROVIDERS["CPU"]:
                self.losses.failed(str(error))
            raise ModelError(f"the model failed: {first_line(error)}") from error
        if self.losses.doubts:
            self.losses.doubts = 0
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
    """The model on the provider that was asked for; `cache` is a folder for TensorRT's engines."""
    return Model(artifact, opened(artifact, engine, cache), device_of(engine.providerOptions))


def signature_of(session: ort.InferenceSession) -> Signature:
    """The model's tensors in the protocol's words; a type that it has no word for is refused."""
    inputs = tuple(spec_of(each, "input") for each in session.get_inputs())
    return Signature(inputs, tuple(spec_of(each, "output") for each in session.get_outputs()))


def with_columns(signature: Signature, columns: Sequence[str]) -> Signature:
    """With the names of a table's columns, where the model takes one table as wide as that."""
    first = signature.inputs[0].shape if len(signature.inputs) == 1 else ()
    fits = len(first) == 2 and first[1] in (DYNAMIC, len(columns))
    is_said = list(columns) not in ([], [spec.name for spec in signature.inputs])
    return replace(signature, columns=tuple(columns)) if is_said and fits else signature


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
