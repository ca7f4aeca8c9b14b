"""Starts one process of the twin so that it cannot outlive it: run as `python -S -E launch.py PARENT ARGV...`.

The kernel kills the process when its parent is gone, even by kill -9. Only the standard library: this file is run by
its path, without the package around it, and makes way for the process it starts.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Tie this process to its parent, then become the wanted one."""
    parent, argv = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above took effect
        sys.exit(1)
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        sys.exit(f"{argv[0]} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
