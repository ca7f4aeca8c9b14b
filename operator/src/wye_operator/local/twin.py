"""The local twin: the Endpoints of a folder, run on this machine by the same plan that runs them in a cluster.

`wye local up` runs it; programs and tests use it in process:

    async with Twin(Path("examples/fraud"), Options(port=8080)) as twin:
        await twin.wait_for(lambda status: status.ready, deadline=60)
        twin.url("fraud")          # "http://127.0.0.1:8080"
        twin.keys("fraud")         # Keys(primary, secondary), None where nobody needs any
        twin.inner_urls("fraud")   # {"fraud-router-1": "http://127.0.0.1:…", "fraud-blue-1": …}: where metrics are
        twin.status()              # .endpoints["fraud"]: EndpointStatus, .deployments["fraud-blue"]: DeploymentStatus

Entering raises WyeError when nothing can be started (a mistake in a manifest, a port in use, no Envoy); leaving ends
everything that was started. Objects outside the namespace `default` are called NAMESPACE.NAME.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from wye_operator import settings
from wye_operator.api.status import DeploymentStatus, EndpointStatus
from wye_operator.errors import WyeError
from wye_operator.issuers import KeySets, read_key_set, session
from wye_operator.local import files
from wye_operator.local.envoy import find_envoy
from wye_operator.local.envoys import Envoy
from wye_operator.local.fetching import Fetches
from wye_operator.local.folder import Folder, read_folder
from wye_operator.local.inner import Inner
from wye_operator.local.instances import Home, Instance
from wye_operator.local.models import ModelStore
from wye_operator.local.notes import notes_of
from wye_operator.local.ports import Ports
from wye_operator.local.report import Reporter, Silent, Voice, is_ready, waiting_for
from wye_operator.local.runtime import find_runtime
from wye_operator.local.shutdown import stop_all
from wye_operator.local.state import FOLDER, KeyFiles, State, label
from wye_operator.local.status import items_of, processes_of, statuses
from wye_operator.local.target import EndpointTarget, Machine
from wye_operator.plan.world import Deadlines, Keys
from wye_operator.reconcile import reconcile

log = logging.getLogger(__name__)
T = TypeVar("T")
BRISK, BUSY, CALM = 0.05, 0.2, 1.0  # seconds between looks: after a change, until settled, then


@dataclass(frozen=True, slots=True)
class Options:
    """How to run: `port` of the first Endpoint (None: the one it had, else 8080), the state folder (default DIR/.wye),
    Envoy, the model server.
    """

    port: int | None = None
    state: Path | None = None
    envoy: str | None = None
    program: tuple[str, ...] | None = None
    deadlines: Deadlines = Deadlines()


@dataclass(frozen=True, slots=True)
class TwinStatus:
    """Everything the last pass found."""

    endpoints: Mapping[str, EndpointStatus] = field(default_factory=dict)
    deployments: Mapping[str, DeploymentStatus] = field(default_factory=dict)
    settled: bool = False  # nothing is being started, rolled or ended

    @property
    def ready(self) -> bool:
        """Whether there is an Endpoint, and all of them are Ready."""
        return bool(self.endpoints) and all(is_ready(e.conditions) for e in self.endpoints.values())


class Twin:
    """One folder, up."""

    def __init__(self, directory: Path, options: Options = Options(), voice: Voice | None = None) -> None:
        self._directory = directory
        self._options = options
        self._voice = voice or Silent()
        self._reporter = Reporter(self._voice)
        self._state = State((options.state or directory / FOLDER).absolute())
        self._folder = self._new_folder(directory)
        self._targets: dict[tuple[str, str], EndpointTarget] = {}
        self._woken = asyncio.Event()
        self._passed = asyncio.Condition()
        self._loop: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._mistakes: list[str] = []
        self._written: dict[str, Any] | None = None

    def _new_folder(self, directory: Path) -> Folder:
        folder = self._state.folder
        fetches = Fetches(folder / "fetched", folder / "logs" / "models", time.monotonic)
        return Folder(directory, self._state, ModelStore(folder / "models"), fetches)

    async def __aenter__(self) -> Self:
        read_folder(self._directory)  # a mistake is said before anything is written
        self._state.hold()
        self._ports = Ports(self._options.port, self._state)
        self._session = session()
        try:
            self._open()
            await self._pass()
        except BaseException:
            await self._close()
            raise
        self._loop = asyncio.create_task(self._keep())
        self._reading = asyncio.create_task(self._key_sets.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        started = [task for task in (self._loop, self._reading) if task is not None]
        for task in started:
            task.cancel()
        try:
            await asyncio.gather(*started, return_exceptions=True)
            for task in started:
                if not task.cancelled():
                    task.result()
        finally:
            await self._close()

    def _open(self) -> None:
        folder = self._state.folder
        self._folder.program = self._options.program or find_runtime()
        self._folder.open(settings.now())
        read = partial(read_key_set, self._session)
        self._key_sets: KeySets[tuple[str, str]] = KeySets(
            read, lambda _: self._woken.set(), asyncio.get_running_loop().time
        )
        self._machine = Machine(
            source=self._folder,
            inner=Inner(self._session),
            envoy=find_envoy(self._options.envoy),
            program=self._folder.program,
            home=self._home("models"),
            router_home=self._home("routers"),
            routers=folder / "routers",
            folder=self._directory,
            keys=KeyFiles(folder / "keys"),
            key_sets=self._key_sets,
            reserve=self._ports.take,
            deadlines=self._options.deadlines,
        )
        self._before = earlier(folder / "status.json")

    def _home(self, of: str) -> Home:
        """Apart, as a Deployment may be called like a router."""
        folder = self._state.folder
        return Home(folder / "run" / of, folder / "logs" / of, folder / "cache", self._woken.set)

    async def _close(self) -> None:
        try:
            await stop_all(self._targets.values(), Inner(self._session))
            await self._folder.close()
        finally:
            await self._session.close()
            self._ports.close()
            self._state.release()

    def kill(self) -> None:
        """End everything by force; leaving the twin then takes no time."""
        for target in self._targets.values():
            target.kill()

    def url(self, endpoint: str) -> str:
        """Where callers reach an Endpoint, "" while there is none."""
        return self._named(endpoint).url

    def keys(self, endpoint: str) -> Keys | None:
        """The keys in force, None where nobody needs any."""
        wanted = self._named(endpoint).wanted
        return wanted.router.auth.keys if wanted and wanted.router else None

    def inner_urls(self, endpoint: str) -> dict[str, str]:
        """Where the router and each runtime give out metrics, by process name (one for two: the router's)."""
        target = self._named(endpoint)
        instances = (i for group in target.groups.values() for i in group.instances)
        running: list[Envoy | Instance] = [i for i in instances if i.has_inner_port]
        running += target.router.envoys if target.router else []
        return {of.name: f"http://{of.inner.host}:{of.inner.port}" for of in running if of.process}

    def status(self) -> TwinStatus:
        """What the last pass found."""
        targets = self._targets.values()
        return TwinStatus(
            {t.label: t.status for t in targets if t.status},
            {label(t.namespace, n): s for t in targets for n, s in t.statuses.items()},
            settled=all(t.settled for t in targets) and not self._folder.changing,
        )

    async def wait_for(self, predicate: Callable[[TwinStatus], bool], deadline: float) -> None:
        """Wait until the status is as wanted. Raises TimeoutError after `deadline` seconds."""
        async with asyncio.timeout(deadline), self._passed:
            await self._passed.wait_for(lambda: self._ended() or predicate(self.status()))
        if self._loop is not None and self._loop.done():
            self._loop.result()

    async def run(self) -> None:
        """Serve until cancelled."""
        if self._loop is not None:
            await self._loop

    async def until_signalled(
        self, work: Coroutine[Any, Any, T], stopping: Callable[[], None] | None = None
    ) -> T | None:
        """Do `work`; None when a signal ended it: the first one in peace, a second one by force."""
        loop, task, signalled = asyncio.get_running_loop(), asyncio.ensure_future(work), False

        def on_signal() -> None:
            nonlocal signalled
            if signalled:
                self.kill()
                return
            signalled = True
            if stopping is not None:
                stopping()
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # started with nohup: it shall outlive its terminal
            loop.add_signal_handler(number, on_signal)
        try:
            return await task
        except asyncio.CancelledError:
            if not signalled:
                raise
            return None

    def _ended(self) -> bool:
        return self._loop is not None and self._loop.done()

    def _named(self, endpoint: str) -> EndpointTarget:
        for target in self._targets.values():
            if target.label == endpoint:
                return target
        raise WyeError(f"there is no Endpoint {endpoint} in {self._directory}")

    async def _keep(self) -> None:
        """Pass after pass. What goes wrong in one is told, and the next one tries again.

        Raises WyeError when the state folder is gone: without it nothing that was edited could be taken.
        """
        delay = BRISK
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):  # wait_for of Python 3.11 may lose the telling to end
                    await self._woken.wait()
            self._woken.clear()
            if not self._state.held:
                place = self._state.folder
                raise WyeError(f"{place} is not there any more: what ran has ended, start it again with wye local up")
            try:
                delay = await self._pass()
                self._reporter.trouble("", "")
            except Exception as error:  # what serves must go on serving; this is the outermost loop
                delay = CALM
                if self._state.held:
                    log.exception("a pass failed")
                    self._reporter.trouble("", f"a pass failed and is tried again: {error!r}")

    async def _pass(self) -> float:
        """Look at the folder, then at every Endpoint; returns seconds until the next look."""
        mistakes = self._folder.look(settings.now())
        if mistakes is not None:
            self._mistakes = [str(mistake) for mistake in mistakes]
            self._reporter.mistakes(self._mistakes)
        self._reporter.notes(notes_of(self._folder.manifests))
        await self._folder.fetch()
        for namespace, name in sorted(set(self._folder.names()) - set(self._targets)):
            self._targets[namespace, name] = self._target(namespace, name)
        delays = [await self._reconcile(target) for target in list(self._targets.values())]
        self._write_status()
        self._voice.progress(waiting_for(self._targets.values()))
        self._folder.sweep(path for t in self._targets.values() for path in t.used_models())
        async with self._passed:
            self._passed.notify_all()
        return min([CALM if self.status().settled else BUSY, *delays])

    def _target(self, namespace: str, name: str) -> EndpointTarget:
        target = EndpointTarget(namespace, name, self._machine)
        target.remember(self._before)
        return target

    async def _reconcile(self, target: EndpointTarget) -> float:
        try:
            wanted = await reconcile(target.name, target)
        except WyeError as error:  # the other Endpoints go on; when nothing runs yet, it ends the start
            if self._loop is None:
                raise
            self._reporter.trouble(target.label, str(error))
            return CALM
        except Exception as error:
            if self._loop is None:
                raise
            log.debug("the pass of Endpoint %s failed", target.label, exc_info=True)
            told = f"{target.label}: a pass failed and is tried again: {error!r}"
            self._reporter.trouble(target.label, told)
            return CALM
        self._reporter.trouble(target.label, "")
        self._reporter.tell(target, wanted, settings.now())
        key = (target.namespace, target.name)
        if target.empty and key not in self._folder.names():
            self._reporter.gone(target)
            target.forget()
            del self._targets[key]
        if target.changed:
            return BRISK
        return CALM if wanted.look_again is None else max(BRISK, wanted.look_again)

    def _write_status(self) -> None:
        items = [
            item
            for target in self._targets.values()
            for item in items_of(target, self._folder.found(target.namespace, target.name))
        ]
        items.sort(key=lambda i: (i["kind"] != "Endpoint", i["metadata"]["namespace"], i["metadata"]["name"]))
        processes = [each for target in self._targets.values() for each in processes_of(target)]
        written = {"items": items, "mistakes": self._mistakes, "processes": processes}
        if written != self._written:
            files.write_json(self._state.folder / "status.json", written, 0o600)
            self._written = written


def earlier(path: Path) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """The statuses that an earlier twin wrote."""
    try:
        return statuses((files.read_json(path) or {"items": []})["items"])
    except files.MISSHAPEN:  # it only saves time: begin anew
        return {}
