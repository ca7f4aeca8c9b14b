"""What ONNX Runtime is told for a processor and for a GPU, what is said when a provider is missing, and CUDA graphs.

No GPU is needed: the driver is a stand-in, and a recording's tensors stay in the processor's memory. What only a GPU
can show is in tests/gpu.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

import toys
from wye_runtime import settings
from wye_runtime.engine import devices, sessions
from wye_runtime.engine.artifact import artifact_at
from wye_runtime.engine.bound import Bound, Device, Kept, device_of
from wye_runtime.engine.model import Model, load
from wye_runtime.engine.sessions import Opened
from wye_runtime.errors import ConfigError, InvalidDeploymentSpec, ModelError
from wye_runtime.metrics import Metrics
from wye_runtime.options import NO_CPU, SESSION_OPTIONS
from wye_runtime.service import loading
from wye_runtime.service.company import Trial, batching
from wye_runtime.service.remembering import key_of
from wye_runtime.settings import BatchingSettings, Engine, ModelSource

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
HERE = Device("cpu")


def artifact(tmp_path, made=None):
    return artifact_at(ModelSource(str(toys.saved(made or toys.linear(), tmp_path / "toy.onnx"))))


def config(tmp_path, engine, made=None, **more):
    path = toys.saved(made or toys.linear(), tmp_path / "toy.onnx")
    return settings.parse_config({"model": {"path": str(path)}, "engine": engine, **more})


# --- what it is told ---------------------------------------------------------------------------------------------


class Told:
    """A session's class that starts every provider and keeps what it was given."""

    seen: tuple = ()

    def __init__(self, file, options, providers, **more):
        Told.seen = (options, providers, more)
        self.first = providers[0] if isinstance(providers[0], str) else providers[0][0]

    def get_providers(self):
        return [self.first]


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(sessions.ort, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(sessions.ort, "InferenceSession", Told)
    monkeypatch.setattr(sessions, "gpus", lambda: ["NVIDIA L4, 23034 MiB, 58 processors"])
    return Told


GOLDEN = {
    "a processor": (Engine("CPU", 2), [CPU], {}),
    "a GPU": (Engine("CUDA"), [CUDA, CPU], {}),
    "a bound of the GPU's memory": (
        Engine("CUDA", None, {"gpu_mem_limit": "4294967296", "arena_extend_strategy": "kSameAsRequested"}),
        [(CUDA, {"gpu_mem_limit": "4294967296", "arena_extend_strategy": "kSameAsRequested"}), CPU],
        {"enable_fallback": 0},
    ),
    "recorded runs on the second GPU": (
        Engine("CUDA", None, {"enable_cuda_graph": "1", "device_id": "1"}),
        [(CUDA, {"enable_cuda_graph": "1", "device_id": "1"}), CPU],
        {"enable_fallback": 0},
    ),
    "nothing on the processor": (Engine("CUDA", None, {}, {NO_CPU: "1"}), [CUDA], {}),
    "TensorRT, without a folder": (
        Engine("TensorRT", None, {"trt_fp16_enable": "1"}),
        [(TENSORRT, {"trt_fp16_enable": "1"}), CUDA, CPU],
        {"enable_fallback": 0},
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_the_providers_that_onnx_runtime_is_given(case, told, tmp_path) -> None:
    """With options, ONNX Runtime's own second try without them is switched off."""
    engine, providers, more = GOLDEN[case]
    sessions.opened(artifact(tmp_path), engine)
    assert told.seen[1:] == (providers, more)


def test_what_a_session_is_told_by_default_and_by_its_options(told, tmp_path) -> None:
    sessions.opened(artifact(tmp_path), Engine("CPU", 3))
    options = told.seen[0]
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    named = {
        "graph_optimization_level": "ORT_ENABLE_BASIC",
        "execution_mode": "ORT_PARALLEL",
        "enable_mem_pattern": "0",
    }
    given = {**named, "inter_op_num_threads": "2", "session.intra_op.allow_spinning": "1"}
    sessions.opened(artifact(tmp_path), Engine("CPU", 3, {}, given))
    options = told.seen[0]
    assert options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert (options.enable_mem_pattern, options.inter_op_num_threads) == (False, 2)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"


def test_every_option_of_a_session_is_one_of_onnx_runtimes(tmp_path) -> None:
    """It takes any name and says nothing: a name that its library has not got would be a promise that nobody keeps."""
    (library,) = (Path(ort.__file__).parent / "capi").glob("onnxruntime_pybind11_state*.so")
    content, options = library.read_bytes(), ort.SessionOptions()
    unknown = [n for n in SESSION_OPTIONS if not (n.encode() in content if "." in n else hasattr(options, n))]
    assert unknown == []


def test_a_model_runs_the_same_with_every_switch(tmp_path) -> None:
    """Each is taken by the real thing, alone."""
    made = artifact(tmp_path)
    feeds = {"x": np.ones((2, 7), np.float32)}
    wanted = load(made, Engine("CPU", 1)).run(feeds, ["probability"])["probability"]
    switches = [name for name, values in SESSION_OPTIONS.items() if values == "0|1" and name != NO_CPU]
    for name in switches:
        said = load(made, Engine("CPU", 1, {}, {name: "1"})).run(feeds, ["probability"])["probability"]
        assert said.tobytes() == wanted.tobytes(), name


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"provider": "CUDA", "providerOptions": {"a": 1}}, "engine.providerOptions is .*, want an object of strings"),
        ({"providerOptions": {"a": "1"}}, "where engine.provider is Auto, want CUDA or TensorRT"),
        ({"provider": "CUDA", "providerOptions": {"device_id": "GPU-0"}}, 'device_id is "GPU-0", want a number'),
        ({"sessionOptions": ["x"]}, "engine.sessionOptions is a list, want an object of strings"),
        (
            {"sessionOptions": {"session.spin": "1"}},
            'sessionOptions has "session.spin"; known: graph_optimization_level',
        ),
        (
            {"sessionOptions": {"session.use_ort_model_bytes_for_initializers": "1"}},
            'has "session.use_ort_model_bytes_for_initializers"; known',
        ),
        ({"sessionOptions": {NO_CPU: "1"}}, "where engine.provider is Auto, want CUDA or TensorRT"),
        ({"sessionOptions": {"enable_mem_pattern": "true"}}, 'enable_mem_pattern is "true", want 0 or 1'),
        ({"sessionOptions": {"graph_optimization_level": "99"}}, 'is "99", want something like ORT_DISABLE_ALL'),
    ],
)
def test_options_that_make_no_sense(engine, said) -> None:
    with pytest.raises(ConfigError, match=said):
        settings.parse_config({"model": {"path": "x"}, "engine": engine})


class Refusing:
    """A session's class that takes no options of a provider, as ONNX Runtime does with a wrong one."""

    def __init__(self, file, options, providers, **more):
        if isinstance(providers[0], tuple):
            raise RuntimeError(f"no such option {providers[0][1]}")


def test_options_of_a_provider_are_refused_and_never_left_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sessions.ort, "InferenceSession", Refusing)
    made = sessions.Making(artifact(tmp_path), {}, 1)
    with pytest.raises(InvalidDeploymentSpec, match="providerOptions are not taken.*no such option"):
        sessions.told_session(made, [CUDA, CPU], {"gpu_mem_limit": "1"})


def test_tensorrt_keeps_its_engines_by_model_gpu_and_options(tmp_path, monkeypatch) -> None:
    kinds = ["NVIDIA A100 MIG 1g.5gb, 4864 MiB, 14 processors"]
    monkeypatch.setattr(sessions, "gpus", lambda: kinds)
    made = artifact(tmp_path)

    def folder(options, made=made):
        said = sessions.options_for(made, Engine("TensorRT", None, options), tmp_path)
        assert said["trt_engine_cache_enable"] == "1"
        return Path(said["trt_engine_cache_path"])

    one = folder({"trt_fp16_enable": "1"})
    assert one.is_dir()
    assert one.parent == tmp_path / "tensorrt"
    assert folder({"trt_fp16_enable": "1"}) == one
    assert folder({}) != one, "another precision is another engine"
    assert folder({"trt_fp16_enable": "1"}, artifact(tmp_path, toys.linear(5))) != one, "so is another model"
    kinds[0] = "NVIDIA A100, 40442 MiB, 108 processors"
    assert folder({"trt_fp16_enable": "1"}) != one, "and the whole of a GPU that was a slice"
    own = Engine("TensorRT", None, {"trt_timing_cache_enable": "0"})
    assert sessions.options_for(made, own, tmp_path)["trt_timing_cache_enable"] == "0"
    assert sessions.options_for(made, own, None) == own.providerOptions
    assert sessions.options_for(made, Engine("CUDA"), tmp_path) == {}


# --- when a provider is missing ----------------------------------------------------------------------------------


class Driver:
    """NVIDIA's library as far as it is asked."""

    def __init__(self, init=0, version=13_000, names=("NVIDIA L4",)):
        self.init, self.version, self.names = init, version, names

    def cuInit(self, _):
        return self.init

    def cuGetErrorName(self, code, name):
        name._obj.value = {100: b"CUDA_ERROR_NO_DEVICE", 803: b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}[code]

    def cuDriverGetVersion(self, number):
        number._obj.value = self.version

    def cuDeviceGetCount(self, number):
        number._obj.value = len(self.names)

    def cuDeviceGet(self, device, number):
        device._obj.value = number

    def cuDeviceGetName(self, name, _, number):
        name.value = self.names[number].encode()

    def cuDeviceTotalMem_v2(self, size, _):
        size._obj.value = 24 << 30

    def cuDeviceGetAttribute(self, number, kind, _):
        number._obj.value = 58 if kind == devices.PROCESSORS else 0


def loader(driver, missing=""):
    """As `ctypes.CDLL`, of a machine with this driver (None: without) and without that library."""

    def load_library(name, *_):
        if name == devices.DRIVER and driver is None:
            raise OSError("libcuda.so.1: cannot open shared object file: No such file or directory")
        if missing and "providers_cuda" in name:
            raise OSError(f"{missing}: cannot open shared object file: No such file or directory")
        return driver

    return load_library


AWAY = {
    "no driver": (loader(None), r"this container has no NVIDIA driver \(libcuda.so.1\): does resources.limits ask"),
    "no device": (
        loader(Driver(100)),
        "NVIDIA's driver says CUDA_ERROR_NO_DEVICE: does resources.limits ask for a GPU",
    ),
    "mismatch": (loader(Driver(803)), "NVIDIA's driver says CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
    "none visible": (loader(Driver(names=())), "NVIDIA's driver sees no GPU"),
    "an old driver": (
        loader(Driver(version=12_080)),
        r"the node's driver runs CUDA 12.8 and older, this image wants CUDA 13: renew the driver",
    ),
    "a library": (loader(Driver(), "libcudnn.so.9"), "libcudnn.so.9 is not in this image, and libonnxruntime_prov"),
    "nobody knows": (loader(Driver()), "NVIDIA L4, 24576 MiB, 58 processors.* is there, and ONNX Runtime does not say"),
}


@pytest.mark.parametrize("case", AWAY)
def test_why_a_provider_is_away(case) -> None:
    load_library, said = AWAY[case]
    library = Path("/opt/libonnxruntime_providers_cuda.so")
    assert re.search(said, devices.why_away(library, "13.0", load_library))


def test_the_gpus_are_told_apart_by_kind_memory_and_processors(tmp_path) -> None:
    version = tmp_path / "version"
    version.write_text("NVRM version: 580.1\nGCC version: 12\n")
    several = Driver(names=("NVIDIA H200", "NVIDIA A100 MIG 1g.5gb"))
    assert devices.gpus(loader(several), version) == [
        "NVIDIA A100 MIG 1g.5gb, 24576 MiB, 58 processors",
        "NVIDIA H200, 24576 MiB, 58 processors",
        "NVRM version: 580.1",
    ]
    assert devices.gpus(loader(None), version) == []


class Falling(Told):
    """ONNX Runtime where a provider does not start: it says nothing and goes on with the processor."""

    def get_providers(self):
        return [CPU]


@pytest.mark.parametrize("provider", ["CUDA", "TensorRT"])
def test_a_provider_that_does_not_start_is_an_error_that_says_why(provider, told, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sessions.ort, "InferenceSession", Falling)
    monkeypatch.setattr(sessions, "why_away", lambda library, cuda: f"{library.name} cannot")
    said = (
        f"engine.provider {provider} was asked for, but .*ExecutionProvider could not start here: libonnxruntime_prov"
    )
    with pytest.raises(InvalidDeploymentSpec, match=said):
        sessions.opened(artifact(tmp_path), Engine(provider))


def test_auto_goes_on_with_the_processor(told, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sessions.ort, "InferenceSession", Falling)
    sessions.opened(artifact(tmp_path), Engine("Auto"))
    assert told.seen[1] == [CPU]


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="this machine has a GPU")
def test_a_machine_without_a_gpu_is_told_so_by_the_image_for_processors(tmp_path) -> None:
    path = toys.saved(toys.linear(), tmp_path / "toy.onnx")
    (tmp_path / "c.json").write_text(f'{{"model": {{"path": "{path}"}}, "engine": {{"provider": "CUDA"}}}}')
    words = [sys.executable, "-m", "wye_runtime.cli", "serve", "--config", str(tmp_path / "c.json")]
    done = subprocess.run([*words, "--port", "0", "--inner-port", "0"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 3
    assert "engine.provider CUDA is not in this runtime, which has CPU: use the GPU image" in done.stdout
    assert devices.gpus(ctypes.CDLL) == []


# --- recorded runs -----------------------------------------------------------------------------------------------


def session_of(made, tmp_path):
    return ort.InferenceSession(str(toys.saved(made, tmp_path / "toy.onnx")))


def several():
    """x [N, 3], i [N] -> y [N, 3], s [N, 1], j [N]: two inputs of two kinds, three outputs."""
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["y"]),
        helper.make_node("ReduceSum", ["x", "axes"], ["s"]),
        helper.make_node("Mul", ["i", "i"], ["j"]),
    ]
    inputs = [toys.tensor("x", "FP32", ["N", 3]), toys.tensor("i", "INT64", ["N"])]
    outputs = [toys.tensor("y", "FP32", ["N", 3]), toys.tensor("s", "FP32", ["N", 1]), toys.tensor("j", "INT64", ["N"])]
    return toys.model(nodes, inputs, outputs, [toys.constant("axes", np.array([1], np.int64))])


def test_bound_runs_answer_bit_for_bit_as_plain_ones(tmp_path) -> None:
    session, random = session_of(several(), tmp_path), np.random.default_rng(3)
    bound, asked = Bound(session, HERE), ["j", "y", "s"]
    kept = []
    for rows in (1, 4, 1, 4, 32, 1):
        feeds = {"x": random.normal(size=(rows, 3)).astype(np.float32), "i": random.integers(0, 99, rows)}
        kept.append((bound.run(asked, feeds), session.run(asked, feeds)))
        feeds["x"][:] = 0  # the caller's own memory is not read again
    assert bound.recordings == 3, "one for each shape"
    for said, wanted in kept:  # at the end: no later run writes over an earlier answer
        assert [each.tobytes() for each in said] == [each.tobytes() for each in wanted]
        assert [each.dtype for each in said] == [each.dtype for each in wanted]


def test_a_part_of_the_outputs_is_a_recording_of_its_own(tmp_path) -> None:
    bound = Bound(session_of(several(), tmp_path), HERE)
    feeds = {"i": np.arange(2), "x": np.ones((2, 3), np.float32)}
    assert [each.shape for each in bound.run(["s"], feeds)] == [(2, 1)]
    assert [each.shape for each in bound.run(["y", "j"], dict(reversed(feeds.items())))] == [(2, 3), (2,)]
    assert bound.recordings == 2


def test_arrays_that_are_not_contiguous_are_taken_as_they_read(tmp_path) -> None:
    session = session_of(toys.linear(7), tmp_path)
    bound, x = Bound(session, HERE), np.random.default_rng(1).normal(size=(7, 6)).astype(np.float32)
    for _ in range(2):
        assert (
            bound.run(["probability"], {"x": x.T})[0].tobytes() == session.run(["probability"], {"x": x.T})[0].tobytes()
        )


def test_more_shapes_than_are_kept_run_without(tmp_path) -> None:
    session = session_of(toys.linear(7), tmp_path)
    bound = Bound(session, HERE, most=2)
    for rows in (1, 2, 3, 4, 3):
        x = np.full((rows, 7), rows, np.float32)
        assert bound.run(["probability"], {"x": x})[0].tobytes() == session.run(["probability"], {"x": x})[0].tobytes()
    assert bound.recordings == 2


def test_strings_and_nothing_have_no_place_on_a_device(tmp_path) -> None:
    bound = Bound(session_of(toys.echo("BYTES", "FP32"), tmp_path), HERE)
    feeds = {"in_BYTES": np.array(["a", "ß"], object), "in_FP32": np.zeros(2, np.float32)}
    for _ in range(2):
        assert list(bound.run(["out_BYTES"], feeds)[0]) == ["a", "ß"]
    empty = {"in_BYTES": np.array([], object), "in_FP32": np.zeros(0, np.float32)}
    assert bound.run(["out_FP32"], empty)[0].shape == (0,)
    assert bound.recordings == 0


def failing_after(count, monkeypatch) -> None:
    """Room for so many recordings, and then no more."""
    take = Kept.take

    def taken(kept, names, outputs):
        if kept.options.get_run_config_entry("gpu_graph_id") > str(count):
            raise RuntimeError("Failed to allocate memory for requested buffer")
        take(kept, names, outputs)

    monkeypatch.setattr(Kept, "take", taken)


def test_a_shape_that_cannot_be_recorded_beside_others_is_served_without(tmp_path, monkeypatch, caplog) -> None:
    """Its first request has its answer already: it used to fail all the same."""
    session = session_of(toys.linear(7), tmp_path)
    bound = Bound(session, HERE)
    failing_after(1, monkeypatch)
    for rows in (1, 2, 2, 1):
        x = np.full((rows, 7), rows, np.float32)
        assert bound.run(["probability"], {"x": x})[0].tobytes() == session.run(["probability"], {"x": x})[0].tobytes()
    assert bound.recordings == 1
    assert [record.why for record in caplog.records] == ["Failed to allocate memory for requested buffer"]


def test_a_model_of_which_no_shape_can_be_recorded_is_said(tmp_path, monkeypatch) -> None:
    bound = Bound(session_of(toys.linear(7), tmp_path), HERE)
    failing_after(0, monkeypatch)
    with pytest.raises(RuntimeError, match="Failed to allocate"):
        bound.run(["probability"], {"x": np.zeros((1, 7), np.float32)})


def test_a_shape_that_depends_on_values_is_said_and_not_served_wrong(tmp_path) -> None:
    """Recordings want fixed shapes: the first answer fixes them, and another one is an error."""
    node = helper.make_node("NonZero", ["x"], ["y"])
    made = toys.model([node], [toys.tensor("x", "FP32", ["N"])], [toys.tensor("y", "INT64", [1, None])])
    model = Model(artifact(tmp_path, made), opened(made, tmp_path), HERE)
    assert model.run({"x": np.ones(3, np.float32)}, ["y"])["y"].shape == (1, 3)
    with pytest.raises(ModelError, match="the model failed.*[Ss]hape"):
        model.run({"x": np.array([0, 1, 0], np.float32)}, ["y"])


def opened(made, tmp_path):
    return Opened(session_of(made, tmp_path), 1, extended=False)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, None),
        ({"enable_cuda_graph": "0"}, None),
        ({"enable_cuda_graph": "1"}, Device("cuda", 0)),
        ({"trt_cuda_graph_enable": "True", "device_id": "1"}, Device("cuda", 1)),
    ],
)
def test_which_options_want_runs_recorded(options, wanted) -> None:
    assert device_of(options) == wanted


def test_bfloat16_is_not_recorded(tmp_path) -> None:
    made = toys.echo("BF16")
    with pytest.raises(InvalidDeploymentSpec, match="asks for CUDA graphs, and the model takes or gives BF16"):
        Model(artifact(tmp_path, made), opened(made, tmp_path), HERE)


def test_a_model_that_cannot_be_recorded_is_refused_at_load(tmp_path, monkeypatch) -> None:
    """Without graphs a warm-up that fails would be let pass: the caller's own values may be better."""

    def failing(self, names, feeds):
        raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")

    monkeypatch.setattr(Bound, "run", failing)
    monkeypatch.setattr(loading.model, "device_of", lambda _: HERE)
    with pytest.raises(InvalidDeploymentSpec, match="asks for CUDA graphs, and the model cannot be recorded: .*900"):
        loading.loaded(config(tmp_path, {"provider": "CPU"}), Metrics())


def test_a_recorded_model_serves_and_is_measured_as_any(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loading.model, "device_of", lambda _: HERE)
    ready = loading.loaded(config(tmp_path, {"provider": "CPU"}), Metrics())
    x = np.ones((3, 7), np.float32)
    plain = ort.InferenceSession(str(ready.model.artifact.file)).run(None, {"x": x})[0]
    assert ready.model.run({"x": x}, ["probability"])["probability"].tobytes() == plain.tobytes()
    assert ready.model.bound.recordings


# --- measuring on a GPU ------------------------------------------------------------------------------------------


def test_rows_that_do_not_fit_into_memory_are_not_tried_further(tmp_path) -> None:
    """With a bound of the GPU's memory, 64 rows together may be too many; the model serves all the same."""
    model = load(artifact(tmp_path), Engine("CPU", 1))
    run = model.run

    def bounded(feeds, names, told=None):
        if len(feeds["x"]) > 8:
            raise ModelError("the model failed: Failed to allocate memory for requested buffer")
        return run(feeds, names, told)

    model.run = bounded
    said = batching(Trial(model, {"x": np.ones((1, 7), np.float32)}, ["probability"]), BatchingSettings())
    assert said.rows <= 8


def test_what_was_measured_depends_on_options_and_on_the_gpu(tmp_path) -> None:
    model = load(artifact(tmp_path), Engine("CPU", 1))
    one = key_of(model, [], [], config(tmp_path, {"provider": "CPU"}))
    other = key_of(model, [], [], config(tmp_path, {"provider": "CPU", "sessionOptions": {"enable_mem_pattern": "0"}}))
    assert one != other
    model.hardware = ["NVIDIA L4, 23034 MiB, 58 processors"]
    assert key_of(model, [], [], config(tmp_path, {"provider": "CPU"})) != one
