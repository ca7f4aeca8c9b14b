"""Values of the command line that argparse has no type for; what is wrong is exit code 2, with a sentence."""

from __future__ import annotations

import argparse
import math
from pathlib import Path


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


def folder(text: str) -> Path:
    """A folder of manifests; whether it is there is said by whoever reads it."""
    path = Path(text)
    if path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is a file; must be the folder it is in: {path.parent}")
    return path


def folder_or_url(text: str) -> str:
    """The folder of a twin, or where an Endpoint is."""
    return text if "://" in text else str(folder(text))
