"""What every scheme gives to a fetch: the files of a model, each of which can be asked from a byte on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol, Self

from wye_runtime.errors import ModelFetch

CHUNK = 1 << 18
MOST_FILES = 10_000  # as the twin takes of a folder
LONGEST_NAME = 1024
HINTS = {
    401: "are the credentials of model.secretName right?",
    403: "may the credentials of model.secretName read it?",
    404: "is model.uri right?",
    410: "is model.uri right?",
}


class Interrupted(Exception):
    """Nothing final: another try may bring the rest. `after`: the seconds that the server asks for."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class Changed(Interrupted):
    """The file is not the one that the bytes so far are a part of: from the beginning, then."""


class Answer(Protocol):
    """An open answer whose first byte is byte `start` of the file."""

    start: int
    total: int | None  # None: chunked, which has an end of its own
    validator: str | None  # names this state of the file

    def chunks(self) -> Iterator[bytes]:
        """The bytes; Interrupted when they end too early."""

    def __enter__(self) -> Self:
        """Open already."""

    def __exit__(self, *_: object) -> None:
        """Closed."""


class Remote(Protocol):
    """One file of the other side."""

    @property
    def shown(self) -> str:
        """What it is called, without anything secret."""

    def answer(self, start: int, validator: str | None) -> Answer:
        """The file from byte `start` on where it can be had and is still the same file, else from the beginning."""


@dataclass(frozen=True, slots=True)
class Unpack:
    """How a file that is an archive becomes files: what lies below `prefix`."""

    packed: str  # tar, gzip or zstd
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model; `size`, `sha256` and a name of its state where the source told them beforehand."""

    name: str
    remote: Remote
    size: int | None = None
    sha256: str | None = None
    unpack: Unpack | None = None
    version: str = ""


class Source(Protocol):
    """Where a model is."""

    @property
    def shown(self) -> str:
        """The address without anything secret."""

    def files(self) -> list[File]:
        """All of the model: one state of it. Interrupted where asking again may help."""


def own_name(path: str) -> str:
    """What a model of one file is called in its folder: as where it comes from, if that says of what kind it is."""
    name = path.rstrip("/").rpartition("/")[2]
    return name if re.search(r"\.[A-Za-z]\w*$", name) else "model.onnx"


def inside(name: str, shown: str) -> PurePosixPath:
    """A file's name as a path in the model's folder, or a ModelFetch: none leads out of it."""
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part != "."]
    if (
        not parts
        or path.is_absolute()
        or ".." in parts
        or len(name) > LONGEST_NAME
        or re.search(r"[\x00-\x1f\\]", name)
    ):
        raise ModelFetch(f"{shown} has a file with the name {name[:80]!r}, which could lead out of the model's folder")
    return PurePosixPath(*parts)
