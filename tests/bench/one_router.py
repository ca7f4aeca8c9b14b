"""`make bench`, fifth part: what metrics and 1 % traces cost a request, within one router and one runtime.

    python tests/bench/one_router.py [--seconds 60] [--rounds 5]

Two processes that do the same differ by some percent for as long as they live (`sight.py`), and what is looked for is
less than that. So the router of an Endpoint with traces has more data ports here, each with clusters of its own that
lead to the same instance: one that traces nothing; and two that neither trace nor keep a figure of a request. Before
each turn the runtime is told whether it counts (`switched.py`). What the two with neither differ by is what this
machine cannot tell apart.

Whose turn it is changes fourteen times a second, in an order by lot; the other ports' connections stand idle. A ratio
is to both turns with neither in the same draw. Shown are the means of the middle half of all ratios, and how far they
may be off (their standard error, from drawing the turns again).

What router and runtime send to the collector once a second falls into anybody's turn, so it is in no difference and is
measured by itself: the processor time of a while in which nothing is asked, after requests of which 1 % were sampled
and after others. In all lines are the health checks of all these clusters, and what a router does for its figures every
five seconds. Nobody scrapes (`sight.py` measures what that takes).
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median, stdev
from typing import NamedTuple

import command
from rich.console import Console
from rich.table import Table
from run import Kind, Load, Turn, load, main
from subjects import Subject
from switched import COUNTED, UNCOUNTED

import sight
from collecting import Collector, collecting
from wye_operator.cli.samples import ALL, of_router, samples
from wye_operator.cli.watching import PAGES
from wye_operator.figures import ANSWERED, LIVE, TRAFFIC
from wye_operator.local import envoys, routers
from wye_operator.local.ports import free_port
from wye_operator.plan.wanted import RouterPlan
from wye_operator.plan.world import Address
from wye_operator.render import envoy
from wye_operator.render.listener import data_listener
from wye_operator.render.resources import Json, canonical, discovery, watched
from wye_operator.render.routes import route_configuration

TURN, SETTLED = 0.05, 0.02  # seconds of a turn, and before it: what was sent in the one before is answered then
BURST, REST = 1.0, 1.7  # seconds of requests, and after them: router and runtime send their spans once a second
SENDING = 0.15  # of all time is for that,
BURSTS = sight.Line(sight.USUAL, rows=1, connections=64)  # and of these requests
DRAWN_AGAIN = 1000  # how often


class Way(NamedTuple):
    """A data port, the Endpoint's own or one beside it, and whether requests that come there are counted."""

    name: str
    counted: bool


NEITHER, AGAIN = Way("bare", counted=False), Way("bare-again", counted=False)
METRICS = Way("untraced", counted=True)
OWN = Way("", counted=True)
WAYS = {NEITHER: "neither", AGAIN: "neither, again", METRICS: "metrics", OWN: "metrics, 1 %"}


class Line(NamedTuple):
    """One of the table, with its turns; those of the same draw have the same place in each line.

    A draw is left out where the machine stood still for a whole turn, so that nothing was answered in it.
    """

    way: Way
    rows: int
    connections: int
    turns: list[Turn]


class MorePorts:
    """For the twin it stands in the place of `render.envoy`."""

    def __init__(self) -> None:
        self.ports = {way: free_port() for way in WAYS if way != OWN}

    def __getattr__(self, name: str) -> object:
        return getattr(envoy, name)

    def bootstrap(self, router: RouterPlan, place: envoy.Place) -> bytes:
        made = json.loads(envoy.bootstrap(router, place))
        made["static_resources"]["listeners"] += [
            listener(way, port, router, place) for way, port in self.ports.items()
        ]
        return canonical(made)

    def route_files(self, router: RouterPlan, place: envoy.Place) -> dict[str, bytes]:
        files = envoy.route_files(router, place)
        clusters = json.loads(files["cds.json"])
        clusters["resources"] += [another(way, each) for way in self.ports for each in clusters["resources"]]
        more = {f"{way.name}.json": routes(way, router) for way in self.ports}
        return files | {"cds.json": canonical(clusters)} | more


def listener(way: Way, port: int, router: RouterPlan, place: envoy.Place) -> Json:
    """A data port as that of an Endpoint without traces. Figures of a prefix that is not the routers' are not kept."""
    untraced = replace(router.listener, tracing=None)
    made = data_listener(untraced, Address(place.listen.host, port), place.routes, place.auth)
    manager = made["filter_chains"][0]["filters"][-1]["typed_config"]
    manager["rds"] = {"route_config_name": way.name, "config_source": watched(place.routes, f"{way.name}.json")}
    manager["stat_prefix"] = manager["stat_prefix"] if way.counted else way.name
    return made | {"name": way.name}


def routes(way: Way, router: RouterPlan) -> bytes:
    """Those of an Endpoint without traces, to clusters of its own."""
    shares = tuple(replace(share, cluster=named(way, share.cluster)) for share in router.routes.shares)
    pins = tuple(replace(pin, cluster=named(way, pin.cluster)) for pin in router.routes.pins)
    made = route_configuration(replace(router.routes, shares=shares, pins=pins, sampling=None))
    return discovery(router.routes.version, made | {"name": way.name})


def another(way: Way, cluster: Json) -> Json:
    """A cluster with the same addresses. Of a name with a dot no figure is kept."""
    name = named(way, cluster["name"])
    return cluster | {"name": name} | ({} if way.counted else {"alt_stat_name": f"wye.{name}"})


def named(way: Way, cluster: str) -> str:
    return f"{cluster}~{way.name}"


@asynccontextmanager
async def served(folder: Path, collector: Collector) -> AsyncIterator[tuple[sight.Served, dict[Way, int]]]:
    """An Endpoint that is ready, and the ports of all ways."""
    before, ports = routers.render, MorePorts()
    switch_of(folder).write_bytes(COUNTED)
    program = (sys.executable, str(Path(__file__).with_name("switched.py")), str(switch_of(folder)))
    routers.render = envoys.render = ports  # type: ignore[assignment]
    try:
        async with sight.endpoint(sight.place_of(folder, sight.USUAL), sight.USUAL, collector, program) as one:
            yield one, {**ports.ports, OWN: one.port}
    finally:
        routers.render = envoys.render = before


def switch_of(folder: Path) -> Path:
    """The file that tells the runtime whether it counts."""
    return folder / "counts"


class Asking:
    """Who asks an Endpoint by turns, and how many requests it sent each way."""

    def __init__(self, generator: Load, ports: Mapping[Way, int], switch: Path) -> None:
        self.generator, self.ports, self.switch = generator, ports, switch
        self.sent: Counter[Way] = Counter()
        self.failures = 0

    async def by_turns(
        self, subject: Subject, ways: Sequence[Way], seconds: float, turn: float, rest: float = 0.0
    ) -> dict[Way, list[Turn]]:
        requests = subject.job["requests"]
        told = {True: COUNTED.decode(), False: UNCOUNTED.decode()}
        kinds: list[Kind] = [{"port": self.ports[way], "requests": requests, "told": told[way.counted]} for way in ways]
        times = {"turn": turn, "settled": SETTLED, "rest": rest}
        found = await self.generator.by_turns(subject, kinds, str(self.switch), seconds, **times)
        self.sent.update(dict(zip(ways, found.sent, strict=True)))
        self.failures += found.failures
        return {way: [turn for turn in found.turns if turn.kind == kind] for kind, way in enumerate(ways)}


class Round(NamedTuple):
    """All lines, what the collector costs, and numbers of requests."""

    lines: list[Line]
    sending: list[float]  # processor seconds, after each burst
    failures: int
    to_count: int  # sent to ports that count them,
    others: int  # and to the others
    by_router: int  # that it counted
    by_runtime: int


async def one_round(seconds: float, collector: Collector) -> Round:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        async with served(folder, collector) as (one, ports), load() as generator:
            asking, asked = Asking(generator, ports, switch_of(folder)), sight.asked(folder, {sight.USUAL: one})
            before = await asyncio.to_thread(counted, one)
            lines = []
            for of, subject in asked.items():
                turns = await asking.by_turns(subject, list(WAYS), seconds * (1 - SENDING) / len(asked), TURN)
                draws = [draw for draw in zip(*turns.values(), strict=True) if all(turn.requests for turn in draw)]
                lines += [
                    Line(way, of.rows, of.connections, [draw[at] for draw in draws]) for at, way in enumerate(turns)
                ]
            bursts = await asking.by_turns(asked[BURSTS], (METRICS, OWN), seconds * SENDING, BURST, REST)
            router, runtime = await asyncio.to_thread(counted, one)
    to_count = sum(count for way, count in asking.sent.items() if way.counted)
    return Round(
        lines,
        [own.after - other.after for own, other in zip(bursts[OWN], bursts[METRICS], strict=True)],
        asking.failures,
        to_count,
        others=asking.sent.total() - to_count,
        by_router=router - before[0],
        by_runtime=runtime - before[1],
    )


def counted(one: sight.Served) -> tuple[int, int]:
    """How many requests router and runtime counted so far."""
    router = runtime = 0.0
    for page in one.pages:
        with urllib.request.urlopen(page, timeout=10) as answer:
            text = answer.read().decode()
        if page.endswith(PAGES[True]):
            router += of_router(text)[ALL].answers
        answers = ((labels, value) for name, labels, value in samples(text) if name == ANSWERED)
        runtime += sum(value for labels, value in answers if labels[TRAFFIC] == LIVE)
    return int(router), int(runtime)


def joined(lines: Sequence[Line]) -> Line:
    """The same line of all rounds."""
    return lines[0]._replace(turns=[turn for line in lines for turn in line.turns])


Figure = Callable[[Turn], float]


def rate_of(turn: Turn) -> float:
    """Requests a second."""
    return turn.requests / turn.seconds


def cpu_of(turn: Turn) -> float:
    """Processor seconds of a request, router and runtime."""
    return (turn.router + turn.model) / turn.requests


def router_of(turn: Turn) -> float:
    """The router's part."""
    return turn.router / turn.requests


def runtime_of(turn: Turn) -> float:
    """The runtime's."""
    return turn.model / turn.requests


FIGURES = {"requests/s": rate_of, "CPU": cpu_of, "router": router_of, "runtime": runtime_of}


def ratios(line: Line, lines: Sequence[Line], of: Figure) -> list[float]:
    """Of each turn to those of the same draw with neither; of the second of these to the first."""
    first, second = (like(lines, way, line) for way in (NEITHER, AGAIN))
    if line.way == AGAIN:
        return [of(own) / of(one) for own, one in zip(line.turns, first.turns, strict=True)]
    both = zip(line.turns, first.turns, second.turns, strict=True)
    return [of(own) / fmean((of(one), of(other))) for own, one, other in both]


def like(lines: Sequence[Line], way: Way, line: Line) -> Line:
    """The same requests another way."""
    return next(each for each in lines if each == line._replace(way=way, turns=each.turns))


def middle(found: Sequence[float]) -> float:
    """The mean of the middle half: what else the machine did in a turn, or did not, moves it little."""
    aside = len(found) // 4
    return fmean(sorted(found)[aside : len(found) - aside])


def error(found: Sequence[float]) -> float:
    """The standard error of that mean."""
    return stdev(middle(random.choices(found, k=len(found))) for _ in range(DRAWN_AGAIN))


def figure(found: Sequence[float]) -> str:
    return f"{middle(found):.4f} ± {error(found):.4f}"


def table(lines: Sequence[Line]) -> Table:
    shown = Table(title="v2 infer through the router, JSON; x: to neither")
    shown.add_column("on", no_wrap=True)
    for column in ("rows", "c", "turns", "requests/s", "CPU µs", *(f"x {name}" for name in FIGURES)):
        shown.add_column(column, justify="right")
    for line in lines:
        figures = [figure(ratios(line, lines, of)) for of in FIGURES.values()] if line.way != NEITHER else []
        rate, spent = f"{median(map(rate_of, line.turns)):,.0f}", f"{median(map(cpu_of, line.turns)) * 1e6:.1f}"
        shown.add_row(
            WAYS[line.way], str(line.rows), str(line.connections), str(len(line.turns)), rate, spent, *figures
        )
    return shown


def of_all_loads(lines: Sequence[Line]) -> list[str]:
    """The means over the loads."""
    said = []
    for way in list(WAYS)[1:]:
        own = [line for line in lines if line.way == way]
        means = ", ".join(
            f"{name} x {mean_of([ratios(line, lines, of) for line in own])}" for name, of in FIGURES.items()
        )
        said.append(f"{WAYS[way]}, mean of the loads: {means}")
    return said


def mean_of(loads: Sequence[Sequence[float]]) -> str:
    off = sum(error(load) ** 2 for load in loads) ** 0.5 / len(loads)
    return f"{fmean(map(middle, loads)):.4f} ± {off:.4f}"


async def bench(seconds: float, count: int, console: Console) -> int:
    """The exit code: 1 when a request failed."""
    command.tell_machine(console)
    found: list[Round] = []
    with collecting() as collector:
        for _ in command.rounds(count, console):
            found.append(await one_round(seconds / count, collector))
            for said in of_all_loads(found[-1].lines):
                console.print(f"  {said}", highlight=False, soft_wrap=True)
        console.print(f"the collector took {collector.posts} messages", highlight=False)
    lines = [joined(same) for same in zip(*(each.lines for each in found), strict=True)]
    console.print(table(lines))
    for said in (*of_all_loads(lines), sending(found), told(found)):
        console.print(said, highlight=False, soft_wrap=True)
    return command.exit_code(sum(each.failures for each in found), console)


def sending(found: Sequence[Round]) -> str:
    """In a second of requests each sends twice: once meanwhile, and what is left after it."""
    each = [seconds * 1e3 for one in found for seconds in one.sending]
    off = stdev(each) / len(each) ** 0.5 if len(each) > 1 else 0.0
    return f"what is sent after a second of requests takes {fmean(each):.2f} ± {off:.2f} ms of the processor"


def told(found: Sequence[Round]) -> str:
    """Who counted what: where all is well the router those that were to be counted, and the runtime nearly those.

    It is told of a turn while the last requests of the one before are with it.
    """
    to_count, others = sum(each.to_count for each in found), sum(each.others for each in found)
    router, runtime = sum(each.by_router for each in found), sum(each.by_runtime for each in found)
    return f"{to_count} requests were to be counted, {others} not: the router counted {router}, the runtime {runtime}"


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
