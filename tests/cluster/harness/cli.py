"""The commands of `tests/cluster/cluster`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from .machine import Backend, backend
from .say import Refusal, say

HELP = """\
A Kubernetes cluster for the tests: kind where a Docker daemon answers, else processes of one node (root, Debian).

  cluster up               from nothing to a Ready node with DNS; does nothing when it is up
  cluster down             end it, and remove everything but the cache of built programs
  cluster build            only what takes minutes: packages, and programs from Go modules (up does it too)
  cluster load IMAGE...    image archives, or images that buildah or docker has, into the node
  cluster run CMD...       run a program in the cluster's network, with KUBECONFIG and PATH set
  cluster kubeconfig       print the path of the kubeconfig
  cluster env              print the exports for a shell: eval "$(tests/cluster/cluster env)"
  cluster status           components, nodes, pods
  cluster stop|start NAME  kill -9 a component (kubelet, kube-apiserver, ...) and start it again (bare only)

The cache is ${XDG_CACHE_HOME:-~/.cache}/wye-cluster; WYE_CLUSTER_BACKEND=kind|bare chooses the back end.
WYE_CLUSTER_SLOT=0..7 (default 0): which of several bare clusters beside each other is meant.
"""


def main(argv: list[str]) -> int:
    """Run one command; the exit code says whether it was done."""
    try:
        return _command(argv[0] if argv else "help", argv[1:])
    except Refusal as refusal:
        say(f"cluster: {refusal}")
        return 1
    except KeyboardInterrupt:
        say("cluster: interrupted; `cluster down` removes what was begun")
        return 130


def _command(name: str, words: list[str]) -> int:
    if name in ("help", "--help", "-h"):
        print(HELP, end="")
        return 0
    commands: dict[str, Callable[[Backend], None]] = {
        "up": lambda to: to.up(),
        "down": lambda to: to.down(),
        "build": lambda to: to.build(),
        "load": lambda to: to.load(words),
        "kubeconfig": lambda to: print(to.kubeconfig()),
        "env": lambda to: print(f"export KUBECONFIG={to.kubeconfig()} PATH={to.programs()}"),
        "status": lambda to: print(to.status(), end=""),
        "stop": lambda to: to.stop(words[0]),
        "start": lambda to: to.start(words[0]),
    }
    if name == "run" and words:
        return _run(backend(), words)
    if name not in commands or (name in ("load", "stop", "start") and not words):
        print(HELP, end="", file=sys.stderr)
        return 2
    commands[name](backend())
    return 0


def _run(to: Backend, words: list[str]) -> int:
    env = os.environ | {"KUBECONFIG": str(to.kubeconfig()), "PATH": to.programs()}
    return subprocess.run(to.run(words), env=env).returncode
