"""Go, in the release that Kubernetes was made for, from whatever Go the machine has.

A Go since 1.21 fetches the release itself (GOTOOLCHAIN). An older one, Debian 12's, downloads it as the module that it
is, with the checksum database's word for it. Without any, Debian's is installed first.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from . import debian
from .places import CACHE, TOOLS
from .say import output, step

USUAL_PLACES = ("/usr/local/go/bin", "/usr/lib/go/bin")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def environment() -> tuple[str, dict[str, str]]:
    """The go command, and the environment that makes it the wanted release."""
    wanted = _wanted()
    go = _found() or _installed()
    have = output([go, "env", "GOVERSION"], cwd="/").strip().removeprefix("go")
    if _release(have) == _release(wanted) and _numbers(have) >= _numbers(wanted):
        return go, _variables("local")
    if _numbers(have) >= (1, 21):  # also when it is newer: with Go 1.27 the API server's OpenAPI breaks
        return go, _variables(f"go{wanted}")
    return _as_module(go, wanted), _variables("local")


def _variables(toolchain: str) -> dict[str, str]:
    """A GOROOT in the environment would be another release's."""
    return {name: value for name, value in os.environ.items() if name != "GOROOT"} | {"GOTOOLCHAIN": toolchain}


def _wanted() -> str:
    lines = (TOOLS / "kubernetes" / "go.mod").read_text().splitlines()
    return next(line.removeprefix("go ") for line in lines if line.startswith("go "))


def _found() -> str | None:
    return shutil.which("go") or shutil.which("go", path=os.pathsep.join(USUAL_PLACES))


def _installed() -> str:
    debian.ensure(["golang-go", "ca-certificates"])
    return shutil.which("go") or "/usr/bin/go"


def _as_module(go: str, wanted: str) -> str:
    """Download the release's module with an old go, and make its programs executable, which an old go does not do."""
    name = f"golang.org/toolchain@v0.0.1-go{wanted}.linux-{MACHINES[os.uname().machine]}"
    with step(f"downloading Go {wanted}: this machine's is too old", "20 s"):
        folder = CACHE / "go"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "go.mod").write_text("module wye.dev/tools/go\n")
        found = json.loads(output([go, "mod", "download", "-json", name], cwd=folder))
        root = Path(found["Dir"])
        programs = [*root.glob("bin/*"), *root.glob("pkg/tool/*/*")]
        subprocess.run(["chmod", "a+x", *map(str, programs)], check=True)
    return str(root / "bin" / "go")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _release(version: str) -> tuple[int, ...]:
    return _numbers(version)[:2]
