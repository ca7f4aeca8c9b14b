"""What every bench's command line has: how long and how often, the machine it ran on, and what failures mean."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import machine
from rich.console import Console


def parser(description: str) -> argparse.ArgumentParser:
    """The first line says what is measured."""
    made = argparse.ArgumentParser(description=description.splitlines()[0])
    made.add_argument("--seconds", type=float, default=60, help="for all measuring together (60)")
    made.add_argument("--rounds", type=int, default=5, help="how often each line is measured (5)")
    return made


def tell_machine(console: Console) -> None:
    """What a reader must know before comparing a figure with another machine's."""
    for name, fact in machine.facts():
        console.print(f"{name:12} {fact}", highlight=False, soft_wrap=True)


def rounds(count: int, console: Console) -> Iterator[int]:
    """Their numbers, from 0; each is told as it begins."""
    for number in range(count):
        console.print(f"round {number + 1} of {count}: the servers start", highlight=False)
        yield number


def exit_code(failures: int, console: Console) -> int:
    """1 where a request failed, which is said."""
    if failures:
        console.print(f"{failures} requests failed: the figures say nothing", highlight=False)
    return 1 if failures else 0
