"""The logs of several pods as one: read and put in order, or followed while pods come and go. For `wye logs`.

A container is read once for each of its lives (its containerID). While following, the pods are looked at every two
seconds; each life that is new gets a thread that ends with it. A stream that breaks is taken up where it stopped.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from wye_operator.cli.kubeconfig import Api
from wye_operator.cluster.errors import ApiError, Forbidden, Unavailable
from wye_operator.cluster.kinds import Object

EVERY = 2.0  # seconds between two looks at the pods
STAMP = re.compile(r"(\S+?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?")

Instant = tuple[int, int]  # seconds since the epoch, nanoseconds
NEVER: Instant = (0, 0)


@dataclass(frozen=True, slots=True)
class Source:
    """One life of a container. `running` False: its log has an end."""

    namespace: str
    pod: str
    container: str
    life: str
    running: bool
    is_init: bool

    @property
    def label(self) -> str:
        """What stands before its lines."""
        return f"{self.pod} {self.container}" if self.is_init else self.pod


@dataclass(frozen=True, slots=True)
class Line:
    """One line, when it was written, and by whom."""

    at: Instant
    source: Source
    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """How much of a log: the last lines (None: all), the last seconds, the life before."""

    tail: int | None = None
    since: int | None = None
    previous: bool = False

    def query(self) -> dict[str, str]:
        """As the API server takes it."""
        tail = {} if self.tail is None else {"tailLines": str(self.tail)}
        since = {} if self.since is None else {"sinceSeconds": str(self.since)}
        return {**tail, **since, **({"previous": "true"} if self.previous else {})}


def sources_of(pods: Iterable[Object]) -> list[Source]:
    """Every container that has begun, in order of pods; an init container before the others."""
    return [
        Source(
            namespace=pod["metadata"]["namespace"],
            pod=pod["metadata"]["name"],
            container=status["name"],
            life=f"{pod['metadata']['uid']}/{status['containerID']}",
            running="running" in (status.get("state") or {}),
            is_init=is_init,
        )
        for pod in sorted(pods, key=lambda p: str(p["metadata"]["name"]))
        for part, is_init in (("initContainerStatuses", True), ("containerStatuses", False))
        for status in (pod.get("status") or {}).get(part) or ()
        if status.get("containerID")
    ]


def read(api: Api, sources: Sequence[Source], span: Range) -> tuple[list[Line], list[str]]:
    """(all lines in the order in which they were written, why a container has none)."""
    found: list[Line] = []
    silent = []
    for source in sources:
        try:
            found += _lines(api, source, span.query())
        except (Forbidden, Unavailable):
            raise
        except ApiError as error:  # the pod is gone, or the container has no such log
            silent.append(f"{source.label}: {error}")
    return sorted(found, key=lambda line: line.at), silent


@dataclass(slots=True)
class Following:
    """Follows what `pods` finds, until the process ends."""

    api: Api
    pods: Callable[[], list[Object]]
    span: Range
    warn: Callable[[str], None]
    every: float = EVERY
    _arrived: queue.Queue[Line | Source | Forbidden] = field(default_factory=lambda: queue.Queue(10_000))
    _open: set[str] = field(default_factory=set)
    _done: set[str] = field(default_factory=set)
    _last: dict[str, Instant] = field(default_factory=dict)
    _warned: str = ""

    def lines(self) -> Iterator[Line]:
        """The lines as they arrive."""
        span = self.span
        while True:
            if self._look(span):
                span = Range()  # who comes later is read from its first line
            yield from self._until(time.monotonic() + self.every)

    def _look(self, span: Range) -> bool:
        """Open what is new; whether the pods could be seen, and there are any."""
        try:
            sources = sources_of(self.pods())
        except Unavailable as error:
            self._tell(f"{error}; asking again")
            return False
        self._tell("" if sources else "waiting for a pod")
        for source in sources:
            if source.life not in self._open | self._done:
                self._begin(source, span)
        return bool(sources)

    def _begin(self, source: Source, span: Range) -> None:
        self._open.add(source.life)
        if not source.running:
            self._done.add(source.life)
        last = self._last.get(source.life)
        query = {"follow": "true"} | ({"sinceTime": _seconds(last)} if last else span.query())
        name = f"log of {source.label}"
        threading.Thread(target=self._stream, args=(source, query, last or NEVER), name=name, daemon=True).start()

    def _stream(self, source: Source, query: dict[str, str], after: Instant) -> None:
        try:
            for line in _lines(self.api, source, query):
                if line.at > after:
                    self._arrived.put(line)
        except Forbidden as error:
            self._arrived.put(error)
        except ApiError:  # it broke off: the next look opens it again where that makes sense
            pass
        finally:
            self._arrived.put(source)

    def _until(self, end: float) -> Iterator[Line]:
        while (left := end - time.monotonic()) > 0:
            try:
                arrived = self._arrived.get(timeout=left)
            except queue.Empty:
                return
            if isinstance(arrived, Line):
                self._last[arrived.source.life] = arrived.at
                yield arrived
            elif isinstance(arrived, Forbidden):
                raise arrived
            else:
                self._open.discard(arrived.life)

    def _tell(self, text: str) -> None:
        if text and text != self._warned:
            self.warn(text)
        self._warned = text


def _lines(api: Api, source: Source, query: dict[str, str]) -> Iterator[Line]:
    asked = {"container": source.container, "timestamps": "true", **query}
    at = NEVER
    for text in api.log(source.namespace, source.pod, asked):
        stamp = STAMP.match(text)
        at, rest = (_instant(stamp), text[stamp.end() :]) if stamp else (at, text)
        yield Line(at, source, rest)


def _instant(stamp: re.Match[str]) -> Instant:
    """Kubelet writes nine digits of a second, or fewer, in the node's time zone."""
    try:
        seconds = int(datetime.fromisoformat(stamp[1] + stamp[3]).timestamp())
    except ValueError:
        return NEVER
    return seconds, int((stamp[2] or "").ljust(9, "0"))


def _seconds(at: Instant) -> str:
    """As `sinceTime` has it, which knows whole seconds only."""
    return datetime.fromtimestamp(at[0], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
