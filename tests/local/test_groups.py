"""When the twin tells an instance to end: once no router sends requests there any more, and not later."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from wye_operator.local.groups import PATIENCE, Group
from wye_operator.local.instances import Home, Instance, Launch
from wye_operator.plan.world import Address

HERE = Address("127.0.0.1", 5)


class Started:
    """A process that only knows whether it was told to end."""

    exit_code = None
    told = False

    def end(self) -> None:
        self.told = True


class Routers:
    """They take what is written in the pass after it was written, or never."""

    def __init__(self, *, stuck: bool) -> None:
        self.stuck = stuck
        self.written: tuple[Address, ...] = (HERE,)
        self.taken: tuple[Address, ...] = (HERE,)
        self.settled = True

    def write(self, group: Group) -> None:
        """As a pass does: what was written before is taken, and then what is seen now is written."""
        if not self.stuck:
            self.taken = self.written
        self.written = group.seen().addresses
        self.settled = not self.stuck and self.written == self.taken

    def uses(self, address: Address) -> bool:
        return address in self.taken

    knows = uses


@pytest.mark.parametrize(("stuck", "wanted"), [(False, 0.25), (True, PATIENCE + 0.25)])
async def test_the_last_instance_is_told_once_routers_have_the_routes_without_it(
    tmp_path: Path, *, stuck: bool, wanted: float
) -> None:
    """Its address stays written while it answers, so nobody must wait for that to go."""
    launch = Launch("r", ("x",), b"", {}, (), 5.0)
    home = Home(tmp_path, tmp_path, tmp_path, ended=lambda: None)
    process = Started()
    last = Instance("green-1", launch, home, process=cast("Any", process), address=HERE, ready_since=0.0, proven=True)
    group = Group("green", home, launch=launch, wanted=1, instances=[last])
    routers = Routers(stuck=stuck)
    group.end()
    now = 0.0
    while not process.told:
        assert now <= PATIENCE + 1
        routers.write(group)
        await group.step(routers, now, routed=True)
        now += 0.25
    assert now - 0.25 == wanted
