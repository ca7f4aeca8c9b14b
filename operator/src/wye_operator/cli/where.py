"""Where a command goes: a URL, the twin of a folder, or an Endpoint of a cluster. One rule for all commands.

`://` is a URL. `-n`, `--context` and `--kubeconfig` speak of a cluster, so what they come with is an Endpoint. A folder
that is there, and whatever cannot be an Endpoint's name (a slash, a dot), is a folder. The rest is an Endpoint. What
goes wrong is said with the other reading.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from wye_operator.cli.arguments import folder
from wye_operator.cli.kubeconfig import Access
from wye_operator.errors import WyeError

RESOURCE = "mle/"  # before an Endpoint's name, as kubectl writes it
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Url:
    """The address of an Endpoint."""

    text: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that a twin may serve."""

    path: Path


@dataclass(frozen=True, slots=True)
class InCluster:
    """An Endpoint's name in a cluster."""

    name: str
    access: Access


def url_folder_or_name(text: str) -> str:
    """As an argument's type: a path to a file is refused at once."""
    return text if "://" in text or is_name(text) else str(folder(text))


def folder_or_name(text: str) -> str:
    """The same, for commands that have no use for a URL."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text} is a URL; must be an Endpoint of a cluster, or the folder of a twin")
    return url_folder_or_name(text)


def where(text: str, access: Access) -> Url | Folder | InCluster:
    """Which of the three."""
    if "://" in text and access.given:
        raise WyeError(f"with {access.options} it must be an Endpoint of a cluster, and {text} is a URL")
    if "://" in text:
        return Url(text)
    name = text.removeprefix(RESOURCE)
    if is_name(name) and (access.given or not Path(text).is_dir()):
        return InCluster(name, access)
    if access.given:
        raise WyeError(f"with {access.options} it must be an Endpoint of a cluster, and {_no_name(text, access)}")
    return Folder(Path(text))


def is_name(text: str) -> bool:
    """Whether an Endpoint can have the name."""
    return NAME.fullmatch(text) is not None


def endpoint_name(text: str, access: Access) -> str:
    """An Endpoint's name, for a command that knows clusters alone."""
    name = text.removeprefix(RESOURCE)
    if not is_name(name):
        raise WyeError(_no_name(text, access))
    return name


def _no_name(text: str, access: Access) -> str:
    return f"{text} is no Endpoint's name; for the twin of a folder: {access.twin.replace('DIR', text)}"


def add_where(parser: argparse.ArgumentParser) -> None:
    """An Endpoint of a cluster, or one of a twin's folder."""
    about = "an Endpoint of the cluster, or a folder that is up"
    parser.add_argument("where", type=folder_or_name, metavar="ENDPOINT|DIR", help=about)
    parser.add_argument("--endpoint", help="which Endpoint of the folder (needed where there are several)")
    parser.add_argument("--state", type=Path, help="the folder's state (default: DIR/.wye)")


def refuse_options_of_folders(args: argparse.Namespace) -> None:
    """`--endpoint` and `--state` choose in a folder: where there is none, they would be left out in silence."""
    given = [f"--{option}" for option in ("endpoint", "state") if getattr(args, option, None)]
    if given:
        kind = "a URL" if "://" in (args.where or "") else "an Endpoint of a cluster here"
        what = f"{args.where} is {kind}" if args.where else "none is named"
        raise WyeError(f"with {' and '.join(given)} it must be the folder of a twin ({args.twin}), and {what}")
