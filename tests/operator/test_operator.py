"""The process: what it says of itself, and when it calls itself well."""

from __future__ import annotations

import json
import logging

import pytest

from wye_operator.cluster.client import PAGE
from wye_operator.cluster.errors import Forbidden, NotFound
from wye_operator.cluster.follow import LIST_EVERY
from wye_operator.cluster.handlers import settings_for
from wye_operator.cluster.kinds import ENDPOINTS, FOLLOWED, OPTIONAL, PODS, SERVICES, WATCHED
from wye_operator.cluster.operator import OVERDUE, SILENCE, Operator, Options, cannot_serve, lease_name
from wye_operator.cluster.store import Key
from wye_operator.errors import WyeError
from wye_operator.telemetry import JsonLines, Metrics

from .fake import FakeApi
from .place import NOWHERE


def test_metrics_are_prometheus_text():
    metrics = Metrics()
    metrics.count("wye_api_calls_total", verb="GET", resource='a"b')
    metrics.observe("wye_pass_seconds", 0.03)
    metrics.gauge("wye_endpoints_waiting", lambda: {(): 2})
    lines = metrics.text().splitlines()
    assert 'wye_api_calls_total{resource="a\\"b",verb="GET"} 1' in lines
    assert "# TYPE wye_pass_seconds histogram" in lines
    assert 'wye_pass_seconds_bucket{le="0.05"} 1' in lines
    assert 'wye_pass_seconds_bucket{le="+Inf"} 1' in lines
    assert "wye_endpoints_waiting 2" in lines


def test_the_log_is_a_json_object_a_line():
    record = logging.LogRecord("wye", logging.INFO, "", 0, "applied %s", ("x",), None)
    record.key = "default/fraud"
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["level"], line["key"]) == ("applied x", "info", "default/fraud")


class Stuck:
    """A task that goes on."""

    def done(self):
        return False


@pytest.fixture
async def operator():
    operator = Operator(Options(NOWHERE, namespace="default"))
    operator.time = 1000.0
    operator.clock = lambda: operator.time
    operator._work = Stuck()
    operator.feed.whole.set()
    operator.feed.tried_at = 1000.0
    operator.feed.heard = dict.fromkeys(FOLLOWED, 1000.0)
    yield operator
    operator._work = None
    await operator.session.close()


async def test_it_is_well(operator):
    assert operator.health() == ""


async def test_a_watch_that_says_nothing_is_unhealthy(operator):
    operator.time += SILENCE + 1
    assert "stand still" in operator.health()


async def test_a_queue_that_stands_still_is_unhealthy_in_the_leader_only(operator):
    operator.workers.schedule.add(Key("default", "fraud"), operator.time)
    operator.time += OVERDUE + 1
    assert operator.health() == ""
    operator.lease.leading = True
    assert "queue stands still" in operator.health()


async def test_what_was_due_while_another_led_is_no_queue_that_stands_still(operator):
    """A follower's queue fills; once it leads, it is well as long as it gets on."""
    for name in ("fraud", "churn"):
        operator.workers.schedule.add(Key("default", name), operator.time)
    operator.time += 3600
    operator.feed.tried_at = operator.time
    operator.feed.heard = dict.fromkeys(FOLLOWED, operator.time + 1000)
    operator.lease.leading = True
    operator.workers.schedule.begin(operator.time)
    assert operator.health() == ""
    operator.time += OVERDUE - 1
    operator.workers.schedule.take(operator.time)
    operator.time += OVERDUE - 1
    assert operator.health() == ""
    operator.time += 2
    assert "queue stands still" in operator.health()


def test_those_that_serve_other_namespaces_do_not_ask_for_one_lease():
    assert len({lease_name(None), lease_name("team-a"), lease_name("team-b")}) == 3


async def test_lists_that_stand_still_are_unhealthy(operator):
    operator.feed.heard = dict.fromkeys(FOLLOWED, 1000.0 + 1300)
    operator.time += 1300
    assert operator.health() == "the lists stand still"


async def test_what_is_refused_is_said_by_readiness_and_no_start_would_mend_it(operator):
    operator.api = operator.feed.api = FakeApi()
    refusal = Forbidden('services is forbidden: User "wye" cannot list', status=403)
    operator.api.fail = lambda verb, kind, name: refusal if kind == SERVICES else None
    operator.feed.whole.clear()
    operator.time += LIST_EVERY + 1
    with pytest.raises(Forbidden):
        await operator.feed.list(SERVICES)
    assert operator.health() == ""
    assert operator.readiness().startswith("services cannot be followed: services is forbidden: User")
    operator.api.fail = lambda verb, kind, name: None
    for kind in (*WATCHED, *FOLLOWED, *OPTIONAL):
        await operator.feed.list(kind)
        operator.feed.heard[kind] = operator.time
    assert operator.readiness() == ""


async def test_it_is_not_ready_before_it_has_seen_everything(operator):
    operator.feed.whole.clear()
    assert operator.health() == ""
    assert operator.readiness() == "the cluster is not listed yet"
    operator.time += LIST_EVERY + 1
    operator._began = 1000.0
    assert operator.health() == "the first lists stand still"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotFound("404 page not found", status=404), "this cluster knows no mlendpoints (wye.dev/v1alpha1): install"),
        (Forbidden("forbidden", status=403), "it may not list mlendpoints in namespace default: bind"),
    ],
)
async def test_with_a_namespace_a_missing_kind_or_permission_is_one_sentence(operator, error, words):
    operator.api = FakeApi()
    operator.api.fail = lambda verb, kind, name: error if kind == ENDPOINTS else None
    with pytest.raises(WyeError) as caught:
        await operator._check_kinds()
    assert str(caught.value).startswith(words)


def test_a_kind_of_kubernetes_that_is_missing_is_no_matter_of_crds():
    assert "newer Kubernetes" in cannot_serve(PODS, "default", NotFound("404", status=404))


def test_kopf_reads_by_pages_and_lets_go_of_objects_without_news():
    """A start among 1,000 Endpoints held all 12,000 objects that kopf watches: 829 MB, the limit is 512Mi."""
    settings = settings_for(None)
    assert settings.watching.chunk_size == PAGE <= 50
    assert settings.queueing.idle_timeout <= 0.1
