"""The commands of `wye` for the page `commands.md`, read from the parser itself: what `--help` says, as a page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

CODES = """\
| exit code | |
|---|---|
| 0 | done |
| 1 | it could not be done; the last line of stderr says why |
| 2 | there is a mistake in what was given: the command line, the manifests |
| 3 | `wye status`: something is not Ready |
| 130 | ended by Ctrl-C |"""


def sections(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A section for each command, those of a group after each other."""
    yield CODES
    for command in _leaves(parser):
        yield f"## {command.prog}"
        yield f"```text\n{_usage(command)}\n```"
        yield from (" ".join(paragraph.split()) for paragraph in (command.description or "").split("\n\n"))
        yield from _options(command)
        examples = (command.epilog or "").removeprefix("examples:\n").rstrip()
        yield "```text\n" + "\n".join(line.removeprefix("  ") for line in examples.splitlines()) + "\n```"


def _leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for command in group.choices.values():
            yield from _leaves(command)


def _usage(command: argparse.ArgumentParser) -> str:
    words = []
    for action in _told(command):
        if not action.option_strings:
            words.append(f"[{action.metavar}]" if action.nargs == "?" else f"{action.metavar}")
        elif action.required:
            words.append(_spelled(action))
    return " ".join([command.prog, *words, "[options]"])


def _options(command: argparse.ArgumentParser) -> Iterator[str]:
    rows = [(_spelled(action).replace("|", "\\|"), action.help) for action in _told(command)]
    if rows:
        yield "\n".join(["| | |", "|---|---|", *(f"| `{spelled}` | {about} |" for spelled, about in rows)])


def _told(command: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in command._actions if action.dest != "help"]


def _spelled(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar)
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    value = action.metavar or ("|".join(action.choices) if action.choices else action.dest.upper())
    return f"{', '.join(action.option_strings)} {value}"
