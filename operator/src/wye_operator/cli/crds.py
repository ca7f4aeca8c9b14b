"""`wye crds`: the CustomResourceDefinitions, made from the models (`make gen` writes them into crds/)."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from wye_operator.cli.arguments import Commands, command
from wye_operator.render.crds import definitions

EXAMPLES = """\
examples:
  wye crds                     print them
  wye crds | kubectl apply --server-side -f -
  wye crds crds                write crds/wye.dev_mlendpoints.yaml and crds/wye.dev_mldeployments.yaml
"""
HEAD = "# written by `make gen` from operator/src/wye_operator/api: edit the models, not this file\n"


def add_parser(commands: Commands) -> None:
    """Add the command to those of `wye`."""
    about = "The CustomResourceDefinitions of this version of Wye, as YAML."
    summary = "print or write the CustomResourceDefinitions"
    parser = command(commands, "crds", summary=summary, text=about, examples=EXAMPLES)
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="write one file each (default: print)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print them, or write them into a folder."""
    made = files()
    if args.directory is None:
        print("---\n".join(made.values()), end="")
        return 0
    args.directory.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (args.directory / name).write_text(text, encoding="utf-8")
    return 0


def files() -> dict[str, str]:
    """Each definition by its file's name."""
    return {f"wye.dev_{made['spec']['names']['plural']}.yaml": HEAD + _yaml(made) for made in definitions()}


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=True, width=160, allow_unicode=True)
