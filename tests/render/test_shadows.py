"""Shadows that misbehave, bodies of three sizes: the caller has its answer while the test still holds the shadow."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import pytest

from render import plans
from render.model import Model, break_off, fail, hold, ignore, serve
from render.router import Running, serving, wait_for
from wye_operator.plan.wanted import Auth, Listener, RouterPlan, Routes, Share
from wye_operator.render.clusters import MIRROR_REQUESTS, MIRROR_SECONDS

MEBIBYTE = 2**20
SHADOW = "violet~mirror"
SIZES = {"1 kB": 1_000, "600 kB": 600_000, "20 MB": 20_000_000}
WAYS = {"slow": hold, "answers 500": fail, "never reads": ignore, "closes half-way": break_off, "dead": serve}


@dataclass
class Mirrored:
    """A router that copies everything to a shadow while blue answers."""

    router: Running
    plan: RouterPlan
    blue: Model

    @contextmanager
    def to(self, way: str, most_mirror_bytes: int = MEBIBYTE) -> Iterator[Model]:
        """A shadow of its own, which is alive when the block begins, and which nobody releases before it ends."""
        shadow = Model("violet", way=WAYS[way])
        with shadow.in_a_thread():
            routes = replace(self.plan.routes, most_mirror_bytes=most_mirror_bytes)
            self.router.put(replace(self.plan, hosts=(self.blue.hosts(), shadow.hosts()), routes=routes))
            self.router.wait_healthy("blue", SHADOW)
            if way == "dead":
                shadow.die()
            yield shadow
            assert way == "dead" or not shadow.released.is_set()

    def post(self, body: bytes) -> int:
        """The status of a whole answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.router.place.listen.port, timeout=60)
        with closing(connection):
            connection.request("POST", "/score", body)
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def copies(self) -> int:
        """That the router began."""
        return self.router.figure("envoy_cluster_upstream_rq_total", SHADOW)

    def left_out(self) -> int:
        return self.router.left_out()[SHADOW]

    @property
    def seen(self) -> tuple[int, int]:
        """Copies that were begun, and those that were not made."""
        return self.copies(), self.left_out()


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrored]:
    blue = Model("blue")
    plan = replace(
        plans.EMPTY,
        clusters=(plans.BLUE, plans.VIOLET, plans.MIRROR),
        clusters_version="c-mirrored",
        listener=Listener(64 * MEBIBYTE, access_log=True, most_memory_bytes=512 * MEBIBYTE),
        routes=Routes("Split", (Share("blue", 10_000),), (Share(SHADOW, 10_000),), (), 5000, MEBIBYTE),
        auth=Auth(open=True, keys=None, version="open"),
    )
    folder = tmp_path_factory.mktemp("router")
    with blue.in_a_thread(), serving(replace(plan, hosts=(blue.hosts(),)), folder) as router:
        yield Mirrored(router, plan, blue)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("way", WAYS)
def test_the_caller_has_its_answer_while_the_shadow_is_held(mirrored: Mirrored, way: str, size: int) -> None:
    fits = size <= MEBIBYTE
    with mirrored.to(way) as shadow:
        copies, left_out = mirrored.seen
        answer = mirrored.post(b"x" * size)
        assert (answer, mirrored.blue.whole[-1]) == (200, size)
        dead = way == "dead"
        wait_for(lambda: mirrored.left_out() == left_out + (dead or not fits), "what is not copied is counted")
        wait_for(lambda: shadow.begun == (fits and not dead), "the copy is begun")
        if way in ("slow", "answers 500") and fits:
            wait_for(lambda: shadow.whole == [size], "the copy is whole")
        assert mirrored.copies() - copies in ((0, 1) if dead else (fits,))


@pytest.mark.parametrize("way", WAYS)
def test_a_larger_limit_bounds_how_long_a_shadow_can_hold_a_caller(mirrored: Mirrored, way: str) -> None:
    size = SIZES["20 MB"]
    with mirrored.to(way, 64 * MEBIBYTE):
        begun = time.monotonic()
        answer = mirrored.post(b"x" * size)
        print(f"{way}: answered after {time.monotonic() - begun:.2f} s, a shadow is given {MIRROR_SECONDS} s")
        assert (answer, mirrored.blue.whole[-1]) == (200, size)


def test_a_shadow_has_so_many_copies_at_a_time_and_the_rest_is_counted(mirrored: Mirrored) -> None:
    count = MIRROR_REQUESTS + 100
    with mirrored.to("slow") as shadow, ThreadPoolExecutor(count) as callers:
        copies, left_out = mirrored.seen
        answers = list(callers.map(mirrored.post, [b"x" * 1000] * count))
        at_once = mirrored.router.figure("envoy_cluster_upstream_rq_active", SHADOW)
        assert answers == [200] * count
        wait_for(lambda: sum(mirrored.seen) == copies + left_out + count, "every request is copied or counted")
        made = mirrored.copies() - copies
        print(f"{made} of {count} copied, {at_once} still held")  # more than 16 where callers took longer than 3 s
        assert at_once <= MIRROR_REQUESTS <= made < count
        wait_for(lambda: shadow.begun == made, "the shadow has them")
        wait_for(lambda: mirrored.router.figure("envoy_cluster_upstream_rq_active", SHADOW) == 0, "they are given up")
        assert mirrored.router.figure("envoy_cluster_upstream_rq_max_duration_reached", SHADOW) >= made


def test_copies_are_not_held_in_memory(mirrored: Mirrored) -> None:
    with mirrored.to("slow", 64 * MEBIBYTE), ThreadPoolExecutor(8) as callers:
        before = mirrored.router.memory()
        answers = list(callers.map(mirrored.post, [b"x" * SIZES["20 MB"]] * 8))
        more = mirrored.router.memory() - before
    print(f"8 bodies of 20 MB, copied: {more / MEBIBYTE:.1f} MiB more")
    assert set(answers) == {200}
    assert more < 20 * MEBIBYTE
