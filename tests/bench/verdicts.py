"""What `make bench-peers` found, as tables: every server beside ours, and every goal with what was reached.

A ratio is the median over the rounds of the ratio within a round: the machine's speed moves from round to round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rivals import GRPCIO, OURS, ROUTED, STATIC
from slices import Slice

BARE = "session.run, bare"
TABULAR, IMAGE = "fraud", "pages"
MET, MISSED, UNKNOWN = "met", "missed", "not measured"


@dataclass(frozen=True, slots=True)
class Cell:
    """One line. Only cells of one phase were measured in the same rounds."""

    phase: str
    rival: str
    model: str
    way: str
    connections: int


Results = Mapping[Cell, Sequence[Slice]]


@dataclass(frozen=True, slots=True)
class Goal:
    """`reached` is None where it was not measured; `least`: whether more is better."""

    what: str
    wanted: float
    reached: float | None
    least: bool = True

    @property
    def verdict(self) -> str:
        if self.reached is None:
            return UNKNOWN
        return MET if (self.reached >= self.wanted) == self.least or self.reached == self.wanted else MISSED

    def cells(self) -> tuple[str, str, str, str]:
        reached = "" if self.reached is None else f"{self.reached:.2f}"
        return self.what, reached, f"{'≥' if self.least else '≤'} {self.wanted:g}", self.verdict


class Found:
    """The results, and what is asked of them."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def beside(self, mine: str, other: str, model: str, way: str, connections: int) -> float | None:
        """How many times `other`'s rate `mine` has, in a phase that has both."""
        for cell in self.cells(other, model, way, connections):
            own = self.results.get(Cell(cell.phase, mine, model, way, connections))
            if own:
                return ratio(own, self.results[cell])
        return None

    def cells(self, rival: str, model: str, way: str, connections: int) -> list[Cell]:
        wanted = (rival, model, way, connections)
        return [each for each in self.results if (each.rival, each.model, each.way, each.connections) == wanted]

    def to_limit(self, connections: int) -> float | None:
        """To 1 / (a static answer + a bare run): a server that adds nothing to HTTP and to the model."""
        for cell in self.cells(STATIC, TABULAR, "JSON", connections):
            own = self.results[Cell(cell.phase, OURS, TABULAR, "JSON", connections)]
            bare = self.results[Cell(cell.phase, BARE, TABULAR, "", 1)]
            limits = [1 / (1 / http.rate + 1 / run.rate) for http, run in zip(self.results[cell], bare, strict=True)]
            return median(mine.rate / limit for mine, limit in zip(own, limits, strict=True))
        return None

    def to_bare(self, way: str, connections: int) -> float | None:
        for cell in self.cells(OURS, IMAGE, way, connections):
            bare = self.results.get(Cell(cell.phase, BARE, IMAGE, "", 1))
            if bare:
                return ratio(self.results[cell], bare)
        return None

    def cpu(self, rival: str, model: str, way: str, connections: int) -> float | None:
        """Microseconds for a request."""
        cells = self.cells(rival, model, way, connections)
        return micros(self.results[cells[0]]) if cells else None

    def spent(self, cell: Cell) -> float | None:
        """How many times our processor time it needs for a request: it stands still where a machine is shared."""
        own = self.results.get(Cell(cell.phase, OURS, cell.model, cell.way, cell.connections))
        return micros(self.results[cell]) / micros(own) if own and micros(own) else None

    def to_best(self, model: str, way: str, connections: int) -> float | None:
        """Beside the fastest of the others."""
        names = {each.rival for each in self.results if not each.rival.startswith(OURS)} - {BARE}
        ratios = [self.beside(OURS, name, model, way, connections) for name in names]
        return min((each for each in ratios if each is not None), default=None)


def ratio(own: Sequence[Slice], others: Sequence[Slice]) -> float:
    return median(mine.rate / each.rate if each.rate else float("inf") for mine, each in zip(own, others, strict=True))


def micros(slices: Sequence[Slice]) -> float:
    """Over all rounds: the kernel counts in hundredths of a second."""
    return sum(each.cpu for each in slices) / max(1, sum(each.requests for each in slices)) * 1e6


PEERS = {"Triton": 3.5, "mlserver": 15, "kserve": 15, "azureml": 15, "litserve": 25, "bentoml": 25, "ray serve": 25}


def goals(results: Results) -> list[Goal]:
    """The issue's, in its order."""
    found = Found(results)
    json8 = [
        Goal(f"tabular JSON, 8 connections: times {peer}", wanted, found.beside(OURS, peer, TABULAR, "JSON", 8))
        for peer, wanted in PEERS.items()
    ]
    tabular = [
        Goal("tabular JSON, 8 connections: CPU µs", 25, found.cpu(OURS, TABULAR, "JSON", 8), least=False),
        Goal("tabular JSON, 8 connections: of the composite limit", 0.60, found.to_limit(8)),
        Goal("tabular JSON, 64 connections: times Triton", 4.5, found.beside(OURS, "Triton", TABULAR, "JSON", 64)),
        Goal("tabular JSON, 64 connections: of the composite limit", 0.75, found.to_limit(64)),
    ]
    image = [
        Goal("image binary, 8 connections: of bare session.run", 0.85, found.to_bare("binary", 8)),
        Goal("image binary, 8 connections: times Triton", 1.15, found.beside(OURS, "Triton", IMAGE, "binary", 8)),
        Goal("image JSON, 8 connections: times the best of the others", 1.5, found.to_best(IMAGE, "JSON", 8)),
    ]
    return json8 + tabular + image + grpc_goals(found)


def grpc_goals(found: Found) -> list[Goal]:
    """The runtime by itself for the CPU of a call; with its router, too, beside Triton's server."""
    made = []
    for model, connections in ((TABULAR, 8), (TABULAR, 64), (IMAGE, 8)):
        where = f"gRPC, {'tabular' if model == TABULAR else 'image'}, {connections} connections"
        theirs, own = (found.cpu(name, model, "gRPC", connections) for name in (GRPCIO, OURS))
        times = theirs / own if theirs and own else None
        if model == TABULAR:
            made.append(Goal(f"{where}: grpcio's CPU is times ours", 3, times))
        for name in (OURS, ROUTED):
            reached = found.beside(name, "Triton", model, "gRPC", connections)
            made.append(Goal(f"{where}: {'runtime' if name == OURS else 'router + runtime'}, times Triton", 1, reached))
    return made


def lines(results: Results, model: str, way: str) -> list[tuple[str, ...]]:
    """The table of one kind of request, as HEAD has it."""
    found = Found(results)
    shown = []
    for cell, own in results.items():
        if (cell.model, cell.way) == (model, way):
            rate, p50, p99 = (median(figures) for figures in zip(*((s.rate, s.p50, s.p99) for s in own), strict=True))
            times = found.beside(OURS, cell.rival, model, way, cell.connections)
            figures = (f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{micros(own):,.1f}")
            spent = found.spent(cell)
            compared = ("" if each is None else f"{each:.1f}" for each in (times, spent))
            shown.append((cell.connections, cell.rival, *figures, *compared))
    return [(name, str(count), *rest) for count, name, *rest in sorted(shown, key=lambda line: line[0])]


HEAD = ("", "c", "requests/s", "p50 ms", "p99 ms", "CPU µs", "ours is times it", "its CPU is times ours")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a page; all but the first column to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def pages(results: Results, left_out: Mapping[str, str]) -> str:
    """All tables, as a page has them."""
    parts = []
    for model in (TABULAR, IMAGE):
        for way in ("JSON", "binary", "gRPC", ""):
            found = lines(results, model, way)
            if found:
                parts.append(f"### {model}: {way or 'the model alone'}\n\n{markdown(HEAD, found)}")
    reached = [goal.cells() for goal in goals(results)]
    parts.append("### Goals\n\n" + markdown(("", "reached", "goal", ""), reached))
    if left_out:
        parts.append("### Left out\n\n" + "\n".join(f"* {name}: {why}" for name, why in left_out.items()))
    return "\n\n".join(parts) + "\n"


def plain(results: Results) -> list[dict[str, Any]]:
    """For a file."""
    return [asdict(cell) | {"slices": [asdict(each) for each in own]} for cell, own in results.items()]
