"""The only module that knows kopf: it watches, and calls `Feed.seen`. An event says only which object to look at.

    kopf.on.event ──> seen(kind, type, body)          kopf.on.login ──> one session, for kopf and for our client
    startup ──> ours begins                           cleanup ──> ours ends, before the session is closed

No handler that would write an annotation or a finalizer, no index, no timer: deletion is Kubernetes' own.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

import aiohttp
import kopf
from kopf._cogs.clients import watching
from kopf._cogs.clients.errors import APIError, APINotFoundError
from kopf._cogs.structs.references import Insights
from kopf._core.reactor import observation

from wye_operator.cluster.client import PAGE, Connection
from wye_operator.cluster.follow import selector_of
from wye_operator.cluster.kinds import WATCHED, Kind, Object
from wye_operator.errors import WyeError
from wye_operator.settings import own_token

log = logging.getLogger(__name__)
Seen = Callable[[Kind, str | None, Object], None]
IN_FLIGHT = 64  # connections to the API server
NO_WAY_IN = "there is no way into a cluster: no service account and no kubeconfig that its API server takes"
NO_MORE = "it cannot watch the cluster any more"
HAND_OVER = 5.0  # seconds to hand the Lease back when watching has ended by an error
TOKEN_AGE = 60.0  # seconds after which the token is read from disk again
AWAY = 1.0  # seconds until a kind that is not there is asked for again
LOOK_AGAIN = 10.0  # seconds after which kopf looks anew for a kind that it does not watch

kopfs_watch = watching.continuous_watch


class Patience:
    """Seconds between attempts while the API server is away: it comes back, however long that takes."""

    def __iter__(self) -> Iterator[float]:
        return chain((1.0, 1.0, 2.0, 3.0, 5.0), repeat(8.0))


class Token:
    """Puts the token that is on disk now on every request: kubelet renews it there, and the old one runs out."""

    def __init__(self, read: Callable[[], str], clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._token, self._read_at = read(), clock()

    async def __call__(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        now = self._clock()
        if now - self._read_at >= TOKEN_AGE:
            self._token, self._read_at = self._read() or self._token, now
        request.headers["Authorization"] = f"Bearer {self._token}"
        return await send(request)


def session_of(found: kopf.ConnectionInfo, token: Token | None) -> aiohttp.ClientSession:
    """A session with the API server; what a kubeconfig says stays as it is for as long as the session lasts."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=found.as_ssl_context(), limit=IN_FLIGHT),
        headers={**found.as_http_headers(), "User-Agent": "wye-operator"},
        middlewares=(token,) if token else (),
    )


async def watch(
    seen: Seen,
    connection: Connection,
    work: tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]],
    stop: asyncio.Event,
    *,
    namespace: str | None,
    identity: str,
) -> None:
    """Run kopf until a signal or `stop`; `work` begins and ends what is ours. Raises WyeError when it cannot begin."""
    registry = kopf.OperatorRegistry()
    watching.continuous_watch = patient_watch
    _on_login(registry, connection)
    _on_events(registry, seen)
    settings, insights = settings_for(namespace), Insights()
    _on_process(registry, *work, lambda: look_for_kinds(insights, registry, settings))
    scope: dict[str, Any] = {"namespaces": [namespace]} if namespace else {"clusterwide": True}
    scope["identity"] = identity  # unset, kopf asks for the user's name, and a pod's uid has none
    before = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry, settings=settings, insights=insights, standalone=True, stop_flag=stop, **scope
    )
    error = await first_error(tasks)
    if error is None:
        await kopf.run_tasks(tasks, ignored=before)
    else:
        await _cut_off(tasks, work[1])
        why = NO_WAY_IN if isinstance(error, kopf.LoginError) else f"{NO_MORE}: {error!r}"
        raise WyeError(why) from error


async def first_error(tasks: Collection[asyncio.Task[Any]]) -> BaseException | None:
    """What the first of kopf's tasks that ends has ended by; None: it was told to end."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    errors = [task.exception() for task in done if not task.cancelled()]
    return next((error for error in errors if error is not None), None)


async def _cut_off(tasks: Collection[asyncio.Task[Any]], end: Callable[[], Awaitable[None]]) -> None:
    """After an error kopf would wait for watches that it has not told to end: ours ends, and then the process does."""
    asyncio.get_running_loop().call_later(2 * HAND_OVER, os._exit, 1)  # a watch that ends may swallow its cancellation
    with suppress(TimeoutError):
        async with asyncio.timeout(HAND_OVER):
            await end()
    for task in tasks:
        task.cancel()


async def patient_watch(**how: Any) -> AsyncIterator[Any]:
    """kopf's, for a kind that may go while it is watched: kopf would end the whole operator by the 404.

    It ends the watch itself when it hears that the definition is gone, which may be a moment later.
    """
    try:
        async for event in kopfs_watch(**how):
            yield event
    except APINotFoundError as error:
        log.warning("a watch failed", extra={"what": str(how["resource"]), "why": str(error)})
        await asyncio.sleep(AWAY)


def settings_for(namespace: str | None) -> kopf.OperatorSettings:
    """kopf as a watch engine and nothing else."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = namespace is not None  # it would need a ClusterRole
    settings.networking.request_timeout, settings.networking.connect_timeout = 30, 5
    settings.networking.error_backoffs = Patience()
    settings.queueing.worker_limit = 100
    settings.queueing.idle_timeout = 0.1
    settings.watching.chunk_size = PAGE
    for kind in WATCHED:
        if selector_of(kind):
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = selector_of(kind)
    for name in ("kopf", "kopf.objects", "kopf.activities"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return settings


def _on_events(registry: kopf.OperatorRegistry, seen: Seen) -> None:
    for kind in WATCHED:

        async def heard(event: Any, kind: Kind = kind, **_: Any) -> None:
            seen(kind, event["type"], dict(event["object"]))

        kopf.on.event(kind.group, kind.version, kind.plural, id=kind.plural, registry=registry)(heard)


def _on_login(registry: kopf.OperatorRegistry, connection: Connection) -> None:
    async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.AiohttpSession | None:
        """A new session each time: kopf closes the old one when the API server says 401."""
        own = kopf.login_with_service_account(settings=settings)
        found = own or kopf.login_with_kubeconfig(settings=settings)
        if found is None:
            return None
        session = session_of(found, Token(own_token, asyncio.get_running_loop().time) if own else None)
        connection.use(session, found.server)
        return kopf.AiohttpSession(aiohttp_session=session, server=found.server)

    kopf.on.login(id="login", registry=registry)(login)


async def look_for_kinds(insights: Insights, registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings) -> None:
    """Until cancelled: have kopf look again while it does not watch a kind.

    It looks once when a definition changes, and the API server's discovery may tell of the kind a moment later only: a
    kind that was away would never be watched again. Where scanning is disabled kopf ends when a kind is absent.
    """
    while not settings.scanning.disabled:
        await asyncio.sleep(LOOK_AGAIN)
        await insights.ready_resources.wait()
        for group in groups_away(insights):
            event: Any = {"type": "MODIFIED", "object": {"spec": {"group": group}}}
            try:
                await observation.process_discovered_resource_event(
                    raw_event=event, settings=settings, registry=registry, insights=insights
                )
            except (APIError, aiohttp.ClientError, TimeoutError) as error:
                log.warning("kinds could not be looked for", extra={"why": repr(error)})


def groups_away(insights: Insights) -> set[str]:
    """The groups of the kinds that kopf should watch and does not."""
    watched = {(found.group, found.plural) for found in insights.watched_resources}
    return {kind.group for kind in WATCHED if (kind.group, kind.plural) not in watched}


def _on_process(
    registry: kopf.OperatorRegistry,
    begin: Callable[[], Awaitable[None]],
    end: Callable[[], Awaitable[None]],
    look: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    looking: list[asyncio.Task[None]] = []

    async def startup(**_: Any) -> None:
        await begin()
        looking.append(asyncio.create_task(look()))  # here, because only kopf's own tasks have its session

    async def cleanup(**_: Any) -> None:
        for task in looking:
            task.cancel()
        await end()

    kopf.on.startup(id="startup", registry=registry)(startup)
    kopf.on.cleanup(id="cleanup", registry=registry)(cleanup)
