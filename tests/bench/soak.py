"""`make soak`: the runtime under a mixture of everything for ten minutes, with each version of ONNX Runtime: flat?

    python tests/bench/soak.py [--seconds 600] [--requests 1000000] [--rate 2500] [--versions 1.22.1,1.31.1]

Every version has an environment of its own below ~/.cache/wye-bench. The server's memory is read once a second; the
slope is that of a straight line through what was read after the first fifth, by requests. Ends with 1 where memory
grew, or an answer was not what its request must get.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/fraud"))

import machine
import numpy as np
from models import MODELS, is_trained
from peers import cache

from wye_operator.local.ports import free_port

ROOT = Path(__file__).parents[2]
PATIENT = {"requestTimeoutMs": 60_000, "maxQueueWaitMs": 60_000}  # a busy machine's 429s and 408s are no answer to this
RESULTS = Path(__file__).with_name(".results")
OLDEST, BETWEEN = "1.22.1", "1.26.0"  # the oldest that the runtime takes; one after a leak was reported of 1.24
CONNECTIONS = 24
WARM_UP = 0.2  # of the time
MOST = 2.0  # MB for a million requests: below it, memory is called flat
GOAL = 1_000_000
HEAD = ("ONNX Runtime", "requests", "a second", "MB after a fifth", "at the end", "most", "MB for a million more", "")


@dataclass(frozen=True, slots=True)
class Reading:
    """Of the server, at one moment."""

    seconds: float
    requests: int
    memory: int
    files: int


@dataclass(frozen=True, slots=True)
class Soaked:
    """What one version did."""

    engine: str
    readings: list[Reading]
    seen: dict[str, int]
    unexpected: dict[str, int]

    @property
    def later(self) -> list[Reading]:
        """Without the warm-up."""
        return [each for each in self.readings if each.seconds >= WARM_UP * self.readings[-1].seconds]

    @property
    def slope(self) -> float:
        """Bytes for one more request."""
        requests, memory = zip(*((each.requests, each.memory) for each in self.later), strict=True)
        return float(np.polyfit(requests, memory, 1)[0])

    @property
    def is_flat(self) -> bool:
        return self.slope < MOST

    def cells(self) -> tuple[str, ...]:
        last = self.readings[-1]
        memory = (
            f"{each / 1e6:.1f}" for each in (self.later[0].memory, last.memory, max(r.memory for r in self.readings))
        )
        verdict = "flat" if self.is_flat else "grew"
        enough = "" if last.requests >= GOAL else f", fewer than {GOAL:,}"
        rate = f"{last.requests / last.seconds:,.0f}"
        return (self.engine, f"{last.requests:,}", rate, *memory, f"{self.slope:+.2f}", verdict + enough)


def environment(engine: str) -> Path:
    """The `bin` of an environment with our runtime and this version of the engine."""
    if engine == version("onnxruntime"):
        return Path(sys.executable).parent
    wanted = (ROOT / "runtime/pyproject.toml").read_text() + engine + sys.version
    folder = cache() / f"soak-{engine}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    if not (folder / "made").exists():
        print(f"   installing the runtime with onnxruntime {engine} into {folder}", flush=True)
        uv = shutil.which("uv") or str(ROOT / ".tools/bin/uv")
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True)
        packages = [f"onnxruntime=={engine}", f"uvicorn=={version('uvicorn')}", f"numpy=={version('numpy')}"]
        python = ["--python", folder / "bin/python"]
        subprocess.run([uv, "pip", "install", "-q", *python, *packages, ROOT / "runtime"], check=True)
        (folder / "made").touch()
    return folder / "bin"


@contextmanager
def serving(binaries: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A runtime of this checkout, ready; its process and its port."""
    port, inner = free_port(), free_port()
    model = {"name": "fraud", "path": str(MODELS / "violet.onnx")}
    config = {"model": model, "engine": {"threads": 1}, "requestSettings": PATIENT}
    (folder / "runtime.json").write_text(json.dumps(config))
    ports = ["--host", "127.0.0.1", "--port", str(port), "--inner-port", str(inner)]
    command = [binaries / "wye-runtime", "serve", "--config", folder / "runtime.json", *ports]
    told = os.environ | {"PYTHONPATH": str(ROOT / "runtime/src")}  # this checkout's, whatever is installed
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=told)
    try:
        machine.ready(f"http://127.0.0.1:{inner}/readyz", process, folder / "log")
        yield process, port
    finally:
        process.terminate()
        process.wait(30)


def soaked(engine: str, seconds: float, requests: int, rate: float) -> Soaked:
    """One version, from its start to its end."""
    binaries = environment(engine)
    with tempfile.TemporaryDirectory() as place, serving(binaries, Path(place)) as (server, port):
        script = str(Path(__file__).with_name("soaking.py"))
        command = [sys.executable, script, *map(str, (port, seconds, requests, rate, CONNECTIONS))]
        began = time.monotonic()
        readings: list[Reading] = []
        told: dict[str, Any] = {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
            assert load.stdout is not None
            for line in load.stdout:
                told = json.loads(line)
                files = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
                memory = machine.resident(server.pid)
                readings.append(Reading(time.monotonic() - began, told["requests"], memory, files))
                said(engine, readings)
        if not told.get("ended"):
            raise RuntimeError("the load ended before its time; its message stands above")
    return Soaked(engine, readings, told["seen"], told["unexpected"])


def said(engine: str, readings: list[Reading]) -> None:
    """A line for each half minute."""
    now = readings[-1]
    if len(readings) % 30 == 0:
        what = f"{now.requests:,} requests, {now.memory / 1e6:.1f} MB, {now.files} files"
        print(f"   {engine}: {now.seconds:.0f} s, {what}", flush=True)


def table(found: list[Soaked]) -> str:
    rows = [HEAD, ("---", *["---:"] * 6, "---"), *(each.cells() for each in found)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="for each version (600)")
    parser.add_argument("--requests", type=int, default=GOAL, help=f"a slow machine has more time for them ({GOAL})")
    parser.add_argument("--rate", type=float, default=2500, help="requests a second, at most (2500)")
    versions = f"{OLDEST},{BETWEEN},{version('onnxruntime')}"
    parser.add_argument("--versions", default=versions, help=f"of ONNX Runtime ({versions})")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then, too
    if not is_trained():
        subprocess.run([sys.executable, MODELS.parent / "train.py"], check=True)
    found = []
    for engine in given.versions.split(","):
        print(f"== onnxruntime {engine}: {given.seconds:.0f} s, at most {given.rate:.0f} requests a second", flush=True)
        found.append(soaked(engine, given.seconds, given.requests, given.rate))
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "soak.json").write_text(json.dumps([asdict(each) for each in found]))
        print(table(found), flush=True)
    print("sent:", ", ".join(f"{count:,} {name}" for name, count in sorted(found[-1].seen.items())))
    for each in found:
        for what, count in each.unexpected.items():
            print(f"{each.engine}: {count} times {what}")
    return 0 if all(each.is_flat and not each.unexpected for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
