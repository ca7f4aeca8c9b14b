"""The split, the mirrors and the keys, as callers meet them through the real router."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import asynccontextmanager

import aiohttp
import pytest
from scipy.stats import chisquare

from local.load import Caller
from ports import free_port

REQUESTS, CALLERS = 20_000, 16


async def split(port: int, key: dict[str, str]) -> Counter:
    """Who answered, out of REQUESTS; every one must be answered with 200."""
    answered: Counter = Counter()

    async def calls(count: int) -> None:
        async with Caller(port, key) as caller:
            for _ in range(count):
                answer = await caller.call()
                assert answer.status == 200
                answered[answer.deployment] += 1

    await asyncio.gather(*(calls(REQUESTS // CALLERS) for _ in range(CALLERS)))
    return answered


async def test_twenty_thousand_requests_are_split_as_the_weights_say(manifests, up, capsys):
    manifests.endpoint(traffic={"blue": 90, "green": 10}, router={"accessLog": False})
    for name in ("blue", "green"):
        manifests.deployment(name, environmentVariables={})
    async with up() as run:
        await run.traffic("blue=90 green=10")
        answered = await split(run.port, run.key)
    p = chisquare([answered["blue"], answered["green"]], [18_000, 2_000]).pvalue
    with capsys.disabled():  # the figures are the point, also of a quiet run
        print(f"\nseed: the router's own (Envoy draws per request); counts: {dict(answered)}; chi-square p = {p:.4g}")
    assert answered["blue"] + answered["green"] == REQUESTS
    assert p > 1e-6


async def test_a_named_deployment_gets_the_request_whatever_the_weights(manifests, up):
    manifests.endpoint(traffic={"blue": 100})
    manifests.deployment("blue")
    manifests.deployment("green")
    async with up() as run:
        await run.traffic("blue=100")
        async with Caller(run.port, run.key) as caller:
            answers = [await caller.call(azureml_model_deployment=name) for name in ("green", "GREEN", "blue", "red")]
        assert [(a.status, a.deployment) for a in answers] == [
            (200, "green"),
            (200, "green"),
            (200, "blue"),
            (404, ""),
        ]
        assert answers[3].json()["error"]["code"] == "DeploymentNotFound"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 401, id="no key is refused"),
        pytest.param({"authorization": "Bearer wrong"}, 401, id="a wrong key is refused"),
        pytest.param({"authorization": "Bearer one"}, 200, id="the primary key is let in"),
        pytest.param({"api-key": "two"}, 200, id="the secondary key is let in, in the other header too"),
    ],
)
async def test_keys(manifests, up, headers, status):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ours"}}
    manifests.write("keys.yaml", secret | {"stringData": {"primaryKey": "one", "secondaryKey": "two"}})
    manifests.endpoint(keys={"secretName": "ours"})
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        async with Caller(run.port, headers) as caller:
            assert (await caller.call()).status == status


async def test_a_collector_that_is_not_there_is_told_of_once_and_nothing_else_changes(manifests, up):
    collector = f"http://127.0.0.1:{free_port()}"
    manifests.endpoint(authMode="None", tracing={"endpoint": collector, "samplingPercent": 100})
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        for lost in range(2):  # messages; spans wait for a second, and go together
            async with Caller(run.port) as caller:
                assert (await caller.call()).status == 200
            await run.until(lambda s, lost=lost: s.ready and s.endpoints["fraud"].router.traces_dropped > lost, 120)
        [told] = [line for line in run.words.warned if "spans" in line]
        assert f"the collector at {collector} did not take spans of the routers" in told


async def test_an_open_endpoint_needs_no_key(manifests, up):
    manifests.endpoint(authMode="None")
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        assert run.twin.keys("fraud") is None
        async with Caller(run.port) as caller:
            assert (await caller.call()).status == 200


@asynccontextmanager
async def mirrored(manifests, up, **limits):
    """blue serves, violet gets a copy of everything."""
    manifests.endpoint(traffic={"blue": 100}, mirrorTraffic={"violet": 100}, limits=limits)
    manifests.deployment("blue")
    manifests.deployment("violet")
    async with up() as run:
        await run.until(lambda s: s.ready and s.settled and s.endpoints["fraud"].mirror_text == "violet=100")
        yield run


async def test_a_mirror_sees_the_requests_and_its_answers_go_nowhere(manifests, up):
    async with mirrored(manifests, up) as run, Caller(run.port, run.key) as caller:
        for _ in range(20):
            assert (await caller.call(body=b'{"x": 1}')).json()["answer"] == "blue"
        await arrived(manifests, "violet", 20)
        assert manifests.seen("violet") == [8] * 20


async def test_a_slow_shadow_is_still_held_when_the_caller_has_its_answer(manifests, up):
    hold = manifests.stub / "hold.violet"
    hold.touch()
    async with mirrored(manifests, up) as run, Caller(run.port, run.key) as caller:
        answer = await caller.call()
        await arrived(manifests, "violet", 1)
        assert hold.exists()  # the shadow has the request and may not answer before this is gone
        assert (answer.status, answer.json()["answer"]) == (200, "blue")
        hold.unlink()


@pytest.mark.parametrize(
    ("limit", "size"),
    [
        pytest.param("1Mi", 900_000, id="a copy that fits into buffers"),
        pytest.param("64Mi", 8_000_000, id="a copy that does not fit into buffers"),
    ],
)
async def test_a_shadow_that_never_reads_is_still_deaf_when_the_caller_has_its_answer(manifests, up, limit, size):
    deaf = manifests.stub / "deaf.violet"
    deaf.touch()
    async with mirrored(manifests, up, maxMirrorBytes=limit) as run, Caller(run.port, run.key) as caller:
        answer = await caller.call(body=b" " * size + b"{}")
        await tried(run, "violet", 1)
        assert deaf.exists()  # the shadow may not read before this is gone
        assert (answer.status, answer.json()["answer"]) == (200, "blue")
        assert manifests.seen("blue") == [size + 2]
        assert manifests.seen("violet") == []
        deaf.unlink()


async def test_a_body_above_the_mirrors_limit_is_answered_and_not_copied(manifests, up):
    async with mirrored(manifests, up, maxMirrorBytes="1Ki") as run, Caller(run.port, run.key) as caller:
        assert (await caller.call(body=b" " * 2_000 + b"{}")).status == 200
        assert (await caller.call(body=b"{}")).status == 200
        await arrived(manifests, "violet", 1)
        assert manifests.seen("violet") == [2]


async def test_a_dead_shadow_costs_the_caller_nothing(manifests, up, monkeypatch):
    async with mirrored(manifests, up) as run, Caller(run.port, run.key) as caller:
        away = asyncio.Event()

        async def look_away() -> float:
            away.set()
            return 0.05

        with monkeypatch.context() as looking_away:  # else the twin stops the copies when it sees the shadow dead
            looking_away.setattr(run.twin, "_pass", look_away)
            async with asyncio.timeout(60):
                await away.wait()
            for process in run.processes("fraud-violet"):
                process.kill()
                await process.gone()
            for _ in range(50):
                assert (await caller.call()).json()["answer"] == "blue"
            await tried(run, "violet", 50)
        assert manifests.seen("violet") == []


async def arrived(manifests, name: str, count: int) -> None:
    """Wait until a deployment's servers saw that many requests."""
    async with asyncio.timeout(60):
        while len(manifests.seen(name)) < count:  # noqa: ASYNC110  the other side is a process
            await asyncio.sleep(0.02)


TRIED = re.compile(
    r"^envoy_cluster_upstream_(?:rq_total|rq_pending_failure_eject|cx_none_healthy)"
    r'\{envoy_cluster_name="([^"]+)"\} (\d+)$',
    re.MULTILINE,
)


async def tried(run, name: str, count: int) -> None:
    """Wait until the router began that many copies, or had nobody to give them to: its own counters say so."""
    url = f"{run.twin.inner_urls('fraud')['fraud-router-1']}/stats/prometheus"
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        seen = 0
        while seen < count:
            async with session.get(url) as page:
                seen = sum(int(n) for cluster, n in TRIED.findall(await page.text()) if cluster == f"{name}~mirror")
            await asyncio.sleep(0.02)
