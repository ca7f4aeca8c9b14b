"""Pods' inner ports, asked again and again, for `wye top`: in a cluster by port-forwards that stay open, here directly.

No network policy stands in the way of a port-forward: it ends inside of the pod.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from wye_operator.cli.kubeconfig import Api
from wye_operator.cli.samples import QUEUE, Place, Tally, of_model, of_router
from wye_operator.cluster.errors import Forbidden, Unavailable
from wye_operator.errors import WyeError
from wye_operator.plan.names import ROUTER
from wye_operator.render.kubernetes.place import INNER

PATIENCE, HASTE = 5.0, 2.0  # seconds for one page; and for that of a pod which did not answer when it was last asked
AT_ONCE = 16  # pods that are asked at a time
PAGES = {True: "/stats/prometheus", False: "/metrics"}


@dataclass(frozen=True, slots=True)
class Pod:
    """One whose figures are wanted. `address`: host and port on this machine, "" in a cluster."""

    namespace: str
    endpoint: str
    deployment: str  # "" for a router
    component: str
    name: str
    address: str = ""

    @property
    def is_router(self) -> bool:
        """Or a model."""
        return self.component == ROUTER


Reading = Mapping[Place, Tally]


@dataclass(frozen=True, slots=True)
class Look:
    """What all pods said at one moment, and why some said nothing."""

    at: float
    readings: Mapping[Pod, Reading]
    silent: Mapping[Pod, str] = field(default_factory=dict)


class Line:
    """A connection to one pod that is kept; it is opened anew when it broke."""

    def __init__(self, pod: Pod, api: Api | None) -> None:
        self._pod, self._api = pod, api
        self._open = ExitStack()
        self._http: http.client.HTTPConnection | None = None
        self._patience = PATIENCE

    def page(self) -> str:
        """Its figures. Raises WyeError or OSError. Who stands still is asked once, as all others wait meanwhile."""
        kept = self._http is not None
        try:
            return self._asked()
        except (TimeoutError, Unavailable):
            self._patience = HASTE
            self.close()
            raise
        except (OSError, http.client.HTTPException):
            self.close()
            if not kept:
                raise
            return self._asked()

    def _asked(self) -> str:
        line = self._http = self._http or self._opened()
        line.timeout = self._patience  # of connecting
        if line.sock is not None:
            line.sock.settimeout(self._patience)
        line.request("GET", PAGES[self._pod.is_router])
        answer = line.getresponse()
        text = answer.read().decode(errors="replace")
        self._patience = PATIENCE
        if answer.status != 200:
            raise WyeError(f"it answers {answer.status}")
        return text

    def _opened(self) -> http.client.HTTPConnection:
        if self._api is None:
            host, _, port = self._pod.address.rpartition(":")
            line = http.client.HTTPConnection(host, int(port))
        else:
            pod = self._pod
            forward = self._open.enter_context(self._api.forward(pod.namespace, pod.name, INNER, 2 * self._patience))
            line = http.client.HTTPConnection(self._pod.name)
            line.sock = forward.socket(INNER)
        self._open.callback(line.close)
        return line

    def close(self) -> None:
        """End it."""
        self._http = None
        self._open.close()


class Watch:
    """Lines to all pods that are there now."""

    def __init__(self, pods: Callable[[], Sequence[Pod]], api: Api | None) -> None:
        self._pods, self._api = pods, api
        self._lines: dict[Pod, Line] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="top")

    def look(self) -> Look:
        """Ask all of them at once."""
        pods = self._pods()
        for gone in self._lines.keys() - set(pods):
            self._lines.pop(gone).close()
        for pod in pods:
            self._lines.setdefault(pod, Line(pod, self._api))
        at = time.monotonic()
        told = dict(zip(pods, self._pool.map(self._reading, pods), strict=True))
        silent = {pod: said for pod, said in told.items() if isinstance(said, str)}
        return Look(at, {pod: said for pod, said in told.items() if not isinstance(said, str)}, silent)

    def _reading(self, pod: Pod) -> Reading | str:
        """What it says, or why it says nothing. Who may not ask at all is told so at once."""
        try:
            text = self._lines[pod].page()
        except Forbidden:
            raise
        except (WyeError, OSError, http.client.HTTPException, ValueError) as error:
            return " ".join(str(error).split()) or type(error).__name__
        return of_router(text) if pod.is_router else {(pod.deployment, QUEUE): of_model(text)}

    def close(self) -> None:
        """End all lines."""
        self._pool.shutdown(cancel_futures=True)
        for line in self._lines.values():
            line.close()


@contextmanager
def watching(pods: Callable[[], Sequence[Pod]], api: Api | None) -> Iterator[Watch]:
    """A Watch that is ended."""
    watch = Watch(pods, api)
    try:
        yield watch
    finally:
        watch.close()


def between(first: Look, last: Look) -> dict[Pod, Reading]:
    """What each pod counted between two looks; one that was not there at the first began meanwhile."""
    found: dict[Pod, Reading] = {}
    for pod, reading in last.readings.items():
        before = first.readings.get(pod)
        if before is None:
            continue
        found[pod] = {place: tally.since(before.get(place, Tally())) for place, tally in reading.items()}
    return found
