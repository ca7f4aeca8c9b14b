"""Whose `bare` cluster runs in a slot of this machine. One at most: routes, wire and cgroups are the machine's.

The record is in /run, which a restart of the machine empties, as it ends the cluster.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .places import BARE, CHECKOUT, SLOT_NAME, State
from .room import Process
from .say import Refusal, say

FOLDER = Path("/run/wye-cluster" if SLOT_NAME == "wye" else f"/run/{SLOT_NAME}-cluster")
RECORD = FOLDER / "owner.json"


@dataclass(frozen=True)
class Owner:
    """The checkout that brought the cluster up, its state folder and its room."""

    checkout: str
    state: State
    room: Process

    @property
    def is_here(self) -> bool:
        return self.checkout == str(CHECKOUT)


def recorded() -> Owner | None:
    """Who brought the cluster up that runs, or crashed, on this machine."""
    try:
        body = json.loads(RECORD.read_text())
    except FileNotFoundError:
        return None
    return Owner(body["checkout"], State(Path(body["state"])), Process(body["pid"], body["started"]))


def record(room: Process) -> Owner:
    owner = Owner(str(CHECKOUT), State(BARE), room)
    body = {"checkout": owner.checkout, "state": str(owner.state.root), "pid": room.pid, "started": room.started}
    fresh = RECORD.with_suffix(".new")
    fresh.write_text(json.dumps(body))
    fresh.rename(RECORD)
    return owner


def forget() -> None:
    RECORD.unlink(missing_ok=True)


def refuse_foreign(owner: Owner | None) -> None:
    """Another checkout's cluster is not ours to use or to end, while that checkout is there."""
    if owner and not owner.is_here and owner.room.is_alive and Path(owner.checkout).exists():
        raise Refusal(
            f"this machine's cluster belongs to {owner.checkout} (one runs in each slot: it owns routes and cgroups); "
            f"end it with `make -C {owner.checkout} cluster-down`, or take another slot with WYE_CLUSTER_SLOT=1"
        )


@contextmanager
def alone() -> Iterator[None]:
    """One up or down at a time on this machine."""
    FOLDER.mkdir(exist_ok=True)
    with open(FOLDER / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("   another `cluster up` or `down` is at work on this machine: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
