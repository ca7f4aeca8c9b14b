"""Every file that is rendered is one that the real Envoy takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from render import plans
from render.router import Running
from render.whole import complaint, resources
from wye_operator.plan.wanted import Auth, Listener, RouterPlan
from wye_operator.plan.world import Keys, Taken
from wye_operator.render import envoy
from wye_operator.render.kubernetes.place import ROUTER_PLACE


@pytest.fixture(scope="module")
def plan() -> RouterPlan:
    return plans.EMPTY


@pytest.mark.parametrize("plan", plans.TABLE.values(), ids=plans.TABLE)
def test_envoy_finds_nothing_wrong(plan: RouterPlan, tmp_path: Path) -> None:
    assert complaint(plan, tmp_path) == ""


def test_a_running_router_takes_one_plan_after_the_other(router: Running) -> None:
    for sentence, plan in plans.TABLE.items():
        router.put(plan)
        assert router.rejected() == 0, f"{sentence}: {router.log()}"


def test_the_log_switches_the_access_log_only() -> None:
    silent = replace(plans.SPLIT, listener=Listener(10_000, access_log=False))
    assert b"StdoutAccessLog" in envoy.bootstrap(plans.SPLIT, ROUTER_PLACE)
    assert b"StdoutAccessLog" not in envoy.bootstrap(silent, ROUTER_PLACE)


def test_the_bootstrap_changes_with_the_listener_only() -> None:
    larger = replace(plans.SPLIT, listener=Listener(10_001, access_log=True))
    assert envoy.bootstrap(plans.SPLIT, ROUTER_PLACE) == envoy.bootstrap(plans.MIRRORED, ROUTER_PLACE)
    assert envoy.bootstrap(plans.SPLIT, ROUTER_PLACE) != envoy.bootstrap(larger, ROUTER_PLACE)


def test_the_order_of_lists_does_not_change_a_byte() -> None:
    plan = plans.MIRRORED
    turned = replace(
        plan,
        clusters=plan.clusters[::-1],
        hosts=plan.hosts[::-1],
        routes=replace(plan.routes, shares=plan.routes.shares[::-1], pins=plan.routes.pins[::-1]),
    )
    files = envoy.route_files(plan, ROUTER_PLACE)
    again = envoy.route_files(turned, ROUTER_PLACE)
    assert list(again) == list(files)
    bodies = {name: json.loads(content)["resources"] for name, content in files.items()}
    assert {name: json.loads(content)["resources"] for name, content in again.items()} == bodies


def test_the_keys_stand_in_the_auth_file_and_nowhere_else() -> None:
    plan = replace(plans.MIRRORED, auth=Auth(open=False, keys=Keys("key-one", "key-two"), version="a"))
    others = [envoy.bootstrap(plan, ROUTER_PLACE), *envoy.route_files(plan, ROUTER_PLACE).values()]
    assert not [content for content in others if b"key-one" in content or b"key-two" in content]
    assert list(envoy.auth_files(plan)) == ["auth.json"]


def test_the_addresses_of_a_deployment() -> None:
    files = envoy.route_files(plans.MIRRORED, ROUTER_PLACE)
    assert sorted(files) == [
        "cds.json",
        "eds-blue.json",
        "eds-green.json",
        "eds-violet.json",
        "rds.json",
    ]
    label = '"metadata":{"filter_metadata":{"wye":{"deployment":"%s"}}}'
    host = '{"endpoint":{"address":{"socket_address":{"address":"127.0.0.1","port_value":%d}}},%s}'
    blue = [host % (port, label % "blue") for port in (9101, 9102, 9100)]
    assert files["eds-blue.json"].decode() == (
        '{"resources":[{"@type":"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",'
        '"cluster_name":"blue","endpoints":['
        f'{{"lb_endpoints":[{blue[0]},{blue[1]}],"priority":0}},'
        f'{{"lb_endpoints":[{blue[2]}],"priority":1}}]}}],'
        f'"version_info":"{plans.MIRRORED.hosts[0].version}"}}'
    )


def test_a_cluster_whose_addresses_are_not_in_the_plan_gets_an_empty_file() -> None:
    files = envoy.route_files(replace(plans.SPLIT, hosts=()), ROUTER_PLACE)
    [blue] = resources(files["eds-blue.json"])
    assert blue["endpoints"] == [{"lb_endpoints": [], "priority": 0}]


def test_a_mirror_is_bounded_and_shares_its_deployments_file() -> None:
    [mirror] = [
        c
        for c in resources(envoy.route_files(plans.MIRRORED, ROUTER_PLACE)["cds.json"])
        if c["name"] == "violet~mirror"
    ]
    [limits] = mirror["circuit_breakers"]["thresholds"]
    assert (limits["max_requests"], limits["max_pending_requests"]) == (16, 16)
    assert mirror["eds_cluster_config"]["service_name"] == "violet"
    source = mirror["eds_cluster_config"]["eds_config"]["path_config_source"]
    assert source == {
        "path": "/etc/wye/routes/..data/eds-violet.json",
        "watched_directory": {"path": "/etc/wye/routes"},
    }
    [options] = mirror["typed_extension_protocol_options"].values()
    assert options["common_http_protocol_options"]["max_stream_duration"] == "3s"


STATS = """\
# TYPE envoy_cluster_version_text gauge
envoy_cluster_version_text{envoy_cluster_name="blue",text_value="e14ab8894eeb"} 0
envoy_cluster_version_text{envoy_cluster_name="violet~mirror",text_value="02d352683578"} 0
# TYPE envoy_cluster_manager_cds_version_text gauge
envoy_cluster_manager_cds_version_text{text_value="c1"} 0
# TYPE envoy_extension_config_discovery_http_filter_auth_version_text gauge
envoy_extension_config_discovery_http_filter_auth_version_text{text_value="a1"} 0
# TYPE envoy_http_rds_version_text gauge
envoy_http_rds_version_text{envoy_rds_route_config="endpoint",envoy_http_conn_manager_prefix="router",text_value="r1"} 0
envoy_cluster_upstream_rq_total{envoy_cluster_name="blue"} 7
"""


def test_what_a_router_has_taken_is_read_from_its_figures() -> None:
    assert envoy.taken(STATS) == Taken(
        clusters="c1",
        routes="r1",
        auth="a1",
        endpoints={"blue": "e14ab8894eeb", "violet~mirror": "02d352683578"},
    )


def test_copies_that_were_not_made_are_read_from_its_figures() -> None:
    figures = """\
envoy_vhost_route_upstream_rq_total{envoy_route="uncopied",envoy_virtual_host="endpoint"} 3
envoy_cluster_upstream_rq_active_overflow{envoy_cluster_name="violet~mirror"} 4
envoy_cluster_upstream_rq_pending_overflow{envoy_cluster_name="violet~mirror"} 1
envoy_cluster_upstream_rq_pending_failure_eject{envoy_cluster_name="violet~mirror"} 10
envoy_cluster_upstream_cx_none_healthy{envoy_cluster_name="violet~mirror"} 20
envoy_cluster_upstream_rq_active_overflow{envoy_cluster_name="red~mirror"} 0
"""
    assert envoy.taken(figures).left_out == {"violet~mirror": 38, "red~mirror": 3}
    assert envoy.taken("").left_out == {}


def test_a_router_that_has_taken_nothing_yet() -> None:
    assert envoy.taken("") == Taken(clusters="", routes="", auth="", endpoints={})


REFUSALS = {
    "an unknown cluster": (
        "… warning Filesystem config update rejected: route: unknown weighted cluster \\'ghost\\'",
        "route: unknown weighted cluster 'ghost'",
    ),
    "an unknown field": (
        "… update rejected: Protobuf message (…  (offset 212):  no such   field: \\'creds\\') has unknown fields",
        "Protobuf message (… (offset 212): no such field: 'creds') has unknown fields",
    ),
    "a torn file, which Envoy quotes with its keys": (
        '… update failure: in /a/auth.json, Unable to parse JSON as proto (unexpected EOF): {\\"key\\":\\"secret',
        "in /a/auth.json, Unable to parse JSON as proto (unexpected EOF)",
    ),
    "any other line": ("2026-01-01T10:00:00.000 warning caught ENVOY_SIGTERM", ""),
}


@pytest.mark.parametrize(("line", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_why_a_file_was_refused(line: str, reason: str) -> None:
    assert envoy.refused(line) == reason
