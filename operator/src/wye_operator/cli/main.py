"""The command line `wye`: one module for each command, and the one place where an error becomes an exit code.

0: done. 1: it could not be done. 2: there is a mistake in what was given (command line, manifests).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

COMMANDS = (
    "local",
    "plan",
    "validate",
    "status",
    "top",
    "invoke",
    "logs",
    "keys",
    "crds",
    "operator",
)  # each a module here
EXAMPLES = """\
examples:
  wye local up examples/fraud          serve a folder of manifests on this machine
  wye local status examples/fraud      what runs, with the columns of kubectl
  wye validate examples/fraud          every mistake with file, line and field
  wye status fraud                     of a cluster: Endpoint, Deployments, pods, and why
  wye top fraud                        rates, errors and latencies by Deployment, live
  wye invoke fraud -f request.json     an Endpoint of a cluster, or the twin of a folder
  wye logs fraud --follow
  wye keys show fraud --key primary
"""


def parser(only: str = "") -> argparse.ArgumentParser:
    """All commands, or the one that is asked for, as loading them all takes a second: Ctrl-C may come meanwhile."""
    from importlib import import_module
    from importlib.metadata import version

    top = argparse.ArgumentParser(
        prog="wye",
        description="Inference endpoints for models: split, mirrored, typed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"wye {version('wye-operator')}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        if only in ("", name):
            import_module(f"wye_operator.cli.{name}").add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    from wye_operator.errors import Mistakes, WyeError

    words = sys.argv[1:] if arguments is None else arguments
    first = words[0] if words else ""
    given = parser(first if first in COMMANDS else "").parse_args(words)
    run: Callable[[argparse.Namespace], int] = given.func
    try:
        code = run(given)
        sys.stdout.flush()
    except Mistakes as mistakes:
        print(mistakes, file=sys.stderr)
        return 2
    except WyeError as error:
        print(f"wye: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `wye plan DIR | head`: whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    else:
        return code


if __name__ == "__main__":
    sys.exit(main())
