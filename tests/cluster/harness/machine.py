"""Which back end this machine can run, and what is missing when it can run neither."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from .bare import Bare
from .golang import MACHINES
from .kind import Kind
from .say import Refusal


class Backend(Protocol):
    """What both can do."""

    name: str

    def build(self) -> None: ...
    def is_up(self) -> bool: ...
    def up(self) -> None: ...
    def down(self) -> None: ...
    def load(self, names: Sequence[str]) -> None: ...
    def run(self, argv: Sequence[str]) -> list[str]: ...
    def kubeconfig(self) -> Path: ...
    def audit(self) -> Path: ...
    def logs(self) -> list[Path]: ...
    def programs(self) -> str: ...
    def stop(self, name: str) -> None: ...
    def start(self, name: str) -> None: ...
    def status(self) -> str: ...


BACKENDS: dict[str, Callable[[], Backend]] = {"kind": Kind, "bare": Bare}


def backend() -> Backend:
    """`kind` where a Docker daemon answers, else `bare`; WYE_CLUSTER_BACKEND chooses otherwise."""
    asked = os.environ.get("WYE_CLUSTER_BACKEND", "")
    if asked and asked not in BACKENDS:
        raise Refusal(f"WYE_CLUSTER_BACKEND is {asked!r}; must be kind or bare")
    no_kind, no_bare = _no_kind(), _no_bare()
    for name, refused in (("kind", no_kind), ("bare", no_bare)):
        if asked == name and refused:
            raise Refusal(f"{name} was asked for, but {refused}")
        if asked in ("", name) and not refused:
            return BACKENDS[name]()
    raise Refusal(
        "the cluster tests need a Docker daemon (for kind), or root on a Debian (for bare); here\n"
        f"  kind: {no_kind}\n  bare: {no_bare}\n"
        "start Docker, or run `sudo make e2e` on a Debian; all other tests run without: make test"
    )


def _no_kind() -> str:
    if not shutil.which("docker"):
        return "there is no docker command"
    done = subprocess.run(["docker", "info", "--format", "{{.ServerVersion}}"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"the Docker daemon does not answer ({done.stderr.strip()[:200]})"


def _no_bare() -> str:
    if sys.platform != "linux" or os.uname().machine not in MACHINES:
        return f"this is {sys.platform} on {os.uname().machine}, not Linux on x86_64 or aarch64"
    if os.geteuid() != 0:
        return "this is not root, and a node's network, mounts and cgroups are root's"
    if not shutil.which("apt-get"):
        return "this is no Debian: etcd, containerd, runc and the CNI plugins come as its packages"
    return ""
