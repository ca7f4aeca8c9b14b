"""Ports on the loopback: free ones for processes, and the one that an Endpoint keeps."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


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
