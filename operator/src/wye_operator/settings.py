"""What comes from outside the program: the environment and the clock. Nothing else reads them."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LEVELS = 30_000  # copying takes two for each of an object's; at 100,000 the stack of a process may end before
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment as `wye` understands it."""

    envoy: str | None  # WYE_ENVOY: the Envoy binary
    key: str | None  # WYE_KEY: the key that `wye invoke` sends
    colour: bool  # NO_COLOR is not set
    kubeconfig: str | None = None  # KUBECONFIG: files, as kubectl reads them


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. An empty variable is the same as none."""
    variables = os.environ if environment is None else environment
    return Settings(
        envoy=variables.get("WYE_ENVOY") or None,
        key=variables.get("WYE_KEY") or None,
        colour=not variables.get("NO_COLOR"),
        kubeconfig=variables.get("KUBECONFIG") or None,
    )


def inherited() -> dict[str, str]:
    """The environment that processes of the twin start from."""
    return dict(os.environ)


def own_namespace() -> str:
    """The namespace of the pod this process is in, "" outside a cluster."""
    return _of_service_account("namespace")


def own_token() -> str:
    """The token of the pod's service account as it is now on disk, "" outside a cluster."""
    return _of_service_account("token")


def _of_service_account(file: str) -> str:
    try:
        return (SERVICE_ACCOUNT / file).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def identity() -> str:
    """Who this process is among its replicas: the pod's name, and another one after each start."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


def now() -> float:
    """Seconds since the epoch: the one clock that becomes `World.now`."""
    return time.time()


def fresh_key() -> str:
    """A key that nobody knows: 32 random bytes, and no `-` before them, which a command line takes for an option."""
    while (key := secrets.token_urlsafe(32)).startswith("-"):
        pass
    return key


def bear_deep_objects() -> None:
    """Read whatever an API server takes: 10,000 levels of nesting, where Python stops at 1,000.

    One such object, of anybody who may write one in any namespace, would end the operator of all of them.
    """
    sys.setrecursionlimit(LEVELS)
