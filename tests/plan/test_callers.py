"""What a plan says of callers: rates, memory, stickiness, pages."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from make import deployment, edited, settle, world
from wye_operator.plan.wanted import Cors, Rate, Sticky

BLUE = deployment("blue")

RATES = {
    "without a rate as many as come": ({}, None, None),
    "one router takes all": ({"limits": {"requestsPerSecond": 10}}, None, Rate(10, 1)),
    "three take a third each": ({"limits": {"requestsPerSecond": 10}, "router": {"replicas": 3}}, None, Rate(10, 3)),
    "where only one can run it takes all": (
        {"limits": {"requestsPerSecond": 10}, "router": {"replicas": 3}},
        1,
        Rate(10, 1),
    ),
}


@pytest.mark.parametrize(("spec", "most", "rate"), RATES.values(), ids=RATES)
def test_rates(spec: dict[str, Any], most: int | None, rate: Rate | None) -> None:
    seen = dataclasses.replace(world(BLUE, spec=spec), most_routers=most)
    assert settle(seen)[1].router.routes.rate == rate


MEMORY = {
    "the default": ({}, 512 * 2**20),
    "a limit": ({"router": {"resources": {"limits": {"memory": "1G"}}}}, 10**9),
    "no limit": ({"router": {"resources": {"requests": {"memory": "64Mi"}}}}, None),
    "a limit of 0 is none": ({"router": {"resources": {"limits": {"memory": 0}}}}, None),
}


@pytest.mark.parametrize(("spec", "most"), MEMORY.values(), ids=MEMORY)
def test_memory(spec: dict[str, Any], most: int | None) -> None:
    assert settle(world(BLUE, spec=spec))[1].router.listener.most_memory_bytes == most


def test_stickiness_and_pages_are_live_and_statuses_are_not() -> None:
    seen, before = settle(world(BLUE))
    live = {"sticky": {"header": "X-Customer"}, "cors": {"allowOrigins": ["*"]}}
    seen, made = settle(edited(seen, **live))
    assert (made.router.routes.sticky, made.router.routes.cors) == (Sticky(header="X-Customer"), Cors(("*",), (), 600))
    assert made.router.listener == before.router.listener
    made = settle(edited(seen, **live, errorStatuses="Azure"))[1]
    assert made.router.listener != before.router.listener
