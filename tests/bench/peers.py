"""Other programs for the benches, nginx, haproxy, wrk and h2load: this machine's, else Debian's packages in a cache.

Nothing is installed: packages are downloaded and unpacked below `~/.cache/wye-bench`. What cannot be had is left out.

    python tests/bench/peers.py NAME     bring one, and say where it is
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

# each with the libraries that a small Debian has not
PACKAGES = {
    "nginx": ("nginx",),
    "haproxy": ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"),
    "wrk": ("wrk", "libluajit-5.1-2"),
    "h2load": ("nghttp2-client", "libnghttp2-14", "libev4", "libjansson4", "libjemalloc2"),
}


@dataclass(frozen=True)
class Program:
    """How to start it; `missing` says why it cannot be started."""

    path: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    missing: str = ""


def program(name: str) -> Program:
    """From the PATH or the cache, into which it is brought."""
    folder = cache() / name
    problem = "" if shutil.which(name) or folder.exists() else bring(name, folder)
    return Program(missing=problem) if problem else at_hand(name)


def at_hand(name: str) -> Program:
    """From the PATH or the cache as it is."""
    there = shutil.which(name)
    if there:
        return Program(there)
    folder = cache() / name
    if not folder.exists():
        return Program(missing=f"there is no {name} on the PATH, nor in {folder}: python tests/bench/peers.py {name}")
    found = [path for path in sorted(folder.rglob(name)) if path.is_file() and path.parent.name in ("bin", "sbin")]
    libraries = ":".join(sorted({str(path.parent) for path in folder.rglob("*.so*")}))
    runs = bool(found) and works(Program(str(found[0]), {"LD_LIBRARY_PATH": libraries}))
    if not runs:
        return Program(missing=f"what Debian's package holds does not run here; remove {folder} to try again")
    return Program(str(found[0]), {"LD_LIBRARY_PATH": libraries})


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wye-bench"


def bring(name: str, folder: Path) -> str:
    """Download and unpack; why that was not possible, "" when it was."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return f"there is no {name} on the PATH, and this is no Debian"
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    told = ran("apt-get", "download", *PACKAGES[name], folder=fresh)
    if told.returncode:
        return f"apt-get download {' '.join(PACKAGES[name])}: {(told.stderr.strip().splitlines() or ['no words'])[-1]}"
    for package in fresh.glob("*.deb"):
        ran("dpkg-deb", "-x", package.name, ".", folder=fresh)
        package.unlink()
    fresh.rename(folder)
    return ""


def works(it: Program) -> bool:
    """Whether it starts far enough to complain of how it was called: the loader says 127 where a library is missing."""
    told = subprocess.run([it.path, "-v"], env=os.environ | it.environment, capture_output=True, text=True, check=False)
    return told.returncode != 127 and bool(told.stdout + told.stderr)


def ran(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    brought = program(sys.argv[1])
    sys.exit(brought.missing or print(brought.path))
