"""Takes credentials out of what other programs wrote, before it reaches a condition, a file or a terminal.

Pure: whoever shows words of a process (its last words, the end of its log) asks here first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "…"
SHORTEST = 4  # a shorter value is no secret, and hiding every "1" would leave nothing to read
NAMED = r"(?:(?:api|access|primary|secondary)[-_]?key|passw(?:or)?d)"
PATTERNS = (
    re.compile(r"(://)[^\s/]*(?=@)"),
    re.compile(r"(?i)(\bbearer\s+|\bauthorization[\"']?\s*[:=]\s*[\"']?basic\s+)[^\s\"',;]+"),
    re.compile(rf"(?i)({NAMED}[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&]+"),
)


def masked(text: str, values: Iterable[str] = ()) -> str:
    """The text without credentials, and without these values (a Deployment's environment variables)."""
    for value in sorted({v for v in values if len(v) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for pattern in PATTERNS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text
