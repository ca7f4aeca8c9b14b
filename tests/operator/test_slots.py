"""Whose turn it is: at most so many, first come, first served, and nobody blocks the others."""

from __future__ import annotations

import pytest

from wye_operator.cluster.slots import Slots
from wye_operator.cluster.store import Key


def key(name: str) -> Key:
    return Key("default", name)


def place(name: str) -> tuple[str, str]:
    return "default", name


class Fleet:
    """Workloads called like their Endpoints; a pass asks for its own, and a write makes it roll."""

    def __init__(self, most: int) -> None:
        self.slots = Slots(most)
        self.called: list[str] = []

    def passes(self, name: str, *, writes: bool = True, fails: bool = False, asks: bool = True) -> bool:
        granted = asks and self.slots.ask(place(name), key(name))
        if granted and writes:
            self.slots.saw(place(name), rolling=True)
        self.slots.settled(key(name), {place(name)} if asks else (), failed=fails)
        self.called += [k.name for k in self.slots.to_call()]
        return granted

    def done(self, name: str) -> None:
        self.slots.saw(place(name), rolling=False)


def test_no_more_than_that_many_have_a_slot():
    fleet = Fleet(most=2)
    assert [fleet.passes(name) for name in "abcd"] == [True, True, False, False]
    assert list(fleet.slots.waiting) == [place("c"), place("d")]
    assert fleet.called == []


def test_the_first_that_waits_is_called_and_nobody_overtakes_it():
    fleet = Fleet(most=1)
    for name in "abc":
        fleet.passes(name)
    fleet.done("a")
    assert not fleet.passes("c")
    assert fleet.called == ["b"]
    assert not fleet.passes("d")
    assert fleet.called == ["b"], "it is called once"
    assert fleet.passes("b")
    assert list(fleet.slots.waiting) == [place("c"), place("d")]


def test_who_rolls_may_be_upgraded_once_more():
    """The way back from a bad image leads through those that wait for it to become ready."""
    fleet = Fleet(most=1)
    assert fleet.passes("a")
    assert not fleet.passes("b")
    assert fleet.passes("a")


def test_who_was_called_and_fails_lets_the_next_one_go():
    fleet = Fleet(most=1)
    for name in "abc":
        fleet.passes(name)
    fleet.done("a")
    fleet.passes("x", asks=False)
    fleet.passes("b", asks=False, fails=True)
    assert fleet.called == ["b", "c"]
    assert fleet.passes("c")
    assert list(fleet.slots.waiting) == [place("b")]


def test_who_needs_no_upgrade_any_more_is_out():
    fleet = Fleet(most=1)
    for name in "abc":
        fleet.passes(name)
    fleet.passes("b", asks=False)
    fleet.done("a")
    fleet.passes("x", asks=False)
    assert fleet.called == ["c"]


def test_what_the_cluster_refuses_to_write_holds_no_slot():
    fleet = Fleet(most=1)
    assert fleet.passes("a", writes=False)
    assert fleet.passes("b")
    assert not fleet.passes("a", writes=False)


def test_a_write_of_which_nobody_heard_holds_its_slot_for_one_more_pass():
    fleet = Fleet(most=1)
    assert fleet.passes("a", writes=False, fails=True)
    assert not fleet.passes("b")
    fleet.passes("a", asks=False, fails=True)
    assert fleet.called == ["b"]


@pytest.mark.parametrize("most", [1, 3, 7])
def test_hundred_workloads_are_all_upgraded_in_the_order_in_which_they_came(most):
    fleet, order = Fleet(most), [f"w{n:02d}" for n in range(100)]
    began = [name for name in order if fleet.passes(name)]
    rolling = list(began)
    while rolling:
        assert len(fleet.slots.taken) == len(rolling) <= most
        fleet.done(rolling.pop(0))
        fleet.passes("x", asks=False)
        while fleet.called:
            name = fleet.called.pop(0)
            assert fleet.passes(name)
            began.append(name)
            rolling.append(name)
    assert began == order


def asked(slots: Slots, *names: str) -> dict[str, bool]:
    """Whether each may be upgraded, `NAMESPACE/NAME`; who may rolls from then on."""
    told = {}
    for name in names:
        where = (name.partition("/")[0], name)
        told[name] = slots.ask(where, Key(*where))
        if told[name]:
            slots.saw(where, rolling=True)
        slots.settled(Key(*where), {where}, failed=False)
    return told


def test_what_is_stuck_stops_its_own_namespace_and_no_other():
    """A tenant whose upgrades do not become ready held all slots for ever, and with them everybody's upgrades."""
    slots = Slots(most=3)
    assert all(asked(slots, "bad/1", "bad/2", "bad/3").values())
    assert asked(slots, "good/1", "bad/4", "good/2") == {"good/1": False, "bad/4": False, "good/2": False}
    slots.stuck |= slots.rolling
    assert slots.free == 2
    assert asked(slots, "good/1", "bad/4", "good/2", "good/3") == {
        **{"good/1": True, "bad/4": False, "good/2": True, "good/3": False}
    }
    assert asked(slots, "bad/1") == {"bad/1": True}, "the way back"


def test_a_bad_version_stops_when_it_is_stuck_in_as_many_namespaces():
    slots, hurt = Slots(most=2), 0
    for name in (f"{namespace}/{number}" for namespace in "abcdef" for number in range(4)):
        hurt += asked(slots, name)[name]
        slots.stuck |= slots.rolling
    assert (hurt, slots.free) == (2, 0)


def test_namespaces_are_served_in_turn():
    """One with a thousand workloads is not in the way of one with two."""
    slots = Slots(most=2)
    asked(slots, *(f"many/{number}" for number in range(20)), "few/1", "few/2")
    order = []
    for _ in range(6):
        slots.saw(min(slots.rolling), rolling=False)
        for key in slots.to_call():
            asked(slots, key.name)
            order.append(key.name)
    assert order[:3] == ["few/1", "many/2", "few/2"] or order[:3] == ["few/1", "few/2", "many/2"]


def test_who_is_no_longer_rolling_is_no_longer_stuck():
    slots = Slots(most=1)
    asked(slots, "a/1")
    slots.stuck |= slots.rolling
    slots.saw(("a", "a/1"), rolling=False)
    assert asked(slots, "a/2") == {"a/2": True}
