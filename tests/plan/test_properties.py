"""Whatever the sequence of edits, deaths and acknowledgements: the promises of "Traffic, exactly" hold.

The simulator is a world around the planner: routers that take files late, in no order, or not at all, as Envoy does
(a route that names a missing cluster is rejected; a cluster that leaves while a route names it is the accident).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

import make
from wye_operator.plan.acknowledged import is_late
from wye_operator.plan.names import deployment_of
from wye_operator.plan.planner import plan
from wye_operator.plan.record import UNAVAILABLE
from wye_operator.plan.routes import named_by
from wye_operator.plan.shares import WHOLE, scaled
from wye_operator.plan.wanted import Plan, RouterPlan
from wye_operator.plan.world import RouterSeen, Taken, WorkloadSeen

NAMES = ("blue", "green", "red", "violet")


@st.composite
def traffic(draw):
    """A valid traffic: absent, empty, or parts of the whole."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    if not names:
        return draw(st.sampled_from([None, {}]))
    cuts = sorted(draw(st.lists(st.integers(0, WHOLE), min_size=len(names) - 1, max_size=len(names) - 1)))
    edges = [0, *cuts, WHOLE]
    return {n: (b - a) / 100 for n, a, b in zip(names, edges, edges[1:], strict=False)}


@st.composite
def endpoint_specs(draw):
    """A valid Endpoint spec."""
    spec = {"failover": draw(st.sampled_from(["Redistribute", "Fail"]))}
    live = draw(traffic())
    if live is not None:
        spec["traffic"] = live
    free = [n for n in NAMES if not (live or {}).get(n)]
    mirrored = draw(st.lists(st.sampled_from(free), unique=True, max_size=2)) if free else []
    if mirrored:
        spec["mirrorTraffic"] = {n: draw(st.sampled_from([0, 10, 100])) for n in mirrored}
    return spec


names, routers = st.sampled_from(NAMES), st.integers(0, 2)
steps = st.one_of(
    st.tuples(st.just("edit"), endpoint_specs()),
    st.tuples(st.just("split"), names, names, st.integers(1, 99)),
    st.tuples(st.just("add"), names),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("ending"), names),
    st.tuples(st.just("ready"), names, st.integers(0, 2)),
    st.tuples(st.just("take"), routers, st.sampled_from(["clusters", "routes", "hosts", "all"])),
    st.tuples(st.just("late"), routers, st.sampled_from(["clusters", "routes"])),
    st.tuples(st.just("start"), routers),
    st.tuples(st.just("stop"), routers),
    st.tuples(st.just("mute"), routers),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 11, 700])),
)


@dataclass
class Envoy:
    """One router: what it has, whether it runs, whether its stats could be read."""

    clusters: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    taken: Taken = Taken()
    runs: bool = False
    mute: bool = False
    read: dict[str, int] = field(default_factory=dict)  # of which pass the file was that it took last, by kind


@dataclass
class Simulator:
    """Files as the planner wrote them last, and three routers that read them."""

    world: object = field(
        default_factory=lambda: make.world(make.deployment("blue"), make.deployment("green"), spec={})
    )
    envoys: list[Envoy] = field(default_factory=lambda: [Envoy() for _ in range(3)])
    made: Plan | None = None
    written: list[RouterPlan] = field(default_factory=list)  # by each pass

    def do(self, step) -> None:
        getattr(self, "do_" + step[0])(*step[1:])

    def do_edit(self, spec) -> None:
        self.world = make.edited(self.world, **spec)

    def do_split(self, one, other, share) -> None:
        self.do_edit({"traffic": {one: 100} if one == other else {one: share, other: 100 - share}})

    def do_add(self, name) -> None:
        if all(d.name != name for d in self.world.deployments):
            added = make.deployment(name, created=self.world.now)
            self.world = dataclasses.replace(self.world, deployments=(*self.world.deployments, added))

    def do_delete(self, name) -> None:
        self.world = make.without(self.world, name)

    def do_ending(self, name) -> None:
        self.world = make.ending(self.world, name)

    def do_ready(self, name, count) -> None:
        if any(d.name == name for d in self.world.deployments):
            self.world = make.with_ready(self.world, **{name: count})

    def do_wait(self, seconds) -> None:
        self.world = dataclasses.replace(self.world, now=self.world.now + seconds)

    def do_mute(self, index) -> None:
        self.envoys[index].mute = not self.envoys[index].mute

    def do_stop(self, index) -> None:
        self.envoys[index] = Envoy()

    def do_start(self, index) -> None:
        """A router starts with the files as they are."""
        if not self.envoys[index].runs and self.made:
            self.envoys[index] = Envoy(runs=True)
            self.do_take(index, "all")

    def do_late(self, index, what) -> None:
        """It takes what it read before the last pass wrote."""
        before = len(self.written) - 2
        if before >= 0 and self.envoys[index].read.get(what, before) < before:
            self.take(self.envoys[index], what, before)

    def do_take(self, index, what) -> None:
        if self.envoys[index].runs and self.written:
            self.take(self.envoys[index], what, len(self.written) - 1)

    def take(self, envoy: Envoy, what: str, at: int) -> None:
        written = self.written[at]
        kinds = ("clusters", "routes") if what == "all" else (what,)
        envoy.read |= dict.fromkeys(kinds, at)
        if what in ("clusters", "all"):
            self.take_clusters(envoy, written)
        if what in ("hosts", "all"):
            hosts = {h.cluster: h.version for h in written.hosts if h.cluster in envoy.clusters}
            envoy.taken = dataclasses.replace(envoy.taken, endpoints=hosts)
        named = frozenset(c.name for c in named_by(written.routes, written.clusters))
        if what in ("routes", "all") and named <= envoy.clusters:
            envoy.named = named
            envoy.taken = dataclasses.replace(envoy.taken, routes=written.routes.version, auth=written.auth.version)

    def take_clusters(self, envoy: Envoy, written: RouterPlan) -> None:
        clusters = frozenset(c.name for c in written.clusters)
        assert envoy.named <= clusters, "a cluster left a router whose routes name it"
        envoy.clusters = clusters
        envoy.taken = dataclasses.replace(envoy.taken, clusters=written.clusters_version)

    def run_pass(self) -> None:
        """One pass of the operator, with the promises checked on what it writes."""
        self.world = dataclasses.replace(
            self.world,
            routers=tuple(
                RouterSeen(f"router-{i}", ready=True, taken=Taken() if e.mute else e.taken)
                for i, e in enumerate(self.envoys)
                if e.runs
            ),
        )
        made = plan(self.world)
        self.check_same_bytes(made)
        self.check_new_routes(made)
        self.check_weights(made)
        self.check_addresses(made)
        self.made = made
        self.written.append(made.router)
        self.world = make.after(self.world, made)

    def check_same_bytes(self, made: Plan) -> None:
        turned = dataclasses.replace(
            self.world,
            deployments=tuple(reversed(self.world.deployments)),
            workloads=dict(reversed(list(self.world.workloads.items()))),
            routers=tuple(reversed(self.world.routers)),
        )
        again = plan(turned)
        assert (again.router, again.workloads, again.record) == (made.router, made.workloads, made.record)

    def check_new_routes(self, made: Plan) -> None:
        before = {c.name for c in self.made.record.routes[-1].clusters} if self.made else set()
        now = {c.name for c in made.record.routes[-1].clusters}
        for index, envoy in enumerate(self.envoys):
            seen = next((r for r in self.world.routers if r.name == f"router-{index}"), None)
            if seen and not is_late(self.world, seen):
                assert now - before <= envoy.clusters, "a route was sent before a waited-for router had its cluster"

    def check_addresses(self, made: Plan) -> None:
        written = {hosts.cluster for hosts in made.router.hosts}
        for envoy in self.envoys:
            if envoy.runs and not envoy.mute:
                assert {deployment_of(name) for name in envoy.clusters} <= written, (
                    "a router lost a file that it watches"
                )
        found = {hosts.cluster: hosts.instances for hosts in made.router.hosts}
        for envoy in self.envoys:
            for name in map(deployment_of, envoy.named):
                there = self.world.workloads.get(f"fraud-{name}", WorkloadSeen()).addresses
                assert found.get(name, ()) == there, "a router that names a deployment lost who still answers there"

    def check_weights(self, made: Plan) -> None:
        weights = {s.cluster: s.weight for s in made.router.routes.shares}
        assert (made.router.routes.plain == "Split") == bool(weights)
        assert not weights or sum(weights.values()) == WHOLE
        assert all(weight > 0 for weight in weights.values())
        before = {s.cluster: s.weight for s in self.made.router.routes.shares} if self.made else {}
        ready = {
            d.name
            for d in self.world.deployments
            if self.world.workloads.get(d.object_name) and self.world.workloads[d.object_name].ready
        }
        gained = {n for n, w in weights.items() if w > before.get(n, 0)} - {UNAVAILABLE}
        if self.world.endpoint.spec.failover == "Fail":  # a lost share stays where it is, and is answered 503
            gained -= {n for n in gained if weights[n] == (made.record.traffic or {}).get(n)}
        if ready & set(weights):
            assert gained <= ready, "somebody who is not ready gained share while another one answers"
        mirrored = {s.cluster.removesuffix("~mirror") for s in made.router.routes.mirrors}
        assert mirrored <= ready
        assert not mirrored & set(weights)

    def settle(self) -> None:
        """Everybody takes everything: soon nothing changes any more."""
        for envoy in self.envoys:
            envoy.mute = False
        last = None
        for _ in range(12):
            self.run_pass()
            for index in range(3):
                self.do_take(index, "all")
            if last == (self.world, self.made):
                return
            last = (self.world, self.made)
        raise AssertionError("it does not settle")


@settings(max_examples=max(400, settings().max_examples))
@given(st.lists(steps, min_size=5, max_size=40))
@example([("delete", "blue"), ("add", "blue"), ("delete", "blue"), ("add", "green"), ("mute", 0)])
@example(
    [  # a router whose stats cannot be read keeps old routes and takes the clusters late
        ("split", "blue", "green", 50),
        ("take", 0, "all"),
        ("mute", 0),
        ("delete", "green"),
        ("take", 0, "clusters"),
        ("wait", 11),
        ("start", 1),
        ("wait", 11),
        ("take", 1, "all"),
        ("wait", 0.5),
        ("take", 0, "clusters"),
    ]
)
def test_no_sequence_breaks_a_promise(sequence) -> None:
    simulator = Simulator()
    simulator.run_pass()
    simulator.do_start(0)
    for step in sequence:
        simulator.do(step)
        simulator.run_pass()
    simulator.settle()
    assert len(simulator.made.record.clusters) == 1 or not any(e.runs for e in simulator.envoys)


@settings(max_examples=300)
@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, WHOLE), min_size=1, max_size=20))
def test_scaled_shares_add_up_and_keep_the_proportion(parts) -> None:
    result = scaled(parts)
    assert sum(result.values()) == WHOLE
    total = sum(parts.values())
    assert all(abs(result.get(n, 0) - share * WHOLE / total) < 1 for n, share in parts.items())
