"""Callers who keep a router's memory full: HTTP/2 streams with bodies that nearly end, in the cluster's network.

`python holding.py HOST PORT KEY DEPLOYMENT...` goes on until SIGTERM. A router keeps a small body to send it once more,
so each of these streams costs it 64 KiB until it is let go, and then comes the next one. What one Deployment may have
at a time is no more than a third of a router's room: to fill it takes several.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import h2.config
import h2.connection
import h2.events
import h2.exceptions

CONNECTIONS, STREAMS = 24, 90
PAUSE = 0.05  # between two new streams of a connection, so that they do not end all at once
SIZE = 60_000


class Caller:
    """One connection."""

    def __init__(self, address: tuple[str, int], key: str, deployment: str) -> None:
        self.line = socket.create_connection(address, timeout=5)
        self.line.settimeout(PAUSE)
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.http.initiate_connection()
        self.left: dict[int, int] = {}  # bytes that are to be sent, by stream
        self.head = [
            *((":method", "POST"), (":path", "/score"), (":scheme", "http"), (":authority", "a")),
            *(("authorization", f"Bearer {key}"), ("azureml-model-deployment", deployment)),
            *(("content-type", "application/json"), ("content-length", str(SIZE + 1))),
        ]

    def step(self) -> None:
        """One more stream, as much of all bodies as there is room for, and what the router says."""
        if len(self.left) < STREAMS:
            stream = self.http.get_next_available_stream_id()
            self.http.send_headers(stream, self.head)
            self.left[stream] = SIZE
        for stream in self.left:
            for size in self._room(stream):
                self.http.send_data(stream, b" " * size)
        self.line.sendall(self.http.data_to_send())
        with suppress(TimeoutError):
            for event in self.http.receive_data(self._read()):
                if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                    self.left.pop(event.stream_id, None)
                    with suppress(h2.exceptions.ProtocolError):  # the router may have ended it whole
                        self.http.reset_stream(event.stream_id)

    def _room(self, stream: int) -> Iterator[int]:
        """Sizes of the frames that may be sent now."""
        while size := min(
            self.left[stream], self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size
        ):
            self.left[stream] -= size
            yield size

    def _read(self) -> bytes:
        found = self.line.recv(65_536)
        if not found:
            raise ConnectionResetError
        return found


def hold(address: tuple[str, int], key: str, deployment: str) -> None:
    """One connection after the other: the router ends those that it has enough of."""
    while True:
        with suppress(OSError, h2.exceptions.ProtocolError):
            caller = Caller(address, key, deployment)
            while True:
                caller.step()
        time.sleep(PAUSE)


if __name__ == "__main__":
    host, port, key, *deployments = sys.argv[1:]
    for number in range(CONNECTIONS):
        told = ((host, int(port)), key, deployments[number % len(deployments)])
        threading.Thread(target=hold, args=told, daemon=True).start()
    threading.Event().wait()
