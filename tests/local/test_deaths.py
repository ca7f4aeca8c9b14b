"""What dies is started again, what is asked to end ends, and nothing outlives the twin."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.conftest import STUB
from local.load import Caller, Load
from ports import free_port
from wye_operator.errors import Mistakes, WyeError
from wye_operator.local import shutdown

CALLERS = 8


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:4]
    except OSError:
        return False


async def until(predicate, deadline: float = 60) -> None:
    """Wait for something outside the twin."""
    async with asyncio.timeout(deadline):
        while not predicate():  # noqa: ASYNC110  the other side is a process
            await asyncio.sleep(0.02)


async def test_one_of_two_model_servers_killed_loses_at_most_what_it_had(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue", instanceCount=2)
    async with up() as run:
        await run.traffic("blue=100")
        victim = run.processes("fraud-blue")[0].pid
        async with Load(run.port, run.key, CALLERS) as load:
            await load.more(100)
            os.kill(victim, signal.SIGKILL)
            await run.until(
                lambda s: s.settled and s.ready and victim not in {p.pid for p in run.processes("fraud-blue")}
            )
            before = len(load.failed)
            await load.more(100)
        assert before <= CALLERS
        assert len(load.failed) == before
        failure = run.twin.status().deployments["fraud-blue"].last_failure
        assert (failure.exit_code, failure.restart_count) == (137, 1)


async def test_a_killed_router_comes_back_and_only_what_was_in_flight_is_lost(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        victim = run.target().router.envoys[0].process.pid
        async with Load(run.port, run.key, CALLERS) as load:
            await load.more(100)
            os.kill(victim, signal.SIGKILL)
            await load.more(200)
            await run.until(lambda s: s.ready and s.settled)
        assert len(load.failed) <= CALLERS
        assert run.target().router.envoys[0].process.pid != victim


async def test_the_only_model_server_killed_is_started_again(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        victim = run.processes("fraud-blue")[0].pid
        os.kill(victim, signal.SIGKILL)
        await run.until(lambda s: s.deployments["fraud-blue"].ready_replicas == 0)
        await run.traffic("blue=100")
        async with Caller(run.port, run.key) as caller:
            assert (await caller.call()).json()["pid"] not in (victim, None)


async def test_a_model_server_that_cannot_start_is_tried_again_ever_later_and_at_once_when_edited(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue", model={"exit": 3, "reason": "ModelInvalid", "message": "is no ONNX model"})
    async with up() as run:
        await run.until(lambda s: run.target().groups and instance(run).back_off.deaths >= 3)
        back_off = instance(run).back_off
        status = run.twin.status().deployments["fraud-blue"]
        assert status.conditions[0].reason == "ModelInvalid"
        assert (status.last_failure.exit_code, status.last_failure.log) == (3, "is no ONNX model")
        assert "fraud-blue-1 ended with exit code 3: is no ONNX model; it is started again" in run.words.warned
        back_off.not_before += 3600  # whatever it waits for, an edit does not
        manifests.model("blue", answer="mended")
        await run.traffic("blue=100")


def instance(run):
    return run.target().groups["fraud-blue"].instances[0]


async def test_leaving_the_twin_ends_every_process(manifests, up):
    manifests.endpoint(traffic={"blue": 50, "green": 50})
    manifests.deployment("blue", instanceCount=2)
    manifests.deployment("green")
    async with up() as run:
        await run.traffic("blue=50 green=50")
        pids = [p.pid for name in ("fraud-blue", "fraud-green") for p in run.processes(name)]
        pids.append(run.target().router.envoys[0].process.pid)
        assert len(pids) == 4
    assert [pid for pid in pids if alive(pid)] == []


async def test_an_envoy_that_does_not_answer_is_ended_by_force(manifests, up, monkeypatch):
    monkeypatch.setattr(shutdown, "GRACE", 0.1, raising=False)
    manifests.endpoint()
    manifests.deployment("blue")
    async with asyncio.timeout(60):
        async with up() as run:
            await run.traffic("blue=100")
            stuck = run.target().router.envoys[0].process
            os.kill(stuck.pid, signal.SIGSTOP)
    assert stuck.exit_code == -signal.SIGKILL


async def test_a_port_in_use_is_said_with_another_to_try(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(WyeError, match=f"port {port} is in use by another program, try --port {port + 10}"):
            async with up(port=port):
                pass


async def test_a_port_that_another_router_shares_is_in_use(manifests, up, tmp_path):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        with pytest.raises(WyeError, match=f"port {run.port} is in use"):
            async with up(port=run.port, state=tmp_path / "other"):
                pass


async def test_a_second_twin_of_a_folder_says_who_has_it(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up():
        with pytest.raises(WyeError, match=f"in use by process {os.getpid()}: stop that twin first"):
            async with up():
                pass


async def test_a_folder_with_a_mistake_does_not_start(manifests, up):
    manifests.endpoint(traffic={"blue": 90})
    with pytest.raises(Mistakes, match=r"endpoint-fraud\.yaml:6: spec\.traffic: adds up to 90"):
        async with up():
            pass


async def test_a_program_that_cannot_be_started_is_a_failure_like_any_other(manifests, up):
    manifests.endpoint()
    manifests.deployment("blue")
    async with up(program=("/nonexistent/server",)) as run:
        await run.until(lambda s: bool(run.words.warned))
        assert run.words.warned[0].startswith(
            "fraud-blue-1 ended with exit code 1: /nonexistent/server cannot be started: No such file or directory"
        )


@pytest.mark.parametrize("turns", range(4))
async def test_the_end_counts_when_something_ends_at_the_same_moment(manifests, up, turns):
    """A turn of the event loop, in which the wait for news is over and the pass after it has not begun."""
    manifests.endpoint()
    async with asyncio.timeout(180) as limit:
        async with up() as run:
            async with run.twin._passed:
                await run.twin._passed.wait()
            await asyncio.sleep(0.01)  # now it waits for news
            run.twin._woken.set()
            for _ in range(turns):
                await asyncio.sleep(0)
    assert not limit.expired()


class Outside:
    """`wye local up` as a process of its own."""

    def __init__(self, manifests, port: int) -> None:
        self.log = manifests.folder / "up.log"
        code = f"""
import asyncio, sys
from pathlib import Path
from wye_operator.cli import local
from wye_operator.cli.terminal import Plain
from wye_operator.local.twin import Options, Twin
options = Options(port={port}, program={STUB!r})
asyncio.run(local._up(Twin(Path({str(manifests.folder)!r}), options, Plain()), Plain().say))
"""
        with self.log.open("w") as log:
            self.process = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log)

    def said(self) -> str:
        return self.log.read_text()

    def children(self) -> list[int]:
        task = Path(f"/proc/{self.process.pid}/task")
        return [int(pid) for thread in task.iterdir() for pid in (thread / "children").read_text().split()]


@pytest.fixture
async def outside(manifests):
    manifests.endpoint()
    manifests.deployment("blue", requestSettings={"requestTimeoutMs": 300_000})  # what one signal may wait for
    made = Outside(manifests, free_port())
    try:
        await until(lambda: "call it:" in made.said())
        yield made
    finally:
        made.process.kill()
        made.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
async def test_a_signal_ends_the_twin_and_everything_it_started(outside, number):
    children = outside.children()
    assert len(children) == 2
    outside.process.send_signal(number)
    await until(lambda: outside.process.poll() is not None)
    assert outside.process.returncode == 0
    assert outside.said().endswith("stopped\n")
    assert [pid for pid in children if alive(pid)] == []


async def test_nothing_outlives_a_twin_that_is_killed(outside):
    children = outside.children()
    assert len(children) == 2
    outside.process.kill()
    outside.process.wait()
    await until(lambda: not any(alive(pid) for pid in children))


async def test_a_second_signal_does_not_wait_for_requests_in_flight(outside, manifests):
    hold = manifests.stub / "hold.blue"
    hold.touch()
    port = int(outside.said().partition("http://127.0.0.1:")[2].partition("/")[0])
    key = outside.said().partition("Bearer ")[2].partition("'")[0]
    async with Caller(port, {"api-key": key}) as caller:
        waiting = asyncio.create_task(caller.call())
        await until(lambda: manifests.seen("blue") == [2])
        outside.process.send_signal(signal.SIGINT)
        await until(lambda: "stopping" in outside.said())
        outside.process.send_signal(signal.SIGINT)
        await until(lambda: outside.process.poll() is not None)
        assert hold.exists()
        assert outside.process.returncode == 0
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await waiting


async def test_a_pass_that_fails_for_one_endpoint_is_told_once_and_stops_no_other(manifests, up, monkeypatch):
    manifests.endpoint("alpha")
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.until(lambda s: s.endpoints["fraud"].traffic_text == "blue=100" and s.settled)
        tried = []

        async def gather(name):
            tried.append(name)
            raise ZeroDivisionError("oh")

        monkeypatch.setattr(run.target("alpha"), "gather", gather)
        manifests.model("blue", exit=3, reason="ModelInvalid", message="is no ONNX model")
        await run.until(lambda s: "is no ONNX model" in s.deployments["fraud-blue"].conditions[0].message)
        await run.until(lambda s: len(tried) > 2)
        told = [line for line in run.words.warned if "a pass failed" in line]
        assert told == ["alpha: a pass failed and is tried again: ZeroDivisionError('oh')"]
