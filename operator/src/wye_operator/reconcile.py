"""One pass, for a cluster or for this machine: gather, plan, apply, report.

The twin calls it for each Endpoint in turn, and the operator's work queue for whichever is due. It is level-triggered:
nothing is handed from one pass to the next but what gather finds.
"""

from __future__ import annotations

from typing import Protocol

from wye_operator.plan.planner import plan
from wye_operator.plan.wanted import Plan
from wye_operator.plan.world import World


class Target(Protocol):
    """Where an Endpoint lives: a namespace of a cluster, or a folder of this machine."""

    async def gather(self, name: str) -> World:
        """Everything there is to know about the Endpoint of that name."""

    async def apply(self, wanted: Plan) -> None:
        """Make it so, as far as that is possible now."""

    async def report(self, name: str, wanted: Plan) -> None:
        """Tell people: status, then events."""


async def reconcile(name: str, target: Target) -> Plan:
    """Run one pass for the Endpoint of that name; the Plan says when to look again."""
    world = await target.gather(name)
    wanted = plan(world)
    await target.apply(wanted)
    await target.report(name, wanted)
    return wanted
