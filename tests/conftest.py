"""What all test folders share: the switch that rewrites golden files, and property tests that repeat themselves."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# A run of CI is repeatable; look for more with HYPOTHESIS_PROFILE=search (other examples each time).
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=20_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


# A shell ignores Ctrl-C for what it starts with `&`, and nohup the end of a terminal: each program that a test starts
# and ends so would ignore it, too. What has a handler here is not ignored by those that are started.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_addoption(parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="rewrite the golden files instead of comparing")
