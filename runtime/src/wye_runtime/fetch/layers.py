"""Takes a model out of an archive that somebody else made: bounded, and nothing leads out of the folder.

`tarfile`'s own filters came with Python 3.11.4, which not every base image has; and an image's layers need more rules.
"""

import gzip
import hashlib
import os
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from wye_runtime.errors import ModelFetch
from wye_runtime.fetch.part import READABLE, writing
from wye_runtime.fetch.source import CHUNK, MOST_FILES, Unpack, inside

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


def unpack(archive: Path, to: Path, how: Unpack, shown: str) -> dict[str, str]:
    """The sha256 by name of what came out of it, into a folder that may hold lower layers' files."""
    came: dict[str, str] = {}
    try:
        with archive.open("rb") as raw, stream_of(raw, how) as tar:
            for member, name in wanted(tar, how.prefix, shown):
                if len(came) >= MOST_FILES:
                    raise ModelFetch(f"{shown} has more than {MOST_FILES:,} files")
                take(tar, member, name, Taking(to, came, shown))
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError) as error:
        raise ModelFetch(f"{shown} is no archive that can be read: {error}") from error
    return came


def stream_of(raw: BinaryIO, how: Unpack) -> tarfile.TarFile:
    """The archive, read as it comes: nothing seeks."""
    if how.packed == "zstd":
        return tarfile.open(fileobj=zstd.ZstdFile(raw), mode="r|")
    return tarfile.open(fileobj=raw, mode="r|gz" if how.packed == "gzip" else "r|")


def wanted(tar: tarfile.TarFile, prefix: str, shown: str) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    """What lies below the prefix, with its name in the model's folder; of the rest not even the names are looked at."""
    below = tuple(part for part in PurePosixPath(prefix).parts if part != ".")
    for member in tar:
        parts = tuple(part for part in member.name.split("/") if part not in ("", "."))
        if parts[: len(below)] == below and len(parts) > len(below):
            yield member, inside("/".join(parts[len(below) :]), shown)


class Taking:
    """Where files go, which came, and who is spoken of."""

    def __init__(self, to: Path, came: dict[str, str], shown: str) -> None:
        self.to, self.came, self.shown = to, came, shown

    def refuse(self, name: PurePosixPath, why: str) -> ModelFetch:
        return ModelFetch(f"{self.shown} holds {name}, {why}")


def take(tar: tarfile.TarFile, member: tarfile.TarInfo, name: PurePosixPath, taking: Taking) -> None:
    """Puts one member of a layer where it belongs, or takes away what it says is gone."""
    target = taking.to / name
    if name.name.startswith(WHITEOUT):
        white_out(target, taking)
    elif member.isdir():
        with writing(target):
            target.mkdir(parents=True, exist_ok=True)
    elif member.isreg():
        taking.came[str(name)] = write(tar, member, name, taking)
    else:
        raise taking.refuse(name, "a link, a device or a pipe: want plain files")


def write(tar: tarfile.TarFile, member: tarfile.TarInfo, name: PurePosixPath, taking: Taking) -> str:
    """Writes one file; its sha256."""
    free = shutil.disk_usage(taking.to).free
    if member.size > free:
        raise taking.refuse(name, f"which has {member.size} bytes, {taking.to} has room for {free}")
    target, content, digest = taking.to / name, tar.extractfile(member), hashlib.sha256()
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while content and (chunk := content.read(CHUNK)):
                digest.update(chunk)
                file.write(chunk)
            os.fchmod(file.fileno(), READABLE)
            os.fsync(file.fileno())
    return digest.hexdigest()


def white_out(target: Path, taking: Taking) -> None:
    """A higher layer says that something of a lower one is gone: one name, or all that is in the folder."""
    one = target.with_name(target.name.removeprefix(WHITEOUT))
    for path in list(target.parent.glob("*")) if target.name == OPAQUE else [one]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
