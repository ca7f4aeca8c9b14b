"""Callers for the twin's tests: kept-alive HTTP/1.1 connections on raw streams: every loss is seen as what it is."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)

    @property
    def deployment(self) -> str:
        return self.headers.get("azureml-model-deployment", "")


class Caller:
    """One kept-alive connection, made again when the other side says so."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.port = port
        self.headers = headers or {}
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.streams:
            self.streams[1].close()
        self.streams = None

    async def connect(self) -> None:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)

    async def call(self, method: str = "POST", path: str = "/score", body: bytes = b"{}", **headers: str) -> Answer:
        await self.connect()
        reader, writer = self.streams
        named = {"host": "test", **self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in named.items()), f"content-length: {len(body)}"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        try:
            await writer.drain()
            return await self.answer(reader)
        except BaseException:
            self.close()
            raise

    async def answer(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(head[0].split(" ")[1]), headers, body)


@dataclass
class Load:
    """Callers that go on until told to stop; `failed` has what was sent and not answered with 200."""

    port: int
    headers: dict[str, str]
    callers: int = 8
    pause: float = 0.01
    body: bytes = b"{}"
    answered: Counter = field(default_factory=Counter)  # by deployment
    failed: list[str] = field(default_factory=list)
    refused: int = 0  # never sent: nobody listened

    async def __aenter__(self) -> Load:
        self.stopping, self.news = asyncio.Event(), asyncio.Condition()
        self.tasks = [asyncio.create_task(self.keep_calling()) for _ in range(self.callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping.set()
        await asyncio.gather(*self.tasks)

    @property
    def total(self) -> int:
        return sum(self.answered.values())

    async def more(self, count: int) -> None:
        """Wait until that many further requests were answered."""
        goal = self.total + count
        async with asyncio.timeout(60), self.news:
            await self.news.wait_for(lambda: self.total >= goal)

    async def keep_calling(self) -> None:
        async with Caller(self.port, self.headers) as caller:
            while not self.stopping.is_set():
                await self.once(caller)
                await asyncio.sleep(self.pause)

    async def once(self, caller: Caller) -> None:
        try:
            await caller.connect()
        except ConnectionError:
            self.refused += 1
            return
        try:
            answer = await caller.call(body=self.body)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self.failed.append(repr(error))
            return
        if answer.status == 200:
            self.answered[answer.deployment] += 1
            async with self.news:
                self.news.notify_all()
        else:
            self.failed.append(f"{answer.status} {answer.body.decode()}")
