"""The store: what a watch and a LIST say, in whatever order, and what neither says."""

from __future__ import annotations

import copy
import json
import sys

from hypothesis import given
from hypothesis import strategies as st

from wye_operator import settings
from wye_operator.cluster.kinds import CONFIGMAPS, DEPLOYMENTS, ENDPOINTS, PODS
from wye_operator.cluster.pods import ports_of
from wye_operator.cluster.store import Key, Store

FRAUD = Key("default", "fraud")


def endpoint(version, *, name="fraud", uid="u1", **more):
    return {"metadata": {"name": name, "namespace": "default", "uid": uid, "resourceVersion": str(version), **more}}


def deployment(version, name="fraud-blue", of="fraud"):
    metadata = {"name": name, "namespace": "default", "uid": f"u-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"endpointName": of}}


def test_what_an_api_server_takes_can_be_kept():
    """10,000 levels, by whoever may write one object: more than Python reads unless it is told to."""
    before = sys.getrecursionlimit()
    settings.bear_deep_objects()
    try:
        body = json.loads('{"a":' * 9_990 + "1" + "}" * 9_990)
        whole = {**deployment(1, "deep"), "spec": body}
        store = Store()
        store.put(DEPLOYMENTS, copy.deepcopy(whole))  # as kopf has it
        assert store.get(DEPLOYMENTS, "default", "deep")["spec"] == body
    finally:
        sys.setrecursionlimit(before)


def test_an_event_names_the_endpoint_it_concerns():
    store = Store()
    assert store.put(ENDPOINTS, endpoint(1)) == {FRAUD}
    assert store.put(DEPLOYMENTS, deployment(2)) == {FRAUD}
    pod = {"metadata": {"name": "p", "namespace": "default", "labels": {"wye.dev/endpoint": "fraud"}}, "spec": {}}
    assert store.put(PODS, pod) == {FRAUD}
    assert store.put(CONFIGMAPS, {"metadata": {"name": "x", "namespace": "default"}}) == set()
    assert [d["metadata"]["name"] for d in store.of(DEPLOYMENTS, FRAUD)] == ["fraud-blue"]
    assert store.keys() == {FRAUD}


def test_what_moves_to_another_endpoint_concerns_both():
    store = Store()
    store.put(DEPLOYMENTS, deployment(1))
    assert store.put(DEPLOYMENTS, deployment(2, of="spam")) == {FRAUD, Key("default", "spam")}
    assert store.of(DEPLOYMENTS, FRAUD) == []


def test_the_echo_of_a_write_is_no_news_and_an_older_event_undoes_nothing():
    store = Store()
    store.put(ENDPOINTS, endpoint(5, labels={"a": "new"}))
    assert store.put(ENDPOINTS, endpoint(5, labels={"a": "new"})) == set()
    assert store.put(ENDPOINTS, endpoint(4, labels={"a": "old"})) == set()
    assert store.get(ENDPOINTS, "default", "fraud")["metadata"]["labels"] == {"a": "new"}


def test_what_a_watch_never_told_of_is_dropped_by_the_next_list():
    store = Store()
    store.put(ENDPOINTS, endpoint(1))
    store.put(ENDPOINTS, endpoint(2, name="spam", uid="u2"))
    store.begin_list(ENDPOINTS)
    assert store.list_page(ENDPOINTS, [endpoint(2, name="spam", uid="u2")]) == set()
    assert store.get(ENDPOINTS, "default", "fraud"), "the next page may have it"
    assert store.end_list(ENDPOINTS, "9") == {FRAUD}
    assert store.get(ENDPOINTS, "default", "fraud") is None
    assert ENDPOINTS in store.listed


def test_what_came_after_the_list_was_taken_stays():
    store = Store()
    store.begin_list(ENDPOINTS)
    store.put(ENDPOINTS, endpoint(12))
    store.end_list(ENDPOINTS, "10")
    assert store.get(ENDPOINTS, "default", "fraud") is not None


def test_what_was_deleted_while_the_list_was_under_way_stays_deleted():
    store = Store()
    store.put(ENDPOINTS, endpoint(5))
    store.begin_list(ENDPOINTS)
    store.drop(ENDPOINTS, endpoint(11))
    store.list_page(ENDPOINTS, [endpoint(5)])
    store.end_list(ENDPOINTS, "10")
    assert store.get(ENDPOINTS, "default", "fraud") is None


def test_the_deletion_of_an_earlier_object_of_that_name_changes_nothing():
    store = Store()
    store.put(ENDPOINTS, endpoint(8, uid="u2"))
    assert store.drop(ENDPOINTS, endpoint(7, uid="u1")) == set()
    assert store.get(ENDPOINTS, "default", "fraud")["metadata"]["uid"] == "u2"


def test_objects_are_slim():
    store = Store()
    kubectl = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"}
    store.put(ENDPOINTS, endpoint(1, managedFields=[{}], annotations=kubectl))
    kept = store.get(ENDPOINTS, "default", "fraud")["metadata"]
    assert "managedFields" not in kept
    assert kept["annotations"] == {"mine": "1"}


def test_of_a_pod_its_node_and_its_ports_are_kept():
    """Where another server listens: without them a router would ask it at our runtime's port."""
    ports = [{"name": "http", "containerPort": 8000, "protocol": "TCP"}, {"name": "ready", "containerPort": 8001}]
    container = {"name": "model", "image": "triton", "env": [{"name": "a", "value": "b"}], "ports": ports}
    metadata = {"name": "p", "namespace": "default", "labels": {"wye.dev/endpoint": "fraud"}}
    store = Store()
    store.put(PODS, {"metadata": metadata, "spec": {"nodeName": "n", "containers": [container], "volumes": [{}]}})
    kept = store.get(PODS, "default", "p")
    assert ports_of(kept) == {"http": 8000, "ready": 8001}
    assert kept["spec"] == {"nodeName": "n", "containers": [{"ports": ports}]}


CHANGES = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30)
Event = tuple[str, dict]


def history(changes, listed_at) -> tuple[dict, list[Event], tuple[list[dict], str]]:
    """(what is true in the end, the events, what a LIST found after so many changes)."""
    truth, events, listing = {}, [], ([], "0")
    for number, (name, there) in enumerate(changes, start=1):
        if there:
            uid = truth[name]["metadata"]["uid"] if name in truth else f"u{number}"
            truth[name] = endpoint(number, name=name, uid=uid)
            events.append(("put", truth[name]))
        elif name in truth:
            uid = truth.pop(name)["metadata"]["uid"]
            events.append(("drop", endpoint(number, name=name, uid=uid)))
        if number == listed_at:
            listing = (list(truth.values()), str(number))
    return truth, events, listing


def hear(store, events):
    for what, body in events:
        (store.put if what == "put" else store.drop)(ENDPOINTS, body)


@given(CHANGES, st.randoms(use_true_random=False), st.integers(0, 30))
def test_after_a_list_the_store_is_the_cluster_however_late_events_come(changes, random, listed_at):
    """The truth is a sequence of writes and deletions; what came before the LIST is heard or lost."""
    truth, events, listing = history(changes, listed_at)
    before = [e for e in events if int(e[1]["metadata"]["resourceVersion"]) <= int(listing[1])]
    later = events[len(before) :]
    cut, page = sorted(random.randint(0, len(later)) for _ in range(2)), random.randint(0, len(listing[0]))
    store = Store()
    hear(store, [e for e in before if random.random() < 0.7])
    store.begin_list(ENDPOINTS)
    hear(store, later[: cut[0]])  # while the list is under way
    store.list_page(ENDPOINTS, listing[0][:page])
    hear(store, later[cut[0] : cut[1]])
    store.list_page(ENDPOINTS, listing[0][page:])
    store.end_list(ENDPOINTS, listing[1])
    hear(store, later[cut[1] :])
    kept = {name: store.get(ENDPOINTS, "default", name) for name in "abc"}
    uids = {name: body["metadata"]["uid"] for name, body in kept.items() if body is not None}
    assert uids == {name: body["metadata"]["uid"] for name, body in truth.items()}


def test_whoever_asks_gets_an_object_of_its_own():
    store = Store()
    store.put(ENDPOINTS, endpoint(1, spec={"traffic": {"blue": 99.75}}))
    store.get(ENDPOINTS, "default", "fraud")["metadata"]["spec"]["traffic"].clear()
    assert store.get(ENDPOINTS, "default", "fraud")["metadata"]["spec"] == {"traffic": {"blue": 99.75}}


def test_what_is_kept_is_a_fraction_of_the_object():
    """30,000 objects of 1,000 Endpoints are 290 MB as dicts."""
    store = Store()
    lines = [f"- {{name: setting-{number}, value: 'some words'}}" for number in range(100)]
    store.put(CONFIGMAPS, endpoint(1) | {"data": {"file": "\n".join(lines)}})
    packed = store._objects[CONFIGMAPS]["default", "fraud"]
    assert len(packed.text) < len("\n".join(lines)) / 4
