"""What a request costs the routers in instructions, counted by callgrind: no clock, so a busy machine counts the same.

    python tests/bench/instructions.py [--parts]

Instructions of the thread that serves, in user space: what the kernel does for it is not in them (`routers.py` has it,
by the clock). `--parts` counts our router without one of its parts after the other instead.
"""

from __future__ import annotations

import argparse
import http.client
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import proxies
from proxies import KEY, PARTS, Proxy
from rich.console import Console
from rich.table import Table
from routers import BARE, MIRRORS, SIZES, upstream

COUNTED = {"1 kB": 1000, "600 kB": 100}  # requests; half of what is mirrored is drawn, so there must be many
WARM = 50
PATIENCE = 300.0  # seconds until the first answer: under callgrind everything takes fifty times as long
THREAD = re.compile(r"^thread: (\d+)", re.MULTILINE)
TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
Costs = dict[str, int]  # instructions for one request, by size of its body


def callgrind(folder: Path) -> tuple[str, ...]:
    """Nothing is counted until it is told to: the start is not what costs."""
    out = f"--callgrind-out-file={folder}/counted"
    return ("valgrind", "--tool=callgrind", "--separate-threads=yes", "--instr-atstart=no", out)


def posts(port: int, size: int, count: int) -> None:
    """So many requests, one after the other on one connection; each must be answered 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for _ in range(count):
        connection.request("POST", "/score", b"x" * size, {"api-key": KEY})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise ConnectionError(f"answered {answer.status}")
    connection.close()


def until_it_answers(proxy: Proxy) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return posts(proxy.port, 2, 1)
        except (OSError, http.client.HTTPException) as error:
            if proxy.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{proxy.name} does not pass a request on: {error}") from None
        time.sleep(0.5)


def tell(proxy: Proxy, order: str, *more: str) -> None:
    subprocess.run(("callgrind_control", order, *more, str(proxy.process.pid)), capture_output=True, check=True)


def counted(proxy: Proxy, folder: Path, size: str) -> int:
    """Instructions for each of these requests."""
    posts(proxy.port, SIZES[size], WARM)
    tell(proxy, "--zero")
    posts(proxy.port, SIZES[size], COUNTED[size])
    for old in folder.glob("counted*"):
        old.unlink()
    tell(proxy, "--dump")
    threads = {}
    for file in folder.glob("counted*"):
        text = file.read_text(errors="replace")
        thread, total = THREAD.search(text), TOTAL.search(text)
        if thread and total:
            threads[int(thread[1])] = int(total[1])
    # the first is Envoy's own work, which no request asks for; nginx and haproxy have no other
    serving = [total for thread, total in threads.items() if thread > 1] or list(threads.values())
    return max(serving) // COUNTED[size]


@contextmanager
def ended(proxy: Proxy) -> Iterator[Proxy]:
    try:
        yield proxy
    finally:
        proxy.process.kill()
        proxy.process.wait()


def costs(proxy: Proxy, folder: Path, sizes: tuple[str, ...]) -> Costs:
    with ended(proxy):
        until_it_answers(proxy)
        tell(proxy, "--instr=on")
        return {size: counted(proxy, folder, size) for size in sizes}


@dataclass(frozen=True)
class Stand:
    """Where the routers of one count live."""

    root: Path
    ports: list[int]

    def folder(self, name: str) -> Path:
        made = self.root / name
        made.mkdir()
        return made

    def bare(self, mirror: int) -> tuple[Proxy, Path]:
        folder = self.folder(f"bare-{mirror}")
        return proxies.bare(folder, self.ports, mirror, under=callgrind(folder)), folder

    def ours(self, mirror: int, *, keys: bool, without: str = "") -> tuple[Proxy, Path]:
        folder = self.folder(f"ours-{mirror}-{keys}-{without}".replace(" ", "-"))
        made = proxies.plan(self.ports, mirror, keys=keys)
        name = f"without {without}" if without else "ours, keys" if keys else "ours, no keys"
        left_out = [without] if without else []
        return proxies.envoy(folder, name, made, mirror, left_out, under=callgrind(folder)), folder

    def others(self, mirror: int) -> Iterator[tuple[Proxy | str, Path]]:
        folder = self.folder(f"nginx-{mirror}")
        yield proxies.nginx(folder, self.ports, mirror, under=callgrind(folder)), folder
        if not mirror:
            folder = self.folder("haproxy")
            yield proxies.haproxy(folder, self.ports, under=callgrind(folder)), folder


def all_of(stand: Stand) -> Iterator[tuple[Proxy | str, Path]]:
    for mirror in MIRRORS:
        yield stand.bare(mirror)
        for keys in (False, True):
            yield stand.ours(mirror, keys=keys)
        yield from stand.others(mirror)


def in_parts(stand: Stand) -> Iterator[tuple[Proxy | str, Path]]:
    yield stand.bare(0)
    yield stand.ours(0, keys=True)
    for part in PARTS:
        yield stand.ours(0, keys=True, without=part)


def count(console: Console, *, parts: bool) -> None:
    """One after the other, and each line as soon as it is known: the whole takes minutes."""
    sizes = ("1 kB",) if parts else tuple(SIZES)
    shown = Table("mirror", "", *(column for size in sizes for column in (size, "x bare")))
    base: Costs = {}
    with tempfile.TemporaryDirectory() as root, upstream() as ports:
        stand = Stand(Path(root), ports)
        for proxy, folder in in_parts(stand) if parts else all_of(stand):
            if isinstance(proxy, str):
                console.print(f"left out: {proxy}", highlight=False, soft_wrap=True)
                continue
            found = costs(proxy, folder, sizes)
            base = found if proxy.name == BARE else base
            cells = [text for size in sizes for text in (f"{found[size]:,}", f"{found[size] / base[size]:.2f}")]
            shown.add_row(f"{proxy.mirror} %", proxy.name, *cells)
            console.print(f"{proxy.mirror} %, {proxy.name}: {', '.join(cells)}", highlight=False)
    console.print(shown)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", action="store_true", help="our router without one of its parts after the other")
    given = parser.parse_args()
    console = Console(width=120)
    if shutil.which("valgrind") is None:
        console.print("nothing is counted: there is no valgrind (Debian's package of that name)")
        return 0
    count(console, parts=given.parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
