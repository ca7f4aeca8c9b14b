"""The back end with a Docker daemon: a kind cluster of two nodes, named after this checkout."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .build import HELM, KIND, KUBERNETES, PROBE, build, path_with
from .images import write_archive
from .places import CACHE, CHECKOUT
from .say import Refusal, output, step

NAME = f"wye-{hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]}"
PROBE_IMAGE = "localhost/wye-probe:1"
NODES = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: control-plane}, {role: worker}]\n"


class Kind:
    """The cluster of this checkout; other checkouts have their own beside it."""

    name = "kind"

    def build(self) -> None:
        build(KIND)
        build(PROBE)
        build(KUBERNETES, ["kubectl"])
        build(HELM)

    def is_up(self) -> bool:
        clusters = output([str(build(KIND) / "kind"), "get", "clusters"]).split()
        return NAME in clusters and self.kubeconfig().exists()

    def up(self) -> None:
        self.build()
        if self.is_up():
            return
        words = [
            "create",
            "cluster",
            "--name",
            NAME,
            "--config",
            "-",
            "--kubeconfig",
            str(self.kubeconfig()),
            "--wait=3m",
        ]
        with step("kind creates the cluster", "1 to 3 minutes, with the node image's download"):
            output([str(KIND.place / "kind"), *words], stdin=NODES)
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "probe.tar"
            config = {"Entrypoint": ["/probe"], "User": "65535:65535"}
            write_archive(archive, PROBE_IMAGE, {"probe": PROBE.place / "probe"}, config)
            self.load([str(archive)])

    def down(self) -> None:
        with step("kind deletes the cluster", "5 s"):
            output(
                [str(build(KIND) / "kind"), "delete", "cluster", "--name", NAME, "--kubeconfig", str(self.kubeconfig())]
            )
        self.kubeconfig().unlink(missing_ok=True)

    def load(self, names: Sequence[str]) -> None:
        for name in names:
            kind_of = "image-archive" if Path(name).is_file() else "docker-image"
            with step(f"loading {name}", "5 to 20 s"):
                output([str(KIND.place / "kind"), "load", kind_of, name, "--name", NAME])

    def run(self, argv: Sequence[str]) -> list[str]:
        """In the network of the control plane's container, which only root may enter."""
        inspect = ["docker", "inspect", "--format", "{{.State.Pid}}", f"{NAME}-control-plane"]
        return ["nsenter", f"--net=/proc/{output(inspect).strip()}/ns/net", "--", *argv]

    def kubeconfig(self) -> Path:
        return CACHE / f"{NAME}.kubeconfig"

    def audit(self) -> Path:
        raise Refusal("the API server's audit log is read on `bare` only")

    def logs(self) -> list[Path]:
        return []  # `kind export logs` has them

    def programs(self) -> str:
        return path_with(KUBERNETES.place, HELM.place)

    def stop(self, name: str) -> None:
        raise Refusal(f"{name}: components are stopped on `bare` only")

    def start(self, name: str) -> None:
        raise Refusal(f"{name}: components are started on `bare` only")

    def status(self) -> str:
        kubectl = [str(KUBERNETES.place / "kubectl"), "--kubeconfig", str(self.kubeconfig())]
        return subprocess.run([*kubectl, "get", "nodes,pods", "-A"], capture_output=True, text=True).stdout
