"""Questions to inner and admin ports on the loopback. An answer that does not come is a fact too, not an error."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

from wye_operator.plan.world import Address, Signature
from wye_operator.render.signature import signature as read_signature

PATIENCE = aiohttp.ClientTimeout(total=2, connect=1)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status 0: nobody answered, and `slow` tells silence from refusal."""

    status: int
    text: str = ""
    slow: bool = False


class Inner:
    """Asks processes of this machine."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, address: Address, path: str) -> Answer:
        """GET a path."""
        return await self._ask("GET", address, path)

    async def post(self, address: Address, path: str) -> Answer:
        """POST to a path, without a body."""
        return await self._ask("POST", address, path)

    async def _ask(self, method: str, address: Address, path: str) -> Answer:
        url = f"http://{address.host}:{address.port}{path}"
        try:
            async with self._session.request(method, url, timeout=PATIENCE) as response:
                return Answer(response.status, await response.text())
        except TimeoutError:
            return Answer(0, slow=True)
        except (aiohttp.ClientError, UnicodeDecodeError):
            return Answer(0)

    async def connects(self, address: Address) -> Answer:
        """Whether somebody listens there, whatever is spoken: 200 when so."""
        try:
            async with asyncio.timeout(PATIENCE.connect):
                _, writer = await asyncio.open_connection(address.host, address.port)
        except TimeoutError:
            return Answer(0, slow=True)
        except OSError:
            return Answer(0)
        writer.close()
        return Answer(200)

    async def signature(self, address: Address) -> Signature | str:
        """What the model says of itself, or why that could not be read."""
        answer = await self.get(address, "/signature")
        if answer.status != 200:
            return f"its /signature answers {answer.status or 'nothing'}"
        try:
            return read_signature(answer.text)
        except (ValueError, KeyError, TypeError) as error:
            return f"its /signature is not understood ({error!r})"
