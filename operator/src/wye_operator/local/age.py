"""How old something is, as kubectl writes it; for the twin's tables and the tree of `wye status`."""

from __future__ import annotations

from datetime import datetime


def age(created: str, now: float) -> str:
    """Since an object's creationTimestamp: 45s, 12m, 3h, 8d."""
    seconds = max(0, int(now - datetime.fromisoformat(created).timestamp()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
