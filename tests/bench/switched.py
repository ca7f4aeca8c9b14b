"""wye-runtime that counts requests only while a file says so: the path of that, then wye-runtime's own command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from mmap import ACCESS_READ, mmap

from wye_runtime.cli import main
from wye_runtime.metrics.instruments import Requests, Tally

COUNTED, UNCOUNTED = b"1", b"0"  # all that is in the file


def switch_by(switch: mmap) -> None:
    """All metrics: requests, and runs of the model."""
    Requests.ended = only_while(switch, Requests.ended)  # type: ignore[method-assign]
    Tally.observe = only_while(switch, Tally.observe)  # type: ignore[method-assign]


def only_while(switch: mmap, count: Callable[..., None]) -> Callable[..., None]:
    """What counts one, as long as the switch is on; it is asked either way."""
    on = COUNTED[0]

    def counted(*args: object) -> None:
        if switch[0] == on:
            count(*args)

    return counted


if __name__ == "__main__":
    with open(sys.argv.pop(1), "rb") as file:
        switch_by(mmap(file.fileno(), 1, access=ACCESS_READ))
    sys.exit(main())
