"""What the commands of `wye` share: how they are added, options, and values that argparse has no type for.

What is wrong with a value is exit code 2, with a sentence.
"""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import TypeAlias

# what `add_subparsers` gives; argparse has no public name for it
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def command(commands: Commands, name: str, *, summary: str, text: str, examples: str) -> argparse.ArgumentParser:
    """Add a command: one line for the list, its description, and its examples as they stand."""
    raw = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=summary, description=text, epilog=examples, formatter_class=raw)


def add_access(parser: argparse.ArgumentParser, twin: str = "") -> None:
    """The options that say which cluster, as kubectl has them. `twin`: what does the same for the twin of a folder."""
    parser.set_defaults(twin=twin or f"{parser.prog} DIR")
    group = parser.add_argument_group(
        "cluster", "default: the current context of $KUBECONFIG or ~/.kube/config; in a pod its account"
    )
    group.add_argument("-n", "--namespace", help="namespace (default: the context's)")
    group.add_argument("--context", help="context of the kubeconfig (default: the current one)")
    group.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig (default: $KUBECONFIG, else ~/.kube/config)")


def port(text: str) -> int:
    """A TCP port; 0 is any free one."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; must be a number from 0 to 65535")
    return number


def seconds(text: str) -> float:
    """A time, from 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no time; must be a number of seconds, 0 or more")
    return number


def past(text: str) -> int:
    """A time that has gone by, as kubectl takes it: `90s`, `5m`, `1h30m`; in seconds."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"{text} is no time; must be like 90s, 5m or 1h30m")
    return max(1, sum(int(number) * TIMES[unit] for number, unit in parts))


def count(text: str) -> int:
    """A number of lines; -1 is all."""
    if text != "-1" and not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text} is no number of lines; must be 0 or more, or -1 for all")
    return int(text)


def folder(text: str) -> Path:
    """A folder of manifests; whether it is there is said by whoever reads it."""
    path = Path(text)
    if path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is a file; must be the folder it is in: {path.parent}")
    return path
