"""Ports on the loopback: free ones for processes, and the one that an Endpoint keeps."""

from __future__ import annotations

import socket

from wye_operator.errors import WyeError
from wye_operator.local.state import State

LOOPBACK = "127.0.0.1"
FIRST, MOST = 8080, 65535
TRIES = 100


class PortInUse(WyeError):
    """Somebody else has the port that was asked for."""


class Ports:
    """The ports of the Endpoints. One once given is kept, also by the next twin of the folder.

    `asked` (--port) is for the Endpoint that had it, else for the first one that takes a port, whatever that one had.
    Where nothing is asked, an Endpoint without a port gets the next free one from FIRST.
    """

    def __init__(self, asked: int | None, state: State) -> None:
        self._asked = asked
        self._state = state
        self._held: list[socket.socket] = []

    def take(self, endpoint: str) -> socket.socket:
        """The Endpoint's port, kept for it. Raises PortInUse."""
        self._held = [holder for holder in self._held if holder.fileno() != -1]
        port = self._wanted(endpoint)
        holder = None if port is None else reserve(port)
        if holder is None and port is not None and (not self._held or port == self._asked):
            other = port + 10 if port + 10 <= MOST else port - 10
            raise PortInUse(f"port {port} is in use by another program, try --port {other}")
        holder = holder or self._next_free()
        self._held.append(holder)
        self._state.keep_port(endpoint, holder.getsockname()[1])
        return holder

    def _wanted(self, endpoint: str) -> int | None:
        """The port that was asked for, or that it had; None: the next free one."""
        asked, is_first = self._asked, not self._held
        keeper = None if asked is None else self._state.keeper(asked)
        if asked is not None and (keeper == endpoint or (keeper is None and is_first)):
            return asked
        kept = self._state.port(endpoint)
        return FIRST if kept is None and asked is None and is_first and self._state.keeper(FIRST) is None else kept

    def _next_free(self) -> socket.socket:
        """Not one that another Endpoint had."""
        if self._asked == 0:
            tried: list[int] = [0]
        else:
            first = FIRST if self._asked is None else self._asked
            tried = [port for port in range(first + 1, min(first + TRIES, MOST) + 1) if not self._state.keeper(port)]
        found = (holder for port in tried if (holder := reserve(port)) is not None)
        holder = next(found, None)
        if holder is None:
            raise PortInUse(f"no port is free; tried {tried[0]} to {tried[-1]}" if tried else "no port is left to try")
        return holder

    def close(self) -> None:
        """Give all of them back."""
        for holder in self._held:
            holder.close()


def free_port() -> int:
    """A port that nobody listens on now; losing it to somebody else before use is a failed start, tried again."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def reserve(port: int) -> socket.socket | None:
    """Keep a port for routers of ours (they share it by SO_REUSEPORT); None when somebody else has it.

    The socket never listens: it only keeps others from the port while a router is started again.
    """
    with socket.socket() as alone:  # without SO_REUSEPORT: it fails also where another router shares its port
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            alone.bind((LOOPBACK, port))
        except OSError:
            return None
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        holder.bind((LOOPBACK, port))
    except OSError:
        holder.close()
        return None
    return holder
