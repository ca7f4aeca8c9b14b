"""The session with the API server: who we say we are, for as long as the process lives."""

from __future__ import annotations

from contextlib import asynccontextmanager

import kopf
from aiohttp import web

from wye_operator.cluster.handlers import TOKEN_AGE, Token, session_of


@asynccontextmanager
async def server():
    """An API server that keeps what it was shown."""
    shown = []

    async def answer(request):
        shown.append(request.headers.get("Authorization"))
        return web.json_response({})

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/", shown
    await runner.cleanup()


class Disk:
    """A token file and a clock."""

    def __init__(self) -> None:
        self.token, self.time, self.reads = "one", 0.0, 0

    def read(self) -> str:
        self.reads += 1
        return self.token


async def test_a_token_that_kubelet_renewed_is_used_before_the_old_one_runs_out():
    disk = Disk()
    async with server() as (url, shown):
        found = kopf.ConnectionInfo(server=url, token="one")
        async with session_of(found, Token(disk.read, lambda: disk.time)) as session:
            await session.get(url)
            disk.token = "two"
            await session.get(url)
            disk.time = TOKEN_AGE
            await session.get(url)
            await session.get(url)
    assert shown == ["Bearer one", "Bearer one", "Bearer two", "Bearer two"]
    assert disk.reads == 2


async def test_a_token_that_cannot_be_read_for_a_moment_is_the_last_one():
    disk = Disk()
    token = Token(disk.read, lambda: disk.time)
    async with server() as (url, shown), session_of(kopf.ConnectionInfo(server=url), token) as session:
        disk.token, disk.time = "", TOKEN_AGE
        await session.get(url)
    assert shown == ["Bearer one"]


async def test_what_a_kubeconfig_says_stays_as_it_is():
    found = kopf.ConnectionInfo(server="", token="mine")
    async with server() as (url, shown), session_of(found, None) as session:
        await session.get(url)
    assert shown == ["Bearer mine"]
