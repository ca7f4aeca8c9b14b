"""Requests that are odd in each of their parts, each in a way of its own, as a program in the cluster's network.

`python odd.py URL KEY FIRST COUNT` prints how often each status was answered.
"""

from __future__ import annotations

import http.client
import json
import sys
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

BODY = json.dumps({"x": [[1, 2, 3, 4, 5, 6, 7]]})
PIN = "azureml-model-deployment"

Odd = tuple[str, str, dict[str, str], str]  # method, path, headers, body


def kinds(n: int, key: dict[str, str]) -> Iterator[Odd]:
    """One request of each kind; `n` is in all of them."""
    yield "POST", f"/score?odd={n}", {**key, f"x-odd-{n}": "1", "user-agent": f"odd/{n}"}, BODY
    yield f"ODD{n}", "/score", key, BODY
    yield "GET", f"/odd/{n}", key, ""
    yield "POST", "/score", {**key, "host": f"odd{n}.example"}, BODY
    yield "POST", "/score", {**key, PIN: f"odd-{n}"}, BODY
    yield "POST", "/score", {"authorization": f"Bearer odd-{n}"}, BODY
    yield "POST", f"/v2/models/odd-{n}/infer", key, BODY
    yield "POST", "/score", {**key, "content-type": f"odd/{n}"}, BODY
    yield "POST", "/score", {**key, "traceparent": f"00-{n + 1:032x}-{n + 1:016x}-01", "x-request-id": f"{n}"}, BODY
    yield "POST", "/score", key, f"odd {n}"
    yield "POST", "/score", {**key, "content-encoding": f"odd{n}"}, BODY
    yield "OPTIONS", "/score", {**key, "origin": f"https://odd{n}.example", "x-ms-client-request-id": f"{n}"}, ""


def answered(line: http.client.HTTPConnection, odd: Odd) -> int:
    """The status; a connection that was closed after the answer before is opened again."""
    method, path, headers, body = odd
    for _ in range(3):
        try:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            answer.read()
        except ConnectionError:
            line.close()
            continue
        return answer.status
    return 0


def main() -> None:
    url, key, first, count = sys.argv[1:]
    line = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    answers: Counter[int] = Counter()
    for n in range(int(first), int(first) + int(count)):
        each = list(kinds(n, {"authorization": f"Bearer {key}", "content-type": "application/json"}))
        answers[answered(line, each[n % len(each)])] += 1
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
