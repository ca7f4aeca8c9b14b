"""The back end without Docker: a one-node cluster of ordinary processes in one room (`room`), on Debian, as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import debian, owner, pki, room
from .build import COREDNS, HELM, KUBERNETES, PROBE, build, path_with
from .components import ARGUMENTS, CONTROL_PLANE, NODE_PROGRAMS
from .images import write_archive
from .owner import Owner
from .places import BARE, DNS_IP, HERE, NODE, NODE_PODS, PODS, SLOT_NAME, State
from .room import Process
from .say import PATIENCE, Refusal, output, say, step, until

PROBE_IMAGE = "localhost/wye-probe:1"
PAUSE_IMAGE = "localhost/wye-pause:1"


class Bare:
    """The cluster of this checkout; every verb can be called again."""

    name = "bare"

    def build(self) -> None:
        """Everything that takes minutes, once."""
        debian.ensure(debian.NODE_PACKAGES)
        for tool in (PROBE, KUBERNETES, COREDNS, HELM):
            build(tool)

    def is_up(self) -> bool:
        held = owner.recorded()
        return bool(held and held.is_here and held.room.is_alive and not _missing(held.state) and self._answers())

    def up(self) -> None:
        """From whatever is there to a Ready node with DNS."""
        self.build()
        with owner.alone():
            held = owner.recorded()
            owner.refuse_foreign(held)
            if held and not (held.is_here and held.room.is_alive):
                say("   removing what a cluster left behind that crashed")
                _clear(held)
                held = None
            with step("starting the cluster", "15 s, 2 s when it is up"):
                self._start(held or _opened())

    def _start(self, held: Owner) -> None:
        state = held.state
        _write_settings(state)
        pki.write_pki(state)
        room.connect(held.room)
        _start_missing(held, CONTROL_PLANE[:2])
        until("the API server", self._answers)
        _start_missing(held, (*CONTROL_PLANE[2:], "containerd"))
        self._load_own_images(held)
        _start_missing(held, NODE_PROGRAMS)
        self._deploy_dns()

    def _load_own_images(self, held: Owner) -> None:
        ctr = room.inside(held.room, ["ctr", "-a", str(held.state.socket), "version"])
        until("containerd", lambda: subprocess.run(ctr, capture_output=True).returncode == 0)
        files = {"probe": PROBE.place / "probe", "coredns": COREDNS.place / "coredns"}
        for image, program, words, user in (
            (PAUSE_IMAGE, "probe", ["/probe", "pause"], "65535:65535"),
            (PROBE_IMAGE, "probe", ["/probe"], "65535:65535"),
            (f"localhost/coredns:{COREDNS.version}", "coredns", ["/coredns"], ""),  # binds port 53
        ):
            archive = held.state.root / f"{image.rpartition('/')[2].partition(':')[0]}.tar"
            if not archive.exists():
                write_archive(archive, image, {program: files[program]}, {"Entrypoint": words, "User": user})
                self._import(held, archive)

    def _deploy_dns(self) -> None:
        manifest = (HERE / "manifests" / "coredns.yaml").read_text()
        manifest = manifest.replace("@COREDNS@", COREDNS.version).replace("@DNS_IP@", DNS_IP)
        self._kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
        self._kubectl("wait", "--for=create", "serviceaccount/default", f"--timeout={PATIENCE}s")
        self._kubectl("wait", "--for=create", f"node/{NODE}", f"--timeout={PATIENCE}s")
        self._kubectl("wait", "--for=condition=Ready", f"node/{NODE}", f"--timeout={PATIENCE}s")
        self._kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", f"--timeout={PATIENCE}s")

    def down(self) -> None:
        """End the cluster and remove everything but the cache of built programs."""
        if os.geteuid() != 0:
            raise Refusal("a bare cluster is root's")
        with owner.alone():
            held = owner.recorded()
            owner.refuse_foreign(held)
            if held:
                with step("ending the cluster", "5 s"):
                    _clear(held)

    def load(self, names: Sequence[str]) -> None:
        """Import image archives, or images of the local buildah or docker store, into the node."""
        held = self._held()
        for name in names:
            with step(f"loading {name}", "1 to 10 s"), tempfile.TemporaryDirectory() as folder:
                self._import(held, Path(name) if Path(name).is_file() else _exported(name, Path(folder)))

    def _import(self, held: Owner, archive: Path) -> None:
        words = ["ctr", "-a", str(held.state.socket), "-n", "k8s.io", "images", "import", "--digests=false"]
        output(room.inside(held.room, [*words, str(archive.resolve())]))

    def run(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs a program in the cluster's network."""
        return room.in_network(self._held().room, argv)

    def kubeconfig(self) -> Path:
        return self._held().state.kubeconfig()

    def audit(self) -> Path:
        """What service accounts asked of the API server, a JSON object a line."""
        return self._held().state.audit

    def logs(self) -> list[Path]:
        """The components' own logs."""
        return sorted(self._held().state.logs.glob("*.log"))

    def programs(self) -> str:
        return path_with(KUBERNETES.place, HELM.place)

    def stop(self, name: str) -> None:
        """kill -9 one component."""
        processes = _processes(self._held().state)
        if name not in processes:
            raise Refusal(f"{name} is no component of this cluster; there are: {', '.join(processes)}")
        processes[name].end()
        until(f"{name} to end", lambda: not processes[name].is_alive)

    def start(self, name: str) -> None:
        """Start a component again that was stopped."""
        if name not in ARGUMENTS:
            raise Refusal(f"{name} is no component; there are: {', '.join(ARGUMENTS)}")
        _start_missing(self._held(), (name,))

    def sign_anew(self) -> None:
        """From the API server's next start on, service accounts' tokens are signed by another key."""
        pki.sign_anew(self._held().state)

    def status(self) -> str:
        held = self._held()
        lines = [f"{name:26} {_memory(process)}" for name, process in _processes(held.state).items()]
        return "\n".join(lines) + "\n" + (self._kubectl("get", "nodes,pods", "-A") if self._answers() else "")

    def _held(self) -> Owner:
        held = owner.recorded()
        owner.refuse_foreign(held)
        if not held or not held.is_here or not held.room.is_alive:
            raise Refusal("the cluster is down; `make cluster-up` starts it")
        return held

    def _answers(self) -> bool:
        kubectl = [str(KUBERNETES.place / "kubectl"), "--kubeconfig", str(self.kubeconfig()), "--request-timeout=20s"]
        return subprocess.run([*kubectl, "get", "--raw=/readyz"], capture_output=True).returncode == 0

    def _kubectl(self, *words: str, stdin: str | None = None) -> str:
        kubectl = [str(KUBERNETES.place / "kubectl"), "--kubeconfig", str(self.kubeconfig())]
        return output([*kubectl, *words], stdin=stdin)


def _opened() -> Owner:
    """A new room, recorded before anything happens in it."""
    room.check_routes()
    room.make_cgroups()
    shutil.rmtree(BARE, ignore_errors=True)
    return owner.record(room.open_room(build(PROBE) / "probe", owner.FOLDER / "room.log"))


def _clear(held: Owner) -> None:
    room.close_room(held.room)
    room.remove_cgroups()
    shutil.rmtree(held.state.root)
    owner.forget()


def _write_settings(state: State) -> None:
    """The files of etc/, with this machine's places filled in."""
    places = {
        "@STATE@": str(state.root),
        "@SETTINGS@": str(state.settings),
        "@DNS_IP@": DNS_IP,
        "@NODE@": NODE,
        "@PODS@": PODS,
        "@NODE_PODS@": NODE_PODS,
        "@PAUSE@": PAUSE_IMAGE,
        "@CGROUP@": SLOT_NAME,
    }
    for folder in (state.logs, state.settings / "cni", state.root / "kubelet"):
        folder.mkdir(parents=True, exist_ok=True)
    for file in (HERE / "etc").iterdir():
        text = file.read_text()
        for mark, place in places.items():
            text = text.replace(mark, place)
        folder = state.settings / "cni" if file.suffix == ".conflist" else state.settings
        (folder / file.name).write_text(text)
    (state.settings / "resolv.conf").touch()


def _processes(state: State) -> dict[str, Process]:
    file = state.root / "processes.json"
    return room.read(file.read_text()) if file.exists() else {}


def _missing(state: State) -> list[str]:
    processes = _processes(state)
    return [name for name in ARGUMENTS if name not in processes or not processes[name].is_alive]


def _start_missing(held: Owner, names: Sequence[str]) -> None:
    processes = _processes(held.state)
    missing = _missing(held.state)
    for name in (name for name in names if name in missing):
        argv = ARGUMENTS[name](held.state, KUBERNETES.place)
        processes[name] = room.start(held.room, argv, held.state.logs / f"{name}.log")
    (held.state.root / "processes.json").write_text(room.written(processes))


def _exported(name: str, folder: Path) -> Path:
    archive = folder / "image.tar"
    if shutil.which("buildah"):
        env = {"STORAGE_DRIVER": "overlay"} | os.environ  # as images/build has it
        output(["buildah", "push", "--quiet", name, f"docker-archive:{archive}:{name}"], env=env)
        return archive
    if shutil.which("docker"):
        output(["docker", "save", "-o", str(archive), name])
        return archive
    raise Refusal(f"{name} is no file, and neither buildah nor docker is here to ask for an image of that name")


def _memory(process: Process) -> str:
    if not process.is_alive:
        return "down"
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return f"up    {pages * os.sysconf('SC_PAGE_SIZE') // 2**20:5d} MB"
