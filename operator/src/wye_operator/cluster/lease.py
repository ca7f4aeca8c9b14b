"""Who leads: one Lease, held by renewal. A follower takes it when it stood still for its duration on our own clock.

    follow ──> take (ours, empty, or unchanged for 15 s) ──> lead, renew every 2 s ──> 10 s without success: follow
                                                                   └─ stopped: hand it back, the next one leads at once

Called by `operator`, which runs the work while we lead and stops it the moment we do not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from wye_operator.cluster.client import Api
from wye_operator.cluster.errors import ApiError, Conflict, NotFound
from wye_operator.cluster.kinds import LEASES, Object

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds."""

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


@dataclass(slots=True)
class Lease:
    """Our claim on one Lease."""

    api: Api
    namespace: str
    name: str
    identity: str
    now: Callable[[], float]  # seconds since the epoch, for people
    terms: Terms = Terms()
    leading: bool = False
    _version: str = ""
    _unchanged_since: float = 0.0
    _ours: bool = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Lead whenever the Lease is ours, until cancelled; then hand it back."""
        try:
            while True:
                if await self._try():
                    log.info("leading", extra={"lease": f"{self.namespace}/{self.name}", "as": self.identity})
                    await self._lead(lead)
                await asyncio.sleep(self.terms.retry)
        finally:
            await self._release()

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> None:
        self.leading = True
        work = asyncio.ensure_future(lead())
        try:
            await self._renew_beside(work)
        finally:
            self.leading = False
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        if not work.cancelled():
            work.result()

    async def _renew_beside(self, work: asyncio.Future[None]) -> None:
        """Returns when the work ended by itself, or when the Lease is not surely ours any more."""
        clock = asyncio.get_running_loop().time
        renewed = clock()
        while True:
            await asyncio.wait([work], timeout=self.terms.retry)
            if work.done():
                return
            try:
                async with asyncio.timeout(renewed + self.terms.deadline - clock()):
                    if await self._try():
                        renewed = clock()
            except TimeoutError:
                pass
            if clock() - renewed >= self.terms.deadline or not self._ours:
                log.warning("not leading any more", extra={"lease": f"{self.namespace}/{self.name}"})
                return

    async def _try(self) -> bool:
        """Take or renew it; False: it is another's, or could not be written."""
        try:
            return await self._take(await self.api.get(LEASES, self.namespace, self.name))
        except NotFound:
            return await self._write(self.api.create, self._body({}, ""))
        except ApiError as error:
            log.warning("the lease could not be read", extra={"why": str(error)})
            return False

    async def _take(self, found: Object) -> bool:
        spec, version = found.get("spec") or {}, found["metadata"]["resourceVersion"]
        clock = asyncio.get_running_loop().time()
        if version != self._version:
            self._version, self._unchanged_since = version, clock
        holder = spec.get("holderIdentity") or ""
        stood = clock - self._unchanged_since
        self._ours = holder == self.identity
        if not self._ours and holder and stood < float(spec.get("leaseDurationSeconds") or self.terms.duration):
            return False
        return await self._write(self.api.replace, self._body(spec, version))

    async def _write(self, write: Callable[[Object], Awaitable[Object]], body: Object) -> bool:
        try:
            written = await write(body)
        except Conflict:
            return False
        except ApiError as error:
            log.warning("the lease could not be written", extra={"why": str(error)})
            return False
        self._version, self._ours = written["metadata"]["resourceVersion"], True
        self._unchanged_since = asyncio.get_running_loop().time()
        return True

    def _body(self, spec: Object, version: str) -> Object:
        stamp = datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours = spec.get("holderIdentity") == self.identity
        changes = int(spec.get("leaseTransitions") or 0)
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.name,
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                **({"resourceVersion": version} if version else {}),
            },
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(self.terms.duration),
                "acquireTime": spec.get("acquireTime") if ours else stamp,
                "renewTime": stamp,
                "leaseTransitions": changes if ours or not spec else changes + 1,
            },
        }

    async def _release(self) -> None:
        """Hand it back, so that the next one need not wait; only when it is ours."""
        if not self._ours:
            return
        try:
            found = await self.api.get(LEASES, self.namespace, self.name)
            if (found.get("spec") or {}).get("holderIdentity") == self.identity:
                spec = {**found["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self.api.replace({**found, "spec": spec})
                log.info("handed the lease back", extra={"lease": f"{self.namespace}/{self.name}"})
        except ApiError as error:
            log.warning("the lease could not be handed back", extra={"why": str(error)})
        self._ours = False
