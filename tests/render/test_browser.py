"""A page in a real browser calls a real router: what `cors` allows, and what the browser keeps from it otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from render import plans
from render.browser import Page, installed, opened, page_of
from render.router import Running
from render.upstream import Upstream
from wye_operator.plan.record import Cluster
from wye_operator.plan.wanted import Auth, Cors, Pin, RouterPlan, Routes, Share
from wye_operator.plan.world import Keys

pytestmark = pytest.mark.skipif(not installed(), reason="no Chromium here: tests/install-browser installs one (root)")

# each call as the page makes it, with what it can read of the answer; `blocked` is what the browser kept from it
SCRIPT = """
const url = %s, key = {"api-key": "key-one"}, json = {"content-type": "application/json"};
const pin = {"azureml-model-deployment": "blue", "x-ms-client-request-id": "a"};
async function call(path, method, headers) {
  try {
    const answer = await fetch(url + path, {method, headers, body: method === "GET" ? undefined : "{}"});
    const read = name => answer.headers.get(name);
    const body = await answer.text();
    const who = read("azureml-model-deployment"), hasId = read("x-request-id") !== null;
    return [answer.status, who, hasId, read("server"), body.length > 0];
  } catch (error) {
    return ["blocked"];
  }
}
const told = {
  "a call with a key": await call("/score", "POST", {...key, ...json}),
  "a call with a bearer": await call("/score", "POST", {...json, authorization: "Bearer key-one"}),
  "a pinned call with an id": await call("/score", "POST", {...key, ...pin}),
  "a header of its own": await call("/score", "POST", {...key, "x-own": "1"}),
  "a header that is not allowed": await call("/score", "POST", {...key, "x-other": "1"}),
  "another method": await call("/own/1", "DELETE", key),
  "a method that is not allowed": await call("/own/1", "PROPFIND", key),
  "a GET": await call("/openapi.json", "GET", key),
  "no key": await call("/score", "POST", json),
  "a wrong key": await call("/score", "POST", {"api-key": "no"}),
};
await fetch("/told", {method: "POST", body: JSON.stringify(told)});
"""
SERVED = [200, "blue", True, None, True]
REFUSED = [401, None, True, None, True]
ALLOWED = {
    "a call with a key": SERVED,
    "a call with a bearer": SERVED,
    "a pinned call with an id": SERVED,
    "a header of its own": SERVED,
    "a header that is not allowed": ["blocked"],
    "another method": SERVED,
    "a method that is not allowed": ["blocked"],
    "a GET": SERVED,
    "no key": REFUSED,
    "a wrong key": REFUSED,
}


@pytest.fixture(scope="module")
def plan(upstreams: dict[str, Upstream]) -> RouterPlan:
    return replace(
        plans.EMPTY,
        clusters=(Cluster("blue", "default/fraud-blue"),),
        hosts=(plans.at("blue", upstreams["blue"].port),),
        routes=Routes("Split", (Share("blue", 10_000),), (), (Pin("blue", 5000),), 5000, 1000),
        auth=Auth(open=False, keys=Keys("key-one", "key-two"), version="a"),
    )


@pytest.fixture
def page(router: Running) -> Iterator[Page]:
    router.wait_healthy("blue")
    with page_of(SCRIPT % json.dumps(router.url)) as opened_page:
        yield opened_page


def allow(router: Running, plan: RouterPlan, *origins: str) -> None:
    cors = Cors(origins, ("x-own",), 60) if origins else None
    router.put(replace(plan, routes=replace(plan.routes, cors=cors)))


def test_a_page_of_an_allowed_origin(router: Running, plan: RouterPlan, page: Page, tmp_path: Path) -> None:
    allow(router, plan, page.origin)
    assert opened(page, tmp_path) == ALLOWED


def test_a_page_of_any_origin(router: Running, plan: RouterPlan, page: Page, tmp_path: Path) -> None:
    allow(router, plan, "*")
    assert opened(page, tmp_path) == ALLOWED


@pytest.mark.parametrize("origins", [(), ("http://elsewhere.test",)], ids=["no cors", "another origin"])
def test_a_page_that_may_not(
    router: Running, plan: RouterPlan, page: Page, tmp_path: Path, origins: tuple[str, ...]
) -> None:
    allow(router, plan, *origins)
    assert opened(page, tmp_path) == dict.fromkeys(ALLOWED, ["blocked"])
