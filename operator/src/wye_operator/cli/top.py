"""`wye top`: rates, errors and latencies of Endpoints and Deployments, live, from the pods' own ports."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wye_operator import settings
from wye_operator.cli.arguments import Commands, add_access, command, seconds
from wye_operator.cli.ask import access_of, nobody, pods_of, resources_of
from wye_operator.cli.kubeconfig import Api, connect
from wye_operator.cli.loads import as_data, cells, rows
from wye_operator.cli.screen import Drawing, Picture, drawing, plain
from wye_operator.cli.seen import Endpoint, label_of, seen
from wye_operator.cli.twin import objects_of
from wye_operator.cli.watching import Look, Pod, Watch, watching
from wye_operator.cli.where import Folder, InCluster, folder_or_name, refuse_options_of_folders, where
from wye_operator.cluster.kinds import Object
from wye_operator.errors import WyeError
from wye_operator.local.state import FOLDER
from wye_operator.plan.names import COMPONENT, ENDPOINT, OWNER

EVERY = 2.0  # seconds between two looks
WINDOW = 10.0  # seconds that the figures are of; routers count times in steps of five
TEXT = """\
Requests a second, errors (answers of 500 and more), latency and load, by Endpoint, Deployment and mirror: of the last
seconds, read from the pods themselves, with no Prometheus. Ctrl-C ends it.
"""
EXAMPLES = """\
examples:
  wye top                               every Endpoint of the namespace
  wye top fraud -n team-a
  wye top examples/fraud                the twin of a folder
  wye top --once                        one table of the next ten seconds
  wye top -A --once --json | jq '.rows[] | select(.errorShare > 0.01)'
"""


def add_parser(commands: Commands) -> None:
    """Add the command to those of `wye`."""
    parser = command(commands, "top", summary="rates, errors and latencies, live", text=TEXT, examples=EXAMPLES)
    about = "an Endpoint of the cluster, or a folder that is up (default: all of the namespace)"
    parser.add_argument("where", type=folder_or_name, nargs="?", metavar="ENDPOINT|DIR", help=about)
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    parser.add_argument("--once", action="store_true", help="measure once, print, end")
    parser.add_argument("--json", action="store_true", help="with --once: for programs")
    about = f"seconds that the figures are of (default: {WINDOW:g}; below 6 latencies may be missing)"
    parser.add_argument("--window", type=seconds, default=WINDOW, metavar="S", help=about)
    parser.add_argument("--state", type=Path, help="the folder's state (default: DIR/.wye)")
    add_access(parser)
    parser.set_defaults(func=run)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is there: Endpoints with what stands behind them, and the pods to ask."""

    endpoints: tuple[Endpoint, ...]
    pods: tuple[Pod, ...]


@dataclass(slots=True)
class Show:
    """One run of the command: looks of the window, and the scene of the last one."""

    scene: Callable[[], Scene]
    nobody: str  # the sentence for a scene without an Endpoint
    window: float
    spaced: bool
    looks: deque[Look] = field(default_factory=deque)
    last: Scene = Scene((), ())

    def pods(self) -> Sequence[Pod]:
        """Who is asked next."""
        self.last = self.scene()
        return self.last.pods

    def take(self, look: Look) -> tuple[Look | None, Look]:
        """Keep it; the oldest of the window, and it."""
        self.looks.append(look)
        while len(self.looks) > 2 and look.at - self.looks[1].at >= self.window:
            self.looks.popleft()
        return (self.looks[0] if len(self.looks) > 1 else None), look


def run(args: argparse.Namespace) -> int:
    """Measure and show."""
    if args.json and not args.once:
        raise WyeError("--json goes with --once: what changes all the time is no document")
    given = where(args.where, access_of(args)) if args.where else None
    if isinstance(given, InCluster) and args.all_namespaces:
        raise WyeError("an Endpoint's name and -A do not go together: name its namespace with -n")
    if isinstance(given, Folder):
        if args.all_namespaces:
            raise WyeError("a folder and -A do not go together: -A is of a cluster")
        state = args.state or given.path / FOLDER
        show = Show(lambda: _of_twin(given, state), f"there is no Endpoint in {given.path}", args.window, spaced=False)
        return _measure(args, show, None)
    refuse_options_of_folders(args)
    name = given.name if isinstance(given, InCluster) else ""
    with connect(access_of(args)) as api:
        everywhere = args.all_namespaces
        words = nobody(api, everywhere=everywhere)
        show = Show(lambda: _of_cluster(api, name, everywhere=everywhere), words, args.window, spaced=everywhere)
        return _measure(args, show, api)


def _measure(args: argparse.Namespace, show: Show, api: Api | None) -> int:
    with watching(show.pods, api) as watch:
        if args.once:
            return _once(args, show, watch)
        return _live(show, watch)


def _once(args: argparse.Namespace, show: Show, watch: Watch) -> int:
    show.take(watch.look())
    time.sleep(args.window)
    first, last = show.take(watch.look())
    listed = rows(show.last.endpoints, first, last)
    if args.json:
        print(json.dumps(as_data(listed, last.silent, last.at - first.at if first else 0), indent=2))
        return 0
    if listed:
        print("\n".join(plain([*cells(listed, spaced=show.spaced)])))
    else:
        print(show.nobody, file=sys.stderr)
    for pod, why in last.silent.items():
        print(f"wye: {_unreached(pod, why)}", file=sys.stderr)
    return 0


def _unreached(pod: Pod, why: str) -> str:
    return f"pod {pod.namespace}/{pod.name} cannot be asked, its figures are missing: {why}"


def _live(show: Show, watch: Watch) -> int:
    """Look and draw until Ctrl-C. A first look that fails ends it: a name may be wrong; a later one is tried again."""
    look: Look | None = watch.look()
    with drawing() as draw:
        while True:
            if look is not None:
                draw.show(_picture(show, *show.take(look)))
            time.sleep(EVERY)
            look = _looked(watch, draw)


def _looked(watch: Watch, draw: Drawing) -> Look | None:
    try:
        return watch.look()
    except WyeError as error:
        draw.fail(f"{error}; asking again")
        return None


def _picture(show: Show, first: Look | None, last: Look) -> Picture:
    measured = f"the last {last.at - first.at:.0f} s" if first else "measuring"
    pods = "1 pod" if len(show.last.pods) == 1 else f"{len(show.last.pods)} pods"
    return Picture(
        title=f"wye top: {pods}, {measured}; Ctrl-C ends it",
        lines=[*cells(rows(show.last.endpoints, first, last), spaced=show.spaced)],
        silent=[_unreached(pod, why) for pod, why in last.silent.items()],
        measured=first is not None,
        nobody=show.nobody,
    )


def _of_cluster(api: Api, name: str, *, everywhere: bool) -> Scene:
    """The Endpoints of a cluster with their pods."""
    endpoints, deployments = resources_of(api, name, everywhere=everywhere)
    bodies = pods_of(api, name, everywhere=everywhere)
    named = _names(deployments)
    pods = tuple(_pod(body, named) for body in bodies if _gives_figures(body))
    return Scene(seen(endpoints, deployments, bodies, settings.now()), pods)


def _names(deployments: Sequence[Object]) -> dict[tuple[str, str], str]:
    """What each Deployment is called in `traffic`, by its namespace and own name."""
    keys = ((d["metadata"]["namespace"], d["metadata"]["name"]) for d in deployments)
    return {key: d["spec"].get("name") or key[1] for key, d in zip(keys, deployments, strict=True)}


def _gives_figures(body: Object) -> bool:
    """Whether it runs; another server than our runtime has no inner port."""
    containers = (body.get("spec") or {}).get("containers") or ()
    ports = {port.get("name") for each in containers for port in each.get("ports") or ()}
    return (body.get("status") or {}).get("phase") == "Running" and (not ports or "inner" in ports)


def _pod(body: Object, named: Mapping[tuple[str, str], str]) -> Pod:
    namespace, owner = body["metadata"]["namespace"], label_of(body, OWNER)
    endpoint, component = label_of(body, ENDPOINT), label_of(body, COMPONENT)
    return Pod(namespace, endpoint, named.get((namespace, owner), owner), component, body["metadata"]["name"])


def _of_twin(given: Folder, state: Path) -> Scene:
    """What a twin serves."""
    items, processes = objects_of(given, state)
    endpoints, deployments = ([i for i in items if i["kind"] == kind] for kind in ("Endpoint", "Deployment"))
    named = _names(deployments)
    pods = tuple(
        Pod(
            p["namespace"],
            p["endpoint"],
            named.get((p["namespace"], p["owner"]), ""),
            p["component"],
            p["name"],
            p["inner"],
        )
        for p in processes
    )
    return Scene(seen(endpoints, deployments, (), settings.now()), pods)
