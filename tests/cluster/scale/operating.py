"""The operator from this checkout as a process in the cluster's network, with the chart's service account."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.harness.places import CHECKOUT, NODE_IP
from cluster.harness.say import output
from cluster.kube import Cluster
from cluster.scale.crowd import running
from cluster.scale.figures import Calls, calls_in, value_in

SYSTEM = "wye-scale"
PORT = 18080
# the operator's image has no official client, which kopf would import: 19 MB that say nothing of the operator
PROGRAM = "import sys; sys.modules['kubernetes'] = None; from wye_operator.cli.main import main; sys.exit(main())"
FLAGS = ("--runtime-image=localhost/wye-runtime:scale", "--router-image=localhost/wye-router:scale")
TICKS = os.sysconf("SC_CLK_TCK")


# compiled once, as in the operator's image; not compiled by a run that is measured
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}


def account(cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig of the chart's service account, with the chart's permissions and no others."""
    chart = ["helm", "template", "wye", str(CHECKOUT / "charts" / "wye"), "--namespace", SYSTEM]
    parts = ["--show-only=templates/rbac.yaml", "--show-only=templates/serviceaccount.yaml"]
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=output([*chart, *parts], env=cluster.env))
    token = cluster.kubectl("-n", SYSTEM, "create", "token", "wye", "--duration=3h").strip()
    config = yaml.safe_load(Path(cluster.env["KUBECONFIG"]).read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    file = folder / "operator.kubeconfig"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config))
    return file


@dataclass(frozen=True)
class Spent:
    """What the process has cost so far."""

    cpu: float  # seconds
    megabytes: float
    peak: float


@dataclass(frozen=True)
class Operating:
    """A running operator."""

    process: subprocess.Popen[bytes]

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://{NODE_IP}:{PORT}/metrics", timeout=30) as answer:
            return answer.read().decode()

    def calls(self) -> Calls:
        return calls_in(self.metrics())

    def value(self, line: str) -> float:
        return value_in(self.metrics(), line)

    def spent(self) -> Spent:
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        memory = {name: int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[1]) for name in ("VmRSS", "VmHWM")}
        cpu = (int(stat[11]) + int(stat[12])) / TICKS
        return Spent(cpu, memory["VmRSS"] * 1024 / 1e6, memory["VmHWM"] * 1024 / 1e6)

    def settled(self, passes: int = 0, seconds: float = 300) -> None:
        """It leads, has made so many passes, and nothing is due."""
        wait(seconds, lambda: self._is_idle(self.metrics(), passes))

    def _is_idle(self, page: str, passes: int) -> bool:
        busy = value_in(page, "wye_endpoints_waiting ") + value_in(page, "wye_passes_running ")
        return value_in(page, "wye_leader ") == 1 and value_in(page, "wye_passes_total{") >= passes and busy == 0


@contextmanager
def operating(cluster: Cluster, kubeconfig: Path, log: Path) -> Iterator[Operating]:
    """An operator for as long as the block lasts."""
    argv = [sys.executable, "-c", PROGRAM, "operator", *FLAGS, f"--port={PORT}", f"--operator-namespace={SYSTEM}"]
    subprocess.run([*argv[:3], "operator", "--help"], env={**cluster.env, **COMPILED}, capture_output=True, check=True)
    with running(cluster, argv, log, {"KUBECONFIG": str(kubeconfig), **COMPILED}) as process:
        operator = Operating(process)
        wait(60, lambda: _answers(operator))
        yield operator


def _answers(operator: Operating) -> bool:
    assert operator.process.poll() is None, "the operator ended at once: see its log"
    try:
        return bool(operator.metrics())
    except OSError:
        return False


def wait(seconds: float, holds: Callable[[], bool]) -> None:
    """Until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)
