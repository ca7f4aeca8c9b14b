"""A call with many messages, answered one by one while it is being made: tools leave reflection's call open.

It holds no place in the order of a connection's answers, so it begins only where none is owed.
"""

from collections.abc import Callable

from wye_runtime.endpoints import calls
from wye_runtime.errors import BadRequest, PayloadTooLarge
from wye_runtime.protocol import RawResponse

MOST = 64 << 10  # bytes of such a call: an answer is a hundred times as large as what asks for it


class Stream:
    """One call, from its headers to its trailers; what it writes goes to the wire at once."""

    def __init__(
        self,
        answer: Callable[[bytes], RawResponse],
        head: Callable[[RawResponse], bytes],
        write: Callable[[bytes], None],
    ) -> None:
        self.answer, self.head, self.write = answer, head, write
        self.rest = b""
        self.size = 0
        self.has_begun = False

    def feed(self, data: bytes) -> None:
        """Answers every message that is whole now."""
        self.size += len(data)
        if self.size > MOST:
            raise PayloadTooLarge(f"the call is larger than {MOST} bytes")
        self.rest += data
        while len(self.rest) >= calls.PREFIX and len(self.rest) >= (end := calls.PREFIX + calls.length(self.rest)):
            frame, self.rest = self.rest[:end], self.rest[end:]
            answer = self.answer(frame)
            self.begin(answer)
            self.write(chunk(calls.framed(answer.body)))

    def lacks(self) -> BadRequest | None:
        """What is wrong with a call that ends now."""
        return BadRequest("the call ended in the middle of a message") if self.rest else None

    def begin(self, answer: RawResponse) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.write(self.head(answer))

    def end(self, answer: RawResponse) -> None:
        """`answer` says how: an error before everything else is headers alone."""
        if "grpc-status" in answer.headers and not self.has_begun:
            self.write(self.head(answer))
            return
        self.begin(answer)
        trailers = {"grpc-status": "0", **answer.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in trailers.items())
        self.write(f"0\r\n{lines}\r\n".encode("latin-1"))


def chunk(message: bytes) -> bytes:
    """One chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(message), message)
