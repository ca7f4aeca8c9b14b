"""`make demo`: the fraud example, trained, served, split and mirrored, with 2,000 transactions sent through it.

    python examples/demo.py [--once] [--port 8080] [--folder examples/fraud]

It starts the twin in its own process, as `wye local up examples/fraud` does, and then is a caller like any other: it
sends transactions with a key over a few kept connections and counts who answered. At the end it goes on serving.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import aiohttp
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from scipy.stats import binomtest, chisquare

from wye_operator import settings
from wye_operator.errors import WyeError
from wye_operator.local.sample import curl
from wye_operator.local.twin import Options, Twin
from wye_operator.render.resources import PIN

FRAUD = Path(__file__).parent / "fraud"
sys.path.insert(0, str(FRAUD))  # an example's scripts are no package

from models import is_trained  # noqa: E402
from transactions import as_request, transactions  # noqa: E402

ENDPOINT = "fraud"
REQUESTS, SEED, CONNECTIONS = 2_000, 7, 4
UNLIKELY = 1e-6  # what chance makes less often than this is a fault
STARTS_WITHIN, COPIES_WITHIN = 60.0, 10.0
SENT = re.compile(r'^envoy_cluster_upstream_rq_total\{envoy_cluster_name="([^"]+)"\} (\d+)', re.MULTILINE)
ANSWERED = re.compile(r'^wye_requests_total\{code="(\d+)",route="/score",traffic="\w+"\} (\d+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one transaction; `deployment` is "" where nobody said who answered."""

    deployment: str
    status: int
    seconds: float
    decision: str


@dataclass(frozen=True, slots=True)
class Copies:
    """What a mirror saw: the share to be copied, the copies that the router sent, the answers that it counted."""

    share: float
    sent: int
    answered: int


class Quiet:
    """Keeps what the twin says to itself until the demo's own words are said; then its edits are worth reading."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.speaks = False

    def say(self, text: str) -> None:
        if self.speaks:
            self.console.print(text, highlight=False, markup=False)

    warn = say

    def progress(self, text: str) -> None:
        """The demo has a progress bar of its own."""


def train(folder: Path, console: Console) -> None:
    """Train the models where they are missing, or older than the scripts that make them."""
    if is_trained(folder):
        return
    console.print("training three models (a few seconds)", highlight=False)
    command = [sys.executable, str(FRAUD / "train.py"), "--to", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WyeError(
            "the models could not be trained: " + (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        )
    console.print(done.stdout, end="", highlight=False)


async def up(twin: Twin) -> None:
    """Wait until the endpoint answers as its manifests ask. Raises WyeError with what it waits for."""
    try:
        await twin.wait_for(lambda status: status.ready, STARTS_WITHIN)
    except TimeoutError:
        status = twin.status().endpoints.get(ENDPOINT)
        why = [condition.message for condition in status.conditions if condition.type == "Ready"] if status else []
        raise WyeError(f"not ready after {STARTS_WITHIN:g} s: {'; '.join(why) or 'no Endpoint fraud'}") from None


async def send(url: str, key: str, bodies: Iterable[object], tick: Callable[[], None]) -> list[Answer]:
    """Every body once, over a few kept connections."""
    waiting, answers = iter(bodies), list[Answer]()
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def call() -> None:
            for body in waiting:
                answers.append(await score(session, url, body))
                tick()

        async with asyncio.TaskGroup() as callers:
            for _ in range(CONNECTIONS):
                callers.create_task(call())
    return answers


async def score(session: aiohttp.ClientSession, url: str, body: object) -> Answer:
    """One request; one that fails is an answer with status 0."""
    began = perf_counter()
    try:
        async with session.post(url, json=body) as response:
            fields = await response.json()
            took = perf_counter() - began
            return Answer(response.headers.get(PIN, ""), response.status, took, fields.get("decision", ""))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return Answer("", 0, perf_counter() - began, "")


@contextmanager
def progress(console: Console) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, one line elsewhere."""
    if not console.is_terminal:
        console.print(f"sending {REQUESTS:,} transactions", highlight=False)
        yield lambda: None
        return
    columns = (TextColumn("sending transactions"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=REQUESTS)
        yield lambda: bar.advance(task)


async def copies(twin: Twin) -> dict[str, Copies]:
    """What each mirror was sent and answered; copies travel behind the answers, so the last ones are waited for."""
    shares = twin.status().endpoints[ENDPOINT].mirror_traffic or {}
    async with aiohttp.ClientSession() as session:
        return {name: await copies_of(session, twin, name, share) for name, share in sorted(shares.items())}


async def copies_of(session: aiohttp.ClientSession, twin: Twin, name: str, share: float) -> Copies:
    seen = Copies(share, 0, 0)
    try:
        async with asyncio.timeout(COPIES_WITHIN):
            while not seen.sent or seen.answered < seen.sent:
                seen = await counted(session, twin, name, share)
    except (TimeoutError, aiohttp.ClientError):
        pass  # the table shows what is missing
    return seen


async def counted(session: aiohttp.ClientSession, twin: Twin, name: str, share: float) -> Copies:
    """The router's counter of copies, and the shadow's of answers: both stand on inner ports."""
    inner = twin.inner_urls(ENDPOINT)
    [router] = [url for process, url in inner.items() if process.startswith(f"{ENDPOINT}-router-")]
    shadows = [url for process, url in inner.items() if process.startswith(f"{ENDPOINT}-{name}-")]
    sent = await figures(session, f"{router}/stats/prometheus?filter=upstream_rq_total$", SENT)
    answered = [await figures(session, f"{shadow}/metrics", ANSWERED) for shadow in shadows]
    return Copies(share, int(dict(sent).get(f"{name}~mirror", 0)), sum(int(n) for each in answered for _, n in each))


async def figures(session: aiohttp.ClientSession, url: str, wanted: re.Pattern[str]) -> list[tuple[str, str]]:
    async with session.get(url) as response:
        return wanted.findall(await response.text())


def table(answers: list[Answer], traffic: Mapping[str, float], mirrors: Mapping[str, Copies]) -> Table:
    """Who answered how many, how fast, and what the mirror saw."""
    shown = Table(title=f"{len(answers):,} transactions")
    shown.add_column("deployment", no_wrap=True)
    for column in ("gets", "answered", "errors", "p50 ms", "p99 ms", "review"):
        shown.add_column(column, justify="right")
    for name in sorted({*traffic, *(answer.deployment for answer in answers)}):
        own = [answer for answer in answers if answer.deployment == name]
        shown.add_row(name or "(nobody)", f"{traffic.get(name, 0):g} %", *row(own))
    for name, seen in mirrors.items():
        missing = seen.sent - seen.answered
        shown.add_row(f"{name} (mirror)", f"{seen.share:g} % copy", f"{seen.answered:,}", str(missing), "", "", "")
    return shown


def row(answers: list[Answer]) -> tuple[str, ...]:
    good = [answer for answer in answers if answer.status == 200]
    if not good:
        return "0", str(len(answers)), "", "", ""
    p50, p99 = np.percentile([answer.seconds * 1000 for answer in good], [50, 99])
    review = sum(answer.decision == "review" for answer in good) / len(good)
    return f"{len(good):,}", str(len(answers) - len(good)), f"{p50:.1f}", f"{p99:.1f}", f"{review:.1%}"


def problems(answers: list[Answer], traffic: Mapping[str, float], mirrors: Mapping[str, Copies]) -> Iterator[str]:
    """What chance does not explain."""
    failed = [answer.status for answer in answers if answer.status != 200]
    if failed:
        statuses = ", ".join(str(status or "none") for status in sorted(set(failed)))
        yield f"{len(failed)} of {len(answers)} requests failed (status {statuses})"
    counts = {name: sum(a.deployment == name for a in answers) for name, share in traffic.items() if share}
    if sum(counts.values()) != len(answers):
        yield f"{len(answers) - sum(counts.values())} answers came from a deployment without a share"
    elif (chance := split_chance(counts, traffic)) < UNLIKELY:
        yield f"the split {counts} does not fit the weights {dict(traffic)} (p = {chance:.1e})"
    for name, seen in mirrors.items():
        if binomtest(min(seen.sent, len(answers)), len(answers), seen.share / 100).pvalue < UNLIKELY:
            yield f"{name} was sent {seen.sent} copies of {len(answers)} requests, want about {seen.share:g} %"
        if seen.answered != seen.sent:
            yield f"{name} answered {seen.answered} of the {seen.sent} copies that it was sent"


def split_chance(counts: Mapping[str, int], traffic: Mapping[str, float]) -> float:
    """How often chance makes a split at least this far from the weights (chi-square)."""
    total = sum(counts.values())
    return float(chisquare(list(counts.values()), [total * traffic[name] / 100 for name in counts]).pvalue)


async def demo(twin: Twin, voice: Quiet, folder: Path, *, once: bool) -> int:
    """The exit code."""
    console = voice.console
    async with twin:
        with console.status("starting the router and three models"):
            await up(twin)
        url, keys = f"{twin.url(ENDPOINT)}/score", twin.keys(ENDPOINT)
        key = keys.primary if keys else None
        rows, _ = transactions(REQUESTS, SEED)
        with progress(console) as tick:
            answers = await send(url, key or "", [as_request(row) for row in rows], tick)
        found = await told(twin, answers, console)
        say_how_to_call(console, url, curl(url, key, json.loads((folder / "request.json").read_text())))
        if once:
            return 1 if found else 0
        say_serving(console, folder)
        voice.speaks = True
        await twin.run()
    return 0


async def told(twin: Twin, answers: list[Answer], console: Console) -> list[str]:
    """Print the table and what is wrong; the latter is returned."""
    traffic, mirrors = twin.status().endpoints[ENDPOINT].traffic or {}, await copies(twin)
    console.print(table(answers, traffic, mirrors))
    found = list(problems(answers, traffic, mirrors))
    for problem in found:
        console.print(f"demo: {problem}", highlight=False)
    return found


def say_how_to_call(console: Console, url: str, line: str) -> None:
    """The line to copy is printed as it is: a wrapped one would not work."""
    console.print(f"\n{url}\n", highlight=False)
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def say_serving(console: Console, folder: Path) -> None:
    place = os.path.relpath(folder / "endpoint.yaml")
    console.print(f"\nserving until Ctrl-C; edit {place} and watch the split move", highlight=False, soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="end after the table; exit code 1 when something is wrong")
    parser.add_argument("--port", type=int, default=8080, help="port of the endpoint (8080; 0: any free one)")
    parser.add_argument("--folder", type=Path, default=FRAUD, help="the manifests, in a copy of examples/fraud")
    given = parser.parse_args()
    voice = Quiet(Console())
    try:
        train(given.folder / "models", voice.console)
        code = asyncio.run(serve(given, voice))
    except WyeError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return (0 if voice.speaks else 130) if code is None else code


async def serve(given: argparse.Namespace, voice: Quiet) -> int | None:
    """The exit code, None after a signal."""
    twin = Twin(given.folder, Options(port=given.port, envoy=settings.from_environment().envoy), voice)
    return await twin.until_signalled(demo(twin, voice, given.folder, once=given.once))


if __name__ == "__main__":
    sys.exit(main())
