"""Ending a twin: routers first, so that requests in flight finish, then the model servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from wye_operator.local.envoys import Envoy
from wye_operator.local.inner import Inner
from wye_operator.local.target import EndpointTarget

POLITE = 5.0  # seconds for requests in flight
LOOKS = 100
GRACE = 5.0  # seconds that an Envoy has to end


async def stop_all(targets: Iterable[EndpointTarget], inner: Inner) -> None:
    """End every process and wait for it."""
    listed = list(targets)
    envoys = [e for t in listed if t.router for e in t.router.envoys if e.process is not None]
    await asyncio.gather(*(_stop_router(envoy, inner) for envoy in envoys))
    await asyncio.gather(*(group.stop() for t in listed for group in t.groups.values()))


async def _stop_router(envoy: Envoy, inner: Inner) -> None:
    process = envoy.process
    if process is None:
        return
    for _ in range(LOOKS):
        if process.exit_code is not None or not await envoy.active(inner):
            break
        await asyncio.sleep(POLITE / LOOKS)
    process.end()
    try:
        async with asyncio.timeout(GRACE):
            await process.gone()
    except TimeoutError:
        process.kill()
        await process.gone()
