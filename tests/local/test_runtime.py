"""The twin with the real runtime: real models, good and bad, and edits that lose nothing there either."""

from __future__ import annotations

import json
import os
import signal

import toys
from local.load import Caller, Load

BODY = json.dumps({"instances": [{"x": [0.0] * 7}]}).encode()
REAL = {"program": None}


def served(manifests, name: str, model: bytes | None, **spec) -> None:
    """A Deployment with a model of those bytes, or with none at all."""
    uri = f"file://{name}.onnx"
    manifests.deployment(name, **({"model_spec": {"uri": uri}, "environmentVariables": {}} | spec))
    if model is not None:
        replaced(manifests, name, model)


def replaced(manifests, name: str, model: bytes) -> None:
    fresh = manifests.folder / f".{name}.new"
    fresh.write_bytes(model)
    fresh.rename(manifests.folder / f"{name}.onnx")


async def test_a_model_that_cannot_be_served_says_why_and_the_others_serve(manifests, up):
    good = toys.linear().SerializeToString()
    manifests.endpoint(traffic={"good": 100})
    served(manifests, "good", good)
    served(manifests, "missing", None)
    served(manifests, "truncated", good[: len(good) // 2])
    served(manifests, "text", b"version https://git-lfs.github.com/spec/v1\n")
    served(manifests, "newer", toys.newer(toys.linear(), opset=99).SerializeToString())
    served(manifests, "cold", toys.raising().SerializeToString(), warmup={"input": {"index": [7]}})
    served(manifests, "other", good, model_spec={"uri": "file://good.onnx", "sha256": "0" * 64})
    bad = {
        "fraud-missing": ("ModelFetch", "there is no file"),
        "fraud-truncated": ("ModelInvalid", "no ONNX model, or only a part of one"),
        "fraud-text": ("ModelInvalid", "no ONNX model"),
        "fraud-newer": ("ModelInvalid", "newer opset"),
        "fraud-cold": ("ModelInvalid", ""),
        "fraud-other": ("ModelDigestMismatch", ""),
    }
    async with up(**REAL) as run:
        await run.until(
            lambda s: all(s.deployments[name].conditions[0].reason == reason for name, (reason, _) in bad.items())
        )
        await run.until(lambda s: s.endpoints["fraud"].conditions[0].status == "True")
        for name, (_, words) in bad.items():
            status = run.twin.status().deployments[name]
            assert (status.conditions[0].status, status.ready_replicas) == ("False", 0)
            assert words in status.conditions[0].message
        async with Caller(run.port, run.key) as caller:
            answer = await caller.call(body=BODY)
        assert (answer.status, answer.deployment) == (200, "good")


async def test_edits_and_deaths_under_load_lose_nothing_but_what_a_dead_server_had(manifests, up):
    good = toys.linear().SerializeToString()
    manifests.endpoint(traffic={"blue": 100})
    served(manifests, "blue", good, instanceCount=2)
    async with up(**REAL) as run:
        await run.traffic("blue=100")
        async with Load(run.port, run.key, callers=4, body=BODY) as load:
            served(manifests, "green", good)
            manifests.endpoint(traffic={"blue": 60, "green": 40})
            await run.traffic("blue=60 green=40")
            before = {p.pid for p in run.processes("fraud-blue")}
            replaced(manifests, "blue", toys.linear(batch="M").SerializeToString())
            await run.until(
                lambda s: s.settled and s.ready and not before & {p.pid for p in run.processes("fraud-blue")}
            )
            manifests.endpoint(traffic={"blue": 100})
            manifests.remove("green.yaml")
            await run.until(lambda s: s.settled and s.ready and "fraud-green" not in s.deployments)
            assert load.failed == []
            victim = run.processes("fraud-blue")[0].pid
            os.kill(victim, signal.SIGKILL)
            await run.until(lambda s: s.settled and victim not in {p.pid for p in run.processes("fraud-blue")})
            await load.more(50)
        assert len(load.failed) <= load.callers
        assert load.answered["green"] > 0
