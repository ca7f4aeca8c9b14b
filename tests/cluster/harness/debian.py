"""Debian packages that `bare` needs; installed when they are missing and this is root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable

from .say import Refusal, output, step

# etcd, containerd, runc and the CNI plugins run the node; the rest are kubelet's, kube-proxy's and the harness's own
NODE_PACKAGES = (
    *("etcd-server", "containerd", "runc", "containernetworking-plugins"),
    *("iptables", "conntrack", "ipset", "ethtool", "socat", "openssl", "iproute2"),
)


def ensure(packages: Iterable[str]) -> None:
    """Install what is missing."""
    missing = [name for name in packages if not is_installed(name)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Refusal(
            f"these Debian packages are missing: {' '.join(missing)}; install them, or run this as root on Debian"
        )
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    with step(f"installing {len(missing)} Debian packages: {' '.join(missing)}", "40 s"):
        output(["apt-get", "update", "-qq"])
        output(install, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def is_installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout == "installed"
