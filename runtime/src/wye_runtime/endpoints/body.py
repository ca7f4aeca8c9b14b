"""A request's body: counted while it arrives, never waited for without end, and forgotten when its sender is gone."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from wye_runtime.errors import BadRequest, ClientGone, PayloadTooLarge, UploadTimeout

T = TypeVar("T")


async def body_of(request: Request, limit: int, silence: float) -> bytes:
    """All of the body."""
    if "upgrade" in request.headers:  # the parser ends there: the body behind it never arrives
        raise BadRequest("Upgrade is not served here: send the request as plain HTTP/1.1")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await heard(request, silence)
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(limit: int) -> PayloadTooLarge:
    """What is said of a body above the limit."""
    return PayloadTooLarge(f"the body is larger than {limit} bytes")


def stalled(silence: float) -> UploadTimeout:
    """What is said where nothing more of a body comes."""
    return UploadTimeout(f"nothing more of the body came for {silence * 1000:.0f} ms")


async def heard(request: Request, silence: float) -> Any:
    """The next part of the body."""
    try:
        async with asyncio.timeout(silence):
            message = await request.receive()
    except TimeoutError:
        raise stalled(silence) from None
    if message["type"] == "http.disconnect":
        raise ClientGone("the client went away while it sent its body")
    return message


async def unless_gone(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """The answer, given up as soon as nobody is there to read it."""
    work = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait([work, leaving], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise ClientGone("the client went away before its answer")
    finally:
        leaving.cancel()
        work.cancel()


async def gone(request: Request) -> None:
    """Ends when the caller has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
