"""An update that the real Envoy refuses although we found nothing wrong with it: told in its words, and harmless."""

from __future__ import annotations

import pytest

from wye_operator.render import envoy as render

GHOST = b'"name":"ghost","weight"'
# what gets past us, by file: (old, new, Envoy's words)
MUTANTS = {
    "routes": ("rds.json", b'"name":"green","weight"', GHOST, "route: unknown weighted cluster 'ghost'"),
    "clusters": ("cds.json", b'"connect_timeout":"0.25s"', b'"connect_timeout":"-1s"', "Expected positive duration"),
    "addresses": ("eds-green.json", b'"address":"127.', b'"address":"localhost.', "malformed IP address: localhost."),
}


@pytest.fixture
def mutate(monkeypatch):
    """From now on every file that is written gets past us as a mutant, until `undo`."""

    def begin(file, old, new):
        def mutants(wanted, place, real=render.route_files):
            files = real(wanted, place)
            return {**files, file: files[file].replace(old, new)}

        monkeypatch.setattr(render, "route_files", mutants)

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
        status = run.twin.status().endpoints["fraud"]
        assert reason(status) == "RouterRejected"
        if file == "rds.json":  # a refused list of clusters or of addresses leaves the routes as good as before
            assert (status.traffic_text, status.router.version) == ("blue=100", version)
        mutate.undo()
        manifests.endpoint(traffic={"blue": 20, "green": 80})
        await run.traffic("green=80 blue=20")


def condition(status):
    return next(each for each in status.conditions if each.type == "Ready")


def reason(status) -> str:
    return condition(status).reason


def told(s) -> str:
    return condition(s.endpoints["fraud"]).message
