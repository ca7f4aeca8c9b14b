"""The least that a server in Python can do for a request: llhttp reads it, and the same bytes answer it.

    python tests/bench/floor.py PORT

With the bare run it makes the composite limit of limit.py: what a server could reach that adds nothing to either.
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import uvloop

BODY = (
    b'{"model_name":"fraud","model_version":"1","outputs":[{"name":"p","datatype":"FP32","shape":[1,1],"data":[0.9]}]}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 19:00:00 GMT\r\n"
    b"content-length: %d\r\ncontent-type: application/json\r\n"
    b"x-request-id: 2c0d5c8f-6a45-4a3f-8c5f-5f1b3f4c7f10\r\n\r\n%b" % (len(BODY), BODY)
)


class Floor(asyncio.Protocol):
    """One connection; the callbacks of the parser are there and do nothing, but for the last one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        pass

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_body(self, body: bytes) -> None:
        pass

    def on_message_complete(self) -> None:
        self.transport.write(ANSWER)  # type: ignore[attr-defined]


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
