"""RouterPlans for the router's tests, written by hand."""

from __future__ import annotations

from dataclasses import replace

from wye_operator.plan.record import UNAVAILABLE, Cluster
from wye_operator.plan.wanted import Auth, Hosts, Listener, Pin, RouterPlan, Routes, Sampling, Share, Tracing
from wye_operator.plan.world import Address, Keys

BLUE = Cluster("blue", "default/fraud-blue")
GREEN = Cluster("green", "default/fraud-green")
VIOLET = Cluster("violet", "default/fraud-violet")
MIRROR = Cluster("violet~mirror", "default/fraud-violet", mirror=True)

EITHER_WAY = ("", "traced")  # of a module whose requests may as well go through the listener inside (conftest.py)

FIRST = Keys("first-primary", "first-secondary")


def at(cluster: str, *ports: int, fallback: int = 0) -> Hosts:
    """Addresses on this machine."""
    instances = tuple(Address("127.0.0.1", port) for port in ports)
    return Hosts(cluster, instances, Address("127.0.0.1", fallback) if fallback else None)


EMPTY = RouterPlan(
    listener=Listener(most_request_bytes=10_000, access_log=True),
    clusters=(),
    clusters_version="c-empty",
    hosts=(),
    routes=Routes("NoReadyPod", (), (), (), 5000, 1000),
    auth=Auth(open=False, keys=FIRST, version="a-first"),
    version="v-empty",
)


def to_blue(port: int, auth: Auth) -> RouterPlan:
    """All traffic to one instance of blue."""
    return replace(
        EMPTY,
        clusters=(BLUE,),
        clusters_version="c-blue",
        hosts=(at("blue", port),),
        routes=Routes("Split", (Share("blue", 10_000),), (), (Pin("blue", 5000),), 5000, 1000),
        auth=auth,
    )


def traced(plan: RouterPlan, collector: int, share: int = 10_000, callers: int = 10_000) -> RouterPlan:
    """The same, with traces for a collector on this machine."""
    sampling = Sampling(share, callers)
    to = Tracing("127.0.0.1", collector, sampling.either, "fraud", "default")
    listener, routes = replace(plan.listener, tracing=to), replace(plan.routes, sampling=sampling)
    return replace(plan, listener=listener, routes=routes)


SPLIT = replace(
    EMPTY,
    clusters=(BLUE, GREEN),
    clusters_version="c-split",
    hosts=(at("blue", 9101, 9102, fallback=9100), at("green", 9201)),
    routes=Routes(
        "Split",
        (Share("blue", 9975), Share("green", 25)),
        (),
        (Pin("blue", 5000), Pin("green", 300_000)),
        300_000,
        1_048_576,
    ),
)

MIRRORED = replace(
    SPLIT,
    clusters=(BLUE, GREEN, VIOLET, MIRROR),
    clusters_version="c-mirrored",
    hosts=(*SPLIT.hosts, at("violet", 9301)),
    routes=replace(
        SPLIT.routes,
        mirrors=(Share("violet~mirror", 1),),
        pins=(*SPLIT.routes.pins, Pin("violet", 1)),
    ),
)

TWENTY = replace(
    EMPTY,
    clusters=tuple(Cluster(f"d{n:02}", f"default/fraud-d{n:02}") for n in range(20)),
    clusters_version="c-twenty",
    hosts=tuple(at(f"d{n:02}", 9400 + n) for n in range(20)),
    routes=Routes(
        "Split",
        tuple(Share(f"d{n:02}", 500) for n in range(20)),
        (),
        tuple(Pin(f"d{n:02}", 5000) for n in range(20)),
        5000,
        1,
    ),
)

TABLE = {
    "an Endpoint without Deployments": EMPTY,
    "two Deployments, 99.75 and 0.25": SPLIT,
    "a mirror of 0.01 percent": MIRRORED,
    "a mirror of everything": replace(
        MIRRORED, routes=replace(MIRRORED.routes, mirrors=(Share("violet~mirror", 10_000),))
    ),
    "twenty Deployments": TWENTY,
    "no live traffic, pins only": replace(SPLIT, routes=replace(SPLIT.routes, plain="NoLiveTraffic", shares=())),
    "half of the traffic is lost": replace(
        SPLIT,
        routes=replace(SPLIT.routes, shares=(Share("blue", 5000), Share(UNAVAILABLE, 5000))),
    ),
    "a share of nothing is left out": replace(
        SPLIT, routes=replace(SPLIT.routes, shares=(Share("blue", 10_000), Share("green", 0)))
    ),
    "a cluster without addresses": replace(SPLIT, hosts=(at("blue", 9101), at("green"))),
    "only the fallback address": replace(SPLIT, hosts=(at("blue", fallback=9100), at("green", 9201))),
    "keys that are not there yet": replace(SPLIT, auth=Auth(open=False, keys=None, version="a-none")),
    "equal keys": replace(SPLIT, auth=Auth(open=False, keys=Keys("same", "same"), version="a-same")),
    "open to everybody": replace(SPLIT, auth=Auth(open=True, keys=None, version="a-open")),
}
