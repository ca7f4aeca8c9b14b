"""A request's trace, whole, at the OpenTelemetry Collector itself: caller, router, runtime, mirror; HTTP and gRPC."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import plain
import toys
from cluster.harness.build import COLLECTOR, build
from collecting import Real, real, whole
from ports import free_port
from wye_operator.local.twin import Options, Twin
from wye_runtime.codecs.messages import CLASSES

pytestmark = pytest.mark.skipif("not os.environ.get('WYE_E2E')", reason="builds the Collector: part of `make e2e`")
PARENT = "00f067aa0ba902b7"
ROW = np.ones((1, 7), np.float32)
CALL = "/inference.GRPCInferenceService/ModelInfer"
BATCHING = {"mode": "Always", "maxBatchSize": 8, "maxDelayMs": 20}


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Real]:
    with real(build(COLLECTOR) / "collector", tmp_path, f"127.0.0.1:{free_port()}") as running:
        yield running


def write(folder: Path, collector: Real) -> None:
    """An Endpoint with a mirror, which follows every caller."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(toys.linear().SerializeToString())
    tracing = {"endpoint": collector.url, "samplingPercent": 0, "callerSamplingPercent": 100}
    spec = {"traffic": {"blue": 100}, "mirrorTraffic": {"green": 100}, "authMode": "None", "tracing": tracing}
    manifests = [("Endpoint", "fraud", spec)]
    for name in ("blue", "green"):
        model = {"endpointName": "fraud", "name": name, "model": {"uri": "file://model.onnx"}, "batching": BATCHING}
        manifests.append(("Deployment", f"fraud-{name}", model))
    for kind, name, body in manifests:
        written = {"apiVersion": "wye.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": body}
        (folder / f"{name}.yaml").write_text(json.dumps(written))


@asynccontextmanager
async def traced(folder: Path, collector: Real) -> AsyncIterator[Twin]:
    """A twin of it."""
    write(folder, collector)
    async with Twin(folder, Options(port=free_port())) as running:
        await running.wait_for(lambda status: status.ready and status.endpoints["fraud"].mirror_text == "green=100", 60)
        yield running


def headers(number: int) -> dict[str, str]:
    return {"traceparent": f"00-{number:032x}-{PARENT}-01", "content-type": "application/json"}


def by_json(url: str, number: int) -> None:
    body = {"inputs": [{"name": "x", "shape": [1, 7], "datatype": "FP32", "data": ROW.tolist()}]}
    assert plain.post(f"{url}/v2/models/fraud/infer", content=json.dumps(body), headers=headers(number)).is_success


def by_binary(url: str, number: int) -> None:
    parameters = {"binary_data_size": ROW.nbytes}
    tensor = {"name": "x", "shape": [1, 7], "datatype": "FP32", "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    framed = headers(number) | {"inference-header-content-length": str(len(head))}
    framed["content-type"] = "application/octet-stream"
    assert plain.post(f"{url}/v2/models/fraud/infer", content=head + ROW.tobytes(), headers=framed).is_success


def by_call(url: str, number: int) -> None:
    message = CLASSES["ModelInferRequest"](model_name="fraud", raw_input_contents=[ROW.tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=ROW.shape)
    with grpc.insecure_channel(url.removeprefix("http://")) as channel:
        metadata = [("traceparent", headers(number)["traceparent"])]
        channel.unary_unary(CALL)(message.SerializeToString(), timeout=60, metadata=metadata)


WAYS = {
    "json": (by_json, "/v2/models/{model}/infer"),
    "binary": (by_binary, "/v2/models/{model}/infer"),
    "call": (by_call, CALL),
}


async def test_a_trace_is_seen_whole(collector: Real, tmp_path: Path) -> None:
    async with traced(tmp_path / "twin", collector) as twin:
        for number, way in enumerate(WAYS, 100):
            asked, route = WAYS[way]
            await asyncio.to_thread(asked, twin.url("fraud"), number)
            check(await asyncio.to_thread(collector.trace, f"{number:032x}", 10), route)


def check(spans: list[dict[str, Any]], route: str) -> None:
    """Router, its copy, and what each of the two models did."""
    found = whole(spans)
    [router] = [name for name, parent in found.items() if not parent]
    assert router.endswith("of fraud-router")
    assert [span["parentSpanId"] for span in spans if f"{span['name']} of fraud-router" == router] == [PARENT]
    copy = "mirror of fraud-router"
    assert found[copy] == router
    for sender, parent, mark in (("fraud-blue", router, None), ("fraud-green", copy, True)):
        own = f"{route} of {sender}"
        assert found[own] == parent
        assert {found[f"{part} of {sender}"] for part in ("decode", "queue", "run")} == {own}
        servers = [span for span in spans if (span["name"], span["resource"]["service.name"]) == (route, sender)]
        assert [span["said"].get("wye.mirrored") for span in servers] == [mark]
    assert len(spans) == 10
