"""The one error family of this distribution; each border (the command line, the cluster) maps it once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class WyeError(Exception):
    """Something a person can mend; its text is a whole sentence."""


class Mistakes(WyeError):
    """What is wrong with what was given: one line for each mistake."""

    def __init__(self, mistakes: Iterable[object]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One mistake in one object: `path` is the field ("spec.traffic.blue"), `message` what is and what should be."""

    path: tuple[str | int, ...]
    message: str

    @property
    def field(self) -> str:
        """The field as a person writes it: `spec.contract.inputs[2].type`."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text
