"""Ports for what tests start later: nobody else comes to have one between the question and its use.

The kernel gives ports above 32,768 to whoever asks for any, and callers' ends of connections have them, too. These are
below, and processes that run tests side by side walk the range from different places; no port is given out twice.
"""

from __future__ import annotations

import itertools
import os
import socket

FIRST, LAST = 10_000, 32_000
STRIDE = 997  # processes that start together have neighbouring ids

_walk = itertools.islice(itertools.cycle(range(FIRST, LAST)), os.getpid() * STRIDE % (LAST - FIRST), None)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    return next(port for port in _walk if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
