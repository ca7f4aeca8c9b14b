"""`make bench-operator`: many Endpoints at one operator, on fake nodes in a real cluster.

    python tests/bench/scale.py [--endpoints 50 1000]

Three Deployments for each Endpoint, and a cluster of its own for each number of them, which ends with the run. The
operator is that of this checkout, with the chart's permissions. Figures and goals are printed, and kept in
tests/bench/.results.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

import machine
from rich.console import Console

from cluster.harness.machine import backend
from cluster.harness.places import CHECKOUT
from cluster.harness.say import Refusal
from cluster.kube import Cluster
from cluster.scale.crowd import crowd
from cluster.scale.figures import WRITES, Calls, Figures, less, most_frequent, total, value_in
from cluster.scale.fleet import NAMES, Fleet, fleet
from cluster.scale.operating import Operating, account, operating

RESULTS = Path(__file__).with_name(".results")
IN_A_NAMESPACE = 50
PODS = len(NAMES) + 1  # of each Endpoint: one for each Deployment, and the router
REST = float(os.environ.get("REST", "60"))
PATIENCE = 3600.0  # seconds for all to be Ready, on a machine that has other work too
MEMORY = {50: 100.0, 1000: 250.0}  # MB, by the number of Endpoints


@dataclass
class Bench:
    """One run: the same Endpoints from nothing, at rest, edited, and through a restart."""

    endpoints: int
    cluster: Cluster
    kubeconfig: Path
    figures: Figures

    async def run(self, namespaces: list[str]) -> None:
        names = [(namespaces[i // IN_A_NAMESPACE], f"e{i:04}") for i in range(self.endpoints)]
        async with fleet(self.cluster, names) as own:
            with operating(self.cluster, self.kubeconfig, RESULTS / "operator.log") as operator:
                empty = operator.spent()
                self.figures.add("memory with nothing to do", empty.megabytes, "{:.0f} MB")
                await self._from_nothing(own, operator, empty.megabytes)
                await self._at_rest(operator, "at rest")
                await self._edits(own, operator)
                await asyncio.to_thread(operator.settled)
            versions = await own.versions()
            with operating(self.cluster, self.kubeconfig, RESULTS / "operator-restarted.log") as operator:
                await self._restarted(operator)
                changed = [n for n, v in (await own.versions()).items() if versions.get(n) != v]
                self.figures.add("restart: objects changed", len(changed), goal=0)
                await self._at_rest(operator, "at rest after it")
                await self._edit_while_busy(own)

    async def _from_nothing(self, own: Fleet, operator: Operating, empty: float) -> None:
        before, begun = operator.calls(), time.monotonic()
        self.figures.add("all applied after", await own.create(), "{:.0f} s")
        await own.all_ready(PATIENCE)
        self.figures.add("all Ready after", time.monotonic() - begun, "{:.0f} s")
        await asyncio.to_thread(operator.settled)
        page, spent = operator.metrics(), operator.spent()
        self._add_calls(less(operator.calls(), before), await own.children() / self.endpoints)
        self.figures.add("passes for each", value_in(page, "wye_passes_total{") / self.endpoints, "{:.1f}")
        self.figures.add("passes that failed", value_in(page, 'wye_passes_total{result="failed"}'))
        self.figures.add("processor time", spent.cpu, "{:.1f} s")
        self.figures.add("processor time for each", spent.cpu / self.endpoints * 1000, "{:.0f} ms")
        objects = value_in(page, "wye_objects{")
        goal = MEMORY.get(self.endpoints)
        self.figures.add("memory", spent.megabytes, "{:.0f} MB", goal)
        self.figures.add("memory at most", spent.peak, "{:.0f} MB", goal)
        self.figures.add("objects known", objects)
        self.figures.add("memory for 1,000 objects", (spent.megabytes - empty) / objects * 1000, "{:.2f} MB")

    def _add_calls(self, calls: Calls, children: float) -> None:
        """A step of the routing is a write of a router's files. Secrets are read by the clock and not counted."""
        steps = calls.get(("PATCH", "configmaps"), 0) / self.endpoints - PODS
        counted = total(calls) - calls.get(("GET", "secrets"), 0)
        self.figures.add("objects made for each", children, "{:.1f}")
        self.figures.add("steps of the routing of each", steps, "{:.1f}")
        self.figures.add("API calls for each", counted / self.endpoints, "{:.1f}", children + 2 + steps)
        for what, each in most_frequent(calls, self.endpoints):
            if each >= 0.1:
                self.figures.add(f"    {what}", each, "{:.2f}")

    async def _at_rest(self, operator: Operating, what: str) -> None:
        await asyncio.to_thread(operator.settled)
        await asyncio.sleep(10)  # what the last pass planned
        calls, spent = operator.calls(), operator.spent()
        await asyncio.sleep(REST)
        after, used = less(operator.calls(), calls), operator.spent().cpu - spent.cpu
        self.figures.add(f"{REST:.0f} s {what}: writes", total(after, WRITES), goal=0)
        self.figures.add(f"{REST:.0f} s {what}: reads", total(after))
        self.figures.add(f"{REST:.0f} s {what}: processor", used / REST, "{:.1%} of a core", 0.02)

    async def _edits(self, own: Fleet, operator: Operating) -> None:
        before = operator.calls()
        took = [await own.edit(own.names[i * 7 % len(own.names)], {"blue": 30 + i, "green": 70 - i}) for i in range(9)]
        self.figures.add("one edit among them in effect", median(took), "{:.2f} s", 1.0)
        self.figures.add("  the slowest of nine", max(took), "{:.2f} s")
        self.figures.add("API calls for an edit", total(less(operator.calls(), before)) / len(took), "{:.1f}")

    async def _restarted(self, operator: Operating) -> None:
        begun = time.monotonic()
        await asyncio.to_thread(operator.settled, self.endpoints)
        calls, spent = operator.calls(), operator.spent()
        self.figures.add("restart: through all after", time.monotonic() - begun, "{:.1f} s")
        self.figures.add("restart: writes", total(calls, WRITES), goal=0)
        self.figures.add("restart: reads", total(calls))
        self.figures.add("restart: processor time", spent.cpu, "{:.1f} s")
        self.figures.add("restart: memory", spent.megabytes, "{:.0f} MB")
        self.figures.add("restart: memory at most", spent.peak, "{:.0f} MB", MEMORY.get(self.endpoints))

    async def _edit_while_busy(self, own: Fleet) -> None:
        """All others are edited at once; a second later, one more."""
        *others, last = own.names
        begun = time.monotonic()
        rest = asyncio.gather(*(own.edit(each, {"blue": 10, "green": 90}) for each in others))
        await asyncio.sleep(1)
        self.figures.add("an edit behind all others", await own.edit(last, {"blue": 20, "green": 80}), "{:.2f} s")
        await rest
        self.figures.add("  those others in effect after", time.monotonic() - begun, "{:.0f} s")


@contextmanager
def cluster_up() -> Iterator[Cluster]:
    """A cluster for this run alone, on which nothing else costs time."""
    os.environ["WYE_CLUSTER_BACKEND"] = "bare"  # the fake pods' addresses have to be this machine's
    found = backend()
    if found.is_up():
        raise Refusal("a cluster is up: end it (make cluster-down), or take another slot (WYE_CLUSTER_SLOT=1)")
    try:
        found.up()
        own = Cluster.of(found)
        crds = str(CHECKOUT / "crds")
        own.kubectl("apply", "--server-side", "-f", crds)
        own.kubectl("wait", "--for=condition=Established", "-f", crds, "--timeout=30s")
        yield own
    finally:
        found.down()


def bench(endpoints: int, figures: Figures) -> None:
    """All figures of one number of Endpoints."""
    with cluster_up() as own, tempfile.TemporaryDirectory() as folder:
        namespaces = [f"scale-{number}" for number in range(-(-endpoints // IN_A_NAMESPACE))]
        own.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces))
        kubeconfig = account(own, Path(folder))
        with crowd(own, endpoints * PODS, RESULTS):
            asyncio.run(Bench(endpoints, own, kubeconfig, figures).run(namespaces))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoints", type=int, nargs="+", default=[50, 1000])
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended
    RESULTS.mkdir(exist_ok=True)
    console = Console(width=110)
    facts, tables, failed = machine.facts(), [], 0
    for endpoints in given.endpoints:
        print(f"== {endpoints} Endpoints", flush=True)
        figures = Figures()
        try:
            bench(endpoints, figures)
        except (Refusal, AssertionError, TimeoutError) as error:
            print(f"it ended early: {error!r}; logs are in {RESULTS}", file=sys.stderr)
            failed = 1
        tables.append(figures.table(f"{endpoints} Endpoints with {len(NAMES)} Deployments each, one operator"))
        (RESULTS / f"operator-{endpoints}.json").write_text(json.dumps([facts, figures.plain()], indent=1) + "\n")
    for name, fact in facts:
        console.print(f"{name:12} {fact}", highlight=False, soft_wrap=True)
    for table in tables:
        console.print(table)
    return failed


if __name__ == "__main__":
    sys.exit(main())
