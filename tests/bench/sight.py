"""`make bench`, fourth part: what traces cost, as ratios to the same Endpoint without traces, and what a scrape takes.

    python tests/bench/sight.py [--seconds 60] [--rounds 5]

Each line is an Endpoint in a twin of its own: with traces off, on for nobody, for one request of a hundred, for all. It
is asked for one row, which is the smallest request there is, and for many. The collector is a thread here, and no part
of the figures. Two processes that do the same can differ by some percent for as long as they live, so all are started
anew for each round, in another order, and the line that the others are compared with is there twice: what the two
differ by is what this machine cannot tell apart (`one_router.py` can). A ratio is within a round; shown are its mean
over the rounds and how far that may be off (its standard error).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples/fraud"))

import command
import machine
import subjects
import yaml
from rich.console import Console
from rich.table import Table
from run import ROWS, SEED, Measured, cpu_of, main, rounds, router_cpu_of
from subjects import Subject
from transactions import transactions

from collecting import Collector, collecting
from wye_operator.cli.watching import PAGES
from wye_operator.local.twin import Options, Twin

OFF, AGAIN, USUAL = "off", "off, again", "on, 1 %"
PERCENTS = {OFF: None, AGAIN: None, "on, nobody sampled": 0, USUAL: 1, "on, all": 100}
LOADS = ((1, 8), (1, 64), (ROWS, 8))  # rows of a request, connections
TURN = 0.5  # seconds of a line, before the next one has its turn
SCRAPES, EVERY = 20, 15.0  # how many are measured, and seconds between two of them where somebody scrapes


class Served(NamedTuple):
    """An Endpoint that answers; `pages` are those of its metrics."""

    port: int
    key: str
    pages: list[str]


class Line(NamedTuple):
    """One of the table."""

    traces: str
    rows: int
    connections: int


Slices = Mapping[Line, Sequence[Measured]]


class Round(NamedTuple):
    """The slices of each line, and what a scrape costs."""

    slices: Slices
    scrape: float


def write(folder: Path, percent: int | None, collector: Collector) -> None:
    """The fraud example's network behind a router."""
    subjects.write_endpoint(folder, 0)
    if percent is not None:
        manifest: dict[str, Any] = yaml.safe_load((folder / "endpoint.yaml").read_text())
        manifest["spec"]["tracing"] = {"endpoint": collector.url, "samplingPercent": percent}
        (folder / "endpoint.yaml").write_text(yaml.safe_dump(manifest))


@asynccontextmanager
async def endpoint(
    folder: Path, name: str, collector: Collector, program: tuple[str, ...] | None = None
) -> AsyncIterator[Served]:
    """One that is ready; `program` runs in the place of wye-runtime."""
    write(folder, PERCENTS[name], collector)
    async with Twin(folder, Options(port=0, program=program)) as twin:
        await twin.wait_for(lambda status: status.ready and status.settled, subjects.STARTS_WITHIN)
        keys = twin.keys("fraud")
        assert keys is not None
        pages = [url + PAGES["-router-" in name] for name, url in twin.inner_urls("fraud").items()]
        yield Served(int(twin.url("fraud").rsplit(":", 1)[1]), keys.primary, pages)


async def started(stack: AsyncExitStack, folder: Path, collector: Collector, first: int) -> dict[str, Served]:
    """All Endpoints, by what they do; another one is the first each time."""
    names = list(PERCENTS)
    return {
        name: await stack.enter_async_context(endpoint(place_of(folder, name), name, collector))
        for name in names[first:] + names[:first]
    }


def place_of(folder: Path, name: str) -> Path:
    return folder / f"line-{list(PERCENTS).index(name)}"


def asked(folder: Path, served: Mapping[str, Served]) -> dict[Line, Subject]:
    """The lines of the table, in its order."""
    rows, _ = transactions(ROWS, SEED)
    found = {}
    for count, connections in LOADS:
        bodies = [subjects.inference(rows[at : at + count]) for at in range(0, ROWS, count)]
        for name in (name for name in PERCENTS if name in served):
            port, key, _ = served[name]
            infers = [subjects.http("/v2/models/fraud/infer", body, key) for body in bodies]
            [one] = subjects.served(name, port, place_of(folder, name), infers, (connections,))
            found[Line(name, count, connections)] = one
    return found


async def one_round(seconds: float, collector: Collector, first: int) -> Round:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        async with AsyncExitStack() as stack:
            served = await started(stack, folder, collector, first)
            found = asked(folder, served)
            turns = max(1, round(seconds / len(found) / TURN))
            slices = await rounds(list(found.values()), turns, seconds / len(found) / turns)
            scrape = await asyncio.to_thread(scraped, served[OFF].pages, place_of(folder, OFF))
    return Round(dict(zip(found, slices, strict=True)), scrape)


def scraped(pages: Sequence[str], place: Path) -> float:
    """Processor seconds of router and runtime for their pages of metrics, once."""
    pids = machine.processes_of(place)
    before = machine.cpu_seconds(pids)
    for _ in range(SCRAPES):
        for page in pages:
            with urllib.request.urlopen(page, timeout=10) as answer:
                answer.read()
    return (machine.cpu_seconds(pids) - before) / SCRAPES


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
    found: list[Round] = []
    with collecting() as collector:
        for number in command.rounds(count, console):
            found.append(await one_round(seconds / count, collector, number % len(PERCENTS)))
        taken = collector.posts
    per_round = [each.slices for each in found]
    console.print(table(per_round))
    scrape = median(each.scrape for each in found)
    told = f"a scrape of both takes {scrape * 1e3:.1f} ms, every {EVERY:g} s {scrape / EVERY:.2%} of a processor"
    console.print(told, highlight=False)
    console.print(f"the collector took {taken} messages", highlight=False)
    failed = sum(one.failures for slices in per_round for own in slices.values() for one in own)
    return command.exit_code(failed, console)


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
