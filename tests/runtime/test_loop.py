"""What the event loop does itself: decode what is small whatever it holds, and nothing that may take long."""

from __future__ import annotations

import json

import pytest

import toys
from wye_runtime import settings
from wye_runtime.errors import InvalidInput
from wye_runtime.metrics import Metrics
from wye_runtime.protocol import RawRequest
from wye_runtime.service import Pending, Service
from wye_runtime.service.loading import loaded


def contract(width, **more):
    fields = [{"name": f"f{at}", "type": "number", **more} for at in range(width)]
    return {"inputs": fields, "outputs": [{"name": "probability"}]}


def serving(tmp_path, width, contract=None):
    """A service over a toy; its model is loaded, its ports are not open."""
    path = toys.saved(toys.linear(width), tmp_path / "toy.onnx")
    source = {"name": "toy", "path": str(path)}
    service = Service(settings.parse_config({"model": source, "contract": contract}), Metrics())
    service.serve(loaded(service.config, service.metrics))
    return service


def raw(body, **more):
    return RawRequest(json.dumps(body, separators=(",", ":")).encode(), "id", **more)


WRONG = {"no": 1}
HEAVY = {
    "63 KB of empty instances": (7, {"instances": [{}] * 21_000 + [WRONG]}),
    "few bytes for a contract of many fields": (400, {"instances": [{}] * 100 + [WRONG]}),
    "one instance of many bytes": (7, {"no": "x" * 20_000}),
}


@pytest.mark.parametrize("case", HEAVY)
async def test_a_body_that_is_long_to_read_waits_for_a_worker(tmp_path, case):
    width, body = HEAVY[case]
    service = serving(tmp_path, width, contract(width, default=0))
    begun = service.begin(raw(body))  # what the loop does; a body that it read would be refused here
    assert isinstance(begun, Pending)
    with pytest.raises(InvalidInput, match="no: is not known"):
        await service.finish(begun)
    service.workers.close()


LIGHT = {
    "an object": WRONG,
    "some instances": {"instances": [{}] * 50 + [WRONG]},
    "braces in a string": {"no": "{[" * 100},
}


@pytest.mark.parametrize("case", LIGHT)
async def test_a_small_body_is_read_at_once(tmp_path, case):
    service = serving(tmp_path, 7, contract(7, default=0))
    with pytest.raises(InvalidInput, match="no: is not known"):
        service.begin(raw(LIGHT[case]))


async def test_rows_without_a_contract_are_measured_too(tmp_path):
    service = serving(tmp_path, 7)
    assert isinstance(service.begin(raw({"instances": [[]] * 6_000})), Pending)
    with pytest.raises(InvalidInput):
        service.begin(raw({"instances": [[]] * 60}))


async def test_a_tensor_of_the_protocol_is_measured_by_its_bytes(tmp_path):
    service = serving(tmp_path, 400, contract(400))
    wrong = {"name": "x", "datatype": "FP32", "shape": [1, 400], "data": [1] * 399}
    with pytest.raises(InvalidInput, match="wants 400 values, got 399"):
        service.begin(raw({"inputs": [wrong]}, model="toy"))
    assert isinstance(service.begin(raw({"inputs": [{**wrong, "data": [1] * 9_000}]}, model="toy")), Pending)
