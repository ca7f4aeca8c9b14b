"""What a status is made of: the facts of one pass, and how shares are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wye_operator.plan.members import Members
from wye_operator.plan.record import UNAVAILABLE
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


def percents(shares: Mapping[str, int]) -> dict[str, float]:
    """Hundredths as percent, as status shows them."""
    return {name: share / 100 for name, share in shares.items() if name != UNAVAILABLE}


def shares_text(shares: Mapping[str, int]) -> str:
    """`blue=90 green=10`: largest first, then by name."""
    ordered = sorted(percents(shares).items(), key=lambda item: (-item[1], item[0]))
    return " ".join(f"{name}={share:g}" for name, share in ordered)
