"""The example with Triton on a machine that has none: ours serves, and the others say what is missing."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import httpx

from examples.conftest import copied
from ports import free_port
from wye_operator.local.twin import Options, Twin

OTHERS = ("thermometer-triton", "thermometer-calls")


async def test_without_triton_ours_answers_for_all(tmp_path: Path, monkeypatch) -> None:
    folder = copied("triton", tmp_path / "triton")
    runpy.run_path(str(folder / "make_model.py"))
    monkeypatch.setenv("PATH", str(tmp_path))
    async with Twin(folder, Options(port=free_port())) as twin:
        await twin.wait_for(lambda s: s.endpoints["thermometer"].traffic_text == "ours=100", 60)
        reasons = {s.conditions[0].reason for name, s in twin.status().deployments.items() if name in OTHERS}
        assert reasons == {"EnvironmentUnsupported"}
        asked = json.loads((folder / "request.json").read_text())
        headers = {"api-key": twin.keys("thermometer").primary}
        async with httpx.AsyncClient(base_url=twin.url("thermometer"), headers=headers) as caller:
            answer = await caller.post("/v2/models/thermometer/infer", json=asked)
    assert answer.json()["outputs"][0]["data"] == [32.0, 212.0]
