"""Questions to the pods' inner ports: a model's signature, what a router has taken. Silence is a fact, not an error.

A session of its own, without the API server's credentials; a bounded number of questions at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

import aiohttp

from wye_operator.plan.world import Signature, Taken
from wye_operator.render import envoy as render
from wye_operator.render.kubernetes.place import INNER
from wye_operator.render.signature import signature as read_signature
from wye_operator.telemetry import Metrics

PATIENCE = aiohttp.ClientTimeout(total=2, connect=1)
AT_ONCE = 64
MOST_BYTES = 2**20  # of an answer: 64 pods that were taken over must not fill our memory


class Asks(Protocol):
    """What gather wants to know of pods; tests answer for them."""

    async def signature(self, pod: str, host: str) -> Signature | str:
        """What the model says of itself, or why that could not be read. `pod` is an identity: it never changes."""

    async def taken(self, host: str) -> Taken | None:
        """What a router has; None: it did not answer."""

    def forget(self, pods: Iterable[str]) -> None:
        """These pods are gone."""


class Inner:
    """Asks the pods of a cluster."""

    def __init__(self, session: aiohttp.ClientSession, metrics: Metrics) -> None:
        self._session, self._metrics = session, metrics
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._signatures: dict[str, Signature] = {}

    async def signature(self, pod: str, host: str) -> Signature | str:
        """Read once in the life of a container: a model does not change while it runs."""
        if pod not in self._signatures:
            status, text = await self._get(host, "/signature")
            if status != 200:
                return f"its /signature answers {status or 'nothing'}"
            try:
                self._signatures[pod] = read_signature(text)
            except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
                return f"its /signature is not understood ({error!r})"
        return self._signatures[pod]

    async def taken(self, host: str) -> Taken | None:
        """What a router has; None: it did not answer."""
        status, text = await self._get(host, render.TAKEN_PATH)
        try:
            return render.taken(text) if status == 200 else None
        except (ValueError, KeyError):  # no figures of Envoy's
            return None

    def forget(self, pods: Iterable[str]) -> None:
        """These pods are gone."""
        for pod in pods:
            self._signatures.pop(pod, None)

    async def _get(self, host: str, path: str) -> tuple[int, str]:
        bracketed = f"[{host}]" if ":" in host else host
        try:
            async with (
                self._slots,
                self._session.get(
                    f"http://{bracketed}:{INNER}{path}", timeout=PATIENCE, allow_redirects=False
                ) as response,
            ):
                return response.status, await _text(response.content)
        except (TimeoutError, aiohttp.ClientError, ValueError):
            self._metrics.count("wye_inner_errors_total")
            return 0, ""


async def _text(content: aiohttp.StreamReader) -> str:
    """A whole answer. Raises ValueError where it is too long, or no text."""
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > MOST_BYTES:
            raise ValueError("the answer is too long")
    return body.decode()
