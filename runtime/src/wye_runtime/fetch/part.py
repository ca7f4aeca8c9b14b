"""The file while it is not whole: hidden, counted, hashed as it grows; renamed once it is."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from wye_runtime.errors import ModelFetch

READABLE = 0o644  # the server may run as another user of the same pod


class Part:
    """Bytes so far; `validator` names the state of the remote file that they are a part of."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.size = 0
        self.validator: str | None = None
        self.hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self.hash.hexdigest()

    def take_up(self, start: int, validator: str | None) -> None:
        """Go on where the server goes on: at the end of what is here, or from the beginning."""
        if start != self.size:
            self.file.seek(0)
            self.file.truncate()
            self.size, self.hash = 0, hashlib.sha256()
        self.validator = validator

    def write(self, chunk: bytes) -> None:
        with writing(self.path):
            self.file.write(chunk)
        self.hash.update(chunk)
        self.size += len(chunk)

    def commit(self, target: Path) -> None:
        """The whole file under its name, on disk before the name is."""
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            self.file.flush()
            os.fchmod(self.file.fileno(), READABLE)
            os.fsync(self.file.fileno())
            self.path.replace(target)
            sync_folder(target.parent)


@contextlib.contextmanager
def part_in(folder: Path, name: str) -> Iterator[Part]:
    """An empty part in a folder, gone at the end if it was not committed; one of a killed run is overwritten."""
    path = folder / f".{name}.part"
    with contextlib.ExitStack() as stack:
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("wb"))
        stack.callback(path.unlink, missing_ok=True)
        yield Part(path, file)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelFetch(f"{path} cannot be written: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
