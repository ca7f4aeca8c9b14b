"""Which of the written files a router refused, from its counters: they tell no version, and only grow.

Called by whoever asks routers, once for each answer; what it returns is what the next call starts from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wye_operator.plan.world import FileSeen, Taken

NOTHING = FileSeen("", "")


@dataclass(frozen=True, slots=True)
class Counted:
    """What one router had counted, by kind of file: before each was written as it is, and at the last look."""

    written: Mapping[str, FileSeen] = field(default_factory=dict)
    before: Mapping[str, int] = field(default_factory=dict)
    last: Taken = Taken()

    @property
    def refused(self) -> frozenset[str]:
        """The files that it lacks and has refused since they were written."""
        has, counts = self.last.versions, self.last.refusals
        lacking = (kind for kind, file in self.written.items() if has[kind] != file.version)
        return frozenset(kind for kind in lacking if counts.get(kind, 0) > self.before[kind])


def counted(earlier: Counted, taken: Taken, written: Mapping[str, FileSeen]) -> Counted:
    """After one more answer."""
    counts = taken.refusals
    if any(counts.get(kind, 0) < count for kind, count in earlier.last.refusals.items()):
        earlier = Counted()  # it was started anew, and counts from nought
    before = {kind: _before(earlier, kind, file) for kind, file in written.items()}
    # one that starts reads clusters first; another may have refused the routes for a cluster that it lacked, and what
    # counts is that it does so again
    if earlier.last.clusters not in ("", earlier.written.get("clusters", NOTHING).version):
        before["routes"] = counts.get("routes", 0)
    return Counted(written, before, taken)


def _before(earlier: Counted, kind: str, file: FileSeen) -> int:
    same = earlier.written.get(kind) == file
    return earlier.before[kind] if same else earlier.last.refusals.get(kind, 0)
