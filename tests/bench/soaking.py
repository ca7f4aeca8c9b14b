"""The soak's other process: sends a mixture of everything that callers do, at a pace, and counts what came of it.

    python tests/bench/soaking.py PORT SECONDS REQUESTS RATE CONNECTIONS

Right requests in JSON, binary and gRPC, of one row to 512; wrong ones of each kind; and callers that leave in the
middle of their body or before their answer. Each answer's status is compared with what its request must get. It ends
after SECONDS; where fewer than REQUESTS were made by then, after so many, or PATIENCE times SECONDS. A line of JSON a
second says how far it is; the last one has `"ended": true`.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

import numpy as np
import uvloop
import wires
from wires import Call, Item

MODEL, WIDTH = "fraud", 7
ROWS = (1, 1, 1, 1, 2, 3, 8, 32, 128, 512)
SEED = 6
PATIENCE = 2.5
FINE, REFUSED = 200, 422


@dataclass(frozen=True, slots=True)
class Kind:
    """One request as bytes. `status`: HTTP's, then gRPC's, else 0; `cut`: where its caller leaves, 0: never."""

    name: str
    content: bytes = field(repr=False)
    status: tuple[int, int] = (FINE, 0)
    cut: int = 0


def request(call: Call) -> bytes:
    """The whole request."""
    headers = {"host": "soak", **call.headers, "content-length": str(len(call.body))}
    lines = [f"POST {call.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + call.body


def item(rows: int, model: str = MODEL, name: str = "features") -> Item:
    values = np.random.default_rng(rows).random((rows, WIDTH), np.float32)
    return Item(model, "", name, "fraud_probability", values)


def kinds() -> list[tuple[Kind, int]]:
    """Every kind with its weight."""
    forms = (("JSON", wires.protocol_json, 5), ("binary", wires.protocol_binary, 2), ("gRPC", wires.grpc_bridged, 2))
    found = [(Kind(name, request(made(item(rows)))), 10 * weight) for name, made, weight in forms for rows in ROWS]
    found += [(Kind("score", request(scored(rows))), 20) for rows in ROWS]
    return found + wrong() + leaving(found)


def scored(rows: int) -> Call:
    body = wires.dumped({"instances": item(rows).rows})
    return Call("/score", {"content-type": "application/json"}, body, wires.first_output)


def wrong() -> list[tuple[Kind, int]]:
    """What has to be refused, and how."""
    broken = Call(wires.infer(item(1)), {"content-type": "application/json"}, b'{"inputs": [', wires.first_output)
    return [
        (Kind("not JSON", request(broken), (400, 0)), 20),
        (Kind("other tensor", request(wires.protocol_json(item(1, name="x"))), (REFUSED, 0)), 20),
        (Kind("other model", request(wires.protocol_json(item(1, model="other"))), (404, 0)), 20),
        (Kind("no such route", b"GET /nothing HTTP/1.1\r\nhost: soak\r\n\r\n", (404, 0)), 10),
        (Kind("gRPC, other tensor", request(wires.grpc_bridged(item(1, name="x"))), (FINE, 3)), 20),
        (Kind("gRPC, other model", request(wires.grpc_bridged(item(1, model="other"))), (FINE, 5)), 20),
    ]


def leaving(found: Sequence[tuple[Kind, int]]) -> list[tuple[Kind, int]]:
    """Some of the others by callers that do not stay."""
    whole = [kind for kind, _ in found if kind.name in ("JSON", "gRPC")][::4]
    half = [(Kind(f"{each.name}, left in the body", each.content, cut=len(each.content) - 9), 3) for each in whole]
    return half + [(Kind(f"{each.name}, left at once", each.content, cut=len(each.content)), 3) for each in whole]


class Soak:
    """All connections, and what they saw."""

    def __init__(self, port: int, seconds: float, requests: int, rate: float) -> None:
        self.port, self.rate = port, rate
        self.seconds, self.requests = seconds, requests
        self.began, self.count = monotonic(), 0
        self.seen: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        chosen = kinds()
        self.kinds, self.weights = [kind for kind, _ in chosen], [weight for _, weight in chosen]
        self.random = random.Random(SEED)

    def goes_on(self) -> bool:
        passed = monotonic() - self.began
        return passed < self.seconds or (self.count < self.requests and passed < PATIENCE * self.seconds)

    def next(self) -> Kind:
        self.count += 1
        return self.random.choices(self.kinds, self.weights)[0]

    async def turn(self) -> None:
        """No faster than the rate over all connections."""
        early = self.count / self.rate - (monotonic() - self.began)
        if early > 0:
            await asyncio.sleep(early)

    async def caller(self) -> None:
        """One connection after the other."""
        while self.goes_on():
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                while self.goes_on() and await self.one(reader, writer):
                    await self.turn()
            except (OSError, asyncio.IncompleteReadError) as error:
                self.unexpected[f"the connection broke: {error!r}"[:100]] += 1
            finally:
                writer.close()

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """A request and its answer; whether the connection goes on."""
        kind = self.next()
        writer.write(kind.content[: kind.cut] if kind.cut else kind.content)
        self.seen[kind.name] += 1
        if kind.cut:
            await writer.drain()
            return False
        status = await answered(reader)
        if status != kind.status:
            self.unexpected[f"{kind.name}: {status} instead of {kind.status}"] += 1
        return True


async def answered(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Reads one answer to its end: its HTTP status and its gRPC status, 0 where there is none."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    if headers.get("transfer-encoding") == "chunked":
        headers |= await chunked(reader)
    else:
        await reader.readexactly(int(headers.get("content-length", "0")))
    return int(first.split()[1]), int(headers.get("grpc-status", "0"))


async def chunked(reader: asyncio.StreamReader) -> dict[str, str]:
    """Reads the chunks; the trailers."""
    while size := int(await reader.readline(), 16):
        await reader.readexactly(size + 2)
    trailers: dict[str, str] = {}
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(": ")
        trailers[name.lower()] = value
    return trailers


async def soaked(soak: Soak, connections: int) -> None:
    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(soak.caller()) for _ in range(connections)]
        while not all(each.done() for each in callers):
            await asyncio.sleep(1)
            print(json.dumps({"requests": soak.count}), flush=True)
    whole = {"requests": soak.count, "seen": soak.seen, "unexpected": soak.unexpected, "ended": True}
    print(json.dumps(whole), flush=True)


if __name__ == "__main__":
    port, seconds, requests, rate, connections = sys.argv[1:]
    uvloop.run(soaked(Soak(int(port), float(seconds), int(requests), float(rate)), int(connections)))
