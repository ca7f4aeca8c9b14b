"""The operator's process: what it is made of, how it begins and ends, and whether it is healthy.

kopf (watches, signals) ──> Feed ──> Store ──> Workers ──> passes        every replica
Lease ──> Workers run only in the replica that leads                     one of them writes
web: /metrics, /healthz (start me anew), /readyz (I see everything)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from wye_operator import settings
from wye_operator.cluster import handlers, identity
from wye_operator.cluster.base import Cluster
from wye_operator.cluster.client import Client, Connection
from wye_operator.cluster.counting import Counting
from wye_operator.cluster.errors import ApiError, Forbidden, NotFound
from wye_operator.cluster.follow import LIST_EVERY, Feed
from wye_operator.cluster.inner import Inner
from wye_operator.cluster.kinds import CONFIGMAPS, FOLLOWED, OURS, SECRETS, WATCHED, Kind
from wye_operator.cluster.lease import Lease
from wye_operator.cluster.passes import Passes
from wye_operator.cluster.queue import Workers
from wye_operator.cluster.reads import Reads
from wye_operator.cluster.showing import shown
from wye_operator.cluster.store import Key, Store
from wye_operator.cluster.terms import Terms
from wye_operator.cluster.upgrades import Upgrades
from wye_operator.errors import WyeError
from wye_operator.issuers import KeySets, session
from wye_operator.plan.world import Deadlines
from wye_operator.render.kubernetes import ClusterPlace
from wye_operator.telemetry import Metrics

log = logging.getLogger(__name__)
LEASE = "wye-operator"  # with the namespace behind it where it serves only one: two may be installed beside each other
SILENCE = 180.0  # seconds after which a watch that says nothing, not even a bookmark, stands still
OVERDUE = 120.0  # seconds that an Endpoint may wait for a worker


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said. `namespace`: serve only that one, and need no ClusterRole."""

    place: ClusterPlace
    namespace: str | None = None
    port: int = 8080
    workers: int = 8
    identity: str = "wye"
    deadlines: Deadlines = Deadlines()
    upgrades: Terms = Terms()
    watch_secrets: bool = False


class Operator:
    """One replica."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.metrics = Metrics()
        self.connection = Connection()
        self.api = Client(self.connection, self.metrics)
        self.store = Store()
        self.stop = asyncio.Event()
        self.trouble: WyeError | None = None
        self.clock = asyncio.get_running_loop().time
        self.session = session()
        self.feed = Feed(
            self.api, self.store, options.namespace, self._wake, self.metrics, edited=self._edited, clock=self.clock
        )
        self.reads = Reads(self.api, self._wake, self.clock)
        self.upgrades = Upgrades(self.store, self._wake, self.metrics, options.upgrades, self.clock)
        self.key_sets = KeySets(identity.reader(self.api, self.session), self._wake, self.clock)
        self.passes = Passes(self._cluster(), lambda key: self.workers.schedule.forget(key))
        self.workers: Workers[Key] = Workers(self.passes.run, self.metrics, self.clock, options.workers)
        self.lease = Lease(
            self.api, options.place.operator_namespace, lease_name(options.namespace), options.identity, settings.now
        )
        self._work: asyncio.Task[None] | None = None
        self._began = self.clock()
        self._gauges()

    def _cluster(self) -> Cluster:
        return Cluster(
            api=self.api,
            store=self.store,
            reads=self.reads,
            asks=Inner(self.session, self.metrics),
            key_sets=self.key_sets,
            metrics=self.metrics,
            upgrades=self.upgrades,
            place=self.options.place,
            now=settings.now,
            clock=self.clock,
            fresh_key=settings.fresh_key,
            deadlines=self.options.deadlines,
            identity=self.options.identity,
        )

    def _wake(self, key: Key) -> None:
        self.workers.add(key)

    def _edited(self, key: Key) -> None:
        self.workers.schedule.first(key, self.clock())

    def _gauges(self) -> None:
        kinds = (*WATCHED, *FOLLOWED)
        self.metrics.gauge(
            "wye_objects",
            lambda: {(("resource", f"{k.plural}.{k.group}".rstrip(".")),): self.store.count(k) for k in kinds},
        )
        self.metrics.gauge("wye_leader", lambda: {(): float(self.lease.leading)})
        self.metrics.page(lambda: shown(self.store) if self.lease.leading else {})  # else two would say it

    async def run(self) -> None:
        """Serve until a signal. Raises WyeError when it cannot begin, or cannot go on."""
        try:
            await handlers.watch(
                self.feed.seen,
                self.connection,
                (self._begin, self._end),
                self.stop,
                namespace=self.options.namespace,
                identity=self.options.identity,
            )
        finally:
            await self._end()
            await self.session.close()
        if self.trouble is not None:
            raise self.trouble

    async def _begin(self) -> None:
        self._work = asyncio.create_task(self._guarded())

    async def _end(self) -> None:
        """End what is ours while there is still a session to hand the Lease back."""
        self.stop.set()  # kopf waits five seconds for its own waiter on it
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _guarded(self) -> None:
        """What cannot go on ends the process; kopf alone would only watch."""
        try:
            await self._serve()
        except BaseExceptionGroup as group:
            self._give_up(next(iter(_leaves(group))))
        except WyeError as error:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        known = isinstance(error, WyeError)
        self.trouble = error if isinstance(error, WyeError) else WyeError(f"it ended by an error of its own: {error!r}")
        log.error("cannot go on", extra={"why": str(self.trouble)}, exc_info=None if known else error)
        self.stop.set()

    async def _serve(self) -> None:
        runner = await _web(self)
        try:
            await self.connection.ready.wait()
            if self.options.namespace is not None:
                await self._check_kinds()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.feed.run())
                tasks.create_task(self.reads.run())
                for kind in (SECRETS, CONFIGMAPS) if self.options.watch_secrets else ():
                    tasks.create_task(self.reads.follow(kind, self.options.namespace))
                tasks.create_task(self.key_sets.run())
                tasks.create_task(self._lead_when_whole())
        finally:
            await runner.cleanup()

    async def _check_kinds(self) -> None:
        """Where nothing tells that a kind came later, it has to be there now."""
        for kind in (*WATCHED, *FOLLOWED):
            try:
                await self.api.version(kind, self.options.namespace)
            except (NotFound, Forbidden) as error:
                raise WyeError(cannot_serve(kind, self.options.namespace, error)) from error

    async def _lead_when_whole(self) -> None:
        """No pass before every kind was listed: what is not there yet would look as if it were gone."""
        await self.feed.whole.wait()
        await self.lease.run(self._lead)

    async def _lead(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.workers.run())
                tasks.create_task(Counting(self.passes.targets, self._wake).run())
        finally:
            self.upgrades.forget()

    def health(self) -> str:
        """Why this process should be started anew, "" while it is well. What is refused to it, no start can mend."""
        now = self.clock()
        if self._work is None or self._work.done():
            return "the operator has ended"
        if not self.feed.whole.is_set():
            return "" if self.feed.failing or now - self._began < LIST_EVERY else "the first lists stand still"
        silent = [k.plural for k in FOLLOWED if now - self.feed.heard.get(k, now) > SILENCE]
        if silent:
            return f"the watches of {', '.join(silent)} stand still"
        if now - self.feed.tried_at > 2 * LIST_EVERY:
            return "the lists stand still"
        overdue = self.workers.schedule.overdue(now)
        if self.lease.leading and overdue > OVERDUE:
            return f"the queue stands still: Endpoints wait, and none was looked at for {overdue:.0f} s"
        return ""

    def readiness(self) -> str:
        """Why it cannot do its work as it should, "" when it can."""
        return self.health() or self.feed.trouble()


def lease_name(namespace: str | None) -> str:
    """Who leads is asked among those that serve the same."""
    return f"{LEASE}-{namespace}" if namespace else LEASE


def cannot_serve(kind: Kind, namespace: str | None, error: ApiError) -> str:
    """One sentence on what is missing and what to do."""
    if isinstance(error, Forbidden):
        return (
            f"it may not list {kind.plural} in namespace {namespace}: bind the chart's Role to its service account "
            f"there ({error})"
        )
    how = "install the CRDs first (kubectl apply -f crds/)" if kind in OURS else "it needs a newer Kubernetes"
    return f"this cluster knows no {kind.plural} ({kind.api_version}): {how}"


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [leaf for e in group.exceptions for leaf in (_leaves(e) if isinstance(e, BaseExceptionGroup) else [e])]


async def _web(operator: Operator) -> web.AppRunner:
    """The port for Prometheus and kubelet."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=operator.metrics.text(), content_type="text/plain")

    def told(trouble: str) -> web.Response:
        return web.Response(text=trouble or "ok", status=503 if trouble else 200)

    async def health(_: web.Request) -> web.Response:
        return told(operator.health())

    async def readiness(_: web.Request) -> web.Response:
        return told(operator.readiness())

    application = web.Application()
    routes: tuple[tuple[str, Callable[[web.Request], Awaitable[web.Response]]], ...] = (
        ("/metrics", metrics),
        ("/healthz", health),
        ("/readyz", readiness),
    )
    for path, answer in routes:
        application.router.add_get(path, answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, operator.options.port).start()
    except OSError as error:
        await runner.cleanup()
        raise WyeError(f"it cannot listen at port {operator.options.port}: {error.strerror}") from error
    return runner
