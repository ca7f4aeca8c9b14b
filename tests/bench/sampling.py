"""`make bench`, fifth part: what a sampled request costs, from one router in which the share of them is switched.

    python tests/bench/sampling.py [--seconds 60] [--rounds 5]

Two processes that do the same differ by some percent for as long as they live (`sight.py`), and one sampled request of
a hundred is less than that. So here every share is measured in the same router and runtime: for each turn it gets other
routes, without those that draw lots or with a share in them, in an order by lot. A difference is to the turn beside it
without draws; its standard error is over all turns. What a router that traces has besides these routes (a mark on each
connection, a question of the access log) is in all lines.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import command
from rich.console import Console
from rich.table import Table
from run import Load, Measured, cpu_of, load, main, router_cpu_of

import sight
from collecting import Collector, collecting
from wye_operator.local import envoys, files, routers
from wye_operator.plan.wanted import RouterPlan
from wye_operator.render import envoy, inside
from wye_operator.render.resources import Json, canonical

OFF = -1  # no draws
SHARES = (OFF, 0, 1, 100)  # percent
NAMES = {OFF: "no draws", 0: "nobody", 1: "1 %", 100: "all"}
TURN, SETTLED = 0.5, 0.2  # seconds of a turn, and before it
PATIENCE = 10.0  # for routers to take other routes
Slices = dict[int, list[Measured]]  # by share, turn by turn


class Line(NamedTuple):
    """One of the table, with what was measured of it in all rounds."""

    share: int
    rows: int
    connections: int
    own: list[Measured]
    without: list[Measured]  # beside it, with no draws


class Switch:
    """A router whose share can be set; for the twin it stands in the place of `render.envoy`, which gives the rest."""

    def __init__(self) -> None:
        self.share = OFF
        self.admin = ""

    def __getattr__(self, name: str) -> object:
        return getattr(envoy, name)

    def bootstrap(self, router: RouterPlan, place: envoy.Place) -> bytes:
        if place.admin.port:  # not of one that is only compared with
            self.admin = f"http://{place.admin.host}:{place.admin.port}"
        return envoy.bootstrap(router, place)

    def route_files(self, router: RouterPlan, place: envoy.Place) -> dict[str, bytes]:
        self.latest = router, place
        found = envoy.route_files(router, place)
        body = json.loads(found["rds.json"])
        for configuration in body["resources"]:
            for host in configuration["virtual_hosts"]:
                host["routes"] = [
                    route for route in host["routes"] if route.get("name") != inside.LISTENER or self.draws(route)
                ]
        return found | {"rds.json": canonical(body)}

    def draws(self, route: Json) -> bool:
        """Whether a route that draws stays, with this share."""
        route["match"]["runtime_fraction"]["default_value"]["numerator"] = self.share * 100
        return self.share != OFF

    async def set(self, share: int) -> None:
        """Percent of requests that are sampled from now on."""
        before, self.share = await asyncio.to_thread(self.updates), share
        folder = Path(self.latest[1].routes)
        if not files.swap(folder, files.contents(folder) | self.route_files(*self.latest)):
            return
        end = time.monotonic() + PATIENCE
        while await asyncio.to_thread(self.updates) == before:
            assert time.monotonic() < end, "the router does not take other routes"
            await asyncio.sleep(0.01)

    def updates(self) -> str:
        """How often the router took routes."""
        with urllib.request.urlopen(f"{self.admin}/stats?filter=rds.*update_success", timeout=10) as answer:
            return str(answer.read())


@asynccontextmanager
async def switched(
    folder: Path, collector: Collector, switch: Switch
) -> AsyncIterator[dict[sight.Line, sight.Subject]]:
    """An Endpoint that is ready, with what is asked of it."""
    before = routers.render, envoys.render
    routers.render = envoys.render = switch  # type: ignore[assignment]
    try:
        async with sight.endpoint(sight.place_of(folder, sight.USUAL), sight.USUAL, collector) as served:
            yield sight.asked(folder, {sight.USUAL: served})
    finally:
        routers.render, envoys.render = before


async def measured(generator: Load, switch: Switch, subject: sight.Subject, seconds: float) -> Slices:
    """Turn by turn, each share once in each."""
    found: Slices = {share: [] for share in SHARES}
    for _ in range(max(1, round(seconds / len(SHARES) / TURN))):
        for share in random.sample(SHARES, len(SHARES)):
            await switch.set(share)
            await generator.measure(subject, SETTLED)
            found[share].append(await generator.measure(subject, TURN))
    return found


async def one_round(seconds: float, collector: Collector) -> list[Line]:
    switch = Switch()
    with tempfile.TemporaryDirectory() as made:
        async with switched(Path(made), collector, switch) as asked, load() as generator:
            found = []
            for of, subject in asked.items():
                slices = await measured(generator, switch, subject, seconds / len(asked))
                found += [Line(share, of.rows, of.connections, slices[share], slices[OFF]) for share in SHARES]
    return found


def joined(lines: Sequence[Line]) -> Line:
    """The same line of all rounds."""
    every = lines[0]
    return every._replace(
        own=[one for line in lines for one in line.own], without=[one for line in lines for one in line.without]
    )


def table(lines: Sequence[Line]) -> Table:
    shown = Table(title="v2 infer through a router that traces, JSON; x and more: to no draws")
    shown.add_column("sampled", no_wrap=True)
    for column in ("rows", "c", "requests/s", "CPU µs", "more µs", "of it router", "x requests/s", "x CPU"):
        shown.add_column(column, justify="right")
    for line in lines:
        figures = compared(line) if line.share != OFF else ()
        rate, spent = f"{median(one.rate for one in line.own):,.0f}", f"{cpu_of(line.own) * 1e6:.1f}"
        shown.add_row(NAMES[line.share], str(line.rows), str(line.connections), rate, spent, *figures)
    return shown


def compared(line: Line) -> tuple[str, ...]:
    """Turn by turn."""
    pairs = [([own], [without]) for own, without in zip(line.own, line.without, strict=True)]
    return (
        sight.with_error([(cpu_of(own) - cpu_of(without)) * 1e6 for own, without in pairs], 1),
        sight.with_error([(router_cpu_of(own) - router_cpu_of(without)) * 1e6 for own, without in pairs], 1),
        sight.with_error([own[0].rate / without[0].rate for own, without in pairs], 3),
        sight.with_error([cpu_of(own) / cpu_of(without) for own, without in pairs], 3),
    )


async def bench(seconds: float, count: int, console: Console) -> int:
    """The exit code: 1 when a request failed."""
    command.tell_machine(console)
    found: list[list[Line]] = []
    with collecting() as collector:
        for number in range(count):
            console.print(f"round {number + 1} of {count}: the servers start", highlight=False)
            found.append(await one_round(seconds / count, collector))
        console.print(f"the collector took {collector.posts} messages", highlight=False)
    console.print(table([joined(lines) for lines in zip(*found, strict=True)]))
    return command.exit_code(sum(one.failures for lines in found for line in lines for one in line.own), console)


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
