"""The outermost layer: what it writes into the log for one request."""

from __future__ import annotations

import logging

import httpx
import pytest

from wye_runtime import settings
from wye_runtime.endpoints import Ledger, serving_app
from wye_runtime.errors import ModelError
from wye_runtime.metrics import Metrics
from wye_runtime.service import Service


class Broken(Service):
    """Fails with what it is given, wherever the model is asked for."""

    def __init__(self, error: Exception) -> None:
        super().__init__(settings.parse_config({"model": {"path": "toy.onnx"}}), Metrics())
        self.error = error

    def current(self):
        raise self.error


async def asked(error: Exception) -> httpx.Response:
    transport = httpx.ASGITransport(serving_app(broken := Broken(error), Ledger(broken.metrics, 5.0)))
    async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
        return await client.get("/v2/models/toy", headers={"x-request-id": "mine-1"})


UNFORESEEN = RuntimeError("nobody thought of this")


@pytest.mark.parametrize(
    ("error", "code", "traceback"),
    [(UNFORESEEN, "InternalError", UNFORESEEN), (ModelError("the model failed"), "ModelError", None)],
    ids=["an unforeseen error has its traceback", "a foreseen one has none"],
)
async def test_a_failed_request_is_one_line_of_the_log(caplog, error, code, traceback) -> None:
    caplog.set_level(logging.INFO, "wye")
    response = await asked(error)
    assert (response.status_code, response.json()["error"]["code"]) == (500, code)
    [record] = caplog.records
    assert (record.message, record.levelname) == ("request failed", "ERROR")
    assert (record.requestId, record.route, record.status) == ("mine-1", "/v2/models/{model}", 500)
    assert (record.exc_info[1] if record.exc_info else None) is traceback
