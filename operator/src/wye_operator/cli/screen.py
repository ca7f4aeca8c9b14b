"""`wye top` while it goes on: a screen that is drawn anew, and lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from wye_operator.cli.drawing import Cell
from wye_operator.cli.loads import HEAD, LEFT
from wye_operator.cli.terminal import screen

WORD = 6  # letters of a name that are left of it in a narrow window
NAMED = 3  # pods that cannot be asked, each with why; the others are counted
FEW = "a taller window shows them, or wye top ENDPOINT, or --once"


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown of one look."""

    title: str
    lines: Sequence[Sequence[Cell]]
    silent: Sequence[str]  # a sentence for each pod that cannot be asked
    measured: bool  # rates are known: there was a look before this one
    nobody: str = ""  # the sentence for where there are no lines


class Drawing(Protocol):
    """Where pictures go."""

    def show(self, picture: Picture) -> None:
        """The newest one."""

    def fail(self, words: str) -> None:
        """There is none now, and why."""


def plain(lines: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """Columns for a pipe: words to the left, numbers to the right."""
    listed = [HEAD, *([cell.text for cell in line] for line in lines)]
    widths = [max(len(line[column]) for line in listed) for column in range(len(HEAD))]
    for line in listed:
        padded = (
            text.ljust(width) if column < LEFT else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join(padded).rstrip()


class Lines:
    """No terminal: a table after each look that has rates; what is wrong is said once, until it is otherwise."""

    def __init__(self) -> None:
        self._said: frozenset[str] = frozenset()

    def show(self, picture: Picture) -> None:
        """A table, an empty line, and what is new of what is wrong."""
        if picture.measured and picture.lines:
            print("\n".join([*plain(picture.lines), ""]), flush=True)
        self._say([*picture.silent, *([] if picture.lines else [picture.nobody])])

    def fail(self, words: str) -> None:
        """Once, as long as it lasts."""
        self._say([words])

    def _say(self, listed: Sequence[str]) -> None:
        for words in listed:
            if words not in self._said:
                print(words, flush=True)
        self._said = frozenset(listed)


class Screen:
    """A terminal: the newest picture alone, as much of it as fits."""

    def __init__(self, live: Any) -> None:
        self._live = live

    def show(self, picture: Picture) -> None:
        """Fitted into the size that the terminal has now."""
        size = self._live.console.size
        self._live.update(drawn(picture, size.width, size.height), refresh=True)

    def fail(self, words: str) -> None:
        """In place of the picture."""
        from rich.text import Text

        self._live.update(Text(words, style="yellow"), refresh=True)


def drawn(picture: Picture, width: int, height: int) -> Any:
    """For `rich`, fitted into a terminal: a line is cut rather than folded, names before numbers."""
    from rich.console import Group
    from rich.text import Text

    notes = [Text(words, "yellow", overflow="ellipsis", no_wrap=True) for words in picture.silent[:NAMED]]
    if len(picture.silent) > NAMED:
        notes.append(Text(f"{len(picture.silent) - NAMED} more pods cannot be asked", "yellow"))
    room = height - 3 - (len(notes) + 1 if notes else 0)  # the title, an empty line, the head
    lines = picture.lines
    if len(lines) > room:
        lines = lines[: max(1, room - 1)]
        notes.insert(
            0, Text(f"{len(picture.lines) - len(lines)} more lines: {FEW}", "dim", overflow="ellipsis", no_wrap=True)
        )
    title = Text(picture.title, style="dim", overflow="ellipsis", no_wrap=True)
    table = _table(lines, width) if picture.lines else Text(picture.nobody)
    return Group(title, "", table, *([""] if notes and len(lines) == len(picture.lines) else []), *notes)


def _table(lines: Sequence[Sequence[Cell]], width: int) -> Any:
    """`rich` narrows columns that may fold before the others; cut texts in them never do."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    heads = _heads([max(len(line[column].text) for line in lines) for column in range(len(HEAD))], width)
    for number, name in enumerate(heads):
        words = number < LEFT
        head = Text(name, overflow="ellipsis", no_wrap=True)
        table.add_column(head, justify="left" if words else "right", no_wrap=not words)
    for line in lines:
        shown = line[: len(heads)]
        table.add_row(*(Text(cell.text, cell.style, overflow="ellipsis", no_wrap=True) for cell in shown))
    return table


def _heads(longest: Sequence[int], width: int) -> list[str]:
    """Of the columns that there is room for. Where not all fits, heads of words are cut first, then words, then the
    last columns are left out.
    """
    columns = [*enumerate(zip(HEAD, longest, strict=True))]
    whole = sum(max(len(name), most) + 1 for _, (name, most) in columns)
    least = [min(most, WORD) if number < LEFT else max(len(name), most) for number, (name, most) in columns]
    while len(least) > LEFT and sum(least) + len(least) > width:
        least.pop()
    if whole <= width:
        return [*HEAD]
    cut = [
        name if most >= len(name) else f"{name[: max(1, most - 1)]}…" for name, most in zip(HEAD, longest, strict=True)
    ]
    return [*cut[:LEFT], *HEAD[LEFT : len(least)]]


@contextmanager
def drawing() -> Iterator[Drawing]:
    """The right one for where the output goes; the terminal is given back as it was."""
    console = screen()
    if console is None:
        yield Lines()
        return
    from rich.live import Live

    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield Screen(live)
