"""One slice of `make bench-peers`: a server under one kind of load for a while, from another core; or the model alone.

Load is made by wrk, and over HTTP/2 by h2load: both are C, and use far less of their core than any server of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import machine
import numpy as np
from peers import Program
from wires import Call, Item

SERVERS, GENERATOR = 0, 1  # cores
LUA = """
local file = assert(io.open("{body}", "rb"))
wrk.method, wrk.path, wrk.body = "POST", "{path}", file:read("*a")
file:close()
{headers}
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\\n{{"requests": %d, "microseconds": %d, "failures": %d, "p50": %.3f, "p99": %.3f}}\\n',
    summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""
FINISHED = re.compile(r"finished in ([\d.]+)(us|ms|s),")
COUNTED = re.compile(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
DATA = re.compile(r"traffic: .* \((\d+)\) data")
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Slice:
    """`cpu` is the server's processor time, p50 and p99 are milliseconds."""

    requests: int
    failures: int
    seconds: float
    p50: float
    p99: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Target:
    """A running server and what it is asked; `size` of each answer, for a generator that does not look into them."""

    port: int
    call: Call
    pids: tuple[int, ...]
    folder: Path
    size: int = 0


def on(core: int, *command: object) -> list[str]:
    return ["taskset", "-c", str(core), *map(str, command)]


def measured(target: Target, generator: Program, connections: int, seconds: int) -> Slice:
    """Closed loop: each connection sends its next request when the answer to the one before is whole."""
    (target.folder / "body").write_bytes(target.call.body)
    before = machine.cpu_seconds(target.pids)
    load = with_h2load if target.call.is_h2 else with_wrk
    requests, failures, took, p50, p99 = load(target, generator, connections, seconds)
    return Slice(requests, failures, took, p50, p99, machine.cpu_seconds(target.pids) - before)


Figures = tuple[int, int, float, float, float]


def with_wrk(target: Target, wrk: Program, connections: int, seconds: int) -> Figures:
    script, headers = target.folder / "wrk.lua", target.call.headers.items()
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers)
    script.write_text(LUA.format(body=target.folder / "body", path=target.call.path, headers=lines))
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script]
    told = said(wrk, *options, f"http://127.0.0.1:{target.port}")
    found = json.loads(told.strip().splitlines()[-1])
    return found["requests"], found["failures"], found["microseconds"] / 1e6, found["p50"], found["p99"]


def with_h2load(target: Target, h2load: Program, connections: int, seconds: int) -> Figures:
    """It counts an answer of the wrong size as none: the grpc-status stands in a trailer, which it does not read."""
    log = target.folder / "h2load.log"
    log.unlink(missing_ok=True)
    headers = [word for name, value in target.call.headers.items() for word in ("-H", f"{name}: {value}")]
    options = ["-t1", "-m1", f"-c{connections}", f"-D{seconds}", f"--log-file={log}", "-d", target.folder / "body"]
    told = said(h2load, *options, *headers, f"http://127.0.0.1:{target.port}{target.call.path}")
    finished, counted, data = FINISHED.search(told), COUNTED.search(told), DATA.search(told)
    if not (finished and counted and data):
        raise RuntimeError(told)
    done, failed, errored, late = map(int, counted.groups())
    missing = abs(int(data[1]) - done * target.size) // target.size
    took = np.loadtxt(log, usecols=2, ndmin=1) / 1000
    p50, p99 = np.percentile(took, [50, 99])
    failures = failed + errored + late + (missing if missing > connections else 0)
    return done, failures, float(finished[1]) * UNITS[finished[2]], float(p50), float(p99)


def said(program: Program, *options: object) -> str:
    """What the load generator printed."""
    command = on(GENERATOR, program.path, *options)
    environment = os.environ | program.environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program.path}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def bare(item: Item, seconds: int) -> Slice:
    """session.run with nothing around it, on the servers' core."""
    job = {"model": item.path, "input": item.input, "output": item.output, "rows": item.rows.tolist()}
    script = Path(__file__).with_name("load.py")
    line = json.dumps(job | {"seconds": seconds})
    command = on(SERVERS, sys.executable, script)
    done = subprocess.run(command, input=line, capture_output=True, text=True, check=True)
    return Slice(**json.loads(done.stdout))
