"""kill -9 of what runs in a pod, from outside: kubelet sees a process that died, and nobody could prepare for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cluster.kube import Cluster


def kill(cluster: Cluster, namespace: str, pod: str) -> None:
    """End all processes of a pod's containers; its sandbox stays. On `bare`, whose processes this machine sees."""
    for process in processes(cluster, namespace, pod):
        with suppress(ProcessLookupError):  # the first one's end was the end of this one
            os.kill(process, signal.SIGKILL)


def processes(cluster: Cluster, namespace: str, pod: str) -> list[int]:
    """Those of a pod's containers, by this machine's numbers."""
    uid = cluster.json("-n", namespace, "get", "pod", pod)["metadata"]["uid"]
    found = list(_processes(uid))
    assert found, f"no process of pod {pod} is seen from here"
    return found


def _processes(uid: str) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            in_pod = uid in (folder / "cgroup").read_text()
            is_pause = b"pause" in (folder / "cmdline").read_bytes()
        except OSError:  # it has just ended
            continue
        if in_pod and not is_pause:
            yield int(folder.name)
