"""The bench's other process: runs a model bare, or sends requests over kept connections, and measures each.

run.py starts it once and writes one JSON object a line; each is answered by one line. It stands in a process of its own
so that its work is not counted as the servers'.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Iterator
from itertools import cycle
from time import perf_counter_ns, process_time_ns

import machine
import numpy as np
import onnxruntime as ort
import uvloop

HEAD_ENDS, LENGTH = b"\r\n\r\n", b"content-length: "


class Caller(asyncio.Protocol):
    """One connection: the next request leaves when the answer before it is whole."""

    def __init__(self, requests: Iterator[bytes], until: int) -> None:
        self.requests, self.until = requests, until
        self.took: list[int] = []
        self.failures = 0
        self.answer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.began = perf_counter_ns()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head = self.answer.find(HEAD_ENDS)
        if head < 0 or len(self.answer) < head + len(HEAD_ENDS) + length_of(self.answer[:head]):
            return
        now = perf_counter_ns()
        self.took.append(now - self.began)
        self.failures += not self.answer.startswith(b"HTTP/1.1 200")
        self.answer = b""
        self.send() if now < self.until else self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.failures += bool(error)
        if not self.done.done():
            self.done.set_result(None)


def length_of(head: bytes) -> int:
    at = head.lower().find(LENGTH)
    return 0 if at < 0 else int(head[at + len(LENGTH) :].split(b"\r", 1)[0])


async def connected(job: dict, caller: Callable[[], Caller]) -> list[Caller]:
    """Callers, who have begun."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(caller, "127.0.0.1", job["port"]) for _ in range(job["connections"])]
    return [caller for _, caller in made]


async def done(job: dict, callers: list[Caller]) -> None:
    await asyncio.wait_for(asyncio.gather(*(caller.done for caller in callers)), job["seconds"] + 30)


async def sent(job: dict) -> dict:
    """Closed-loop load for `seconds`, over `connections`."""
    began = perf_counter_ns()
    requests = cycle([each.encode() for each in job["requests"]])
    until = began + int(job["seconds"] * 1e9)
    callers = await connected(job, lambda: Caller(requests, until))
    await done(job, callers)
    took = [each for caller in callers for each in caller.took]
    return figures(took, perf_counter_ns() - began, sum(caller.failures for caller in callers))


class Gate:
    """Whether it is the turn of a kind of callers; who has to wait does so here."""

    def __init__(self) -> None:
        self.is_open = False
        self.waiting: list[Caller] = []

    def open(self) -> None:
        self.is_open = True
        waiting, self.waiting = self.waiting, []
        for caller in waiting:
            caller.send()


class Waiting(Caller):
    """A connection that stands idle while it is the turn of others."""

    def __init__(self, requests: Iterator[bytes], gate: Gate) -> None:
        super().__init__(requests, until=sys.maxsize)
        self.gate = gate

    def send(self) -> None:
        if self.gate.is_open:
            super().send()
        else:
            self.gate.waiting.append(self)


async def by_turns(job: dict) -> dict:
    """Closed-loop load of each kind in turn, in an order by lot; each turn is measured by itself.

    A kind has connections of its own. A turn begins some time after the first of its requests; after the last one
    nothing is sent for a while, of which processor time is told, too.
    """
    gates, callers = [], []
    for kind in job["kinds"]:
        gate = Gate()
        requests = cycle([each.encode() for each in kind["requests"]])
        callers.append(await connected(job | kind, lambda requests=requests, gate=gate: Waiting(requests, gate)))
        gates.append(gate)
    turns, draws = [], max(1, int(job["seconds"] / len(gates) / (job["settled"] + job["turn"] + job["rest"])))
    for kind in (kind for _ in range(draws) for kind in random.sample(range(len(gates)), len(gates))):
        tell(job, kind)
        gates[kind].open()
        await asyncio.sleep(job["settled"])
        turn = await measured(job, callers[kind])
        gates[kind].is_open = False
        turns.append({"kind": kind, **turn, "after": await rested(job)})
    everyone = [caller for same in callers for caller in same]
    for caller in everyone:
        caller.until = 0
    for gate in gates:
        gate.open()
    await done(job, everyone)
    sent = [sum(len(caller.took) for caller in same) for same in callers]
    return {"turns": turns, "sent": sent, "failures": sum(caller.failures for caller in everyone)}


def tell(job: dict, kind: int) -> None:
    """In place: the model looks at this byte all the time."""
    with open(job["switch"], "r+b", buffering=0) as switch:
        switch.write(job["kinds"][kind]["told"].encode())


async def measured(job: dict, callers: list[Caller]) -> dict:
    """One turn."""
    before, answered, began = cpu_of(job), sum(len(caller.took) for caller in callers), perf_counter_ns()
    await asyncio.sleep(job["turn"])
    took = (perf_counter_ns() - began) / 1e9
    answered = sum(len(caller.took) for caller in callers) - answered
    router, model = (now - was for now, was in zip(cpu_of(job), before, strict=True))
    return {"requests": answered, "seconds": took, "router": router, "model": model}


async def rested(job: dict) -> float:
    """Processor seconds of all servers in the time after a turn."""
    if not job["rest"]:
        return 0.0
    await asyncio.sleep(job["settled"])
    before = sum(cpu_of(job))
    await asyncio.sleep(job["rest"] - job["settled"])
    return sum(cpu_of(job)) - before


def cpu_of(job: dict) -> tuple[float, float]:
    """Processor seconds of routers and of models so far."""
    return machine.cpu_seconds(job["routers"]), machine.cpu_seconds(job["models"])


def bare(job: dict) -> dict:
    """session.run with one row, one thread, nothing around it; its CPU time is this process's."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(job["model"], options)
    rows = cycle([np.array([row], np.float32) for row in job["rows"]])
    names, key = [job["output"]], job["input"]
    took: list[int] = []
    began = before = perf_counter_ns()
    cpu, until = process_time_ns(), began + int(job["seconds"] * 1e9)
    while before < until:
        session.run(names, {key: next(rows)})
        now = perf_counter_ns()
        took.append(now - before)
        before = now
    return figures(took, before - began, 0) | {"cpu": (process_time_ns() - cpu) / 1e9}


def figures(took: list[int], nanoseconds: int, failures: int) -> dict:
    p50, p99 = np.percentile(took, [50, 99]) / 1e6 if took else (0.0, 0.0)
    return {"requests": len(took), "failures": failures, "seconds": nanoseconds / 1e9, "p50": p50, "p99": p99}


def main() -> None:
    # where PYTHONUNBUFFERED is set, what a pipe does not take of a long line at once would be lost
    with open(sys.stdout.fileno(), "w", closefd=False) as told:
        for line in sys.stdin:
            job = json.loads(line)
            result = bare(job) if "model" in job else uvloop.run((by_turns if "kinds" in job else sent)(job))
            print(json.dumps(result), file=told, flush=True)


if __name__ == "__main__":
    main()
