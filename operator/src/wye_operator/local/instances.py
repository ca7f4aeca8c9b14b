"""One instance of a Deployment on this machine: what kubelet is to a pod's container.

waiting ──> starting ──> ready ──> leaving ──> told ──> gone
   ^            │          │        (routers    (SIGTERM; SIGKILL
   └─ back-off ─┴── died ──┘         forget it)  after its grace)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wye_operator.local import files
from wye_operator.local.inner import Inner
from wye_operator.local.ports import LOOPBACK, free_port
from wye_operator.local.processes import BackOff, Command, Process
from wye_operator.local.servers import OwnProcess
from wye_operator.plan.masking import masked
from wye_operator.plan.world import Address, Failure, InstanceSeen, Signature
from wye_operator.render.process import runtime_argv

SLOW_ANSWERS = 3  # readiness is lost after that many silent probes; a refusal counts at once
NOWHERE = Address(LOOPBACK, 0)


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that instances of one revision are started from."""

    revision: str
    program: tuple[str, ...]  # of the model server; it gets the runtime's command line
    config: bytes
    environment: Mapping[str, str]
    kept: tuple[Path, ...]  # what it loads, from the twin's own copies
    grace: float
    own: OwnProcess | None = None  # another server than our runtime: then program and config are empty


@dataclass(frozen=True, slots=True)
class Home:
    """Where instances keep their files, and whom to tell that one ended."""

    run: Path
    logs: Path
    cache: Path
    ended: Callable[[], None]


@dataclass(slots=True, eq=False)
class Instance:
    """One place of a Deployment; it keeps its name when its process is started again."""

    name: str
    launch: Launch
    home: Home
    process: Process | None = None
    address: Address = NOWHERE
    inner: Address = NOWHERE
    ready_since: float | None = None
    proven: bool = False
    signature: Signature | None = None
    unread: str = ""
    restarts: int = 0
    slow: int = 0
    back_off: BackOff = field(default_factory=BackOff)
    leaving_since: float | None = None
    told_since: float | None = None

    @property
    def ready(self) -> bool:
        """Whether it answers and stays."""
        return self.ready_since is not None and self.leaving_since is None

    @property
    def answers_still(self) -> bool:
        """Whether it is on its way out, and was not told to end yet."""
        return self.ready_since is not None and self.leaving_since is not None and self.told_since is None

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.exit_code is None

    async def start(self) -> None:
        """Start its process on free ports."""
        self.home.run.mkdir(parents=True, exist_ok=True)
        self._last_words.unlink(missing_ok=True)
        own = self.launch.own
        self.process = await Process.start(self._runtime() if own is None else self._server(own), self.home.ended)

    def _runtime(self) -> Command:
        self.address, self.inner = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
        files.write(self._config, self.launch.config, 0o600)
        return Command(
            runtime_argv(self.launch.program, str(self._config), self.address, self.inner),
            {
                "WYE_CACHE": str(self.home.cache),
                **self.launch.environment,
                "WYE_TERMINATION_LOG": str(self._last_words),
            },
            self._log,
        )

    def _server(self, own: OwnProcess) -> Command:
        ports = own.ports()
        self.address = own.address(ports)
        argv, environment = own.started(ports, self._model)
        return Command(argv, environment, self._log, folder=own.folder)

    async def observe(self, inner: Inner, now: float) -> Failure | None:
        """Ask it how it is; returns how it ended, when it has ended by itself since the last look."""
        if self.process is None:
            return None
        if self.process.exit_code is not None:
            return self._died(self.process, now)
        own = self.launch.own
        answer = await (own.ready(inner, self.address) if own else inner.get(self.inner, "/readyz"))
        self.slow = self.slow + 1 if answer.slow else 0
        if answer.status == 200:
            await self._is_ready(inner, now)
        elif not answer.slow or self.slow >= SLOW_ANSWERS:
            self.ready_since = None
        self.process.trim_logs()
        return None

    async def _is_ready(self, inner: Inner, now: float) -> None:
        if self.signature is None and self.launch.own is None:
            found = await inner.signature(self.inner)
            self.signature, self.unread = (None, found) if isinstance(found, str) else (found, "")
        self.ready_since = now if self.ready_since is None else self.ready_since
        self.proven = True

    def _died(self, process: Process, now: float) -> Failure | None:
        code, ready_since = process.exit_code or 0, self.ready_since
        self.process, self.ready_since, self.signature, self.unread, self.slow = None, None, None, "", 0
        if self.leaving_since is not None:
            return None
        self.back_off.died(now, now - ready_since if ready_since is not None else 0.0)
        reason, message = self._words(process)
        self.restarts += 1
        return Failure(self.name, 128 - code if code < 0 else code, reason, message, self.restarts)

    def _words(self, process: Process) -> tuple[str, str]:
        try:
            words = files.read_json(self._last_words)
            return str(words["reason"]), masked(str(words["message"]), self.launch.environment.values())
        except (ValueError, KeyError, TypeError):  # it left none
            return "", process.last_lines()

    def leave(self, now: float) -> None:
        """Take it out of the addresses; its process goes on until the routers have forgotten it."""
        self.leaving_since = now if self.leaving_since is None else self.leaving_since

    def press(self, now: float, *, forgotten: bool) -> None:
        """Go on with its leaving: tell it once the routers forgot it, kill it once its grace is over."""
        if self.process is None or self.leaving_since is None:
            return
        if self.told_since is None and forgotten:
            self.told_since = now
            self.process.end()
        elif self.told_since is not None and now - self.told_since > self.launch.grace:
            self.process.kill()

    def seen(self) -> InstanceSeen:
        """The instance as the planner sees it."""
        return InstanceSeen(
            name=self.name,
            address=self.address,
            ready=self.ready,
            signature=self.signature,
            unread=self.unread,
            revision=self.launch.revision,
        )

    def forget(self) -> None:
        """Remove its files, but for the log."""
        self._config.unlink(missing_ok=True)
        self._last_words.unlink(missing_ok=True)
        shutil.rmtree(self._model, ignore_errors=True)

    @property
    def has_inner_port(self) -> bool:
        """Whether it gives out metrics and a signature: our runtime does, another server does not."""
        return self.launch.own is None

    @property
    def _log(self) -> Path:
        return self.home.logs / f"{self.name}.log"

    @property
    def _model(self) -> Path:
        return self.home.run / f"{self.name}.model"

    @property
    def _config(self) -> Path:
        return self.home.run / f"{self.name}.json"

    @property
    def _last_words(self) -> Path:
        return self.home.run / f"{self.name}.last-words.json"


def words_of(failure: Failure) -> str:
    """A failure as one line for people."""
    text = " ".join(failure.message.split())
    return f"{failure.instance} ended with exit code {failure.exit_code}" + (f": {text}" if text else "")
