"""Ingresses and HTTPRoutes: made, changed and removed with `expose`; a kind that the cluster may not know."""

from __future__ import annotations

import asyncio

import pytest

from wye_operator.cluster.errors import NotFound
from wye_operator.cluster.follow import Feed
from wye_operator.cluster.kinds import ENDPOINTS, HTTP_ROUTES, INGRESSES
from wye_operator.cluster.store import Key, Store
from wye_operator.telemetry import Metrics

from .fake import FakeApi
from .place import Place, deployment, endpoint

INGRESS = {"ingress": {"className": "nginx", "host": "fraud.test", "annotations": {"a.b/c": "d"}}}
ROUTE = {"httpRoute": {"parentRefs": [{"name": "gateway"}], "hostnames": ["fraud.test"]}}


@pytest.fixture
def place():
    return Place()


async def begin(place, **spec):
    place.api.user(endpoint(**spec))
    place.api.user(deployment())
    await place.settle()


async def test_an_ingress_comes_changes_and_goes(place):
    await begin(place, expose=INGRESS)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert place.status(ENDPOINTS, "fraud")["scoringUri"] == "http://fraud.test/score"
    found = place.api.find(INGRESSES, "fraud")
    assert found["metadata"]["annotations"]["a.b/c"] == "d"
    assert found["metadata"]["ownerReferences"][0]["name"] == "fraud"
    [rule] = found["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "fraud", "port": {"name": "http"}}
    place.api.user(endpoint(expose={"ingress": {"host": "other.test", "tlsSecretName": "other"}}))
    await place.settle()
    assert place.api.find(INGRESSES, "fraud")["spec"]["tls"] == [{"hosts": ["other.test"], "secretName": "other"}]
    assert place.status(ENDPOINTS, "fraud")["openapiUri"] == "https://other.test/openapi.json"
    place.api.user({**endpoint(), "spec": {}})
    await place.settle()
    assert place.api.names(INGRESSES) == []
    assert place.status(ENDPOINTS, "fraud")["scoringUri"] == "http://fraud.default.svc/score"


async def test_an_ingress_of_somebody_else_is_left_alone(place):
    theirs = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "fraud"}, "spec": {"x": 1}}
    place.api.user(theirs)
    place.api.user(endpoint(expose=INGRESS))
    place.api.user(deployment())
    await place.settle(horizon=3)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "NameTaken")
    assert place.api.find(INGRESSES, "fraud")["spec"] == {"x": 1}


async def test_a_route_where_the_cluster_has_the_gateway_api(place):
    await place.list()
    place.store.listed.add(HTTP_ROUTES)
    await begin(place, expose=ROUTE)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    found = place.api.find(HTTP_ROUTES, "fraud")
    assert found["spec"]["rules"][0]["backendRefs"] == [
        {"group": "", "kind": "Service", "name": "fraud", "port": 80, "weight": 1}
    ]
    assert place.status(ENDPOINTS, "fraud")["scoringUri"] == "http://fraud.test/score"
    place.api.user(endpoint(expose=INGRESS))
    await place.settle()
    assert (place.api.names(HTTP_ROUTES), place.api.names(INGRESSES)) == ([], ["fraud"])


async def test_without_the_gateway_api_a_route_is_a_condition_and_callers_inside_are_served(place):
    await begin(place, expose=ROUTE)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "GatewayApiMissing")
    assert place.status(ENDPOINTS, "fraud")["scoringUri"] == "http://fraud.default.svc/score"
    assert place.status(ENDPOINTS, "fraud")["trafficText"] == "blue=100"
    assert place.api.names(HTTP_ROUTES) == []


class WithoutRoutes(FakeApi):
    """A cluster that does not know HTTPRoutes, until `known`."""

    known = False

    async def list(self, kind, namespace=None, selector=""):
        if kind == HTTP_ROUTES and not self.known:
            raise NotFound("404 page not found", status=404)
        async for page in super().list(kind, namespace, selector):
            yield page


async def test_a_kind_that_comes_later_is_found_and_whoever_waits_for_it_is_woken(monkeypatch):
    monkeypatch.setattr("wye_operator.cluster.follow.AGAIN", 0.01)
    api, store, woken = WithoutRoutes(), Store(), asyncio.Event()
    store.put(ENDPOINTS, api.user(endpoint()))
    feed = Feed(api, store, None, lambda key: woken.set(), Metrics())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(feed.run())
        async with asyncio.timeout(15):
            await feed.whole.wait()
            assert (HTTP_ROUTES in store.listed, feed.trouble()) == (False, "")
            woken.clear()
            api.known = True
            await woken.wait()
            assert HTTP_ROUTES in store.listed
        running.cancel()


async def test_a_kind_that_goes_is_forgotten_and_no_trouble():
    api, store, woken = WithoutRoutes(), Store(), []
    store.put(ENDPOINTS, api.user(endpoint()))
    feed = Feed(api, store, None, woken.append, Metrics())
    api.known = True
    await feed.list(HTTP_ROUTES)
    api.known = False
    await feed._follow(HTTP_ROUTES)
    assert (HTTP_ROUTES in store.listed, feed.failing, woken) == (False, {}, [Key("default", "fraud")])
