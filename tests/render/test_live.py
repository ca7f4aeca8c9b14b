"""What changes while requests flow, on connections that stay open, and what a bad file does: nothing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import plain
from ports import free_port
from render import plans
from render.router import Running, place_in, serving, wait_for
from render.upstream import Upstream
from wye_operator.plan.wanted import Auth, Hosts, Pin, RouterPlan, Routes, Share
from wye_operator.plan.world import Address, Keys
from wye_operator.render import envoy
from wye_operator.render.kubernetes.place import ROUTER_PLACE

PIN = "azureml-model-deployment"


@pytest.fixture(scope="module")
def plan(upstreams: dict[str, Upstream]) -> RouterPlan:
    return plans.to_blue(upstreams["blue"].port, Auth(open=False, keys=Keys("old-one", "old-two"), version="a-old"))


class Kept:
    """One connection that is never opened again.

    GET, because the router closes a connection when it refuses a request whose body is still on its way.
    """

    def __init__(self, router: Running) -> None:
        self.connection = http.client.HTTPConnection(router.place.listen.host, router.place.listen.port, 60)
        self.connection.connect()
        self.connection.auto_open = 0

    def get(self, **headers: str) -> tuple[int, str]:
        """Status, and who answered."""
        self.connection.request("GET", "/v2", None, headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get(PIN, "")


@pytest.fixture
def kept(router: Running, plan: RouterPlan) -> Iterator[Kept]:
    """An open connection to a router that serves the module's plan."""
    router.put(plan)
    router.wait_healthy("blue")
    opened = Kept(router)
    yield opened
    opened.connection.close()


def test_keys_change_on_an_open_connection(router: Running, plan: RouterPlan, kept: Kept) -> None:
    def statuses() -> list[int]:
        keys = ("old-one", "old-two", "new-one")
        return [kept.get(**{"api-key": key})[0] for key in keys]

    assert statuses() == [200, 200, 401]
    router.put(replace(plan, auth=Auth(open=False, keys=Keys("new-one", "old-two"), version="a-new")))
    assert statuses() == [401, 200, 200]
    assert router.rejected() == 0


def test_the_mode_changes_on_an_open_connection(router: Running, plan: RouterPlan, kept: Kept) -> None:
    assert kept.get()[0] == 401
    router.put(replace(plan, auth=Auth(open=True, keys=None, version="a-open")))
    assert kept.get()[0] == 200
    router.put(replace(plan, auth=Auth(open=False, keys=None, version="a-none")))
    assert kept.get(**{"api-key": "old-one"})[0] == 401
    router.put(plan)
    assert (kept.get()[0], kept.get(**{"api-key": "old-one"})[0]) == (401, 200)
    assert router.rejected() == 0


def test_two_equal_keys_are_one(router: Running, plan: RouterPlan, kept: Kept) -> None:
    router.put(replace(plan, auth=Auth(open=False, keys=Keys("same", "same"), version="a-same")))
    assert kept.get(**{"api-key": "same"})[0] == 200
    assert router.rejected() == 0


def test_a_deployment_comes_takes_over_and_goes(
    router: Running, plan: RouterPlan, kept: Kept, upstreams: dict[str, Upstream]
) -> None:
    both = replace(
        plan,
        clusters=(plans.BLUE, plans.GREEN),
        clusters_version="c-both",
        hosts=(*plan.hosts, plans.at("green", upstreams["green"].port)),
    )
    green = replace(
        both,
        routes=Routes("Split", (Share("green", 10_000),), (), (Pin("green", 5000),), 5000, 1000),
    )
    key = {"api-key": "old-one"}
    router.put(both)
    router.wait_healthy("green")
    assert kept.get(**key) == (200, "blue")
    router.put(green)
    assert kept.get(**key) == (200, "green")
    assert router.taken().endpoints == {h.cluster: h.version for h in both.hosts}
    alone = replace(green, clusters=(plans.GREEN,), clusters_version="c-green", hosts=green.hosts[1:])
    router.put(alone)
    assert kept.get(**key) == (200, "green")
    assert router.taken().endpoints == {"green": alone.hosts[0].version}
    assert router.rejected() == 0


def test_addresses_go_and_come_back(router: Running, plan: RouterPlan, kept: Kept) -> None:
    key = {"api-key": "old-one"}
    router.put(replace(plan, hosts=(Hosts("blue", (), None),)))
    assert kept.get(**key) == (503, "")
    router.put(plan)
    router.wait_healthy("blue")
    assert kept.get(**key) == (200, "blue")


def test_the_fallback_address_answers_while_no_instance_does(
    router: Running, plan: RouterPlan, kept: Kept, upstreams: dict[str, Upstream]
) -> None:
    dead = Address("127.0.0.1", free_port())
    router.put(replace(plan, hosts=(Hosts("blue", (dead,), plan.hosts[0].instances[0]),)))
    wait_for(lambda: kept.get(**{"api-key": "old-one"}) == (200, "blue"), "the fallback is healthy")


BAD = {
    "routes that name an unknown cluster": (
        "rds.json",
        b'"name":"blue","weight"',
        b'"name":"ghost","weight"',
        "route: unknown weighted cluster 'ghost'",
    ),
    "a file that ends too early": (
        "rds.json",
        b'"version_info"',
        b"",
        "Unable to parse JSON as proto",
    ),
    "an unknown field in the routes": (
        "rds.json",
        b'"virtual_hosts"',
        b'"virtual_guests"',
        "no such field: 'virtual_guests'",
    ),
    "a host name for an address": (
        "eds-blue.json",
        b'"address":"127.0.0.1"',
        b'"address":"localhost"',
        "malformed IP address: localhost",
    ),
}


@pytest.mark.parametrize(("file", "old", "new", "reason"), BAD.values(), ids=BAD)
def test_a_bad_file_changes_nothing_and_the_log_says_why(
    router: Running,
    plan: RouterPlan,
    kept: Kept,
    file: str,
    old: bytes,
    new: bytes,
    reason: str,
) -> None:
    files = envoy.route_files(plan, router.place)
    assert old in files[file]
    before, log = router.rejected(), len(router.log())
    router.write_routes({**files, file: files[file].replace(old, new)})
    wait_for(lambda: router.rejected() > before, "the router refused the file")
    assert kept.get(**{"api-key": "old-one"}) == (200, "blue")
    reasons: list[str] = []

    def told() -> bool:
        reasons[:] = filter(None, map(envoy.refused, router.log()[log:].splitlines()))
        return bool(reasons)

    wait_for(told, "the log says why")
    assert reason in reasons[0]


def test_no_key_is_in_the_log_or_on_the_inner_port(router: Running, kept: Kept) -> None:
    assert kept.get(**{"api-key": "old-one"})[0] == 200
    figures = plain.get(f"{router.inner}/stats/prometheus?text_readouts").text
    bootstrap = (router.folder / "bootstrap.json").read_text()
    found = [text for text in (figures, bootstrap, router.log(), router.access_log()) if "old-one" in text]
    assert found == []
    assert json.loads(bootstrap)["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_the_admin_port_is_on_loopback_alone(plan: RouterPlan, tmp_path: Path) -> None:
    """As in a pod: callers and the inner port on all addresses."""
    place = place_in(tmp_path)
    everywhere = {name: Address("0.0.0.0", getattr(place, name).port) for name in ("listen", "inner")}
    other = "127.0.0.2"  # also this machine, and not the address that the admin port has
    with serving(plan, tmp_path, place=replace(place, **everywhere)):
        assert plain.get(f"http://{other}:{place.inner.port}/ready").status_code == 200
        assert plain.get(f"http://{other}:{place.listen.port}/healthz").status_code == 200
        assert plain.get(f"http://127.0.0.1:{place.admin.port}/ready").status_code == 200
        with pytest.raises(httpx.ConnectError):
            plain.get(f"http://{other}:{place.admin.port}/ready")
    assert ROUTER_PLACE.admin.host == "127.0.0.1"
