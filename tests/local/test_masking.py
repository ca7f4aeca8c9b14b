"""What a process says of its end is shown without the credentials in it."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize("words", ["last words", "log"])
async def test_a_failure_is_told_without_credentials(manifests, up, words):
    message = "403 for https://me:hunter2@store/m with Bearer abcdef and DB=hunter3"
    variables = {"DB": "hunter3", "STUB_DIR": str(manifests.stub)}
    model = {"exit": 3, "message": message} if words == "last words" else {"exit": 3, "log": message}
    manifests.endpoint()
    manifests.deployment("blue", environmentVariables=variables, model=model)
    async with up() as run:
        await run.until(lambda s: s.deployments["fraud-blue"].last_failure is not None and run.words.warned != [])
        said = "\n".join(run.words.warned + run.words.said) + str(run.twin.status())
        written = (manifests.folder / ".wye" / "status.json").read_text()
    for text in (said, written):
        assert "403 for https://…@store/m with Bearer … and DB=…" in text
        assert [secret for secret in ("hunter2", "hunter3", "abcdef") if secret in text] == []
    [blue] = [item for item in json.loads(written)["items"] if item["kind"] == "Deployment"]
    assert blue["spec"]["environmentVariables"] == {"DB": "…", "STUB_DIR": "…"}
