"""Figures of pods, read twice: what happened between. Pure: pages of Prometheus text go in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from wye_operator import figures

SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([-+.\w]+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
INFINITE = float("inf")

Labels = Mapping[str, str]


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each line; what is none is passed over."""
    for line in text.splitlines():
        found = SAMPLE.match(line)
        if found is not None:
            try:
                yield found[1], dict(LABEL.findall(found[2] or "")), float(found[3])
            except ValueError:
                continue


@dataclass(slots=True)
class Tally:
    """What was counted for somebody: answers by class of status, a histogram, and what holds now."""

    classes: Counter[str] = field(default_factory=Counter)
    bounds: Counter[float] = field(default_factory=Counter)  # cumulative, by upper bound in milliseconds
    left_out: float = 0  # copies that were not made
    active: float = 0
    queued: float = 0
    dropped: float = 0  # left a model's queue without an answer

    def add(self, other: Tally) -> None:
        """That of another pod, or of another Deployment."""
        self.classes.update(other.classes)
        self.bounds.update(other.bounds)
        self.left_out += other.left_out
        self.active += other.active
        self.queued += other.queued
        self.dropped += other.dropped

    def since(self, before: Tally) -> Tally:
        """What came since; counters that went back were started anew."""
        begun_anew = any(self.classes[each] < count for each, count in before.classes.items())
        old = Tally() if begun_anew else before
        return Tally(
            Counter({name: count - old.classes[name] for name, count in self.classes.items()}),
            Counter({bound: count - old.bounds[bound] for bound, count in self.bounds.items()}),
            max(0.0, self.left_out - old.left_out),
            self.active,
            self.queued,
            max(0.0, self.dropped - old.dropped),
        )

    @property
    def answers(self) -> float:
        """All of them."""
        return sum(self.classes.values())

    @property
    def errors(self) -> float:
        """Answers of 500 and more: nobody's request was wrong."""
        return self.classes["5"]

    def quantile(self, share: float) -> float | None:
        """Milliseconds within which that share was answered, None where nothing was."""
        bounds = sorted(self.bounds.items())
        total = bounds[-1][1] if bounds else 0
        if total <= 0:
            return None
        low, below = 0.0, 0.0
        for bound, count in bounds:
            if count >= share * total:
                return low if bound == INFINITE else low + (bound - low) * (share * total - below) / (count - below)
            low, below = bound, count
        return low


Place = tuple[str, str]  # a Deployment and its traffic; ("", "live"): all that callers sent
ALL: Place = ("", figures.LIVE)
QUEUE = ""  # in place of a traffic: what instances say of their queue, in which copies wait, too


def of_router(text: str) -> dict[Place, Tally]:
    """What a router counted, for each Deployment and mirror, and altogether."""
    found: dict[Place, Tally] = {}
    for name, labels, value in samples(text):
        cluster = labels.get(figures.CLUSTER, "")
        if "~" in cluster and not cluster.endswith("~mirror"):  # our own: the way to the admin port
            continue
        _count(found.setdefault(figures.split(cluster) if cluster else ALL, Tally()), name, labels, value)
    return found


def _count(tally: Tally, name: str, labels: Labels, value: float) -> None:
    if name in (figures.REQUESTS_BY_CLASS, figures.ASKED_BY_CLASS):
        tally.classes[labels[figures.CLASS]] += int(value)
    elif name in (f"{figures.TIME}_bucket", f"{figures.ASKED_TIME}_bucket"):
        tally.bounds[float(labels["le"])] += int(value)
    elif name in (figures.ACTIVE, figures.ASKED_ACTIVE):
        tally.active += value
    elif name in figures.NOT_MADE or name == figures.UNCOPIED:
        tally.left_out += value


def of_model(text: str) -> Tally:
    """What an instance counted: its queue, and who left it."""
    tally = Tally()
    for name, _, value in samples(text):
        if name == figures.QUEUED:
            tally.queued += value
        elif name == figures.DROPPED:
            tally.dropped += value
    return tally


def total(tallies: Iterable[Tally]) -> Tally:
    """All together."""
    found = Tally()
    for each in tallies:
        found.add(each)
    return found
