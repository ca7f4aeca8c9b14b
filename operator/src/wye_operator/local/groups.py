"""All instances of one Deployment on this machine: what the apps/v1 Deployment and its ReplicaSets are in a cluster."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from wye_operator.local.inner import Inner
from wye_operator.local.instances import Home, Instance, Launch
from wye_operator.local.rolling import Standing, steps
from wye_operator.plan.world import Address, Failure, WorkloadSeen

PATIENCE = 10.0  # seconds to wait for routers that do not say what they use


class Routing(Protocol):
    """What the routers say about an address."""

    def uses(self, address: Address) -> bool:
        """Every router that answers sends requests there."""

    def knows(self, address: Address) -> bool:
        """Some router still has it."""

    @property
    def settled(self) -> bool:
        """There is one router, and it has all that is written."""


@dataclass(slots=True, eq=False)
class Group:
    """The instances of one Deployment; `name` is what they are called after."""

    name: str
    home: Home
    launch: Launch | None = None
    wanted: int = 0
    instances: list[Instance] = field(default_factory=list)
    failure: Failure | None = None
    news: list[Failure] = field(default_factory=list)  # failures that nobody was told of yet

    def want(self, launch: Launch, count: int) -> None:
        """What should run from now on."""
        if self.launch is None or launch.revision != self.launch.revision:
            self.failure = None
        self.launch, self.wanted = launch, count

    def end(self) -> None:
        """Nothing should run any more."""
        self.wanted = 0

    async def observe(self, inner: Inner, now: float) -> None:
        """Look at every instance."""
        found = await asyncio.gather(*(i.observe(inner, now) for i in self.instances))
        for failure in found:
            if failure is not None:
                self.failure = failure
                self.news.append(failure)
        self._drop_gone()

    async def step(self, routing: Routing | None, now: float, *, routed: bool, shared: bool) -> None:
        """Take every step that costs nobody anything now.

        `routed`: routers are told of this Deployment, `shared`: and send a share of the requests or copies there.
        """
        # routers keep the last address for as long as somebody answers there: none of them is waited for, then
        unused = self.wanted == 0 and not shared and routing is not None and routing.settled
        for instance in self.instances:
            if instance.leaving_since is None:
                continue
            waited = now - instance.leaving_since
            known = routing is not None and routing.knows(instance.address)
            forgotten = waited > 0 and (not known or unused or waited > PATIENCE)
            instance.press(now, forgotten=forgotten)
        self._retire(routing, now, routed=routed)
        for instance in self.instances:
            due = instance.back_off.not_before <= now
            if instance.process is None and instance.leaving_since is None and due:
                await instance.start()
        self._drop_gone()

    def _retire(self, routing: Routing | None, now: float, *, routed: bool) -> None:
        staying = {i.name: i for i in self.instances if i.leaving_since is None}
        revision = self.launch.revision if self.launch else ""
        standing = [
            Standing(
                name=i.name,
                current=i.launch.revision == revision,
                proven=i.proven,
                ready=i.ready,
                available=i.ready and (not routed or self._taken_up(i, routing, now)),
            )
            for i in staying.values()
        ]
        todo = steps(standing, self.wanted)
        for name in todo.retire:
            staying[name].leave(now)
        for _ in range(todo.start):
            self._add()

    def _taken_up(self, instance: Instance, routing: Routing | None, now: float) -> bool:
        since = instance.ready_since
        used = routing is None or routing.uses(instance.address)
        return used or (since is not None and now - since > PATIENCE)

    def _add(self) -> None:
        if self.launch is None:
            return
        taken = {i.name for i in self.instances}
        name = next(n for k in range(1, len(taken) + 2) if (n := f"{self.name}-{k}") not in taken)
        self.instances.append(Instance(name, self.launch, self.home))

    def _drop_gone(self) -> None:
        for instance in list(self.instances):
            if instance.leaving_since is not None and instance.process is None:
                self.instances.remove(instance)
                instance.forget()

    def seen(self) -> WorkloadSeen:
        """The Deployment's instances as the planner sees them; a leaving one is no longer one of them."""
        staying = [i.seen() for i in self.instances if i.leaving_since is None]
        leaving = sorted(i.address for i in self.instances if i.answers_still)
        return WorkloadSeen(tuple(sorted(staying, key=lambda i: i.name)), self.failure, leaving=tuple(leaving))

    @property
    def settled(self) -> bool:
        """Whether everything that should run is ready, and nothing else is there."""
        revision = self.launch.revision if self.launch else ""
        current = [i for i in self.instances if i.launch.revision == revision and i.ready]
        return len(current) == len(self.instances) == self.wanted

    async def stop(self) -> None:
        """End all processes now and wait for them."""
        processes = [i.process for i in self.instances if i.process is not None]
        for process in processes:
            process.end()
        graces = [i.launch.grace for i in self.instances]
        gone = asyncio.gather(*(p.gone() for p in processes))
        try:
            async with asyncio.timeout(max(graces, default=0.0)):
                await gone
        except TimeoutError:
            self.kill()
            await asyncio.gather(*(p.gone() for p in processes))

    def kill(self) -> None:
        """End all processes by force."""
        for instance in self.instances:
            if instance.process is not None:
                instance.process.kill()
