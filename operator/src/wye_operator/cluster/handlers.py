"""The only module that knows kopf: it watches, and calls `Feed.seen`. An event says only which object to look at.

    kopf.on.event ──> seen(kind, type, body)          kopf.on.login ──> one session, for kopf and for our client
    startup ──> ours begins                           cleanup ──> ours ends, before the session is closed

No handler that would write an annotation or a finalizer, no index, no timer: deletion is Kubernetes' own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, repeat
from typing import Any

import aiohttp
import kopf

from wye_operator.cluster.client import PAGE, Connection
from wye_operator.cluster.follow import selector_of
from wye_operator.cluster.kinds import WATCHED, Kind, Object
from wye_operator.errors import WyeError
from wye_operator.settings import own_token

Seen = Callable[[Kind, str | None, Object], None]
IN_FLIGHT = 64  # connections to the API server
NO_WAY_IN = "there is no way into a cluster: no service account and no kubeconfig that its API server takes"
TOKEN_AGE = 60.0  # seconds after which the token is read from disk again


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
    _on_login(registry, connection)
    _on_events(registry, seen)
    _on_process(registry, *work)
    scope: dict[str, Any] = {"namespaces": [namespace]} if namespace else {"clusterwide": True}
    scope["identity"] = identity  # unset, kopf asks for the user's name, and a pod's uid has none
    try:
        await kopf.operator(
            registry=registry, settings=settings_for(namespace), standalone=True, stop_flag=stop, **scope
        )
    except kopf.LoginError as error:
        raise WyeError(NO_WAY_IN) from error


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


def _on_process(
    registry: kopf.OperatorRegistry, begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]]
) -> None:
    async def startup(**_: Any) -> None:
        await begin()

    async def cleanup(**_: Any) -> None:
        await end()

    kopf.on.startup(id="startup", registry=registry)(startup)
    kopf.on.cleanup(id="cleanup", registry=registry)(cleanup)
