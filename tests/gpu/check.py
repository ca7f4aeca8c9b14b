"""`tests/gpu/run.sh`: what must hold on a GPU, each with yes or no, and then one table of times."""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort

from gpu import bare, served
from gpu.models import SUBJECTS
from toys import saved

HIDDEN = {"CUDA_VISIBLE_DEVICES": "-1"}
CLOSE = 2e-2  # TF32 keeps ten bits of a float's 23
COLUMNS = ("CPU ms", "GPU ms", "bound ms", "graph ms", "served ms", "served/s", "off by")


def main() -> int:
    asked = argparse.ArgumentParser(prog="tests/gpu/run.sh", description=__doc__)
    asked.add_argument("--seconds", type=float, default=1.0, help="for each figure (default 1)")
    asked.add_argument("--json", type=Path, help="keep the figures in a file, too")
    given = asked.parse_args()
    if bare.CUDA not in ort.get_available_providers():
        print(f"this ONNX Runtime has no {bare.CUDA}: install onnxruntime-gpu with its CUDA and cuDNN packages")
        return 2
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
    words = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def checked(folder: Path) -> Iterator[tuple[str, bool]]:
    """The promises of `engine.provider`."""
    file = saved(SUBJECTS["table (7-64-64-1)"][0](), folder / "table.onnx")
    for provider in ("CUDA", "Auto"):
        with served.running(file, provider, folder) as said:
            yield f"{provider}: runs on {said['provider']}", said["provider"] == bare.CUDA
    with served.running(file, "Auto", folder, HIDDEN) as said:
        yield f"Auto without a GPU: runs on {said['provider']}", said["provider"] == bare.CPU
    with served.running(file, "CPU", folder) as said:
        yield f"CPU beside a GPU: runs on {said['provider']}", said["provider"] == bare.CPU
    for provider, hidden in (("CUDA", HIDDEN), ("TensorRT", HIDDEN)):
        code, said = served.refusal(file, provider, folder, hidden)
        yield (
            f"{provider} without a GPU: exit code {code}, {said[-300:]}",
            code == 3 and "InvalidDeploymentSpec" in said,
        )


def measured(folder: Path, seconds: float) -> Iterator[dict]:
    """One row for each model and batch size; it is printed as soon as it is there."""
    print(f"\n{'model':34} {'batch':>6}", *(f"{name:>10}" for name in COLUMNS))
    for name, (made, batches) in SUBJECTS.items():
        file = saved(made(), folder / "model.onnx")
        sessions = {provider: bare.session(file, provider) for provider in (bare.CPU, bare.CUDA)}
        with served.running(file, "CUDA", folder):
            for batch in batches:
                row = figures(file, sessions, batch, seconds)
                print(f"{name:34} {batch:6}", *(f"{row[column]:10.4g}" for column in COLUMNS), flush=True)
                yield {"model": name, "batch": batch, **row}


def figures(file: Path, sessions: dict[str, ort.InferenceSession], batch: int, seconds: float) -> dict[str, float]:
    shape = sessions[bare.CPU].get_inputs()[0].shape[1:]
    x = np.random.default_rng(1).normal(size=(batch, *shape)).astype(np.float32)
    wanted = bare.plain(sessions[bare.CPU], x)()
    ways = {
        "GPU ms": bare.plain(sessions[bare.CUDA], x),
        "bound ms": bare.bound(sessions[bare.CUDA], x),
        "graph ms": bare.graphed(file, x, wanted),
        "served ms": served.Caller(x),
    }
    off = max(float(np.abs(run() - wanted).max() / np.abs(wanted).max()) for run in ways.values())
    times = {name: bare.milliseconds(run, seconds) for name, run in ways.items()}
    cpu = bare.milliseconds(bare.plain(sessions[bare.CPU], x), seconds)
    return {"CPU ms": cpu, **times, "served/s": served.per_second(x, 8, seconds), "off by": off}


if __name__ == "__main__":
    raise SystemExit(main())
