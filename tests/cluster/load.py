"""Constant load on one URL by keep-alive connections, as a program of its own inside the cluster's network.

`Load` starts it and reads what it counted; `python load.py` is the program: a request as JSON on stdin, counts as JSON
on stdout when SIGTERM ends it; before, a line when every connection has been answered once. Of what is no 200 it keeps
what was answered, when, and on which connection.
"""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from urllib.parse import SplitResult, urlsplit

BEGUN = "begun\n"
CONNECTIONS = 16
PAUSE = (
    0.05  # between two requests of one connection: constant load, not a measurement of speed, and no core of its own
)
PATIENCE = 30  # seconds for an answer, more than a router waits: who loses a request is never this program
KEPT = 5  # losses of each connection whose circumstances are kept


@dataclass(frozen=True)
class Request:
    """A POST, by so many connections, each with a pause between two requests."""

    url: str
    body: str
    headers: dict[str, str]
    connections: int = CONNECTIONS
    pause: float = PAUSE


@dataclass
class Seen:
    """What one connection saw: answers by status, 200s by who served, and its first losses."""

    answers: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    opened: int = 0  # times that the connection was made
    losses: list[str] = field(default_factory=list)

    def lose(self, what: str, words: str) -> None:
        self.answers[what] += 1
        if len(self.losses) < KEPT:
            self.losses.append(words)


class Load:
    """Load for as long as the block lasts, which begins when each connection has had its first answer.

    `answers` counts them afterwards, by status and by who served.

    `losses` are the first ones in order of time, a line each.
    """

    def __init__(self, argv_of, request: Request) -> None:
        self._argv = argv_of([sys.executable, __file__])
        self._request = request
        self.answers: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.opened = 0
        self.losses: list[str] = []

    def __enter__(self) -> Load:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._program = subprocess.Popen(self._argv, **pipes)
        self._program.stdin.write(json.dumps(asdict(self._request)) + "\n")
        self._program.stdin.flush()
        assert self._program.stdout.readline() == BEGUN
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._program.terminate()
        printed, _ = self._program.communicate(timeout=4 * PATIENCE)
        counts = json.loads(printed)
        self.answers, self.served = Counter(counts["answers"]), Counter(counts["served"])
        self.opened, self.losses = counts["opened"], counts["losses"]

    @property
    def lost(self) -> int:
        """Any answer but 200."""
        return self.answers.total() - self.answers["200"]


def connection(request: Request, number: int, seen: Seen, end: threading.Event) -> None:
    """One keep-alive connection; it is opened again when the server closes it."""
    where, begun, asked = urlsplit(request.url), time.monotonic(), 0
    line = line_to(where)
    while not end.is_set():
        asked, sent = asked + 1, time.monotonic()
        at = f"at {sent - begun:7.3f} s, connection {number:2}, its request {asked}"
        seen.opened += line.sock is None
        try:
            line.request("POST", where.path, request.body, request.headers)
            answer = line.getresponse()
            body = answer.read()
            took = f"after {time.monotonic() - sent:.3f} s"
            if answer.status == 200:
                seen.answers["200"] += 1
                seen.served[answer.headers.get("azureml-model-deployment", "")] += 1
            else:
                seen.lose(str(answer.status), f"{at}: {answer.status} {took}: {body[:300].decode(errors='replace')}")
        except (OSError, http.client.HTTPException) as error:
            took = f"after {time.monotonic() - sent:.3f} s"
            seen.lose(type(error).__name__, f"{at}: {type(error).__name__} {took}: {error}")
            line.close()
        time.sleep(request.pause)


def line_to(where: SplitResult) -> http.client.HTTPConnection:
    """Not open yet. Whose certificate it is, is another test's matter."""
    if where.scheme == "http":
        return http.client.HTTPConnection(where.hostname or "", where.port or 80, timeout=PATIENCE)
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(where.hostname or "", where.port or 443, timeout=PATIENCE, context=trust)


def main() -> None:
    request = Request(**json.loads(sys.stdin.readline()))
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    # one for each, so that no two threads write to one
    seen = [Seen() for _ in range(request.connections)]
    threads = [threading.Thread(target=connection, args=(request, n, each, end)) for n, each in enumerate(seen)]
    for thread in threads:
        thread.start()
    tell_begin(seen, end)
    for thread in threads:
        while thread.is_alive():  # a signal reaches the main thread between two waits
            thread.join(0.2)
    print(json.dumps(told(seen)))


def tell_begin(seen: Sequence[Seen], end: threading.Event) -> None:
    """Say so when each has had an answer, whichever: a program may take seconds to start."""
    while not all(each.answers for each in seen) and not end.wait(0.01):
        pass
    print(BEGUN, end="", flush=True)


def told(seen: Sequence[Seen]) -> dict[str, object]:
    """What `Load` reads."""
    return {
        "answers": sum((each.answers for each in seen), Counter()),
        "served": sum((each.served for each in seen), Counter()),
        "opened": sum(each.opened for each in seen),
        "losses": sorted(loss for each in seen for loss in each.losses),
    }


if __name__ == "__main__":
    main()
