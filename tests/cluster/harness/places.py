"""Where things are: this checkout, the cache outside it, a running cluster's state, and the addresses of `bare`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
CHECKOUT = HERE.parents[1]
TOOLS = HERE / "tools"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wye-cluster"

# One range for everything of `bare`: the link to the node, the Services, the pods (the rest is for nodes of kwok).
RANGE = "10.199.0.0/16"
HOST_IP, NODE_IP = "10.199.0.1", "10.199.0.2"
SERVICES, SERVICE_IP, DNS_IP = "10.199.64.0/18", "10.199.64.1", "10.199.64.10"
PODS, NODE_PODS = "10.199.128.0/17", "10.199.128.0/24"
NODE = "wye"
LINK = "wye-host"  # the host's end of the one wire into the cluster's network


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
