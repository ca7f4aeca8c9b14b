"""`make bench`, fourth part: what traces cost, as ratios to the same Endpoint without them, from one run.

    python tests/bench/traces.py [--seconds 60] [--rounds 5]

Each line is an Endpoint in a twin of its own, with metrics as ever: traces off, on for nobody, for one request of a
hundred, for all. It is asked for one row, which is the smallest request there is, and for many. The collector is a
thread here, and no part of the figures. Two processes that do the same can differ by some percent for as long as they
live, so all are started anew for each round, in another order, and a line without traces is there twice: what the two
differ by is what this machine cannot tell apart. A ratio is within a round, to both lines without; shown are its mean
over the rounds and how far that may be off (its standard error).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples/fraud"))

import command
import subjects
import yaml
from rich.console import Console
from rich.table import Table
from run import ROWS, SEED, Measured, cpu_of, main, rounds, router_cpu_of
from subjects import Subject
from transactions import transactions

from collecting import Collector, collecting
from wye_operator.local.twin import Options, Twin

OFF, AGAIN = "off", "off, again"
PERCENTS = {OFF: None, AGAIN: None, "on, nobody sampled": 0, "on, 1 %": 1, "on, all": 100}
LOADS = ((1, 8), (1, 64), (ROWS, 8))  # rows of a request, connections
TURN = 0.5  # seconds of a line, before the next one has its turn


class Line(NamedTuple):
    """One of the table."""

    traces: str
    rows: int
    connections: int


def write(folder: Path, percent: int | None, collector: Collector) -> None:
    """The fraud example's network behind a router."""
    subjects.write_endpoint(folder, 0)
    if percent is not None:
        manifest: dict[str, Any] = yaml.safe_load((folder / "endpoint.yaml").read_text())
        manifest["spec"]["tracing"] = {"endpoint": collector.url, "samplingPercent": percent}
        (folder / "endpoint.yaml").write_text(yaml.safe_dump(manifest))


@asynccontextmanager
async def endpoint(folder: Path, percent: int | None, collector: Collector) -> AsyncIterator[tuple[int, str]]:
    """Its port and key."""
    write(folder, percent, collector)
    async with Twin(folder, Options(port=0)) as twin:
        await twin.wait_for(lambda status: status.ready and status.settled, subjects.STARTS_WITHIN)
        keys = twin.keys("fraud")
        assert keys is not None
        yield int(twin.url("fraud").rsplit(":", 1)[1]), keys.primary


async def started(stack: AsyncExitStack, folder: Path, collector: Collector, first: int) -> dict[Line, Subject]:
    """All lines, their routers and models ready; in their order, whichever was started first."""
    rows, _ = transactions(ROWS, SEED)
    lines = list(PERCENTS.items())
    found: dict[Line, Subject] = {}
    for name, percent in lines[first:] + lines[:first]:
        place = folder / f"traced-{list(PERCENTS).index(name)}"
        port, key = await stack.enter_async_context(endpoint(place, percent, collector))
        for count, connections in LOADS:
            bodies = [subjects.inference(rows[at : at + count]) for at in range(0, ROWS, count)]
            infers = [subjects.http("/v2/models/fraud/infer", body, key) for body in bodies]
            [found[Line(name, count, connections)]] = subjects.served(name, port, place, infers, (connections,))
    return {line: found[line] for load in LOADS for name in PERCENTS if (line := Line(name, *load))}


async def one_round(seconds: float, collector: Collector, first: int) -> dict[Line, list[Measured]]:
    """The slices of each line."""
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            found = await started(stack, Path(folder), collector, first)
            turns = max(1, round(seconds / len(found) / TURN))
            slices = await rounds(list(found.values()), turns, seconds / len(found) / turns)
    return dict(zip(found, slices, strict=True))


Slices = Mapping[Line, Sequence[Measured]]
Figure = Callable[[Sequence[Measured]], float]


def without(slices: Slices, line: Line, of: Figure) -> float:
    """Of the same Endpoint without traces, both of them."""
    return fmean(of(slices[line._replace(traces=name)]) for name in (OFF, AGAIN))


def with_error(found: Sequence[float], digits: int) -> str:
    off_by = f" ± {stdev(found) / len(found) ** 0.5:.{digits}f}" if len(found) > 1 else ""
    return f"{fmean(found):.{digits}f}{off_by}"


def ratios(per_round: Sequence[Slices], line: Line, of: Figure) -> str:
    return with_error([of(slices[line]) / without(slices, line, of) for slices in per_round], 3)


def more(per_round: Sequence[Slices], line: Line) -> str:
    """Processor microseconds of a request."""
    return with_error([(cpu_of(slices[line]) - without(slices, line, cpu_of)) * 1e6 for slices in per_round], 1)


def rate_of(slices: Sequence[Measured]) -> float:
    return fmean(one.rate for one in slices)


def table(per_round: Sequence[Slices]) -> Table:
    """Medians over the rounds; ratios and differences to the lines without traces."""
    shown = Table(title="v2 infer through the router, JSON")
    shown.add_column("traces", no_wrap=True)
    for column in ("rows", "c", "requests/s", "CPU µs", "of it router", "more µs", "x off", "CPU x off"):
        shown.add_column(column, justify="right")
    for line in per_round[0]:
        own = [slices[line] for slices in per_round]
        shown.add_row(
            line.traces,
            str(line.rows),
            str(line.connections),
            f"{median(map(rate_of, own)):,.0f}",
            f"{median(map(cpu_of, own)) * 1e6:.1f}",
            f"{median(map(router_cpu_of, own)) * 1e6:.1f}",
            more(per_round, line),
            ratios(per_round, line, rate_of),
            ratios(per_round, line, cpu_of),
        )
    return shown


async def bench(seconds: float, count: int, console: Console) -> int:
    """The exit code: 1 when a request failed."""
    command.tell_machine(console)
    per_round: list[dict[Line, list[Measured]]] = []
    with collecting() as collector:
        for number in range(count):
            console.print(f"round {number + 1} of {count}: the servers start", highlight=False)
            per_round.append(await one_round(seconds / count, collector, number % len(PERCENTS)))
        taken = collector.posts
    console.print(table(per_round))
    console.print(f"the collector took {taken} messages", highlight=False)
    failed = sum(one.failures for slices in per_round for own in slices.values() for one in own)
    return command.exit_code(failed, console)


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
