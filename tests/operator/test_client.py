"""The client against a server that answers as the API server does, and as it does not."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from wye_operator.cluster.client import Client, Connection
from wye_operator.cluster.errors import Conflict, Forbidden, Gone, NotFound, Refused, TooMany, Unavailable
from wye_operator.cluster.kinds import CONFIGMAPS, ENDPOINTS, PODS
from wye_operator.telemetry import Metrics

CONFIGMAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}


@asynccontextmanager
async def client_of(answer):
    """A client of a server whose every request goes to `answer`."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        connection = Connection()
        connection.use(session, f"http://127.0.0.1:{port}/")
        yield Client(connection, Metrics())
    await runner.cleanup()


def status(code, message="no", **headers):
    async def answer(_):
        body = {"kind": "Status", "code": code, "reason": "Because", "message": message}
        return web.json_response(body, status=code, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((400, Refused), (401, Forbidden), (403, Forbidden), (404, NotFound), (409, Conflict)),
        *((410, Gone), (422, Refused), (429, TooMany), (500, Unavailable), (503, Unavailable)),
    ],
)
async def test_every_refusal_has_its_type_and_the_servers_own_words(code, expected):
    async with client_of(status(code, "configmaps a: no")) as client:
        with pytest.raises(expected, match="configmaps a: no") as caught:
            await client.apply(CONFIGMAP)
        assert caught.value.reason == "Because"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            500,
            "failed to create typed patch object (a/b; apps/v1, Kind=Deployment): .x: field not declared in schema",
        ),
        (500, "etcdserver: request is too large"),
        (
            500,
            "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2400000 vs. 2097152)",
        ),
        (413, "Request entity too large: limit is 3145728"),
    ],
)
async def test_what_no_second_try_would_mend_is_a_refusal_whatever_its_code(code, words):
    """What a manifest passes on in Kubernetes' own words may have a slip in it, and be very large."""
    async with client_of(status(code, words)) as client:
        with pytest.raises(Refused, match="schema|large"):
            await client.apply(CONFIGMAP)


async def test_retry_after_is_told():
    async with client_of(status(429, Retry_After="7")) as client:
        with pytest.raises(TooMany) as caught:
            await client.get(PODS, "default", "a")
        assert caught.value.retry_after == 7


async def test_what_is_no_json_is_told_too():
    async def answer(_):
        return web.Response(text="404 page not found", status=404)

    async with client_of(answer) as client:
        with pytest.raises(NotFound, match="page not found"):
            await client.get(ENDPOINTS, "default", "a")


async def test_deleting_what_is_gone_is_no_error():
    async with client_of(status(404)) as client:
        await client.delete(CONFIGMAPS, "default", "a", "uid-1")


async def test_no_session_and_a_closed_one_are_to_be_tried_again():
    connection = Connection()
    client = Client(connection, Metrics())
    with pytest.raises(Unavailable, match="no session"):
        await client.get(PODS, "default", "a")
    session = aiohttp.ClientSession()
    connection.use(session, "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await client.get(PODS, "default", "a")
    await session.close()
    with pytest.raises(Unavailable, match="no session"):
        await client.get(PODS, "default", "a")


async def test_a_list_is_read_page_by_page_and_says_when_it_is_too_old():
    asked = []

    async def answer(request):
        asked.append(dict(request.query))
        follow = request.query.get("continue")
        if follow and len(asked) == 4:
            return await status(410)(request)
        name = "b" if follow else "a"
        metadata = {"resourceVersion": "5", **({} if follow else {"continue": "next"})}
        return web.json_response({"metadata": metadata, "items": [{"metadata": {"name": name, "namespace": "x"}}]})

    async with client_of(answer) as client:
        pages = [page async for page in client.list(CONFIGMAPS, None, "a=b")]
        with pytest.raises(Gone):
            [page async for page in client.list(CONFIGMAPS, None, "a=b")]
    assert [[item["metadata"]["name"] for item in page.items] for page in pages] == [["a"], ["b"]]
    assert pages[1].items[0]["kind"] == "ConfigMap"
    assert {page.version for page in pages} == {"5"}
    assert len(asked) == 4
    assert all(query["labelSelector"] == "a=b" for query in asked)


async def test_a_watch_reads_lines_of_any_length_and_ends_with_an_error_of_its_type():
    large = {"type": "ADDED", "object": {"data": "x" * 1_000_000}}
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}

    async def answer(request):
        assert request.query["resourceVersion"] == "9"
        response = web.StreamResponse()
        await response.prepare(request)
        for event in (large, gone):
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    async with client_of(answer) as client:
        events = client.watch(CONFIGMAPS, "default", "", "9")
        assert await anext(events) == large
        with pytest.raises(Gone, match="too old"):
            await anext(events)


async def test_writes_are_server_side_apply_by_our_manager():
    asked = []

    async def answer(request):
        asked.append((request.method, request.path, dict(request.query), request.content_type))
        return web.json_response(await request.json())

    body = {**CONFIGMAP, "apiVersion": "wye.dev/v1alpha1", "kind": "Endpoint", "status": {}}
    async with client_of(answer) as client:
        await client.apply(CONFIGMAP)
        await client.apply_status(body)
        await client.patch(PODS, "default", "p", {"metadata": {}})
    forced = {"fieldManager": "wye", "force": "true"}
    apply, merge = "application/apply-patch+yaml", "application/merge-patch+json"
    endpoints = "/apis/wye.dev/v1alpha1/namespaces/default/mlendpoints"
    assert asked == [
        ("PATCH", "/api/v1/namespaces/default/configmaps/a", forced, apply),
        ("PATCH", f"{endpoints}/a/status", forced, apply),
        ("PATCH", "/api/v1/namespaces/default/pods/p", {"fieldManager": "wye"}, merge),
    ]


async def test_a_watch_that_is_silent_ends_without_an_error(monkeypatch):
    """Some servers send no bookmarks of a kind that nobody touches: nobody can tell that from a dead connection."""
    monkeypatch.setattr("wye_operator.cluster.client.SILENCE", aiohttp.ClientTimeout(sock_read=0.05))
    added = {"type": "ADDED", "object": {"metadata": {"resourceVersion": "10"}}}

    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(json.dumps(added).encode() + b"\n")
        await asyncio.sleep(5)
        return response

    async with client_of(answer) as client:
        assert [event async for event in client.watch(CONFIGMAPS, "default", "", "9")] == [added]


async def test_a_page_is_asked_for_in_any_form() -> None:
    """The API server gives its keys as application/jwk-set+json, and 406 to whoever wants plain JSON."""

    async def keys(request: web.Request) -> web.Response:
        taken = request.headers["Accept"] == "*/*"
        return web.Response(body=b"{}" if taken else b"Not Acceptable", status=200 if taken else 406)

    async with client_of(keys) as client:
        assert await client.page("/openid/v1/jwks") == b"{}"
