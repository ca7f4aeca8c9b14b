"""The fast lane with nothing behind it: each request is answered with the same bytes. What is left is HTTP.

    python tests/bench/static.py PORT

With the bare run it makes the composite limit: what a server could reach that adds nothing to HTTP and to the model.
"""

from __future__ import annotations

import sys
from functools import partial

import uvloop

from wye_runtime.app.lifetime import listener, opened
from wye_runtime.endpoints import Ledger
from wye_runtime.fastlane import FastProtocol, Lane
from wye_runtime.metrics import Metrics
from wye_runtime.protocol import RawRequest, RawResponse
from wye_runtime.settings import parse_config

ANSWER = RawResponse(b'{"fraud_probability":0.9683,"decision":"review"}')


class Static:
    """In place of the service."""

    def __init__(self) -> None:
        self.config = parse_config({"model": {"path": "fraud.onnx", "name": "fraud"}})
        self.loaded = object()
        self.is_draining = False

    def begin(self, _: RawRequest) -> RawResponse:
        return ANSWER


async def ordinary(scope: dict, receive: object, send: object) -> None:
    raise RuntimeError(f"no request of the bench is odd: {scope}")


async def serve(port: int) -> None:
    service = Static()
    lane = Lane(service, Ledger(Metrics(), service.config.request.timeout))
    await listener(ordinary, partial(FastProtocol, lane)).serve(sockets=[opened("127.0.0.1", port)])


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
