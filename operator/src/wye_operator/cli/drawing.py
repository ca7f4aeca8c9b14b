"""A tree of what there is: plain lines for pipes, colours and folded lines for a terminal. Siblings share columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

GUIDES = ("├── ", "│   ", "└── ", "    ")
ASCII = ("|-- ", "|   ", "`-- ", "    ")
GAP = "  "
# what a terminal obeys instead of showing it, and what turns the order of letters round; a line end and a tab are none
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Cell:
    """Some text; `style` is a word of `rich`, "" for none. Pods wrote parts of it: control characters are shown."""

    text: str
    style: str = ""

    def __post_init__(self) -> None:
        """Make what a terminal would obey into what it shows."""
        object.__setattr__(self, "text", UNSEEN.sub(lambda found: f"\\x{ord(found[0]):02x}", self.text))


@dataclass(frozen=True, slots=True)
class Node:
    """One line of cells, what is to be said about it below, and what hangs on it."""

    cells: tuple[Cell, ...]
    notes: tuple[Cell, ...] = ()
    children: tuple[Node, ...] = ()


def lines(nodes: Sequence[Node], *, ascii_only: bool = False) -> Iterator[str]:
    """The trees as plain lines, an empty one between two trees; nothing is cut."""
    guides = ASCII if ascii_only else GUIDES
    widths = _widths(nodes)
    for number, node in enumerate(nodes):
        yield from [""] if number else []
        yield _text(_padded(node, widths))
        yield from _below(node, "", guides)


def _below(node: Node, indent: str, guides: Sequence[str]) -> Iterator[str]:
    branch, bar, last, space = guides
    for note in node.notes:
        for line in note.text.splitlines():
            yield f"{indent}{bar if node.children else space}{line}"
    widths = _widths(node.children)
    for child in node.children:
        ends = child is node.children[-1]
        yield f"{indent}{last if ends else branch}{_text(_padded(child, widths))}"
        yield from _below(child, indent + (space if ends else bar), guides)


def _widths(nodes: Sequence[Node]) -> list[int]:
    """Of each column; the last cell of a line does not count, as nothing stands to its right."""
    columns: list[int] = []
    for node in nodes:
        for number, cell in enumerate(node.cells[:-1]):
            columns += [0] * (number + 1 - len(columns))
            columns[number] = max(columns[number], len(cell.text))
    return columns


def _padded(node: Node, widths: Sequence[int]) -> list[Cell]:
    *first, last = node.cells
    padded = [Cell(cell.text.ljust(width), cell.style) for cell, width in zip(first, widths, strict=False)]
    return [*padded, last]


def _text(cells: Sequence[Cell]) -> str:
    return GAP.join(cell.text for cell in cells).rstrip()


def coloured(nodes: Sequence[Node]) -> Any:
    """The trees for a `rich` console, which folds long lines beside the guides."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text
    from rich.tree import Tree

    def label(node: Node, widths: Sequence[int]) -> Any:
        words = Text(overflow="fold")
        for number, cell in enumerate(_padded(node, widths)):
            words.append(GAP if number else "").append(cell.text, cell.style or None)
        words.rstrip()
        notes = (Text(note.text, style=note.style, overflow="fold") for note in node.notes)
        return Group(words, *(Padding(note, (0, 0, 0, 4), expand=False) for note in notes))

    def grown(tree: Any, children: Sequence[Node]) -> Any:
        widths = _widths(children)
        for child in children:
            grown(tree.add(label(child, widths)), child.children)
        return tree

    widths = _widths(nodes)
    trees = [grown(Tree(label(node, widths), guide_style="dim"), node.children) for node in nodes]
    return Group(*(part for number, each in enumerate(trees) for part in (*([""] if number else []), each)))
