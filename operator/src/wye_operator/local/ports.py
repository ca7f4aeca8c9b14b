"""Ports on the loopback: free ones for processes, and the one that an Endpoint keeps."""

from __future__ import annotations

import socket

from wye_operator.errors import WyeError
from wye_operator.local.state import State

LOOPBACK = "127.0.0.1"
TRIES = 100


class PortInUse(WyeError):
    """Somebody else has the port that was asked for."""


class Ports:
    """The ports of the Endpoints: the first one gets `first`, each later one the next free; one once given is kept."""

    def __init__(self, first: int, state: State) -> None:
        self._first = first
        self._state = state
        self._held: list[socket.socket] = []

    def take(self, endpoint: str) -> socket.socket:
        """The Endpoint's port, kept for it. Raises PortInUse."""
        self._held = [holder for holder in self._held if holder.fileno() != -1]
        ours = {holder.getsockname()[1] for holder in self._held}
        if not ours:
            holder = reserve(self._first)
            if holder is None:
                raise PortInUse(f"port {self._first} is in use by another program, try --port {self._first + 10}")
        else:
            before = self._state.port(endpoint)
            candidates = [*([before] if before else []), *range(self._first + 1, self._first + TRIES)]
            found = (reserve(port) for port in candidates if port not in ours)
            holder = next((h for h in found if h is not None), None)
        if holder is None:
            raise PortInUse(f"ports {self._first} to {self._first + TRIES} are all in use")
        self._held.append(holder)
        self._state.keep_port(endpoint, holder.getsockname()[1])
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
