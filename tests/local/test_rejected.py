"""An update that the real Envoy refuses although we found nothing wrong with it: told in its words, and harmless.

A router that starts anew meanwhile has what the one before it had.
"""

from __future__ import annotations

import asyncio

import pytest

from local.load import Caller
from wye_operator.render import envoy as render

GHOST = b'"name":"ghost","weight"'
# what gets past us, by file: (old, new, Envoy's words)
MUTANTS = {
    "routes": ("rds.json", b'"name":"green","weight"', GHOST, "route: unknown weighted cluster 'ghost'"),
    "clusters": ("cds.json", b'"connect_timeout":"1s"', b'"connect_timeout":"-1s"', "Expected positive duration"),
    "addresses": ("eds-green.json", b'"address":"127.', b'"address":"localhost.', "malformed IP address: localhost."),
}
CALLERS = ("auth.json", b"http.rbac.v3.RBAC", b"http.rbac.v3.Ghost", "Ghost")


@pytest.fixture
def mutate(monkeypatch):
    """From now on every file that is new gets past us as a mutant, until `undo`."""

    def begin(file, old, new):
        writer = "auth_files" if file == "auth.json" else "route_files"
        real, good = getattr(render, writer), set()

        def mutants(*given):
            files = real(*given)
            good.add(files[file]) if not good else None  # what is in force stays so
            return {**files, file: files[file] if files[file] in good else files[file].replace(old, new)}

        monkeypatch.setattr(render, writer, mutants)

    begin.undo = monkeypatch.undo
    return begin


@pytest.mark.parametrize(("file", "old", "new", "words"), MUTANTS.values(), ids=MUTANTS)
async def test_it_is_told_and_traffic_goes_on(manifests, up, mutate, file, old, new, words):
    manifests.endpoint(traffic={"blue": 100})
    for name in ("blue", "green"):
        manifests.deployment(name)
    async with up() as run:
        await run.traffic("blue=100")
        version = run.twin.status().endpoints["fraud"].router.version
        async with run.lossless():
            mutate(file, old, new)
            manifests.deployment("violet")
            manifests.deployment("green", instanceCount=2)
            manifests.endpoint(traffic={"blue": 50, "green": 50})
            await run.until(lambda s: words in told(s), 60)
        now = run.twin.status().endpoints["fraud"]
        assert reason(now) == "RouterRejected"
        if file == "rds.json":  # a refused list of clusters or of addresses leaves the routes as good as before
            assert (now.traffic_text, now.router.version) == ("blue=100", version)
        if file != "eds-green.json":
            await restarted(run, run.key)
            assert words in told(run.twin.status())
        mutate.undo()
        manifests.endpoint(traffic={"blue": 20, "green": 80})
        await run.traffic("green=80 blue=20")


async def test_who_may_call_is_refused(manifests, up, mutate):
    manifests.endpoint(traffic={"blue": 100})
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        (file, old, new, words), key = CALLERS, run.key
        mutate(file, old, new)
        manifests.endpoint(traffic={"blue": 100}, authMode="None")
        await run.until(lambda s: words in told(s), 60)
        await restarted(run, key)
        assert await status(run, {}) == 401
        mutate.undo()
        await run.traffic("blue=100")
        assert await status(run, {}) == 200


async def test_a_router_that_dies_before_anybody_could_help(manifests, up, mutate):
    """It starts with what is refused, and is the only one: it has what was in force as soon as that is noticed."""
    manifests.endpoint(traffic={"blue": 100})
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        mutate(*MUTANTS["routes"][:3])
        router = run.target().router
        written = router.write

        def killed(*given):
            changed = written(*given)
            if b"ghost" in (router._routes / "..data" / "rds.json").read_bytes():
                router.write = written
                router.envoys[0].process.kill()
            return changed

        router.write = killed
        manifests.deployment("green")
        manifests.endpoint(traffic={"blue": 50, "green": 50})
        await run.until(lambda s: "unknown weighted cluster 'ghost'" in told(s), 60)
        assert router.write == written
        await serves(run, run.key)


async def restarted(run, key):
    """The router was killed, runs again, and answers as before."""
    [envoy] = run.target().router.envoys
    process = envoy.process
    process.kill()
    await run.until(lambda _: envoy.process not in (None, process) and envoy.ready)
    await serves(run, key)


async def serves(run, key):
    """In the end."""
    async with asyncio.timeout(60):
        while await status(run, key) != 200:  # noqa: ASYNC110 (nothing else tells it)
            await asyncio.sleep(0.05)


async def status(run, headers) -> int:
    """Of one request; 0 where nobody listened."""
    try:
        async with Caller(run.port, headers) as caller:
            return (await caller.call()).status
    except (ConnectionError, asyncio.IncompleteReadError):
        return 0


def condition(status):
    return next(each for each in status.conditions if each.type == "Ready")


def reason(status) -> str:
    return condition(status).reason


def told(s) -> str:
    return condition(s.endpoints["fraud"]).message
