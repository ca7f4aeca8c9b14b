"""The work queue: a key stands in it once, is never worked on twice at a time, and backs off by itself."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wye_operator.cluster.errors import Refused, TooMany, Unavailable
from wye_operator.cluster.queue import BEGUN, FIRST, LONGEST_ABSENCE, LONGEST_BACK_OFF, Schedule, Workers, back_off
from wye_operator.telemetry import Metrics


def test_many_events_for_one_key_are_one_pass():
    schedule: Schedule[str] = Schedule()
    for _ in range(5):
        schedule.add("a", now=0)
    assert schedule.take(0) == ("a", 0)
    assert schedule.take(0) is None


def test_of_two_times_the_sooner_one_counts():
    schedule: Schedule[str] = Schedule()
    schedule.add("a", now=0, delay=30)
    schedule.add("a", now=0, delay=5)
    schedule.add("a", now=0, delay=60)
    assert schedule.take(4.9) is None
    assert schedule.take(5) == ("a", 0)
    schedule.done("a", 5)
    assert schedule.idle


def test_an_event_during_a_pass_means_one_more_pass():
    schedule: Schedule[str] = Schedule(gap=0)
    schedule.add("a", now=0)
    schedule.take(0)
    schedule.add("a", now=1)
    assert schedule.take(1) is None, "it runs"
    schedule.done("a", 2)
    assert schedule.take(2) == ("a", 0)


def test_a_burst_of_events_is_one_pass_in_each_gap():
    schedule: Schedule[str] = Schedule(gap=0.5)
    passes = 0
    for tick in range(100):  # an event each 10 ms
        now = tick / 100
        schedule.add("a", now)
        if schedule.take(now):
            passes += 1
            schedule.done("a", now)
    assert passes == 2


def test_a_failed_key_waits_for_its_time_whatever_happens_meanwhile():
    schedule: Schedule[str] = Schedule()
    schedule.add("a", now=0)
    schedule.take(0)
    assert schedule.failed("a", 0, at_least=7) == 7
    schedule.add("a", now=1)
    assert schedule.take(6.9) is None
    assert schedule.take(7) == ("a", 0)


def test_back_off_grows_to_a_minute_and_success_ends_it():
    assert [back_off(n) for n in (1, 2, 3, 100)] == [0.5, 1, 2, LONGEST_BACK_OFF]
    schedule: Schedule[str] = Schedule()
    schedule.add("a", now=0)
    now = 0.0
    for expected in (0.5, 1.0, 2.0):
        schedule.take(now)
        assert schedule.failed("a", now) == expected
        now += expected
    schedule.take(now)
    schedule.done("a", now)
    schedule.add("a", now)
    schedule.take(now + 1)
    assert schedule.failed("a", now + 1) == 0.5


def test_a_pass_that_was_cut_off_is_due_again():
    schedule: Schedule[str] = Schedule()
    schedule.add("a", now=0)
    schedule.take(0)
    schedule.left("a", 3)
    assert schedule.take(3) == ("a", 0)


MOVES = st.lists(
    st.tuples(
        st.sampled_from(("add", "take", "done", "failed", "left", "wait")),
        st.sampled_from("abc"),
        st.floats(0, 10, allow_nan=False),
    ),
    max_size=60,
)


class Told:
    """A schedule, and what it owes: who was named after its last pass began."""

    def __init__(self):
        self.schedule: Schedule[str] = Schedule()
        self.now, self.owed, self.running = 0.0, set(), set()

    def wait(self, key, number):
        self.now += number

    def add(self, key, number):
        self.schedule.add(key, self.now, number / 10)
        self.owed.add(key)

    def take(self, key="", number=0.0):
        taken = self.schedule.take(self.now)
        if taken:
            assert taken[0] not in self.running
            assert taken[1] >= 0
            self.running.add(taken[0])
            self.owed.discard(taken[0])

    def done(self, key, number):
        if key in self.running:
            self.running.discard(key)
            self.schedule.done(key, self.now, number if number > 5 else None)

    def failed(self, key, number):
        if key in self.running:
            self.running.discard(key)
            self.owed.add(key)
            self.schedule.failed(key, self.now)

    def left(self, key, number):
        if key in self.running:
            self.running.discard(key)
            self.owed.add(key)
            self.schedule.left(key, self.now)


@settings(max_examples=300)
@given(MOVES)
def test_no_event_is_lost_and_no_key_runs_twice(moves):
    """Whatever happens in whatever order: who was named after its last pass began is looked at again."""
    told = Told()
    for move, key, number in moves:
        getattr(told, move)(key, number)
    for key in sorted(told.running):
        told.done(key, 0)
    while (due := told.schedule.next_at()) is not None:
        assert due <= told.now + 3600
        told.now = max(told.now, due)
        told.take()
        for key in sorted(told.running):
            told.done(key, 0)
    assert not told.owed
    assert told.schedule.idle


async def worked(keys, work, most=2):
    clock = asyncio.get_running_loop().time
    workers: Workers[str] = Workers(work, Metrics(), clock, most)
    for key in keys:
        workers.add(key)
    task = asyncio.create_task(workers.run())
    async with asyncio.timeout(5):
        while not workers.schedule.idle:  # noqa: ASYNC110 - it has no event, and needs none
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return workers


async def test_only_so_many_passes_run_at_once():
    now, most = 0, 0

    async def work(key):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    await worked("abcdefgh", work, most=3)
    assert most == 3


async def test_ones_trouble_is_its_own():
    seen = []

    async def work(key):
        seen.append(key)
        if key == "bad" and seen.count("bad") < 2:
            raise TooMany("slow down", status=429, retry_after=0.1)

    await worked(["bad", "a", "b"], work)
    assert seen == ["bad", "a", "b", "bad"]


async def test_a_worker_that_is_stopped_leaves_its_key_for_the_next_one():
    began = asyncio.Event()

    async def work(key):
        began.set()
        await asyncio.sleep(60)

    workers: Workers[str] = Workers(work, Metrics(), asyncio.get_running_loop().time)
    workers.add("a")
    task = asyncio.create_task(workers.run())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert workers.schedule.running == 0
    assert workers.schedule.waiting(asyncio.get_running_loop().time()) == 1


def test_what_a_person_edited_goes_before_all_that_are_due():
    schedule: Schedule[int] = Schedule(gap=0)
    for key in range(1000):
        schedule.add(key, now=0)
    schedule.take(1)
    schedule.first(700, now=1)
    schedule.add(700, now=1)
    assert schedule.take(1) == (700, 1)
    schedule.done(700, 2, look_again=0.25)
    assert schedule.take(2) == (1, 2), "it is not due yet"
    assert schedule.take(2.25) == (700, 0), "an edit is several passes"
    schedule.done(700, 2.25)
    taken = [schedule.take(3)[0] for _ in range(997)]
    assert taken == [k for k in range(2, 1000) if k != 700]
    assert schedule.take(3) is None


def test_what_was_edited_goes_first_for_a_while_only():
    schedule: Schedule[str] = Schedule(gap=0)
    for now in (-BEGUN, 0):
        schedule.first("b", now)
        schedule.add("b", now)
        schedule.take(now)
        schedule.done("b", now)
    schedule.add("b", now=FIRST + 1)
    schedule.take(FIRST + 1)  # it went first for the last time
    schedule.done("b", FIRST + 1)
    schedule.add("a", now=FIRST + 2)
    schedule.add("b", now=FIRST + 3)
    assert schedule.take(FIRST + 3) == ("a", 1)


def test_what_was_begun_is_ended_before_others_are_begun():
    """A thousand at once, five passes each: all would be begun, a fifth of the way, before the first is Ready."""
    schedule: Schedule[int] = Schedule(gap=0)
    for key in range(1000):
        schedule.add(key, now=0)
    passes, now, done = dict.fromkeys(range(1000), 0), 0.0, []
    while len(done) < 3:
        now += 0.1
        key, _ = schedule.take(now)
        passes[key] += 1
        schedule.done(key, now, look_again=0.25 if passes[key] < 5 else None)
        done += [key] if passes[key] == 5 else []
    assert sum(passes.values()) <= 20
    assert done == [0, 1, 2]


def test_what_never_ends_gives_way_to_what_was_not_begun():
    schedule: Schedule[str] = Schedule(gap=0)
    schedule.add("a", now=0)
    schedule.add("b", now=0)
    now, taken = 0.0, []
    while "b" not in taken:
        now += 1
        taken.append(schedule.take(now)[0])
        schedule.done(taken[-1], now, look_again=0.1)
    assert BEGUN <= now <= BEGUN + 3


def test_an_edit_is_looked_at_at_once_whatever_failed_before():
    schedule: Schedule[str] = Schedule(gap=0)
    schedule.add("a", now=0)
    for now in (0, 1, 3, 7, 15):
        schedule.take(now)
        schedule.failed("a", now)
    schedule.add("a", now=16)
    assert schedule.take(16) is None, "an event alone does not hurry it"
    schedule.first("a", now=17)
    schedule.add("a", now=17)
    assert schedule.take(17) == ("a", 0)
    assert schedule.failed("a", 17) == 0.5


async def test_work_begins_when_somebody_leads():
    clock = asyncio.get_running_loop().time
    workers: Workers[str] = Workers(lambda key: asyncio.sleep(60), Metrics(), clock, most=0)
    workers.schedule.add("a", clock() - 3600)
    assert workers.schedule.overdue(clock()) > 3599
    task = asyncio.create_task(workers.run())
    await asyncio.sleep(0)
    assert workers.schedule.overdue(clock()) < 60
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("error", "longest"), [(Unavailable, LONGEST_ABSENCE), (Refused, LONGEST_BACK_OFF)])
async def test_who_waits_for_an_api_server_that_is_away_is_looked_at_soon_after_it_is_back(error, longest):
    now, began = 0.0, []

    async def work(key):
        began.append(now)
        raise error("no")

    workers: Workers[str] = Workers(work, Metrics(), lambda: now)
    workers.add("a")
    for _ in range(20):
        taken = workers.schedule.take(now)
        assert taken is not None
        await workers._one(taken[0])
        now = workers.schedule.next_at()
    assert began[-1] - began[-2] == longest


def test_of_names_that_came_and_went_nothing_is_kept():
    schedule: Schedule[int] = Schedule()
    for key in range(1000):
        now = key * 60.0
        schedule.first(key, now)
        schedule.add(key, now)
        assert schedule.take(now) == (key, 0)
        schedule.failed(key, now)
        now += 1
        assert schedule.take(now)[0] == key
        schedule.forget(key)
        schedule.done(key, now)
    assert schedule.next_at() is None
    kept = {name: len(held) for name in Schedule.__slots__ if hasattr(held := getattr(schedule, name), "__len__")}
    assert len(kept) >= 8
    assert set(kept.values()) == {0}


def test_what_has_a_forgotten_name_is_begun_anew():
    schedule: Schedule[str] = Schedule(gap=0)
    for now in (0.0, 1000.0):
        schedule.add("a", now)
        assert schedule.take(now) == ("a", 0)
        schedule.add("b", now)
        schedule.done("a", now, look_again=1.0)
        assert schedule.take(now + 1) == ("a", 0), "before b, which has been due for longer"
        schedule.forget("a")
        schedule.done("a", now + 1)
        assert schedule.take(now + 1)[0] == "b"
        schedule.forget("b")
        schedule.done("b", now + 1)
