"""Where things are: this checkout, the cache outside it, a running cluster's state, and the addresses of `bare`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
CHECKOUT = HERE.parents[1]
TOOLS = HERE / "tools"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wye-cluster"

# Several `bare` clusters can run beside each other, each in a slot: its own range, wire, cgroup, folder and record.
SLOTS = 8
SLOT = os.environ.get("WYE_CLUSTER_SLOT") or "0"
if SLOT not in map(str, range(SLOTS)):
    raise SystemExit(f"WYE_CLUSTER_SLOT={SLOT}: it is a number from 0 to {SLOTS - 1}")
SLOT_NAME = "wye" if SLOT == "0" else f"wye-{SLOT}"
TAG = "e2e" if SLOT == "0" else f"e2e-{SLOT}"  # of the tests' images: the machine's store is one for all slots

# One range for everything of `bare`: the link to the node, the Services, the pods (the rest is for nodes of kwok).
NETWORK = f"10.{199 + int(SLOT)}"
RANGE = f"{NETWORK}.0.0/16"
HOST_IP, NODE_IP = f"{NETWORK}.0.1", f"{NETWORK}.0.2"
SERVICES, SERVICE_IP, DNS_IP = f"{NETWORK}.64.0/18", f"{NETWORK}.64.1", f"{NETWORK}.64.10"
PODS, NODE_PODS = f"{NETWORK}.128.0/17", f"{NETWORK}.128.0/24"
NODE = "wye"
LINK = f"{SLOT_NAME}-host"  # the host's end of the one wire into the cluster's network
BARE = CACHE / ("bare" if SLOT == "0" else f"bare-{SLOT}")  # the running cluster's state


@dataclass(frozen=True)
class State:
    """The folder of a running cluster; `down` removes it."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def settings(self) -> Path:
        return self.root / "settings"

    @property
    def socket(self) -> Path:
        return self.root / "containerd.sock"

    @property
    def audit(self) -> Path:
        return self.logs / "audit.jsonl"

    def kubeconfig(self, name: str = "admin") -> Path:
        return self.root / "kubeconfig" / f"{name}.kubeconfig"
