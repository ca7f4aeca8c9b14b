"""Questions to pods: what a pod answers that was taken over does no harm."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from wye_operator import issuers
from wye_operator.cluster import inner
from wye_operator.cluster.inner import MOST_BYTES, Inner
from wye_operator.telemetry import Metrics

HOST = "127.0.0.1"
TENSOR = b'{"name": "x", "datatype": "FP32", "shape": [Infinity]}'
ENDLESS = (
    b'{"model": {"name": "m", "version": "1", "sha256": "", "sizeBytes": 1, "outputs": [], "inputs": [%s]}}' % TENSOR
)


@pytest.fixture
async def pod(monkeypatch):
    """A pod whose answers a test chooses, and the paths that it was asked for."""
    answers, asked = {}, []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return answers.get(request.path, web.Response(status=404))

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    async with TestServer(application, host=HOST) as server:
        monkeypatch.setattr(inner, "INNER", server.port)
        async with issuers.session() as session:
            yield Inner(session, Metrics()), answers, asked


async def test_a_redirect_is_an_answer_and_is_not_followed(pod):
    """It could lead to whatever the operator may reach and the pod may not."""
    asks, answers, asked = pod
    answers["/signature"] = web.Response(status=302, headers={"Location": "/elsewhere"})
    assert await asks.signature("uid/0", HOST) == "its /signature answers 302"
    assert asked == ["/signature"]


async def test_an_answer_without_end_is_not_read_to_its_end(pod, monkeypatch):
    asks, answers, _ = pod
    monkeypatch.setattr(inner, "MOST_BYTES", 1000)
    answers["/signature"] = web.Response(text="x" * 1001)
    assert await asks.signature("uid/0", HOST) == "its /signature answers nothing"


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"{}", b"\xff", b"", b"[" * 500_000, ENDLESS],
    ids=lambda body: body[:9].decode(errors="replace"),
)
async def test_an_answer_that_makes_no_sense_is_told(pod, body):
    asks, answers, _ = pod
    answers["/signature"] = web.Response(body=body)
    assert "its /signature" in await asks.signature("uid/0", HOST)


@pytest.mark.parametrize("body", [b"\xff", b"envoy_cluster_upstream_rq_pending_overflow{} 1", b"x" * 1000])
async def test_figures_that_make_no_sense_are_none(pod, body):
    asks, answers, _ = pod
    answers["/stats/prometheus"] = web.Response(body=body)
    taken = await asks.taken(HOST)
    assert taken is None or taken.clusters == ""


async def test_an_answer_is_not_unpacked(pod):
    """A few bytes would be many."""
    asks, answers, _ = pod
    packed = gzip.compress(b" " * 2**27)
    answers["/signature"] = web.Response(body=packed, headers={"Content-Encoding": "gzip"})
    tracemalloc.start()
    try:
        assert "its /signature" in await asks.signature("uid/0", HOST)
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST_BYTES
    finally:
        tracemalloc.stop()


async def test_a_pod_that_does_not_listen_says_nothing(pod, monkeypatch):
    asks, _, _ = pod
    monkeypatch.setattr(inner, "INNER", 1)
    assert await asks.taken(HOST) is None
