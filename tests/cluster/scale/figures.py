"""What a run has measured, what each figure should be, and where one is not; and how the operator's own are read.

Used by tests/bench/scale.py; nothing here knows of a cluster, and tests/bench/test_scale.py tests it.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

CALLS = re.compile(r'^wye_api_calls_total\{resource="([^"]*)",verb="([^"]*)"\} (\S+)$', re.MULTILINE)
WRITES = ("POST", "PUT", "PATCH", "DELETE")
Calls = dict[tuple[str, str], int]  # by verb and resource


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    value: float
    form: str = "{:.0f}"
    goal: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it is more than it should be."""
        return self.goal is not None and self.value > self.goal

    def cells(self) -> tuple[str, str, str, str]:
        """What, measured, goal, note."""
        goal = "" if self.goal is None else self.form.format(self.goal)
        return self.what, self.form.format(self.value), goal, "missed" if self.missed else ""


@dataclass
class Figures:
    """All lines, told as they come."""

    lines: list[Figure] = field(default_factory=list)

    def add(self, what: str, value: float, form: str = "{:.0f}", goal: float | None = None) -> None:
        self.lines.append(Figure(what, value, form, goal))
        _, shown, aim, note = self.lines[-1].cells()
        print(f"   {what}: {shown}" + (f" (goal {aim}{', missed' if note else ''})" if aim else ""), flush=True)

    def table(self, title: str) -> Table:
        shown = Table("", "measured", "goal", "", title=title)
        for line in self.lines:
            shown.add_row(*line.cells())
        return shown

    def plain(self) -> list[dict[str, Any]]:
        """For a file."""
        return [asdict(line) for line in self.lines]


def calls_in(page: str) -> Calls:
    """Calls of the API server so far, from /metrics; the Lease apart, which is held by the clock."""
    found = {(verb, resource): int(float(count)) for resource, verb, count in CALLS.findall(page)}
    return {of: count for of, count in found.items() if of[1] != "leases"}


def value_in(page: str, line: str) -> float:
    """The sum of the lines of /metrics that begin so; 0 where none does."""
    return sum(float(each.split()[-1]) for each in page.splitlines() if each.startswith(line))


def total(calls: Calls, verbs: tuple[str, ...] = ()) -> int:
    """All of the calls, or those of some verbs."""
    return sum(count for (verb, _), count in calls.items() if not verbs or verb in verbs)


def less(after: Calls, before: Calls) -> Calls:
    """What came in between."""
    return {of: count - before.get(of, 0) for of, count in after.items() if count != before.get(of, 0)}


def most_frequent(calls: Calls, each: int) -> list[tuple[str, float]]:
    """Calls for one of so many, the most frequent first."""
    ordered = sorted(calls.items(), key=lambda item: (-item[1], item[0]))
    return [(f"{verb} {resource}", count / each) for (verb, resource), count in ordered]
