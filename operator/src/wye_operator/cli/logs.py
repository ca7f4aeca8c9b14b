"""`wye logs`: what the pods of an Endpoint or a Deployment wrote, as one, each line with its pod."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from wye_operator.cli.arguments import Commands, add_access, command, count, past
from wye_operator.cli.ask import access_of, deployments_of, look_up, pods_of
from wye_operator.cli.kubeconfig import Api, connect
from wye_operator.cli.seen import label_of, short_name
from wye_operator.cli.streams import Following, Line, Range, read, sources_of
from wye_operator.cli.terminal import console
from wye_operator.cluster.kinds import DEPLOYMENTS, ENDPOINTS, Object
from wye_operator.errors import WyeError
from wye_operator.plan.names import COMPONENT, MODEL, OWNER, ROUTER

TAIL = 100
TEXT = f"""\
Print the logs of an Endpoint's routers and models, or of a Deployment's models, in the order of time, each line
with its pod. What the container `fetch` wrote, which brings a model, is among them. `mle/NAME` and `mld/NAME` say
which is meant where an Endpoint and a Deployment have one name. The last {TAIL} lines of each container, unless --tail
or --since says otherwise. With --follow a pod that goes is followed by its successor.
"""
EXAMPLES = """\
examples:
  wye logs fraud                           routers and models of an Endpoint
  wye logs fraud --deployment green -f     one of its Deployments, and what comes
  wye logs fraud-green --previous          what a container said before it was restarted
  wye logs fraud --router --since 5m --tail -1
"""
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose pods: those of an Endpoint, of all components and owners or of some."""

    endpoint: str
    owners: frozenset[tuple[str, str]] = frozenset()

    def of(self, pods: Iterable[Object]) -> list[Object]:
        """Those that are wanted."""
        return [p for p in pods if not self.owners or (label_of(p, COMPONENT), label_of(p, OWNER)) in self.owners]


def add_parser(commands: Commands) -> None:
    """Add the command to those of `wye`."""
    parser = command(commands, "logs", summary="logs of routers and models", text=TEXT, examples=EXAMPLES)
    parser.add_argument("name", metavar="ENDPOINT|DEPLOYMENT", help="whose logs")
    parser.add_argument("--router", action="store_true", help="the routers (default: routers and models)")
    parser.add_argument("--deployment", metavar="NAME", help="the models of this Deployment, by its name in traffic")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument(
        "--tail", type=count, metavar="N", help=f"last lines of each container; -1: all (default: {TAIL})"
    )
    parser.add_argument("--since", type=past, metavar="TIME", help="only what is newer, such as 90s, 5m or 1h30m")
    parser.add_argument("--previous", action="store_true", help="of each container the life before the last restart")
    add_access(parser, twin="its logs are files, DIR/.wye/logs")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print them."""
    if args.follow and args.previous:
        raise WyeError("--previous is of what has ended, so there is nothing to --follow")
    access = access_of(args)
    _insist_on_a_name(args.name, access.twin)
    with connect(access) as api:
        wanted, span = _wanted(api, args), Range(_tail(args), args.since, args.previous)
        if args.follow:
            _follow(api, wanted, span)
        _print(api, wanted, span)
    return 0


def _follow(api: Api, wanted: Wanted, span: Range) -> NoReturn:
    write = _writer()
    for line in Following(api, lambda: wanted.of(pods_of(api, wanted.endpoint)), span, _warn).lines():
        write(line)
        sys.stdout.flush()
    raise AssertionError("following has no end")


def _print(api: Api, wanted: Wanted, span: Range) -> None:
    pods = wanted.of(pods_of(api, wanted.endpoint))
    if not pods:
        raise WyeError(f"no such pod is there; wye status {wanted.endpoint} says why")
    lines, silent = read(api, sources_of(pods), span)
    write = _writer()
    for line in lines:
        write(line)
    if not lines:
        _warn("\n".join(silent) or "nothing was written yet")


def _tail(args: argparse.Namespace) -> int | None:
    if args.tail is None:
        return None if args.since else TAIL
    return None if args.tail < 0 else int(args.tail)


def _insist_on_a_name(text: str, twin: str) -> None:
    kind, _, name = text.rpartition("/")
    if kind not in ("", "mle", "mld") or not name.strip("."):
        must_be = "NAME, mle/NAME for an Endpoint or mld/NAME for a Deployment"
        folder = f"; for the twin of a folder: {twin.replace('DIR', text.rstrip('/'))}" if Path(text).is_dir() else ""
        raise WyeError(f"{text} is no name; must be {must_be}{folder}")


def _wanted(api: Api, args: argparse.Namespace) -> Wanted:
    kind, _, name = args.name.rpartition("/")
    endpoint = None if kind == "mld" else look_up(api, ENDPOINTS, name)
    deployment = None if kind == "mle" else look_up(api, DEPLOYMENTS, name)
    if endpoint and deployment and not (args.router or args.deployment):
        raise WyeError(f"{name} is an Endpoint and a Deployment: name mle/{name} or mld/{name}")
    if endpoint:
        return Wanted(name, frozenset(_owners(api, name, args)))
    if deployment is None:
        raise WyeError(_absent(api, kind, name))
    if args.router or args.deployment:
        raise WyeError(f"--router and --deployment choose among the pods of an Endpoint, and {name} is a Deployment")
    return Wanted(deployment["spec"]["endpointName"], frozenset({(MODEL, name)}))


def _owners(api: Api, endpoint: str, args: argparse.Namespace) -> Iterable[tuple[str, str]]:
    if args.router:
        yield ROUTER, endpoint
    if args.deployment:
        names = {short_name(body): body["metadata"]["name"] for body in deployments_of(api, endpoint)}
        resource = names.get(args.deployment) or (args.deployment if args.deployment in names.values() else None)
        if resource is None:
            there = f"there is: {', '.join(sorted(names))}" if names else "there is none"
            raise WyeError(f"Endpoint {endpoint} has no Deployment {args.deployment}; {there}")
        yield MODEL, resource


def _absent(api: Api, kind: str, name: str) -> str:
    wanted = {"mle": f"no Endpoint {name}", "mld": f"no Deployment {name}"}
    listed = []
    for of, called in ((ENDPOINTS, "Endpoints"), (DEPLOYMENTS, "Deployments")):
        names = sorted(body["metadata"]["name"] for body in api.find(of, api.namespace))
        listed.append(f"{called}: {', '.join(names) or 'none'}")
    there = wanted.get(kind, f"neither an Endpoint nor a Deployment {name}")
    return f"there is {there} in namespace {api.namespace} of {api.place} ({'; '.join(listed)})"


def _writer() -> Callable[[Line], None]:
    """Writes lines: on a terminal each pod's name has its colour."""
    in_colour = console() is not None
    colours: dict[str, int] = {}

    def write(line: Line) -> None:
        label = line.source.label
        if in_colour:
            colour = colours.setdefault(line.source.pod, COLOURS[len(colours) % len(COLOURS)])
            label = f"\x1b[{colour}m{label}\x1b[0m"
        sys.stdout.write(f"{label} | {line.text}\n")

    return write


def _warn(text: str) -> None:
    print(f"wye: {text}", file=sys.stderr, flush=True)
