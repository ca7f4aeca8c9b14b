"""Many requests at a time over a few HTTP/2 connections, from a client that nobody here wrote: edits lose none."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from wye_operator.cli.main import main

sys.path.append(str(Path(__file__).parents[1] / "bench"))
from peers import at_hand

H2LOAD = at_hand("h2load")
SECONDS, CLIENTS, STREAMS, RATE = 6, 4, 8, 60  # RATE: requests a second of each client
pytestmark = pytest.mark.skipif(bool(H2LOAD.missing), reason=f"no h2load here: {H2LOAD.missing}")


async def loaded(port: int, key: str, body: Path) -> asyncio.subprocess.Process:
    bounds = (f"-D{SECONDS}", f"-c{CLIENTS}", f"-m{STREAMS}", f"--rps={RATE}", f"-d{body}")
    words = (*bounds, "-H", f"authorization: Bearer {key}", f"http://127.0.0.1:{port}/score")
    environment = os.environ | H2LOAD.environment
    return await asyncio.create_subprocess_exec(H2LOAD.path, *words, env=environment, stdout=asyncio.subprocess.PIPE)


def counted(told: str) -> dict[str, int]:
    """What h2load says of its requests and their answers."""
    lines = [line for line in told.splitlines() if line.startswith(("requests:", "status codes:"))]
    return {what: int(count) for count, what in re.findall(r"(\d+) (\w+)", " ".join(lines))}


async def test_keys_and_weights_change_under_http2_and_lose_nothing(manifests, up, tmp_path, capsys):
    manifests.endpoint(traffic={"blue": 90, "green": 10})
    for name in ("blue", "green"):
        manifests.deployment(name)
    (tmp_path / "body").write_bytes(b"{}")
    edits, counts = 0, Counter[str]()
    async with up() as run:
        await run.traffic("blue=90 green=10")
        while edits < 2:  # on a slow machine one lasts longer than the load
            load = await loaded(run.port, run.twin.keys("fraud").secondary, tmp_path / "body")
            ended = asyncio.create_task(load.communicate())
            while not ended.done():
                edits += 1
                share = 10 + edits % 2 * 40
                manifests.endpoint(traffic={"blue": 100 - share, "green": share})
                await run.traffic(f"blue={100 - share} green={share}")
                command = ["keys", "regenerate", str(manifests.folder), "--key", "primary"]
                assert await asyncio.to_thread(main, command) == 0
            told, _ = await ended
            counts.update(counted(told.decode()))
    with capsys.disabled():
        print(f"\n{edits} edits and {edits} keys made anew under h2load: {counts}")
    wanted = {"failed": 0, "errored": 0, "timeout": 0, "3xx": 0, "4xx": 0, "5xx": 0}
    assert {what: counts[what] for what in wanted} == wanted
    assert counts["2xx"] == counts["succeeded"] > CLIENTS * STREAMS
