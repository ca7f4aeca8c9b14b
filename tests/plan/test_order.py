"""Add, acknowledge, weight, acknowledge, remove: nothing is routed to what some router lacks."""

from __future__ import annotations

import dataclasses

import pytest

import make
from make import deployment, edited, settle, shares, with_ready, without, world
from wye_operator.plan.names import digest
from wye_operator.plan.planner import plan
from wye_operator.plan.record import Cluster, Published, Record, from_json, to_json
from wye_operator.plan.wanted import Hosts
from wye_operator.plan.world import Address, Keys, RouterSeen

BLUE, GREEN, VIOLET = deployment("blue"), deployment("green", created=1), deployment("violet", created=2)


def serving(*deployments, **spec):
    """A settled world with this Endpoint spec and one ready instance of each Deployment."""
    return settle(world(*deployments, spec=spec))[0]


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


def test_addresses_stay_until_every_router_has_removed_their_cluster() -> None:
    seen, made = settle(world(BLUE, GREEN, spec={"traffic": {"blue": 100}}))
    seen = without(two_routers(seen, made), "green")
    seen = make.acknowledged(make.after(seen, plan(seen)), plan(seen))  # the routes are gone
    leaving = plan(seen)
    assert [c.name for c in leaving.router.clusters] == ["blue"]
    assert [h.cluster for h in leaving.router.hosts] == ["blue", "green"], "routers still watch its addresses"
    assert [h.cluster for h in settle(seen)[1].router.hosts] == ["blue"]


@pytest.mark.parametrize("deleted", [True, False], ids=["with its Deployment", "alone"])
def test_the_last_addresses_stay_while_a_router_may_send_requests_there(deleted) -> None:
    seen = serving(BLUE, GREEN, traffic={"blue": 50, "green": 50})
    before = hosts_of(plan(seen), "green")
    seen = make.ending(seen, "green")
    seen = seen if deleted else dataclasses.replace(seen, deployments=(BLUE, GREEN))
    first = plan(seen)
    assert shares(first) == {"blue": 100}
    assert hosts_of(first, "green") == before
    assert hosts_of(plan(without(make.after(seen, first), "green")), "green") == (), "and no longer than they answer"


def test_instances_that_leave_others_behind_get_no_more_requests() -> None:
    seen = make.ending(serving(BLUE, traffic={"blue": 100}), "blue")
    left = seen.workloads["fraud-blue"].leaving
    seen = make.with_ready(dataclasses.replace(seen, deployments=(BLUE,)), blue=2)
    both = dataclasses.replace(seen.workloads["fraud-blue"], leaving=(Address("127.0.0.1", 9),))
    seen = dataclasses.replace(seen, workloads={"fraud-blue": both})
    assert left
    assert hosts_of(plan(seen), "blue") == tuple(i.address for i in both.ready)


@pytest.mark.parametrize("mirrored", [False, True], ids=["split", "mirrored"])
@pytest.mark.parametrize(("old", "new"), [("a", "z"), ("z", "a")])
def test_a_name_that_passes_to_another_deployment_has_its_addresses_at_once(old, new, mirrored) -> None:
    of_old, of_new = deployment(old, called="green", created=1), deployment(new, called="green", created=2)
    traffic = {"traffic": {"blue": 100}, "mirrorTraffic": {"green": 10}} if mirrored else {"traffic": {"green": 100}}
    seen = serving(BLUE, of_old, **traffic)
    seen = with_ready(dataclasses.replace(seen, deployments=(BLUE, of_old, of_new)), **{new: 1})
    seen = edited(dataclasses.replace(make.ending(seen, old), deployments=(BLUE, of_new)), traffic={"green": 100})
    ready = seen.workloads[f"fraud-{new}"].addresses
    assert ready != seen.workloads[f"fraud-{old}"].addresses
    assert hosts_of(plan(seen), "green") == ready


@pytest.mark.parametrize(("old", "new"), [("a", "z"), ("z", "a")])
def test_a_name_that_has_passed_on_is_its_last_owner_s_also_when_that_one_leaves(old, new) -> None:
    """Routes that did not change since say only the name."""
    of_old, of_new = deployment(old, called="green", created=1), deployment(new, called="green", created=2)
    seen = serving(of_old, traffic={"green": 100})
    seen, _ = settle(dataclasses.replace(seen, now=seen.now + 100))
    seen = with_ready(dataclasses.replace(without(seen, old), deployments=(of_new,)), **{new: 1})
    seen, made = settle(seen)
    assert [c.deployment for c in made.router.clusters] == [f"default/fraud-{new}"]
    seen = make.ending(dataclasses.replace(seen, now=seen.now + 1000), new)
    left = plan(seen)
    assert [c.deployment for c in left.router.clusters] == [f"default/fraud-{new}"]
    assert hosts_of(left, "green") == seen.workloads[f"fraud-{new}"].leaving != ()


def test_a_share_comes_back_when_routers_know_more_than_who_is_on_the_way_out() -> None:
    seen = serving(BLUE, GREEN, traffic={"blue": 50, "green": 50})
    seen = dataclasses.replace(make.ending(seen, "green"), deployments=(BLUE, GREEN), now=seen.now + 100)
    left = seen.workloads["fraud-green"].leaving
    seen, made = settle(seen)
    assert (shares(made), hosts_of(made, "green")) == ({"blue": 100}, left)
    seen = with_ready(seen, green=1)
    another = dataclasses.replace(seen.workloads["fraud-green"].instances[0], address=Address("127.0.0.1", 9))
    workload = dataclasses.replace(seen.workloads["fraud-green"], instances=(another,), leaving=left)
    seen = dataclasses.replace(seen, workloads={**seen.workloads, "fraud-green": workload})
    first = plan(seen)
    assert (shares(first), hosts_of(first, "green")) == ({"blue": 100}, (another.address,))
    assert shares(plan(make.acknowledged(make.after(seen, first), first))) == {"blue": 50, "green": 50}


def hosts_of(made, name):
    """Where routers find a deployment."""
    return next(hosts.instances for hosts in made.router.hosts if hosts.cluster == name)


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


def test_only_the_deployment_s_own_empty_list_makes_a_share_wait() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    seen, made = settle(dataclasses.replace(seen, deployments=(BLUE, GREEN)))
    seen = edited(with_ready(seen, green=1, violet=0), traffic={"green": 100})
    other = dataclasses.replace(seen.workloads["fraud-violet"], fallback=Address("10.96.0.8", 8080))
    seen = dataclasses.replace(seen, workloads={**seen.workloads, "fraud-violet": other})
    of_violet = Hosts("green", (), other.fallback).version
    taken = make.taken_of(made.router)
    taken = dataclasses.replace(taken, endpoints={**taken.endpoints, "green": of_violet})
    seen = dataclasses.replace(seen, routers=(RouterSeen("router-0", ready=True, taken=taken),))
    assert shares(plan(seen)) == {"green": 100}


def test_routers_whose_stats_cannot_be_read_take_nothing_away() -> None:
    seen, made = settle(world(BLUE, GREEN, spec={"traffic": {"blue": 90, "green": 10}}))
    mute = dataclasses.replace(seen, routers=(RouterSeen("router-0", ready=True),))
    again = plan(mute)
    assert (again.router.routes, again.router.clusters) == (made.router.routes, made.router.clusters)


def test_a_router_that_is_stuck_does_not_make_the_record_grow() -> None:
    seen, made = settle(world(BLUE, GREEN, spec={"traffic": {"blue": 100}}))
    stuck = two_routers(seen, made).routers[1]
    seen = two_routers(seen, made)
    for share in range(1, 60):
        seen = edited(seen, traffic={"blue": share, "green": 100 - share})
        made = plan(seen)
        seen = make.acknowledged(make.after(seen, made, seconds=1), made, "router-0")
        assert seen.routers[1] == stuck
    assert len(made.record.routes) <= 4
    assert len(made.record.clusters) <= 4
    assert made.look_again == 0.25


def test_a_late_router_is_asked_less_often() -> None:
    seen, made = settle(world(BLUE, spec={"traffic": {"blue": 100}}))
    seen = edited(two_routers(seen, made), traffic={})
    seen = make.after(seen, plan(seen), seconds=10)
    assert plan(seen).look_again == 4


def test_routers_that_lack_the_new_keys_alone_are_asked_until_they_have_them() -> None:
    seen, made = settle(world(BLUE, spec={"traffic": {"blue": 100}}))
    assert made.look_again is None
    renewed = dataclasses.replace(seen, keys=Keys("new", "other"), now=seen.now + 100)
    assert make.condition(plan(renewed), "Ready") == ("False", "RouterBehind")
    assert plan(renewed).look_again == 0.25


def test_the_record_reads_back_what_it_wrote() -> None:
    record = settle(world(BLUE, VIOLET, spec={"mirrorTraffic": {"violet": 1}}))[1].record
    assert from_json(to_json(record)) == record
    assert from_json(to_json(Record())) == Record()
    own = Record(clusters=(Published("v", (Cluster("own", "default/own", protocol="h2c"),), 1.0),))
    assert from_json(to_json(own)) == own


def test_what_a_cluster_gained_later_makes_no_other_version_of_the_clusters_of_before() -> None:
    """Else every upgrade would have routers acknowledge what they have."""
    assert digest(Cluster("blue", "default/blue")) == digest(
        {"name": "blue", "deployment": "default/blue", "mirror": False}
    )
    assert digest(Cluster("own", "default/own", protocol="h2c")) != digest(Cluster("own", "default/own"))


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
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(wrong)
