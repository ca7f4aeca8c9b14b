"""Programs from pinned Go modules, built once into the cache, under the digest of their go.mod and go.sum.

`bare` needs all of Kubernetes, CoreDNS and helm; `kind` needs kubectl, helm and kind itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .golang import environment
from .places import CACHE, TOOLS
from .say import Refusal, say, step


@dataclass(frozen=True)
class Tool:
    """A folder below tools/, and what is built from it."""

    folder: str
    module: str
    programs: tuple[str, ...]
    usually: str
    flags: str = ""

    @property
    def version(self) -> str:
        words = [line.split() for line in (TOOLS / self.folder / "go.mod").read_text().splitlines()]
        return next(line[1].removeprefix("v") for line in words if line[:1] == [self.module])

    @property
    def place(self) -> Path:
        """The digest covers all that the programs are made from."""
        files = sorted(path for path in (TOOLS / self.folder).iterdir() if path.is_file())
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
        return CACHE / f"{self.folder}-{digest[:12]}"

    def package(self, program: str) -> str:
        below = self.folder in ("helm", "kubernetes", "kwok", "prometheus", "registry")
        return f"{self.module}/cmd/{program}" if below else self.module

    def ldflags(self) -> str:
        if not self.flags:
            return "-s -w"
        major, minor = self.version.split(".")[:2]
        return "-s -w " + self.flags.format(version=self.version, major=major, minor=minor)


# a version that is not set makes kubelet and API server refuse each other
VERSION = "k8s.io/component-base/version"
KUBERNETES = Tool(
    "kubernetes",
    "k8s.io/kubernetes",
    ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"),
    "7 to 12 minutes on two cores",
    f"-X {VERSION}.gitVersion=v{{version}} -X {VERSION}.gitMajor={{major}} -X {VERSION}.gitMinor={{minor}}"
    f" -X {VERSION}.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=v{{version}}",
)
COREDNS = Tool("coredns", "github.com/coredns/coredns", ("coredns",), "2 minutes")
HELM = Tool("helm", "helm.sh/helm/v4", ("helm",), "2 minutes", "-X helm.sh/helm/v4/internal/version.version=v{version}")
KIND = Tool("kind", "sigs.k8s.io/kind", ("kind",), "1 minute")
KWOK = Tool("kwok", "sigs.k8s.io/kwok", ("kwok",), "1 minute", "-X sigs.k8s.io/kwok/pkg/consts.Version=v{version}")
REGISTRY = Tool("registry", "github.com/distribution/distribution/v3", ("registry",), "2 minutes")
PROMETHEUS = Tool("prometheus", "github.com/prometheus/prometheus", ("prometheus", "promtool"), "10 minutes")
COLLECTOR = Tool("collector", ".", ("collector",), "2 minutes")
PROBE = Tool("probe", ".", ("probe",), "10 s")


def build(tool: Tool, programs: Iterable[str] = ()) -> Path:
    """The folder that holds the programs; what is missing in it is built now."""
    wanted = tuple(programs) or tool.programs
    with _alone(tool):
        missing = [name for name in wanted if not (tool.place / name).exists()]
        if missing:
            with step(f"building {', '.join(missing)} from Go modules into {CACHE}, once", tool.usually):
                _build(tool, missing)
    return tool.place


def _build(tool: Tool, programs: list[str]) -> None:
    fresh = tool.place / ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    go, env = environment()
    flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", tool.ldflags()]
    packages = [tool.package(program) for program in programs]
    done = subprocess.run(
        [go, "build", *flags, "-o", f"{fresh}/", *packages],
        cwd=TOOLS / tool.folder,
        env=env | {"CGO_ENABLED": "0"},
    )
    if done.returncode:
        raise Refusal(f"building {', '.join(programs)} failed; go's own words are above")
    for program in programs:
        (fresh / program).rename(tool.place / program)
    fresh.rmdir()


@contextmanager
def _alone(tool: Tool) -> Iterator[None]:
    """Two checkouts share the cache: the second waits for the first instead of building the same again."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f".{tool.folder}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"   another process builds {tool.folder}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def path_with(*folders: Path) -> str:
    """A PATH on which the built programs come first."""
    return os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
