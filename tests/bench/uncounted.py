"""wye-runtime that counts no request, to measure what counting costs: the same command line."""

from __future__ import annotations

import sys

from wye_runtime.cli import main
from wye_runtime.metrics import instruments


def nothing(*_: object, **__: object) -> None:
    """In place of what counts a request or a run."""


instruments.Requests.ended = nothing  # type: ignore[method-assign]
instruments.SharedTally.observe = nothing  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main())
