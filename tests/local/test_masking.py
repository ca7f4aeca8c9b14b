"""What a process says of its end is shown without the credentials in it."""

from __future__ import annotations

import json

import pytest

from wye_operator.local.masking import masked


@pytest.mark.parametrize(
    ("text", "values", "shown"),
    [
        pytest.param("cannot open m.onnx", [], "cannot open m.onnx", id="what holds no credential stays"),
        pytest.param(
            "GET https://me:p@ss@host/m: 403", [], "GET https://…@host/m: 403", id="user and password of a URL"
        ),
        pytest.param("see https://host/a@b", [], "see https://host/a@b", id="an at sign in a path is none"),
        pytest.param("sent Bearer abc.def-1, got 401", [], "sent Bearer …, got 401", id="a bearer token"),
        pytest.param("authorization: Basic bWU6cA==", [], "authorization: Basic …", id="a basic one"),
        pytest.param('{"api-key": "k1"} api_key=k2&x=1', [], '{"api-key": "…"} api_key=…&x=1', id="an API key"),
        pytest.param("AWS_SECRET_ACCESS_KEY=abc/d+e", [], "AWS_SECRET_ACCESS_KEY=…", id="an access key"),
        pytest.param("password 'x' password=hunter2", [], "password 'x' password=…", id="a password"),
        pytest.param("no user hunter2", ["hunter2"], "no user …", id="a value of the environment"),
        pytest.param("hunter2-long", ["hunter2", "hunter2-long"], "…", id="the longest value first"),
        pytest.param("1 of 10", ["1", ""], "1 of 10", id="a value too short to be a secret stays"),
        pytest.param("key a\nb!", ["a\nb!"], "key …", id="a value of two lines"),
    ],
)
def test_masked(text, values, shown):
    assert masked(text, values) == shown


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
