"""A model's folder while it is not whole: hidden beside the one that it becomes, which it replaces at once."""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from wye_runtime.errors import ModelFetch
from wye_runtime.fetch.part import sync_folder, writing


class Stage:
    """`files` becomes the folder `to`; what comes is kept in `incoming` until it is whole."""

    def __init__(self, to: Path) -> None:
        self.to = to
        self.incoming = to.with_name(f".{to.name}.part")
        self.files = self.incoming / "files"
        self.mark = to.with_name(f".{to.name}.fetched")  # says that the folder is ours to replace

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
def stage_for(to: Path) -> Iterator[Stage]:
    """An empty stage, gone at the end; what a killed run left is removed, what a person put there is not."""
    stage = Stage(to)
    with writing(to):
        if to.is_dir() and any(to.iterdir()) and not stage.mark.exists():
            raise ModelFetch(f"{to} has files that no fetch brought: name a folder of its own")
        shutil.rmtree(stage.incoming, ignore_errors=True)
        stage.files.mkdir(parents=True)
    try:
        yield stage
    finally:
        shutil.rmtree(stage.incoming, ignore_errors=True)


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
