"""`make bench`, third part: how near the runtime comes to what HTTP and the model cost by themselves, on one core.

    python tests/bench/limit.py [--seconds 60] [--rounds 5] [--only WORDS]

The limit of a small model is 1 / (the least that HTTP costs + a bare run); of an image it is the bare run. Every server
has the first core for itself, wrk the second. Each round measures every line; a ratio is the median over the rounds of
the ratio within a round, by requests a second and by processor time: the latter stands still where a machine is shared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import command
import machine
import numpy as np
import onnxruntime as ort
import subjects
from convnet import convnet
from peers import Program, program
from rich.console import Console
from rich.table import Table
from routers import BROKEN, DONE, free_port

sys.path.insert(0, str(subjects.FRAUD))
from models import is_trained
from transactions import as_request, transactions

HERE = Path(__file__).parent
IMAGE = (1, 3, 224, 224)
COUNTS = (1, 8, 64)
BASIC = ("session.run", "HTTP alone")  # what the limits are made of
WARM_SECONDS = 0.5
SCRIPT = """wrk.method = "POST"
wrk.headers["content-type"] = "{content}"
{frame}
local file = io.open("{body}", "rb")
wrk.body = file:read("*all")
"""
RATE = "Requests/sec:"
P50 = "     50%"


@dataclass(frozen=True)
class Line:
    """One line of the table; without a port it is the bare model."""

    name: str
    connections: int
    model: str
    port: int = 0
    pid: int = 0
    path: str = ""
    script: Path = field(default=Path(), repr=False)


@dataclass(frozen=True)
class Slice:
    """What one line did in its part of a round."""

    rate: float
    micros: float
    p50: str = ""
    broken: int = 0


class Bare:
    """A model with nothing around it, in this process."""

    def __init__(self, path: Path, name: str, value: np.ndarray) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(str(path), options)
        self.feeds = {name: value}
        self.names = [self.session.get_outputs()[0].name]

    def measured(self, seconds: float) -> Slice:
        count, cpu, began = 0, time.process_time(), time.perf_counter()
        while time.perf_counter() - began < seconds:
            self.session.run(self.names, self.feeds)
            count += 1
        spent = time.process_time() - cpu
        return Slice(count / (time.perf_counter() - began), spent / count * 1e6)


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process, and what it starts meanwhile, on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(allowed)[core % len(allowed)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def sent(line: Line, wrk: Program, seconds: float) -> Slice:
    """wrk over this many connections; it counts whole seconds only, so short slices are rounded up."""
    url = f"http://127.0.0.1:{line.port}{line.path}"
    whole = max(1, round(seconds))
    command = (wrk.path, "-t1", f"-c{line.connections}", f"-d{whole}s", "--latency", "-s", str(line.script), url)
    before = machine.cpu_seconds([line.pid])
    with pinned(1):
        told = subprocess.run(command, env=wrk.environment, capture_output=True, text=True, check=True).stdout
    spent = machine.cpu_seconds([line.pid]) - before
    done = DONE.search(told)
    assert done is not None, told
    words = {each.rsplit(" ", 1)[0].rstrip(): each.split()[-1] for each in told.splitlines() if each.strip()}
    return Slice(
        float(words[RATE]), spent / max(int(done[1]), 1) * 1e6, words[P50], sum(map(int, BROKEN.findall(told)))
    )


class Servers:
    """Everything that is measured over HTTP, and the files that wrk sends."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.starts: dict[int, str] = {}

    def script(self, name: str, body: bytes, header: int = 0) -> Path:
        """What wrk is told; `header`: the length of the JSON before raw tensors."""
        (self.folder / f"{name}.body").write_bytes(body)
        frame = f'wrk.headers["inference-header-content-length"] = "{header}"' if header else ""
        content = "application/octet-stream" if header else "application/json"
        path = self.folder / f"{name}.lua"
        path.write_text(SCRIPT.format(content=content, frame=frame, body=self.folder / f"{name}.body"))
        return path

    def started(self, command: Sequence[str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log, pinned(0):
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        return process

    def floor(self) -> tuple[int, int]:
        """Port and process of the least server."""
        port = free_port()
        return port, self.started((sys.executable, str(HERE / "floor.py"), str(port)), "floor").pid

    def runtime(self, name: str, config: dict) -> tuple[int, int]:
        """Port and process of a ready runtime."""
        port, inner = free_port(), free_port()
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps({"deployment": "default/bench", "engine": {"threads": 1}, **config}))
        command = (str(Path(sys.executable).with_name("wye-runtime")), "serve", "--config", str(file))
        ports = ("--host", "127.0.0.1", "--port", str(port), "--inner-port", str(inner))
        began = time.monotonic()
        process = self.started((*command, *ports), name)
        log = self.folder / f"{name}.log"
        machine.ready(f"http://127.0.0.1:{inner}/readyz", process, log)
        pid, told = process.pid, map(json.loads, log.read_text().splitlines())
        loaded = next(line["ms"] for line in told if line["message"] == "model loaded")
        start = f"ready in {time.monotonic() - began:.2f} s, {loaded / 1000:.2f} s of them its model's"
        self.starts[pid] = f"{name}: {start}; {memory_of(pid):.0f} MB then"
        return port, pid

    def told(self) -> Iterator[str]:
        """How each runtime started, and what it takes after all that load."""
        for pid, start in self.starts.items():
            yield f"{start}, {memory_of(pid):.0f} MB now, its model's with it"

    def moved(self) -> list[str]:
        return [log.stem for log in self.folder.glob("*.log") if b"runs moved to threads" in log.read_bytes()]


def memory_of(pid: int) -> float:
    """MB that would be free without it: its own pages and its share of those of others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def small(servers: Servers) -> Iterator[Line]:
    """The fraud example's network: HTTP alone, tensors, fields."""
    rows, _ = transactions(1, 11)
    infer = servers.script("infer", json.dumps(subjects.inference(rows[0])).encode())
    score = servers.script("score", json.dumps(as_request(rows[0])).encode())
    path = "/v2/models/fraud/infer"
    port, pid = servers.floor()
    for count in COUNTS:
        yield Line("HTTP alone", count, "fraud", port, pid, path, infer)
    port, pid = servers.runtime(
        "fraud", {"model": {"name": "fraud", "path": str(subjects.MODEL)}, "contract": subjects.contract()}
    )
    for count in COUNTS:
        yield Line("v2 infer, JSON", count, "fraud", port, pid, path, infer)
    for count in COUNTS:
        yield Line("/score", count, "fraud", port, pid, "/score", score)


def large(servers: Servers, image: np.ndarray) -> Iterator[Line]:
    """An image, as raw bytes and as numbers."""
    tensor = {"name": "image", "datatype": "FP32", "shape": list(IMAGE)}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": image.nbytes}}]}).encode()
    binary = servers.script("binary", head + image.tobytes(), len(head))
    data = [round(each, 4) for each in image.ravel().tolist()]
    numbers = servers.script("numbers", json.dumps({"inputs": [{**tensor, "data": data}]}).encode())
    port, pid = servers.runtime("image", {"model": {"name": "image", "path": str(servers.folder / "image.onnx")}})
    for name, script in (("image, binary", binary), ("image, JSON", numbers)):
        for count in (1, 8):
            yield Line(name, count, "image", port, pid, "/v2/models/image/infer", script)


class Bench:
    """The lines, measured in turn."""

    def __init__(self, lines: Sequence[Line], bares: dict[str, Bare], wrk: Program) -> None:
        self.lines, self.bares, self.wrk = lines, bares, wrk
        self.slices: list[list[Slice]] = [[] for _ in lines]

    def measure(self, line: Line, seconds: float) -> Slice:
        if line.port:
            return sent(line, self.wrk, seconds)
        with pinned(0):
            return self.bares[line.model].measured(seconds)

    def run(self, rounds: int, seconds: float) -> None:
        for line in self.lines:
            self.measure(line, min(seconds, WARM_SECONDS))
        for turn in range(rounds):
            for step in range(len(self.lines)):
                at = (step + turn) % len(self.lines)
                self.slices[at].append(self.measure(self.lines[at], seconds))

    def of(self, name: str, model: str, connections: int) -> list[Slice]:
        wanted = (name, model, connections)
        for line, own in zip(self.lines, self.slices, strict=True):
            if (line.name, line.model, line.connections) == wanted:
                return own
        return []

    def limits(self, line: Line) -> list[Slice]:
        """For each round what could be reached."""
        bare = self.of("session.run", line.model, 1)
        http = self.of("HTTP alone", line.model, line.connections)
        if not http:
            return bare
        return [Slice(1 / (1 / h.rate + 1 / b.rate), h.micros + b.micros) for h, b in zip(http, bare, strict=True)]

    def table(self) -> Table:
        shown = Table(title="one core: what HTTP and the model cost by themselves, and what the runtime costs")
        shown.add_column("", no_wrap=True)
        for column in ("c", "requests/s", "best", "CPU µs", "least", "p50", "x limit", "CPU limit x"):
            shown.add_column(column, justify="right")
        for line, own in zip(self.lines, self.slices, strict=True):
            rates, micros = [each.rate for each in own], [each.micros for each in own]
            figures = (f"{median(rates):,.0f}", f"{max(rates):,.0f}", f"{median(micros):.1f}", f"{min(micros):.1f}")
            shown.add_row(line.name, str(line.connections), *figures, own[-1].p50, *self.ratios(line, own))
        return shown

    def ratios(self, line: Line, own: Sequence[Slice]) -> tuple[str, str]:
        if line.name in BASIC:
            return "", ""
        pairs = list(zip(own, self.limits(line), strict=True))
        rate = median(mine.rate / limit.rate for mine, limit in pairs)
        return f"{rate:.2f}", f"{median(limit.micros / mine.micros for mine, limit in pairs):.2f}"


def bench(seconds: float, rounds: int, only: str, console: Console) -> int:
    """The exit code: 1 when a request failed."""
    wrk = program("wrk")
    if wrk.missing:
        console.print(f"the limit is not measured, there is no wrk: {wrk.missing}", highlight=False)
        return 0
    if not is_trained():
        subprocess.run([sys.executable, str(subjects.FRAUD / "train.py")], check=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "image.onnx").write_bytes(convnet().SerializeToString())
        image = np.random.default_rng(5).normal(size=IMAGE).astype(np.float32)
        row = np.zeros((1, 7), np.float32)
        bares = {"fraud": Bare(subjects.MODEL, "features", row), "image": Bare(folder / "image.onnx", "image", image)}
        servers = Servers(stack, folder)
        found = [
            Line("session.run", 1, "fraud"),
            *small(servers),
            Line("session.run", 1, "image"),
            *large(servers, image),
        ]
        lines = [each for each in found if not only or each.name in BASIC or only in each.name]
        each = max(1.0, seconds / (rounds * len(lines)))
        console.print(f"{rounds} rounds of {len(lines)} lines, {each:.1f} s each", highlight=False)
        measuring = Bench(lines, bares, wrk)
        measuring.run(rounds, each)
        console.print(measuring.table())
        for start in servers.told():
            console.print(start, highlight=False)
        for name in servers.moved():
            console.print(f"{name} moved its runs to threads: its lines mix two ways of running", highlight=False)
    return command.exit_code(sum(one.broken for own in measuring.slices for one in own), console)


def main() -> int:
    parser = command.parser(__doc__)
    parser.add_argument("--only", default="", help="of the runtime's lines only those with these words")
    given = parser.parse_args()
    console = Console(width=120)
    command.tell_machine(console)
    return bench(given.seconds, given.rounds, given.only, console)


if __name__ == "__main__":
    sys.exit(main())
