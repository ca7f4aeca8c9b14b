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


CASES = {
    "routers have the routes without it": (0, {}, 0.25),
    "routers take nothing": (0, {"stuck": True}, PATIENCE + 0.25),
    "it has a share": (0, {"shared": True}, PATIENCE + 0.25),
    "others shall come, and are not there": (1, {}, PATIENCE + 0.25),
}


@pytest.mark.parametrize(("wanted", "more", "told"), CASES.values(), ids=CASES)
async def test_the_last_instance_is_told_when_nobody_sends_requests_there(
    tmp_path: Path, wanted: int, more: dict[str, bool], told: float
) -> None:
    """Its address stays written while it answers, so nobody must wait for that to go."""
    launch = Launch("r", ("x",), b"", {}, (), 5.0)
    home = Home(tmp_path, tmp_path, tmp_path, ended=lambda: None)
    process = Started()
    last = Instance("green-1", launch, home, process=cast("Any", process), address=HERE, ready_since=0.0, proven=True)
    group = Group("green", home, wanted=wanted, instances=[last])  # without a launch nothing else starts
    routers = Routers(stuck=more.get("stuck", False))
    last.leave(0.0)
    now = 0.25
    while True:
        assert now <= PATIENCE + 1
        routers.write(group)
        await group.step(routers, now, routed=True, shared=more.get("shared", False))
        if process.told:
            break
        now += 0.25
    assert now == told
