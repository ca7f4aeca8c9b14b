"""The real Triton beside our runtime in the twin: examples/triton with a `tritonserver` on the PATH."""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import shutil
from pathlib import Path

import pytest

from clients.environment import HERE, environment
from examples.conftest import copied
from ports import free_port
from wye_operator.local.twin import Options, Twin

pytestmark = pytest.mark.skipif("not os.environ.get('WYE_E2E')", reason="fetches 370 MB of Triton: part of `make e2e`")
COUNT = 40


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with Triton's program, and with the environment that its python back end finds its packages by."""
    home, folder = environment("triton").parents[1], tmp_path_factory.mktemp("triton")
    [server] = home.glob("lib/python3.11/site-packages/pytriton/tritonserver")
    shutil.copytree(server / "backends", folder / "backends")
    stub = "triton_python_backend_stub"
    (folder / "backends/python" / stub).symlink_to(server / "python_backend_stubs/3.11" / stub)
    program = folder / "tritonserver"
    words = f'exec {server}/bin/tritonserver --backend-directory={folder}/backends "$@"'
    program.write_text(f"#!/bin/bash\nexport PATH={home}/bin:$PATH\n{words}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


async def told(twin: Twin, way: str) -> dict:
    """Who answered a caller with tritonclient how often, and what."""
    host, key = twin.url("thermometer").removeprefix("http://"), twin.keys("thermometer").primary
    words = ["-W", "ignore", str(HERE / "calling_triton.py"), way, host, key, str(COUNT), "0", "100"]
    child = await asyncio.create_subprocess_exec(str(environment()), *words, stdout=asyncio.subprocess.PIPE)
    printed, _ = await child.communicate()
    return dict(json.loads(printed))


async def test_half_and_half_by_http_and_by_grpc(tmp_path: Path, programs: str, monkeypatch) -> None:
    folder = copied("triton", tmp_path / "triton")
    runpy.run_path(str(folder / "make_model.py"))
    monkeypatch.setenv("PATH", programs)
    async with Twin(folder, Options(port=free_port())) as twin:
        await twin.wait_for(lambda s: s.ready and s.endpoints["thermometer"].traffic_text == "ours=50 triton=50", 300)
        assert (await told(twin, "http"))["answers"] == [[32.0, 212.0]]
        endpoint = folder / "endpoint.yaml"
        for_calls = endpoint.read_text().replace("traffic: {ours: 50, triton: 50}", "traffic: {ours: 50, calls: 50}")
        endpoint.write_text(for_calls)
        await twin.wait_for(lambda s: s.endpoints["thermometer"].traffic_text == "calls=50 ours=50", 300)
        by_calls = await told(twin, "grpc")
        assert by_calls["answers"] == [[32.0, 212.0]]
        assert min(by_calls["served"].get(name, 0) for name in ("ours", "calls")) > COUNT // 8, by_calls
