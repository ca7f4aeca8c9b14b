"""A model's folder while it is not whole: hidden beside the one that it becomes, which it replaces at once."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wye_runtime.errors import ModelFetch
from wye_runtime.fetch.part import sync_folder, writing
from wye_runtime.fetch.source import File
from wye_runtime.fetch.tries import GaveUp


class Stage:
    """`files` becomes the folder `to`; what comes is kept in `incoming` until it is whole."""

    def __init__(self, to: Path, of: str) -> None:
        self.to, self.of = to, of
        self.incoming = to.with_name(f".{to.name}.part")
        self.files = self.incoming / "files"
        self.journal = self.incoming / "came"  # a line for each file that is whole, after one that says of what
        self.mark = to.with_name(f".{to.name}.fetched")  # says that the folder is ours to replace

    def open(self) -> None:
        """Empty, but for what an earlier run of the same fetch has brought."""
        if self.lines()[:1] != [self.of]:
            shutil.rmtree(self.incoming, ignore_errors=True)
            self.files.mkdir(parents=True)
            self.note(self.of)

    def lines(self) -> list[object]:
        """The journal; its last line may be half a one."""
        found: list[object] = []
        with contextlib.suppress(OSError, ValueError):
            for line in self.journal.read_text().splitlines():
                found.append(json.loads(line))
        return found

    def note(self, line: object) -> None:
        """One line more, on disk."""
        with writing(self.journal), self.journal.open("a") as journal:
            journal.write(json.dumps(line) + "\n")
            journal.flush()
            os.fsync(journal.fileno())

    def finished(self, file: File, came: Mapping[str, str]) -> None:
        """A file is whole, and is these files here."""
        sizes = {name: (self.files / name).stat().st_size for name in came if (self.files / name).is_file()}
        self.note({"file": known_as(file), "came": dict(came), "sizes": sizes})

    def brought(self, files: Sequence[File]) -> tuple[int, dict[str, str]]:
        """How many of the first files are here already, and the sha256 by name of what they are; the rest goes.

        Only the first: a layer of an image may take away what those below it brought.
        """
        kept: list[Any] = []
        for file, line in zip(files, self.lines()[1:], strict=False):
            if not self.is_still(file, line):
                break
            kept.append(line)
        came = {name: digest for line in kept for name, digest in line["came"].items()}
        self.keep(came)
        with writing(self.journal):
            self.journal.write_text("".join(json.dumps(line) + "\n" for line in (self.of, *kept)))
        return len(kept), came

    def is_still(self, file: File, line: Any) -> bool:
        """Whether a line of the journal is about this file as the source has it now, and all of it is here."""
        if not isinstance(line, dict) or not file.version or line.get("file") != known_as(file):
            return False
        paths = ((self.files / name, size) for name, size in line["sizes"].items())
        return all(path.is_file() and path.stat().st_size == size for path, size in paths)

    def keep(self, came: Mapping[str, str]) -> None:
        """Nothing else: the source may have lost a file since."""
        for path in [each for each in self.files.rglob("*") if each.is_file()]:
            if str(path.relative_to(self.files)) not in came:
                path.unlink()

    def holds_something(self) -> bool:
        """Whether a later run can go on with it."""
        return len(self.lines()) > 1 or any(self.incoming.glob("*.note"))

    def remove(self) -> None:
        shutil.rmtree(self.incoming, ignore_errors=True)

    def commit(self) -> None:
        """The folder under its name, in one step; an earlier fetch's goes."""
        old = self.incoming / "old"
        with writing(self.to):
            self.mark.touch()
            if self.to.exists():
                self.to.rename(old)
            self.files.rename(self.to)
            sync_folder(self.to.parent)


@contextlib.contextmanager
def stage_for(to: Path, of: str) -> Iterator[Stage]:
    """A stage, gone at the end, unless it may go on later; what a killed run of the same fetch left is in it."""
    stage = Stage(to, of)
    with writing(to):
        if to.is_dir() and any(to.iterdir()) and not stage.mark.exists():
            raise ModelFetch(f"{to} has files that no fetch brought: name a folder of its own")
        stage.open()
    try:
        yield stage
    except (GaveUp, SystemExit):
        if not stage.holds_something():
            stage.remove()
        raise
    except BaseException:
        stage.remove()
        raise
    stage.remove()


def known_as(file: File) -> list[str]:
    """What names a file and its state in the journal."""
    return [file.name, file.version]


def digest_of(digests: Mapping[str, str]) -> str:
    """Of one file its own; of more, that of their `sha256sum` list, as the model server works it out."""
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256("".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()).hexdigest()


def digests_in(place: Path) -> dict[str, str]:
    """The sha256 of a file, or of each file of a folder, by name."""
    found, folder = {}, place if place.is_dir() else place.parent
    for path in (each for each in place.rglob("*") if each.is_file()) if place.is_dir() else [place]:
        with path.open("rb") as file:
            found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
