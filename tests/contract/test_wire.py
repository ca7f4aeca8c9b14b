"""docs/concepts/wire.md, pinned: the operator's writer against the runtime's reader, and the other way round."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import aiohttp
import httpx
import pytest

import make
import plain
import toys
import wye_runtime.options
import wye_runtime.settings
from ports import free_port
from wye_operator.api.engine import SESSION_OPTIONS
from wye_operator.api.status import Reason
from wye_operator.local.inner import Inner
from wye_operator.plan.deployment_status import OWN_WORDS
from wye_operator.plan.planner import plan
from wye_operator.plan.world import Address
from wye_operator.render import process
from wye_runtime.contract import parse

CONTRACT = {
    "inputs": [{"name": f"f{i}", "type": "number"} for i in range(6)] + [{"name": "chip", "type": "boolean"}],
    "outputs": [
        {"name": "score", "tensor": "probability"},
        {"name": "decision", "tensor": "probability", "labels": ["accept", "review"], "threshold": 0.5},
    ],
}
PROGRAM = (sys.executable, "-m", "wye_runtime.cli")


def workload(**spec):
    """The one workload of a world with one Deployment."""
    (made,) = plan(make.world(make.deployment("blue", **spec))).workloads
    return made


@contextlib.contextmanager
def running(wanted, model: Path, folder: Path):
    """The runtime as the operator starts it; yields its serving and inner address, and the process."""
    config = folder / "config.json"
    config.write_bytes(process.runtime_config(wanted, str(model)))
    serving, inner = (Address("127.0.0.1", free_port()) for _ in range(2))
    environment = {
        **os.environ,
        **process.runtime_environment(wanted),
        "WYE_TERMINATION_LOG": str(folder / "last-words.json"),
    }
    argv = process.runtime_argv(PROGRAM, str(config), serving, inner)
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
        try:
            yield serving, inner, child
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(20)


def until_ready(inner: Address, child: subprocess.Popen) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert child.poll() is None, "the runtime ended"
        with contextlib.suppress(httpx.TransportError):
            answer = plain.get(f"http://{inner.host}:{inner.port}/readyz")
            assert set(answer.json()) == {"ready", "reason"}
            if answer.status_code == 200:
                return
        time.sleep(0.02)
    raise AssertionError("not ready in 30 s")


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"model": {"uri": "file://m", "sha256": "a" * 64, "name": "card", "version": 7}},
        {"engine": {"provider": "CPU", "threads": 2}},
        {"batching": {"mode": "Always", "maxBatchSize": 16, "maxDelayMs": 2}},
        {
            "requestSettings": {
                "requestTimeoutMs": 1,
                "maxConcurrentRequestsPerInstance": 4,
                "maxQueueWaitMs": 0,
            }
        },
        {"warmup": {"requests": 1, "input": {"x": [1]}}},
        {"contract": CONTRACT | {"unknownFields": "drop"}},
    ],
    ids=["all defaults", "model", "engine", "batching", "request settings", "warm-up", "contract"],
)
def test_the_runtime_reads_what_the_operator_writes(spec) -> None:
    wanted = workload(**spec)
    written = json.loads(process.runtime_config(wanted, "/model/m.onnx"))
    read = wye_runtime.settings.parse_config(written)
    assert read.deployment == "default/fraud-blue"
    assert str(read.model.path) == "/model/m.onnx"
    assert (read.model.name, read.model.version, read.model.sha256, read.model.uri) == (
        written["model"]["name"],
        written["model"]["version"],
        written["model"]["sha256"],
        written["model"]["uri"],
    )
    assert (read.engine.provider, read.engine.threads) == (written["engine"]["provider"], written["engine"]["threads"])
    assert asdict(read.batching) == {"mode": "Auto", "maxBatchSize": None, "maxDelayMs": 0, **spec.get("batching", {})}
    assert read.request.timeout == written["requestSettings"]["requestTimeoutMs"] / 1000
    assert read.request.queue_wait == written["requestSettings"]["maxQueueWaitMs"] / 1000
    assert (read.warmup.requests, read.warmup.input) == (written["warmup"]["requests"], written["warmup"]["input"])
    assert read.max_request_bytes == written["maxRequestBytes"]
    assert (read.contract and dict(read.contract)) == written["contract"]


def test_the_operators_defaults_are_the_runtimes() -> None:
    written = json.loads(process.runtime_config(workload(), "/m"))
    alone = wye_runtime.settings.parse_config({"model": {"path": "/m"}})
    read = wye_runtime.settings.parse_config(written)
    assert (alone.engine, alone.request, alone.max_request_bytes) == (read.engine, read.request, read.max_request_bytes)
    assert (alone.warmup.requests, alone.contract) == (read.warmup.requests, read.contract)


def test_a_bound_beyond_2_to_the_53_arrives_as_it_was_written() -> None:
    bounds = {"minimum": 2**53 + 1, "maximum": 2**63 - 1}
    fields = {"inputs": [{"name": "id", "type": "integer", **bounds}], "outputs": [{"name": "y"}]}
    written = json.loads(process.runtime_config(workload(contract=fields), "/m"))
    [field] = parse(written["contract"]).inputs
    assert (field.minimum, field.maximum) == (2**53 + 1, 2**63 - 1)


async def signature_at(inner: Address):
    async with aiohttp.ClientSession() as session:
        return await Inner(session).signature(inner)


def test_a_running_model_says_what_the_operator_reads(tmp_path: Path) -> None:
    model = toys.saved(toys.linear(7), tmp_path / "model.onnx")
    with running(workload(contract=CONTRACT), model, tmp_path) as (serving, inner, child):
        until_ready(inner, child)
        signature = asyncio.run(signature_at(inner))
        assert not isinstance(signature, str), signature
        assert (signature.name, signature.version) == ("fraud", "1")
        assert (len(signature.sha256), signature.size_bytes) == (64, model.stat().st_size)
        assert [(t.datatype, t.shape) for t in signature.inputs] == [("FP32", (-1, 7))]
        base = f"http://{inner.host}:{inner.port}"
        assert set(plain.get(f"{base}/load").json()) == {"active", "queued", "capacity", "requests"}
        assert plain.get(f"{base}/livez").status_code == 200
        assert "wye_requests_total" in plain.get(f"{base}/metrics").text
        health = f"http://{serving.host}:{serving.port}/v2/health/ready"
        named = ({}, {"x-wye-deployment": "default/fraud-blue"}, {"x-wye-deployment": "default/other"})
        assert [plain.get(health, headers=headers).status_code for headers in named] == [200, 200, 503]
    assert child.returncode == 0


@pytest.mark.parametrize(
    ("reason", "content", "spec"),
    [
        ("ModelFetch", None, {}),
        ("ModelInvalid", b"this is no model", {}),
        ("ModelDigestMismatch", b"other bytes", {"model": {"uri": "file://m", "sha256": "a" * 64}}),
    ],
)
def test_last_words_are_reasons_that_the_operator_knows(reason, content, spec, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    if content is not None:
        model.write_bytes(content)
    with running(workload(**spec), model, tmp_path) as (_, _, child):
        assert child.wait(30) == 3
    words = json.loads((tmp_path / "last-words.json").read_bytes())
    assert set(words) == {"reason", "message"}
    assert words["reason"] == reason
    assert Reason(words["reason"]) in OWN_WORDS


def test_a_wrong_configuration_is_exit_code_2(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model": {"path": "/m"}, "surprise": 1}))
    ended = subprocess.run([*PROGRAM, "serve", "--config", str(config)], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert "surprise" in ended.stderr + ended.stdout


def test_the_wire_page_names_every_last_word() -> None:
    page = Path(__file__, "../../../docs/concepts/wire.md").resolve().read_text()
    for reason in OWN_WORDS:
        assert f"`{reason}`" in page


def test_both_know_the_same_options_of_a_session() -> None:
    assert set(SESSION_OPTIONS) == set(wye_runtime.options.SESSION_OPTIONS)


def test_options_that_are_given_are_what_the_runtime_reads(tmp_path) -> None:
    told = {"provider": "CUDA", "providerOptions": {"gpu_mem_limit": "1"}, "sessionOptions": {"enable_mem_reuse": "0"}}
    (tmp_path / "config.json").write_bytes(process.runtime_config(workload(engine=told), "/model"))
    engine = wye_runtime.settings.config_from(tmp_path / "config.json").engine
    assert (engine.provider, engine.providerOptions, engine.sessionOptions) == tuple(told.values())
