"""The room that a `bare` cluster lives in: its own process, mount and network namespaces, held by one process.

    host ── veth wye-host ── eth0 ┌ room: PID 1 = `probe pause` ────────────────────────────┐
                                  │ etcd, API server, …, containerd ── shims ── containers  │
                                  └ private mounts (/run, /var/log are its own), no route out ┘

When its first process ends the kernel ends all others, and with them every mount, network namespace and wire: that is
how `down` leaves nothing behind, after a crash too. Only cgroups outlive it: they have the slot's name, and go by it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .places import HOST_IP, LINK, NODE_IP, PODS, RANGE, SERVICES, SLOT_NAME
from .say import Refusal, output, until

CGROUPS = Path("/sys/fs/cgroup")
# All pods together count against the machine's other processes, each of which is 1024 shares (weight 100): as one more
# process they starve while something else is built beside the cluster, and their probes tell of nothing but that.
SHARES = {"cpu.shares": "16384", "cpu.weight": "1600"}
KUBELET = Path("/var/lib/kubelet")  # whatever --root-dir says, its device plugins are there
PREPARE = (
    "mount --make-rshared / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock /var/lib/kubelet"
    " && mount -t tmpfs tmpfs /var/log && mount -t tmpfs tmpfs /var/lib/kubelet"
    ' && exec "$0" pause'
)

# ClusterIPs need some route; kube-proxy rewrites them first
WITHIN = f"""
ip link set lo up; ip addr replace {NODE_IP}/24 dev eth0; ip link set eth0 up; ip route replace {SERVICES} via {HOST_IP}
echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || true
"""


@dataclass(frozen=True)
class Process:
    """A process that this harness started: its start time tells it from a later one with the same number."""

    pid: int
    started: str

    @classmethod
    def seen(cls, pid: int) -> Process:
        return cls(pid, _started(pid))

    @property
    def is_alive(self) -> bool:
        return bool(self.started) and _started(self.pid) == self.started

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.is_alive:
            os.kill(self.pid, number)


def _started(pid: int) -> str:
    """The start time from /proc, empty when there is no such process or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def open_room(probe: Path, log: Path) -> Process:
    """Start the first process of a new room."""
    namespaces = ["unshare", "--fork", "--pid", "--mount-proc", "--mount", "--net", "--ipc"]
    log.unlink(missing_ok=True)
    outer = _detached([*namespaces, "sh", "-c", PREPARE, str(probe)], log)
    until("the room's first process", lambda: not outer.is_alive or _is_pause(_child(outer.pid), probe))
    if not outer.is_alive:
        raise Refusal(f"no namespaces of its own for the cluster on this machine: {log.read_text().strip()}")
    return Process.seen(_child(outer.pid))


def _detached(argv: Sequence[str], log: Path) -> Process:
    """Start a program that outlives this one, and is nobody's child."""
    words = ["setsid", "--fork", "sh", "-c", 'echo $$; exec "$@" >>"$0" 2>&1 </dev/null', str(log), *argv]
    return Process.seen(int(output(words)))


def _child(pid: int) -> int:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return int(children[0]) if children else 0


def _is_pause(pid: int, probe: Path) -> bool:
    try:
        return bool(pid) and os.readlink(f"/proc/{pid}/exe") == str(probe.resolve())
    except OSError:
        return False


def inside(room: Process, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program in the room."""
    return ["nsenter", f"--target={room.pid}", "--mount", "--pid", "--net", "--ipc", "--", *argv]


def in_network(room: Process, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program in the cluster's network, with this machine's files and processes."""
    # not `ip netns exec`: that remounts /sys and hides the cgroups
    return ["nsenter", f"--net=/proc/{room.pid}/ns/net", "--", *argv]


def start(room: Process, argv: Sequence[str], log: Path) -> Process:
    """Start a component in the room; it writes its log there."""
    outer = _detached(inside(room, argv), log)
    until(f"{argv[0]} to start", lambda: not outer.is_alive or bool(_child(outer.pid)))
    if not outer.is_alive:
        raise Refusal(f"{argv[0]} ended at once; see {log}")
    return Process.seen(_child(outer.pid))


def connect(room: Process) -> None:
    """One wire between host and room, and the routes to Services and pods; the room has no way to the outside."""
    links = output(["ip", "-o", "link", "show"])
    if f"{LINK}@" not in links and f"{LINK}:" not in links:
        output(f"ip link add {LINK} type veth peer name eth0 netns {room.pid}".split())
    output(f"ip addr replace {HOST_IP}/24 dev {LINK}".split())
    output(f"ip link set {LINK} up".split())
    output(inside(room, ["sh", "-ec", WITHIN]))
    for target in (SERVICES, PODS):
        output(f"ip route replace {target} via {NODE_IP}".split())


def check_routes() -> None:
    """Refuse when this machine has a network of its own where the cluster's would be."""
    ours = ipaddress.ip_network(RANGE)
    for route in json.loads(output(["ip", "-j", "-4", "route", "show"])):
        to = route["dst"]
        if to != "default" and route.get("dev") != LINK and ipaddress.ip_network(to, strict=False).overlaps(ours):
            raise Refusal(f"the cluster's network {RANGE} overlaps this machine's route to {to} ({route.get('dev')})")


def make_cgroups() -> None:
    """A cgroup of the slot's name in every hierarchy: kubelet puts all pods below it."""
    for hierarchy in _hierarchies():
        own = hierarchy / SLOT_NAME
        own.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # cgroup v1: a new cpuset is empty, and nothing may enter it
            if (own / name).exists() and not (own / name).read_text().strip():
                (own / name).write_text((hierarchy / name).read_text())
        _delegate(hierarchy)
        for name, value in SHARES.items():
            if (own / name).exists():
                (own / name).write_text(value)


def _delegate(hierarchy: Path) -> None:
    """cgroup v2: hand the controllers down to it."""
    if not (hierarchy / "cgroup.controllers").exists() or hierarchy.name == "unified":
        return
    controllers = (hierarchy / "cgroup.controllers").read_text().split()
    for folder in (hierarchy, hierarchy / SLOT_NAME):
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def remove_cgroups() -> None:
    """Remove the pods' cgroups; what is still in one is ended first."""
    for hierarchy in _hierarchies():
        own = hierarchy / SLOT_NAME
        folders = [folder for folder, _, _ in os.walk(own, topdown=False)] if own.exists() else []
        for folder in folders:
            _remove_cgroup(Path(folder))


def _remove_cgroup(folder: Path) -> None:
    def is_gone() -> bool:
        for pid in (folder / "cgroup.procs").read_text().split() if folder.exists() else ():
            Process.seen(int(pid)).end()
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    until(f"the cgroup {folder} to become empty", is_gone)


def _hierarchies() -> list[Path]:
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [folder for folder in sorted(CGROUPS.iterdir()) if folder.is_dir() and not folder.is_symlink()]


def close_room(room: Process) -> None:
    """End the first process, and so everything in the room."""
    room.end()
    until("the cluster's processes to end", lambda: not room.is_alive)
    with suppress(OSError):
        KUBELET.rmdir()
    subprocess.run(["ip", "link", "del", LINK], capture_output=True)  # else it goes with the network, a moment later


def written(processes: dict[str, Process]) -> str:
    return json.dumps({name: asdict(process) for name, process in processes.items()})


def read(text: str) -> dict[str, Process]:
    return {name: Process(**fields) for name, fields in json.loads(text).items()}
