"""What is read by GET because a list of it is not ours to ask for: Secrets, and ConfigMaps that users name.

Gather asks once; from then on each is read again every 30 s, and who asked for it is woken when it changed. So the
operator needs no permission to list all Secrets. Where it has it (`secrets.watch`), `follow` reads again at once what
changed; nothing is kept of what nobody asked for. At most 10 are read in a second, the oldest first: beyond 300 of them
it takes longer (1,000 Endpoints have 2,000 Secrets: 200 s).
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from wye_operator.cluster.client import Api
from wye_operator.cluster.errors import ApiError, Gone, NotFound
from wye_operator.cluster.follow import RETRIES
from wye_operator.cluster.kinds import Kind, Object
from wye_operator.cluster.store import Key, Packed, version_of

log = logging.getLogger(__name__)
EVERY, WATCHED_EVERY = 30.0, 600.0
IN_A_SECOND, AT_ONCE = 10, 8
MISSING = 1.0  # seconds for which an answer that there is nothing holds: one pass asks several times
Where = tuple[Kind, str, str]


@dataclass(slots=True)
class _Read:
    found: Packed | None
    at: float
    keys: set[Key] = field(default_factory=set)

    @property
    def version(self) -> int:
        """Another one after each change."""
        return self.found.version if self.found is not None else -1


class Reads:
    """Objects by name, as they were a short while ago."""

    def __init__(self, api: Api, wake: Callable[[Key], None], clock: Callable[[], float]) -> None:
        self._api, self._wake, self._clock = api, wake, clock
        self._reads: dict[Where, _Read] = {}
        self._watched: set[Kind] = set()  # of which a change is heard at once

    async def get(self, kind: Kind, name: str, key: Key, *, fresh: bool = False) -> Object | None:
        """An object of the Endpoint's namespace; None: a GET said that it is not there."""
        where = (kind, key.namespace, name)
        read = self._reads.get(where)
        if read is None or fresh or (read.found is None and self._clock() - read.at >= MISSING):
            read = await self._read(where)
        read.keys.add(key)
        return read.found.body() if read.found is not None else None

    def put(self, kind: Kind, body: Object, key: Key) -> None:
        """What we wrote ourselves need not be read."""
        where = (kind, body["metadata"]["namespace"], body["metadata"]["name"])
        self._keep(where, body).keys.add(key)

    def forget(self, key: Key) -> None:
        """Nobody is left who would ask."""
        for where, read in list(self._reads.items()):
            read.keys.discard(key)
            if not read.keys:
                del self._reads[where]

    async def run(self) -> None:
        """Read again what is old, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            await self.refresh()

    async def refresh(self) -> None:
        """Read again what is too old, the oldest first; it is called each second."""
        now = self._clock()
        ages = [(now - read.at, where) for where, read in self._reads.items()]
        old = [(age, w) for age, w in ages if age >= (WATCHED_EVERY if w[0] in self._watched else EVERY)]
        oldest = heapq.nlargest(IN_A_SECOND, old, key=lambda item: item[0])
        await self._all_again(where for _, where in oldest)

    async def follow(self, kind: Kind, namespace: str | None) -> None:
        """Watch a kind until cancelled; while that cannot be, what was asked for is read every 30 s."""
        failures = 0
        while True:
            try:
                version = await self._api.version(kind, namespace)
                await self._all_again([where for where in self._reads if where[0] == kind])
                self._watched.add(kind)
                failures = 0
                async for event in self._api.watch(kind, namespace, "", version):
                    await self._heard(kind, event)
            except Gone:
                pass
            except ApiError as error:
                failures += 1
                log.warning("a watch failed", extra={"what": kind.plural, "why": str(error), "failures": failures})
            self._watched.discard(kind)
            await asyncio.sleep(RETRIES[min(failures, len(RETRIES)) - 1] if failures else 0)

    async def _heard(self, kind: Kind, event: Object) -> None:
        if event["type"] == "BOOKMARK":
            return
        metadata = event["object"]["metadata"]
        where = (kind, metadata["namespace"], metadata["name"])
        known = self._reads.get(where)
        gone = event["type"] == "DELETED"
        if known is not None and (gone or known.version != version_of(event["object"])):
            await self._all_again([where])

    async def _all_again(self, old: Iterable[Where]) -> None:
        slots = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._again(where, slots) for where in old))

    async def _again(self, where: Where, slots: asyncio.Semaphore) -> None:
        async with slots:
            before = self._reads.get(where)
            if before is None:  # nobody asks any more
                return
            try:
                after = await self._read(where)
            except ApiError as error:  # what was read last still holds
                log.warning("a read failed", extra={"what": "/".join(where[1:]), "why": str(error)})
                before.at = self._clock()
                return
            if before.version != after.version:
                for key in sorted(after.keys):
                    self._wake(key)

    async def _read(self, where: Where) -> _Read:
        kind, namespace, name = where
        try:
            return self._keep(where, await self._api.get(kind, namespace, name))
        except NotFound:
            return self._keep(where, None)

    def _keep(self, where: Where, body: Object | None) -> _Read:
        old = self._reads.get(where)
        found = Packed.of(where[0], body) if body is not None else None
        self._reads[where] = _Read(found, self._clock(), old.keys if old else set())
        return self._reads[where]
