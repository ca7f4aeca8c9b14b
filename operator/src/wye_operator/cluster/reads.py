"""What is read by GET because a list of it is not ours to ask for: Secrets, and ConfigMaps that users name.

Gather asks once; from then on each is read again every 30 s, and who asked for it is woken when it changed. So the
operator needs no permission to list all Secrets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from wye_operator.cluster.client import Api
from wye_operator.cluster.errors import ApiError, NotFound
from wye_operator.cluster.kinds import Kind, Object
from wye_operator.cluster.store import Key, slim

log = logging.getLogger(__name__)
EVERY = 30.0
AT_ONCE = 8
Where = tuple[Kind, str, str]


@dataclass(slots=True)
class _Read:
    body: Object | None
    at: float
    keys: set[Key] = field(default_factory=set)


class Reads:
    """Objects by name, at most 30 s old."""

    def __init__(self, api: Api, wake: Callable[[Key], None], clock: Callable[[], float]) -> None:
        self._api, self._wake, self._clock = api, wake, clock
        self._reads: dict[Where, _Read] = {}

    async def get(self, kind: Kind, name: str, key: Key, *, fresh: bool = False) -> Object | None:
        """An object of the Endpoint's namespace; None: a GET said that it is not there."""
        where = (kind, key.namespace, name)
        found = self._reads.get(where)
        if found is None or found.body is None or fresh:  # what is missing is asked for each time
            found = await self._read(where)
        found.keys.add(key)
        return found.body

    def put(self, kind: Kind, body: Object, key: Key) -> None:
        """What we wrote ourselves need not be read."""
        where = (kind, body["metadata"]["namespace"], body["metadata"]["name"])
        self._keep(where, slim(kind, body)).keys.add(key)

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
        """Read again what is older than 30 s."""
        limit = self._clock() - EVERY
        old = [where for where, read in self._reads.items() if read.at <= limit]
        slots = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._again(where, slots) for where in old))

    async def _again(self, where: Where, slots: asyncio.Semaphore) -> None:
        async with slots:
            before = self._reads[where]
            try:
                after = await self._read(where)
            except ApiError as error:  # what was read last still holds
                log.warning("a read failed", extra={"what": "/".join(where[1:]), "why": str(error)})
                before.at = self._clock()
                return
            if _version(before.body) != _version(after.body):
                for key in sorted(after.keys):
                    self._wake(key)

    async def _read(self, where: Where) -> _Read:
        kind, namespace, name = where
        try:
            body = slim(kind, await self._api.get(kind, namespace, name))
        except NotFound:
            return self._keep(where, None)
        return self._keep(where, body)

    def _keep(self, where: Where, body: Object | None) -> _Read:
        old = self._reads.get(where)
        self._reads[where] = _Read(body, self._clock(), old.keys if old else set())
        return self._reads[where]


def _version(body: Object | None) -> str:
    return "" if body is None else str(body["metadata"].get("resourceVersion"))
