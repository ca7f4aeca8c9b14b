"""When routers speak HTTPS, with which certificate, and what the status says of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from make import NOW, condition, deployment, edited, settle, world
from wye_operator.api.status import Reason
from wye_operator.plan.planner import plan
from wye_operator.plan.wanted import Plan, Tls
from wye_operator.plan.world import Certificate, Obstacle, TlsSeen, World
from wye_operator.render.tls import FILE, certificate_file, in_force

BLUE = deployment("blue")
TLS: dict[str, Any] = {"tls": {"secretName": "fraud-tls"}}
GOOD, NEXT = Certificate("chain", "key", NOW + 500), Certificate("next", "key", NOW + 900)
MISSING = Obstacle(Reason.CERTIFICATE_NOT_FOUND, "there is no Secret fraud-tls")
WRONG = Obstacle(Reason.CERTIFICATE_INVALID, "Secret fraud-tls: it has no tls.key")


def shown(made: Plan) -> Tls | None:
    assert made.router
    assert (made.router.tls is not None) == made.router.listener.tls
    return made.router.tls


def with_tls(seen: World, **change: Any) -> World:
    return dataclasses.replace(
        seen, tls=dataclasses.replace(seen.tls, **{"certificate": None, "obstacle": None} | change)
    )


def message(made: Plan) -> str:
    assert made.endpoint_status
    return made.endpoint_status.conditions[0].message


def test_a_certificate_that_fits_is_shown_until_it_expires() -> None:
    seen, made = settle(world(BLUE, spec=TLS, tls=TlsSeen(GOOD)))
    assert shown(made) == Tls(GOOD, shown(made).version)  # type: ignore[union-attr]
    assert condition(made, "Ready") == ("True", "Ready")
    assert made.look_again == 500
    renewed = plan(with_tls(seen, certificate=NEXT))
    assert condition(renewed, "Ready") == ("False", "RouterBehind")
    assert settle(with_tls(seen, certificate=NEXT))[1].router.version != made.router.version  # type: ignore[union-attr]


BAD = {
    "missing": (MISSING, ("False", "True", "False")),
    "wrong": (WRONG, ("False", "False", "True")),
}


@pytest.mark.parametrize(("obstacle", "states"), BAD.values(), ids=BAD)
def test_the_last_good_one_stays_in_force(obstacle: Obstacle, states: tuple[str, str, str]) -> None:
    seen, _ = settle(world(BLUE, spec=TLS, tls=TlsSeen(GOOD)))
    made = settle(with_tls(seen, obstacle=obstacle))[1]
    assert shown(made) == Tls(None, "")
    assert made.endpoint_status
    assert [(c.status, c.reason) for c in made.endpoint_status.conditions[:3]] == [(s, obstacle.reason) for s in states]
    assert message(made) == f"{obstacle.message}; the last good one stays in force"
    assert condition(made, "Serving") == ("True", "Serving")


@pytest.mark.parametrize("obstacle", [MISSING, WRONG], ids=["missing", "wrong"])
def test_a_new_endpoint_is_never_served_without_tls(obstacle: Obstacle) -> None:
    seen, made = settle(world(BLUE, spec=TLS, tls=TlsSeen(obstacle=obstacle)))
    assert shown(made) == Tls(None, "")
    assert message(made) == f"{obstacle.message}; until there is one, nobody is served"
    assert condition(made, "Serving") == ("False", "CertificateNotFound")
    assert seen.tls.in_force == "placeholder"
    made = settle(with_tls(seen, certificate=GOOD))[1]
    assert (condition(made, "Ready"), condition(made, "Serving")) == (("True", "Ready"), ("True", "Serving"))


def test_one_that_is_served_without_goes_on_until_its_first_certificate_fits() -> None:
    seen, before = settle(world(BLUE))
    seen = with_tls(edited(seen, **TLS), obstacle=MISSING)
    made = settle(seen)[1]
    assert shown(made) is None
    assert made.router.listener == before.router.listener  # type: ignore[union-attr]
    assert message(made) == "there is no Secret fraud-tls; until there is one, routers go on without TLS"
    assert condition(made, "Serving") == ("True", "Serving")
    assert shown(settle(with_tls(seen, certificate=GOOD))[1])


def test_without_tls_there_is_none_again() -> None:
    seen, _ = settle(world(BLUE, spec=TLS, tls=TlsSeen(GOOD)))
    made = settle(with_tls(edited(seen)))[1]
    assert shown(made) is None


def test_the_cookie_goes_by_https_only() -> None:
    sticky = {"sticky": {"cookie": "who"}}
    _, plain = settle(world(BLUE, spec=sticky))
    _, made = settle(world(BLUE, spec=sticky | TLS, tls=TlsSeen(GOOD)))
    assert [p.router.routes.sticky.secure for p in (plain, made)] == [False, True]  # type: ignore[union-attr]


FILES: dict[str, tuple[dict[str, bytes], str]] = {
    "no files": ({}, "nothing"),
    "no file of TLS": ({"auth.json": b"{}"}, "plain"),
    "a certificate": ({FILE: certificate_file(Tls(GOOD, "1"))}, "certificate"),
    "none yet": ({FILE: certificate_file(Tls(None, ""))}, "placeholder"),
    "a file that somebody emptied": ({FILE: b""}, "placeholder"),
    "a file that somebody broke": ({FILE: b"\xff{"}, "placeholder"),
    "a file of another form": ({FILE: b"[]"}, "placeholder"),
    "a file with nothing of ours": ({FILE: b"{}"}, "placeholder"),
}


@pytest.mark.parametrize(("files", "wanted"), FILES.values(), ids=FILES)
def test_what_routers_have_is_read_from_their_files(files: dict[str, bytes], wanted: str) -> None:
    assert in_force(files) == wanted
