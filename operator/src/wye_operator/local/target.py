"""One Endpoint on this machine: what a pass gathers, and how its Plan becomes files and processes.

The twin runs `reconcile` with one of these for each Endpoint's name, also for a name whose Endpoint is gone while
something of it still runs.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from wye_operator import settings
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.api.status import DeploymentStatus, EndpointStatus, Reason
from wye_operator.issuers import KeySets
from wye_operator.local.groups import Group
from wye_operator.local.inner import Inner
from wye_operator.local.instances import Home, Launch
from wye_operator.local.lookup import NO_CLUSTER, Secret, spec_here
from wye_operator.local.models import Content
from wye_operator.local.ports import LOOPBACK
from wye_operator.local.routers import Router
from wye_operator.local.servers import OwnProcess, obstacle_of
from wye_operator.local.state import KeyFiles, Known, label
from wye_operator.plan.issuers import sources_of
from wye_operator.plan.record import Record
from wye_operator.plan.wanted import Plan, Workload
from wye_operator.plan.world import (
    THIS_CLUSTER,
    Address,
    Deadlines,
    DeploymentSeen,
    EndpointSeen,
    Keys,
    KeySet,
    Obstacle,
    TlsSeen,
    World,
)
from wye_operator.render.auth import written_key_sets, written_keys, written_open
from wye_operator.render.process import runtime_config, runtime_environment

FRESH = {"waiting": None}  # a deadline does not run while no twin does


@dataclass(frozen=True, slots=True)
class Found:
    """The objects of one Endpoint's name, with what is remembered of each."""

    endpoint: tuple[Endpoint, Known] | None
    deployments: tuple[tuple[Deployment, Known, Content], ...]
    secret: Secret | None  # with the keys, where the user keeps them
    tls: TlsSeen = TlsSeen()


class Source(Protocol):
    """The folder of manifests."""

    def found(self, namespace: str, name: str) -> Found:
        """What it has for an Endpoint's name."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What all Endpoints of a twin share."""

    source: Source
    inner: Inner
    envoy: Path
    program: tuple[str, ...]
    home: Home
    router_home: Home
    routers: Path
    folder: Path  # of the manifests
    keys: KeyFiles
    key_sets: KeySets[tuple[str, str]]
    reserve: Callable[[str], socket.socket]
    deadlines: Deadlines


@dataclass(eq=False)
class EndpointTarget:
    """The processes and files of one Endpoint."""

    namespace: str
    name: str
    machine: Machine
    groups: dict[str, Group] = field(default_factory=dict)
    router: Router | None = None
    port: socket.socket | None = None
    status: EndpointStatus | None = None
    statuses: dict[str, DeploymentStatus] = field(default_factory=dict)
    wanted: Plan | None = None
    brought: dict[str, Content] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)  # whose server cannot run on this machine, and why
    last: Record = field(default_factory=Record)
    keys_problem: str = ""  # with the file of keys; those in force stay
    changed: bool = False  # whether the last pass wrote or moved anything: look again soon

    @property
    def label(self) -> str:
        """How it is called in files and processes."""
        return label(self.namespace, self.name)

    @property
    def url(self) -> str:
        """Where callers reach it, "" while it has no router."""
        if self.router is None:
            return ""
        scheme = "https" if self.router.tls in ("certificate", "placeholder") else "http"
        return f"{scheme}://{LOOPBACK}:{self.router.listen.port}"

    async def gather(self, name: str) -> World:
        """Ask everything that runs, and read everything that is written."""
        now = asyncio.get_running_loop().time()
        found = self.machine.source.found(self.namespace, name)
        if found.endpoint and self.router is None:
            self._open()
        await asyncio.gather(*(group.observe(self.machine.inner, now) for group in self.groups.values()))
        if self.router is not None:
            await self.router.observe(self.machine.inner, now)
        self.brought = {d.metadata.name: content for d, _, content in found.deployments}
        self.foreign = {d.metadata.name: why for d, *_ in found.deployments if (why := self._why_foreign(d))}
        keys, problem = self._keys(found)
        files = self.router.auth_files() if self.router else {}
        return World(
            name=name,
            namespace=self.namespace,
            endpoint=self._endpoint(found),
            deployments=tuple(self._deployment(*one) for one in found.deployments),
            workloads={name: group.seen() for name, group in sorted(self.groups.items())},
            routers=self.router.seen() if self.router else (),
            record=self.router.record() if self.router else self.last,
            keys=keys,
            keys_problem=problem,
            fresh_keys=Keys(settings.fresh_key(), settings.fresh_key()),
            now=settings.now(),
            written_keys=written_keys(files),
            written_open=written_open(files),
            refused=self.router.refused() if self.router else {},
            key_sets=self._key_sets(found, written_key_sets(files)),
            deadlines=self.machine.deadlines,
            tls=replace(found.tls, in_force=self.router.tls) if self.router else found.tls,
            most_routers=1,
        )

    def _key_sets(self, found: Found, written: Mapping[str, KeySet]) -> Mapping[str, KeySet]:
        """What is known of token issuers; this machine is none."""
        sources = sources_of(found.endpoint[0].spec) if found.endpoint else ()
        addresses = [source for source in sources if source != THIS_CLUSTER]
        return {THIS_CLUSTER: NO_CLUSTER, **self.machine.key_sets.of((self.namespace, self.name), addresses, written)}

    def _open(self) -> None:
        self.port = self.machine.reserve(self.label)
        listen = Address(LOOPBACK, self.port.getsockname()[1])
        folder = self.machine.routers / self.label
        self.router = Router(self.label, folder, listen, self.machine.envoy, self.machine.router_home)

    def _endpoint(self, found: Found) -> EndpointSeen | None:
        if found.endpoint is None:
            return None
        endpoint, known = found.endpoint
        spec = spec_here(found.secret, endpoint.spec)
        return EndpointSeen(self.name, self.namespace, known.generation, spec, self.status, self.url)

    def _deployment(self, deployment: Deployment, known: Known, content: Content) -> DeploymentSeen:
        name = deployment.metadata.name
        return DeploymentSeen(
            object_name=name,
            namespace=self.namespace,
            generation=known.generation,
            created=known.created,
            spec=deployment.spec,
            status=self.statuses.get(name),
            content=content.digest,
            content_problem=content.problem,
            obstacles=(Obstacle(Reason.ENVIRONMENT_UNSUPPORTED, self.foreign[name]),) if name in self.foreign else (),
            content_reason=content.reason,
        )

    def _why_foreign(self, deployment: Deployment) -> str:
        environment = deployment.spec.environment
        return obstacle_of(environment, self.machine.folder) if environment else ""

    def _keys(self, found: Found) -> tuple[Keys | None, str]:
        if found.secret is not None:
            self.keys_problem = ""
            return found.secret.keys, found.secret.problem
        keys, self.keys_problem = self.machine.keys.read(self.label)
        return keys, self.keys_problem

    async def apply(self, wanted: Plan) -> None:
        """Write the router's files first, then start, roll and end processes."""
        now = asyncio.get_running_loop().time()
        self.wanted, self.changed = wanted, False
        if wanted.keys is not None:
            self.machine.keys.keep(self.label, wanted.keys)
        await self._route(wanted, now)
        for workload in wanted.workloads:
            self._want(workload)
        await self._step(wanted, now)

    async def _route(self, wanted: Plan, now: float) -> None:
        if self.router is None:
            return
        if wanted.router is not None:
            self.changed = self.router.write(wanted.router, wanted.record, settings.now())
            await self.router.step(self.machine.inner, now)
            return
        self.last = wanted.record
        await self.router.retire(self.machine.inner, now)
        if not self.router.envoys:
            self._close()

    def _close(self) -> None:
        self.router = None
        if self.port is not None:
            self.port.close()
            self.port = None

    def _want(self, workload: Workload) -> None:
        name = workload.deployment
        if name not in self.groups:
            self.groups[name] = Group(label(self.namespace, name), self.machine.home)
        group = self.groups[name]
        launch = self._launch(workload, self.brought.get(name, Content()))
        if launch is None:  # nothing new can start; what runs goes on
            group.wanted = min(group.wanted, workload.instances)
            return
        group.want(launch, workload.instances)

    def _launch(self, workload: Workload, brought: Content) -> Launch | None:
        """How to start it; None without its model or its code, or where its server cannot run here."""
        model, code = brought.path, brought.code
        if (workload.uri and not model) or (workload.code and not code) or workload.deployment in self.foreign:
            return None
        server, folder = workload.server, self.machine.folder
        own = OwnProcess(workload, server, folder, model) if server else None
        return Launch(
            revision=workload.revision,
            program=() if own else self.machine.program,
            config=b"" if own else runtime_config(workload, str(model or ""), str(code or "")),
            environment=dict(workload.environment) if own else runtime_environment(workload),
            kept=tuple(path for path in (model, code) if path),
            grace=workload.grace_seconds,
            own=own,
        )

    async def _step(self, wanted: Plan, now: float) -> None:
        """A Deployment that left the folder goes when no router has a cluster for it any more."""
        staying = {w.deployment for w in wanted.workloads} | set(wanted.held)
        clusters = wanted.router.clusters if wanted.router else ()
        fed = {cluster.deployment for cluster in clusters}
        shares = (*wanted.router.routes.shares, *wanted.router.routes.mirrors) if wanted.router else ()
        carrying = {share.cluster for share in shares}
        shared = {cluster.deployment for cluster in clusters if cluster.name in carrying}
        for name, group in list(self.groups.items()):
            owner = f"{self.namespace}/{name}"
            routed = owner in fed
            if name not in staying and not routed:
                group.end()
            await group.step(self.router, now, routed=routed, shared=owner in shared)
            if name not in staying and not group.instances:
                del self.groups[name]

    async def report(self, name: str, wanted: Plan) -> None:
        """Keep the status for the next pass; the twin tells people."""
        self.status = wanted.endpoint_status
        self.statuses = dict(wanted.deployment_statuses)

    def remember(self, statuses: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> None:
        """Begin with the statuses of an earlier twin: what did not change since has no new transition."""
        endpoint = statuses.get(("Endpoint", self.namespace, self.name))
        try:
            self.status = EndpointStatus.model_validate(endpoint).model_copy(update=FRESH) if endpoint else None
            for kind, namespace, name in statuses:
                if kind == "Deployment" and namespace == self.namespace:
                    status = DeploymentStatus.model_validate(statuses[kind, namespace, name])
                    self.statuses[name] = status.model_copy(update=FRESH)
        except ValidationError:  # another version wrote them
            self.status, self.statuses = None, {}

    def used_models(self) -> Iterator[Path]:
        """Copies of models that an instance loads, or may load when it is started again."""
        for group in self.groups.values():
            yield from (path for instance in group.instances for path in instance.launch.kept)

    def kill(self) -> None:
        """End all processes by force."""
        if self.router is not None:
            self.router.kill()
        for group in self.groups.values():
            group.kill()

    @property
    def empty(self) -> bool:
        """Whether nothing of it is left."""
        return self.router is None and not self.groups

    def forget(self) -> None:
        """Remove what a later Endpoint of the same name should not find."""
        self.machine.key_sets.of((self.namespace, self.name), (), {})
        shutil.rmtree(self.machine.routers / self.label, ignore_errors=True)

    @property
    def reached(self) -> bool:
        """Whether the router, too, found an instance of each Deployment that has ready ones."""
        ready = [[i.address for i in group.instances if i.ready] for group in self.groups.values()]
        router = self.router
        return router is not None and all(any(map(router.uses, addresses)) for addresses in ready if addresses)

    @property
    def settled(self) -> bool:
        """Whether everything is as the last Plan wants it."""
        router_settled = self.router is None or self.router.settled
        retiring = self.wanted is not None and self.wanted.router is not None and self.wanted.router.auth.retiring
        return router_settled and not retiring and all(group.settled for group in self.groups.values())
