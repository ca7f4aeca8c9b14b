"""What a token issuer answers is bounded, whatever it answers: the twin, like the operator, only asks."""

from __future__ import annotations

import gzip
import tracemalloc
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from wye_operator.issuers import MOST_BYTES, Unread, read_key_set, session

SECRET = "metadata-of-a-cloud"
PACKED = gzip.compress(b" " * 2**26)  # a few bytes that would be many


async def packed(_):
    return web.Response(body=PACKED, headers={"Content-Encoding": "gzip"})


async def large(_):
    return web.Response(text=" " * (MOST_BYTES + 1))


async def elsewhere(request):
    return web.Response(status=302, headers={"Location": str(request.url.with_path("/inside"))})


async def inside(_):
    return web.Response(text=SECRET)


@asynccontextmanager
async def issuer():
    application = web.Application()
    for answer in (packed, large, elsewhere, inside):
        application.router.add_get(f"/{answer.__name__}", answer)
    async with TestServer(application) as server:
        yield str(server.make_url("/")).rstrip("/")


ANSWERS = {
    "packed": "is not text",
    "large": "cannot be reached",
    "elsewhere": "leads elsewhere (302): write the address that answers",
    "inside": "cannot be used",
    "nothing": "answers 404",
}


@pytest.mark.parametrize(("path", "words"), ANSWERS.items(), ids=ANSWERS)
async def test_what_is_no_key_set_is_told_and_not_repeated(path, words):
    async with issuer() as where, session() as asking:
        with pytest.raises(Unread) as told:
            await read_key_set(asking, f"{where}/{path}")
    assert words in str(told.value)
    assert SECRET not in str(told.value)


async def test_the_twin_unpacks_nothing(manifests, up):
    async with issuer() as where:
        of = {"issuer": where, "audiences": ["fraud"], "jwksUri": f"{where}/packed"}
        manifests.endpoint(authMode="Token", token={"issuers": [of]})
        tracemalloc.start()
        try:
            async with up() as run:
                await run.until(lambda s: "cannot be" in told(s) or "is not text" in told(s))
            assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
        finally:
            tracemalloc.stop()


def told(s) -> str:
    endpoint = s.endpoints.get("fraud")
    return " ".join(c.message for c in endpoint.conditions) if endpoint else ""
