"""Constant load of gRPC calls on one target, as a program of its own: grpcio, sync and aio, as it comes.

`Calls` is a Load (load.py) that runs this program instead. Each sync caller has a connection of its own, all callers of
aio share one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a program

import grpc
import grpc.aio
import numpy as np

from cluster.load import PATIENCE, PAUSE, Load, Request, Seen, tell_begin, told
from wye_runtime.codecs.messages import CLASSES

METHOD = "/inference.GRPCInferenceService/ModelInfer"
SYNC, ALL = 8, 16
RIGHT = 0.5695  # of the toy model
NAMED = "azureml-model-deployment"


class Calls(Load):
    """Load of calls for as long as the block lasts; `request.url` is a target."""

    def __init__(self, argv_of, request: Request) -> None:
        super().__init__(argv_of, request)
        self._argv = argv_of([sys.executable, __file__])


def message() -> bytes:
    made = CLASSES["ModelInferRequest"](model_name="fraud")
    made.inputs.add(name="x", datatype="FP32", shape=[1, 7])
    made.raw_input_contents.append(np.arange(1, 8, dtype=np.float32).tobytes())
    return bytes(made.SerializeToString())


def heard(seen: Seen, answer: bytes, metadata: Sequence[tuple[str, str]]) -> None:
    [raw] = CLASSES["ModelInferResponse"].FromString(answer).raw_output_contents
    value = float(np.frombuffer(raw, np.float32)[0])
    if round(value, 4) == RIGHT:
        seen.answers["200"] += 1
        seen.served[dict(metadata).get(NAMED, "")] += 1
    else:
        seen.lose("wrong", f"{value} instead of {RIGHT}")


def missed(seen: Seen, error: grpc.RpcError, begun: float) -> None:
    words = f"at {time.monotonic() - begun:7.3f} s: {error.code().name}: {error.details()}"
    seen.lose(error.code().name, words)


def by_thread(request: Request, seen: Seen, end: threading.Event) -> None:
    """One sync caller."""
    begun, body, metadata = time.monotonic(), message(), list(request.headers.items())
    with grpc.insecure_channel(request.url, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        infer = channel.unary_unary(METHOD)
        while not end.is_set():
            try:
                answer, call = infer.with_call(body, timeout=PATIENCE, metadata=metadata)
                heard(seen, answer, call.initial_metadata())
            except grpc.RpcError as error:
                missed(seen, error, begun)
            time.sleep(PAUSE)


async def by_task(infer, metadata: list[tuple[str, str]], seen: Seen, end: threading.Event) -> None:
    """One caller of aio."""
    begun, body = time.monotonic(), message()
    while not end.is_set():
        call = infer(body, timeout=PATIENCE, metadata=metadata)
        try:
            heard(seen, await call, list(await call.initial_metadata()))
        except grpc.RpcError as error:
            missed(seen, error, begun)
        await asyncio.sleep(PAUSE)


async def together(request: Request, seen: Sequence[Seen], end: threading.Event) -> None:
    async with grpc.aio.insecure_channel(request.url) as channel, asyncio.TaskGroup() as tasks:
        infer = channel.unary_unary(METHOD)
        for each in seen:
            tasks.create_task(by_task(infer, list(request.headers.items()), each, end))


def main() -> None:
    request = Request(**json.loads(sys.stdin.readline()))
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    seen = [Seen() for _ in range(ALL)]
    threads = [threading.Thread(target=by_thread, args=(request, each, end)) for each in seen[:SYNC]]
    threads.append(threading.Thread(target=tell_begin, args=(seen, end)))
    for thread in threads:
        thread.start()
    asyncio.run(together(request, seen[SYNC:], end))
    for thread in threads:
        thread.join()
    print(json.dumps(told(seen)))


if __name__ == "__main__":
    main()
