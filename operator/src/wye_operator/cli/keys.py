"""`wye keys`: the keys of an Endpoint, in a cluster or of a twin. `show` prints them, and nothing else."""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wye_operator.cli.arguments import Commands, add_access, command
from wye_operator.cli.ask import access_of, endpoint_of
from wye_operator.cli.kubeconfig import Api, connect
from wye_operator.cli.twin import served_by
from wye_operator.cli.where import Folder, InCluster, folder_or_name, where
from wye_operator.cluster.errors import NotFound
from wye_operator.cluster.kinds import SECRETS
from wye_operator.errors import WyeError
from wye_operator.local.state import FOLDER
from wye_operator.plan.keys import keys_in
from wye_operator.plan.names import PRIMARY_KEY, SECONDARY_KEY, keys_secret
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
NAMES = {"primary": PRIMARY_KEY, "secondary": SECONDARY_KEY}


def add_parser(commands: Commands) -> None:
    """Add the command to those of `wye`."""
    group = commands.add_parser("keys", help="the keys of an Endpoint")
    parts = group.add_subparsers(metavar="COMMAND", required=True)
    show = command(parts, "show", summary="print them", text=TEXT, examples=EXAMPLES)
    add_where(show)
    show.add_argument("--key", choices=tuple(NAMES), help="print this one alone (default: both)")
    show.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print (default: text)")
    add_access(show)
    show.set_defaults(func=run_show)


def add_where(parser: argparse.ArgumentParser) -> None:
    """An Endpoint of a cluster, or one of a twin's folder."""
    about = "an Endpoint of the cluster, or a folder that is up"
    parser.add_argument("where", type=folder_or_name, metavar="ENDPOINT|DIR", help=about)
    parser.add_argument("--endpoint", help="which Endpoint of the folder (needed where there are several)")
    parser.add_argument("--state", type=Path, help="the folder's state (default: DIR/.wye)")


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
    refuse_for_a_cluster(args)
    with connect(given.access) as api:
        return keys_of(api, endpoint_of(api, given.name))


def refuse_for_a_cluster(args: argparse.Namespace) -> None:
    """`--endpoint` and `--state` choose in a folder."""
    if args.endpoint or args.state:
        raise WyeError(f"--endpoint and --state are for a folder, and {args.where} is an Endpoint of a cluster here")


def keys_of(api: Api, endpoint: Mapping[str, Any]) -> Keys | None:
    """The keys of a cluster's Endpoint; None: nobody needs any."""
    spec, name = endpoint.get("spec") or {}, endpoint["metadata"]["name"]
    mode = spec.get("authMode") or "Key"
    if mode == "None":
        return None
    if mode != "Key":
        raise WyeError(f"Endpoint {name} has no keys: its authMode is {mode}")
    secret = str((spec.get("keys") or {}).get("secretName") or keys_secret(name))
    try:
        data = api.get(SECRETS, api.namespace, secret).get("data") or {}
    except NotFound:
        raise WyeError(
            f"there is no Secret {secret} in namespace {api.namespace} yet: wye status {name} says what is waited for"
        ) from None
    keys, problem = keys_in(secret, {name: base64.b64decode(text) for name, text in data.items()})
    if keys is None:
        raise WyeError(problem)
    return keys
