"""Text that every Python brings along: the topics of its `help()`, cut into passages."""

from __future__ import annotations

import re
from pydoc_data.topics import topics
from typing import NamedTuple

SHORTEST, LONGEST = 150, 1200  # characters


class Passage(NamedTuple):
    """A piece of a topic."""

    topic: str
    text: str


def passages() -> list[Passage]:
    """All of them, in order."""
    return [Passage(topic, piece) for topic in sorted(topics) for piece in pieces(topics[topic])]


def pieces(text: str) -> list[str]:
    """Paragraphs, put together where they are short."""
    found, open_piece = [], ""
    for paragraph in re.split(r"\n\s*\n", text):
        open_piece = f"{open_piece} {' '.join(paragraph.split())}".strip()
        if len(open_piece) >= SHORTEST:
            found.append(open_piece[:LONGEST])
            open_piece = ""
    return found
