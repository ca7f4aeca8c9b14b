""" "Traffic, exactly" and the field `traffic` (API.md), sentence by sentence: each test is one of them."""

from __future__ import annotations

import dataclasses

import pytest

import make
from make import deployment, edited, settle, shares, with_ready, without, world
from wye_operator.plan.planner import plan
from wye_operator.plan.record import UNAVAILABLE
from wye_operator.plan.world import Taken

BLUE, GREEN, VIOLET = deployment("blue"), deployment("green", created=1), deployment("violet", created=2)


def serving(*deployments, **spec):
    """A settled world with this Endpoint spec and one ready instance of each Deployment."""
    return settle(world(*deployments, spec=spec))[0]


# -- absent traffic --------------------------------------------------------------------------------


def test_a_deployment_alone_when_it_becomes_ready_gets_all() -> None:
    made = settle(world(BLUE))[1]
    assert shares(made) == {"blue": 100}
    assert made.record.traffic == {"blue": 10_000}


def test_before_it_is_ready_it_gets_nothing() -> None:
    made = settle(world(BLUE, ready={"blue": 0}))[1]
    assert made.record.traffic is None
    assert made.router.routes.plain == "NoReadyPod"
    assert make.condition(made, "Ready") == ("False", "WaitingForDeployment")


def test_another_one_arriving_changes_nothing_and_gets_nothing() -> None:
    seen = serving(BLUE)
    made = settle(make.with_ready(dataclasses.replace(seen, deployments=(BLUE, GREEN)), green=1))[1]
    assert shares(made) == {"blue": 100}
    assert make.condition(made, "Ready") == ("True", "Ready")
    assert [e.message for e in made.events if e.reason == "TrafficKept"] == [
        "green gets no traffic until spec.traffic names it (blue=100 stays in effect): traffic: {blue: 100, green: 0}"
    ]


def test_several_before_the_first_is_ready_need_traffic_written() -> None:
    made = settle(world(BLUE, GREEN))[1]
    assert shares(made) == {}
    assert make.condition(made, "Ready") == ("False", "TrafficNotSet")
    assert make.condition(made, "Stalled") == ("True", "TrafficNotSet")
    assert made.router.routes.plain == "NoLiveTraffic"


def test_traffic_removed_later_what_is_in_effect_stays_and_an_event_says_so() -> None:
    seen = serving(BLUE, GREEN, traffic={"blue": 90, "green": 10})
    made = settle(edited(seen))[1]
    assert shares(made) == {"blue": 90, "green": 10}
    assert "spec.traffic is not set any more: blue=90 green=10 stays in effect" in [e.message for e in made.events]


def test_mirror_targets_do_not_count_as_candidates() -> None:
    made = settle(world(BLUE, VIOLET, spec={"mirrorTraffic": {"violet": 50}}))[1]
    assert shares(made) == {"blue": 100}
    assert make.mirrors(made) == {"violet": 50}


def test_the_one_in_effect_deleted_and_one_remains_that_one_gets_all() -> None:
    seen = serving(BLUE)
    seen = settle(with_ready(dataclasses.replace(seen, deployments=(BLUE, GREEN)), green=1))[0]
    made = settle(without(seen, "blue"))[1]
    assert shares(made) == {"green": 100}


def test_the_one_in_effect_deleted_and_several_remain_need_traffic_written() -> None:
    seen = serving(BLUE)
    more = dataclasses.replace(seen, deployments=(BLUE, GREEN, VIOLET))
    seen = settle(with_ready(more, green=1, violet=1))[0]
    made = settle(without(seen, "blue"))[1]
    assert make.condition(made, "Ready") == ("False", "TrafficNotSet")


@pytest.mark.parametrize("asked", [{}, {"blue": 0}], ids=["empty traffic", "all zeros"])
def test_no_live_traffic_is_404_for_plain_calls_and_pins_work(asked) -> None:
    made = settle(world(BLUE, spec={"traffic": asked}))[1]
    assert made.router.routes.plain == "NoLiveTraffic"
    assert [pin.cluster for pin in made.router.routes.pins] == ["blue"]
    assert make.condition(made, "Ready") == ("True", "Ready")
    assert make.condition(made, "Serving") == ("False", "NoLiveTraffic")


# -- taken whole or not at all ---------------------------------------------------------------------


def test_a_change_waits_until_every_gaining_name_is_ready() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    seen = dataclasses.replace(seen, deployments=(BLUE, GREEN, VIOLET))
    seen = edited(with_ready(seen, green=1, violet=0), traffic={"blue": 50, "green": 25, "violet": 25})
    waiting, made = settle(seen)
    assert shares(made) == {"blue": 100}
    assert make.condition(made, "Ready") == ("False", "WaitingForDeployment")
    assert make.message(made) == "violet has no ready instance"
    made = settle(with_ready(waiting, violet=1))[1]
    assert shares(made) == {"blue": 50, "green": 25, "violet": 25}


def test_a_name_that_loses_share_need_not_be_ready() -> None:
    seen = serving(BLUE, GREEN, traffic={"blue": 50, "green": 50})
    made = settle(edited(with_ready(seen, blue=0), traffic={"blue": 10, "green": 90}))[1]
    assert made.record.traffic == {"blue": 1000, "green": 9000}


def test_a_mirror_never_holds_up_traffic() -> None:
    made = settle(
        world(BLUE, VIOLET, spec={"traffic": {"blue": 100}, "mirrorTraffic": {"violet": 50}}, ready={"blue": 1})
    )[1]
    assert (shares(made), make.mirrors(made)) == ({"blue": 100}, {})
    assert make.condition(made, "Serving") == ("True", "Serving")


def test_a_mirror_begins_and_pauses_with_its_target() -> None:
    seen = serving(BLUE, VIOLET, traffic={"blue": 100}, mirrorTraffic={"violet": 50})
    assert make.mirrors(plan(seen)) == {"violet": 50}
    seen, made = settle(with_ready(seen, violet=0))
    assert make.mirrors(made) == {}
    assert make.mirrors(settle(with_ready(seen, violet=2))[1]) == {"violet": 50}


def test_each_mirror_begins_by_itself() -> None:
    spec = {"traffic": {"blue": 100}, "mirrorTraffic": {"violet": 50, "green": 5}}
    made = settle(world(BLUE, GREEN, VIOLET, spec=spec, ready={"blue": 1, "green": 1}))[1]
    assert make.mirrors(made) == {"green": 5}


def test_with_nothing_in_effect_the_ready_names_share_in_proportion() -> None:
    spec = {"traffic": {"blue": 60, "green": 30, "violet": 10}}
    made = settle(world(BLUE, GREEN, VIOLET, spec=spec, ready={"green": 1, "violet": 1}))[1]
    assert shares(made) == {"green": 75, "violet": 25}
    assert made.record.traffic is None
    assert make.condition(made, "Ready") == ("False", "WaitingForDeployment")


def test_with_nothing_in_effect_and_none_ready_it_is_503() -> None:
    made = settle(world(BLUE, spec={"traffic": {"blue": 100}}, ready={}))[1]
    assert made.router.routes.plain == "NoReadyPod"
    assert make.condition(made, "Serving") == ("False", "NoReadyPod")


def test_what_is_in_effect_survives_a_restart() -> None:
    seen = serving(BLUE, GREEN, traffic={"blue": 90, "green": 10})
    forgetful = edited(without(seen, "violet"), traffic={"blue": 50, "red": 50})
    made = settle(dataclasses.replace(forgetful, record=seen.record))[1]
    assert shares(made) == {"blue": 90, "green": 10}


def test_a_mirror_waits_while_its_target_has_a_live_share_in_effect() -> None:
    seen = serving(BLUE, VIOLET, traffic={"blue": 50, "violet": 50})
    seen = dataclasses.replace(seen, deployments=(*seen.deployments, GREEN))
    moved = edited(seen, traffic={"blue": 50, "green": 50}, mirrorTraffic={"violet": 10})
    seen, made = settle(moved)
    assert (shares(made), make.mirrors(made)) == ({"blue": 50, "violet": 50}, {})
    made = settle(with_ready(seen, green=1))[1]
    assert (shares(made), make.mirrors(made)) == ({"blue": 50, "green": 50}, {"violet": 10})


def test_a_deployment_without_a_share_is_routed_by_name_only() -> None:
    made = settle(world(BLUE, GREEN, spec={"traffic": {"blue": 100}}))[1]
    assert [pin.cluster for pin in made.router.routes.pins] == ["blue", "green"]
    assert shares(made) == {"blue": 100}


def test_percentages_have_two_decimals() -> None:
    made = settle(world(BLUE, GREEN, spec={"traffic": {"blue": 99.75, "green": 0.25}}))[1]
    assert shares(made) == {"blue": 99.75, "green": 0.25}


# -- fail-over -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failover", "lost", "expected"),
    [
        ("Redistribute", "not ready", {"green": 75, "violet": 25}),
        ("Redistribute", "deleted", {"green": 75, "violet": 25}),
        ("Fail", "not ready", {"blue": 60, "green": 30, "violet": 10}),
        ("Fail", "deleted", {"green": 30, "violet": 10, UNAVAILABLE: 60}),
    ],
    ids=lambda value: str(value),
)
def test_the_share_of_a_lost_deployment(failover, lost, expected) -> None:
    spec = {"traffic": {"blue": 60, "green": 30, "violet": 10}, "failover": failover}
    seen = serving(BLUE, GREEN, VIOLET, **spec)
    made = settle(without(seen, "blue") if lost == "deleted" else with_ready(seen, blue=0))[1]
    assert shares(made) == expected
    assert make.condition(made, "Ready") == ("False", "Degraded")
    assert made.record.traffic == {"blue": 6000, "green": 3000, "violet": 1000}, "a fail-over is never recorded"


def test_a_lost_deployment_gets_its_share_back() -> None:
    seen = serving(BLUE, GREEN, traffic={"blue": 90, "green": 10})
    seen = settle(with_ready(seen, blue=0))[0]
    assert shares(settle(with_ready(seen, blue=1))[1]) == {"blue": 90, "green": 10}


def test_status_shows_the_weights_that_routers_have() -> None:
    seen = serving(BLUE, GREEN, traffic={"blue": 90, "green": 10})
    made = settle(with_ready(seen, blue=0))[1]
    assert made.endpoint_status.traffic == {"green": 100}
    assert made.endpoint_status.traffic_text == "green=100"


def test_when_all_are_lost_the_shares_stay_and_the_router_answers_503() -> None:
    seen = serving(BLUE, GREEN, traffic={"blue": 90, "green": 10})
    made = settle(with_ready(seen, blue=0, green=0))[1]
    assert shares(made) == {"blue": 90, "green": 10}
    assert make.condition(made, "Serving") == ("False", "NoReadyPod")


def test_no_mirror_becomes_live_by_fail_over() -> None:
    seen = serving(BLUE, VIOLET, traffic={"blue": 100}, mirrorTraffic={"violet": 50})
    made = settle(with_ready(seen, blue=0))[1]
    assert shares(made) == {"blue": 100}


def test_plain_calls_are_503_while_the_only_candidate_is_not_ready_whatever_is_mirrored() -> None:
    made = settle(world(BLUE, VIOLET, spec={"mirrorTraffic": {"violet": 5}}, ready={"violet": 1}))[1]
    assert made.router.routes.plain == "NoReadyPod"


def test_the_record_keeps_a_mirror_that_pauses_and_forgets_one_that_is_not_asked_for() -> None:
    seen = serving(BLUE, VIOLET, traffic={"blue": 100}, mirrorTraffic={"violet": 50})
    seen, made = settle(with_ready(seen, violet=0))
    assert (make.mirrors(made), made.record.mirrors) == ({}, {"violet": 5000})
    assert settle(edited(seen, traffic={"blue": 100}))[1].record.mirrors == {}


def test_what_is_in_effect_is_what_every_router_that_answers_has() -> None:
    seen = edited(serving(BLUE, GREEN, traffic={"blue": 100}), traffic={"blue": 50, "green": 50})
    made = plan(seen)
    assert shares(made) == {"blue": 50, "green": 50}
    (router,) = seen.routers
    new = dataclasses.replace(router, name="new", taken=make.taken_of(made.router))
    silent = dataclasses.replace(new, name="silent", taken=Taken(), silent=True)
    both = {"blue": 50, "green": 50}
    for routers, shown in (((router, new), {"blue": 100}), ((new, silent), both), ((silent,), both), ((), both)):
        assert plan(dataclasses.replace(seen, routers=routers)).endpoint_status.traffic == shown


def test_spans_that_no_collector_took_are_in_the_status_and_nothing_else_changes() -> None:
    tracing = {"endpoint": "http://collector:4318"}
    seen = serving(BLUE, traffic={"blue": 100}, tracing=tracing)
    (router,) = seen.routers
    lost = dataclasses.replace(router.taken, traces_lost=3)
    routers = tuple(dataclasses.replace(router, name=name, taken=lost) for name in "ab")
    well, hurt = plan(seen), plan(dataclasses.replace(seen, routers=routers))
    assert well.endpoint_status.router.traces_dropped == 0
    assert hurt.endpoint_status.router.traces_dropped == 6
    assert hurt.endpoint_status.conditions == well.endpoint_status.conditions
    assert [event.reason for event in hurt.events if event not in well.events] == ["TracesLost"]
    assert plan(serving(BLUE, traffic={"blue": 100})).endpoint_status.router.traces_dropped is None


def test_copies_that_routers_did_not_make_are_in_the_status() -> None:
    seen = serving(BLUE, VIOLET, traffic={"blue": 100}, mirrorTraffic={"violet": 50})
    (router,) = seen.routers
    say = {n: dataclasses.replace(router.taken, left_out={"violet~mirror": c}) for n, c in (("a", 3), ("b", 4))}
    routers = tuple(dataclasses.replace(router, name=n, taken=taken) for n, taken in say.items())
    shown = plan(dataclasses.replace(seen, routers=routers)).endpoint_status.deployments
    assert {share.name: share.mirror_dropped for share in shown} == {"blue": None, "violet": 7}
