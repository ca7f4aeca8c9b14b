"""Models that the twin fetches: by the real `wye-runtime fetch`, from a store with bad days, as a pod would."""

from __future__ import annotations

import json

import pytest

import toys
from breaking import Bucket, Server, answering, breaking, certificate, headers_of
from local.load import Caller

MODEL = toys.linear().SerializeToString()
BODY = json.dumps({"instances": [{"x": [0.0] * 7}]}).encode()
SLOW = 120.0  # seconds: real model servers start here
KEY = "a-key-nobody-may-read"


@pytest.fixture
def bucket(tmp_path):
    folder = tmp_path / "tls"
    folder.mkdir()
    server = Server(certificate(folder))
    server.authority = (folder / "server.crt").read_text()
    yield Bucket(server)
    server.stop()


def secret(manifests, bucket, **more) -> None:
    entries = {
        "AWS_ENDPOINT_URL": bucket.server.base,
        "AWS_ACCESS_KEY_ID": "AKIANOBODY",
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_REGION": "us-east-1",
        "WYE_FETCH_CA": bucket.server.authority,
    }
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"}, "stringData": entries | more}
    manifests.write("secret.yaml", made)


def deployed(manifests, name, uri, **source) -> None:
    manifests.deployment(name, model_spec={"uri": uri, "secretName": "store"} | source, environmentVariables={})


def told(run, name):
    conditions = run.twin.status().deployments[f"fraud-{name}"].conditions
    return conditions[0].reason, conditions[0].message


async def test_what_comes_is_served_and_what_does_not_says_why(manifests, up, bucket):
    bucket.put("good/model.onnx", MODEL, breaking(MODEL, 50, breaks=2, **headers_of(MODEL)))
    bucket.put("secret.onnx", MODEL, answering(403, f"<Error><Code>AccessDenied</Code>{KEY}</Error>".encode()))
    manifests.endpoint(traffic={"good": 100})
    secret(manifests, bucket)
    deployed(manifests, "good", "s3://models/good")
    deployed(manifests, "forbidden", "s3://models/secret.onnx")
    deployed(manifests, "other", "s3://models/good", sha256="0" * 64)
    deployed(manifests, "nowhere", "s3://models/good", secretName="none")
    async with up(program=None) as run:
        await run.until(lambda s: s.endpoints["fraud"].conditions[0].status == "True", SLOW)
        async with Caller(run.port, run.key) as caller:
            answer = await caller.call(body=BODY)
        assert (answer.status, answer.deployment) == (200, "good")
        await run.until(lambda _: "reading" not in told(run, "forbidden")[1] + told(run, "other")[1], SLOW)
        reason, message = told(run, "forbidden")
        assert (reason, KEY in message) == ("ModelFetch", False)
        assert "answered 403 (AccessDenied): may the credentials of model.secretName read it?; asked again" in message
        assert told(run, "other")[0] == "ModelDigestMismatch"
        assert told(run, "nowhere") == ("ModelFetch", "there is no Secret none in the folder")
        log = (manifests.folder / ".wye" / "logs" / "models" / "fraud-good-fetch.log").read_text()
        assert '"interrupted"' in log

        bucket.put("secret.onnx", MODEL)  # somebody grants the right, and renews the key
        secret(manifests, bucket, AWS_ACCESS_KEY_ID="AKIASOMEBODY")
        await run.until(lambda s: s.deployments["fraud-forbidden"].conditions[0].status == "True", SLOW)


async def test_a_script_and_what_lies_beside_it_come_too(manifests, up, bucket):
    """From a store as a folder, and by https:// alone, under its own name."""
    run = b"import os\n\ndef init():\n    pass\n\ndef run(data):\n    return [sorted(os.listdir()), MORE]\n"
    bucket.put("code/score.py", b"from beside import MORE\n" + run)
    bucket.put("code/beside.py", b"MORE = 'from beside'\n")
    bucket.put("alone.py", b"MORE = 'alone'\n" + run)
    manifests.endpoint(traffic={"folder": 50, "alone": 50})
    secret(manifests, bucket)
    codes = {"folder": "s3://models/code", "alone": f"{bucket.server.base}/models/alone.py"}
    for name, uri in codes.items():
        code = {"code": uri, "scoringScript": "score.py", "secretName": "store"}
        spec = {"endpointName": "fraud", "name": name, "codeConfiguration": code}
        manifests.write(f"{name}.yaml", manifests.object("Deployment", f"fraud-{name}", spec))
    async with up(program=None) as run:
        await run.until(lambda s: s.endpoints["fraud"].conditions[0].status == "True", SLOW)
        told = {}
        async with Caller(run.port, run.key) as caller:
            while set(told) != set(codes):
                answer = await caller.call(body=b"{}")
                told[answer.deployment] = json.loads(answer.body)
    assert told == {"folder": [["beside.py", "score.py"], "from beside"], "alone": [["score.py"], "alone"]}
