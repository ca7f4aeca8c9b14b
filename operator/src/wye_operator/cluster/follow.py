"""How the store is kept true: a LIST of every kind at start, ten-minute lists, and what happens when a watch breaks.

kopf watches the four kinds that matter at once and calls `seen`. It says nothing of what was deleted while a watch was
down (reference: kopf loses deletions at each re-list), so an event without a type makes us list for ourselves, two
seconds later and once for all of them. The other kinds are followed here: LIST, then WATCH from that version, which
loses nothing and keeps no second copy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from wye_operator.cluster.client import Api
from wye_operator.cluster.errors import ApiError, Forbidden, Gone, NotFound
from wye_operator.cluster.kinds import FOLLOWED, OPTIONAL, OURS, WATCHED, Kind, Object
from wye_operator.cluster.store import Key, Store
from wye_operator.plan.names import MANAGED_BY, MANAGER
from wye_operator.telemetry import Metrics

log = logging.getLogger(__name__)
AFTER_RELIST, LIST_EVERY, SLACK = 2.0, 600.0, 30.0
AGAIN = 60.0  # seconds after which a kind that is not there is asked for again
SHORTEST = 1.0  # seconds between two watches of a kind
RETRIES = (1.0, 1.0, 2.0, 3.0, 5.0, 8.0)
SELECTOR = f"{MANAGED_BY}={MANAGER}"


def selector_of(kind: Kind) -> str:
    """What is ours of a kind, chosen by the server; of what users write, everything."""
    return "" if kind in OURS else SELECTOR


def _is_edited(body: Object) -> bool:
    """Whether its status does not speak of this spec yet."""
    return bool((body.get("status") or {}).get("observedGeneration") != body["metadata"].get("generation"))


@dataclass(slots=True)
class Feed:
    """Everything that tells of changes: it fills the store and names the Endpoints to look at."""

    api: Api
    store: Store
    namespace: str | None
    wake: Callable[[Key], None]
    metrics: Metrics
    edited: Callable[[Key], None] = lambda key: None  # called before `wake` where a person waits for it
    heard: dict[Kind, float] = field(default_factory=dict)  # when a watch last said anything, be it that it cannot be
    failing: dict[Kind, str] = field(default_factory=dict)  # what cannot be listed or watched now, and why
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    _known: set[Kind] = field(default_factory=set)  # listed once, or known not to be there
    _versions: dict[Kind, str] = field(default_factory=dict)  # up to where each kind has been followed
    _stale: asyncio.Event = field(default_factory=asyncio.Event)
    whole: asyncio.Event = field(default_factory=asyncio.Event)  # every kind was listed once
    tried_at: float = 0.0  # when the kinds that kopf watches were last listed, or could not be

    def seen(self, kind: Kind, event: str | None, body: Object) -> None:
        """One event of a kopf watch. Without a type it comes from a LIST of kopf's: deletions may be lost."""
        self.heard[kind] = self.clock()
        if event is None:
            self._stale.set()
        concerned = self.store.drop(kind, body) if event == "DELETED" else self.store.put(kind, body)
        if kind in OURS and _is_edited(body):
            for key in concerned:
                self.edited(key)
        self._wake(concerned)

    def _wake(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.wake(key)

    async def run(self) -> None:
        """Follow everything until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for kind in FOLLOWED:
                tasks.create_task(self._follow(kind))
            for kind in OPTIONAL:
                tasks.create_task(self._follow_where_known(kind))
            tasks.create_task(self._keep_listed())

    async def _keep_listed(self) -> None:
        """The kinds that kopf watches: at start, after each re-list of kopf's, and every ten minutes."""
        why, failures = "start", 0
        while True:
            self._stale.clear()
            try:
                await self._list_all(WATCHED)
                self.metrics.count("wye_relists_total", why=why)
                self.tried_at, failures = self.clock(), 0
            except ApiError as error:
                self.tried_at, failures = self.clock(), self._later(error, failures)
                await asyncio.sleep(RETRIES[min(failures, len(RETRIES)) - 1])
                continue
            why = await self._until_stale()

    async def _list_all(self, kinds: Iterable[Kind]) -> None:
        """List them; one that may not be read, or is not there, keeps none of the others from being listed."""
        refusal: ApiError | None = None
        for kind in kinds:
            try:
                await self.list(kind)
            except (Forbidden, NotFound) as error:
                refusal = error
        if refusal is not None:
            raise refusal

    async def _until_stale(self) -> str:
        try:
            async with asyncio.timeout(LIST_EVERY):
                await self._stale.wait()
        except TimeoutError:
            return "time"
        await asyncio.sleep(AFTER_RELIST)
        return "watch"

    async def list(self, kind: Kind) -> str:
        """List one kind into the store; returns the version it was taken at."""
        self.store.begin_list(kind)
        with self._told(kind):
            async for page in self.api.list(kind, self.namespace, selector_of(kind)):
                self._wake(self.store.list_page(kind, page.items))
        self.failing.pop(kind, None)
        self._wake(self.store.end_list(kind, page.version))
        self._look_whole(kind)
        return page.version

    async def _follow(self, kind: Kind) -> None:
        """LIST, then WATCH. A watch that ended goes on where it was; one that failed, or is old, begins with a LIST."""
        failures, listed_at, begun = 0, 0.0, -SHORTEST
        while True:
            await asyncio.sleep(begun + SHORTEST - self.clock())  # some end at once, again and again
            begun = self.clock()
            try:
                if kind not in self._versions or self.clock() - listed_at > LIST_EVERY - SLACK:
                    self._versions[kind], listed_at = await self.list(kind), self.clock()
                await self._watch(kind)
                failures = 0
            except Gone:
                self._versions.pop(kind, None)
                failures = 0
            except ApiError as error:
                self._versions.pop(kind, None)
                if kind in OPTIONAL and isinstance(error, NotFound | Forbidden):
                    return self._forget(kind)
                failures = self._later(error, failures)
                await asyncio.sleep(RETRIES[min(failures, len(RETRIES)) - 1])

    async def _follow_where_known(self, kind: Kind) -> None:
        """A kind that comes with something that may be installed, or removed, at any time."""
        while True:
            try:
                await self.list(kind)
            except (NotFound, Forbidden):
                self._forget(kind)
                await asyncio.sleep(AGAIN)
            except ApiError as error:
                self._later(error, 0)
                await asyncio.sleep(RETRIES[-1])
            else:
                self._wake(self.store.keys())  # some Endpoint may wait for it
                await self._follow(kind)

    def _look_whole(self, kind: Kind) -> None:
        """Of every kind it is known what there is: enough to decide by."""
        self._known.add(kind)
        if {*WATCHED, *FOLLOWED, *OPTIONAL} <= self._known and not self.whole.is_set():
            self.whole.set()

    def _forget(self, kind: Kind) -> None:
        """Nobody knows the kind, or not any more."""
        self.failing.pop(kind, None)
        if kind in self.store.listed:
            self.store.listed.discard(kind)
            self._wake(self.store.keys())
        self._look_whole(kind)

    async def _watch(self, kind: Kind) -> None:
        """Until the stream ends: after ten minutes, or after a silence in which nobody can tell whether it still is."""
        with self._told(kind):
            async for event in self.api.watch(kind, self.namespace, selector_of(kind), self._versions[kind]):
                self.heard[kind] = self.clock()
                self._versions[kind] = event["object"]["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self._wake(self.store.drop(kind, event["object"]))
                elif event["type"] != "BOOKMARK":
                    self._wake(self.store.put(kind, event["object"]))
        self.heard[kind] = self.clock()

    @contextmanager
    def _told(self, kind: Kind) -> Iterator[None]:
        """What fails in here is known by its kind."""
        try:
            yield
        except Gone:
            raise
        except ApiError as error:
            self.heard[kind], self.failing[kind] = self.clock(), str(error)
            raise

    def trouble(self) -> str:
        """Which kinds are not seen now, and why; "" where everything is."""
        if self.failing:
            return "; ".join(f"{kind.plural} cannot be followed: {why}" for kind, why in self.failing.items())
        return "" if self.whole.is_set() else "the cluster is not listed yet"

    def _later(self, error: ApiError, failures: int) -> int:
        log.warning("a list or watch failed", extra={"why": str(error), "failures": failures + 1})
        return failures + 1
