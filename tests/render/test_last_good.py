"""What stands in routers' files while they refuse what should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from wye_operator.plan.record import Cluster, Published, Record
from wye_operator.plan.refusals import Counted, counted
from wye_operator.plan.world import OFFERED_AGAIN, FileSeen, RouterSeen, Taken
from wye_operator.render.last_good import refused_in, standing
from wye_operator.render.last_good import with_last_good as with_last_good_at
from wye_operator.render.resources import discovery

BLUE, GREEN = (Cluster(name, f"default/{name}") for name in ("blue", "green"))
OLD, NEW, NEWER = ({"rds.json": discovery(version, {"name": version})} for version in ("r1", "r2", "r3"))
GOOD = {"routes": "r1"}
TOOK = RouterSeen("router-0", ready=True, taken=Taken(routes="r1"))
REFUSES = replace(TOOK, rejected="no such field: 'x'", refused=frozenset({"routes"}))


def with_last_good(*given: Any, now: float = 1000.0) -> dict[str, bytes]:
    return with_last_good_at(*given, now)


def test_the_last_good_content_stays_beside_what_is_new_until_routers_took_that() -> None:
    tried = with_last_good(NEW, OLD, [TOOK], GOOD)
    assert tried == {**NEW, "last-good-rds.json": OLD["rds.json"]}
    assert with_last_good(NEW, tried, [TOOK], GOOD) == tried
    assert with_last_good(NEW, tried, [TOOK], {"routes": "r2"}) == NEW


def test_what_every_router_refused_gives_way_until_other_content_is_wanted() -> None:
    tried = with_last_good(NEW, OLD, [TOOK], GOOD)
    kept = with_last_good(NEW, tried, [REFUSES], GOOD)
    assert kept["rds.json"] == OLD["rds.json"]
    assert refused_in(kept)["routes"].why == "no such field: 'x'"
    assert with_last_good(NEW, kept, [], GOOD) == kept, "also while no router is there"
    assert with_last_good(NEWER, kept, [TOOK], GOOD) == {**NEWER, "last-good-rds.json": OLD["rds.json"]}
    assert with_last_good(OLD, kept, [TOOK], GOOD) == OLD


def test_what_every_router_refused_is_offered_again_after_ten_minutes() -> None:
    """They may have refused it for a reason that went, or another one just before it."""
    tried = with_last_good(NEW, OLD, [TOOK], GOOD)
    kept = with_last_good(NEW, tried, [REFUSES], GOOD)
    assert with_last_good(NEW, kept, [REFUSES], GOOD, now=1000.0 + OFFERED_AGAIN - 1) == kept
    assert with_last_good(NEW, kept, [REFUSES], GOOD, now=1000.0 + OFFERED_AGAIN) == tried


ROUTERS = {
    "one of two took it": [REFUSES, replace(TOOK, taken=Taken(routes="r2"))],
    "one of two has not said so yet": [REFUSES, TOOK],
    "one cannot be asked": [REFUSES, RouterSeen("router-1", ready=True, silent=True)],
    "there is none": [],
    "none is ready": [replace(REFUSES, ready=False)],
}


@pytest.mark.parametrize("routers", ROUTERS.values(), ids=ROUTERS)
def test_nothing_gives_way_while(routers: list[RouterSeen]) -> None:
    tried = with_last_good(NEW, OLD, [TOOK], GOOD)
    assert with_last_good(NEW, tried, routers, GOOD) == tried


def test_there_is_nothing_to_go_back_to_before_the_first_was_taken() -> None:
    assert with_last_good(NEW, OLD, [replace(REFUSES, taken=Taken())], {}) == NEW


def test_keys_of_before_the_last_ones_never_come_back() -> None:
    tried = with_last_good(NEW, OLD, [TOOK], GOOD)
    assert with_last_good(NEWER, tried, [replace(REFUSES, taken=Taken(routes="r2"))], {"routes": "r2"}) == {
        **NEWER,
        "last-good-rds.json": NEW["rds.json"],
    }


def test_the_record_ends_with_what_is_written() -> None:
    first, second = Published("r1", (BLUE,), 1.0), Published("r2", (GREEN,), 2.0)
    kept = with_last_good(NEW, with_last_good(NEW, OLD, [TOOK], GOOD), [REFUSES], GOOD)
    assert standing(Record(routes=(second,)), Record(routes=(first, second)), kept).routes == (first,)
    [forgotten] = standing(Record(routes=(second,)), Record(routes=(second,)), kept).routes
    assert (forgotten.version, forgotten.clusters) == ("r1", (GREEN,)), "it may name what a later one does"
    assert standing(Record(routes=(second,)), Record(routes=(first,)), NEW).routes == (second,)


def seen(*looks: tuple[dict[str, FileSeen], Taken]) -> frozenset[str]:
    """What a router has refused after these looks at what is written and what it says."""
    known = Counted()
    for written, taken in looks:
        known = counted(known, taken, written)
    return known.refused


def said(clusters: str, routes: str, refused: int = 0) -> Taken:
    return Taken(clusters=clusters, routes=routes, refusals={"routes": refused})


def files(clusters: str, routes: str, content: str = "") -> dict[str, FileSeen]:
    return {"clusters": FileSeen(clusters, clusters), "routes": FileSeen(routes, content or routes)}


FIRST, SECOND, BOTH = files("c1", "r1"), files("c1", "r2"), files("c2", "r2")
OTHERWISE = files("c1", "r2", "the same written in another way")
LOOKS = {
    "nothing yet": ([(FIRST, said("c1", "r1")), (SECOND, said("c1", "r1"))], set()),
    "what is new": ([(FIRST, said("c1", "r1")), (SECOND, said("c1", "r1", 1))], {"routes"}),
    "only what was written before": ([(FIRST, said("c1", "r0", 3)), (SECOND, said("c1", "r0", 3))], set()),
    "first, but took it then": ([(SECOND, said("c1", "r1", 1)), (SECOND, said("c1", "r2", 1))], set()),
    "routes for a cluster that it lacked": (
        [(FIRST, said("c1", "r1")), (BOTH, said("c1", "r1")), (BOTH, said("c2", "r1", 1))],
        set(),
    ),
    "such routes once more": (
        [(FIRST, said("c1", "r1")), (BOTH, said("c1", "r1")), (BOTH, said("c2", "r1", 1)),
         (BOTH, said("c2", "r1", 2))],
        {"routes"},
    ),
    "what another operator wrote for the same": (
        [(OTHERWISE, said("c1", "r1", 1)), (SECOND, said("c1", "r1", 1))],
        set(),
    ),
    "what it began with": ([(SECOND, said("c1", "r1", 4)), (SECOND, said("c1", "", 1))], {"routes"}),
}  # fmt: skip


@pytest.mark.parametrize(("looks", "refused"), LOOKS.values(), ids=LOOKS)
def test_a_router_refused(looks: list[tuple[dict[str, FileSeen], Taken]], refused: set[str]) -> None:
    assert seen(*looks) == refused
