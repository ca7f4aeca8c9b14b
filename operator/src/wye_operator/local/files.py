"""Files that other processes read while they change: whole or not at all.

`swap` replaces a folder of files the way kubelet does for a ConfigMap volume (a new folder, then one rename of the
`..data` link), which is what Envoy watches for.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DATA = "..data"
MISSHAPEN = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError)  # what reading odd JSON raises


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file in one step."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    fresh.rename(path)


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    """Write JSON for people and programs in one step."""
    write(path, json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n", mode)


def read_json(path: Path) -> Any:
    """The JSON of a file, None where there is no such file. Raises OSError or ValueError when it is not JSON."""
    try:
        with open(path, "rb", opener=open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{path} is not a regular file")
            return json.loads(file.read())
    except FileNotFoundError:
        return None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None


def open_at_once(path: str, flags: int) -> int:
    """An opener that does not wait, not even where somebody put a FIFO."""
    return os.open(path, flags | os.O_NONBLOCK)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a swapped folder as they are now."""
    try:
        return {entry.name: entry.read_bytes() for entry in (folder / DATA).iterdir()}
    except FileNotFoundError:
        return {}


def swap(folder: Path, files: Mapping[str, bytes], mode: int = 0o644) -> bool:
    """Replace all files of the folder in one step; False when they are already there, byte for byte."""
    if contents(folder) == dict(files):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    before = _generations(folder)
    fresh = folder / f"..{before[-1][0] + 1 if before else 1}"
    fresh.mkdir()
    for name, data in files.items():
        write(fresh / name, data, mode)
    _link(folder / DATA, fresh.name)
    for name in files:
        _link(folder / name, f"{DATA}/{name}")
    _tidy(folder, files)
    for _, old in before[:-1]:  # the one before may still be being read
        shutil.rmtree(old)
    return True


def _generations(folder: Path) -> list[tuple[int, Path]]:
    numbered = [(entry.name.removeprefix(".."), entry) for entry in folder.iterdir()]
    return sorted((int(number), entry) for number, entry in numbered if number.isdecimal())


def _link(link: Path, target: str) -> None:
    if link.is_symlink() and os.readlink(link) == target:
        return
    fresh = link.with_name(f".{link.name}.link")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(link)


def _tidy(folder: Path, files: Mapping[str, bytes]) -> None:
    for entry in folder.iterdir():
        if entry.is_symlink() and entry.name != DATA and entry.name not in files:
            entry.unlink()
