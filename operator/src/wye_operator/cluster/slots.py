"""Who may be upgraded now: at most so many at a time, first come, first served. Pure: `Upgrades` tells it what it saw.

ask ──no──> waiting ──(a slot comes free: called)──> ask ──yes──> granted ──(written)──> rolling ──> out
               └──(nobody asks for it any more)──> out                 └──(not written)──> out, or the end of the queue
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice

from wye_operator.cluster.store import Key, Place


@dataclass(slots=True)
class Slots:
    """Workloads by namespace and name; a key is the Endpoint whose pass asks for them."""

    most: int
    rolling: set[Place] = field(default_factory=set)  # as the store says
    granted: dict[Place, Key] = field(default_factory=dict)  # about to be written
    waiting: dict[Place, Key] = field(default_factory=dict)  # in the order in which they came
    _of: dict[Key, set[Place]] = field(default_factory=dict)  # who asks, with what is granted or waits
    _doubtful: set[Place] = field(default_factory=set)  # granted, and the pass failed: perhaps written
    _called: set[Place] = field(default_factory=set)

    def saw(self, place: Place, *, rolling: bool) -> None:
        """What the store says of a workload."""
        (self.rolling.add if rolling else self.rolling.discard)(place)

    @property
    def taken(self) -> set[Place]:
        """Who has a slot."""
        return self.rolling | self.granted.keys()

    @property
    def free(self) -> int:
        """How many slots nobody has."""
        return max(0, self.most - len(self.taken))

    def ask(self, place: Place, key: Key) -> bool:
        """Whether it may be upgraded in this pass; else it waits. Who has a slot may be upgraded once more."""
        self._of.setdefault(key, set()).add(place)
        first = place in islice(self.waiting, self.free) or len(self.waiting) < self.free
        if place in self.taken or first:
            self.waiting.pop(place, None)
            self.granted[place] = key
            return True
        self.waiting.setdefault(place, key)
        return False

    def settled(self, key: Key, asked: Collection[Place], *, failed: bool) -> None:
        """A pass has ended. Of a failed one nobody knows what it wrote: its slots stay for one more pass."""
        mine = self._of.pop(key, set())
        for place in mine & self.granted.keys():
            if failed and place not in self._doubtful:
                self._doubtful.add(place)
            else:
                del self.granted[place]
                self._doubtful.discard(place)
        for place in sorted(mine & self.waiting.keys()):
            if failed and place in self._called:
                self.waiting[place] = self.waiting.pop(place)
            elif not failed and place not in asked:
                del self.waiting[place]
            self._called.discard(place)
        if left := {place for place in mine if place in self.granted or place in self.waiting}:
            self._of[key] = left

    def to_call(self) -> list[Key]:
        """Whose turn it is and who does not know yet."""
        heads = [(place, key) for place, key in islice(self.waiting.items(), self.free) if place not in self._called]
        self._called |= {place for place, _ in heads}
        return [key for _, key in heads]
