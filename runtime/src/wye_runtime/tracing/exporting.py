"""From requests that were seen to a collector: OTLP over HTTP as JSON, by a thread of its own.

A library would do it, too, and was measured (docs/decisions/0022): at one request of a hundred it takes more of the
processor than all that is allowed for it. Nobody waits for a collector: what it does not take is dropped and counted.
"""

import http.client
import logging
import threading
from collections import deque
from collections.abc import Mapping

from wye_runtime.tracing.spans import attributes_of, message
from wye_runtime.tracing.watch import Ended

log = logging.getLogger("wye")
PATH = "/v1/traces"
JSON = {"content-type": "application/json"}
MOST_WAITING = 1000  # requests that are not sent yet; the memory of about one and a half megabytes
AT_ONCE = 200  # requests of one message
EVERY = 1.0  # seconds
PATIENCE = 5.0  # for a collector that does not answer
LAST_PATIENCE = 1.0  # at the process's end


class Exporter:
    """What waits for the collector, and what became of what did."""

    def __init__(self, host: str, port: int, resource: Mapping[str, str]) -> None:
        self.host, self.port = host, port
        self.resource = {"attributes": attributes_of(resource)}
        self.waiting: deque[Ended] = deque()
        self.sent = self.dropped = 0
        self.trouble = ""
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.work, name="traces", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def add(self, request: Ended) -> None:
        """Never waits."""
        if len(self.waiting) < MOST_WAITING:
            self.waiting.append(request)
        else:
            self.dropped += 1

    def work(self) -> None:
        while not self.closing.wait(EVERY):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Sends what waits now."""
        left = len(self.waiting)
        while left:
            requests = [self.waiting.popleft() for _ in range(min(left, AT_ONCE))]
            left -= len(requests)
            why = self.posted(message(self.resource, requests))
            self.sent, self.dropped = self.sent + (not why) * len(requests), self.dropped + bool(why) * len(requests)
            self.say(why)

    def posted(self, body: bytes) -> str:
        """Why it was not taken, "" when it was. A connection of its own each time: nothing of the last one is left."""
        patience = LAST_PATIENCE if self.closing.is_set() else PATIENCE
        connection = http.client.HTTPConnection(self.host, self.port, timeout=patience)
        try:
            connection.request("POST", PATH, body, JSON)
            status = connection.getresponse().status
        except (OSError, UnicodeError, http.client.HTTPException) as error:  # UnicodeError: the host is no name at all
            return str(error) or type(error).__name__
        finally:
            connection.close()
        return "" if 200 <= status < 300 else f"it answers {status}"

    def say(self, why: str) -> None:
        """Once when it begins, and once when it is over."""
        if why and not self.trouble:
            extra = {"collector": f"http://{self.host}:{self.port}", "why": why}
            log.warning("traces cannot be sent: they are dropped, and requests go on", extra=extra)
        elif self.trouble and not why:
            log.info("traces are sent again", extra={"dropped": self.dropped})
        self.trouble = why

    def close(self) -> None:
        """The last ones, as far as a second is enough."""
        self.closing.set()
        self.thread.join(LAST_PATIENCE)
