"""Upgrades one after the other: which child may be written as this operator wants it, and which keeps its pods for now.

Called by each pass: `begin`, `steps` before anything is written, `end`. Who has a slot is read from the cluster (an
annotation on the child, and a rollout that is not complete) once, when this replica begins to lead: it goes on where
the one before ended. After that nobody has one whom it did not give it: the annotation can be written by anybody who
may edit a workload. Nor does anybody hold up other namespaces for longer than `PATIENCE`, whatever the object says.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from wye_operator.cluster.base import annotations_of
from wye_operator.cluster.kinds import CONFIGMAPS, WORKLOADS, Object, kind_of
from wye_operator.cluster.slots import Slots
from wye_operator.cluster.store import Key, Place, Store
from wye_operator.cluster.templates import (
    Change,
    change_of,
    has_given_up,
    held,
    held_files,
    held_notes,
    is_complete,
    is_rolling,
    notes_for,
)
from wye_operator.cluster.terms import Terms
from wye_operator.plan.names import UPGRADED
from wye_operator.telemetry import Metrics

log = logging.getLogger(__name__)
PATIENCE = 660.0  # seconds until an upgrade is stuck, though the cluster (after its 600) has not said so


@dataclass(frozen=True, slots=True)
class Step:
    """An object as it is to be now, and what is noted on it when it is written. `held`: its pods stay as they are."""

    manifest: Object
    notes: Mapping[str, str] = field(default_factory=dict)
    held: bool = False


class Upgrades:
    """The upgrades of all workloads that this operator serves."""

    def __init__(
        self, store: Store, wake: Callable[[Key], None], metrics: Metrics, terms: Terms, clock: Callable[[], float]
    ) -> None:
        self._store, self._wake, self._terms, self._clock = store, wake, terms, clock
        metrics.gauge("wye_upgrades_running", lambda: {(): len(self.slots.taken)})
        metrics.gauge("wye_upgrades_waiting", self._waiting)
        self.forget()

    def forget(self) -> None:
        """Another replica leads: what it does will be in the store."""
        self.slots = Slots(self._terms.most)
        self.kept: dict[Key, set[Place]] = {}  # held until somebody edits them
        self._asked: dict[Key, set[Place]] = defaultdict(set)
        self._since: dict[Place, float] = {}  # since when each has rolled
        self._begun = False

    def _waiting(self) -> dict[tuple[tuple[str, str], ...], float]:
        return {(("for", "slot"),): len(self.slots.waiting), (("for", "edit"),): sum(map(len, self.kept.values()))}

    def begin(self, key: Key) -> None:
        """A pass begins: see who rolls. The first pass looks at everybody, others at its own and at who did last."""
        if not self._begun:
            self._see_rolling(self._store.every(WORKLOADS))
            self._begun = True
        for place in sorted(self.slots.rolling):
            self._look(place, self._store.get(WORKLOADS, *place))
        self._see_rolling(self._store.of(WORKLOADS, key))

    def _see_rolling(self, bodies: Iterable[Object]) -> None:
        for body in bodies:
            place = _place(body)
            if is_rolling(body) and (place in self.slots.granted or not self._begun):
                self.slots.saw(place, rolling=True)
                self._since.setdefault(place, self._clock())

    def _look(self, place: Place, live: Object | None) -> None:
        what = {"object": "/".join(place)}
        if live is not None and is_rolling(live):
            late = self._clock() - self._since[place] >= PATIENCE
            if (late or has_given_up(live)) and place not in self.slots.stuck:
                self.slots.stuck.add(place)
                log.warning("its upgrade does not become ready: nothing else of its namespace is upgraded", extra=what)
            return
        self.slots.saw(place, rolling=False)
        self._since.pop(place, None)
        if live is not None and is_complete(live):
            log.info("is upgraded", extra=what)
        elif live is not None and UPGRADED in annotations_of(live):
            log.warning("gives its slot back: it was not ready before its upgrade, and is not after it", extra=what)
        else:
            log.info("gives its slot back: it was edited or is gone", extra=what)

    def look_again(self, key: Key) -> float | None:
        """Seconds after which a pass over an Endpoint that waits should ask again: no event tells of a late one."""
        return PATIENCE if any(waits == key for waits in self.slots.waiting.values()) else None

    def steps(self, key: Key, objects: Iterable[Object]) -> list[Step]:
        """Each object as it is to be now, in the same order."""
        objects = list(objects)
        children = {o["metadata"]["name"]: self._child(key, o) for o in objects if kind_of(o) == WORKLOADS}
        return [self._step(key, each, children) for each in objects]

    def _step(self, key: Key, wanted: Object, children: Mapping[str, Step]) -> Step:
        kind, name = kind_of(wanted), wanted["metadata"]["name"]
        if kind == WORKLOADS:
            return children[name]
        if kind == CONFIGMAPS and name in children and children[name].held:
            return Step(held_files(wanted, self._store.get(CONFIGMAPS, key.namespace, name)))
        return Step(wanted)

    def _child(self, key: Key, wanted: Object) -> Step:
        place = _place(wanted)
        live = self._store.get(WORKLOADS, *place)
        change = change_of(live, wanted)
        if live is not None and change is Change.UPGRADE and not self._may_roll(key, place):
            return Step(held(wanted, live), held_notes(live), held=True)
        return Step(wanted, notes_for(change, live, wanted, in_upgrade=place in self.slots.rolling))

    def _may_roll(self, key: Key, place: Place) -> bool:
        self._asked[key].add(place)
        what = {"object": "/".join(place)}
        if self._terms.policy == "OnSpecChange":
            if place not in self.kept.get(key, ()):
                log.info("keeps its pods until it is edited (upgrade.policy: OnSpecChange)", extra=what)
            return False
        waited = place in self.slots.waiting
        may = self.slots.ask(place, key)
        if may or not waited:
            log.info("its upgrade begins" if may else "waits for its upgrade", extra={**what, **self._others(place)})
        return may

    def _others(self, place: Place) -> dict[str, object]:
        others = sorted("/".join(other) for other in self.slots.taken - {place})
        return {"running": others[: self._terms.most], "waiting": len(self.slots.waiting)}

    def end(self, key: Key, *, failed: bool) -> None:
        """A pass has ended: who waits for nothing any more is out, and whose turn it is now is looked at."""
        asked = self._asked.pop(key, set())
        self._see_rolling(self._store.of(WORKLOADS, key))
        self.slots.settled(key, asked, failed=failed)
        if not failed:
            self.kept.pop(key, None)
            if asked and self._terms.policy == "OnSpecChange":
                self.kept[key] = asked
        for other in self.slots.to_call():
            self._wake(other)


def _place(body: Object) -> Place:
    return body["metadata"]["namespace"], body["metadata"]["name"]
