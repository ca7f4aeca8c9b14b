"""How the command line speaks: lines, colours and a progress line on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from wye_operator import settings


class Plain:
    """Lines: what is wrong goes to stderr."""

    def say(self, text: str) -> None:
        """Something changed."""
        print(text, flush=True)

    def warn(self, text: str) -> None:
        """Something is wrong."""
        print(text, file=sys.stderr, flush=True)

    def progress(self, text: str) -> None:
        """Nothing: lines say it already."""

    def close(self) -> None:
        """Nothing to clean up."""


class Coloured:
    """A terminal: what is wrong is yellow, and one moving line says what is being waited for."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self._status = console.status("")
        self._shown = ""

    def say(self, text: str) -> None:
        """Something changed."""
        style = "green" if "  Ready  " in text else None
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Something is wrong."""
        self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def progress(self, text: str) -> None:
        """What is being waited for now; "" when nothing is."""
        if text == self._shown:
            return
        self._shown = text
        if text:
            self._status.update(text)
            self._status.start()
        else:
            self._status.stop()

    def close(self) -> None:
        """Take the moving line away."""
        self._status.stop()


def voice(out: TextIO | None = None) -> Plain | Coloured:
    """The right one for where the output goes. NO_COLOR and a missing `rich` mean plain."""
    found = console(out)
    return Coloured(found) if found else Plain()


def console(out: TextIO | None = None) -> Any:
    """A console of `rich` where the output is a terminal that wants colours and `rich` is there, else None."""
    if not (out or sys.stdout).isatty() or not settings.from_environment().colour:
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(highlight=False)


def screen(out: TextIO | None = None) -> Any:
    """A console for what is drawn anew, where the output is a terminal that can; with NO_COLOR without colours."""
    if not (out or sys.stdout).isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    made = Console(highlight=False, no_color=not settings.from_environment().colour)
    return None if made.is_dumb_terminal else made
