"""`make bench`, fourth part: what traces cost, as ratios to the same Endpoint without them, from one run.

    python tests/bench/traces.py [--seconds 60] [--rounds 5]

Each line is an Endpoint in a twin of its own, with metrics as ever: traces off, on for nobody, for one request of a
hundred, for all. The collector is a thread here, and no part of the figures. Every round begins with another line; a
ratio is the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples/fraud"))

import command
import subjects
import yaml
from rich.console import Console
from rich.table import Table
from run import ROWS, SEED, Measured, cpu_of, main, rounds
from subjects import Subject
from transactions import transactions

from collecting import Collector, collecting
from wye_operator.local.twin import Options, Twin

OFF = "off"
PERCENTS = {OFF: None, "on, nobody sampled": 0, "on, 1 %": 1, "on, all": 100}
COUNTS = (8, 64)


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


async def started(stack: AsyncExitStack, folder: Path, collector: Collector) -> list[Subject]:
    """All lines, their routers and models ready."""
    rows, _ = transactions(ROWS, SEED)
    found: list[Subject] = []
    for number, (name, percent) in enumerate(PERCENTS.items()):
        place = folder / f"traced-{number}"
        port, key = await stack.enter_async_context(endpoint(place, percent, collector))
        infers = [subjects.http("/v2/models/fraud/infer", subjects.inference(row), key) for row in rows]
        found += subjects.served(name, port, place, infers, COUNTS)
    return found


def table(found: Sequence[Subject], slices: Sequence[Sequence[Measured]]) -> Table:
    """Medians over the rounds, and ratios to the line without traces."""
    shown = Table(title="v2 infer through the router, JSON, one row a request")
    shown.add_column("traces", no_wrap=True)
    for column in ("c", "requests/s", "CPU µs", "of it router", "x off", "CPU x off"):
        shown.add_column(column, justify="right")
    off = {each.connections: own for each, own in zip(found, slices, strict=True) if each.name == OFF}
    for subject, own in zip(found, slices, strict=True):
        base = off[subject.connections]
        rate = median(mine.rate / other.rate for mine, other in zip(own, base, strict=True))
        spent, router = cpu_of(base), sum(one.router_cpu for one in own) / sum(one.requests for one in own)
        shown.add_row(
            subject.name,
            str(subject.connections),
            f"{median(one.rate for one in own):,.0f}",
            f"{cpu_of(own) * 1e6:.1f}",
            f"{router * 1e6:.1f}",
            f"{rate:.3f}",
            f"{cpu_of(own) / spent:.3f}" if spent else "",
        )
    return shown


async def bench(seconds: float, count: int, console: Console) -> int:
    """The exit code: 1 when a request failed."""
    command.tell_machine(console)
    with tempfile.TemporaryDirectory() as folder, collecting() as collector:
        async with AsyncExitStack() as stack:
            found = await started(stack, Path(folder), collector)
            each = seconds / (count * len(found))
            console.print(f"{count} rounds of {len(found)} lines, {each:.2f} s each", highlight=False)
            slices = await rounds(found, count, each)
        taken = collector.posts
    console.print(table(found, slices))
    console.print(f"the collector took {taken} messages", highlight=False)
    return command.exit_code(sum(one.failures for own in slices for one in own), console)


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
