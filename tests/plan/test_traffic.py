""" "Traffic, exactly" and the field `traffic` (API.md), sentence by sentence: each test is one of them."""

from __future__ import annotations

import dataclasses

import pytest

import make
from make import deployment, edited, settle, shares, with_ready, without, world
from wye_operator.plan.planner import plan
from wye_operator.plan.record import UNAVAILABLE, Record
from wye_operator.plan.world import RouterSeen

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


# -- order: add, acknowledge, weight, acknowledge, remove ------------------------------------------


def test_a_new_deployment_is_added_acknowledged_weighted_and_the_old_one_removed_last() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    seen = with_ready(dataclasses.replace(seen, deployments=(BLUE, GREEN)), green=1)
    seen = edited(seen, traffic={"green": 100})

    added = plan(seen)
    assert [c.name for c in added.router.clusters] == ["blue", "green"]
    assert shares(added) == {"blue": 100}, "no route before the cluster is acknowledged"
    assert make.message(added).startswith("the routers are still taking green")

    seen = make.acknowledged(make.after(seen, added), added)
    weighted = plan(seen)
    assert shares(weighted) == {"green": 100}

    seen = without(make.after(seen, weighted), "blue")
    leaving = plan(seen)
    assert [c.name for c in leaving.router.clusters] == ["blue", "green"], "no router has let go of blue yet"
    assert [pin.cluster for pin in leaving.router.routes.pins] == ["green"]

    seen = make.acknowledged(make.after(seen, leaving), leaving)
    assert [c.name for c in plan(seen).router.clusters] == ["green"]


def two_routers(seen, made):
    """Both routers have taken everything."""
    taken = make.taken_of(made.router)
    return dataclasses.replace(
        seen, routers=(RouterSeen("router-0", ready=True, taken=taken), RouterSeen("router-1", ready=True, taken=taken))
    )


def test_a_late_router_is_named_and_no_longer_holds_up_what_is_new() -> None:
    seen, made = settle(world(BLUE, spec={"traffic": {"blue": 100}}))
    seen = two_routers(seen, made)
    seen = with_ready(dataclasses.replace(seen, deployments=(BLUE, GREEN)), green=1)
    seen = edited(seen, traffic={"blue": 50, "green": 50})
    added = plan(seen)
    seen = make.acknowledged(make.after(seen, added, seconds=9), added, "router-0")
    waiting = plan(seen)
    assert shares(waiting) == {"blue": 100}
    seen = make.after(seen, waiting, seconds=1)
    weighted = plan(seen)
    assert shares(weighted) == {"blue": 50, "green": 50}
    assert make.condition(weighted, "Ready") == ("False", "RouterBehind")
    assert make.message(weighted).endswith(": router-1")


def test_a_late_router_still_holds_up_removals() -> None:
    seen, made = settle(world(BLUE, GREEN, spec={"traffic": {"blue": 100}}))
    seen = without(two_routers(seen, made), "green")
    for _ in range(4):
        made = plan(seen)
        seen = make.acknowledged(make.after(seen, made, seconds=60), made, "router-0")
    assert [c.name for c in made.router.clusters] == ["blue", "green"]
    seen = make.acknowledged(seen, made, "router-1")
    assert [c.name for c in plan(seen).router.clusters] == ["blue"]


def test_a_router_that_is_not_ready_holds_up_nothing() -> None:
    seen, made = settle(world(BLUE, GREEN, spec={"traffic": {"blue": 100}}))
    first, second = two_routers(seen, made).routers
    seen = dataclasses.replace(seen, routers=(first, dataclasses.replace(second, ready=False)))
    seen = without(seen, "green")
    for _ in range(3):
        made = plan(seen)
        seen = make.acknowledged(make.after(seen, made), made, "router-0")
    assert [c.name for c in made.router.clusters] == ["blue"]


def test_a_share_waits_until_the_routers_have_its_addresses() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    seen, _ = settle(dataclasses.replace(seen, deployments=(BLUE, GREEN)))  # known to routers, without addresses
    seen = edited(with_ready(seen, green=1), traffic={"green": 100})
    first = plan(seen)
    assert shares(first) == {"blue": 100}
    assert make.message(first).startswith("the routers are still taking the addresses of green")
    assert shares(plan(make.acknowledged(make.after(seen, first), first))) == {"green": 100}


def test_routers_whose_stats_cannot_be_read_take_nothing_away() -> None:
    seen, made = settle(world(BLUE, GREEN, spec={"traffic": {"blue": 90, "green": 10}}))
    mute = dataclasses.replace(seen, routers=(RouterSeen("router-0", ready=True),))
    again = plan(mute)
    assert (again.router.routes, again.router.clusters) == (made.router.routes, made.router.clusters)


# -- contracts -------------------------------------------------------------------------------------


def test_what_does_not_agree_gets_no_new_share_and_no_mirror_and_the_difference_is_named() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    seen = dataclasses.replace(seen, deployments=(BLUE, GREEN))
    other = make.instances("green", 1, read=make.signature({"z": ("FP32", [-1, 7])}))
    seen = dataclasses.replace(seen, workloads={**seen.workloads, "fraud-green": other})
    for spec in ({"traffic": {"blue": 90, "green": 10}}, {"traffic": {"blue": 100}, "mirrorTraffic": {"green": 10}}):
        made = settle(edited(seen, **spec))[1]
        assert (shares(made), make.mirrors(made)) == ({"blue": 100}, {})
        assert make.condition(made, "Ready") == ("False", "SignatureMismatch")
        assert make.condition(made, "Ready", of="green") == ("False", "SignatureMismatch")
        assert "it has no input x" in make.message(made)


def test_a_share_in_effect_is_never_taken_away_for_its_contract() -> None:
    seen = serving(BLUE, GREEN, traffic={"blue": 90, "green": 10})
    other = make.instances("green", 1, read=make.signature({"z": ("FP32", [-1, 7])}))
    made = settle(dataclasses.replace(seen, workloads={**seen.workloads, "fraud-green": other}))[1]
    assert shares(made) == {"blue": 90, "green": 10}


def test_a_signature_that_could_not_be_read_yet_waits_with_why() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    seen = with_ready(dataclasses.replace(seen, deployments=(BLUE, GREEN)), green=1)
    (instance,) = seen.workloads["fraud-green"].instances
    unread = dataclasses.replace(instance, signature=None, unread="timed out")
    workload = dataclasses.replace(seen.workloads["fraud-green"], instances=(unread,))
    seen = dataclasses.replace(seen, workloads={**seen.workloads, "fraud-green": workload})
    made = settle(edited(seen, traffic={"blue": 50, "green": 50}))[1]
    assert shares(made) == {"blue": 100}
    assert make.message(made) == "the signature of green could not be read yet (timed out)"


def test_another_model_name_is_a_mismatch() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    named = deployment("green", created=1, model={"uri": "file://m", "name": "other"})
    seen = with_ready(dataclasses.replace(seen, deployments=(BLUE, named)), green=1)
    made = settle(edited(seen, traffic={"blue": 50, "green": 50}))[1]
    assert make.message(made) == "green does not keep what callers are promised: its model is called other, want fraud"


# -- what is missing stops nothing -----------------------------------------------------------------


def test_a_model_source_that_is_gone_leaves_the_workload_as_it_is() -> None:
    gone = dataclasses.replace(BLUE, content="", content_problem="no such file: model.onnx")
    seen = serving(BLUE, traffic={"blue": 100})
    made = settle(dataclasses.replace(seen, deployments=(dataclasses.replace(gone, status=None),)))[1]
    assert (made.held, made.workloads) == (("fraud-blue",), ())
    assert make.condition(made, "Ready", of="blue") == ("False", "ModelFetch")
    assert shares(made) == {"blue": 100}


def test_the_deployments_of_a_gone_endpoint_run_on_for_its_grace_then_scale_to_zero_and_come_back() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    gone = dataclasses.replace(seen, endpoint=None)
    first = plan(gone)
    assert (first.held, first.router) == (("fraud-blue",), None)
    assert first.look_again == 300
    later = make.after(gone, first, seconds=299)
    assert plan(later).held == ("fraud-blue",)
    over = plan(make.after(later, plan(later), seconds=1))
    assert [(w.deployment, w.instances) for w in over.workloads] == [("fraud-blue", 0)]
    back = plan(dataclasses.replace(later, endpoint=seen.endpoint))
    assert [(w.deployment, w.instances) for w in back.workloads] == [("fraud-blue", 1)]


def test_a_deployment_whose_endpoint_never_existed_runs_nothing() -> None:
    made = plan(dataclasses.replace(world(BLUE, ready={}), endpoint=None))
    assert [(w.deployment, w.instances) for w in made.workloads] == [("fraud-blue", 0)]
    assert make.condition(made, "Ready", of="blue") == ("False", "EndpointNotFound")


def test_the_record_reads_back_what_it_wrote() -> None:
    from wye_operator.plan.record import from_json, to_json

    record = settle(world(BLUE, VIOLET, spec={"mirrorTraffic": {"violet": 1}}))[1].record
    assert from_json(to_json(record)) == record
    assert from_json(to_json(Record())) == Record()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"traffic": 7, "mirrorTraffic": None, "clusters": [], "routes": [], "hosts": {}},
        {"traffic": None, "mirrorTraffic": None, "clusters": [{}], "routes": [], "hosts": {}},
        {"traffic": {"blue": "much"}, "mirrorTraffic": None, "clusters": [], "routes": [], "hosts": {}},
        {"traffic": None, "mirrorTraffic": None, "clusters": [], "routes": [], "hosts": []},
    ],
    ids=["empty", "a number", "a cluster of nothing", "a share in words", "a list"],
)
def test_what_is_no_record_is_refused(wrong) -> None:
    from wye_operator.plan.record import from_json

    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(wrong)


def test_copies_that_routers_did_not_make_are_in_the_status() -> None:
    seen = serving(BLUE, VIOLET, traffic={"blue": 100}, mirrorTraffic={"violet": 50})
    (router,) = seen.routers
    routers = tuple(dataclasses.replace(router, name=n, left_out={"violet~mirror": c}) for n, c in (("a", 3), ("b", 4)))
    shown = plan(dataclasses.replace(seen, routers=routers)).endpoint_status.deployments
    assert {share.name: share.mirror_dropped for share in shown} == {"blue": None, "violet": 7}
