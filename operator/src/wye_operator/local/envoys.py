"""One Envoy process of an Endpoint's router: started, asked what it has taken, drained, ended.

starting ──> ready ──> draining (it closes its callers' connections as they fall idle) ──> told ──> gone
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wye_operator.local import files
from wye_operator.local.inner import Inner
from wye_operator.local.instances import NOWHERE, Home
from wye_operator.local.ports import LOOPBACK, free_port
from wye_operator.local.processes import BackOff, Command, Process
from wye_operator.plan.acknowledged import has_everything
from wye_operator.plan.masking import masked
from wye_operator.plan.refusals import Counted, counted
from wye_operator.plan.wanted import RouterPlan
from wye_operator.plan.world import Address, FileSeen, RouterSeen, Taken
from wye_operator.render import envoy as render
from wye_operator.render.envoy import Place
from wye_operator.render.process import router_argv

DRAIN = "/drain_listeners?graceful&skip_exit"  # every answer closes its connection; new ones are still served
STOP = "/drain_listeners"  # listens no more; connections stay
ACTIVE = "/stats?filter=^http.router.downstream_(rq|cx)_active$"
LONGEST_DRAIN = 310.0  # the longest request: here nobody waits for the end of a namespace
END_LINES, END_BYTES = 60, 8192  # of its log, in which the reason of an end stands, with addresses behind it
MOVING = 5.0  # seconds for callers to move over; a connection that comes at the moment of STOP would be lost
HOST = re.compile(r"^([^:]+)::([0-9.]+):(\d+)::health_flags::(\S+)$", re.MULTILINE)


@dataclass(slots=True, eq=False)
class Envoy:
    """One process; `identity` tells which bootstrap it has, ports aside."""

    name: str
    binary: Path
    home: Home
    routes: Path
    auth: Path
    listen: Address
    identity: str
    plan: RouterPlan  # that its bootstrap is made from
    process: Process | None = None
    inner: Address = NOWHERE
    admin: Address = NOWHERE
    ready_since: float | None = None
    taken: Taken = field(default_factory=Taken)
    counts: Counted = field(default_factory=Counted)
    hosts: dict[Address, bool] = field(default_factory=dict)  # what it sends to, and whether that is healthy
    rejected: str = ""
    silent: bool = False  # it did not say what it has
    back_off: BackOff = field(default_factory=lambda: BackOff(free=1))
    draining_since: float | None = None
    stopped: bool = False  # listens no more
    told: bool = False
    read: int = 0  # how far its log was read

    @property
    def ready(self) -> bool:
        """Whether it answers and stays."""
        return self.ready_since is not None and self.draining_since is None

    def place(self) -> Place:
        """Where it lives now."""
        return Place(str(self.routes), str(self.auth), self.listen, self.inner, self.admin)

    async def start(self) -> None:
        """Start it with the files as they are."""
        self.inner, self.admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
        self.home.run.mkdir(parents=True, exist_ok=True)
        bootstrap = self.home.run / f"{self.name}.json"
        files.write(bootstrap, render.bootstrap(self.plan, self.place()))
        self.read = 0
        logs = self.home.logs
        command = Command(
            router_argv(str(self.binary), str(bootstrap), traced=self.plan.listener.tracing is not None),
            {},
            logs / f"{self.name}.log",
            logs / f"{self.name}.requests.log",
        )
        self.process = await Process.start(command, self.home.ended)

    async def observe(self, inner: Inner, now: float, written: Mapping[str, FileSeen]) -> str:
        """Ask it what it has of what is written; returns how it ended, when it did so by itself since the last look."""
        if self.process is None:
            return ""
        if self.process.exit_code is not None:
            return self._died(self.process, now)
        ready, taken, clusters = await asyncio.gather(
            inner.get(self.inner, render.READY_PATH),
            inner.get(self.inner, render.TAKEN_PATH),
            inner.get(self.admin, "/clusters"),
        )
        if ready.status == 200:
            self.ready_since = now if self.ready_since is None else self.ready_since
        elif not ready.slow:
            self.ready_since = None
        self.silent = taken.status != 200
        if not self.silent:
            self.taken = render.taken(taken.text)
            self.counts = counted(self.counts, self.taken, written)
        if not clusters.slow:
            self.hosts = _hosts(clusters.text)
        self._read_log(self.process)
        self.process.trim_logs()
        return ""

    def _died(self, process: Process, now: float) -> str:
        ready_since, words = self.ready_since, why_it_ended(process.last_lines(END_LINES, END_BYTES))
        self.process, self.ready_since, self.taken, self.hosts = None, None, Taken(), {}
        self.back_off.died(now, now - ready_since if ready_since is not None else 0.0)
        code = process.exit_code or 0
        told = f"{self.name} ended with exit code {128 - code if code < 0 else code}" + (f": {words}" if words else "")
        return told if self.draining_since is None else ""

    def _read_log(self, process: Process) -> None:
        """Why an update was refused stands nowhere but in the log."""
        size = process.log.stat().st_size
        with process.log.open("rb") as log:
            log.seek(self.read if self.read <= size else 0)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.read = (self.read if self.read <= size else 0) + len(whole)
        reasons = [reason for line in whole.decode(errors="replace").splitlines() if (reason := render.refused(line))]
        self.rejected = masked(reasons[-1]) if reasons else self.rejected

    def has(self, wanted: RouterPlan) -> bool:
        """Whether it has taken everything that is wanted."""
        return self.ready and has_everything(self.seen(), wanted)

    async def drain(self, inner: Inner, now: float) -> None:
        """Ask callers to go elsewhere, then listen no more, then end when nobody is left."""
        if self.draining_since is None:
            self.draining_since = now
            await inner.post(self.admin, DRAIN)
            return
        left, waited = await self._figures(inner), now - self.draining_since
        if not self.stopped and (not any(left.values()) or waited > MOVING):
            self.stopped = True
            await inner.post(self.admin, STOP)
        elif (self.stopped and not any(left.values())) or waited > LONGEST_DRAIN:
            self.end()

    async def active(self, inner: Inner) -> int:
        """How many requests are in flight."""
        return (await self._figures(inner)).get("http.router.downstream_rq_active", 0)

    async def _figures(self, inner: Inner) -> dict[str, int]:
        answer = await inner.get(self.admin, ACTIVE)
        lines = (line.rpartition(": ") for line in answer.text.splitlines())
        return {name: int(value) for name, _, value in lines if value.isdecimal()}

    def end(self) -> None:
        """End it now: by its second telling by force."""
        if self.process is not None:
            self.process.kill() if self.told else self.process.end()
            self.told = True

    def seen(self) -> RouterSeen:
        """The router as the planner sees it."""
        return RouterSeen(self.name, self.ready, self.taken, self.rejected, self.silent, self.counts.refused)


def why_it_ended(log: str) -> str:
    """Of the end of its log the first critical line, else the last two: below an abort stand addresses alone."""
    lines = log.splitlines()
    critical = next((words for line in lines if (words := line.partition(" critical ")[2])), "")
    return " ".join((critical or " ".join(lines[-2:])).split())


def _hosts(text: str) -> dict[Address, bool]:
    """Addresses of `/clusters`; one that several clusters have is healthy when it is so for all."""
    hosts: dict[Address, bool] = {}
    for _, host, port, flags in HOST.findall(text):
        address = Address(host, int(port))
        hosts[address] = flags == "healthy" and hosts.get(address, True)
    return hosts
