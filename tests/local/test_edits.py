"""What a person edits while the twin runs takes effect, and no caller loses a request."""

from __future__ import annotations

import asyncio
import json

from local.load import Caller, Load
from wye_operator.cli.main import main
from wye_operator.local.routers import Router


def files_of(state, endpoint="fraud"):
    return json.loads((state / "keys" / f"{endpoint}.json").read_text())


async def test_a_folder_is_served_at_its_url_with_its_key(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        assert run.twin.url("fraud") == f"http://127.0.0.1:{run.port}"
        async with Caller(run.port, run.key) as caller:
            answer = await caller.call()
        assert (answer.status, answer.deployment, answer.json()["answer"]) == (200, "blue", "blue")
        await run.until(lambda _: told_how_to_call(run))
        assert told_how_to_call(run) == [
            f"\ncall it:\n  curl -s http://127.0.0.1:{run.port}/score -H 'Authorization: Bearer "
            f"{run.twin.keys('fraud').primary}' -d '{{\"x\": [[0, 0]]}}'\n"
        ]


def told_how_to_call(run) -> list[str]:
    return [line for line in run.words.said if "curl" in line]


async def test_how_to_call_is_told_when_the_router_reaches_the_model(manifests, up, monkeypatch):
    """Its own question to the model is later than the twin's: until then callers get 503."""
    manifests.endpoint()
    manifests.deployment("blue")
    reached, uses = [], Router.uses
    monkeypatch.setattr(Router, "uses", lambda router, address: bool(reached) and uses(router, address))
    async with up() as run:
        await run.traffic("blue=100")
        assert told_how_to_call(run) == []
        reached.append("blue")
        await run.until(lambda _: told_how_to_call(run))


async def test_twenty_weight_edits_under_load_lose_nothing(manifests, up):
    manifests.endpoint(traffic={"blue": 50, "green": 50})
    manifests.deployment("blue")
    manifests.deployment("green")
    async with up() as run:
        await run.traffic("blue=50 green=50")
        async with run.lossless() as load:
            for edit in range(20):
                share = 2 * edit + 1
                manifests.endpoint(traffic={"blue": 100 - share, "green": share})
                await run.traffic(f"blue={100 - share} green={share}")
        assert load.refused == 0
        assert load.answered["blue"] > 0
        assert load.answered["green"] > 0


async def test_a_deployment_added_and_removed_under_load_loses_nothing(manifests, up):
    manifests.endpoint(traffic={"blue": 100})
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        async with run.lossless() as load:
            manifests.deployment("green")
            manifests.endpoint(traffic={"blue": 50, "green": 50})
            await run.traffic("blue=50 green=50")
            await load.more(200)
            manifests.endpoint(traffic={"blue": 100})
            manifests.remove("green.yaml")
            await run.traffic("blue=100")
            await run.until(lambda s: "fraud-green" not in s.deployments and s.settled)
        assert load.answered["green"] > 0
        assert list(run.target().groups) == ["fraud-blue"]


async def test_a_deployment_removed_while_it_has_all_the_traffic_is_unloaded_before_it_ends(manifests, up):
    manifests.endpoint(traffic={"blue": 50, "green": 50})
    manifests.deployment("blue")
    manifests.deployment("green")
    async with up() as run:
        await run.traffic("blue=50 green=50")
        async with run.lossless() as load:
            manifests.remove("green.yaml")
            await run.until(lambda s: list(run.target().groups) == ["fraud-blue"])
            await load.more(50)


async def test_another_model_replaces_the_instances_one_by_one_under_load(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue", instanceCount=2)
    async with up() as run:
        await run.traffic("blue=100")
        before = {p.pid for p in run.processes("fraud-blue")}
        async with run.lossless():
            manifests.model("blue", answer="second")
            await run.until(lambda s: s.settled and not before & {p.pid for p in run.processes("fraud-blue")})
            async with Caller(run.port, run.key) as caller:
                assert (await caller.call()).json()["answer"] == "second"
        assert run.twin.status().deployments["fraud-blue"].ready_replicas == 2


async def test_a_model_that_does_not_start_leaves_the_old_one_serving_and_says_why(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        async with run.lossless() as load:
            manifests.model("blue", exit=3, reason="ModelInvalid", message="is no ONNX model")
            await run.until(lambda s: "ModelInvalid" in str(s.deployments["fraud-blue"].conditions[0].reason))
            await load.more(100)
            assert "is no ONNX model" in run.twin.status().deployments["fraud-blue"].conditions[0].message
            manifests.model("blue", answer="mended")
            await run.traffic("blue=100")
            async with Caller(run.port, run.key) as caller:
                assert (await caller.call()).json()["answer"] == "mended"


async def test_a_model_file_that_goes_leaves_its_instances_serving(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        (manifests.folder / "blue.model").unlink()
        await run.until(lambda s: s.deployments["fraud-blue"].conditions[0].reason == "ModelFetch")
        async with Caller(run.port, run.key) as caller:
            assert (await caller.call()).status == 200


async def test_more_and_fewer_instances_under_load_lose_nothing(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue", instanceCount=1)
    async with up() as run:
        await run.traffic("blue=100")
        async with run.lossless() as load:
            manifests.deployment("blue", instanceCount=3)
            await run.until(lambda s: s.settled and s.deployments["fraud-blue"].ready_replicas == 3)
            manifests.deployment("blue", instanceCount=1)
            await run.until(lambda s: s.settled and s.deployments["fraud-blue"].replicas == 1)
            await load.more(50)


async def test_a_setting_of_the_listener_rolls_the_router_and_loses_nothing(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        before = run.target().router.envoys[0].process.pid
        async with run.lossless() as load:
            manifests.endpoint(router={"accessLog": False})
            await run.until(lambda s: s.settled and run.target().router.envoys[0].process.pid != before)
            await load.more(50)
        assert load.refused == 0
        assert len(run.target().router.envoys) == 1


async def test_edited_keys_count_at_once_on_open_connections_too(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        path = manifests.folder / ".wye" / "keys" / "fraud.json"
        old = json.loads(path.read_text())
        assert oct(path.stat().st_mode)[-3:] == "600"
        async with Caller(run.port) as caller:
            assert (await caller.call(api_key=old["primaryKey"])).status == 200
            path.write_text('{"primaryKey": "new-1", "secondaryKey": "new-2"}')
            await run.until(lambda s: s.settled and run.twin.keys("fraud").primary == "new-1")
            statuses = [(await caller.call(api_key=key)).status for key in (old["primaryKey"], "new-1", "new-2")]
        assert statuses == [401, 200, 200]


async def test_three_keys_made_anew_under_load_lose_nothing_and_the_old_ones_end(manifests, up, capsys):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        bearer = {"authorization": f"Bearer {run.twin.keys('fraud').secondary}"}
        async with Caller(run.port) as caller, Load(run.port, bearer, callers=16, pause=0.05) as load:
            for _ in range(3):
                old = run.twin.keys("fraud").primary
                assert (await caller.call(api_key=old)).status == 200
                command = ["keys", "regenerate", str(manifests.folder), "--key", "primary"]
                assert await asyncio.to_thread(main, command) == 0
                assert "live on 1 router, and the old one is refused" in capsys.readouterr().out
                new = files_of(manifests.folder / ".wye")["primaryKey"]
                statuses = [(await caller.call(api_key=key)).status for key in (old, new)]
                assert statuses == [401, 200]
            await load.more(100)
        assert load.failed == []


async def test_a_file_of_keys_with_a_mistake_leaves_the_keys_in_force(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        path = manifests.folder / ".wye" / "keys" / "fraud.json"
        key = json.loads(path.read_text())["primaryKey"]
        path.write_text("{")
        await run.until(lambda s: any("keys/fraud.json is not" in line for line in run.words.warned))
        async with Caller(run.port) as caller:
            assert (await caller.call(api_key=key)).status == 200
        assert path.read_text() == "{"


async def test_a_mistake_is_told_with_its_line_and_what_runs_goes_on(manifests, up):
    manifests.endpoint(traffic={"blue": 100})
    manifests.deployment("blue")
    manifests.deployment("green")
    async with up() as run:
        await run.traffic("blue=100")
        async with run.lossless():
            manifests.endpoint(traffic={"blue": 60, "green": 50})
            await run.until(lambda s: any("adds up to 110" in line for line in run.words.warned))
            assert run.words.warned[-1].startswith(f"{manifests.folder}/endpoint-fraud.yaml:6: spec.traffic: ")
            assert run.twin.status().endpoints["fraud"].traffic_text == "blue=100"
            manifests.endpoint(traffic={"blue": 100})  # exactly as before: nothing else has anything to say
            await run.until(lambda s: "the manifests are right again, and in force" in run.words.said)
            manifests.endpoint(traffic={"blue": 60, "green": 50})
            await run.until(lambda s: sum("adds up to 110" in line for line in run.words.warned) == 2)
            manifests.endpoint(traffic={"blue": 60, "green": 40})
            await run.traffic("blue=60 green=40")
            assert run.words.said.count("the manifests are right again, and in force") == 2


async def test_a_name_that_cannot_change_is_a_mistake(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        manifests.deployment("blue", endpoint="fraud", name="red")
        await run.until(lambda s: any("spec.name" in line for line in run.words.warned))
        assert "cannot change from blue to red" in run.words.warned[-1]
        assert run.twin.status().endpoints["fraud"].traffic_text == "blue=100"


async def test_an_endpoint_that_goes_ends_its_router_and_keeps_its_deployments_for_a_while(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        before = [p.pid for p in run.processes("fraud-blue")]
        manifests.remove("endpoint-fraud.yaml")
        await run.until(lambda s: "fraud" not in s.endpoints and run.target().router is None)
        assert [p.pid for p in run.processes("fraud-blue")] == before
        manifests.endpoint()
        await run.traffic("blue=100")
        assert [p.pid for p in run.processes("fraud-blue")] == before


async def test_every_endpoint_has_a_port_of_its_own(manifests, up):
    for name in ("alpha", "beta"):
        manifests.endpoint(name)
        manifests.deployment(f"{name}-blue", endpoint=name)
    async with up() as run:
        await run.until(lambda s: len(s.endpoints) == 2 and s.ready and s.settled)
        assert run.twin.url("alpha") == f"http://127.0.0.1:{run.port}"
        urls = {run.twin.url("alpha"), run.twin.url("beta")}
        assert len(urls) == 2
        for name in ("alpha", "beta"):
            port = int(run.twin.url(name).rpartition(":")[2])
            async with Caller(port) as caller:
                key = run.twin.keys(name).secondary
                assert (await caller.call(api_key=key)).json()["answer"] == f"{name}-blue"


async def test_a_deployment_may_be_called_like_a_router(manifests, up):
    manifests.endpoint()
    manifests.deployment("router")
    async with up() as run:
        await run.traffic("router=100")
        async with Caller(run.port, run.key) as caller:
            assert (await caller.call()).json()["answer"] == "router"
        logs = sorted(str(path.relative_to(manifests.folder / ".wye")) for path in manifests.folder.rglob("*.log"))
    assert logs == [
        "logs/models/fraud-router-1.log",
        "logs/routers/fraud-router-1.log",
        "logs/routers/fraud-router-1.requests.log",
    ]


async def test_a_twin_goes_on_where_the_last_one_stopped(manifests, up):
    manifests.endpoint(traffic={"blue": 90, "green": 10})
    manifests.deployment("blue")
    manifests.deployment("green")
    async with up() as run:
        await run.traffic("blue=90 green=10")
        keys = files_of(manifests.folder / ".wye")
    manifests.endpoint(traffic={"blue": 50, "green": 50})
    async with up() as run:
        await run.traffic("blue=50 green=50")
        assert run.twin.status().endpoints["fraud"].observed_generation == 2
        assert files_of(manifests.folder / ".wye") == keys
