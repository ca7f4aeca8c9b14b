"""The commit before this one, for tests of what an upgrade from it does."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


class NoHistory(Exception):
    """There is no commit before this one here: no git, or a clone of one commit alone."""


def before(folder: str) -> bytes:
    """A folder as the previous commit has it, as a tar archive."""
    return _git("archive", previous_commit(), folder)


def previous_commit() -> str:
    """HEAD, where the tree has changes since; else the commit before it, on the way by first parents."""
    return "HEAD" if _git("status", "--porcelain", "--untracked-files=no") else "HEAD^1"


def _git(*words: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True)
    except FileNotFoundError as error:
        raise NoHistory("there is no git on this machine") from error
    if done.returncode:
        raise NoHistory(done.stderr.decode().strip())
    return done.stdout
