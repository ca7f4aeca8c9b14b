"""What a status is made of: the facts of one pass."""

from __future__ import annotations

from dataclasses import dataclass

from wye_operator.plan.members import Members
from wye_operator.plan.routing import Routing
from wye_operator.plan.shares import Shares, hundredths
from wye_operator.plan.wanted import RouterPlan
from wye_operator.plan.world import World


@dataclass(frozen=True, slots=True)
class Facts:
    """What the status of one pass is made of."""

    world: World
    members: Members
    routing: Routing
    router: RouterPlan

    @property
    def weights(self) -> Shares:
        """The shares that the routers have; `routing` has those that they should have."""
        return self.routing.weights if self._is_taken else self._before("traffic", self.world.record.traffic)

    @property
    def mirrors(self) -> Shares:
        """The same of copies."""
        return self.routing.mirrors if self._is_taken else self._before("mirror_traffic", self.world.record.mirrors)

    @property
    def _is_taken(self) -> bool:
        """Of routers that are ready and answer; where there is none, the next one reads what is written."""
        ready = [router for router in self.world.routers if router.ready and not router.silent]
        return all(router.taken.routes == self.router.routes.version for router in ready)

    def _before(self, of: str, recorded: Shares | None) -> Shares:
        status = self.world.endpoint.status if self.world.endpoint else None
        return hundredths(getattr(status, of)) if status else recorded or {}
