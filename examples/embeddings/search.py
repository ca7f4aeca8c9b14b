"""Searches Python's own help texts by meaning, with an endpoint that gives embeddings.

python examples/embeddings/search.py URL KEY "how do I close a file whatever happens"
"""

from __future__ import annotations

import json
import sys
from urllib.request import Request, urlopen

import numpy as np
from passages import Passage, passages

AT_ONCE = 100


def embedded(url: str, key: str, texts: list[str]) -> np.ndarray:
    """A row for each text, of length 1."""
    rows: list[list[float]] = []
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    for at in range(0, len(texts), AT_ONCE):
        body = {"instances": [{"text": each} for each in texts[at : at + AT_ONCE]]}
        with urlopen(Request(url, json.dumps(body).encode(), headers)) as answer:
            rows += [each["embedding"] for each in json.load(answer)["predictions"]]
    return np.array(rows, np.float32)


def nearest(question: np.ndarray, known: np.ndarray, of: list[Passage], count: int = 3) -> list[tuple[float, Passage]]:
    """The passages that are most like a question."""
    alike = known @ question
    return [(float(alike[at]), of[at]) for at in np.argsort(-alike)[:count]]


def main(url: str, key: str, question: str) -> int:
    of = passages()
    known = embedded(url, key, [each.text for each in of])
    [asked] = embedded(url, key, [question])
    for alike, passage in nearest(asked, known, of):
        print(f"{alike:.2f}  help('{passage.topic}'): {passage.text[:100]}…")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
