"""`wye keys`: the keys of an Endpoint, in a cluster or of a twin. `show` prints them, `regenerate` makes one anew."""

from __future__ import annotations

import argparse
import json

from wye_operator.cli import regenerate
from wye_operator.cli.arguments import Commands, add_access, command
from wye_operator.cli.ask import access_of, endpoint_of
from wye_operator.cli.key_secrets import NAMES, keys_of
from wye_operator.cli.kubeconfig import connect
from wye_operator.cli.twin import served_by
from wye_operator.cli.where import Folder, InCluster, add_where, refuse_options_of_folders, where
from wye_operator.errors import WyeError
from wye_operator.local.state import FOLDER
from wye_operator.plan.world import Keys

TEXT = """\
Print the keys of an Endpoint: both with their names, or with --key that one alone. Both are always valid.
"""
EXAMPLES = """\
examples:
  wye keys show fraud                                    of a cluster's Endpoint
  WYE_KEY=$(wye keys show fraud -n team-a --key primary)
  wye keys show fraud -o json
  wye keys show examples/fraud                           of the twin of a folder
"""


def add_parser(commands: Commands) -> None:
    """Add the command to those of `wye`."""
    about = "The two keys that callers of an Endpoint send, in a cluster and in a twin. Both are always valid."
    group = commands.add_parser("keys", help="the keys of an Endpoint", description=about)
    parts = group.add_subparsers(metavar="COMMAND", required=True)
    show = command(parts, "show", summary="print both, or one", text=TEXT, examples=EXAMPLES)
    add_where(show)
    show.add_argument("--key", choices=tuple(NAMES), help="print this one alone (default: both)")
    show.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print (default: text)")
    add_access(show)
    show.set_defaults(func=run_show)
    regenerate.add_parser(parts)


def run_show(args: argparse.Namespace) -> int:
    """Print the keys, and nothing else on stdout."""
    keys = _keys(args)
    if keys is None:
        raise WyeError(f"{args.where} asks for no key: its authMode is None")
    values = {"primary": keys.primary, "secondary": keys.secondary}
    wanted = {name: values[name] for name in NAMES if args.key in (None, name)}
    if args.output == "json":
        print(json.dumps({NAMES[name]: key for name, key in wanted.items()}, indent=2))
    elif args.key:
        print(wanted[args.key])
    else:
        print("\n".join(f"{name:<9}  {key}" for name, key in wanted.items()))
    return 0


def _keys(args: argparse.Namespace) -> Keys | None:
    given = where(args.where, access_of(args))
    if isinstance(given, Folder):
        served = served_by(given, args.state or given.path / FOLDER, args.endpoint)
        keys = served.keys
        if served.auth_mode == "Token":
            raise WyeError(f"Endpoint {served.name} has no keys: its authMode is Token")
        if keys is None and served.auth_mode == "Key":
            raise WyeError(f"the twin of {given.path} has no keys for {served.name} yet")
        return keys
    assert isinstance(given, InCluster)
    refuse_options_of_folders(args)
    with connect(given.access) as api:
        return keys_of(api, endpoint_of(api, given.name))
