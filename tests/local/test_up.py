"""What a person does with a running twin: it starts, answers, and takes every edit without losing a request."""

from __future__ import annotations

from local.load import Caller


async def test_a_folder_is_served_at_its_url_with_its_key(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        assert run.twin.url("fraud") == f"http://127.0.0.1:{run.port}"
        async with Caller(run.port, run.key) as caller:
            answer = await caller.call()
        assert (answer.status, answer.deployment, answer.json()["answer"]) == (200, "blue", "blue")
