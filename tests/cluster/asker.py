"""Questions from inside the cluster's network, asked by one program that stays: a Python for each would take longer.

`Asker` starts it with the first question; `python asker.py` is the program: a question as JSON on a line of stdin, the
answer as JSON on a line of stdout.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a program

from cluster.load import line_to


class Asker:
    """A caller in the cluster's network. Each question has a connection of its own, as a new caller's has."""

    def __init__(self, argv_of: Callable[[Sequence[str]], list[str]]) -> None:
        self._argv_of = argv_of
        self._program: subprocess.Popen[str] | None = None

    def ask(self, url: str, key: str, body: str) -> tuple[int, str]:
        """Status and body of one call; 0 and why when there was no answer."""
        if self._program is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self._program = subprocess.Popen(self._argv_of([sys.executable, __file__]), **pipes)
        self._program.stdin.write(json.dumps([url, key, body]) + "\n")
        self._program.stdin.flush()
        status, told = json.loads(self._program.stdout.readline())
        return status, told

    def close(self) -> None:
        if self._program is not None:
            self._program.communicate()


def answer(url: str, key: str, body: str) -> tuple[int, str]:
    where = urlsplit(url)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    line = line_to(where)
    try:
        line.request("POST", where.path, body, headers)
        told = line.getresponse()
        return told.status, told.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)
    finally:
        line.close()


if __name__ == "__main__":
    for asked in sys.stdin:
        print(json.dumps(answer(*json.loads(asked))), flush=True)
