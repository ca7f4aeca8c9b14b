"""`tests/gpu/run.sh`: what must hold on a GPU, each with yes or no, and then one table of times."""

from __future__ import annotations

import argparse
import ctypes
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import helper

from gpu import bare, served
from gpu.models import SUBJECTS, mlp
from toys import lower_case, model, saved, tensor
from wye_runtime.engine import devices

HIDDEN = {"CUDA_VISIBLE_DEVICES": "-1"}
CLOSE = 2e-2  # TF32 keeps ten bits of a float's 23
WAYS = {"served": {}, "recorded": {"providerOptions": {"enable_cuda_graph": "1"}}}
SERVED = [f"{heading}{unit}" for heading in WAYS for unit in (" ms", "/s")]
COLUMNS = ("CPU ms", "GPU ms", "bound ms", "graph ms", *SERVED, "off by")


def main() -> int:
    asked = argparse.ArgumentParser(prog="tests/gpu/run.sh", description=__doc__)
    asked.add_argument("--seconds", type=float, default=1.0, help="for each figure (default 1)")
    asked.add_argument("--json", type=Path, help="keep the figures in a file, too")
    given, _ = asked.parse_known_args()  # the others are for gpu/wheels.py
    if bare.CUDA not in ort.get_available_providers():
        print(f"this ONNX Runtime has no {bare.CUDA}: install onnxruntime-gpu with its CUDA and cuDNN packages")
        return 2
    ort.preload_dlls()  # CUDA's wheels
    print(f"{machine()}; ONNX Runtime {ort.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        checks = list(checked(Path(folder)))
        for what, holds in checks:
            print(f"{'ok  ' if holds else 'FAIL'} {what}", flush=True)
        rows = list(measured(Path(folder), given.seconds))
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "checks": dict(checks), "rows": rows}, indent=1))
    return 0 if all(holds for _, holds in checks) and all(row["off by"] < CLOSE for row in rows) else 1


def machine() -> str:
    """What NVIDIA's own program says, where it is; else the driver."""
    if shutil.which("nvidia-smi") is None:
        return "; ".join(devices.gpus())
    words = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def checked(folder: Path) -> Iterator[tuple[str, bool]]:
    """The promises of docs/guides/gpu.md."""
    table = saved(SUBJECTS["table (7-64-64-1)"][0](), folder / "table.onnx")
    for provider in ("CUDA", "Auto"):
        with served.running(table, {"provider": provider}, folder) as said:
            yield f"{provider}: runs on {said['provider']}", said["provider"] == bare.CUDA
    with served.running(table, {"provider": "Auto"}, folder, HIDDEN) as said:
        yield f"Auto without a GPU: runs on {said['provider']}", said["provider"] == bare.CPU
    with served.running(table, {"provider": "CPU"}, folder) as said:
        yield f"CPU beside a GPU: runs on {said['provider']}", said["provider"] == bare.CPU
    for what, (file, engine, hidden, wanted) in refusals(table, folder).items():
        code, said = served.refusal(file, engine, folder, hidden)
        yield f"{what}: exit code {code}, {said[:300]}", code == 3 and wanted in said
    yield from graphs(table, folder)
    yield from tensorrt(table, folder)


def refusals(table: Path, folder: Path) -> dict[str, tuple[Path, dict, dict, str]]:
    """What must not start: file, engine, what is hidden from it, and what it has to say."""
    values, large = saved(nonzero(), folder / "values.onnx"), saved(mlp(1024, 8192, 8192, 64), folder / "large.onnx")
    strings = saved(lower_case("C.UTF-8"), folder / "strings.onnx")
    recorded = {"provider": "CUDA", "providerOptions": {"enable_cuda_graph": "1"}}
    bounded = {"provider": "CUDA", "providerOptions": {"gpu_mem_limit": str(64 << 20)}}
    alone = {"provider": "CUDA", "sessionOptions": {"session.disable_cpu_ep_fallback": "1"}}
    return {
        "CUDA without a GPU": (table, {"provider": "CUDA"}, HIDDEN, "CUDA_ERROR_NO_DEVICE"),
        "TensorRT without a GPU": (table, {"provider": "TensorRT"}, HIDDEN, "CUDA_ERROR_NO_DEVICE"),
        "an option that CUDA has not": (
            table,
            {"provider": "CUDA", "providerOptions": {"gpu_memory": "1"}},
            {},
            "InvalidDeploymentSpec: engine.providerOptions are not taken",
        ),
        "300 MB of weights in 64 MiB": (large, bounded, {}, "emory"),
        "a graph of a shape that values decide": (values, recorded, {}, "InvalidDeploymentSpec"),
        "a text model that must be on the GPU whole": (strings, alone, {}, "ModelInvalid"),
    }


def nonzero():
    """x [N] -> y [1, the number of values that are not zero]."""
    node = helper.make_node("NonZero", ["x"], ["y"])
    return model([node], [tensor("x", "FP32", ["N"])], [tensor("y", "INT64", [1, None])])


def graphs(table: Path, folder: Path) -> Iterator[tuple[str, bool]]:
    """Recorded runs answer as others do, whichever shape comes when, also beyond the recordings that are kept."""
    random, rows = np.random.default_rng(2), [*range(1, 41), 7, 40, 1, 33]
    bodies = [random.normal(size=(count, 7)).astype(np.float32) for count in rows]
    said = []
    for options in ({}, {"providerOptions": {"enable_cuda_graph": "1"}}):
        with served.running(table, {"provider": "CUDA", **options}, folder):
            said.append([served.Caller(x)() for x in bodies])
    off = max(float(np.abs(one - other).max()) for one, other in zip(*said, strict=True))
    yield f"CUDA graphs: {len(rows)} requests of {len(set(rows))} shapes off by {off:.2g}", off < CLOSE


def tensorrt(table: Path, folder: Path) -> Iterator[tuple[str, bool]]:
    """Its engine is made once, or it is said that its libraries are not here."""
    engine = {"provider": "TensorRT"}
    try:
        ctypes.CDLL("libnvinfer.so.10")
    except OSError:
        code, said = served.refusal(table, engine, folder)
        yield f"TensorRT without its libraries: exit code {code}, {said[:200]}", code == 3 and "libnvinfer" in said
        return
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        with served.running(table, engine, folder, {"WYE_CACHE": str(folder / "cache")}) as said:
            times.append(time.perf_counter() - begun)
    kept = list((folder / "cache/tensorrt").glob("*/*.engine"))
    yield f"TensorRT: {said['provider']}, ready in {times[0]:.1f} s, then {times[1]:.1f} s", bool(kept)


def measured(folder: Path, seconds: float) -> Iterator[dict]:
    """One row for each model and batch size; it is printed as soon as it is there."""
    print(f"\n{'model':34} {'batch':>6}", *(f"{name:>10}" for name in COLUMNS))
    for name, (made, batches) in SUBJECTS.items():
        file = saved(made(), folder / "model.onnx")
        sessions = {provider: bare.session(file, provider) for provider in (bare.CPU, bare.CUDA)}
        rows = [{"model": name, "batch": batch, **figures(file, sessions, batch, seconds)} for batch in batches]
        for heading, options in WAYS.items():
            with served.running(file, {"provider": "CUDA", **options}, folder):
                for row in rows:
                    row |= asked(heading, inputs(sessions, row["batch"]), seconds, row)
        for row in rows:
            print(f"{name:34} {row['batch']:6}", *(f"{row[column]:10.4g}" for column in COLUMNS), flush=True)
            yield {key: value for key, value in row.items() if key != "wanted"}


def inputs(sessions: dict[str, ort.InferenceSession], batch: int) -> np.ndarray:
    shape = sessions[bare.CPU].get_inputs()[0].shape[1:]
    return np.random.default_rng(1).normal(size=(batch, *shape)).astype(np.float32)


def figures(file: Path, sessions: dict[str, ort.InferenceSession], batch: int, seconds: float) -> dict:
    """Of bare runs, in each way."""
    x = inputs(sessions, batch)
    wanted = bare.plain(sessions[bare.CPU], x)()
    ways = {
        "GPU ms": bare.plain(sessions[bare.CUDA], x),
        "bound ms": bare.bound(sessions[bare.CUDA], x),
        "graph ms": bare.graphed(file, x, wanted),
    }
    times = {name: bare.milliseconds(run, seconds) for name, run in ways.items()}
    cpu = bare.milliseconds(bare.plain(sessions[bare.CPU], x), seconds)
    off = max(apart(run(), wanted) for run in ways.values())
    return {"CPU ms": cpu, **times, "off by": off, "wanted": wanted}


def asked(heading: str, x: np.ndarray, seconds: float, row: dict) -> dict:
    """Of the runtime, by one caller and by eight."""
    call = served.Caller(x)
    off = max(row["off by"], apart(call(), row["wanted"]))
    times = {f"{heading} ms": bare.milliseconds(call, seconds), f"{heading}/s": served.per_second(x, 8, seconds)}
    return {**times, "off by": off}


def apart(said: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(said - wanted).max() / np.abs(wanted).max())


if __name__ == "__main__":
    raise SystemExit(main())
