"""Upgrades one after the other: which child may be written as this operator wants it, and which keeps its pods for now.

Called by each pass: `begin`, `steps` before anything is written, `end`. Whoever has a slot is read from the cluster (an
annotation on the child, and a rollout that is not complete), so another leader goes on where this one ended.
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


@dataclass(frozen=True, slots=True)
class Step:
    """An object as it is to be now, and what is noted on it when it is written. `held`: its pods stay as they are."""

    manifest: Object
    notes: Mapping[str, str] = field(default_factory=dict)
    held: bool = False


class Upgrades:
    """The upgrades of all workloads that this operator serves."""

    def __init__(self, store: Store, wake: Callable[[Key], None], metrics: Metrics, terms: Terms) -> None:
        self._store, self._wake, self._terms = store, wake, terms
        metrics.gauge("wye_upgrades_running", lambda: {(): len(self.slots.taken)})
        metrics.gauge("wye_upgrades_waiting", self._waiting)
        self.forget()

    def forget(self) -> None:
        """Another replica leads: what it does will be in the store."""
        self.slots = Slots(self._terms.most)
        self.kept: dict[Key, set[Place]] = {}  # held until somebody edits them
        self._asked: dict[Key, set[Place]] = defaultdict(set)
        self._stuck: set[Place] = set()
        self._begun = False

    def _waiting(self) -> dict[tuple[tuple[str, str], ...], float]:
        return {(("for", "slot"),): len(self.slots.waiting), (("for", "edit"),): sum(map(len, self.kept.values()))}

    def begin(self, key: Key) -> None:
        """A pass begins: see who rolls. The first pass looks at everybody, others at its own and at who did last."""
        if not self._begun:
            self._begun = True
            self._see_rolling(self._store.every(WORKLOADS))
        for place in sorted(self.slots.rolling):
            self._look(place, self._store.get(WORKLOADS, *place))
        self._see_rolling(self._store.of(WORKLOADS, key))

    def _see_rolling(self, bodies: Iterable[Object]) -> None:
        for body in bodies:
            if is_rolling(body):
                self.slots.saw(_place(body), rolling=True)

    def _look(self, place: Place, live: Object | None) -> None:
        what = {"object": "/".join(place)}
        if live is not None and is_rolling(live):
            if has_given_up(live) and place not in self._stuck:
                self._stuck.add(place)
                log.warning("its upgrade does not become ready and keeps its slot: others may do no better", extra=what)
            return
        self.slots.saw(place, rolling=False)
        self._stuck.discard(place)
        if live is not None and is_complete(live):
            log.info("is upgraded", extra=what)
        elif live is not None and UPGRADED in annotations_of(live):
            log.warning("gives its slot back: it was not ready before its upgrade, and is not after it", extra=what)
        else:
            log.info("gives its slot back: it was edited or is gone", extra=what)

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
