"""Whole passes until everything is settled, over a cluster in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from wye_operator.cluster.base import Memory
from wye_operator.cluster.counting import Counting, pause
from wye_operator.cluster.errors import Conflict, Forbidden, NotFound, Refused, TooMany, Unavailable
from wye_operator.cluster.kinds import (
    BUDGETS,
    CONFIGMAPS,
    DEPLOYMENTS,
    ENDPOINTS,
    EVENTS,
    PODS,
    SECRETS,
    SERVICES,
    WORKLOADS,
)
from wye_operator.cluster.passes import EndpointTarget, Passes
from wye_operator.cluster.store import Key
from wye_operator.errors import WyeError

from .place import NOWHERE, Place, deployment, endpoint


@pytest.fixture
def place():
    return Place()


async def serving(place, **spec):
    place.api.user(endpoint(**spec))
    place.api.user(deployment())
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready"), place.status(ENDPOINTS, "fraud")
    place.api.calls.clear()
    return place


async def test_an_endpoint_and_its_deployment_become_ready(place):
    await serving(place)
    assert place.ready(DEPLOYMENTS, "fraud-blue") == ("True", "Ready")
    assert place.status(ENDPOINTS, "fraud")["trafficText"] == "blue=100"
    assert place.status(ENDPOINTS, "fraud")["observedGeneration"] == 1
    assert place.status(ENDPOINTS, "fraud")["scoringUri"] == "http://fraud.default.svc/score"
    assert place.status(ENDPOINTS, "fraud")["grpcTarget"] == "fraud.default.svc:80"
    assert place.status(DEPLOYMENTS, "fraud-blue")["image"] == "wye-runtime:1"
    assert place.api.names(WORKLOADS) == ["fraud-blue-model", "fraud-router"]
    assert place.api.names(SECRETS) == ["fraud-keys", "fraud-router"]


async def test_users_objects_have_no_trace_of_us_in_metadata(place):
    await serving(place)
    for kind, name in ((ENDPOINTS, "fraud"), (DEPLOYMENTS, "fraud-blue")):
        assert not place.api.find(kind, name)["metadata"].keys() & {"annotations", "labels", "finalizers"}


async def test_a_restart_writes_nothing(place):
    await serving(place)
    place.restart()
    await place.settle()
    assert place.api.writes == []


async def test_nothing_is_written_at_rest(place):
    await serving(place)
    for _ in range(4):
        place.time += 31
        await place.reads.refresh()
        await place.settle()
    assert place.api.writes == []


async def test_an_edit_that_comes_just_before_our_status_is_seen_though_its_event_is_older(place):
    await serving(place)
    late = []
    place.api.heard = [lambda *event: late.append(event)]

    def edit(verb, kind, name):
        if (verb, kind) == ("status", ENDPOINTS) and place.api.find(ENDPOINTS, name)["metadata"]["generation"] == 2:
            place.api.user(endpoint(traffic={"blue": 0}))

    place._hear(ENDPOINTS, "MODIFIED", place.api.user(endpoint(traffic={"blue": 100})))
    place.api.fail = edit
    await place.settle()
    for event in late:
        place._hear(*event)
    await place.settle()
    assert place.status(ENDPOINTS, "fraud")["observedGeneration"] == 3
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert place.status(ENDPOINTS, "fraud").get("traffic", {}) == {}


async def test_a_second_deployment_gets_its_share_in_order(place):
    await serving(place)
    place.api.user(deployment("fraud-green"))
    place.api.user(endpoint(traffic={"blue": 90, "green": 10}))
    await place.settle()
    assert place.status(ENDPOINTS, "fraud")["trafficText"] == "blue=90 green=10"
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert place.status(ENDPOINTS, "fraud")["observedGeneration"] == 2


async def test_what_is_left_of_a_deleted_deployment_is_asked_until_no_router_sends_anything_there(place):
    """Its Service is gone before the first pass, and a router may have the empty list before the routes."""
    await serving(place)
    place.api.user(deployment("fraud-green"))
    place.api.user(endpoint(traffic={"blue": 50, "green": 50}))
    await place.settle()
    pods = place.api.names(PODS)
    name, router = (next(p for p in pods if p.startswith(of)) for of in ("fraud-green", "fraud-router"))
    green = place.api.find(PODS, name)
    place.pods.asleep.add(router)
    place.api.remove(DEPLOYMENTS, "fraud-green")
    place.api.user({**green, "metadata": {**green["metadata"], "deletionTimestamp": "2026-11-01T00:00:00Z"}})
    await place.settle(seconds=8)
    files = place.api.find(CONFIGMAPS, "fraud-router")["data"]
    assert green["status"]["podIP"] in files["eds-green.json"]
    assert '"green"' not in files["rds.json"]
    place.pods.asleep.clear()
    place.api.remove(PODS, name)
    await place.settle(horizon=30)
    assert "eds-green.json" not in place.api.find(CONFIGMAPS, "fraud-router")["data"]


async def test_an_empty_map_is_left_out_of_the_status(place):
    """Server-side apply makes a null of a map whose entries we stop wanting, and the CRD refuses that."""
    await serving(place)
    assert "mirrorTraffic" not in place.status(ENDPOINTS, "fraud")
    assert place.status(ENDPOINTS, "fraud")["traffic"] == {"blue": 100}


async def test_a_deleted_child_is_made_again_and_a_changed_one_is_put_right(place):
    await serving(place)
    place.api.remove(SERVICES, "fraud-blue-model")
    workload = place.api.find(WORKLOADS, "fraud-blue-model")
    place.api.user({**workload, "spec": {**workload["spec"], "replicas": 0}})
    await place.settle()
    assert place.api.find(WORKLOADS, "fraud-blue-model")["spec"]["replicas"] == 1
    assert "fraud-blue-model" in place.api.names(SERVICES)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def test_who_removes_the_routers_files_does_not_take_the_traffic_away(place):
    """Without `traffic` nothing but the record says who has it, and several are there."""
    await serving(place)
    place.api.user(deployment("fraud-green"))
    await place.settle()
    place.api.remove(CONFIGMAPS, "fraud-router")
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert place.status(ENDPOINTS, "fraud")["trafficText"] == "blue=100"


async def test_who_removes_a_child_again_and_again_is_not_fought(place):
    await serving(place)
    for _ in range(12):
        if "fraud-blue-model" in place.api.names(SERVICES):
            place.api.remove(SERVICES, "fraud-blue-model")
        await place.settle(horizon=0.3)
    made = [c for c in place.api.calls if c == ("apply", "services", "fraud-blue-model")]
    assert len(made) <= 5
    assert place.ready(DEPLOYMENTS, "fraud-blue") == ("False", "InvalidDeploymentSpec")
    assert "somebody removes it" in place.status(DEPLOYMENTS, "fraud-blue")["conditions"][0]["message"]
    assert place.failures == []
    await place.settle(horizon=10)
    assert "fraud-blue-model" in place.api.names(SERVICES)
    assert place.ready(DEPLOYMENTS, "fraud-blue") == ("True", "Ready")


async def test_two_operators_of_one_namespace_do_not_fight_for_ever_and_say_what_is_wrong(place):
    """One for all namespaces and one for this one: each wants its own namespace in the NetworkPolicies."""
    await serving(place)
    (key,) = place.passes.targets
    elsewhere = replace(NOWHERE, operator_namespace="team-a")
    other = Passes(replace(place.passes.cluster, place=elsewhere), place.schedule.forget)
    said = []
    for _ in range(10):
        for passes in (other, place.passes):
            try:
                await passes.run(key)
            except WyeError as error:
                said.append(str(error))
    policies = [call for call in place.api.calls if call[:2] == ("apply", "networkpolicies")]
    assert len(policies) <= 16, "two operators, two policies, each at most four times: not at every pass"
    assert "another Wye operator writes NetworkPolicy fraud-blue-model too" in said[0]
    assert "--namespace" in said[0]
    told = [e for (k, _, _), e in place.api.objects.items() if k == EVENTS and e["reason"] == "TwoOperators"]
    assert sorted(e["note"] for e in told) == sorted(set(said)), "each says it once"
    assert {(e["regarding"]["kind"], e["regarding"]["name"]) for e in told} == {("Endpoint", "fraud")}
    assert "beside that in namespace wye-system" in told[0]["note"]


async def test_a_budget_goes_with_the_second_instance(place):
    await serving(place)
    place.api.user(deployment(instanceCount=2))
    await place.settle()
    assert place.api.names(BUDGETS) == ["fraud-blue-model"]
    place.api.user(deployment(instanceCount=1))
    await place.settle()
    assert place.api.names(BUDGETS) == []


async def test_nothing_is_removed_while_its_kind_could_not_be_listed(place):
    await serving(place)
    place.api.user(deployment(instanceCount=2))
    await place.settle()
    place.store.listed.discard(BUDGETS)
    place.api.user(deployment(instanceCount=1))
    await place.settle()
    assert place.api.names(BUDGETS) == ["fraud-blue-model"]


async def test_an_endpoint_that_only_the_store_lost_goes_on(place):
    await serving(place)
    place.store.drop(ENDPOINTS, {"metadata": {**place.api.find(ENDPOINTS, "fraud")["metadata"]}})
    place.store.drop(DEPLOYMENTS, {"metadata": {**place.api.find(DEPLOYMENTS, "fraud-blue")["metadata"]}})
    place.wake(next(iter(place.passes.targets)))
    await place.settle()
    assert place.api.writes == []
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def test_no_workload_is_touched_while_the_kind_is_gone(place):
    """A re-installed CRD: the server knows no such kind for a while, and says 404 to everything."""
    await serving(place)
    place.store.drop(ENDPOINTS, {"metadata": {**place.api.find(ENDPOINTS, "fraud")["metadata"]}})
    gone = NotFound("the server could not find the requested resource", status=404)
    place.api.fail = lambda verb, kind, name: gone if kind == ENDPOINTS else None
    place.wake(next(iter(place.passes.targets)))
    await place.settle(horizon=1)
    assert place.api.writes == []
    assert any("knows no mlendpoints" in str(f) for f in place.failures)


async def test_deployments_of_a_deleted_endpoint_stop_after_the_grace_and_come_back(place):
    await serving(place)
    place.api.remove(ENDPOINTS, "fraud")
    await place.settle()
    assert place.ready(DEPLOYMENTS, "fraud-blue") == ("False", "EndpointNotFound")
    assert place.api.find(WORKLOADS, "fraud-blue-model")["spec"]["replicas"] == 1
    await place.settle(horizon=400)
    assert place.api.find(WORKLOADS, "fraud-blue-model")["spec"]["replicas"] == 0
    place.api.user(endpoint())
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def test_a_deployment_that_comes_back_at_another_endpoint_is_seen_there(place):
    """The garbage collector is slow, and the pass of the Endpoint it had before sees it first."""
    await serving(place)
    place.api.user(endpoint("other"))
    await place.settle()
    workload = place.api.find(WORKLOADS, "fraud-blue-model")
    late = []
    place.api.heard = [lambda *event: late.append(event)]
    place.api.remove(DEPLOYMENTS, "fraud-blue")
    gone = [event for event in late if event[0] != WORKLOADS]
    place.api.user(workload)
    late.clear()
    place.api.user(deployment("fraud-blue", of="other"))
    for event in gone:
        place._hear(*event)
    (key,) = place.passes.targets.keys() - {Key("default", "other")}
    place.schedule.take(place.time + 1)
    await place._pass(key)
    place.api.heard = [place._hear]
    place.api.remove(WORKLOADS, "fraud-blue-model")
    for event in late:
        place._hear(*event)
    await place.settle()
    assert place.ready(DEPLOYMENTS, "fraud-blue") == ("True", "Ready")


async def test_a_lost_deletion_ends_with_the_next_list_and_no_fight(place):
    await serving(place)
    place.api.remove(ENDPOINTS, "fraud", quietly=True)
    place.api.remove(DEPLOYMENTS, "fraud-blue", quietly=True)
    await place.list()
    await place.settle()
    assert place.api.writes == []
    assert place.passes.targets == {}
    assert (place.schedule._started, place.schedule._first) == ({}, {})


async def test_somebody_elses_object_of_our_name_is_left_alone(place):
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "fraud"},
        "spec": {"selector": {}, "ports": []},
    }
    place.api.user(foreign)
    place.api.user(endpoint())
    place.api.user(deployment())
    await place.settle(horizon=3)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "NameTaken")
    assert place.api.find(SERVICES, "fraud")["spec"] == {"selector": {}, "ports": [], "clusterIP": "10.96.0.1"}
    place.api.remove(SERVICES, "fraud")
    await place.settle(horizon=6)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def test_what_came_while_ours_was_refused_is_not_taken_over(place):
    """Something of our name was there, was gone when it was asked for, and another is there now."""
    theirs = {"selector": {}, "ports": [], "clusterIP": "10.96.0.9"}
    foreign = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fraud"}, "spec": theirs}
    tries = []

    def fail(verb, kind, name):
        if (verb, kind, name) != ("apply", SERVICES, "fraud"):
            return None
        tries.append(name)
        if len(tries) == 2:
            place.api.user(foreign)
        return Conflict("the object has been modified", status=409) if len(tries) == 1 else None

    place.api.fail = fail
    place.api.user(endpoint())
    place.api.user(deployment())
    await place.settle(horizon=3)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "NameTaken")
    assert place.api.find(SERVICES, "fraud")["spec"] == theirs


async def test_objects_of_an_earlier_life_are_waited_for(place):
    await serving(place)
    old = {k: o for k, o in place.api.objects.items() if k[0] == CONFIGMAPS}
    place.api.remove(ENDPOINTS, "fraud")
    place.api.user(endpoint())
    for body in old.values():  # the garbage collector has not come yet
        if body["metadata"]["name"] == "fraud-router":
            place.api.user(body)
    await place.settle(horizon=3)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "OwnerGoing")
    place.api.remove(CONFIGMAPS, "fraud-router")
    await place.settle(horizon=6)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def test_what_the_cluster_refuses_is_told_with_its_own_words(place):
    refusal = Refused("spec.template.spec.priorityClassName: no such class", status=422)
    place.api.fail = lambda *call: refusal if call == ("apply", WORKLOADS, "fraud-blue-model") else None
    place.api.user(endpoint())
    place.api.user(deployment())
    await place.settle(horizon=3)
    assert place.ready(DEPLOYMENTS, "fraud-blue") == ("False", "InvalidDeploymentSpec")
    ready = place.status(DEPLOYMENTS, "fraud-blue")["conditions"][0]
    assert "no such class" in ready["message"]


QUOTA = "exceeded quota: few, requested: count/{0}=1, used: count/{0}=9, limited: count/{0}=9"
POLICY = 'admission webhook "policy.example" denied the request: users cannot use this {0}'


@pytest.mark.parametrize("words", [QUOTA, POLICY], ids=["a quota", "an admission policy"])
async def test_what_a_quota_or_a_policy_forbids_is_told_and_the_rest_is_written(place, words):
    """They answer 403, as a role does that is too narrow."""
    refusal = Forbidden(f'services "fraud" is forbidden: {words.format("services")}', status=403)
    place.api.fail = lambda *call: refusal if call == ("apply", SERVICES, "fraud") else None
    place.api.user(endpoint())
    place.api.user(deployment())
    await place.settle(horizon=3)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "InvalidDeploymentSpec")
    assert f"refuses Service fraud: {refusal}" in place.status(ENDPOINTS, "fraud")["conditions"][0]["message"]
    assert "fraud-router" in place.api.names(WORKLOADS)
    assert place.failures == []


async def test_keys_that_are_refused_are_told_and_no_router_gets_keys_that_nobody_has(place):
    refusal = Forbidden(f'secrets "fraud-keys" is forbidden: {QUOTA.format("secrets")}', status=403)
    place.api.fail = lambda *call: refusal if call[0] == "create" and call[1] == SECRETS else None
    place.api.user(endpoint())
    place.api.user(deployment())
    await place.settle(horizon=3)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "InvalidDeploymentSpec")
    assert place.api.names(SECRETS) == []
    place.api.fail = lambda *call: None
    await place.settle(horizon=6)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


@pytest.mark.parametrize(
    "words",
    [
        'User "system:serviceaccount:wye-system:wye" cannot patch resource "services" in API group "" in the namespace',
        "unable to create new content in namespace default because it is being terminated",
    ],
    ids=["a role", "a namespace that ends"],
)
async def test_what_would_be_forbidden_of_any_object_fails_the_pass(place, words):
    refusal = Forbidden(f'services "fraud" is forbidden: {words}', status=403)
    place.api.fail = lambda *call: refusal if call[:2] == ("apply", SERVICES) else None
    place.api.user(endpoint())
    await place.settle(horizon=1)
    assert place.failures
    assert place.status(ENDPOINTS, "fraud") == {}


@pytest.mark.parametrize(
    ("workload", "kind", "name"),
    [("fraud-blue-model", DEPLOYMENTS, "fraud-blue"), ("fraud-router", ENDPOINTS, "fraud")],
    ids=["of a model", "of routers"],
)
async def test_pods_that_the_cluster_refuses_are_told_with_its_own_words(place, workload, kind, name):
    """A quota, pod security or a policy refuses the pods; the Deployment of apps/v1 itself was taken."""
    words = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": hostPath volumes'
    place.machinery.refused[workload] = words
    place.api.user(endpoint())
    place.api.user(deployment())
    await place.settle(horizon=16, seconds=60)
    assert place.ready(kind, name) == ("False", "InvalidDeploymentSpec")
    assert words in place.status(kind, name)["conditions"][0]["message"]
    del place.machinery.refused[workload]
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert place.ready(DEPLOYMENTS, "fraud-blue") == ("True", "Ready")


async def test_a_busy_server_is_asked_again_when_it_said(place):
    times = iter([TooMany("later", status=429, retry_after=3)])
    place.api.fail = lambda verb, kind, name: next(times, None) if verb == "apply" else None
    await serving(place)
    assert place.time > 1003


@pytest.mark.parametrize(
    "error",
    [
        Conflict("the object has been modified", status=409),
        TooMany("later", status=429, retry_after=2),
        Unavailable("etcdserver: request timed out", status=500),
        Unavailable("the server is currently unable to handle the request", status=503),
    ],
    ids=lambda error: str(error.status),
)
async def test_what_fails_for_a_while_is_done_afterwards_and_nothing_is_started_anew(place, error):
    await serving(place)
    pods = place.api.names(PODS)
    times = iter([error] * 12)
    place.api.fail = lambda verb, kind, name: None if verb == "list" else next(times, None)
    place.api.user(deployment("fraud-green"))
    place.api.user(endpoint(traffic={"blue": 40, "green": 60}))
    await place.settle(horizon=70)
    assert place.status(ENDPOINTS, "fraud")["trafficText"] == "green=60 blue=40"
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert set(pods) <= set(place.api.names(PODS))
    assert [call for call in place.api.writes if call[0] == "delete"] == []
    assert str(error) in {str(failure) for failure in place.failures}


async def test_a_permission_that_was_taken_away_touches_no_workload(place):
    await serving(place)
    place.api.fail = lambda verb, kind, name: Forbidden("no", status=403) if verb in ("apply", "status") else None
    place.api.user(endpoint(traffic={"blue": 0}))
    await place.settle(horizon=3)
    assert place.api.find(WORKLOADS, "fraud-blue-model")["spec"]["replicas"] == 1
    place.api.fail = lambda verb, kind, name: None
    await place.settle(horizon=70)
    assert place.status(ENDPOINTS, "fraud")["observedGeneration"] == 2


async def test_a_deployment_that_is_not_understood_stays_as_it_is_and_holds_up_nobody(place):
    """A newer version's object, after the operator was rolled back."""
    await serving(place)
    place.api.user(deployment("fraud-green"))
    await place.settle()
    before = place.api.find(WORKLOADS, "fraud-green-model")
    place.api.user(deployment("fraud-green", model={"uri": "zz://new"}, instanceCount=3))
    place.api.user(deployment(instanceCount=2))
    await place.settle()
    assert place.api.find(WORKLOADS, "fraud-green-model") == before
    assert place.api.find(WORKLOADS, "fraud-blue-model")["spec"]["replicas"] == 2
    assert place.ready(DEPLOYMENTS, "fraud-green") == ("False", "InvalidDeploymentSpec")
    assert "spec.model.uri is" in place.status(DEPLOYMENTS, "fraud-green")["conditions"][0]["message"]
    assert place.status(DEPLOYMENTS, "fraud-green")["observedGeneration"] == 2
    assert place.status(DEPLOYMENTS, "fraud-green")["model"]["uri"] == "https://models.test/model.onnx"
    assert place.failures == []


async def test_a_deployment_that_is_nested_too_deeply_holds_up_nobody(place):
    await serving(place)
    deep = {}
    for _ in range(400):
        deep = {"a": deep}
    place.api.user(deployment("fraud-green", warmup={"input": deep}))
    place.api.user(deployment(instanceCount=2))
    await place.settle()
    assert place.api.find(WORKLOADS, "fraud-blue-model")["spec"]["replicas"] == 2
    assert place.ready(DEPLOYMENTS, "fraud-green") == ("False", "InvalidDeploymentSpec")
    assert "spec.warmup is nested too deeply" in place.status(DEPLOYMENTS, "fraud-green")["conditions"][0]["message"]
    assert place.failures == []


async def test_an_endpoint_that_is_not_understood_is_not_made_into_another(place):
    """What is left out of its spec would be the default: other keys, one router, other limits."""
    await serving(place, router={"replicas": 2})
    place.api.user(endpoint(router={"replicas": 2, "pod": {"labels": {"a/b/c": "x"}}}))
    await place.settle()
    assert [call for call in place.api.writes if call[0] not in ("status", "create")] == []
    assert place.ready(ENDPOINTS, "fraud") == ("False", "InvalidDeploymentSpec")
    place.api.user(endpoint(router={"replicas": 1}))
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert place.api.find(WORKLOADS, "fraud-router")["spec"]["replicas"] == 1


async def test_keys_are_made_once_and_a_rotation_stays(place):
    await serving(place)
    secret = place.api.find(SECRETS, "fraud-keys")
    place.api.user({**secret, "data": {"primaryKey": "bmV3", "secondaryKey": "b2xk"}})
    place.time += 31
    await place.reads.refresh()
    await place.settle()
    assert place.api.find(SECRETS, "fraud-keys")["data"]["primaryKey"] == "bmV3"
    # the first; the new; and once routers took that, without the old beside it
    assert [c for c in place.api.writes if c[1] == "secrets"] == [("apply", "secrets", "fraud-router")] * 3
    assert list(place.api.find(SECRETS, "fraud-router")["data"]) == ["auth.json"]
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def test_keys_that_are_renewed_are_told_by_an_event_each_time(place):
    await serving(place)
    before = place.api.find(SECRETS, "fraud-keys")["data"]
    for _ in range(2):
        place.api.remove(SECRETS, "fraud-keys")
        place.time += 31
        await place.reads.refresh()
        await place.settle()
    assert not set(before.values()) & set(place.api.find(SECRETS, "fraud-keys")["data"].values())
    told = [e["note"] for (k, _, _), e in place.api.objects.items() if k == EVENTS and e["reason"] == "KeysRenewed"]
    assert len(told) == 2
    assert told[0].startswith("Secret fraud-keys was gone and was made anew at 2026-11-01T00:")


async def test_a_secret_of_the_default_name_that_is_not_ours_is_only_read(place):
    data = {"primaryKey": "bXk=", "secondaryKey": "b3du"}
    place.api.user({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fraud-keys"}, "data": data})
    await serving(place)
    assert place.api.find(SECRETS, "fraud-keys")["data"] == data
    assert "ownerReferences" not in place.api.find(SECRETS, "fraud-keys")["metadata"]


@pytest.mark.parametrize(
    "spec",
    [{"router": {"replicas": 2}}, {"limits": {"maxRequestBytes": "1Mi"}}, {"router": {"pod": {"labels": {"a": "b"}}}}],
    ids=["another router", "another listener", "another pod"],
)
async def test_an_endpoint_is_not_ready_before_its_routers_run_as_asked(place, spec):
    await serving(place)
    place.machinery.slow.add("fraud-router")
    place.api.heard.append(lambda kind, event, body: kind == ENDPOINTS and seen.append(verdict(body)))
    seen: list[tuple[int, str]] = []
    place.api.user(endpoint(**spec))
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("False", "RouterStarting")
    assert "routers run as asked" in place.status(ENDPOINTS, "fraud")["conditions"][0]["message"]
    assert (2, "True") not in seen
    place.machinery.slow.clear()
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert seen[-1] == (2, "True")


def verdict(body):
    """Of what generation a status speaks, and whether that is Ready."""
    status = body["status"]
    return status["observedGeneration"], next(c["status"] for c in status["conditions"] if c["type"] == "Ready")


async def test_an_edit_that_changes_no_router_is_ready_in_one_pass(place):
    await serving(place)
    place.api.user(endpoint(description="cards"))
    assert await place.settle() <= 2
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert place.status(ENDPOINTS, "fraud")["observedGeneration"] == 2


async def test_a_router_that_does_not_read_is_bumped_named_and_replaced(place):
    await serving(place, router={"replicas": 2})
    asleep = next(p for p in place.api.names(PODS) if p.startswith("fraud-router"))
    place.pods.asleep.add(asleep)
    place.api.user(endpoint(router={"replicas": 2}, limits={"maxMirrorBytes": "1Ki"}))
    await place.settle(seconds=8)
    bumps = [c for c in place.api.calls if c == ("patch", "pods", asleep)]
    assert len(bumps) == 5
    await place.settle(seconds=3)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "RouterBehind")
    assert asleep in place.status(ENDPOINTS, "fraud")["conditions"][0]["message"]
    await place.settle(seconds=60)
    assert ("delete", "pods", asleep) in place.api.calls


async def test_a_router_that_takes_nothing_is_replaced_however_often_the_target_changes(place):
    """Addresses and weights change all the time where many pods come and go."""
    await serving(place, router={"replicas": 2})
    asleep, awake = (p for p in place.api.names(PODS) if p.startswith("fraud-router"))
    place.pods.asleep.add(asleep)
    for number in range(5):
        place.api.user(endpoint(router={"replicas": 2}, limits={"maxMirrorBytes": f"{number + 1}Ki"}))
        end = place.time + 20
        await place.settle(horizon=20, seconds=20)
        place.time = max(place.time, end)
    deleted = [name for verb, kind, name in place.api.calls if (verb, kind) == ("delete", "pods")]
    assert deleted[:1] == [asleep]
    assert awake not in deleted


async def test_an_endpoint_whose_routers_cannot_start_is_looked_at_seldom(place):
    place.machinery.broken[""] = {"containerStatuses": []}
    place.api.user(endpoint())
    place.api.user(deployment())
    passes = await place.settle(horizon=16, seconds=60)
    assert passes < 15
    assert place.ready(ENDPOINTS, "fraud") == ("False", "RouterStarting")


async def test_failures_of_pods_are_told(place):
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    place.machinery.broken["fraud-blue"] = {"containerStatuses": [{"restartCount": 0, "state": {"waiting": waiting}}]}
    place.api.user(endpoint())
    place.api.user(deployment())
    await place.settle()
    assert place.ready(DEPLOYMENTS, "fraud-blue") == ("False", "ImagePullLoopBackOff")
    assert place.status(DEPLOYMENTS, "fraud-blue")["lastFailure"]["reason"] == "ImagePullLoopBackOff"


async def test_a_failure_is_told_without_the_values_of_the_environment(place):
    last = {"exitCode": 1, "reason": "Error", "message": "no user hunter2", "finishedAt": "2026-11-01T00:00:00Z"}
    container = {"restartCount": 1, "state": {"waiting": {}}, "lastState": {"terminated": last}}
    place.machinery.broken["fraud-blue"] = {"containerStatuses": [container]}
    place.api.user(endpoint())
    place.api.user(deployment(environmentVariables={"DB": "hunter2"}))
    await place.settle()
    assert place.status(DEPLOYMENTS, "fraud-blue")["lastFailure"]["log"] == "no user …"
    assert "hunter2" not in str(place.status(DEPLOYMENTS, "fraud-blue"))


@pytest.mark.parametrize(
    ("ended", "shown"),
    [
        ({"exitCode": 1, "message": "row 7 of Ms Smith"}, "its last lines are not shown"),
        ({"exitCode": 3, "message": '{"reason": "ModelInvalid", "message": "no ONNX model"}'}, "no ONNX model"),
    ],
)
async def test_without_failure_log_no_status_has_a_line_of_a_log(place, ended, shown):
    place.where = replace(NOWHERE, failure_log=False)
    place.restart()
    last = {"reason": "Error", "finishedAt": "2026-11-01T00:00:00Z", **ended}
    container = {"restartCount": 1, "state": {"waiting": {}}, "lastState": {"terminated": last}}
    place.machinery.broken["fraud-blue"] = {"containerStatuses": [container]}
    place.api.user(endpoint())
    place.api.user(deployment())
    await place.settle()
    assert place.status(DEPLOYMENTS, "fraud-blue")["lastFailure"]["log"].startswith(shown)
    assert "Smith" not in str(place.status(DEPLOYMENTS, "fraud-blue"))


async def test_events_come_once_with_names_of_what_they_say(place):
    await serving(place)
    told = [(e["regarding"]["kind"], e["reason"]) for (k, _, _), e in place.api.objects.items() if k == EVENTS]
    assert ("Endpoint", "Ready") in told
    assert ("Endpoint", "TrafficInEffect") in told
    assert len(told) == len(set(told))
    count = len(told)
    place.restart()
    await place.settle()
    assert len(place.api.names(EVENTS)) == count


async def test_copies_that_routers_did_not_make_are_told_when_they_are_asked_for(place):
    await serving(place)
    place.api.user(deployment("fraud-violet"))
    place.api.user(endpoint(traffic={"blue": 100}, mirrorTraffic={"violet": 50}))
    await place.settle()
    assert place.status(ENDPOINTS, "fraud")["mirrorTraffic"] == {"violet": 50}
    (key,) = place.passes.targets
    counting = Counting(place.passes.targets, place.wake)
    await counting.look(key)
    assert await place.settle() == 0
    place.pods.left_out = {"violet~mirror": 7}
    await counting.look(key)
    await place.settle()
    dropped = {d["name"]: d.get("mirrorDropped") for d in place.status(ENDPOINTS, "fraud")["deployments"]}
    assert dropped == {"blue": None, "violet": 7}
    place.api.calls.clear()
    await counting.look(key)
    assert await place.settle() == 0
    assert place.api.calls == []


async def test_a_collector_that_takes_nothing_is_told_of_once(place):
    tracing = {"endpoint": "http://collector.team:4318"}
    place.api.user(endpoint(tracing=tracing))
    place.api.user(deployment())
    await place.settle()
    (key,) = place.passes.targets
    assert place.passes.targets[key].memory.loses
    assert place.status(ENDPOINTS, "fraud")["router"]["tracesDropped"] == 0
    counting = Counting(place.passes.targets, place.wake)
    for lost in (1, 60):
        place.pods.traces_lost = lost
        await counting.look(key)
        await place.settle()
        assert place.status(ENDPOINTS, "fraud")["router"]["tracesDropped"] == lost
        assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    told = [e for (k, _, _), e in place.api.objects.items() if k == EVENTS and e["reason"] == "TracesLost"]
    assert [event["type"] for event in told] == ["Warning"]
    assert "http://collector.team:4318 did not take spans" in told[0]["note"]


async def test_whose_routers_copy_is_asked_for_by_the_clock(place, monkeypatch):
    monkeypatch.setattr("wye_operator.cluster.counting.EVERY", 0.01)
    await serving(place)
    (key,) = place.passes.targets
    place.passes.targets[Key("default", "copies")] = EndpointTarget(place.passes.cluster, key, Memory(loses=True))
    asked = asyncio.Queue()
    counting = Counting(place.passes.targets, place.wake)
    monkeypatch.setattr(Counting, "look", lambda self, key: asked.put(key))
    async with asyncio.timeout(10):
        running = asyncio.create_task(counting.run())
        assert [await asked.get() for _ in range(3)] == [Key("default", "copies")] * 3
        running.cancel()


def test_of_many_endpoints_one_in_a_second_is_asked_for():
    assert [pause(endpoints) for endpoints in (1, 10, 1000)] == [60, 6, 1]


async def test_what_is_new_is_made_with_one_call_for_each_object(place):
    """An object is asked for by name only where making it was refused; of the two Secrets each is asked for once."""
    place.api.user(endpoint())
    place.api.user(deployment())
    await place.settle()
    assert [call for call in place.api.calls if call[0] == "get"] == [
        ("get", "secrets", "fraud-keys"),
        ("get", "secrets", "fraud-router"),
    ]
    made = [o for (kind, _, _), o in place.api.objects.items() if kind in (WORKLOADS, SERVICES, CONFIGMAPS, SECRETS)]
    assert all(body["metadata"]["resourceVersion"] != "1" for body in made)
