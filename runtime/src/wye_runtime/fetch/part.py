"""The file while it is not whole: hidden, counted, hashed as it grows; renamed once it is.

Every so often it is brought to disk and noted how far that is, so that a run after one that was killed goes on there.
What is beyond the note may be anything after a crash of the machine, and is thrown away.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from wye_runtime.errors import ModelFetch
from wye_runtime.fetch.source import CHUNK
from wye_runtime.fetch.tries import GaveUp

log = logging.getLogger("wye")
READABLE = 0o644  # the server may run as another user of the same pod
NOTED = 16 << 20  # bytes that a run which is killed may lose


class Part:
    """Bytes so far; `validator` names the state of the remote file that they are a part of."""

    def __init__(self, path: Path, file: BinaryIO, of: str) -> None:
        self.path, self.file, self.of = path, file, of
        self.size = self.noted = 0
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
            self.note()
        self.validator = validator

    def write(self, chunk: bytes) -> None:
        with writing(self.path):
            self.file.write(chunk)
        self.hash.update(chunk)
        self.size += len(chunk)
        if self.size - self.noted >= NOTED:
            self.note()

    def note(self) -> None:
        """Says on disk how much of it is there, and of what."""
        self.noted = self.size
        if not (self.size and self.validator):
            notes_of(self.path).unlink(missing_ok=True)
            return
        with writing(self.path):
            self.file.flush()
            os.fsync(self.file.fileno())
            fresh = notes_of(self.path).with_suffix(".new")
            fresh.write_text(json.dumps({"of": self.of, "validator": self.validator, "size": self.size}))
            fresh.replace(notes_of(self.path))

    def go_on(self) -> None:
        """Takes what an earlier run noted, if it is of the same file."""
        size, self.validator = noted_in(self.path, self.of)
        while self.size < size and (chunk := self.file.read(min(CHUNK, size - self.size))):
            self.hash.update(chunk)
            self.size += len(chunk)
        self.noted = self.size
        self.file.seek(self.size)
        self.file.truncate()
        if self.size:
            log.info("going on", extra={"uri": self.of, "bytes": self.size})

    def commit(self, target: Path) -> None:
        """The whole file under its name, on disk before the name is."""
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            self.file.flush()
            os.fchmod(self.file.fileno(), READABLE)
            os.fsync(self.file.fileno())
            self.path.replace(target)
            sync_folder(target.parent)


def notes_of(path: Path) -> Path:
    """Beside the part itself."""
    return path.with_suffix(".note")


def noted_in(path: Path, of: str) -> tuple[int, str | None]:
    """How much of a file is there, and of which state; (0, None) where nothing is known for sure."""
    try:
        told = json.loads(notes_of(path).read_text())
        size, validator = told["size"], told["validator"]
        if told["of"] == of and type(size) is int and isinstance(validator, str) and size <= path.stat().st_size:
            return size, validator
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, None


@contextlib.contextmanager
def part_in(folder: Path, name: str, of: str) -> Iterator[Part]:
    """A part, with what an earlier run noted of the same file; gone at the end, unless it may go on later."""
    path = folder / f".{name}.part"
    with contextlib.ExitStack() as stack:
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("r+b" if path.exists() else "w+b"))
        part = Part(path, file, of)
        part.go_on()
        try:
            yield part
        except (GaveUp, SystemExit):
            part.note()
            if not notes_of(path).exists():
                remove(path)
            raise
        except BaseException:
            remove(path)
            raise
        remove(path)


def remove(path: Path) -> None:
    """The part and what was noted of it."""
    path.unlink(missing_ok=True)
    notes_of(path).unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes a disk's error one that names the path."""
    try:
        yield
    except OSError as error:
        raise ModelFetch(f"{path} cannot be written: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Makes a rename last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
