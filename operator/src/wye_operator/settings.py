"""What comes from outside the program: the environment and the clock. Nothing else reads them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment as `wye` understands it."""

    envoy: str | None  # WYE_ENVOY: the Envoy binary
    key: str | None  # WYE_KEY: the key that `wye invoke` sends
    colour: bool  # NO_COLOR is not set


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. An empty variable is the same as none."""
    variables = os.environ if environment is None else environment
    return Settings(
        envoy=variables.get("WYE_ENVOY") or None,
        key=variables.get("WYE_KEY") or None,
        colour=not variables.get("NO_COLOR"),
    )


def inherited() -> dict[str, str]:
    """The environment that processes of the twin start from."""
    return dict(os.environ)


def now() -> float:
    """Seconds since the epoch: the one clock that becomes `World.now`."""
    return time.time()
