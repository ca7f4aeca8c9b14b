"""`tests/gpu/run.sh`: what must hold on a GPU, each with yes or no, and then one table of times."""

from __future__ import annotations

import argparse
import ctypes
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import helper

from gpu import bare, served
from gpu.models import mlp
from gpu.places import CPU, DRY, GPU, HIDDEN, Place
from toys import constant, lower_case, model, saved, tensor
from wye_runtime.engine import devices

CLOSE = 2e-2  # TF32 keeps ten bits of a float's 23
DRY_RUN = "a dry run: everything on the processor. It proves this script, and nothing of a GPU"
Said = tuple[str, bool]


def main() -> int:
    asked = argparse.ArgumentParser(prog="tests/gpu/run.sh", description=__doc__)
    asked.add_argument("--seconds", type=float, default=1.0, help="for each figure (default 1)")
    asked.add_argument("--json", type=Path, help="keep the figures in a file, too")
    asked.add_argument("--dry", action="store_true", help="all of it on the processor")
    asked.add_argument("--only", default="", help="of checks and models those with one of these words (a,b)")
    given, _ = asked.parse_known_args()  # the others are for gpu/wheels.py
    place = DRY if given.dry else GPU
    if place.provider not in ort.get_available_providers():
        print(f"this ONNX Runtime has no {place.provider}: install onnxruntime-gpu with its CUDA and cuDNN packages")
        return 2
    if not given.dry:
        ort.preload_dlls()  # CUDA's wheels
    where = DRY_RUN if given.dry else machine()
    print(f"{where}; ONNX Runtime {ort.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        checks = list(checked(place, Path(folder), given.only))
        rows = list(measured(place, Path(folder), given.seconds, given.only))
    if given.json:
        given.json.write_text(json.dumps({"machine": where, "checks": dict(checks), "rows": rows}, indent=1))
    fails = sum(not holds for _, holds in checks) + sum("why" in row or row["off by"] >= CLOSE for row in rows)
    print(f"\n{f'{fails} FAILED' if fails else 'everything holds'}: {len(checks)} checks, {len(rows)} rows; {where}")
    return 1 if fails else 0


def machine() -> str:
    """What NVIDIA's own program says, where it is and works; else the driver."""
    words = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    if shutil.which(words[0]):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return "; ".join(done.stdout.strip().splitlines())
    return "; ".join(devices.gpus())


def is_asked(name: str, only: str) -> bool:
    return any(word.strip() in name for word in only.split(","))


def checked(place: Place, folder: Path, only: str = "") -> Iterator[Said]:
    """The promises of docs/guides/gpu.md, printed as they are found; one that breaks keeps no other from being seen."""
    table = saved(mlp(7, 64, 64, 1), folder / "table.onnx")
    for check in CHECKS:
        if not is_asked(check.__name__, only):
            continue
        for what, holds in outcomes(check, place, table, folder):
            print(f"{'ok' if holds else 'FAIL'}{place.mark}  {what}", flush=True)
            yield what, holds


def outcomes(check: Callable[..., Iterator[Said]], *words: object) -> Iterator[Said]:
    """Those of a check; what breaks it is its last."""
    try:
        yield from check(*words)
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is told, and the next check begins
        yield f"{check.__name__}: {type(error).__name__}: {error}", False


def providers(place: Place, table: Path, folder: Path) -> Iterator[Said]:
    """Each runs where it was asked to."""
    for provider in (place.engine, "Auto"):
        with served.running(table, {"provider": provider}, folder, place.hidden) as runtime:
            yield f"{provider}: runs on {runtime.provider}", runtime.provider == place.provider
    with served.running(table, {"provider": "Auto"}, folder, HIDDEN) as runtime:
        yield f"Auto without a GPU: runs on {runtime.provider}", runtime.provider == CPU
    with served.running(table, {"provider": "CPU"}, folder) as runtime:
        yield f"CPU beside a GPU: runs on {runtime.provider}", runtime.provider == CPU


def refusals(place: Place, table: Path, folder: Path) -> Iterator[Said]:
    """What must not start, and says why."""
    for what, (file, engine, hidden, wanted) in refused(place, table, folder).items():
        code, said = served.refusal(file, engine, folder, {**hidden, **place.hidden})
        yield f"{what}: exit code {code}, {said[:300]}", code == 3 and (place.refusal or wanted) in said


def refused(place: Place, table: Path, folder: Path) -> dict[str, tuple[Path, dict, dict, str]]:
    """File, engine, what is hidden from it, and what it has to say."""
    values, large = saved(nonzero(), folder / "values.onnx"), saved(mlp(*place.large), folder / "large.onnx")
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
    """x [N] -> y [1, the number of values that are not -1]: of warm-up's zeros, all."""
    nodes = [helper.make_node("Add", ["x", "one"], ["more"]), helper.make_node("NonZero", ["more"], ["y"])]
    one = constant("one", np.ones(1, np.float32))
    return model(nodes, [tensor("x", "FP32", ["N"])], [tensor("y", "INT64", [1, None])], [one])


def graphs(place: Place, table: Path, folder: Path) -> Iterator[Said]:
    """Recorded runs answer as others do, whichever shape comes when, also beyond the recordings that are kept."""
    random, rows = np.random.default_rng(2), [*range(1, 41), 7, 40, 1, 33]
    bodies = [random.normal(size=(count, 7)).astype(np.float32) for count in rows]
    said = []
    for options in ({}, {"providerOptions": dict(place.recorded)}):
        with served.running(table, {"provider": place.engine, **options}, folder, place.hidden) as runtime:
            said.append([answer(runtime, x) for x in bodies])
    off = max(float(np.abs(one - other).max()) for one, other in zip(*said, strict=True))
    yield f"CUDA graphs: {len(rows)} requests of {len(set(rows))} shapes off by {off:.2g}", off < CLOSE


def answer(runtime: served.Runtime, x: np.ndarray) -> np.ndarray:
    with served.Caller(runtime, x) as call:
        return call()


def tensorrt(place: Place, table: Path, folder: Path) -> Iterator[Said]:
    """Its engine is made once, or it is said that its libraries are not here."""
    engine = {"provider": "TensorRT"}
    try:
        ctypes.CDLL("libnvinfer.so.10")
    except OSError:
        code, said = served.refusal(table, engine, folder, place.hidden)
        holds = code == 3 and (place.refusal or "libnvinfer") in said
        yield f"TensorRT without its libraries: exit code {code}, {said[:200]}", holds
        return
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        with served.running(table, engine, folder, {"WYE_CACHE": str(folder / "cache")}) as runtime:
            times.append(time.perf_counter() - begun)
    kept = list((folder / "cache/tensorrt").glob("*/*.engine"))
    yield f"TensorRT: {runtime.provider}, ready in {times[0]:.1f} s, then {times[1]:.1f} s", bool(kept)


CHECKS = (providers, refusals, graphs, tensorrt)


def measured(place: Place, folder: Path, seconds: float, only: str = "") -> Iterator[dict]:
    """One row for each model and batch size; it is printed as soon as it is there."""
    print(f"\n{'model':34} {'batch':>6}", *(f"{name:>10}" for name in place.columns))
    for name in filter(lambda name: is_asked(name, only), place.subjects):
        try:
            rows = rows_of(place, name, folder, seconds)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is told, and the next model comes
            rows = [{"model": name, "why": f"{type(error).__name__}: {error}"}]
            print(f"{name:34} FAIL {rows[0]['why']}", flush=True)
        yield from rows


def rows_of(place: Place, name: str, folder: Path, seconds: float) -> list[dict]:
    """Of one model."""
    made, batches = place.subjects[name]
    file = saved(made(), folder / "model.onnx")
    sessions = {provider: bare.session(file, provider) for provider in (CPU, place.provider)}
    given = {batch: inputs(sessions[CPU], batch) for batch in batches}
    wanted = {batch: bare.plain(sessions[CPU], x)() for batch, x in given.items()}
    rows = {batch: figures(place, file, sessions, x, wanted[batch], seconds) for batch, x in given.items()}
    for way, options in place.ways.items():
        with served.running(file, {"provider": place.engine, **options}, folder, place.hidden) as runtime:
            for batch, x in given.items():
                rows[batch] |= asked(way, runtime, x, wanted[batch], seconds, rows[batch]["off by"])
    for batch, row in rows.items():
        print(f"{name:34} {batch:6}", *(f"{row[column]:10.4g}" for column in place.columns), flush=True)
    return [{"model": name, "batch": batch, **row} for batch, row in rows.items()]


def inputs(session: ort.InferenceSession, batch: int) -> np.ndarray:
    shape = session.get_inputs()[0].shape[1:]
    return np.random.default_rng(1).normal(size=(batch, *shape)).astype(np.float32)


def figures(place: Place, file: Path, sessions: dict, x: np.ndarray, wanted: np.ndarray, seconds: float) -> dict:
    """Of bare runs, in each way."""
    ways = {
        f"{place.heading} ms": bare.plain(sessions[place.provider], x),
        "bound ms": bare.bound(sessions[place.provider], x),
        "graph ms": bare.graphed(place, file, x, wanted),
    }
    times = {name: bare.milliseconds(run, seconds) for name, run in ways.items()}
    cpu = bare.milliseconds(bare.plain(sessions[CPU], x), seconds)
    return {"CPU ms": cpu, **times, "off by": max(apart(run(), wanted) for run in ways.values())}


def asked(way: str, runtime: served.Runtime, x: np.ndarray, wanted: np.ndarray, seconds: float, off: float) -> dict:
    """Of the runtime, by one caller and by eight."""
    off = max(off, apart(answer(runtime, x), wanted))
    with served.Caller(runtime, x) as call:
        alone = bare.milliseconds(call, seconds)
    return {f"{way} ms": alone, f"{way}/s": served.per_second(runtime, x, 8, seconds), "off by": off}


def apart(said: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(said - wanted).max() / np.abs(wanted).max())


if __name__ == "__main__":
    raise SystemExit(main())
