"""The public keys of token issuers, read every minute by whoever makes the routers' files; the routers never ask.

Used by the operator and by the twin. A pass asks for what is known and never waits: who asked is woken when a key set
changes. What was read last stays known while an issuer does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from wye_operator.api.jwks import UnusableKeys, public_keys
from wye_operator.errors import WyeError
from wye_operator.plan.world import KeySet

EVERY = 60.0  # seconds between readings that go well
AGAIN = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # between those that fail; then EVERY
TOLD_AFTER = 3  # failures in a row, while an earlier reading is still good: an issuer may restart
AT_ONCE, UNSURE_AT_ONCE = 8, 64  # that answered last, and the others: nobody's keys wait for who does not answer
PATIENCE = aiohttp.ClientTimeout(total=5)
MOST_BYTES = 256 * 1024

READING = KeySet(problem="they are being read")
User = TypeVar("User", bound=Hashable)
Read = Callable[[str], Awaitable[KeySet]]


class Unread(WyeError):
    """Why a key set could not be read. It never repeats what was answered."""


@dataclass(slots=True)
class _Source(Generic[User]):
    found: KeySet
    due: float
    failures: int = 0
    answers: bool = False  # as far as is known
    users: set[User] = field(default_factory=set)


class KeySets(Generic[User]):
    """Key sets by source. `read` reads one; `wake` is told who asked for one that changed."""

    def __init__(self, read: Read, wake: Callable[[User], None], clock: Callable[[], float]) -> None:
        self._read, self._wake, self._clock = read, wake, clock
        self._sources: dict[str, _Source[User]] = {}
        self._asked = asyncio.Event()  # there may be something due that was not
        self._slots = {True: asyncio.Semaphore(AT_ONCE), False: asyncio.Semaphore(UNSURE_AT_ONCE)}

    def of(self, user: User, sources: Iterable[str], written: Mapping[str, KeySet]) -> dict[str, KeySet]:
        """What is known of each; `written` is what an earlier process knew. The user's other sources are forgotten."""
        wanted = frozenset(sources)
        for name, source in list(self._sources.items()):
            if name not in wanted:
                source.users.discard(user)
                if not source.users:
                    del self._sources[name]
        for name in wanted:
            if name not in self._sources:
                self._sources[name] = _Source(written.get(name, READING), self._clock())
                self._asked.set()
            self._sources[name].users.add(user)
        return {name: self._sources[name].found for name in sorted(wanted)}

    async def run(self) -> None:
        """Read what is due, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._begin(tasks)
                soonest = min((source.due for source in self._sources.values()), default=self._clock() + EVERY)
                with suppress(TimeoutError):
                    # wait_for of Python 3.11 may lose a cancellation
                    async with asyncio.timeout(min(EVERY, max(0.05, soonest - self._clock()))):
                        await self._asked.wait()

    async def refresh(self) -> None:
        """Read what is due now."""
        async with asyncio.TaskGroup() as tasks:
            self._begin(tasks)

    def _begin(self, tasks: asyncio.TaskGroup) -> None:
        self._asked.clear()
        now = self._clock()
        for name, source in self._sources.items():
            if source.due <= now:
                source.due = float("inf")  # until it is read
                tasks.create_task(self._again(name, source))

    async def _again(self, name: str, source: _Source[User]) -> None:
        async with self._slots[source.answers]:
            before = source.found
            try:
                source.found, source.failures = await self._read(name), 0
            except WyeError as error:
                source.failures += 1
                if not before.keys or source.failures >= TOLD_AFTER:
                    source.found = replace(before, problem=str(error))
        source.answers = not source.failures
        source.due = self._clock() + self._pause(source.failures)
        self._asked.set()
        if source.found != before:
            for user in source.users:
                self._wake(user)

    def _pause(self, failures: int) -> float:
        return AGAIN[failures - 1] if 0 < failures <= len(AGAIN) else EVERY


def session() -> aiohttp.ClientSession:
    """For questions to whoever is not the API server: nothing of its credentials, and nothing is unpacked."""
    return aiohttp.ClientSession(
        trust_env=False,
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def read_key_set(session: aiohttp.ClientSession, uri: str) -> KeySet:
    """The key set at an address. Raises Unread, whatever is wrong with the address or with what it answers."""
    try:
        async with session.get(uri, timeout=PATIENCE, allow_redirects=False) as response:
            if 300 <= response.status < 400:
                raise Unread(f"{_shown(uri)} leads elsewhere ({response.status}): write the address that answers")
            if response.status != 200:
                raise Unread(f"{_shown(uri)} answers {response.status}")
            body = await _bounded(response.content)
    except TimeoutError:
        raise Unread(f"{_shown(uri)} does not answer within {PATIENCE.total:g} s") from None
    except aiohttp.ClientConnectorCertificateError:
        raise Unread(f"the certificate of {_shown(uri)} is not trusted here") from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise Unread(f"{_shown(uri)} cannot be reached") from None
    return key_set(body, _shown(uri))


def key_set(body: bytes, where: str, issuer: str = "") -> KeySet:
    """What was answered, as a key set. Raises Unread."""
    try:
        return KeySet(public_keys(body.decode()), issuer=issuer)
    except UnicodeDecodeError:
        raise Unread(f"what {where} answers is not text") from None
    except UnusableKeys as problem:
        raise Unread(f"what {where} answers cannot be used: {problem}") from None


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = b""
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
    return body


def _shown(uri: str) -> str:
    """An address without its query."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
