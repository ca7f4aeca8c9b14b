"""What a status is made of: the facts of one pass."""

from __future__ import annotations

from dataclasses import dataclass

from wye_operator.plan.members import Members
from wye_operator.plan.routing import Routing
from wye_operator.plan.wanted import RouterPlan
from wye_operator.plan.world import World


@dataclass(frozen=True, slots=True)
class Facts:
    """What the status of one pass is made of."""

    world: World
    members: Members
    routing: Routing
    router: RouterPlan
