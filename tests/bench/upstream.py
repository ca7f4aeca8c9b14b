"""The model behind every router of the bench: reads a request to its end and answers 200, on all ports it is given."""

from __future__ import annotations

import asyncio
import sys

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n" + b'{"decision": 0.5}'
LENGTH = b"content-length: "


class Model(asyncio.Protocol):
    """One connection; what is left of a request is counted, never kept."""

    def __init__(self) -> None:
        self.head, self.left = b"", 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        while data:
            if self.left:
                taken = min(self.left, len(data))
                self.left, data = self.left - taken, data[taken:]
            else:
                self.head += data
                data = self.begun()
            if not self.left and not self.head:
                self.transport.write(ANSWER)

    def begun(self) -> bytes:
        """The part of the body that came with the head; "" until the head is whole."""
        head, ended, body = self.head.partition(b"\r\n\r\n")
        if not ended:
            return b""
        at = head.lower().find(LENGTH)
        self.left = int(head[at + len(LENGTH) :].split(b"\r", 1)[0]) if at >= 0 else 0
        self.head = b""
        return body


async def main(ports: list[int]) -> None:
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_server(Model, "127.0.0.1", port, backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main([int(port) for port in sys.argv[1:]]))
