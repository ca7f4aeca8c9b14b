"""`make bench`: what the layers around a model cost, as ratios from one run.

    python tests/bench/run.py [--seconds 60] [--rounds 5]

Absolute figures say little: machines are shared and their speed moves. So every round measures every line for the same
time, in an order by lot, and a ratio is the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypedDict

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/fraud"))

import command
import machine
import subjects
from models import is_trained
from rich.console import Console
from rich.table import Table
from subjects import Subject
from transactions import as_request, transactions

ROWS, SEED = 64, 11
ALONE = "runtime, /score"
STATIC = "fast lane, no model"
MANY = (1, 8, 64)
WARM_SECONDS = 0.3
LONGEST_LINE = 64 << 20  # bytes; one that load.py answers has all turns


@dataclass(frozen=True, slots=True)
class Measured:
    """One slice: a subject, for a while."""

    requests: int
    failures: int
    seconds: float
    p50: float
    p99: float
    router_cpu: float
    model_cpu: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


class Turn(NamedTuple):
    """A while in which requests were of one kind; processor seconds of router and model, and of both after it."""

    kind: int
    requests: int
    seconds: float
    router: float
    model: float
    after: float


class Turns(NamedTuple):
    """All of them, and how many requests of each kind were sent in all, between them, too."""

    turns: list[Turn]
    sent: list[int]
    failures: int


class Kind(TypedDict):
    """Requests that have turns of their own; `told` is what the model reads in a file meanwhile."""

    port: int
    requests: list[str]
    told: str


class Load:
    """load.py as a process that answers a line with a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def measure(self, subject: Subject, seconds: float) -> Measured:
        routers, models = servers_of(subject)
        before = machine.cpu_seconds(routers), machine.cpu_seconds(models)
        result = await self._told(subject.job | {"seconds": seconds})
        router_cpu = machine.cpu_seconds(routers) - before[0]
        model_cpu = result.pop("cpu", machine.cpu_seconds(models) - before[1])
        return Measured(**result, router_cpu=router_cpu, model_cpu=model_cpu)

    async def by_turns(
        self, subject: Subject, kinds: Sequence[Kind], switch: str, seconds: float, **turn: float
    ) -> Turns:
        """What is measured of each kind of requests, turn by turn.

        `switch`: the file in which the model is told. Of `turn`: seconds that one is measured for, `settled`: and
        before it, `rest`: and after it, in which nothing is sent.
        """
        routers, models = servers_of(subject)
        more = {"kinds": kinds, "switch": switch, "seconds": seconds, "routers": routers, "models": models}
        result = await self._told(subject.job | more | turn)
        return Turns(**result | {"turns": [Turn(**turn) for turn in result["turns"]]})

    async def _told(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator ended; its message stands above")
        return dict(json.loads(line))


def servers_of(subject: Subject) -> tuple[list[int], list[int]]:
    """The processes of its routers, and those of its models."""
    pids = machine.processes_of(subject.folder) if subject.folder else {}
    routers = [pid for pid, name in pids.items() if name.startswith("envoy")]
    return routers, [pid for pid in pids if pid not in routers]


@asynccontextmanager
async def load() -> AsyncIterator[Load]:
    pipe = asyncio.subprocess.PIPE
    script = str(Path(__file__).with_name("load.py"))
    process = await asyncio.create_subprocess_exec(sys.executable, script, stdin=pipe, stdout=pipe, limit=LONGEST_LINE)
    try:
        yield Load(process)
    finally:
        process.kill()
        await process.wait()


async def started(stack: AsyncExitStack, folder: Path) -> list[Subject]:
    """All subjects, their servers ready."""
    rows, _ = transactions(ROWS, SEED)
    bodies = [as_request(row) for row in rows]
    found = [subjects.bare(rows)]
    scores = [subjects.http("/score", body) for body in bodies]
    port = await stack.enter_async_context(subjects.static(folder / "static"))
    found += subjects.served(STATIC, port, folder / "static", scores, MANY)
    port = await stack.enter_async_context(subjects.runtime(folder / "alone"))
    found += subjects.served(ALONE, port, folder / "alone", scores, MANY)
    infers = [subjects.http("/v2/models/fraud/infer", subjects.inference(row)) for row in rows]
    found += subjects.served("runtime, v2 infer", port, folder / "alone", infers, MANY)
    port = await stack.enter_async_context(subjects.runtime(folder / "ordinary", fast_lane="0"))
    found += subjects.served("without fast lane", port, folder / "ordinary", infers, MANY)
    for mirror in subjects.MIRRORS:
        place = folder / f"mirror-{mirror}"
        port, key = await stack.enter_async_context(subjects.endpoint(place, mirror))
        name = f"router, mirror {mirror} %" if mirror else "router, no mirror"
        found += subjects.served(name, port, place, [subjects.http("/score", body, key) for body in bodies])
    return found


async def rounds(found: Sequence[Subject], count: int, seconds: float) -> list[list[Measured]]:
    """The slices of every subject; each round by lot: what comes back on the machine every so often meets them all."""
    slices: list[list[Measured]] = [[] for _ in found]
    async with load() as generator:
        for subject in found:
            await generator.measure(subject, min(seconds, WARM_SECONDS))
        for _ in range(count):
            for at in random.sample(range(len(found)), len(found)):
                slices[at].append(await generator.measure(found[at], seconds))
    return slices


def table(found: Sequence[Subject], slices: Sequence[Sequence[Measured]]) -> Table:
    """Medians over the rounds; ratios within a round, then their median."""
    shown = Table(title="the fraud example's network, one row a request")
    shown.add_column("", no_wrap=True)
    for column in (
        "c",
        "requests/s",
        "CPU µs",
        "of it router",
        "p50 ms",
        "p99 ms",
        "x bare",
        "x limit",
        "x alone",
        "CPU x alone",
    ):
        shown.add_column(column, justify="right")
    bare = slices[0]
    for subject, own in zip(found, slices, strict=True):
        alone, static = (slices[like(found, name, subject)] for name in (ALONE, STATIC))
        compared = (to_bare(own, bare), to_limit(own, bare, static), *to_alone(own, alone))
        shown.add_row(subject.name, str(subject.connections), *row(own), *compared)
    return shown


def like(found: Sequence[Subject], name: str, subject: Subject) -> int:
    """Another server, with as many connections."""
    same = [i for i, each in enumerate(found) if each.name == name and each.connections == subject.connections]
    return same[0]


def row(own: Sequence[Measured]) -> tuple[str, ...]:
    router = router_cpu_of(own) * 1e6
    figures = (
        f"{median(each.rate for each in own):,.0f}",
        f"{cpu_of(own) * 1e6:.1f}",
        f"{router:.1f}" if router else "",
    )
    return *figures, f"{median(each.p50 for each in own):.3f}", f"{median(each.p99 for each in own):.3f}"


def to_bare(own: Sequence[Measured], bare: Sequence[Measured]) -> str:
    return f"{median(mine.rate / base.rate for mine, base in zip(own, bare, strict=True)):.3f}"


def to_limit(own: Sequence[Measured], bare: Sequence[Measured], static: Sequence[Measured]) -> str:
    """To what a server could reach that adds nothing to HTTP and to the model: 1 / (a static answer + a bare run)."""
    limits = [1 / (1 / http.rate + 1 / run.rate) for http, run in zip(static, bare, strict=True)]
    return f"{median(mine.rate / limit for mine, limit in zip(own, limits, strict=True)):.2f}"


def to_alone(own: Sequence[Measured], alone: Sequence[Measured]) -> tuple[str, str]:
    """Rate and processor time to the runtime's alone."""
    rate = median(mine.rate / base.rate for mine, base in zip(own, alone, strict=True))
    spent = cpu_of(alone)  # 0 where a slice was shorter than the kernel's tick
    return f"{rate:.2f}", f"{cpu_of(own) / spent:.2f}" if spent else ""


def router_cpu_of(slices: Sequence[Measured]) -> float:
    """The router's processor seconds for a request, over all rounds."""
    return sum(each.router_cpu for each in slices) / sum(each.requests for each in slices)


def cpu_of(slices: Sequence[Measured]) -> float:
    """Processor seconds for a request, router and model, over all rounds."""
    return sum(each.router_cpu + each.model_cpu for each in slices) / sum(each.requests for each in slices)


async def bench(seconds: float, count: int, console: Console) -> int:
    """The exit code: 1 when a request failed."""
    command.tell_machine(console)
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            console.print("starting the servers", highlight=False)
            found = await started(stack, Path(folder))
            each = seconds / (count * len(found))
            console.print(f"{count} rounds of {len(found)} lines, {each:.2f} s each", highlight=False)
            slices = await rounds(found, count, each)
            moved = subjects.moved(Path(folder))
    console.print(table(found, slices))
    for server in moved:
        console.print(f"{server} moved its runs to threads: its line mixes two ways of running", highlight=False)
    return command.exit_code(sum(one.failures for own in slices for one in own), console)


def main(description: str, bench: Callable[[float, int, Console], Coroutine[Any, Any, int]]) -> int:
    """The exit code of one that measures the fraud models."""
    given = command.parser(description).parse_args()
    if not is_trained():
        subprocess.run([sys.executable, str(subjects.FRAUD / "train.py")], check=True)
    return asyncio.run(bench(given.seconds, given.rounds, Console(width=132)))


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
