"""`make bench`, second part: what the router costs for each request, beside a bare Envoy, nginx and haproxy.

    python tests/bench/routers.py [--seconds 120] [--rounds 3] [--parts]

Every round measures every line for the same time, and begins with another one. The processor time of a request is the
least of the rounds: whatever else a machine does only adds to it. `--parts` measures our router without one of its
parts after the other instead.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import command
import machine
import proxies
from peers import Program, program
from proxies import KEY, PARTS, Proxy
from rich.console import Console
from rich.table import Table

from ports import free_port

SIZES = {"1 kB": 1_000, "600 kB": 600_000}
MIRRORS = (0, 50, 100)
CONNECTIONS = 8
BARE = "bare Envoy"
SCRIPT = 'wrk.method = "POST"\nwrk.headers["api-key"] = "{key}"\nwrk.body = string.rep("x", {size})\n'
DONE = re.compile(r"(\d+) requests in ([\d.]+)s")
BROKEN = re.compile(r"(?:Non-2xx or 3xx responses|connect|read|write|timeout):? (\d+)")


@dataclass(frozen=True)
class Cell:
    """One line of the table: a router and a size of bodies."""

    proxy: Proxy
    size: str


@dataclass(frozen=True)
class Slice:
    """What one line did in its part of a round."""

    requests: int
    seconds: float
    cpu: float
    broken: int

    @property
    def micros(self) -> float:
        return self.cpu / max(self.requests, 1) * 1e6


def memory_of(pid: int) -> tuple[int, int]:
    """Resident, and of it its own, in MB; the rest is the program's file."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) // 1000 for name in ("VmRSS", "RssAnon"))  # type: ignore[return-value]


def measured(cell: Cell, wrk: Program, folder: Path, seconds: int) -> Slice:
    script = folder / f"{SIZES[cell.size]}.lua"
    script.write_text(SCRIPT.format(key=KEY, size=SIZES[cell.size]))
    url = f"http://127.0.0.1:{cell.proxy.port}/score"
    command = (wrk.path, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url)
    before = machine.cpu_seconds([cell.proxy.process.pid])
    told = subprocess.run(command, env=wrk.environment, capture_output=True, text=True, check=True).stdout
    cpu = machine.cpu_seconds([cell.proxy.process.pid]) - before
    done = DONE.search(told)
    assert done is not None, told
    return Slice(int(done[1]), float(done[2]), cpu, sum(map(int, BROKEN.findall(told))))


@contextmanager
def upstream() -> Iterator[list[int]]:
    ports = [free_port() for _ in range(3)]
    script = str(Path(__file__).with_name("upstream.py"))
    process = subprocess.Popen([sys.executable, script, *map(str, ports)])
    try:
        yield ports
    finally:
        process.kill()
        process.wait()


def started(stack: ExitStack, folder: Path, ports: list[int], *, parts: bool) -> Iterator[Proxy | str]:
    """All routers that can be had, and why the others cannot."""

    def place(name: str) -> Path:
        (folder / name).mkdir()
        return folder / name

    yield proxies.bare(place("bare-0"), ports, 0)
    if parts:
        made = proxies.plan(ports, 0, keys=True)
        yield proxies.envoy(place("all"), "ours, whole", made, 0, [])
        for part in PARTS:
            yield proxies.envoy(place(f"no {part}"), f"without {part}", made, 0, [part])
        return
    for mirror in MIRRORS:
        if mirror:
            yield proxies.bare(place(f"bare-{mirror}"), ports, mirror)
        for keys in (False, True):
            yield proxies.ours(place(f"ours-{mirror}-{keys}"), ports, mirror, keys=keys)
        yield proxies.nginx(place(f"nginx-{mirror}"), ports, mirror)
    yield proxies.haproxy(place("haproxy"), ports)


def ready(proxy: Proxy) -> None:
    """Until it passes a request on."""
    request = urllib.request.Request(f"http://127.0.0.1:{proxy.port}/score", b"{}", {"api-key": KEY})
    end = time.monotonic() + 15
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except OSError as error:
            if time.monotonic() > end:
                raise RuntimeError(f"{proxy.name} does not pass a request on: {error}") from None
            time.sleep(0.05)


def table(cells: Sequence[Cell], slices: Sequence[Sequence[Slice]]) -> Table:
    shown = Table(title=f"a POST through the router, {CONNECTIONS} connections")
    for column in ("bodies", "mirror", ""):
        shown.add_column(column, no_wrap=True)
    for column in ("requests/s", "CPU µs", "x bare", "MB", "of it own"):
        shown.add_column(column, justify="right")
    order = sorted(range(len(cells)), key=lambda n: (SIZES[cells[n].size], cells[n].proxy.mirror))
    for n in order:
        cell, own = cells[n], slices[n]
        base = next(i for i, each in enumerate(cells) if is_base(each, cell))
        rate = max(each.requests / each.seconds for each in own)
        micros = least(own)
        ratio = micros / least(slices[base])
        memory = (str(number) for number in memory_of(cell.proxy.process.pid))
        name = (cell.size, f"{cell.proxy.mirror} %", cell.proxy.name)
        shown.add_row(*name, f"{rate:,.0f}", f"{micros:.1f}", f"{ratio:.2f}", *memory)
    return shown


def least(slices: Sequence[Slice]) -> float:
    return min(each.micros for each in slices)


def is_base(each: Cell, of: Cell) -> bool:
    """The bare Envoy with the same mirror and bodies."""
    return (each.proxy.name, each.proxy.mirror, each.size) == (BARE, of.proxy.mirror, of.size)


def bench(seconds: float, rounds: int, console: Console, *, parts: bool) -> int:
    """The exit code: 1 when a request failed."""
    wrk = program("wrk")
    if wrk.missing:
        console.print(f"the routers are not measured, there is no wrk: {wrk.missing}", highlight=False)
        return 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = stack.enter_context(upstream())
        routers: list[Proxy] = []
        for one in started(stack, folder, ports, parts=parts):
            if isinstance(one, str):
                console.print(f"left out: {one}", highlight=False, soft_wrap=True)
                continue
            stack.callback(one.process.wait)
            stack.callback(one.process.terminate)
            ready(one)
            routers.append(one)
        cells = [Cell(one, size) for size in (["1 kB"] if parts else SIZES) for one in routers]
        each = max(1, round(seconds / (rounds * len(cells))))
        console.print(f"{rounds} rounds of {len(cells)} lines, {each} s each", highlight=False)
        slices: list[list[Slice]] = [[] for _ in cells]
        for turn in range(rounds):
            for step in range(len(cells)):
                at = (step + turn) % len(cells)
                slices[at].append(measured(cells[at], wrk, folder, each))
        console.print(table(cells, slices))
    return command.exit_code(sum(one.broken for own in slices for one in own), console)


def main() -> int:
    parser = command.parser(__doc__)
    parser.add_argument("--parts", action="store_true", help="our router without one of its parts after the other")
    given = parser.parse_args()
    console = Console(width=120)
    command.tell_machine(console)
    return bench(given.seconds, given.rounds, console, parts=given.parts)


if __name__ == "__main__":
    sys.exit(main())
