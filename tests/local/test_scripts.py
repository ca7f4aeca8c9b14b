"""Scoring scripts in the twin, with the real runtime: beside a model, edited, broken, and from a ConfigMap."""

from __future__ import annotations

import asyncio
import json

import httpx

import plain
import toys

REAL = {"program": None}
SCRIPT = """
import os

def init():
    pass

def run(data):
    return {"script": "one", "model": os.listdir(os.environ.get("AZUREML_MODEL_DIR", "."))}
"""
BODY = json.dumps({"instances": [{"x": [0.0] * 7}]})
CONTRACT = {"inputs": [{"name": "a", "type": "number"}], "outputs": [{"name": "p"}]}


def code(manifests, text: str, name: str = "score.py") -> None:
    folder = manifests.folder / "code"
    folder.mkdir(exist_ok=True)
    (folder / ".new").write_text(text)
    (folder / ".new").rename(folder / name)


def scripted(manifests, name: str = "green", **spec) -> None:
    base = {"endpointName": "fraud", "name": name}
    base |= {"codeConfiguration": {"code": "file://code", "scoringScript": "score.py"}}
    manifests.write(f"{name}.yaml", manifests.object("Deployment", f"fraud-{name}", base | spec))


async def called(run, deployment: str, body: str = "{}") -> httpx.Response:
    headers = {**run.key, "content-type": "application/json", "azureml-model-deployment": deployment}
    async with plain.AsyncClient() as client:
        return await client.post(f"http://127.0.0.1:{run.port}/score", content=body, headers=headers)


async def test_a_script_beside_a_model_edited_and_broken(manifests, up):
    """It has no signature and agrees; an edit rolls it, and one that fails says where and keeps the old one."""
    (manifests.folder / "blue.onnx").write_bytes(toys.linear().SerializeToString())
    (manifests.folder / "weights.pkl").write_bytes(b"any bytes")
    manifests.endpoint(traffic={"blue": 50, "green": 50})
    manifests.deployment("blue", model_spec={"uri": "file://blue.onnx"}, environmentVariables={})
    code(manifests, SCRIPT)
    scripted(manifests, model={"uri": "file://weights.pkl"}, environmentVariables={"SECRET": "hidden-value"})
    async with up(**REAL) as run:
        await run.traffic("blue=50 green=50")
        assert (await called(run, "green")).json() == {"script": "one", "model": ["weights.pkl"]}
        assert (await called(run, "blue", BODY)).status_code == 200
        status = run.twin.status().deployments["fraud-green"]
        assert (status.model.uri, status.model.size_bytes, status.model.inputs) == ("file://weights.pkl", 9, [])
        code(manifests, SCRIPT.replace("one", "two"))
        end = asyncio.get_running_loop().time() + 60
        while (await called(run, "green")).json()["script"] != "two":
            assert asyncio.get_running_loop().time() < end, "the edit has no effect"
            await asyncio.sleep(0.05)
        code(manifests, SCRIPT.replace("    pass", "    raise ValueError(os.environ['SECRET'])"))
        await run.until(lambda s: s.deployments["fraud-green"].conditions[0].reason == "UserScriptInitFailed")
        status = run.twin.status().deployments["fraud-green"]
        told = "init() of score.py failed: ValueError: "
        assert status.conditions[0].message.startswith(told)
        assert "\n" not in status.conditions[0].message
        assert status.conditions[0].message.endswith("; 1 older instance goes on serving")
        assert "in init" in status.last_failure.log
        assert "hidden-value" not in str(status)
        assert (await called(run, "green")).json()["script"] == "two"


async def test_scripts_without_a_model_from_a_configmap_and_what_is_missing(manifests, up):
    """And at an Endpoint with a contract, which is no matter of theirs."""
    manifests.endpoint(traffic={"green": 100}, contract=CONTRACT)
    entries = {"score.py": SCRIPT.replace("one", "from a ConfigMap"), "beside.py": ""}
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": entries}
    manifests.write("code.yaml", configmap)
    (manifests.folder / "score.py").write_text(SCRIPT)
    for name, uri, script in (
        ("green", "configmap://code", "score.py"),
        ("nowhere", "file://nowhere", "score.py"),
        ("file", "file://score.py", "score.py"),
        ("other", "configmap://code", "other.py"),
        ("claim", "pvc://claim/code", "score.py"),
    ):
        scripted(manifests, name, codeConfiguration={"code": uri, "scoringScript": script})
    bad = {
        "nowhere": ("ModelFetch", "there is no file"),
        "file": ("ModelFetch", "codeConfiguration.code is a file, file://score.py: want the folder that it is in"),
        "other": ("UserScriptImportError", "the code has no file other.py: it has beside.py, score.py"),
        "claim": ("ModelSourceUnsupported", "spec.codeConfiguration.code: pvc:// cannot be read here"),
    }
    async with up(**REAL) as run:
        for name, (reason, words) in bad.items():
            await run.until(lambda s, n=name, r=reason: s.deployments[f"fraud-{n}"].conditions[0].reason == r)
            assert words in run.twin.status().deployments[f"fraud-{name}"].conditions[0].message
        await run.until(lambda s: s.endpoints["fraud"].traffic_text == "green=100")
        answer = (await called(run, "green")).json()
        assert (answer["script"], answer["model"]) == ("from a ConfigMap", ["beside.py", "score.py"])
        assert run.twin.status().deployments["fraud-green"].model is None
