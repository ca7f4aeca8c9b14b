"""`wye plan`: what would be made of a folder, as YAML, without starting anything."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from wye_operator.cli.arguments import Commands, command, port
from wye_operator.local.folder import read_folder
from wye_operator.local.preview import preview

TEXT = """\
Work out what would run for a folder of manifests once all its instances are ready, as YAML. Nothing is started; the
same folder gives the same output.
"""
EXAMPLES = """\
examples:
  wye plan examples/fraud
  wye plan examples/fraud > before; (edit); wye plan examples/fraud | diff before -
"""


def add_parser(commands: Commands) -> None:
    """Add the command to those of `wye`."""
    summary = "what would run for a folder: routing, processes, conditions"
    parser = command(commands, "plan", summary=summary, text=TEXT, examples=EXAMPLES)
    parser.add_argument("directory", type=Path, metavar="DIR", help="the folder of manifests")
    parser.add_argument("--port", type=port, default=8080, help="port of the first Endpoint (default: 8080)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    parts = preview(read_folder(args.directory), args.port)
    print(yaml.safe_dump(parts, sort_keys=False, allow_unicode=True, width=120), end="")
    return 0
