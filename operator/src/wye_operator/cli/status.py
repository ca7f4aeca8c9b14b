"""`wye status`: the Endpoints of a cluster as trees: routers, Deployments, pods, and why something is not as asked."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from wye_operator import settings
from wye_operator.cli import drawing
from wye_operator.cli.arguments import Commands, add_access, command
from wye_operator.cli.ask import access_of, nobody, pods_of, resources_of
from wye_operator.cli.kubeconfig import Api, connect
from wye_operator.cli.seen import Endpoint, seen
from wye_operator.cli.terminal import console
from wye_operator.cli.tree import tree
from wye_operator.cli.where import endpoint_name
from wye_operator.cluster.errors import Forbidden
from wye_operator.errors import WyeError

NOT_READY = 3
EVERY = 2.0  # seconds between two looks of --watch
TEXT = f"""\
The Endpoints of a namespace, each with its routers, its Deployments (percent in effect, and what is asked where that
differs) and their pods; reason and message where something is not as asked. For a twin: wye local status.
Exit status: 0 all is Ready, {NOT_READY} something is not, 1 it could not be asked, 2 a mistake in the command.
"""
EXAMPLES = """\
examples:
  wye status                            every Endpoint of the namespace
  wye status fraud -n team-a
  wye status fraud --watch              drawn again when something changes, until Ctrl-C
  wye status -A -o json | jq '.endpoints[] | select(.ready | not) | .name'
"""


def add_parser(commands: Commands) -> None:
    """Add the command to those of `wye`."""
    parser = command(commands, "status", summary="what a cluster serves, as a tree", text=TEXT, examples=EXAMPLES)
    parser.add_argument("endpoint", nargs="?", metavar="ENDPOINT", help="one Endpoint (default: all)")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    parser.add_argument("-w", "--watch", action="store_true", help=f"look again every {EVERY:g} s, until Ctrl-C")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print (default: text)")
    add_access(parser, twin="wye local status DIR")
    parser.set_defaults(func=run)


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What is shown: the Endpoints, and what could not be seen."""

    endpoints: tuple[Endpoint, ...]
    unseen: str = ""


def run(args: argparse.Namespace) -> int:
    """Print the trees; the exit code says whether all is Ready."""
    if args.endpoint and args.all_namespaces:
        raise WyeError("an Endpoint's name and -A do not go together: name its namespace with -n")
    if args.watch and args.output == "json":
        raise WyeError("--watch draws trees: leave -o json out, or use kubectl get mle,mld --watch -o json")
    access = access_of(args)
    name = endpoint_name(args.endpoint, access) if args.endpoint else ""
    with connect(access) as api:
        if args.watch:
            _watch(api, name, everywhere=args.all_namespaces)
        view = _look(api, name, everywhere=args.all_namespaces)
        if args.output == "json":
            print(json.dumps(as_data(view.endpoints), indent=2, ensure_ascii=False))
        else:
            _print(view, api, spaced=args.all_namespaces)
    if view.unseen:
        print(f"wye: {view.unseen}", file=sys.stderr)
    return 0 if all(endpoint.ready for endpoint in view.endpoints) else NOT_READY


def _look(api: Api, name: str, *, everywhere: bool) -> View:
    """Everything as it is now; pods that may not be listed are left out."""
    endpoints, deployments = resources_of(api, name, everywhere=everywhere)
    try:
        pods, unseen = pods_of(api, name, everywhere=everywhere), ""
    except Forbidden as error:
        pods, unseen = [], f"pods are not shown: {error}"
    return View(seen(endpoints, deployments, pods, settings.now()), unseen)


def _watch(api: Api, name: str, *, everywhere: bool) -> NoReturn:
    """Draw again whenever something else is to be said; what cannot be asked now is said, and asked again."""
    screen, before, view = console(), "", _look(api, name, everywhere=everywhere)
    while True:
        nodes = tree(view.endpoints, spaced=everywhere)
        words = [f"wye: {view.unseen}"] if view.unseen else [] if nodes else ["there is no Endpoint"]
        drawn = "\n".join([*drawing.lines(nodes), *words])
        if drawn != before:
            if screen is None:
                print(f"{drawn}\n", flush=True)
            else:
                screen.clear()
                screen.print(drawing.coloured(nodes), *words, sep="\n")
            before = drawn
        time.sleep(EVERY)
        try:
            view = _look(api, name, everywhere=everywhere)
        except WyeError as error:
            view = View((), f"{error}; asking again")


def _print(view: View, api: Api, *, spaced: bool) -> None:
    nodes, screen = tree(view.endpoints, spaced=spaced), console()
    if screen is not None and nodes:
        screen.print(drawing.coloured(nodes))
    else:
        wide = (sys.stdout.encoding or "").lower().startswith("utf")
        for line in drawing.lines(nodes, ascii_only=not wide):
            print(line)
    if not nodes:
        print(nobody(api, everywhere=spaced), file=sys.stderr)


def as_data(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """For programs: the same as the tree, with `ready` for all of an Endpoint."""
    listed = [{"ready": e.ready, **_plain(dataclasses.asdict(e))} for e in endpoints]
    return {"ready": all(e.ready for e in endpoints), "endpoints": listed}


def _plain(value: Any) -> Any:
    """Names in camelCase, as everywhere in the API; names of Deployments as they are."""
    if isinstance(value, Mapping):
        return {_camel(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
