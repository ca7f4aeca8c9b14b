"""Constant load on one URL by 16 keep-alive connections, as a program of its own inside the cluster's network.

`Load` starts it and reads what it counted; `python load.py` is the program: a request as JSON on stdin, counts as JSON
on stdout when SIGTERM ends it.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from types import TracebackType
from urllib.parse import urlsplit

CONNECTIONS = 16
PAUSE = 0.02  # between two requests of one connection: constant load, not a measurement of speed


@dataclass(frozen=True)
class Request:
    """A POST."""

    url: str
    body: str
    headers: dict[str, str]


class Load:
    """Load for as long as the block lasts; `answers` counts them afterwards, by status and by who served."""

    def __init__(self, argv_of, request: Request) -> None:
        self._argv = argv_of([sys.executable, __file__])
        self._request = request
        self.answers: Counter[str] = Counter()
        self.served: Counter[str] = Counter()

    def __enter__(self) -> Load:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._program = subprocess.Popen(self._argv, **pipes)
        self._program.stdin.write(json.dumps(asdict(self._request)) + "\n")
        self._program.stdin.flush()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._program.terminate()
        told, _ = self._program.communicate(timeout=30)
        counts = json.loads(told)
        self.answers, self.served = Counter(counts["answers"]), Counter(counts["served"])

    @property
    def lost(self) -> int:
        """Any answer but 200."""
        return self.answers.total() - self.answers["200"]


def connection(request: Request, counts: tuple[Counter[str], Counter[str]], end: threading.Event) -> None:
    """One keep-alive connection; it is opened again when the server closes it."""
    answers, served = counts
    where = urlsplit(request.url)
    line = http.client.HTTPConnection(where.hostname or "", where.port or 80, timeout=10)
    while not end.is_set():
        try:
            line.request("POST", where.path, request.body, request.headers)
            answer = line.getresponse()
            answer.read()
            answers[str(answer.status)] += 1
            served[answer.headers.get("azureml-model-deployment", "")] += answer.status == 200
        except (OSError, http.client.HTTPException) as error:
            answers[type(error).__name__] += 1
            line.close()
        time.sleep(PAUSE)


def main() -> None:
    request = Request(**json.loads(sys.stdin.readline()))
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    # a counter each, so that no two threads write to one
    counts = [(Counter(), Counter()) for _ in range(CONNECTIONS)]
    threads = [threading.Thread(target=connection, args=(request, count, end)) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # a signal reaches the main thread between two waits
            thread.join(0.2)
    answers, served = (sum(parts, Counter()) for parts in zip(*counts, strict=True))
    print(json.dumps({"answers": answers, "served": served}))


if __name__ == "__main__":
    main()
