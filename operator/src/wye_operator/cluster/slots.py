"""Who may be upgraded now: at most so many at a time, namespaces in turn. Pure: `Upgrades` tells it what it saw.

ask ──no──> waiting ──(a slot comes free: called)──> ask ──yes──> granted ──(written)──> rolling ──> out
               └──(nobody asks for it any more)──> out                 └──(not written)──> out, or the end of the queue

What is stuck stops its own namespace: nothing else of it is upgraded, and all that is stuck in it has one slot. So a
bad version stops when it is stuck in as many namespaces as there are slots, and a bad namespace stops nobody else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from wye_operator.cluster.store import Key, Place


@dataclass(slots=True)
class Slots:
    """Workloads by namespace and name; a key is the Endpoint whose pass asks for them."""

    most: int
    rolling: set[Place] = field(default_factory=set)  # as the store says
    stuck: set[Place] = field(default_factory=set)  # those of them that do not get on
    granted: dict[Place, Key] = field(default_factory=dict)  # about to be written
    waiting: dict[Place, Key] = field(default_factory=dict)  # in the order in which they came
    _of: dict[Key, set[Place]] = field(default_factory=dict)  # who asks, with what is granted or waits
    _doubtful: set[Place] = field(default_factory=set)  # granted, and the pass failed: perhaps written
    _called: set[Place] = field(default_factory=set)

    def saw(self, place: Place, *, rolling: bool) -> None:
        """What the store says of a workload."""
        (self.rolling.add if rolling else self.rolling.discard)(place)
        self.stuck &= self.rolling

    @property
    def taken(self) -> set[Place]:
        """Who has a slot."""
        return self.rolling | self.granted.keys()

    @property
    def free(self) -> int:
        """How many slots nobody has."""
        return max(0, self.most - len(self.taken - self.stuck) - len({namespace for namespace, _ in self.stuck}))

    def _turns(self) -> list[Place]:
        """Who is next: of the namespace that has the fewest slots, and among equals who came first."""
        free, stopped = self.free, {namespace for namespace, _ in self.stuck}
        if not free:
            return []
        has, order = Counter(namespace for namespace, _ in self.taken), []
        for came, place in enumerate(self.waiting):
            order.append((has[place[0]], came, place))
            has[place[0]] += 1
        return [place for _, _, place in sorted(order) if place[0] not in stopped][:free]

    def ask(self, place: Place, key: Key) -> bool:
        """Whether it may be upgraded in this pass; else it waits. Who has a slot may be upgraded once more."""
        self._of.setdefault(key, set()).add(place)
        self.waiting.setdefault(place, key)
        if place in self.taken or place in self._turns():
            del self.waiting[place]
            self.granted[place] = key
            return True
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
        heads = [place for place in self._turns() if place not in self._called]
        self._called |= {*heads}
        return [self.waiting[place] for place in heads]
