"""`make bench`, fifth part: what traces cost a request, from one router that has each share of them for another host.

    python tests/bench/sampling.py [--seconds 60] [--rounds 5]

Two processes that do the same differ by some percent for as long as they live (`sight.py`), and one sampled request of
a hundred is less than that. So here every share is measured in the same router and runtime and over the same
connections: the router has its routes once for each share, without those that draw lots or with a share in them, and a
request's `Host` says which it meets. Who is asked for changes five times a second, in an order by lot; a ratio is to
the turn beside it without draws. Shown are the median of all turns and how far that may be off (the standard error
of a median of as many, drawn again from them).

In all lines, so in no difference: what a router that traces has besides these routes (a mark on each connection, a
question of the access log), and what router and runtime write to the collector, which they do once a second.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from statistics import median, stdev
from typing import NamedTuple

import command
from rich.console import Console
from rich.table import Table
from run import Load, Turn, load, main
from subjects import Subject

import sight
from collecting import Collector, collecting
from wye_operator.local import envoys, routers
from wye_operator.plan.wanted import RouterPlan
from wye_operator.render import envoy, inside
from wye_operator.render.resources import Json, canonical

OFF, USUAL = -1, 1
SHARES = (OFF, 0, USUAL)  # percent; -1: no draws
NAMES = {OFF: "no draws", 0: "nobody", USUAL: "1 %"}
TURN, SETTLED = 0.15, 0.05  # seconds of a turn, and before it: what was sent in the one before is answered then
DRAWN_AGAIN = 500  # how often


class Line(NamedTuple):
    """One of the table, with what was measured of it in all rounds, and of the turns beside them without draws."""

    share: int
    rows: int
    connections: int
    own: list[Turn]
    without: list[Turn]


class ByHost:
    """For the twin it stands in the place of `render.envoy`, which gives all but the routes."""

    def __getattr__(self, name: str) -> object:
        return getattr(envoy, name)

    def route_files(self, router: RouterPlan, place: envoy.Place) -> dict[str, bytes]:
        found = envoy.route_files(router, place)
        body = json.loads(found["rds.json"])
        for configuration in body["resources"]:
            [every] = configuration["virtual_hosts"]
            configuration["virtual_hosts"] = [every, *(drawing(every, share) for share in SHARES)]
        return found | {"rds.json": canonical(body)}


def host_of(share: int) -> str:
    return f"share{share}"


def drawing(every: Json, share: int) -> Json:
    """The same routes for one host, of which those that draw have this share."""
    routes = [route for route in deepcopy(every["routes"]) if share != OFF or route.get("name") != inside.LISTENER]
    for route in routes:
        if route.get("name") == inside.LISTENER:
            route["match"]["runtime_fraction"]["default_value"]["numerator"] = share * 100
    return every | {"name": f"{every['name']}-{host_of(share)}", "domains": [host_of(share)], "routes": routes}


@asynccontextmanager
async def served(folder: Path, collector: Collector) -> AsyncIterator[dict[sight.Line, Subject]]:
    """An Endpoint that is ready, with what is asked of it."""
    before = routers.render, envoys.render
    routers.render = envoys.render = ByHost()  # type: ignore[assignment]
    try:
        async with sight.endpoint(sight.place_of(folder, sight.USUAL), sight.USUAL, collector) as one:
            yield sight.asked(folder, {sight.USUAL: one})
    finally:
        routers.render, envoys.render = before


async def measured(generator: Load, of: sight.Line, subject: Subject, seconds: float) -> list[Line]:
    requests = subject.job["requests"]
    kinds = [[one.replace("Host: bench", f"Host: {host_of(share)}", 1) for one in requests] for share in SHARES]
    turns = await generator.by_turns(subject, kinds, seconds, turn=TURN, settled=SETTLED)
    by_share = {share: [turn for turn in turns if SHARES[turn.kind] == share] for share in SHARES}
    return [Line(share, of.rows, of.connections, by_share[share], by_share[OFF]) for share in SHARES]


async def one_round(seconds: float, collector: Collector) -> list[Line]:
    with tempfile.TemporaryDirectory() as made:
        async with served(Path(made), collector) as asked, load() as generator:
            for subject in asked.values():
                await generator.measure(subject, 1.0)
            return [
                line
                for of, subject in asked.items()
                for line in await measured(generator, of, subject, seconds / len(asked))
            ]


def joined(lines: Sequence[Line]) -> Line:
    """The same line of all rounds."""
    every = lines[0]
    return every._replace(
        own=[one for line in lines for one in line.own], without=[one for line in lines for one in line.without]
    )


def rate_of(turn: Turn) -> float:
    """Requests a second."""
    return turn.requests / turn.seconds


def cpu_of(turn: Turn) -> float:
    """Processor seconds of a request."""
    return (turn.router + turn.model) / turn.requests


def router_of(turn: Turn) -> float:
    """The router's part of it."""
    return turn.router / turn.requests


def table(lines: Sequence[Line]) -> Table:
    shown = Table(title="v2 infer through a router that traces, JSON; x and more: to no draws")
    shown.add_column("sampled", no_wrap=True)
    for column in ("rows", "c", "turns", "requests/s", "CPU µs", "more µs", "of it router", "x requests/s", "x CPU"):
        shown.add_column(column, justify="right")
    for line in lines:
        figures = compared(line) if line.share != OFF else ()
        rate, spent = f"{median(map(rate_of, line.own)):,.0f}", f"{median(map(cpu_of, line.own)) * 1e6:.1f}"
        where = (str(line.rows), str(line.connections), str(len(line.own)))
        shown.add_row(NAMES[line.share], *where, rate, spent, *figures)
    return shown


def compared(line: Line) -> tuple[str, ...]:
    """Turn by turn."""

    def each(of: Callable[[Turn, Turn], float]) -> list[float]:
        return [of(own, without) for own, without in zip(line.own, line.without, strict=True)]

    return (
        with_error(each(lambda own, without: (cpu_of(own) - cpu_of(without)) * 1e6), 1),
        with_error(each(lambda own, without: (router_of(own) - router_of(without)) * 1e6), 1),
        with_error(each(lambda own, without: rate_of(own) / rate_of(without)), 4),
        with_error(each(lambda own, without: cpu_of(own) / cpu_of(without)), 4),
    )


def with_error(found: Sequence[float], digits: int) -> str:
    again = [median(random.choices(found, k=len(found))) for _ in range(DRAWN_AGAIN)]
    return f"{median(found):.{digits}f} ± {stdev(again):.{digits}f}"


async def bench(seconds: float, count: int, console: Console) -> int:
    """The exit code."""
    command.tell_machine(console)
    found: list[list[Line]] = []
    with collecting() as collector:
        for number in range(count):
            console.print(f"round {number + 1} of {count}: the servers start", highlight=False)
            found.append(await one_round(seconds / count, collector))
        console.print(f"the collector took {collector.posts} messages", highlight=False)
    console.print(table([joined(lines) for lines in zip(*found, strict=True)]))
    return 0


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
